"""Evaluation: the pictures of every recipe, measured on a real network and compared with real images.

    python benchmarks/quality.py [--network squeezenet] [--recipes peek,oygard-2016] [--units 32] [--classes 60]

On SqueezeNet 1.0 or EfficientNet-Lite0 with their ImageNet weights, and the 250 real images (PEEK_SHARED or ../shared):
units chosen at random (fixed seed) of an early, a middle and a late layer, each drawn as its center `Neuron`, and
classes of which there is a real image, drawn as `Logit`. The other of the two networks is asked what it sees in a
class's picture. The measures are defined in `peek_widget/evidence/measures.py`; they are computed on the saved PNG,
since that is what a person sees.

It can be stopped at any time: every picture is saved in --out with a line of JSON, and the next run draws only those
that are missing. A picture is drawn again if the numbers of its recipe have changed, or the engine has: each line has
the activations of a short probe run, which the present engine must reproduce (--fresh draws everything again). --out
also gets a sheet of the pictures of each recipe, and the table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget import Logit, Neuron, Recipe, zoo
from peek_widget.ascent import Objective, ascend, still, to_pil
from peek_widget.errors import PeekError
from peek_widget.evidence import measures, naturalness
from peek_widget.network import OUTPUT, Network, read
from peek_widget.network.precision import Precision
from tests.networks import shared, squeezenet


@dataclass(frozen=True)
class Subject:
    """A network whose units are drawn, and the one that is asked what it sees in the pictures of its classes."""

    model: Callable[[], nn.Module]
    layers: tuple[str, ...]
    judge: Callable[[], nn.Module]


SUBJECTS = {
    "squeezenet": Subject(squeezenet, ("features.5", "features.9", "features.12", OUTPUT), zoo.efficientnet_lite0),
    "efficientnet_lite0": Subject(zoo.efficientnet_lite0, ("blocks.4", "blocks.9", "head", OUTPUT), squeezenet),
}
MAIN = ("peek", "peek-fast", "oygard-2016", "lucid-2017")
BATCH = 4


@dataclass(frozen=True)
class Drawn:
    """One line of the record: a picture that was drawn, or the error that prevented it."""

    recipe: str
    json: str
    layer: str
    unit: int
    seed: int
    file: str
    seconds: float
    finite: bool
    error: str
    probe: list[float]


def objective(layer: str, unit: int) -> Objective:
    return Logit(unit) if layer == OUTPUT else Neuron(layer, unit)


def chosen(network: Network, layers: Sequence[str], units: int, classes: int) -> dict[str, list[int]]:
    """Return random units of each layer; the first ones are the same whatever their number is."""
    found = {}
    for number, layer in enumerate(layers):
        # Of every fourth class there is a real image.
        every, count = (4, classes) if layer == OUTPUT else (1, units)
        possible = range(0, network.layer(layer).channels, every)
        order = torch.randperm(len(possible), generator=torch.Generator().manual_seed(number))
        found[layer] = [possible[n] for n in order[:count].tolist()]
    return found


def probe(network: Network, layer: str, recipe: Recipe, precision: Any) -> list[float]:
    """Run a recipe for a few steps through all its octaves, and return numbers that identify the engine's result."""
    steps = max(4, len(recipe.octaves))
    values: list[float] = []
    for one in (Neuron(layer, 0), Logit(0)):
        last = None
        how = {"seed": 0, "size": min(recipe.size or 224, 224), "precision": precision}
        for last in ascend(network, one, recipe.replace(steps=steps), **how):
            values.append(last.activation)
        assert last is not None
        values += [float(last.images.mean()), float(last.images.std())]
    return values


def same(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two probes are equal up to rounding."""
    return len(one) == len(other) and all(
        abs(a - b) <= 1e-3 * max(1.0, abs(a)) for a, b in zip(one, other, strict=True)
    )


def same_recipe(text: str, recipe: Recipe) -> bool:
    """Return whether a recipe saved as JSON equals another; fields added since then have their defaults."""
    try:
        return Recipe.from_json(text) == recipe
    except PeekError:
        return False


class Record:
    """The lines of the file, to whose end new ones are added."""

    def __init__(self, out: Path, fresh: bool) -> None:
        self.out = out
        self.path = out / "pictures.jsonl"
        out.mkdir(parents=True, exist_ok=True)
        if fresh:
            self.path.unlink(missing_ok=True)
        self.lines = list(self._read())

    def _read(self) -> Iterator[Drawn]:
        if not self.path.exists():
            return
        for text in self.path.read_text().splitlines():
            try:
                yield Drawn(**json.loads(text))
            except (ValueError, TypeError):
                print(f"skipped a truncated line of {self.path}", file=sys.stderr)

    def add(self, line: Drawn) -> None:
        self.lines.append(line)
        with self.path.open("a") as file:
            file.write(json.dumps(vars(line)) + "\n")

    def found(self, recipe: Recipe, today: Sequence[float]) -> dict[tuple[str, int, int], Drawn]:
        """Return what an engine with the same probe has drawn of a recipe, by (layer, unit, seed)."""
        return {
            (line.layer, line.unit, line.seed): line
            for line in self.lines
            if line.recipe == recipe.name
            and same_recipe(line.json, recipe)
            and same(line.probe, today)
            and (line.error or (self.out / line.file).exists())
        }


def draw(
    network: Network,
    recipe: Recipe,
    layer: str,
    units: list[int],
    seed: int,
    today: list[float],
    record: Record,
    precision: Any,
) -> None:
    """Draw units of a layer together and record each; one by one if that fails, to find the one that fails."""
    start = time.process_time()
    pictures, error = None, ""
    try:
        objectives = [objective(layer, unit) for unit in units]
        for step in ascend(network, objectives, recipe, seed=seed, precision=precision):
            pictures = step.images
    except PeekError as raised:
        if len(units) > 1:
            for unit in units:
                draw(network, recipe, layer, [unit], seed, today, record, precision)
            return
        pictures, error = None, str(raised)
    seconds = (time.process_time() - start) / len(units)
    folder = f"{recipe.name}-{hashlib.sha256(recipe.to_json().encode()).hexdigest()[:8]}"
    (record.out / folder).mkdir(exist_ok=True)
    for index, unit in enumerate(units):
        file = f"{folder}/{layer or 'class'}-{unit:04d}-seed{seed}.png"
        finite = pictures is not None and bool(torch.isfinite(pictures[index]).all())
        if pictures is not None:
            to_pil(pictures[index].nan_to_num(0.5)).save(record.out / file)
        record.add(
            Drawn(
                recipe.name,
                recipe.to_json(),
                layer,
                unit,
                seed,
                file,
                seconds,
                finite,
                error,
                [round(v, 5) for v in today],
            )
        )


def wanted(names: Sequence[str], choice: dict[str, list[int]], others: int) -> Iterator[tuple[Recipe, str, list[int]]]:
    """Yield what to draw, a few of everything first, so that the table is balanced wherever the run stops."""
    recipes = [Recipe.preset(name) for name in names]
    for start in range(0, max(map(len, choice.values())), BATCH):
        for recipe in recipes:
            # Many views of large pictures need much memory.
            together = max(1, BATCH // recipe.n_views)
            for layer, units in choice.items():
                end = min(start + BATCH, len(units) if recipe.name in MAIN else others)
                for first in range(start, end, together):
                    yield recipe, layer, choice[layer][first : min(first + together, end)]


# Measuring


@dataclass(frozen=True)
class Numbers:
    """The measurements of one picture."""

    activation_ratio: float
    exceeds_best: float
    robustness: float
    rank: int
    flaw: str
    band: dict[str, bool]
    named: int
    """Rank of the class in the other network's answer to the picture, from 1; 0 for a hidden unit."""
    sane: bool
    """Whether mean luminance and RMS contrast are inside the range of 19 in 20 photographs."""
    seconds: float


class Scorer:
    """Measures pictures, and caches the results by the picture's bytes and the code of the measures."""

    def __init__(self, network: Network, layers: Sequence[str], judge: Network, out: Path) -> None:
        self.network, self.judge, self.path = network, judge, out / "measured.jsonl"
        code = b"".join(Path(one.__file__).read_bytes() for one in (measures, naturalness, still))
        self.code = digest(code + repr(KEPT).encode())
        self.known: dict[str, dict] = {}
        if self.path.exists():
            for text in self.path.read_text().splitlines():
                try:
                    self.known.update([json.loads(text)])
                except (ValueError, TypeError):
                    continue
        print("reading the real images", file=sys.stderr)
        paths = sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))
        self.whole = torch.cat([opened(path) for path in paths])
        edge = (self.whole.shape[-1] - network.input_size) // 2
        self.real = self.whole[:, :, edge : edge + network.input_size, edge : edge + network.input_size]
        self.natural = measures.dataset_statistics(network, self.real, layers)
        looks = torch.stack([look(image) for image in self.whole])
        self.range = torch.quantile(looks, torch.tensor([0.025, 0.975]), dim=0)

    def __call__(self, line: Drawn, recipe: Recipe, out: Path) -> Numbers:
        if line.error or not line.finite:
            flaw = "failed" if line.error else "nan"
            return Numbers(
                math.nan,
                False,
                math.nan,
                0,
                flaw,
                dict.fromkeys(naturalness.NATURAL_BAND, False),
                1000 if line.layer == OUTPUT else 0,
                False,
                line.seconds,
            )
        data = (out / line.file).read_bytes()
        key = f"{self.code} {digest(data)} {line.recipe} {line.layer} {line.unit}"
        if key not in self.known:
            picture = opened(out / line.file)
            one = objective(line.layer, line.unit)
            found = measures.score(self.network, [one], picture, self.natural, recipe)[0]
            seen = measures.as_seen(self.network, one, picture[0], recipe)
            band = naturalness.in_band(naturalness.naturalness(seen))
            self.keep(key, {**asdict(found), "band": band, **self._looks(line.layer, line.unit, picture)})
        found = self.known[key]
        return Numbers(*(found[name] for name in KEPT), line.seconds)

    def _looks(self, layer: str, unit: int, picture: Tensor) -> dict[str, Any]:
        """Return the rank of a class by the other network, and whether the picture ``[1, 3, H, W]`` is sane."""
        low, high = self.range
        named = 0
        if layer == OUTPUT:
            side = self.judge.input_size
            size = {"size": (side, side), "mode": "bicubic", "antialias": True, "align_corners": False}
            with torch.no_grad():
                shown = self.judge.preprocess(torch.nn.functional.interpolate(picture, **size).clamp(0.0, 1.0))
                scores = self.judge.run(shown, [OUTPUT])[OUTPUT][0]
            named = int((scores > scores[unit]).sum()) + 1
        return {"named": named, "sane": bool(((low <= look(picture[0])) & (look(picture[0]) <= high)).all())}

    def keep(self, key: str, value: dict) -> None:
        self.known[key] = value
        with self.path.open("a") as file:
            file.write(json.dumps([key, value]) + "\n")

    def photographs(self, choice: dict[str, list[int]]) -> Pictures:
        """Measure for each unit the real image that excites it most, and the naturalness of its crop."""
        numbers = {}
        for layer, units in choice.items():
            examples = {}
            if any(f"{self.code} real {layer} {unit}" not in self.known for unit in units):
                examples = self._top_examples(layer, units)
            for unit in units:
                key = f"{self.code} real {layer} {unit}"
                if key not in self.known:
                    image, crop = examples[unit]
                    found = measures.score(self.network, [objective(layer, unit)], image[None], self.natural)[0]
                    band = naturalness.in_band(naturalness.naturalness(crop))
                    self.keep(key, {**asdict(found), "band": band, **self._looks(layer, unit, image[None])})
                found = self.known[key]
                numbers[layer, unit] = Numbers(*({**found, "exceeds_best": math.nan}[name] for name in KEPT), math.nan)
        return numbers

    def _top_examples(self, name: str, units: list[int]) -> dict[int, tuple[Tensor, Tensor]]:
        """Return for each unit its top image, and the receptive field around its best position, inside the image."""
        layer = self.network.layer(name)
        values = []
        for batch in self.real.split(16):
            with torch.no_grad():
                found = self.network.run(self.network.preprocess(batch), [name])[name][:, units]
            values.append(found.flatten(2) if found.ndim > 2 else found[:, :, None])
        maps = torch.cat(values)
        side, columns, half = self.real.shape[-1], layer.size[1], max(layer.receptive_field) // 2
        best = {}
        for number, unit in enumerate(units):
            image, position = divmod(int(maps[:, number].argmax()), maps.shape[2])
            crop = self.real[image]
            if layer.spatial:
                y = min(max(int(layer.start[0] + position // columns * layer.stride[0]), half), side - 1 - half)
                x = min(max(int(layer.start[1] + position % columns * layer.stride[1]), half), side - 1 - half)
                crop = crop[:, y - half : y + half + 1, x - half : x + half + 1]
            best[unit] = self.real[image], crop
        return best


KEPT = ("activation_ratio", "exceeds_best", "robustness", "rank", "flaw", "band", "named", "sane")
Pictures = dict[tuple[str, int], Numbers]
"""Measurements by layer and unit."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def look(image: Tensor) -> Tensor:
    """Return the mean luminance and the RMS contrast of an image ``[3, H, W]`` in [0, 1]."""
    luminance = (image * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)
    return torch.stack([luminance.mean(), luminance.std()])


def opened(path: Path) -> Tensor:
    """Read a picture, ``[1, 3, H, W]`` in [0, 1]."""
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None] / 255.0


# The table

MEASURES: dict[str, tuple[str, Callable[[Numbers], float], bool]] = {
    "beats": ("beats 250", lambda n: float(n.exceeds_best), True),
    "named": ("named", lambda n: float(n.named == 1) if n.named else math.nan, True),
    "named5": ("in five", lambda n: float(n.named <= 5) if n.named else math.nan, True),
    "sane": ("sane", lambda n: float(n.sane), True),
    "sound": ("sound", lambda n: float(not n.flaw), True),
    "first": ("rank 1", lambda n: float(n.rank == 1), True),
    "mrr": ("MRR", lambda n: 1.0 / n.rank if n.rank else 0.0, True),
    "robust": ("robust", lambda n: n.robustness, False),
    **{name: (name, lambda n, name=name: float(n.band[name]), True) for name in naturalness.NATURAL_BAND},
    "all": ("all six", lambda n: float(all(n.band.values())), True),
}
"""For each measure its heading, its value of a picture (more is better), and whether to show the mean or median."""

LEGEND = """\
n: number of pictures. over best: activation divided by that of the best of the 250 real images, median; robust over
best: the same with the mean activation under 32 random views. median rank, rank 1, MRR: rank of the unit in its layer
on its own picture. named, in five: the other network's first answer to the picture of a class, or one of its first
five, is that class. sane: mean luminance and RMS contrast inside the range of 19 in 20 photographs. beats 250: more
activation than any real image. sound: not gray, NaN, clipped flat or failed (see flaws). robust: robust activation
divided by the plain one, median; a picture that excites its unit little has little to lose, so compare robust over
best. slope ... fine: inside the naturalness band; all six: inside every one. s: processor
seconds per picture."""

Table = dict[str, Pictures]


def center(values: Sequence[float], mean: bool) -> float:
    known = [value for value in values if not math.isnan(value)]
    return (statistics.fmean if mean else statistics.median)(known) if known else math.nan


def shown(name: str, found: Sequence[Numbers]) -> str:
    _, value, mean = MEASURES[name]
    number = center([value(n) for n in found], mean)
    if math.isnan(number):
        return "-"
    return f"{number:.2f}" if name in ("mrr", "robust") else f"{100 * number:.0f} %"


def table(rows: Table, layer: str | None = None) -> str:
    """Return a table with a row for each recipe, of one layer or of all."""
    head = ["recipe", "n", "over best", "robust over best", "median rank"]
    head += [*(heading for heading, _, _ in MEASURES.values()), "flaws", "s"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    for name, pictures in rows.items():
        found = [numbers for (where, _), numbers in pictures.items() if layer is None or where == layer]
        if not found:
            continue
        flaws = [n.flaw for n in found if n.flaw]
        ranks = [n.rank for n in found if n.rank]
        cells = [
            name,
            str(len(found)),
            f"{center([n.activation_ratio for n in found], False):.2f}",
            f"{center([n.activation_ratio * n.robustness for n in found], False):.2f}",
            f"{statistics.median(ranks):.0f}" if ranks else "",
            *(shown(one, found) for one in MEASURES),
            ", ".join(f"{flaws.count(flaw)} {flaw}" for flaw in dict.fromkeys(flaws)) or "0",
            f"{center([n.seconds for n in found], True):.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def contest(rows: Table, own: str = "peek") -> str:
    """Describe for each measure which recipes are better than ``own``, on the units that both have drawn."""
    lines, best, even = [], 0, 0
    rivals = [name for name in rows if name not in (own, PHOTOGRAPHS)]
    for heading, value, _ in MEASURES.values():
        ahead = []
        for rival in rivals:
            common = [key for key in rows[own] if key in rows[rival]]
            pairs = [(value(rows[rival][key]), value(rows[own][key])) for key in common]
            gains = [a - b for a, b in pairs if not math.isnan(a) and not math.isnan(b)]
            if len(gains) > 1 and statistics.fmean(gains) > 0.0:
                error = statistics.stdev(gains) / math.sqrt(len(gains))
                ahead.append((statistics.fmean(gains), error, len(gains), rival))
        clear = any(gain > 2.0 * error for gain, error, _, _ in ahead)
        best, even = best + (not ahead), even + (bool(ahead) and not clear)
        word = "not the best" if clear else "even" if ahead else "best"
        each = (f"{rival} +{gain:.2f} (+-{error:.2f}, n {n})" for gain, error, n, rival in sorted(ahead, reverse=True))
        lines.append(f"  {heading:12} {word:13} {'; '.join(each)}".rstrip())
    return (
        f"{own} is best on {best} of {len(MEASURES)} measures, and on {even} even with the best (a lead within two "
        "standard errors). Ahead of it, by the mean difference per picture on the same units:\n" + "\n".join(lines)
    )


PHOTOGRAPHS = "(best photograph)"


def sheet(lines: Sequence[Drawn], out: Path, path: Path, side: int = 112, columns: int = 16) -> None:
    """Save all pictures of a recipe on one sheet, one layer below the other."""
    rows: list[list[Drawn]] = []
    for layer in dict.fromkeys(line.layer for line in lines):
        own = [line for line in lines if line.layer == layer]
        rows += [own[start : start + columns] for start in range(0, len(own), columns)]
    paper = Image.new("RGB", (columns * (side + 2), max(1, len(rows)) * (side + 2)), "white")
    for y, row in enumerate(rows):
        for x, line in enumerate(row):
            if (out / line.file).exists() and not line.error:
                with Image.open(out / line.file) as image:
                    small = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
                    paper.paste(small, (x * (side + 2), y * (side + 2)))
    paper.save(path)


def report(
    network: Network,
    choice: dict[str, list[int]],
    probes: dict[str, list[float]],
    options: argparse.Namespace,
    record: Record,
) -> str:
    scorer = Scorer(network, list(choice), read(SUBJECTS[options.network].judge()), options.out)
    rows: Table = {PHOTOGRAPHS: scorer.photographs(choice)}
    for name, today in probes.items():
        recipe = Recipe.preset(name)
        have = record.found(recipe, today)
        lines = [
            have[key] for layer in choice for unit in choice[layer] if (key := (layer, unit, options.seed)) in have
        ]
        if not lines:
            continue
        print(f"measuring {name}", file=sys.stderr)
        rows[name] = {(line.layer, line.unit): scorer(line, recipe, options.out) for line in lines}
        sheet(lines, options.out, options.out / f"sheet-{name}.png")
    small = torch.nn.functional.interpolate(scorer.whole, size=(227, 227), mode="bilinear", antialias=True)
    band = [naturalness.in_band(naturalness.naturalness(image)) for image in small]
    within = {name: statistics.fmean(float(one[name]) for one in band) for name in naturalness.NATURAL_BAND}
    parts = [LEGEND, "All layers and classes:", table(rows)]
    for layer in choice:
        parts += [f"{layer or 'Classes'}:", table(rows, layer)]
    parts.append(
        "Share of the 250 real images, at 227 px, inside the band: "
        + ", ".join(f"{name} {100 * share:.0f} %" for name, share in within.items())
        + f"; all six {100 * statistics.fmean(float(all(one.values())) for one in band):.0f} %."
    )
    if "peek" in rows and len(rows) > 2:
        parts.append(contest(rows))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=SUBJECTS, default="squeezenet", help="whose units are drawn")
    parser.add_argument("--out", type=Path, help="folder of pictures, sheets and table; default: quality/NETWORK")
    parser.add_argument(
        "--precision", choices=get_args(Precision), help="of the network that draws; default: what suits it"
    )
    parser.add_argument(
        "--recipes", default=",".join(Recipe.presets()), help="names, separated by commas; default: all"
    )
    parser.add_argument("--units", type=int, default=32, help=f"units of each layer for {', '.join(MAIN)}")
    parser.add_argument("--classes", type=int, default=32, help=f"classes for {', '.join(MAIN)}")
    parser.add_argument("--others", type=int, default=4, help="units of each layer for the other recipes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--fresh", action="store_true", help="draw everything again")
    work = parser.add_mutually_exclusive_group()
    work.add_argument("--table", action="store_true", help="only measure")
    work.add_argument("--draw-only", action="store_true", help="only draw")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = [name.strip() for name in options.recipes.split(",")]
    folder = options.network if options.precision is None else f"{options.network}-{options.precision}"
    options.out = options.out or Path("quality") / folder
    subject = SUBJECTS[options.network]
    network = read(subject.model())
    choice = chosen(network, subject.layers, max(options.units, options.others), max(options.classes, options.others))
    record = Record(options.out, options.fresh)
    probes = {name: probe(network, subject.layers[0], Recipe.preset(name), options.precision) for name in names}
    for recipe, layer, units in wanted(names, choice, options.others):
        if options.table:
            break
        have = record.found(recipe, probes[recipe.name])
        missing = [unit for unit in units if (layer, unit, options.seed) not in have]
        if missing:
            start = time.perf_counter()
            draw(network, recipe, layer, missing, options.seed, probes[recipe.name], record, options.precision)
            print(f"{recipe.name} {layer or 'classes'} {missing}: {time.perf_counter() - start:.0f} s", flush=True)
    if not options.draw_only:
        text = report(network, choice, probes, options, record)
        print(text)
        (options.out / "table.md").write_text(text + "\n")


if __name__ == "__main__":
    main()

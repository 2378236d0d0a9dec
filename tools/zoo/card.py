"""Write the model card: ``python -m tools.zoo.card``.

Every figure and picture in MODEL_CARD.md is measured here, so that a newly trained network gets a new card
by one command. What the card says in words about what the figures mean is in card.md.in beside it.
"""

from __future__ import annotations

import argparse
import string
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from peek_widget.ascent import Neuron, Recipe, ascend, to_pil
from peek_widget.network import Layer, layers
from peek_widget.zoo.images import SUBJECTS, draw
from peek_widget.zoo.network import WEIGHTS, SmallNet, bundled, load
from tools.zoo.reference import RECIPES, REFERENCE, SEEDS, measure, table
from tools.zoo.tiles import GAP, tile
from tools.zoo.train import accuracy, held_out

__all__ = ["Peaks", "dead_units", "find_peaks", "layer_sheet", "main", "unit_pictures"]


@dataclass(frozen=True)
class Peaks:
    """The ``k`` images that activate each unit of a layer most, best first; each tensor is ``[units, k]``.

    Attributes:
        value: the activations.
        image: indices of the images.
        y: rows of the peaks on the layer's feature map.
        x: columns of the peaks on the layer's feature map.
    """

    value: torch.Tensor
    image: torch.Tensor
    y: torch.Tensor
    x: torch.Tensor


def find_peaks(network: SmallNet, images: torch.Tensor, k: int = 3) -> dict[str, Peaks]:
    """Find the ``k`` of ``images`` (``[N, 3, H, W]`` in [0, 1]) that activate each unit most.

    Returns the peaks of each convolution by its name; activations are those before the ReLU.
    """
    best: dict[str, list[tuple[torch.Tensor, torch.Tensor, int]]] = {}
    with torch.inference_mode():
        for part in images.split(200):
            x = network.preprocess(part)
            for name, module in network.named_children():
                x = module(x)
                if isinstance(module, nn.Conv2d):
                    value, position = x.flatten(2).max(dim=2)
                    best.setdefault(name, []).append((value, position, x.shape[3]))
    peaks = {}
    for name, parts in best.items():
        value, position = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
        top, image = value.topk(k, dim=0)
        position, width = position.gather(0, image), parts[0][2]
        peaks[name] = Peaks(top.T, image.T, (position // width).T, (position % width).T)
    return peaks


def dead_units(peaks: dict[str, Peaks]) -> dict[str, list[int]]:
    """Return the units of each convolution that no image activates: their output after the ReLU is always 0."""
    return {name: (peak.value[:, 0] <= 0).nonzero().flatten().tolist() for name, peak in peaks.items()}


def _crop(image: torch.Tensor, layer: Layer, y: int, x: int, side: int) -> torch.Tensor:
    """Crop the receptive field of a unit at row ``y``, column ``x`` of the map; gray beyond the image's border."""
    field, stride, start = layer.receptive_field[0], layer.stride[0], layer.start
    pad = field
    padded = functional.pad(image, [pad] * 4, value=0.5)
    top = round(start[0] + y * stride - (field - 1) / 2) + pad
    left = round(start[1] + x * stride - (field - 1) / 2) + pad
    cut = padded[:, top : top + field, left : left + field]
    mode = {"mode": "nearest"} if field < 12 else {"mode": "bilinear", "align_corners": False}
    return functional.interpolate(cut[None], size=(side, side), **mode)[0].clamp(0, 1)


def unit_pictures(network: SmallNet, layer: Layer, recipe: Recipe, size: int, batch: int = 28) -> torch.Tensor:
    """Draw the center neuron of each unit of a layer; returns ``[units, 3, size, size]`` in [0, 1]."""
    pictures = []
    for start in range(0, layer.channels, batch):
        units = range(start, min(start + batch, layer.channels))
        objectives = [Neuron(layer.name, unit) for unit in units]
        steps = ascend(network, objectives, recipe, seed=0, size=size)
        pictures.append(deque(steps, maxlen=1).pop().images)
    return torch.cat(pictures)


def layer_sheet(
    pictures: torch.Tensor, peaks: Peaks, layer: Layer, images: torch.Tensor, side: int = 52
) -> Image.Image:
    """Lay out the units of a layer: the picture of each, and to its right the crops that activate it most."""
    cells = []
    for unit, picture in enumerate(pictures):
        small = functional.interpolate(
            picture[None], size=(side, side), mode="bilinear", antialias=True, align_corners=False
        )
        row = [small[0].clamp(0, 1)]
        for image, y, x in zip(*(p[unit].tolist() for p in (peaks.image, peaks.y, peaks.x)), strict=True):
            row.append(_crop(images[image], layer, y, x, side))
        cells.append(torch.cat(row, dim=2))
    height, width = cells[0].shape[1:]
    columns = max(1, 1100 // (width + 3 * GAP))
    rows = -(-len(cells) // columns)
    page = Image.new("RGB", (columns * (width + 3 * GAP), rows * (height + GAP)), "white")
    for i, cell in enumerate(cells):
        page.paste(to_pil(cell), (i % columns * (width + 3 * GAP), i // columns * (height + GAP)))
    return page


def class_sheet(side: int = 56, columns: int = 10) -> Image.Image:
    """Lay out images of every class, in the order of the labels."""
    pictures = []
    for number, (name, subject) in enumerate(SUBJECTS.items()):
        for i in range(columns):
            variant = subject.variants[i % len(subject.variants)]
            pictures.append(draw(name, variant=variant, size=64, seed=1, index=number * columns + i))
    return tile(torch.stack(pictures), 2 * columns, side)


def _class_table(names: tuple[str, ...], labels: torch.Tensor, said: torch.Tensor) -> str:
    lines = ["| class | kind | variants | accuracy | most frequent error |", "|---|---|---|--:|---|"]
    for k, name in enumerate(names):
        answers = said[labels == k]
        counts = torch.bincount(answers, minlength=len(names))
        right = counts[k].item() / len(answers)
        counts[k] = 0
        worst = counts.argmax().item()
        other = f"{names[worst]} ({counts[worst].item() / len(answers):.1%})" if counts[worst] else ""
        subject = SUBJECTS[name]
        lines.append(f"| {name} | {subject.kind} | {', '.join(subject.variants)} | {right:.1%} | {other} |")
    return "\n".join(lines)


def _confusions(names: tuple[str, ...], labels: torch.Tensor, said: torch.Tensor, count: int = 8) -> str:
    matrix = torch.zeros(len(names), len(names), dtype=torch.long)
    matrix.index_put_((labels, said), torch.ones_like(labels), accumulate=True)
    wrong = matrix.clone().fill_diagonal_(0)
    top = wrong.flatten().topk(count)
    return "\n".join(
        f"- {names[i // len(names)]} classified as {names[i % len(names)]}: {n} of {int(matrix[i // len(names)].sum())}"
        for n, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        if n
    )


def _at_border(layer: Layer, peaks: Peaks, side: int) -> list[int]:
    """Return the units whose peaks all lie at the border: a quarter of the receptive field or more is beyond it."""
    field, stride, slack = layer.receptive_field[0], layer.stride[0], layer.receptive_field[0] / 4

    def beyond(position: torch.Tensor, start: float) -> torch.Tensor:
        low = start + position * stride - (field - 1) / 2
        return (low < -slack) | (low + field > side + slack)

    outside = beyond(peaks.y, layer.start[0]) | beyond(peaks.x, layer.start[1])
    return outside.all(dim=1).nonzero().flatten().tolist()


def _unit_table(found: list[Layer], dead: dict[str, list[int]], peaks: dict[str, Peaks], side: int) -> str:
    lines = ["| layer | units | receptive field | dead units | at the border |", "|---|--:|--:|--:|--:|"]
    for layer in found:
        # A receptive field of more than half the image reaches past the border nearly everywhere.
        whole = layer.receptive_field[0] > side / 2
        border = "-" if whole else str(len(_at_border(layer, peaks[layer.name], side)))
        gone = dead[layer.name]
        names = f": {', '.join(map(str, gone))}" if gone else ""
        lines.append(
            f"| {layer.name} | {layer.channels} | {layer.receptive_field[0]} px | "
            f"{len(gone)} ({len(gone) / layer.channels:.1%}){names} | {border} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.zoo.card", description="Write the model card.")
    parser.add_argument("reference", type=Path, nargs="?", default=REFERENCE, help="the reference network's weights")
    parser.add_argument("--out", type=Path, default=WEIGHTS.with_name("MODEL_CARD.md"), help="the card")
    parser.add_argument("--pictures", type=Path, default=Path("docs/img/zoo"), help="folder for its pictures")
    parser.add_argument("--images", type=int, default=14_000, help="held-out images to measure on")
    parser.add_argument("--skip-sheets", action="store_true", help="leave the layers' sheets as they are")
    given = parser.parse_args(argv)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    network, second = bundled(), load(given.reference)
    given.pictures.mkdir(parents=True, exist_ok=True)
    say("measuring the accuracy")
    images, labels = held_out(given.images)
    share, said = accuracy(network, images, labels)
    second_share, _ = accuracy(second, images, labels)
    larger = {size: accuracy(network, *held_out(1120, size))[0] for size in (96, 128)}
    peaks = find_peaks(network, images)
    found = [layer for layer in layers(network) if layer.kind == "Conv2d"]
    class_sheet().save(given.pictures / "classes.webp", quality=80, method=6)
    if not given.skip_sheets:
        for layer in found:
            say(f"drawing {layer.channels} units of {layer.name}")
            pictures = unit_pictures(network, layer, Recipe.preset("peek"), size=96)
            page = layer_sheet(pictures, peaks[layer.name], layer, images)
            page.save(given.pictures / f"{layer.name}.webp", quality=75, method=6)
    results = []
    for recipe in RECIPES:
        kept: list[torch.Tensor] = []
        keep = lambda name, seed, picture, kept=kept: kept.append(picture)  # noqa: E731
        results.append(measure(network, second, recipe, say=say, keep=keep))
        page = tile(torch.stack(kept), columns=4 * len(SEEDS), side=84)
        page.save(given.pictures / f"drawn-{recipe}.webp", quality=80, method=6)
    text = string.Template(Path(__file__).with_name("card.md.in").read_text("utf-8")).substitute(
        {f"network_{name}": value for name, value in network.facts.items()},
        accuracy=f"{share:.2%}",
        count=f"{given.images:,}",
        error=f"{1.96 * np.sqrt(share * (1 - share) / given.images):.2%}",
        larger=", ".join(f"{right:.0%} at {size} px" for size, right in larger.items()),
        reference_accuracy=f"{second_share:.2%}",
        parameters=f"{sum(p.numel() for p in network.parameters()):,}",
        megabytes=f"{WEIGHTS.stat().st_size / 1e6:.2f}",
        classes=_class_table(network.class_names, labels, said),
        confusions=_confusions(network.class_names, labels, said),
        units=_unit_table(found, dead_units(peaks), peaks, images.shape[-1]),
        naming=table(results),
        **{f"reference_{name}": value for name, value in second.facts.items()},
    )
    given.out.write_text(text, "utf-8")
    say(f"written: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

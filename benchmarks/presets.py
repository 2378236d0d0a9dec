"""Does every preset give a picture on every network, and one that its unit likes?

    python benchmarks/presets.py [--out presets] [--networks bundled,squeezenet,efficientnet_lite0] [--recipes ...]

On each network units chosen at random (fixed seed) of an early, a middle and a late layer, and classes, are drawn by
each recipe; by default by those that came from networks of another scale. Each picture is compared with the best of
250 real images, as in benchmarks/quality.py: PEEK_SHARED's photographs, for the bundled network images of its own kind.
Every picture is saved in --out with a line of JSON, and the next run draws only those that are missing; --out also
gets a sheet for each network and recipe.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget import Logit, Neuron, Recipe, ascend, zoo
from peek_widget.ascent import Objective, to_pil
from peek_widget.evidence import measures
from peek_widget.network import OUTPUT, Network, read
from tests.networks import shared, squeezenet

NETWORKS = {
    "bundled": (zoo.bundled, ("conv3", "conv4", "conv6", OUTPUT)),
    "squeezenet": (squeezenet, ("features.5", "features.9", "features.12", OUTPUT)),
    "efficientnet_lite0": (zoo.efficientnet_lite0, ("blocks.2", "blocks.5", "blocks.10", OUTPUT)),
}
DEFAULT = ("yosinski-2015-1", "yosinski-2015-2", "yosinski-2015-3", "yosinski-2015-4", "maco-2023")


def real_images(name: str) -> Tensor:
    """Return the real images of a network, ``[250, 3, S, S]`` in [0, 1]."""
    if name == "bundled":
        images = zoo.Images(250, size=64, seed=0)
        return torch.stack([images[n][0] for n in range(len(images))])
    found = []
    for path in sorted((shared() / "data" / "imagenet-samples").glob("*.jpg")):
        with Image.open(path) as image:
            found.append(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255.0)
    return torch.stack(found)


def subjects(network: Network, layers: tuple[str, ...], count: int) -> list[Objective]:
    """Return random units of each layer, and classes."""
    chosen: list[Objective] = []
    for number, layer in enumerate(layers):
        order = torch.randperm(network.layer(layer).channels, generator=torch.Generator().manual_seed(number))
        chosen += [Logit(unit) if layer == OUTPUT else Neuron(layer, unit) for unit in order[:count].tolist()]
    return chosen


def contrast(picture: Tensor, field: int) -> float:
    """Return the root mean square contrast of a picture ``[3, S, S]``: the standard deviation of its luminance.

    Args:
        picture: the picture.
        field: side in pixels of the unit's receptive field, in the middle of the picture; what lies beyond is gray.
    """
    edge = max(0, (picture.shape[-1] - field) // 2)
    picture = picture[:, edge : picture.shape[-1] - edge, edge : picture.shape[-1] - edge]
    luminance = (picture * torch.tensor([0.2126, 0.7152, 0.0722]).view(3, 1, 1)).sum(0)
    return float(luminance.std())


def field(network: Network, one: Objective) -> int:
    """Return the side in pixels of the receptive field of the unit of an objective."""
    return max(network.layer(one.layers[0]).receptive_field)


def draw(network: Network, one: Objective, recipe: Recipe, path: Path) -> dict:
    """Draw a picture and save it; return what is known of the run."""
    start = time.perf_counter()
    run = ascend(network, one, recipe)
    first = contrast(run.images[0], field(network, one))
    result = run.run(progress=False)
    to_pil(result.images[0]).save(path)
    return {
        "seconds": time.perf_counter() - start,
        "initial contrast": first,
        "initial activation": float(result.history[0, 0]),
        "highest activation": float(result.history.max()),
    }


def measured(network: Network, one: Objective, recipe: Recipe, path: Path, natural: dict) -> dict:
    """Measure a saved picture, since that is what a person sees."""
    with Image.open(path) as image:
        picture = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255.0
    found = measures.score(network, [one], picture[None], natural, recipe)[0]
    return {
        "over best": found.activation_ratio,
        "beats": found.exceeds_best,
        # A picture that its unit doesn't like has no robustness.
        "robust": 0.0 if math.isnan(found.robustness) else found.activation_ratio * found.robustness,
        "rank": found.rank,
        "flaw": found.flaw,
        "contrast": contrast(picture, field(network, one)),
    }


def sheet(paths: list[Path], target: Path, columns: int, side: int = 160) -> None:
    """Save pictures on one sheet."""
    rows = -(-len(paths) // columns)
    paper = Image.new("RGB", (columns * (side + 2), rows * (side + 2)), "white")
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            small = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        paper.paste(small, (number % columns * (side + 2), number // columns * (side + 2)))
    paper.save(target)


def row(name: str, recipe: str, found: list[dict]) -> str:
    """Return the line of the table for the pictures of a network and a recipe."""

    def share(values: list[bool]) -> str:
        return f"{sum(values)} of {len(values)}"

    cells = [
        name,
        recipe,
        share([not one["flaw"] for one in found]),
        share([one["contrast"] > one["initial contrast"] for one in found]),
        f"{statistics.median(one['contrast'] for one in found):.3f}",
        f"{statistics.median(one['over best'] for one in found):.2f}",
        share([one["beats"] for one in found]),
        f"{statistics.median(one['robust'] for one in found):.2f}",
        f"{statistics.median(one['rank'] for one in found):.0f}",
        f"{statistics.mean(one['seconds'] for one in found):.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("presets"), help="folder of pictures and sheets")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--recipes", default=",".join(DEFAULT))
    parser.add_argument("--units", type=int, default=3, help="units of each of three layers, and classes")
    parser.add_argument("--steps", type=int, help="steps in place of the recipe's")
    parser.add_argument("--size", type=int, help="size in place of the recipe's")
    parser.add_argument("--views", type=int, help="views in place of the recipe's, where it has several")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = [
        "| network | recipe | sound | more contrast than at first | contrast | over best | beats 250 | robust "
        "| rank | s |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in options.networks.split(","):
        make, layers = NETWORKS[name]
        network = read(make())
        natural = measures.dataset_statistics(network, real_images(name), layers)
        for preset in options.recipes.split(","):
            recipe = Recipe.preset(preset)
            changes = {"steps": options.steps, "size": options.size, "n_views": options.views}
            if recipe.n_views == 1:
                del changes["n_views"]
            recipe = recipe.replace(**{field: value for field, value in changes.items() if value is not None})
            folder = options.out / name / f"{preset}-{hashlib.sha256(recipe.to_json().encode()).hexdigest()[:8]}"
            folder.mkdir(parents=True, exist_ok=True)
            found, paths = [], []
            for one in subjects(network, layers, options.units):
                path = folder / f"{one.layers[0] or 'class'}-{one.unit}.png"
                record = path.with_suffix(".json")
                if not record.exists():
                    known = draw(network, one, recipe, path)
                    record.write_text(json.dumps(known | measured(network, one, recipe, path, natural)))
                found.append(json.loads(record.read_text()))
                paths.append(path)
                shown = {key: round(v, 3) if isinstance(v, float) else v for key, v in found[-1].items()}
                print(name, preset, one, shown, file=sys.stderr, flush=True)
            sheet(paths, options.out / f"{name}-{preset}.png", options.units)
            lines.append(row(name, preset, found))
            print(lines[-1], flush=True)
    (options.out / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

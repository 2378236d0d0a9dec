"""How well contributions foretell measured effects, on real networks; and what they cost.

    python benchmarks/circuit.py [--units 100] [--crops 9] [--networks squeezenet lite0 bundled] [--out circuit.jsonl]
    python benchmarks/circuit.py --speed

For units by lot (the same ones with the same ``--seed``) the effect of *every* unit of a lower layer is measured by
holding it at its median, and compared with the contributions, at three distances:

- ``below``: the layer that is read directly;
- ``further``: through a ReLU and a further convolution, to the layer that the layer below reads;
- ``blocks``: three blocks down;

each with the gradient on the image alone (``_one``), with integrated gradients, all units moving together (``_all``),
and with contributions as they are computed, a group of units moving at a time. Printed are Spearman's rank correlation
over all units of the lower layer (median and lowest), and in how many of the units the input with the largest effect is
among the three with the largest contribution. Each result is appended to
``--out`` at once; the same call goes on where it was stopped. ``--speed``: the contributions of one unit on nine
crops, divided by a forward and backward of the same crops up to the unit's layer, alternating within one run. Real
networks and images: PEEK_SHARED or ../shared.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget import LayerError, read, zoo
from peek_widget.circuits.measure import Inputs, rank_correlation, statistics_of
from peek_widget.circuits.reads import reads_of
from peek_widget.circuits.shown import Examples, examples_of
from peek_widget.evidence import top_crops
from peek_widget.network import Network
from tests.networks import shared, squeezenet

WAYS: dict[str, Callable[[Inputs], list[torch.Tensor]]] = {
    "": Inputs.contributions,
    "_one": Inputs.by_gradient,
    "_all": lambda inputs: inputs.by_groups(1, 8),
}


def photos() -> list[Path]:
    return sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))


def generated() -> list[Any]:
    images = zoo.Images(240, size=64, seed=1)
    return [images[number][0] for number in range(len(images))]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], list[Any]]]] = {
    "squeezenet": (squeezenet, photos),
    "lite0": (zoo.efficientnet_lite0, photos),
    "bundled": (zoo.bundled, generated),
}


def lower(network: Network, layer: str) -> str | None:
    """Return the nearest layer that a layer reads; None for the first."""
    found = [one.layer for one in reads_of(network, layer) if one.layer is not None]
    return found[-1] if found else None


def blocks_down(network: Network, layer: str) -> str | None:
    """Return the layer three blocks below: three modules of the same container, or of the same kind, earlier."""
    names = [one.name for one in network.layers if one.primary]
    block = {name: ".".join(name.split(".")[:2]) for name in names}
    order = list(dict.fromkeys(block[name] for name in names if name))
    at = order.index(block[layer]) if layer else len(order)
    if at < 3:
        return None
    return [name for name in names if block[name] == order[at - 3]][-1]


def distances(network: Network, layer: str) -> dict[str, str]:
    """Return the lower layers that a layer is compared with, by distance."""
    below = lower(network, layer)
    found = {"below": below, "further": None if below is None else lower(network, below)}
    found["blocks"] = blocks_down(network, layer)
    return {name: one for name, one in found.items() if one is not None}


def lot(network: Network, count: int, seed: int) -> list[tuple[str, int]]:
    """Draw units by lot: a layer that has three blocks below it, then a unit of it."""
    layers = [one for one in network.layers if one.primary and one.name]
    layers = [one for one in layers if "blocks" in distances(network, one.name)]
    draws = random.Random(seed)
    return [(one.name, draws.randrange(one.channels)) for one in (draws.choice(layers) for _ in range(count))]


def compare(
    network: Network, examples: Examples, layer: str, unit: int, below: str, crops: int
) -> list[dict[str, Any] | None]:
    """Measure the effects of all units of a lower layer once, and compare contributions by each of the WAYS."""
    shown = examples.of(network, layer, unit, crops)
    assert shown is not None
    try:
        reads = reads_of(network, layer, [below])
    except LayerError:
        return [None] * len(WAYS)  # (a block that is read by no path)
    medians = {value: one[0] for value, one in statistics_of(network, reads, examples, shown).items()}
    inputs = Inputs(network, layer, unit, reads, shown, medians)
    contributions = [way(inputs)[0].mean(0) for way in WAYS.values()]
    used = inputs.kernels()[0].flatten(1).ne(0).any(1).nonzero().flatten().tolist()
    effects = torch.stack([inputs.effect(0, one).mean() for one in used]) if used else torch.zeros(0)
    if len(used) < 4 or not float(effects.abs().max()) > 0.0:
        return [None] * len(WAYS)
    best = int(effects.abs().argmax())
    return [
        {
            "correlation": rank_correlation(one[used], effects),
            "top3": best in one[used].abs().topk(3).indices.tolist(),
            "inputs": len(used),
        }
        for one in contributions
    ]


def accuracy(options: argparse.Namespace) -> None:
    out = Path(options.out)
    done = [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.is_file() else []
    known = {tuple(one["key"]) for one in done}
    for name in options.networks:
        make, images = NETWORKS[name]
        network = read(make())
        units = lot(network, options.units, options.seed)
        wanted = [unit for unit in units if (name, *unit, options.crops) not in known]
        if wanted:
            print(f"{name}: {len(wanted)} of {len(units)} units to measure", flush=True)
            given = images()
            names = list(dict.fromkeys(layer for layer, _ in wanted))
            evidence = top_crops(network, names, given, options.crops, progress=False)
            examples = examples_of(network, evidence)
            assert examples is not None
            for layer, unit in wanted:
                began = time.process_time()
                row: dict[str, Any] = {"key": [name, layer, unit, options.crops]}
                for distance, below in distances(network, layer).items():
                    found = compare(network, examples, layer, unit, below, options.crops)
                    row |= dict(zip((distance + way for way in WAYS), found, strict=True))
                row["seconds"] = round(time.process_time() - began, 2)
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                done.append(row)
        mine = [one for one in done if one["key"][0] == name and one["key"][3] == options.crops]
        print(f"{name}, {len(mine)} units by lot, {options.crops} crops each")
        for distance in [one + way for one in ("below", "further", "blocks") for way in WAYS]:
            rows = [one[distance] for one in mine if one.get(distance)]
            if rows:
                known = [one["correlation"] for one in rows]
                # Where no gradient comes through (a closed ReLU), contributions say nothing: counted as zero.
                closed = sum(math.isnan(one) for one in known)
                found = [0.0 if math.isnan(one) else one for one in known]
                hits = sum(one["top3"] for one in rows)
                print(
                    f"  {distance:12s} rank correlation {statistics.median(found):.3f} in the median, lowest "
                    f"{min(found):.3f}; top input among the three first in {hits} of {len(rows)}"
                    + (f"; no gradient in {closed}" if closed else "")
                )


def speed(options: argparse.Namespace) -> None:
    print("contributions of one unit on nine crops / forward and backward of these crops, median of rounds")
    for name in options.networks:
        make, images = NETWORKS[name]
        network = read(make())
        middle = [one.name for one in network.layers if one.primary and one.spatial and one.name]
        for layer in (middle[len(middle) // 2], middle[-1]):
            evidence = top_crops(network, layer, images()[:32], 9, progress=False)
            examples = examples_of(network, evidence)
            assert examples is not None
            shown = examples.of(network, layer, 5, 9)
            assert shown is not None
            reads = reads_of(network, layer)
            medians = {value: one[0] for value, one in statistics_of(network, reads, examples, shown).items()}
            ratios = []
            for _ in range(options.rounds):
                began = time.process_time()
                given = shown.inputs.clone().requires_grad_()
                values = network.run(given, [layer])[layer][:, 5]
                torch.autograd.grad(values.flatten(1).amax(1).sum(), given)
                between = time.process_time()
                Inputs(network, layer, 5, reads, shown, medians).contributions()
                ratios.append((time.process_time() - between) / (between - began))
            print(f"  {name:10s} {layer:24s} {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=100, help="number of units by lot of each network")
    parser.add_argument("--crops", type=int, default=9)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--out", default="circuit.jsonl")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    (speed if options.speed else accuracy)(options)


if __name__ == "__main__":
    main()

"""What it costs to find the images that excite every unit, beside a bare forward pass with the same loader.

    python benchmarks/evidence.py [--images 250] [--rounds 5] [--threads 1] [--quick]

On SqueezeNet 1.0 with its ImageNet weights and the 250 real images (PEEK_SHARED or ../shared). The bare pass is
what nobody could do without: load, normalise, and run the network's own modules up to the deepest layer asked
for. Both take turns in each round, because these machines are noisy; what is said is the median over rounds
of the ratio within a round (images a second of the pass over images a second of the bare one).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget.evidence import EvidencePass
from peek_widget.evidence.dataset import Source, read_source
from peek_widget.evidence.loading import load_batches, usual_workers
from peek_widget.network import Network, read
from tests.networks import shared, squeezenet

BATCH = 32
LAYERS: dict[str, tuple[str, ...]] = {
    "1 layer (features.12)": ("features.12",),
    "2 layers (fire8, fire9)": ("features.10", "features.12"),
    "4 layers (fire2, 5, 8, 9)": ("features.3", "features.7", "features.10", "features.12"),
    "all 8 fires": tuple(f"features.{i}" for i in (3, 4, 5, 7, 8, 9, 10, 12)),
}


def files(count: int) -> Source:
    """So many of the real images, again from the first when they run out."""
    found = sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))
    return read_source([found[i % len(found)] for i in range(count)])


def bare(model: nn.Module, network: Network, source: Source, deepest: str, workers: int) -> float:
    """Images a second of loading, normalising and a forward of the modules up to ``features.N``."""
    part = model.features[: int(deepest.split(".")[1]) + 1].to(memory_format=torch.channels_last)
    preparer = EvidencePass(network, deepest, source).findings.preparer
    began = time.perf_counter()
    with torch.inference_mode():
        for batch in load_batches(source, preparer, range(len(source)), BATCH, workers):
            part(network.preprocess(batch.images.float().div_(255.0)))
    return len(source) / (time.perf_counter() - began)


def ours(network: Network, source: Source, layers: Sequence[str], k: int, workers: int) -> float:
    """Images a second of the pass."""
    work = EvidencePass(network, layers, source, k, batch_size=BATCH, workers=workers)
    began = time.perf_counter()
    work.run()
    return len(source) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one and two layers at k = 9 only")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = squeezenet()
    network = read(model)
    source = files(options.images)
    workers = usual_workers()
    print(f"{options.images} images of 256 px, {options.rounds} rounds, {options.threads} threads, {workers} loaders")

    print("\nby layers (k = 9), and by k (2 layers): images a second bare, with the pass, and the ratio")
    cases = [(name, layers, 9) for name, layers in list(LAYERS.items())[: 2 if options.quick else None]]
    if not options.quick:
        cases += [(f"2 layers, k = {k}", LAYERS["2 layers (fire8, fire9)"], k) for k in (1, 25, 100)]
    for name, layers, k in cases:
        rates = []
        for _ in range(options.rounds):
            one = bare(model, network, source, layers[-1], workers)
            rates.append((one, ours(network, source, layers, k, workers)))
        ratios = sorted(two / one for one, two in rates)
        first, second = (statistics.median(r) for r in zip(*rates, strict=True))
        print(
            f"  {name:26s} {first:6.1f} {second:6.1f}   {statistics.median(ratios):.3f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )

    print("\nloading and computing, 2 layers: seconds for the images")
    rates = []
    for _ in range(options.rounds):
        began = time.perf_counter()
        preparer = EvidencePass(network, "features.12", source).findings.preparer
        for _batch in load_batches(source, preparer, range(len(source)), BATCH, 0):
            pass
        load = time.perf_counter() - began
        after, beside = (
            len(source) / ours(network, source, LAYERS["2 layers (fire8, fire9)"], 9, n) for n in (0, workers)
        )
        rates.append((load, after, beside))
    load, after, beside = (statistics.median(r) for r in zip(*rates, strict=True))
    print(f"  loading alone {load:.2f}, one after the other {after:.2f}, loading beside computing {beside:.2f}")
    print(f"\nprojected from the last: 100,000 images in {100_000 * beside / len(source) / 3600:.1f} h")


if __name__ == "__main__":
    main()

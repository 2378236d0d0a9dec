"""Cost of a pass over a dataset for the examples of every unit, compared with a bare forward pass.

    python benchmarks/evidence.py [--images 128] [--rounds 6] [--threads 1] [--quick] [--only groups]

On SqueezeNet 1.0 with its ImageNet weights and the 250 real images (PEEK_SHARED or ../shared). The bare pass does
what cannot be avoided: load with the same loader, normalize, and run the network's own modules up to the deepest layer.
Both alternate within each round, because the machines are noisy; reported is the median over rounds of the ratio
within a round: images per second of the pass divided by those of the bare one, by wall time and by CPU time, which
other processes disturb less. The histograms of groups are compared with a pass that keeps none, in the same way.
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
from peek_widget.evidence.loading import LoaderOptions, default_workers, load_batches
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
    """Return ``count`` of the real images, repeated if there are fewer."""
    found = sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))
    return read_source([found[i % len(found)] for i in range(count)])


class Spent:
    """Wall time and CPU time (all threads) of a ``with`` block, in seconds."""

    def __enter__(self) -> Spent:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.clock, self.processor = time.perf_counter() - self._began[0], time.process_time() - self._began[1]


def bare(model: nn.Module, network: Network, source: Source, deepest: str, workers: int) -> Spent:
    """Measure loading, normalizing and a forward pass of the modules up to ``features.N``."""
    part = model.features[: int(deepest.split(".")[1]) + 1].to(memory_format=torch.channels_last)
    preparer = EvidencePass(network, deepest, source).example_index.preparer
    with Spent() as spent, torch.inference_mode():
        for batch in load_batches(source, preparer, range(len(source)), BATCH, workers):
            part(network.preprocess(batch.images.float().div_(255.0)))
    return spent


def ours(network: Network, source: Source, layers: Sequence[str], k: int, workers: int) -> Spent:
    """Measure the pass."""
    work = EvidencePass(network, layers, source, k, loader=LoaderOptions(batch_size=BATCH, workers=workers))
    with Spent() as spent:
        work.run()
    return spent


def with_groups(network: Network, source: Source, layers: Sequence[str], kept: bool) -> Spent:
    """Measure the pass with histograms of 29 groups, or with none."""
    groups = {f"group {number}": range(number, 250, 29) for number in range(29)}
    work = EvidencePass(network, layers, source, 9, groups=groups, loader=LoaderOptions(batch_size=BATCH))
    if not kept:
        work.example_index.without_groups()
    with Spent() as spent:
        work.run()
    return spent


def groups(network: Network, source: Source, rounds: int) -> None:
    for name, layers in list(LAYERS.items())[:2]:
        pairs = []
        for number in range(rounds):
            order = (True, False) if number % 2 else (False, True)
            tried = {kept: with_groups(network, source, layers, kept) for kept in order}
            pairs.append((tried[True], tried[False]))
        print(
            f"  {name:26s} with histograms of 29 groups, time by that without: {ratios(pairs, 'clock')} by wall clock, "
            f"{ratios(pairs, 'processor')} by CPU time",
            flush=True,
        )


def ratios(of: Sequence[tuple[Spent, Spent]], which: str) -> str:
    """Describe the ratios of pairs of times: median, smallest and largest."""
    found = sorted(getattr(one, which) / getattr(two, which) for one, two in of)
    return f"{statistics.median(found):.3f} ({found[0]:.2f} to {found[-1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one and two layers at k = 9 only")
    parser.add_argument("--only", choices=("groups",))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = squeezenet()
    network = read(model)
    source = files(options.images)
    workers = default_workers()
    print(f"{options.images} images of 256 px, {options.rounds} rounds, {options.threads} threads, {workers} loaders")

    labelled = [(one, index % 250) for index, one in enumerate(source.items)]
    print("\nhistograms of groups")
    groups(network, read_source(labelled), options.rounds)
    if options.only == "groups":
        return

    print("\nby layers (k = 9), and by k: images per second bare and with the pass; ratio by wall time; by CPU time")
    cases = [(name, layers, 9) for name, layers in list(LAYERS.items())[: 2 if options.quick else None]]
    two = LAYERS["2 layers (fire8, fire9)"]
    if not options.quick:
        cases += [(f"2 layers, k = {k}", two, k) for k in (1, 25, 100)]
    for name, layers, k in cases:
        spent = []
        for number in range(options.rounds):
            tried = {}
            for which in ("bare", "ours") if number % 2 else ("ours", "bare"):
                tried[which] = (
                    bare(model, network, source, layers[-1], workers)
                    if which == "bare"
                    else ours(network, source, layers, k, workers)
                )
            spent.append((tried["bare"], tried["ours"]))
        first, second = (statistics.median(len(source) / s.clock for s in part) for part in zip(*spent, strict=True))
        print(
            f"  {name:26s} {first:6.1f} {second:6.1f}   {ratios(spent, 'clock')}   {ratios(spent, 'processor')}",
            flush=True,
        )

    print("\nloading and computing, 2 layers: wall time in seconds")
    rounds = []
    for _ in range(options.rounds):
        preparer = EvidencePass(network, "features.12", source).example_index.preparer
        with Spent() as loading:
            for _batch in load_batches(source, preparer, range(len(source)), BATCH, 0):
                pass
        rounds.append((loading.clock, *(ours(network, source, two, 9, n).clock for n in (0, workers))))
    load, after, beside = (statistics.median(part) for part in zip(*rounds, strict=True))
    print(f"  loading alone {load:.2f}, then computing {after:.2f}, both in parallel {beside:.2f}")
    print(f"\nprojected from the last: 100,000 images in {100_000 * beside / len(source) / 3600:.1f} h")


if __name__ == "__main__":
    main()

"""How a pass over photographs scales with the workers of an executor, and what it costs the process that merges.

    python benchmarks/cluster.py [--images 256] [--rounds 2] [--dask]

SqueezeNet's fire8 over the real images (PEEK_SHARED or ../shared). Images per second with 1 and 2 workers of one thread
each, taking turns, once they are started and have the model; and CPU milliseconds of this process for each shard that
it merges, from which follows how many workers one process can serve.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget.evidence import EvidencePass, top_crops
from peek_widget.evidence.store import index_bytes, index_of_bytes
from peek_widget.network import read
from tests.networks import shared, squeezenet

LAYER = "features.10"
SHARD = 1024  # images, of a large dataset


@contextlib.contextmanager
def workers(count: int, dask: bool) -> Iterator[Executor]:
    if dask:
        from dask.distributed import Client, LocalCluster

        with (
            LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield client.get_executor()
        return
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        yield pool


def merging() -> None:
    """Measure what it costs to receive and merge the evidence of a shard."""
    network = read(squeezenet(), 224)
    names = sorted(map(str, (shared() / "data" / "imagenet-samples").glob("*.jpg")))[:16]
    groups = {f"group {number}": [number] for number in range(29)}
    work = EvidencePass(network, LAYER, [(name, index % 29) for index, name in enumerate(names)], groups=groups)
    work.run()
    data = index_bytes(work.example_index)
    whole = index_of_bytes(data)
    spent = []
    for _ in range(10):
        began = time.thread_time()
        whole.merge(index_of_bytes(data))
        spent.append(time.thread_time() - began)
    each = statistics.median(spent)
    print(f"512 units, 29 groups: {len(data) / 1e6:.1f} MB from a shard, merged in {1000 * each:.0f} ms of CPU time")
    for rate in (30, 100):
        print(
            f"  shards of {SHARD} images from workers of {rate} images a second: this process is busy with "
            f"{SHARD / rate / each:.0f} workers, who send {len(data) / 1e6 * rate / SHARD:.2f} MB a second each"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dask", action="store_true", help="Dask's workers in place of a ProcessPoolExecutor's")
    options = parser.parse_args()
    torch.set_num_threads(1)
    merging()
    found = sorted(map(str, (shared() / "data" / "imagenet-samples").glob("*.jpg")))
    names = [found[number % len(found)] for number in range(options.images)]
    network = read(squeezenet(), 224)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for count in rates:
            with workers(count, options.dask) as executor:
                top_crops(network, LAYER, names[:64], batch_size=16, executor=executor, progress=False)
                began = time.perf_counter()
                top_crops(network, LAYER, names, batch_size=16, executor=executor, progress=False)
                rates[count].append(len(names) / (time.perf_counter() - began))
    medians = {count: statistics.median(each) for count, each in rates.items()}
    print(
        f"images per second: {medians[1]:.1f} with 1 worker, {medians[2]:.1f} with 2 ({medians[2] / medians[1]:.2f} x)"
    )


if __name__ == "__main__":
    main()

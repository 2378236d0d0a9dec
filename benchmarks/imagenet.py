"""A pass at ImageNet's size: memory, size of the file, time to resume and to merge, without ImageNet.

    python benchmarks/imagenet.py [--images 1280000] [--units 128] [--kind dataset|stream]

The images are generated (8 x 8 px, 1000 labels, 29 groups) and the network is one convolution over them, so that what
is left is the pass itself. It is interrupted halfway, resumed from its file, and ended. Printed: resident memory after
every sixteenth of the images, size of the file beside the one that follows from units, k and groups, seconds until a
resumed pass has its first batch; and the sizes of two parts of 32, and the seconds for merging them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget.evidence import EvidencePass, LoaderOptions, Progress, merge_evidence

K = 9
GROUPS = 29


class Generated(torch.utils.data.Dataset):
    """So many images by number, each another one."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pool = np.random.default_rng(0).integers(0, 256, (4096, 8, 8, 3), np.uint8)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        image = self.pool[index % 4096].copy()
        image[0, 0] = index % 251, index // 251 % 251, index // 63001 % 251
        return image, index * 7919 % 1000


class Streamed:
    """The same, as a generator gives them."""

    def __init__(self, images: Generated) -> None:
        self.images = images

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        return (self.images[index] for index in range(len(self.images)))


def resident() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def expected(units: int, groups: int) -> float:
    """Return the size in MB that follows from what is kept of each unit."""
    histograms = 2 * 1025 * 4 + (1 + groups) * 64 * 4 + 16
    return units * (histograms + 2 * K * (4 + 8 + 8) + 16) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_280_000)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--kind", choices=("dataset", "stream"), default="dataset")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, options.units, 8), nn.Flatten())
    images = Generated(options.images)
    dataset: Any = images if options.kind == "dataset" else Streamed(images)
    groups = {f"group {number}": range(number, 1000, 34) for number in range(GROUPS)}
    loader = LoaderOptions(batch_size=1024)

    memory: list[tuple[int, float]] = []

    def watched(progress: Progress) -> None:
        if progress.done // (options.images // 16) > len(memory):
            memory.append((progress.done, resident()))
            done, rate = f"{progress.done:9,} images", f"{progress.rate:7.0f} a second"
            print(f"  {done}   {memory[-1][1]:6.0f} MB   {rate}", flush=True)

    def begun(store: Path | None, **more: Any) -> EvidencePass:
        return EvidencePass(
            model, "0", dataset, K, groups=groups, loader=loader, input_size=8, preprocess="none", store=store, **more
        )

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "evidence.safetensors"

        def note(progress: Progress) -> None:
            watched(progress)
            if progress.done >= options.images // 2:
                work.stop()

        print(f"{options.images:,} images by a {options.kind}, {options.units} units, {GROUPS} groups")
        print(f"before: {resident():.0f} MB")
        work = begun(store)
        work.run(note)
        half, due = store.stat().st_size / 1e6, expected(options.units, GROUPS)
        print(f"interrupted after {work.progress.done:,}; its file {half:.2f} MB, expected {due:.2f}")
        first: list[float] = []

        def resumed(progress: Progress) -> None:
            if not first:
                first.append(time.perf_counter() - began)
            watched(progress)

        began = time.perf_counter()
        work = begun(store)
        work.run(resumed)
        grown = memory[-1][1] - memory[1][1]
        print(f"resumed: the first batch after {first[0]:.2f} s; {work.example_index.count:,} images in the end")
        print(
            f"file: {store.stat().st_size / 1e6:.2f} MB; memory from the second sixteenth to the end: {grown:+.0f} MB"
        )
        began = time.perf_counter()
        work.evidence.save(store)
        print(f"a save: {time.perf_counter() - began:.2f} s")
        if options.kind == "dataset":
            parts = []
            for number in (0, 31):  # the first and the last of 32
                part = begun(Path(folder) / f"{number}.safetensors", shard=(number, 32))
                part.run()
                parts.append(Path(folder) / f"{number}.safetensors")
            sizes = [part.stat().st_size / 1e6 for part in parts]
            began = time.perf_counter()
            merge_evidence(parts)
            print(
                f"parts of {options.images // 32:,} images: {sizes[0]:.2f} and {sizes[1]:.2f} MB; two merged in "
                f"{time.perf_counter() - began:.2f} s"
            )


if __name__ == "__main__":
    main()

"""What a pass over photographs spends its time on, and what each quicker way of reading them gains.

    python benchmarks/decoding.py [--images 1000] [--rounds 3] [--only stages|pass|apart] [--ways "threads=1" default]

1. *Stages*: CPU milliseconds of one thread for an image, of each stage of reading 500 x 375 px JPEGs, and of the
   network.
2. *Pass*: images per second of ``top_crops`` over them with SqueezeNet's fire8, from file to evidence: on one thread
   and on all cores, with ``decoding="fast"`` and ``precision="bf16"``, and with two workers of an executor; taking
   turns. Also CPU seconds, which other processes disturb less.
3. *Apart*: how far the results are from the exact ones, on the 250 real images.

The photographs are the 250 real images (PEEK_SHARED or ../shared), enlarged to 500 x 375 px and saved with quality 90,
four times each.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.io import decode_jpeg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget.evidence import EvidencePass, LoaderOptions, top_crops
from peek_widget.evidence.layer_index import LayerIndex
from peek_widget.network import read
from tests.networks import shared, squeezenet

LAYER = "features.10"  # fire8
SIZE = (500, 375)


def photographs(folder: Path, count: int) -> list[str]:
    """Write so many JPEGs, and return their names."""
    found = sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))
    names = []
    for number in range(count):
        path = folder / f"{number:05d}.jpg"
        if number < len(found):
            image = Image.open(found[number]).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
            image.save(path, quality=90)
        else:
            path.write_bytes((folder / f"{number % len(found):05d}.jpg").read_bytes())
        names.append(str(path))
    return names


def stages(names: list[str]) -> None:
    names = names[:64]
    data = [Path(name).read_bytes() for name in names]
    buffers = [torch.frombuffer(bytearray(one), dtype=torch.uint8) for one in data]

    def decoded(one: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(one))
        image.load()
        return image

    images, tensors = [decoded(one) for one in data], [decode_jpeg(one) for one in buffers]
    small = [one.resize((298, 224), Image.Resampling.BILINEAR) for one in images]
    network = read(squeezenet(), 224)
    batch = torch.rand(32, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    values = network.run(batch, [LAYER])[LAYER]
    index = LayerIndex(values.shape[1], tuple(values.shape[2:]), 9)
    numbers = [0]

    def gather() -> None:
        index.update(values, torch.arange(32) + numbers[0], [(0,)] * 32)
        numbers[0] += 32

    def quickly() -> None:
        with network.model_copy.computing_in(torch.bfloat16):
            network.run(batch, [LAYER])

    def resized(one: torch.Tensor) -> torch.Tensor:
        return F.interpolate(one[None], size=(224, 298), mode="bilinear", antialias=True)

    every: dict[str, tuple[Callable[[], Any], int]] = {
        "read the file": (lambda: [Path(name).read_bytes() for name in names], 64),
        "decode (Pillow)": (lambda: [decoded(one) for one in data], 64),
        "decode (torchvision)": (lambda: [decode_jpeg(one) for one in buffers], 64),
        "resize (Pillow)": (lambda: [one.resize((298, 224), Image.Resampling.BILINEAR) for one in images], 64),
        "resize (torch, uint8)": (lambda: [resized(one) for one in tensors], 64),
        "crop, to a tensor": (
            lambda: [torch.from_numpy(np.array(one.crop((37, 0, 261, 224)))).permute(2, 0, 1) for one in small],
            64,
        ),
        "network, float32": (lambda: network.run(batch, [LAYER]), 32),
        "network, bf16": (quickly, 32),
        "evidence": (gather, 32),
    }
    print("CPU milliseconds for an image, one thread, least of five")
    with torch.inference_mode():
        for name, (function, count) in every.items():
            function()
            spent = []
            for _ in range(5):
                began = time.thread_time()
                function()
                spent.append(time.thread_time() - began)
            print(f"  {name:24s} {1000 * min(spent) / count:6.2f}", flush=True)


_QUICK: dict[str, Any] = {"decoding": "fast", "precision": "bf16"}

WAYS: dict[str, dict[str, Any]] = {
    "threads=1": {"threads": 1},
    "threads=1, decoding='fast'": {"threads": 1, "decoding": "fast"},
    "threads=1, decoding='fast', bf16": {"threads": 1, **_QUICK},
    "default": {},
    "decoding='fast'": {"decoding": "fast"},
    "decoding='fast', bf16": _QUICK,
    "2 threads as executor, fast, bf16": {"executor": ThreadPoolExecutor, **_QUICK},
    "2 processes as executor": {"executor": ProcessPoolExecutor},
    "2 processes as executor, fast, bf16": {"executor": ProcessPoolExecutor, **_QUICK},
}
"""Ways to make the pass. By default each core computes batches of its own; the first is what the others are compared
with."""


def workers(kind: Any) -> Executor | None:
    if kind is ProcessPoolExecutor:
        return ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
    return None if kind is None else kind(2)


def spent() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def busy() -> float:
    """Return for how many seconds of a core the machine was busy since it was started; NaN where it does not say."""
    try:
        user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    except OSError:
        return float("nan")
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def whole(names: list[str], rounds: int, only: Sequence[str] = ()) -> None:
    network = read(squeezenet(), 224)
    reference = next(iter(WAYS))
    ways = {name: way for name, way in WAYS.items() if not only or name in (reference, *only)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    shares: list[float] = []
    for _ in range(rounds):
        for name, way in ways.items():
            options = dict(way)
            pool = workers(options.pop("executor", None))
            if pool is not None:  # its start and its imports are not what is measured
                top_crops(network, LAYER, names[:128], executor=pool, progress=False, **options)
            before, began, of_all = spent(), time.perf_counter(), busy()
            top_crops(network, LAYER, names, executor=pool, progress=False, **options)
            seconds[name].append(time.perf_counter() - began)
            if pool is not None:
                pool.shutdown()
            processes = isinstance(pool, ProcessPoolExecutor)
            said = f"  {name}: {len(names) / seconds[name][-1]:.1f} a second"
            if processes:
                processor[name].append(float("nan"))  # it is known once they have ended, with that of their start
            else:
                processor[name].append(spent() - before)
                cores = seconds[name][-1] * (os.cpu_count() or 1)
                shares.append(max(0.0, (busy() - of_all - processor[name][-1]) / cores))
                said += f" (others: {shares[-1]:.0%})"
            print(said, flush=True)
    print(
        f"\nimages per second of {len(names)} JPEGs of {SIZE[0]} x {SIZE[1]} px, median (and range) of {rounds} "
        "rounds; times as many as the first, median of the ratios in each round; CPU ms each"
    )
    print(f"  (others took {min(shares):.0%} to {max(shares):.0%} of the cores; {datetime.now():%Y-%m-%d %H:%M})")
    for name in ways:
        rates = [len(names) / one for one in seconds[name]]
        times = statistics.median(a / b for a, b in zip(seconds[reference], seconds[name], strict=True))
        print(
            f"  {name:36s} {statistics.median(rates):6.1f} ({min(rates):.1f} to {max(rates):.1f})   {times:.2f} x   "
            f"{1000 * statistics.median(processor[name]) / len(names):6.2f}",
            flush=True,
        )


def apart() -> None:
    """Compare on the real images, enlarged."""
    with tempfile.TemporaryDirectory() as folder:
        names = photographs(Path(folder), 250)
        network = read(squeezenet(), 224)
        exact = top_crops(network, LAYER, names, progress=False)
        pixels = []
        ways = [LoaderOptions(decoding=how) for how in ("exact", "fast")]
        preparers = [EvidencePass(network, LAYER, names, loader=way).example_index.preparer for way in ways]
        from peek_widget.evidence.dataset import read_source
        from peek_widget.evidence.loading import load_one

        source = read_source(names)
        for number in range(50):
            one, other = (load_one(source, preparer, number).pixels.int() for preparer in preparers)
            pixels.append((one - other).abs().float())
        apart_by = torch.stack(pixels)
        print(f"\npixels as loaded: {apart_by.mean():.2f} gray levels apart on average, at most {apart_by.max():.0f}")
        for name in ("decoding='fast'", "decoding='fast', bf16"):
            quick = top_crops(network, LAYER, names, progress=False, **WAYS[name])
            difference = (quick.tops() - exact.tops()).abs() / exact.tops().abs().clamp(min=1.0)
            same = [
                len({c.index for c in a.top} & {c.index for c in b.top}) / 9 for a, b in zip(exact, quick, strict=True)
            ]
            print(
                f"{name}: top activations {100 * difference.median():.2f} % apart (median; 99th percentile "
                f"{100 * difference.flatten().quantile(0.99):.1f} %); of the top nine images {100 * np.mean(same):.1f} "
                "% are the same",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=(), help="ways to make the pass")
    parser.add_argument("--only", choices=("stages", "pass", "apart"))
    options = parser.parse_args()
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        names = photographs(Path(folder), max(options.images, 64))
        if options.only in (None, "stages"):
            stages(names)
        if options.only in (None, "pass"):
            torch.set_num_threads(cores)
            whole(names[: options.images], options.rounds, options.ways)
    if options.only in (None, "apart"):
        apart()


if __name__ == "__main__":
    main()

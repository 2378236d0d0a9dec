"""Cost of a contact sheet, compared with single units and with torch-lucent 0.1.8, and with one worker and two.

    pip install -e ".[bench,sheet]"
    python benchmarks/sheet.py [--rows a,b,c,d,e] [--rounds 5] [--steps 48] [--units 16]

SqueezeNet 1.0 with its ImageNet weights (PEEK_SHARED or ../shared), one CPU thread.

a  Seconds per unit: a sheet of ``--units`` units (``contact_sheet(...).draw()``, with batches, PNGs and activations),
   the same units one at a time by ``render``, and one at a time by torch-lucent, with the same number of steps. In a
   middle layer channels on the same canvas, 128 px (Lucent's default, which it enlarges to 224 px for the network) and
   224 px for both; in an early layer center neurons, which are drawn from their receptive field (with the values and
   gradients of the whole canvas: tests/sheet/test_gradient.py). The three alternate in each round, and the median of
   the ratios within a round is reported. The clock is the CPU time of the process.
b  Peak memory beyond the loaded model, each in a process of its own.
c  Units per second of a ProcessPoolExecutor with one worker and with two, by wall time, after each has drawn a first
   batch; how often the model was sent, and its bytes; and the time that the caller needs for a unit (checking, saving),
   which limits the rate of any number of workers.
d  Where the time goes: drawing, measuring and encoding, saving in a store.
e  CPU seconds for the preview of a unit of EfficientNet-Lite0's last convolution, with PNG and activation; and for all
   of its 1,280 units on two cores.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import engine
from peek_widget import Recipe, contact_sheet, render, zoo
from peek_widget.ascent import unit_objective
from peek_widget.network import read
from peek_widget.sheet.batches import draw, finish, plan
from peek_widget.sheet.seeds import unit_seed
from tests.networks import squeezenet

# layer, kind of objective, canvas in pixels, required speedup over Lucent
CASES = (
    ("features.7", "channel", 128, 4.0),
    ("features.7", "channel", 224, None),
    ("features.3", "neuron", 128, 20.0),
    ("features.3", "neuron", 160, None),
)


def recipe_of(canvas: int, steps: int) -> Recipe:
    return Recipe.preset("peek").replace(size=canvas, steps=steps)


def sheet_of(network: Any, layer: str, kind: Any, canvas: int, options: argparse.Namespace, **more: Any) -> Any:
    recipe = recipe_of(canvas, options.steps)
    units = more.pop("units", range(options.units))
    return contact_sheet(network, layer, recipe, units=units, objective=kind, threads=1, **more)


def by_lucent(model: Any, layer: str, kind: str, canvas: int, unit: int, steps: int) -> None:
    objectives = engine.optvis()[0]
    make = objectives.channel if kind == "channel" else objectives.neuron
    size = {"fixed_image_size": 224} if canvas >= 224 else {}
    engine.lucent(model, make(layer.replace(".", "_"), unit), canvas, steps, **size)


def alone(network: Any, layer: str, kind: Any, canvas: int, unit: int, steps: int) -> None:
    seed = unit_seed(0, layer, unit)
    render(network, unit_objective(network, layer, unit, kind), recipe_of(canvas, steps), seed=seed).pil()


def row_a(options: argparse.Namespace) -> None:
    print(
        f"\n(a) CPU milliseconds per unit of {options.steps} steps; sheets of {options.units} units; medians of rounds"
    )
    print(f"{'layer':11} {'':8} {'canvas':>6} {'sheet':>8} {'alone':>8} {'Lucent':>8}  alone/sheet  Lucent/sheet  goal")
    clock = engine.Clock("cpu", 1)
    for layer, kind, canvas, goal in CASES:
        network, theirs = read(squeezenet()), squeezenet()
        pairs = engine.Pairs()
        for number in range(options.rounds + 1):
            unit = number % options.units
            sheet = sheet_of(network, layer, kind, canvas, options)
            seconds = {
                "sheet": clock.timed(sheet.draw) / options.units,
                "alone": clock.timed(partial(alone, network, layer, kind, canvas, unit, options.steps)),
                "lucent": clock.timed(
                    # a fresh copy, because Lucent leaves 67 hooks on the model each time
                    partial(by_lucent, copy.deepcopy(theirs), layer, kind, canvas, unit, options.steps)
                ),
            }
            for name, value in seconds.items():
                if number:  # the first round warms up
                    pairs.add(name, value)
        print(
            f"{layer:11} {kind:8} {canvas:6d} "
            + " ".join(f"{1e3 * pairs.median(name):8.0f}" for name in ("sheet", "alone", "lucent"))
            + f"  {pairs.ratio('alone', 'sheet'):10.2f}x {pairs.ratio('lucent', 'sheet'):12.1f}x"
            + (f"  {goal:g}x" if goal else ""),
            flush=True,
        )


def row_b(options: argparse.Namespace) -> None:
    print("\n(b) peak memory beyond the loaded model, in MB")
    print(f"{'layer':11} {'':8} {'canvas':>6} {'sheet':>8} {'alone':>8} {'Lucent':>8}")
    for number, (layer, kind, canvas, _) in enumerate(CASES):
        used = {}
        for who in ("sheet", "alone", "lucent"):
            command = [sys.executable, __file__, "--memory", who, str(number)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            used[who] = float(done.stdout.split()[-1])
        print(f"{layer:11} {kind:8} {canvas:6d} " + " ".join(f"{value:8.0f}" for value in used.values()), flush=True)


def memory(who: str, number: int) -> float:
    layer, kind, canvas, _ = CASES[number]
    engine.optvis()
    model = squeezenet()
    network = read(model)
    few = argparse.Namespace(steps=3, units=16)
    Path("/proc/self/clear_refs").write_text("5")
    before = engine._status("VmRSS")
    if who == "sheet":
        sheet_of(network, layer, kind, canvas, few).draw()
    elif who == "alone":
        alone(network, layer, kind, canvas, 0, 3)
    else:
        by_lucent(model, layer, kind, canvas, 0, 3)
    return engine._status("VmHWM") - before


def row_c(options: argparse.Namespace) -> None:
    layer, kind, canvas = "features.3", "neuron", 128
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"\n(c) {layer}, {kind}, {canvas} px, {options.steps} steps, in processes; {cores} cores, load {load()}")
    network, rates, caller = read(squeezenet()), {1: [], 2: []}, []
    units = min(64, network.layer(layer).channels)
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as one,
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as two,
    ):
        for count, pool in ((1, one), (2, two)):
            few = {"units": range(8), "batch": 1, "seed": 9}  # so that each worker gets some
            first = sheet_of(network, layer, kind, canvas, options, executor=pool, **few).draw()
            print(f"{count} worker{'s' * (count > 1)}: the model was sent as {first.transfers}")
        for _ in range(options.rounds):
            for count, pool in ((1, one), (2, two)):
                with tempfile.TemporaryDirectory() as store:
                    sheet = sheet_of(
                        network, layer, kind, canvas, options, units=range(units), executor=pool, batch=8, store=store
                    )
                    wall, own = time.perf_counter(), time.process_time()
                    sheet.draw()
                    rates[count].append(units / (time.perf_counter() - wall))
                    caller.append((time.process_time() - own) / units)
    for count, found in rates.items():
        print(f"{count} worker{'s' * (count > 1)}: {statistics.median(found):6.2f} units per second, median of {found}")
    ratio = statistics.median(b / a for a, b in zip(rates[1], rates[2], strict=True))
    per_unit = statistics.median(caller)
    single = statistics.median(rates[1])
    print(f"2 workers by 1: {ratio:.2f}x (median of rounds)")
    print(f"the caller: {1e3 * per_unit:.1f} ms of CPU per unit, so at most {1 / per_unit:.0f} units per second")
    print("projected, if each worker has a core of its own and the caller's time is added:")
    for workers in (4, 8, 16, 64):
        rate = 1.0 / (1.0 / (workers * single) + per_unit)
        print(f"  {workers:3d} workers: {rate:7.1f} units per second ({rate / single:.1f}x), with as many batches")


def row_d(options: argparse.Namespace) -> None:
    print(f"\n(d) CPU milliseconds per unit of {options.steps} steps")
    print(f"{'layer':11} {'':8} {'canvas':>6} {'steps':>8} {'PNG':>8} {'saved':>8} {'bytes':>8}")
    clock = engine.Clock("cpu", 1)
    for layer, kind, canvas, _ in CASES:
        network = read(squeezenet())
        units = range(min(8, options.units))
        drawn: list[float] = []
        ends: list[float] = []
        kept: list[float] = []
        size = 0
        for _ in range(options.rounds):
            for batch in plan(network, layer, recipe_of(canvas, options.steps), units, objective=kind):
                run = draw(network, batch, fingerprint="0" * 16)
                for _ in range(options.steps - 1):
                    drawn.append(clock.timed(partial(next, run)) / len(batch.units))
                ends.append(clock.timed(partial(finish, run)) / len(batch.units))
            quick = argparse.Namespace(steps=1, units=len(units))
            with tempfile.TemporaryDirectory() as store:
                bare = clock.timed(sheet_of(network, layer, kind, canvas, quick).draw)
                full = sheet_of(network, layer, kind, canvas, quick, store=store)
                kept.append((clock.timed(full.draw) - bare) / len(units))
                size = sum(len(one.png) for one in full.done.values()) // len(units)
        step = statistics.median(drawn)
        print(
            f"{layer:11} {kind:8} {canvas:6d} {1e3 * step * options.steps:8.0f} "
            f"{1e3 * (statistics.median(ends) - step):8.1f} {1e3 * statistics.median(kept):8.1f} {size:8d}",
            flush=True,
        )


def row_e(options: argparse.Namespace) -> None:
    print("\n(e) CPU seconds for the preview of a unit of EfficientNet-Lite0's head, peek")
    clock = engine.Clock("cpu", 1)
    network = read(zoo.efficientnet_lite0())
    warm_up, *batches = plan(network, "head", "peek", range(4 * (options.rounds + 1)), draft=True)
    finish(draw(network, warm_up, fingerprint="0" * 16))
    seconds = []
    for batch in batches:
        seconds.append(clock.timed(lambda b=batch: finish(draw(network, b, fingerprint="0" * 16))) / len(batch.units))
    channels = network.layer("head").channels
    each = statistics.median(seconds)
    print(f"{warm_up.steps} steps: median {each:.3f} ({min(seconds):.3f} to {max(seconds):.3f})")
    print(f"all {channels} units, each of two cores: {channels * each / 2:.0f} s")


def load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


ROWS = {"a": row_a, "b": row_b, "c": row_c, "d": row_d, "e": row_e}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="a,b,c,d,e", help="rows to run, e.g. a,c")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        print(memory(options.memory[0], int(options.memory[1])))
        return
    rows = options.rows.split(",")
    if unknown := [row for row in rows if row not in ROWS]:
        parser.error(f"no row {', '.join(unknown)}: there are {', '.join(ROWS)}")
    print(f"torch {torch.__version__}, 1 thread, {options.rounds} rounds, load {load()}; not run on a GPU")
    for row in rows:
        ROWS[row](options)


if __name__ == "__main__":
    main()

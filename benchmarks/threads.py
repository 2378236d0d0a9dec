"""What drawing takes on a busy machine, with one thread, with torch's number, and with the one that is chosen.

    python benchmarks/threads.py [--busy 0 1 2] [--steps 22] [--rounds 3]

Draws a unit of the bundled network while so many other processes do nothing but keep a core busy each. The columns are
the median seconds of a run, taking turns; the ratio is to one thread under the same load.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget import Neuron, Recipe, render, zoo
from peek_widget._threads import usual_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], help="other processes")
    parser.add_argument("--steps", type=int, default=22)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model, recipe = zoo.bundled(), Recipe.preset("peek-fast").replace(steps=options.steps)
    every = torch.get_num_threads()
    counts = {"1 thread": 1, f"torch's own ({every})": every, f"left out ({usual_threads()})": None}

    def seconds(threads: int | None) -> float:
        began = time.perf_counter()
        render(model, Neuron("conv5", 7), recipe, threads=threads, progress=False)
        return time.perf_counter() - began

    seconds(1)
    print(f"{'others':>6} " + " ".join(f"{name:>20} {'ratio':>6}" for name in counts))
    for busy in options.busy:
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        try:
            taken = [{name: seconds(count) for name, count in counts.items()} for _ in range(options.rounds)]
        finally:
            for other in others:
                other.kill()
                other.wait()
        found = {name: statistics.median(one[name] for one in taken) for name in counts}
        alone = found["1 thread"]
        print(f"{busy:6} " + " ".join(f"{time:18.2f} s {time / alone:5.1f}x" for time in found.values()), flush=True)


if __name__ == "__main__":
    main()

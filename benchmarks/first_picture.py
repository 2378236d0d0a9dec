"""Time from a model to a picture: reading the model, the first step, all steps.

    python benchmarks/first_picture.py [--threads 2] [--rounds 3]

On SqueezeNet 1.0 with its ImageNet weights (PEEK_SHARED or ../shared). Times are medians over alternating
rounds, because the machines are noisy. The ratio compares the ascent with a bare loop (forward, backward, Adam on
pixels) of as many steps, through the same layers, on images of the same size, measured in the same round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget import Logit, Neuron
from peek_widget.ascent import Ascent, Objective
from peek_widget.network import read
from tests.networks import squeezenet

OBJECTIVES: dict[str, Objective] = {
    "class (logit)": Logit(130),
    "late unit (features.12)": Neuron("features.12", 10),
    "middle unit (features.7)": Neuron("features.7", 10),
    "early unit (features.3)": Neuron("features.3", 10),
}


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Return the seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def bare(ascent: Ascent, steps: int) -> None:
    """Make the steps of a bare loop: forward and backward pass of the network, and an optimizer."""
    group = ascent._evaluator.groups[0]
    image = torch.rand(1, 3, group.view.side, group.view.side, requires_grad=True)
    optimizer = torch.optim.Adam([image], lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        value = ascent.objectives[0](ascent.network.run(ascent.preprocess(image), group.layers))
        (-value.sum()).backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = squeezenet()
    reading = [timed(lambda: read(model))[0] for _ in range(options.rounds)]
    print(f"reading the model: {statistics.median(reading):.2f} s   ({options.threads} threads)")
    network = read(model)
    print(f"{'peek recipe':26} {'view':>5} {'first step':>11} {'picture':>9} {'steps/s':>8} {'of a bare loop':>15}")
    for name, objective in OBJECTIVES.items():
        first, whole, ratios = [], [], []
        for _ in range(options.rounds):
            seconds, ascent = timed(lambda o=objective: (a := Ascent(network, o), a.step())[0])
            first.append(seconds)
            rest, _ = timed(lambda a=ascent: [a.step() for _ in range(a.steps - 1)])
            whole.append(seconds + rest)
            ratios.append(timed(lambda a=ascent: bare(a, a.steps))[0] / (seconds + rest))
        total, side = statistics.median(whole), ascent._evaluator.groups[0].view.side
        print(
            f"{name:26} {side:3d}px {statistics.median(first):9.2f} s {total:7.1f} s {150 / total:8.1f} "
            f"{statistics.median(ratios):14.2f}x"
        )


if __name__ == "__main__":
    main()

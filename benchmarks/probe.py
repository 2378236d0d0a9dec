"""Time of the probe of a model, beside that of reading it without.

    python benchmarks/probe.py [--threads 2] [--rounds 5]

On torchvision's SqueezeNet 1.0 and ResNet-50 (or others, by name), with random weights, at 224 px. Times are the least of
the rounds, since other work on the machine only adds to them. It has to take at most 0.5 s on SqueezeNet and 2 s on
ResNet-50.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
import torchvision

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peek_widget.network import probe, read

LIMITS = {"squeezenet1_0": 0.5, "resnet50": 2.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["squeezenet1_0", "resnet50"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{'model':22} {'reading':>9} {'probe':>9} {'limit':>7}   found   ({options.threads} threads)")
    too_slow = False
    for name in options.models:
        model = torchvision.models.get_model(name, weights=None).eval()
        reading, probing = [], []
        for _ in range(options.rounds):
            began = time.perf_counter()
            network = read(model, probe=False)
            reading.append(time.perf_counter() - began)
            began = time.perf_counter()
            found = probe.probe_anew(network)
            probing.append(time.perf_counter() - began)
        seconds, limit = min(probing), LIMITS.get(name)
        too_slow = too_slow or (limit is not None and seconds > limit)
        allowed = "" if limit is None else f"{limit:.1f} s"
        print(f"{name:22} {min(reading):7.2f} s {seconds:7.2f} s {allowed:>7}   {found}")
    if too_slow:
        raise SystemExit("The probe takes longer than it may.")


if __name__ == "__main__":
    main()

"""Time of the probe of a model, beside that of reading it without.

    python benchmarks/probe.py [--threads 1] [--rounds 5]

On torchvision's SqueezeNet 1.0 and ResNet-50 (or others, by name), with random weights, at 224 px. It has to take at
most 0.5 s on SqueezeNet and 2 s on ResNet-50.

Times are the least of the rounds, since other work on the machine only adds to them; "processor" is the processor's
time, which for one thread is the time on a machine that does nothing else.
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
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{'model':22} {'reading':>9} {'probe':>9} {'processor':>10} {'limit':>7}   found   ({options.threads} threads)"
    )
    too_slow = False
    for name in options.models:
        model = torchvision.models.get_model(name, weights=None).eval()
        reading, probing, computing = [], [], []
        for _ in range(options.rounds):
            began = time.perf_counter()
            network = read(model, probe=False)
            reading.append(time.perf_counter() - began)
            began, computed = time.perf_counter(), time.process_time()
            found = probe.probe_anew(network)
            probing.append(time.perf_counter() - began)
            computing.append(time.process_time() - computed)
        seconds, limit = min(*probing, *computing), LIMITS.get(name)
        too_slow = too_slow or (limit is not None and seconds > limit)
        allowed = "" if limit is None else f"{limit:.1f} s"
        print(f"{name:22} {min(reading):7.2f} s {min(probing):7.2f} s {min(computing):8.2f} s {allowed:>7}   {found}")
    if too_slow:
        raise SystemExit("The probe takes longer than it may.")


if __name__ == "__main__":
    main()

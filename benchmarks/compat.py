"""Compatibility with every classification architecture of torchvision, or of timm.

    python benchmarks/compat.py --out compat.jsonl [--only resnet18 vit_b_16] [--timm] [--timeout 1800]

Weights are random, because the question is whether an architecture can be read and drawn, not what its units look for.
Each is examined in a process of its own with at most 16 GB: its layers are read and all run in one forward pass; two
steps are made for a unit of an early, a middle and the last spatial layer, and for a logit. Every number must be
finite, no picture flat, and the model unchanged, bit for bit. Each adds one line of JSON to ``--out``; architectures
that are already there are not examined again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
import warnings
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

MEMORY = 16 * 2**30
STEPS = 2


def names(timm: bool) -> list[str]:
    """Return the names of all architectures of the library."""
    if timm:
        import timm as library

        return library.list_models()
    import torchvision

    return torchvision.models.list_models(module=torchvision.models)


def build(name: str, timm: bool) -> nn.Module:
    """Make an architecture with random weights, faster than by the libraries' own initialization."""
    block = torch.randn(2**16, generator=torch.Generator().manual_seed(0))

    def draw(tensor: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
        scale = 0.0 if tensor.ndim < 2 else math.sqrt(1.5 / max(1, tensor[0].numel()))
        with torch.no_grad():
            flat = tensor.view(-1)
            for begin in range(0, flat.numel(), block.numel()):
                part = flat[begin : begin + block.numel()]
                part.copy_(block[: part.numel()] * scale)
        return tensor

    kinds = (
        "uniform_",
        "normal_",
        "trunc_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "xavier_uniform_",
        "xavier_normal_",
        "orthogonal_",
    )
    for kind in kinds:
        setattr(nn.init, kind, draw)
    if timm:
        import timm as library

        model = library.create_model(name, pretrained=False)
    else:
        import torchvision

        more = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        model = torchvision.models.get_model(name, weights=None, **more)
    for key, parameter in model.named_parameters():
        # A head initialized to zero has no gradient, and a block whose norm is zero has dead units.
        if parameter.ndim > 1 and not bool(parameter.any()):
            draw(parameter)
        elif key.endswith("weight") and not bool(parameter.any()):
            nn.init.ones_(parameter)
    return model


def portrait(model: nn.Module) -> dict[str, Any]:
    """Describe a model for comparison, its tensors by checksum."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    modules = dict(model.named_modules())
    return {
        "contents": {k: zlib.crc32(t.detach().contiguous().view(-1).numpy().data) for k, t in tensors.items()},
        "storage": {k: (t.data_ptr(), t.requires_grad, t.grad is None) for k, t in tensors.items()},
        "training": {k: m.training for k, m in modules.items()},
        "attributes": {k: sorted(vars(m)) for k, m in modules.items()},
        "hooks": {k: [len(v) for a, v in vars(m).items() if a.endswith("_hooks")] for k, m in modules.items()},
    }


def examine(name: str, timm: bool) -> dict[str, Any]:
    """Read and draw one architecture, and return its measurements.

    Raises:
        Exception: for anything that goes wrong.
    """
    from peek_widget import Logit, Neuron, ascend
    from peek_widget.network import read

    torch.manual_seed(0)
    model = build(name, timm)
    before = portrait(model)
    start = time.perf_counter()
    network = read(model)
    found: dict[str, Any] = {"read_s": round(time.perf_counter() - start, 1), "input_size": network.input_size}
    primary = [layer for layer in network.layers if layer.primary]
    spatial = [layer for layer in primary if layer.spatial]
    found |= {"layers": len(network.layers), "primary": len(primary), "spatial": len(spatial)}
    if not spatial:
        raise AssertionError("no primary layer is spatial")

    image = torch.rand(1, network.channels, network.input_size, network.input_size)
    with torch.no_grad():
        values = network.run(network.preprocess(image), [layer.name for layer in network.layers])
    for layer in network.layers:
        value = values.pop(layer.name)
        expected = (1, layer.channels, *layer.size)
        if tuple(value.shape) not in (expected, expected[:2]):
            raise AssertionError(f"{layer.name} should have shape {expected} and has {tuple(value.shape)}")
        if not bool(torch.isfinite(value).all()):
            raise AssertionError(f"{layer.name} has a number that is not finite")

    chosen = [spatial[0], spatial[len(spatial) // 2], spatial[-1]]
    objectives = [*(Neuron(layer.name, layer.channels // 2) for layer in chosen), Logit(network.layer("").channels - 1)]
    found["drawn"] = {}
    for objective in objectives:
        start = time.perf_counter()
        for step in ascend(network, objective, "peek"):
            if not bool(torch.isfinite(step.images).all()) or not math.isfinite(step.activation):
                raise AssertionError(f"{objective!r}: a number that is not finite")
            if float(step.images.std()) == 0.0:
                raise AssertionError(f"{objective!r}: a flat picture")
            if step.index + 1 == STEPS:
                break
        found["drawn"][repr(objective)] = round((time.perf_counter() - start) / STEPS, 2)
    if portrait(model) != before:
        raise AssertionError("the model was changed")
    return found


def child(name: str, timm: bool) -> None:
    """Examine one architecture in this process and print the line of JSON."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.filterwarnings("ignore")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    start = time.perf_counter()
    line: dict[str, Any] = {"name": name, "ok": True, "why": ""}
    try:
        line |= examine(name, timm)
    except Exception as error:
        short = isinstance(error, MemoryError) or "allocate memory" in str(error) or "bad alloc" in str(error)
        line |= {"ok": False, "why": "does not fit 16 GB" if short else f"{type(error).__name__}: {error}"}
    line["seconds"] = round(time.perf_counter() - start, 1)
    line["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    print(json.dumps(line))


def spawn(name: str, timm: bool, timeout: float) -> dict[str, Any]:
    """Examine one architecture in a process of its own, and return its line."""
    command = [sys.executable, __file__, "--child", name, *(["--timm"] if timm else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"name": name, "ok": False, "why": f"not done in {timeout:g} s"}
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        tail = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return {"name": name, "ok": False, "why": f"the process ended with {done.returncode}: {tail}"}


def table(lines: list[dict[str, Any]]) -> str:
    """Return a table with a row for each architecture, and the totals."""
    rows = [f"{'architecture':24} {'layers':>6} {'primary':>7} {'read s':>6} {'all s':>6} {'GB':>5}  "]
    for line in sorted(lines, key=lambda one: one["name"]):
        numbers = (line.get(key, "") for key in ("layers", "primary", "read_s", "seconds", "peak_gb"))
        cells = "{:>6} {:>7} {:>6} {:>6} {:>5}".format(*numbers)
        rows.append(f"{line['name']:24} {cells}  {'ok' if line['ok'] else line['why']}")
    counts = Counter("ok" if line["ok"] else line["why"].split(":")[0] for line in lines)
    rows.append(f"{len(lines)} architectures: " + ", ".join(f"{count} {why}" for why, count in counts.most_common()))
    return "\n".join(rows)


def main() -> None:
    """Examine the chosen architectures that have no line yet, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("compat.jsonl"), help="file of JSON lines")
    parser.add_argument("--only", nargs="*", help="names of architectures, examined again if they are in the file")
    parser.add_argument("--timm", action="store_true", help="timm's architectures instead of torchvision's")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds for one architecture")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.timm)
        return
    lines = [json.loads(text) for text in given.out.read_text().splitlines()] if given.out.exists() else []
    latest = {line["name"]: line for line in lines}
    for name in given.only or [name for name in names(given.timm) if name not in latest]:
        latest[name] = line = spawn(name, given.timm, given.timeout)
        print(f"{name}: {'ok' if line['ok'] else line['why']} ({line.get('seconds', '-')} s)", flush=True)
        with given.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
    print(table(list(latest.values())))


if __name__ == "__main__":
    main()

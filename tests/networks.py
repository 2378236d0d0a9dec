"""Small networks that the tests look into, and where the real one lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget.network.preactivation import address_of


class Tiny(nn.Module):
    """Two convolutions, a pooling and a class layer; any size from 8 px up."""

    def __init__(self, channels: int = 3, classes: int = 5) -> None:
        super().__init__()
        self.edges = nn.Conv2d(channels, 6, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.forms = nn.Conv2d(6, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.classes = nn.Linear(8, classes)
        self.unused = nn.Conv2d(1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.edges(x), inplace=True))
        x = F.relu(self.norm(self.forms(x)))
        return self.classes(self.drop(x).mean(dim=(2, 3)))


class Fixed(nn.Module):
    """Its linear layer takes 16 px and no other size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 16 * 16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(F.relu(self.conv(x)).flatten(1))


class Planted(nn.Module):
    """One unit that looks for red, and nothing else: what its picture must be is known."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]])[:, :, None, None])
            self.conv.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv(x)).mean(dim=(2, 3))


def tiny(**kwargs: int) -> Tiny:
    torch.manual_seed(0)
    return Tiny(**kwargs)


def portrait(model: nn.Module) -> dict[str, Any]:
    """Everything of a module that a guest must find as it was."""
    hooks = [k for k in vars(model) if k.endswith("_hooks")]
    return {
        "parameters": {
            n: (address_of(p), p.detach().clone(), p.requires_grad, p.grad) for n, p in model.named_parameters()
        },
        "buffers": {n: (b.data_ptr(), b.clone()) for n, b in model.named_buffers()},
        "training": {n: m.training for n, m in model.named_modules()},
        "hooks": {n: {k: list(vars(m)[k]) for k in hooks} for n, m in model.named_modules()},
        "attributes": {n: sorted(vars(m)) for n, m in model.named_modules()},
        "device": {n: p.device for n, p in model.named_parameters()},
    }


def assert_same(before: Any, after: Any) -> None:
    if isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            assert_same(before[key], after[key])
    elif isinstance(before, (tuple, list)):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            assert_same(one, other)
    elif isinstance(before, torch.Tensor):
        assert torch.equal(before.to_dense(), after.to_dense())
    else:
        assert before == after


def shared() -> Path:
    """The folder with the real network and images; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    path = Path(os.environ.get("PEEK_SHARED", beside))
    if not (path / "models").is_dir():
        pytest.skip(f"no real network at {path}: set PEEK_SHARED to the folder that holds models/ and data/")
    return path


def squeezenet() -> nn.Module:
    """SqueezeNet 1.0 with its ImageNet weights."""
    from safetensors.torch import load_file
    from torchvision.models import squeezenet1_0

    path = shared() / "models" / "squeezenet1_0-imagenet-fp16.safetensors"
    model = squeezenet1_0()
    model.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return model.eval()

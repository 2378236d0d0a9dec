"""The precision that a network is drawn in follows a rule; the one that it is quicker in is found by trying."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from peek_widget import Ascent, Channel
from peek_widget.errors import LayerError, PeekError
from peek_widget.network import chosen_precision, quicker_precision, read, warm
from tests.networks import tiny


class Units(nn.Module):
    """A network that takes its time in one of the two precisions."""

    def __init__(self, slow_in_bf16: bool) -> None:
        super().__init__()
        self.inner, self.slow_in_bf16 = tiny(), slow_in_bf16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bf16 = torch.is_autocast_enabled("cpu")
        seen.append((bf16, len(x)))
        if bf16 == self.slow_in_bf16:
            time.sleep(0.05)
        return self.inner(x)


seen: list[tuple[bool, int]] = []  # not the model's: its copy begins each forward with the model's own


@pytest.fixture(autouse=True)
def _units(monkeypatch):
    # bfloat16 is computed on any CPU; whether it gains anything is what is tried
    monkeypatch.setattr(warm, "has_bf16", lambda _: True)
    monkeypatch.setattr("peek_widget.network.precision.has_bf16", lambda _: True)
    monkeypatch.setenv("PEEK_PROBE", "0")


@pytest.mark.parametrize(("slow_in_bf16", "quicker"), [(True, "float32"), (False, "bf16")])
def test_five_warm_steps_of_each_tell_which_is_quicker(slow_in_bf16, quicker):
    model = Units(slow_in_bf16)
    network = read(model, 32)
    seen.clear()
    state = torch.get_rng_state()
    assert quicker_precision(network, "inner.forms", images=3) == quicker
    assert seen == [(False, 3), (True, 3)] * 7, "they take turns; two of each don't count"
    assert torch.equal(torch.get_rng_state(), state)
    assert network.model_copy._kind is None
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_device_without_units_is_not_tried(monkeypatch):
    monkeypatch.setattr(warm, "has_bf16", lambda _: False)
    network = read(Units(False), 32)
    seen.clear()
    assert quicker_precision(network) == "float32"
    assert seen == []


def test_what_is_not_possible_is_refused():
    network = read(tiny(), 32)
    with pytest.raises(PeekError, match="images=0"):
        quicker_precision(network, images=0)
    with pytest.raises(LayerError, match="nowhere"):
        quicker_precision(network, "nowhere")


def large(groups: int = 1, kernel: int = 3) -> nn.Sequential:
    """A network of some seventy million multiplications on 32 px."""
    return nn.Sequential(nn.Conv2d(3, 64, kernel, padding=kernel // 2), nn.Conv2d(64, 128, 3, groups=groups))


class Tokens(nn.Module):
    """A network whose multiplications are those of a linear layer, at each position."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.mixing = nn.Conv2d(3, 64, 1), nn.Linear(64, 512)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mixing(self.patches(x).flatten(2).mT)


@pytest.fixture
def _smaller(monkeypatch):
    # so that a network for a test can be a large one
    monkeypatch.setattr(warm, "_LEAST_PRODUCTS", 10_000_000)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


@pytest.mark.usefixtures("_smaller")
def test_a_large_network_of_ordinary_convolutions_is_drawn_in_bfloat16():
    network = read(large(), 32)
    assert chosen_precision(network) == "bf16"
    assert chosen_precision(network, "float32") == "float32"
    chosen, asked, exact = (
        Ascent(network, Channel("1", 5), "peek-fast", size=32, precision=one) for one in (None, "bf16", "float32")
    )
    assert (chosen.precision, asked.precision, exact.precision) == ("bf16", "bf16", "float32")
    for run in (chosen, asked, exact):
        run.step()
    assert torch.equal(chosen.images, asked.images)
    assert not torch.equal(chosen.images, exact.images)


@pytest.mark.usefixtures("_smaller")
@pytest.mark.parametrize(
    "model",
    [
        tiny(),
        large(groups=2),
        large().double(),
        Tokens(),
        nn.Sequential(large(), nn.AdaptiveAvgPool2d(16), nn.Flatten(), nn.Linear(128 * 256, 100)),
    ],
    ids=["small", "grouped", "double", "of tokens", "mostly weights"],
)
def test_any_other_network_is_drawn_in_float32(model):
    assert chosen_precision(read(model, 32)) == "float32"


@pytest.mark.usefixtures("_smaller")
def test_other_hardware_draws_in_float32(monkeypatch):
    network = read(large(), 32)
    monkeypatch.setattr(warm, "has_bf16", lambda _: False)
    assert chosen_precision(network) == "float32"
    monkeypatch.setattr(warm, "has_bf16", lambda _: True)
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert chosen_precision(network) == "float32"

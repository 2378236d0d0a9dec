"""The precision that a network is quicker in is found by trying it."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from peek_widget.errors import LayerError, PeekError
from peek_widget.network import quicker_precision, read, warm
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

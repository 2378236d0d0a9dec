"""The optimizer computes what torch's classes do, without what they import."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal

import pytest
import torch

from peek_widget.ascent.optimizer import Optimizer

KINDS = {"adam": torch.optim.Adam, "nadam": torch.optim.NAdam}


@pytest.mark.parametrize("kind", ["adam", "nadam"])
def test_steps_are_those_of_torchs_class_to_the_last_bit(kind: Literal["adam", "nadam"]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, 3, 5, generator=generator)
    own, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    optimizer, reference = Optimizer(kind, own), KINDS[kind]([theirs], lr=0.1)
    for number in range(12):
        gradient, rate = torch.randn(2, 3, 5, generator=generator), 0.05 + 0.01 * number
        optimizer.step(gradient, rate)
        theirs.grad = gradient
        reference.param_groups[0]["lr"] = rate
        reference.step()
        assert torch.equal(own, theirs)
        if number == 5:  # as a resumed run does
            saved = {name: value.clone() for name, value in optimizer.state.items()}
            assert saved.keys() == reference.state[theirs].keys()
            optimizer = Optimizer(kind, own)
            optimizer.load(saved)


@pytest.mark.parametrize("kind", ["adam", "nadam"])
def test_steps_by_numbers_on_the_device_are_the_same_to_the_last_bit(kind: Literal["adam", "nadam"]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, 3, 50, generator=generator)
    own, other = start.clone(), start.clone()
    plain, by_rates = Optimizer(kind, own), Optimizer(kind, other)
    for number in range(12):
        gradient, rate = torch.randn(2, 3, 50, generator=generator), 0.05 + 0.01 * number
        plain.step(gradient, rate)
        by_rates.step_by(gradient, torch.tensor(by_rates.rates(rate), dtype=torch.float64).unbind())
        assert torch.equal(own, other), number
        assert plain.state.keys() == by_rates.state.keys()
        assert all(torch.equal(plain.state[name], by_rates.state[name]) for name in plain.state)


@pytest.mark.slow
def test_the_first_picture_does_not_wait_for_torchs_compiler_to_be_imported() -> None:
    script = (
        "import sys, torch\n"
        "from peek_widget import Ascent, zoo\n"
        "Ascent(zoo.bundled(), 'conv5:7').step()\n"
        "assert 'torch._dynamo' not in sys.modules, 'imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

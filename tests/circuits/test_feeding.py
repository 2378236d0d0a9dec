"""Whom a unit feeds, in networks whose circuits are set by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peek_widget import LayerError
from peek_widget.circuits import circuit
from peek_widget.circuits.feeding import CircuitOutput, _each_once
from tests.circuits.networks import ACROSS, DOT, DOWN, PICTURES, SIDE, Bypass, Stack, by_hand, lines


def test_the_units_and_classes_that_lose_most_measured_and_guessed():
    upper = by_hand({0: {ACROSS: 1.0}, 1: {DOWN: 1.0}, 2: {ACROSS: -0.5}}, 4, 3)
    classes = nn.Linear(4, 2)
    classes.weight.data = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
    model = Stack(lines(), nn.ReLU(), upper, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classes)
    model.class_names = ["line", "other"]
    table = circuit(model, "0", ACROSS, PICTURES, k=1).up()
    assert table.layer.tolist() == ["2", "2", "", ""]
    assert table.unit.tolist() == [0, 2, 0, 1]
    assert table.name.tolist() == ["", "", "line", "other"]
    assert table.effect.tolist()[:2] == pytest.approx([1.0, -0.5], abs=1e-5)
    assert table.guess.tolist() == pytest.approx(table.effect.tolist(), abs=1e-5)  # all that lies between is linear


def test_behind_a_relu_the_guess_differs_from_what_is_measured():
    gated = by_hand({0: {ACROSS: 1.0}}, 1, 3, bias=-0.9)  # 0.1 is left; held, nothing would be below zero
    model = Stack(lines(), nn.ReLU(), gated, nn.ReLU(), by_hand({0: {0: 1.0}}, 1, 1))
    table = circuit(model, "0", ACROSS, PICTURES, k=1).up()
    output = table[table.layer == ""].iloc[0]
    assert output.effect == pytest.approx(0.1, abs=1e-5)
    assert output.guess == pytest.approx(1.0, abs=1e-5)


def test_a_bypass_feeds_the_block_too():
    table = circuit(Bypass(), "first", ACROSS, PICTURES, k=1).up()
    assert {"block.inner"} <= set(table.layer)
    assert table.effect.abs().max() > 0


def test_a_function_with_a_gradient_only_once_leaves_the_guess_open():
    class Odd(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient: Tensor) -> Tensor:
            return gradient

    class Model(nn.Module):
        input_size = SIDE

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = lines(), by_hand({0: {ACROSS: 1.0}}, 1, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(Odd.apply(F.relu(self.first(x))))

    table = circuit(Model(), "first", ACROSS, PICTURES, k=1).up()
    assert table.effect.iloc[0] == pytest.approx(1.0, abs=1e-5)
    assert table.guess.isna().all() or table.guess.iloc[0] == pytest.approx(1.0, abs=1e-5)


def test_a_unit_that_a_block_only_passes_on_is_listed_once():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = by_hand({0: {ACROSS: 2.0}}, 1, 3), by_hand({0: {DOWN: 1.0}}, 1, 3)

        def forward(self, x):
            return torch.cat([self.left(x), self.right(x)], 1)

    table = circuit(Stack(lines(), nn.ReLU(), Block()), "0", ACROSS, PICTURES, k=1).up()
    assert table.layer.tolist() == ["2.left", ""]
    assert table.effect.tolist() == pytest.approx([2.0, 2.0], abs=1e-5)


def test_units_of_a_block_that_only_nearly_lose_the_same_are_all_listed():
    rows = [
        CircuitOutput("2", 0, "", 2.0002, 2.0002),
        CircuitOutput("2.inner", 0, "", 2.0, 2.0),
        CircuitOutput("2.inner", 1, "", 2.0002, 1.0),
        CircuitOutput("2", 1, "", 3.0, float("nan")),
        CircuitOutput("2.inner", 2, "", 3.0000001, float("nan")),
    ]
    assert _each_once(rows) == [*rows[:3], rows[4]]


def test_nothing_is_above_the_output():
    model = Stack(lines(), nn.ReLU(), by_hand({0: {DOT: 1.0}}, 1, 3))
    for name in ("", "2"):
        with pytest.raises(LayerError, match="no layer is above it"):
            circuit(model, name, 0, PICTURES).up()


def test_behind_a_block_that_only_adds_or_joins_the_next_layer_is_fed():
    class Net(nn.Module):
        input_size = SIDE

        def __init__(self):
            super().__init__()
            self.first, self.block = lines(), Adds()
            self.last = by_hand({0: {ACROSS: 1.0}, 1: {DOWN: 1.0}}, 2, 3)

        def forward(self, x):
            return self.last(self.block(F.relu(self.first(x))))

    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = by_hand({ACROSS: {ACROSS: 2.0}}, 3, 3)

        def forward(self, x):
            return x + self.inner(x)

    table = circuit(Net(), "block.inner", ACROSS, PICTURES, k=1).up()
    assert table.unit.tolist()[0] == 0
    assert table.effect.tolist()[0] == pytest.approx(2.0, abs=1e-5)

"""Units that read one unit of the layer before, whose ReLU is shut at the start: MobileNets' depthwise ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import Neuron, Recipe, ascend, render
from peek_widget.errors import AscentError
from peek_widget.network.redirect import Redirected

RELUS = {
    "ReLU": nn.ReLU(),
    "ReLU in place": nn.ReLU(inplace=True),
    "ReLU6": nn.ReLU6(),
    "ReLU6 in place": nn.ReLU6(inplace=True),
    "relu_": lambda: None,
    "clamp": lambda: None,
}


def rectify(kind, x):
    if kind == "relu_":
        return torch.relu_(x)
    return x.clamp(min=0) if kind == "clamp" else RELUS[kind](x)


class Depthwise(nn.Module):
    """As in a MobileNet: a convolution, a ReLU, a kernel for each unit; the first is given its value on gray."""

    def __init__(self, kind: str = "ReLU6", gray: float = -0.2) -> None:
        super().__init__()
        self.kind = kind
        self.expand = nn.Conv2d(3, 4, 3, padding=1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        with torch.no_grad():
            self.expand.bias[0] = gray - 0.5 * self.expand.weight[0].sum()
            self.depthwise.weight.abs_()

    def forward(self, x):
        return self.depthwise(rectify(self.kind, self.expand(x)))


def recipe(name: str = "peek") -> Recipe:
    return Recipe.preset(name).replace(steps=24)


def model(**given) -> Depthwise:
    torch.manual_seed(0)
    return Depthwise(**given).requires_grad_(False)


@pytest.mark.parametrize("kind", RELUS)
def test_a_unit_behind_a_shut_relu_is_drawn(kind) -> None:
    shut = model(kind=kind)
    with torch.no_grad():
        assert float(shut.expand(torch.full((1, 3, 9, 9), 0.5))[0, 0, 4, 4]) == pytest.approx(-0.2)
    values = [step.activation for step in ascend(shut, Neuron("depthwise", 0), recipe(), size=24, preprocess="none")]
    assert values[0] == pytest.approx(float(shut.depthwise.bias[0]), abs=1e-6)  # all it has is its bias
    assert values[-1] > values[0] + 0.02


def test_one_above_its_cap_is_drawn_when_it_is_to_be_lowered() -> None:
    capped = model(gray=6.1)
    long = recipe().replace(steps=40)
    values = [step.activation for step in ascend(capped, -Neuron("depthwise", 0), long, size=24, preprocess="none")]
    assert max(values) > values[0] + 0.05


def test_it_is_the_same_alone_and_beside_a_unit_that_needs_no_help() -> None:
    beside = render(model(), [Neuron("depthwise", 0), Neuron("depthwise", 1)], recipe().replace(steps=3), size=32)
    for picture, unit in zip(beside.images, (0, 1), strict=True):
        single = render(model(), Neuron("depthwise", unit), recipe().replace(steps=3), size=32).images[0]
        assert torch.equal(picture, single)
    assert not torch.equal(*beside.images)


def test_a_unit_that_nothing_can_open_is_said_to_be_dead() -> None:
    dead = model()
    dead.depthwise.weight[0] = 0.0
    with pytest.raises(AscentError, match="even with the ReLUs before it opened"):
        render(dead, Neuron("depthwise", 0), recipe(), size=32)


def test_gradients_are_the_ordinary_ones_wherever_there_are_any() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    weight = torch.randn(2, 3, 8, 8)
    (plain,) = torch.autograd.grad((F.relu6(4 * x) * weight).sum(), x)
    with Redirected():
        value = F.relu6(4 * x)
        (redirected,) = torch.autograd.grad((value * weight).sum(), x)
    assert torch.equal(value, F.relu6(4 * x))
    assert torch.equal(plain, redirected)


@pytest.mark.parametrize(("level", "below"), [(-1.0, True), (9.0, False)])
def test_a_shut_image_gets_what_would_open_it(level, below) -> None:
    x = torch.full((1, 1, 2, 2), level, requires_grad=True)
    weight = torch.tensor([[[[1.0, -2.0], [3.0, -4.0]]]])
    with Redirected():
        (gradient,) = torch.autograd.grad((F.relu6(x) * weight).sum(), x)
    assert torch.equal(gradient, weight.clamp(min=0) if below else weight.clamp(max=0))

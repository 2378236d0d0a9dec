"""ReLUs by other means than ``relu``: units are drawn, and measured, before them."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import Channel, Neuron, Recipe, render
from peek_widget.errors import AscentError
from peek_widget.network import Network, read
from tests.networks import assert_same, portrait

SHORT = Recipe.preset("peek").replace(steps=3, weight_noise=0.0, relu_leak=0.0, rivals=0.0)


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x > 0)


class OwnMask(Own):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        y = x.clone()
        y[x < 0] = 0
        return y


class OwnInPlace(Own):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x > 0)
        ctx.mark_dirty(x)
        return x.clamp_(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (mask,) = ctx.saved_tensors
        return gradient * mask


class OwnSetup(Own):
    @staticmethod
    def forward(x):
        return torch.where(x > 0, x, 0.0)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)


def zeroed(x):
    x = x.clone()
    x[x < 0] = 0
    return x


def zeroed_by_a_mask_of_its_own(x):
    negative = x < 0
    x = x * 1.0
    x[negative] = 0.0
    return x


THRESHOLD = nn.Threshold(0.0, 0.0)
RELUS = {
    "threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "nn.Threshold": lambda x: THRESHOLD(x),
    "threshold in place": lambda x: F.threshold(x, 0.0, 0.0, True),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "maximum of a scalar": lambda x: torch.maximum(torch.tensor(0.0), x),
    "max": lambda x: torch.max(x, torch.zeros(())),
    "fmax": lambda x: torch.fmax(x, torch.zeros(1)),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "where of zeros": lambda x: torch.where(x <= 0, torch.zeros_like(x), x),
    "where as a method": lambda x: x.where(x >= 0, torch.zeros(())),
    "mask": lambda x: x * (x > 0),
    "mask of floats": lambda x: (x > 0).to(x.dtype) * x,
    "mask, in place": lambda x: (x * 1).mul_((x >= 0).float()),
    "not negative": lambda x: x * ~(x < 0),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "clamp of a tensor": lambda x: x.clamp(min=torch.zeros(())),
    "clip": lambda x: torch.clip(x, 0.0),
    "clamp in place": lambda x: (x * 1).clamp_(0),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "masked_fill in place": lambda x: (x + 0).masked_fill_(x < 0, 0.0),
    "assignment": zeroed,
    "assignment by a mask": zeroed_by_a_mask_of_its_own,
    "absolute": lambda x: (x + x.abs()) / 2,
    "absolute, halved before": lambda x: 0.5 * (torch.abs(x) + x),
    "minus the negative part": lambda x: x - x.clamp(max=0),
    "minus the minimum": lambda x: x - torch.minimum(x, torch.zeros_like(x)),
    "heaviside": lambda x: x * torch.heaviside(x.detach(), torch.zeros(())),
    "leaky with no leak": lambda x: F.leaky_relu(x, 0.0),
    "relu in place by position": lambda x: F.relu(x, True),
    "sign": lambda x: x * x.sign().clamp(min=0),
    "halves": lambda x: 0.5 * x + 0.5 * x.abs(),
    "index_put": lambda x: (x * 1).index_put_((x < 0,), torch.zeros(())),
    "PReLU of zeros": lambda x: F.prelu(x, torch.zeros(1)),
    "aten": lambda x: torch.ops.aten.relu(x),
    "an overload of aten": lambda x: torch.ops.aten.clamp_min.default(x, 0),
    "own function": Own.apply,
    "own function with a mask": OwnMask.apply,
    "own function in place": lambda x: OwnInPlace.apply(x * 1),
    "own function with setup_context": OwnSetup.apply,
}


class Act(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Model(nn.Module):
    """Every unit of ``act`` and of ``join`` is dead at the start: its biases are far below zero."""

    def __init__(self, function) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.act = Act(function)
        self.other = nn.Conv2d(3, 4, 1)
        self.join = nn.Identity()
        self.last = nn.Conv2d(12, 5, 3)
        with torch.no_grad():
            self.conv.bias[1:] = -9.0
            self.conv.bias[0] = 9.0

    def forward(self, x):
        x = self.join(torch.cat([F.max_pool2d(self.act(self.conv(x)), 2), F.avg_pool2d(F.relu(self.other(x)), 2)], 1))
        return self.last(x).mean((2, 3))


@functools.cache
def plain_network() -> Network:
    """The same model with ``F.relu``, which the others are held against."""
    return read(Model(F.relu).eval(), 32)


@pytest.mark.parametrize("name", RELUS)
def test_units_are_read_before_it_and_the_rest_is_what_it_was(name: str) -> None:
    model = Model(RELUS[name]).eval()
    before = portrait(model)
    network, other = read(model, 32), plain_network()
    assert [(one.name, one.rectified, one.primary) for one in network.layers] == [
        (one.name, one.rectified, one.primary) for one in other.layers
    ]
    image = torch.randn(2, 3, 32, 32)
    names = [layer.name for layer in network.layers]
    expected = other.run(image, names)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            together = network.run(image, names)
            for one in names:
                assert torch.allclose(together[one], expected[one], atol=1e-5), one
                if grad:
                    assert torch.allclose(network.run(image, [one])[one], expected[one], atol=1e-5), one
    assert torch.allclose(expected[""], copy.deepcopy(model)(image.clone()), atol=1e-5)
    assert_same(before, portrait(model))


@pytest.mark.parametrize("name", RELUS)
def test_its_dead_units_have_the_gradient_of_before(name: str) -> None:
    networks = [read(Model(RELUS[name]), 32), plain_network()]
    image = torch.rand(1, 3, 32, 32)
    for layer in ("act", "join", ""):
        gradients = []
        for network in networks:
            leaf = image.clone().requires_grad_()
            network.run(leaf.clone(), [layer])[layer][0, 2].sum().backward()
            gradients.append(leaf.grad)
        assert torch.allclose(*gradients, atol=1e-5), layer
        assert bool(gradients[0].any())


def test_every_unit_can_be_drawn() -> None:
    for name in ("threshold", "maximum", "where", "mask", "own function", "absolute"):
        objectives = [Neuron("act", 3), Channel("join", 5)]
        history = render(Model(RELUS[name]), objectives, SHORT, size=32, input_size=32).history
        assert bool((history[-1] > history[0]).all()), name


@pytest.mark.parametrize(
    "capped", [lambda x: F.relu(x).clamp(max=6), lambda x: torch.clamp_max(x.clamp(min=0), 6), lambda x: x.clamp(0, 6)]
)
def test_a_capped_relu_is_read_before_both(capped) -> None:
    model = Model(capped).eval()
    image = torch.randn(2, 3, 32, 32) * 5
    network = read(model, 32)
    expected = model.conv(image)
    assert torch.allclose(network.run(image, ["act"])["act"], expected, atol=1e-5)
    found = network.run(image, ["act", "join", ""])
    assert torch.allclose(found["act"], expected, atol=1e-5)
    assert torch.allclose(found[""], model(image), atol=1e-5)
    assert network.layer("act").rectified


# What is no ReLU stays what it is.
OTHERS = {
    "leaky where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "gate by another map": lambda x: x * (x.mean(1, keepdim=True) > 0),
    "band": lambda x: x * (x.abs() < 9.0),
    "absolute": torch.abs,
    "shrink": lambda x: x.sign() * (x.abs() - 0.5).clamp(min=0),
    "larger of two": lambda x: torch.maximum(x, x.flip(1)),
    "masked": lambda x: x.masked_fill(x > 9.0, 0),
    "squared": lambda x: x * x.abs(),
    "PReLU": lambda x: F.prelu(x, torch.full((1,), 0.2)),
    "capped alone": lambda x: x.clamp(max=0.1),
    "from a floor": lambda x: torch.maximum(x, torch.full_like(x, -1.0)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_relu_is_read_as_it_is(name: str) -> None:
    model = Model(OTHERS[name]).eval()
    image = torch.randn(2, 3, 32, 32) * 3
    network = read(model, 32)
    expected = OTHERS[name](model.conv(image))
    for names in (["act"], ["act", "join", ""]):
        found = network.run(image, names)
        assert torch.allclose(found["act"], expected, atol=1e-5)
    assert torch.allclose(found[""], model(image), atol=1e-5)


def test_where_it_cannot_be_seen_the_sentence_says_what_to_do_and_that_works() -> None:
    scripted = torch.jit.script(_scripted)
    model = Model(scripted)
    with torch.no_grad():
        model.conv.bias[:] = -9.0
    with pytest.raises(AscentError, match=r"ReLU.*write it as torch\.relu"):
        render(model, Channel("act", 3), SHORT, size=32, input_size=32)
    model.act.function = torch.relu
    history = render(model, Channel("act", 3), SHORT, size=32, input_size=32).history
    assert history[-1] > history[0]


def _scripted(x):
    return x * (x > 0)

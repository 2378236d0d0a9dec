"""Outputs that saturate: classes behind a sigmoid, a tanh or a softmax are read before it, and that is said."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import Channel, Logit, OutputWarning, Recipe, activations, render
from peek_widget.network import read
from tests.networks import assert_same, portrait

SHORT = Recipe.preset("peek").replace(steps=4, weight_noise=0.0, relu_leak=0.0, rivals=0.0)


class Classes(nn.Module):
    """Its logits are large: behind a sigmoid there is no gradient left."""

    def __init__(self, squash) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)
        self.squash = squash
        with torch.no_grad():
            self.head.bias[:] = 200.0

    def logits(self, x):
        return self.head(F.relu(self.conv(x)).mean((2, 3))) * 5

    def forward(self, x):
        return self.squash(self.logits(x))


SQUASHED = {
    "sigmoid": (torch.sigmoid, "sigmoid"),
    "sigmoid of torch.nn": (nn.Sigmoid(), "sigmoid"),
    "sigmoid as a method, in place": (lambda x: x.sigmoid_(), "sigmoid"),
    "expit": (torch.special.expit, "special_expit"),
    "functional sigmoid": (F.sigmoid, "sigmoid"),
    "log of a sigmoid": (F.logsigmoid, "log_sigmoid"),
    "tanh": (torch.tanh, "tanh"),
    "tanh of torch.nn": (nn.Tanh(), "tanh"),
    "softsign": (F.softsign, "softsign"),
    "hard sigmoid": (F.hardsigmoid, "hardsigmoid"),
    "hard tanh": (nn.Hardtanh(), "hardtanh"),
    "softmax": (lambda x: x.softmax(1), "softmax"),
    "log-softmax": (nn.LogSoftmax(1), "log_softmax"),
    "functional softmax": (lambda x: F.softmax(x, dim=-1), "softmax"),
    "logarithm of a softmax": (lambda x: torch.log(F.softmax(x, 1)), "softmax"),
    "logarithm with a floor": (lambda x: F.softmax(x, 1).clamp(min=1e-8).log(), "softmax"),
    "exponential of a log-softmax": (lambda x: F.log_softmax(x, 1).exp(), "log_softmax"),
    "selected": (lambda x: torch.sigmoid(x)[:, [0, 1, 2, 3, 4]], "sigmoid"),
    "joined": (lambda x: torch.cat([torch.sigmoid(x[:, :2]), torch.sigmoid(x[:, 2:])], 1), "sigmoid"),
    "clamped": (lambda x: torch.sigmoid(x).clamp(0.001, 0.999), "sigmoid"),
    "in a dict": (lambda x: {"logits": torch.sigmoid(x)}, "sigmoid"),
    "in a tuple": (lambda x: (torch.sigmoid(x), None), "sigmoid"),
}


@pytest.mark.parametrize("name", SQUASHED)
def test_a_class_is_read_before_what_saturates_and_that_is_said(name: str) -> None:
    squash, word = SQUASHED[name]
    model = Classes(squash).eval()
    before = portrait(model)
    network = read(model, 32)
    image = torch.rand(2, 3, 32, 32)
    expected = model.logits(image)
    assert torch.allclose(network.run(image, [""])[""], expected, rtol=1e-5)
    found = network.run(image, ["conv", "head", ""])
    assert torch.allclose(found[""], expected, rtol=1e-5)
    assert torch.allclose(found["head"], expected / 5, rtol=1e-5)
    assert network.layer("").squashed == (word,)
    assert word in repr(network.layer(""))
    assert word in str(network.findings)
    assert torch.allclose(activations(model, image, "", input_size=32, preprocess="none")[""], expected, rtol=1e-4)
    assert_same(before, portrait(model))
    leaf = image.clone().requires_grad_()
    network.run(leaf.clone(), [""])[""][0, 3].backward()
    wanted = image.clone().requires_grad_()
    model.logits(wanted)[0, 3].backward()
    assert torch.allclose(leaf.grad, wanted.grad, atol=1e-6)
    assert bool(leaf.grad.any())
    history = render(network, Logit(3), SHORT, size=32).history
    assert history[-1] > history[0] > 100


# Behind a change of scale or sign it is the logit that is changed so: what makes one larger makes the other larger.
SCALED = {
    "percent": (lambda x: torch.sigmoid(x) * 100, lambda x: x * 100),
    "a range": (lambda x: 4 * torch.sigmoid(x) + 1, lambda x: 4 * x + 1),
    "an image": (lambda x: (torch.tanh(x) + 1) / 2, lambda x: (x + 1) / 2),
    "the opposite": (lambda x: 1 - torch.sigmoid(x), lambda x: 1 - x),
    "negative log-likelihood": (lambda x: -F.log_softmax(x, 1), lambda x: -x),
    "softmax of a ReLU": (lambda x: F.softmax(F.relu(x), 1), lambda x: x),
    "sigmoid of a sigmoid": (lambda x: torch.sigmoid(torch.sigmoid(x)), lambda x: x),
    "sigmoid of a capped ReLU": (lambda x: torch.sigmoid(F.relu6(x)), lambda x: x),
}


@pytest.mark.parametrize("name", SCALED)
def test_behind_a_change_of_scale(name: str) -> None:
    squash, logits = SCALED[name]
    model = Classes(squash).eval()
    network = read(model, 32)
    image = torch.rand(2, 3, 32, 32)
    expected = logits(model.logits(image))
    for names in ([""], ["head", ""]):
        assert torch.allclose(network.run(image, names)[""], expected, rtol=1e-5)
    assert network.layer("").squashed


def test_behind_a_learned_scale() -> None:
    class Scaled(Classes):
        def __init__(self) -> None:
            super().__init__(None)
            self.scale = nn.Parameter(torch.tensor([3.0]))

        def forward(self, x):
            return torch.sigmoid(self.logits(x)) * self.scale

    model = Scaled().eval()
    image = torch.rand(2, 3, 32, 32)
    network = read(model, 32)
    for names in ([""], ["head", ""]):
        assert torch.allclose(network.run(image, names)[""], model.logits(image) * 3, rtol=1e-5)


class Several(Classes):
    """A map and classes, both squashed; a gate within that is not the result (squeeze-and-excitation)."""

    def __init__(self) -> None:
        super().__init__(None)
        self.gate = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.mask = nn.Conv2d(8, 1, 1)
        self.act = nn.Tanh()

    def parts(self, x):
        x = self.act(self.conv(x))
        x = x * self.gate(x.mean((2, 3), keepdim=True))
        return self.head(x.mean((2, 3))), self.mask(x)

    def forward(self, x):
        classes, mask = self.parts(x)
        return {"out": torch.sigmoid(classes), "mask": torch.sigmoid(mask)}


def test_only_what_the_model_returns_is_read_before_it() -> None:
    model = Several().eval()
    network = read(model, 32)
    image = torch.rand(2, 3, 32, 32)
    found = network.run(image, ["conv", "act", "gate", "gate.1", ""])
    classes, _ = model.parts(image)
    act = model.act(model.conv(image))
    gate = model.gate(act.mean((2, 3), keepdim=True))
    assert torch.allclose(found[""], classes, rtol=1e-5)
    assert torch.allclose(found["act"], act, atol=1e-6)
    assert torch.allclose(found["gate"], gate, atol=1e-6)
    assert torch.allclose(found["gate.1"], gate, atol=1e-6)
    assert {layer.name: layer.squashed for layer in network.layers if layer.squashed} == {"": ("sigmoid",)}
    assert bool((render(model, [Channel("act", 1), Logit(2)], SHORT, size=32, input_size=32).history[-1] > 0).all())


def test_a_map_as_the_result() -> None:
    class Segmentation(Classes):
        def __init__(self) -> None:
            super().__init__(None)
            self.last = nn.Sequential(nn.Conv2d(8, 2, 1), nn.Sigmoid())

        def forward(self, x):
            return self.last(F.relu(self.conv(x)))

    model = Segmentation().eval()
    network = read(model, 32)
    image = torch.rand(1, 3, 32, 32)
    expected = model.last[0](F.relu(model.conv(image)))
    for name in ("", "last", "last.1"):
        assert torch.allclose(network.run(image, [name])[name], expected, atol=1e-6)
        assert network.layer(name).squashed == ("sigmoid",)


def test_where_the_path_depends_on_the_image_the_result_is_still_read_before_it() -> None:
    class Branching(Several):
        def forward(self, x):
            if float(x.mean()) > 0.6:
                x = torch.relu(x)
            return torch.sigmoid(self.parts(x)[0])

    model = Branching().eval()
    network = read(model, 32, "none")
    for image in (torch.rand(1, 3, 32, 32) * 0.2, torch.rand(1, 3, 32, 32) + 0.5, torch.rand(1, 3, 32, 32) * 0.2):
        found = network.run(image, ["act", "gate", ""])
        assert torch.allclose(found[""], model.parts(image)[0], rtol=1e-5)
        act = model.act(model.conv(image))
        assert torch.allclose(found["act"], act, atol=1e-6)
        assert torch.allclose(found["gate"], model.gate(act.mean((2, 3), keepdim=True)), atol=1e-6)


def test_an_output_that_is_not_squashed_says_nothing() -> None:
    network = read(Classes(nn.Identity()).eval(), 32)
    assert network.layer("").squashed == ()
    assert "before" not in str(network.findings)
    assert copy.deepcopy(network.layer("")) == network.layer("")


BY_HAND = {
    "a sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "a sigmoid of tanh, with a mask": lambda x: torch.sigmoid(x) * torch.ones(5),
    "a softmax": lambda x: torch.exp(x) / torch.exp(x).sum(1, keepdim=True),
    "a stable softmax": lambda x: (
        (x - x.amax(1, keepdim=True)).exp() / (x - x.amax(1, keepdim=True)).exp().sum(1)[:, None]
    ),
    "a log-softmax": lambda x: x - torch.logsumexp(x, 1, keepdim=True),
    "a distribution": lambda x: torch.distributions.Categorical(logits=x).logits,
    "cumulative": lambda x: torch.softmax(x, 1).cumsum(1),
}


def moderate(squash) -> nn.Module:
    model = Classes(squash).eval()
    with torch.no_grad():
        model.head.bias[:] = 0.2
    return model


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_squashed_by_hand_is_said_and_the_way_out_works(name: str) -> None:
    with pytest.warns(OutputWarning, match=r"looks like .*probabilities.*Return the logits"):
        network = read(moderate(BY_HAND[name]), 32)
    assert "look like" in repr(network)
    model = moderate(nn.Identity())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "look like" not in repr(read(model, 32))


@pytest.mark.parametrize(
    "squash", [torch.relu, F.normalize, lambda x: x, lambda x: x[:, :1].clamp(0, 1), torch.sigmoid]
)
def test_what_is_not_squashed_by_hand_is_not_said_to_be(squash) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", OutputWarning)
        read(moderate(squash), 32)

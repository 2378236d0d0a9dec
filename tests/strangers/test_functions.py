"""Models that hold functions which remember their module, and modules that are not registered."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import Logit, Neuron, Recipe, render
from peek_widget.errors import ModelError
from peek_widget.network import read
from tests.networks import Tiny, assert_same, portrait, tiny

SHORT = Recipe.preset("peek").replace(steps=3, weight_noise=0.0, relu_leak=0.0, rivals=0.0)


class Base(Tiny):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()

    def rest(self, x):
        return self.classes(F.relu(self.norm(x)).mean((2, 3)))


class Lambda(Base):
    def __init__(self) -> None:
        super().__init__()
        self.call = lambda x: self.forms(F.relu(self.edges(x)))

    def forward(self, x):
        return self.rest(self.call(x))


class Nested(Base):
    def __init__(self) -> None:
        super().__init__()
        weight = self.forms.weight

        def inner(x):
            return F.conv2d(x, weight, self.forms.bias, padding=1)

        def outer(x, times=1):
            return inner(F.relu(self.edges(x))) * times

        self.call = outer

    def forward(self, x):
        return self.rest(self.call(x))


class InAList(Base):
    def __init__(self) -> None:
        super().__init__()
        self.steps = [lambda x: self.edges(x), F.relu, {"last": (lambda x: self.forms(x),)}["last"][0]]

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return self.rest(x)


class InADict(Base):
    def __init__(self) -> None:
        super().__init__()
        self.steps = {"a": functools.partial(lambda model, x: model.edges(x), self), "b": (self.forms.forward,)}

    def forward(self, x):
        return self.rest(self.steps["b"][0](F.relu(self.steps["a"](x))))


class Defaults(Base):
    def __init__(self) -> None:
        super().__init__()
        self.call = lambda x, model=self: model.forms(F.relu(model.edges(x)))

    def forward(self, x):
        return self.rest(self.call(x))


class Recursive(Base):
    def __init__(self) -> None:
        super().__init__()

        def repeated(x, times):
            return self.forms(x) if times == 0 else repeated(F.relu(self.edges(x[:, :3])), times - 1)

        self.call = repeated

    def forward(self, x):
        return self.rest(self.call(x, 2))


class ReplacedForward(Base):
    def __init__(self) -> None:
        super().__init__()
        original = self.forms.forward
        self.forms.forward = lambda x: original(F.relu(x)) * 2

    def forward(self, x):
        return self.rest(self.forms(self.edges(x)))


class Unregistered(Base):
    """Modules in a plain list, and one in a function: not in ``model.modules()``."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = [nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8).eval()]
        other = nn.Conv2d(8, 8, 1)
        self.call = lambda x: other(x)

    def forward(self, x):
        x = self.forms(F.relu(self.edges(x)))
        for module in self.extra:
            x = module(x)
        return self.rest(self.call(x))


class Methods(Base):
    def __init__(self) -> None:
        super().__init__()
        self.call = self.begin

    def begin(self, x):
        return self.forms(F.relu(self.edges(x)))

    def forward(self, x):
        return self.rest(self.call(x))


class Global(Base):
    """A function that finds the model in a global variable."""

    def __init__(self) -> None:
        super().__init__()
        self.call = lambda x: THE_MODEL.forms(F.relu(THE_MODEL.edges(x)))

    def forward(self, x):
        return self.rest(self.call(x))


KINDS = [Lambda, Nested, InAList, InADict, Defaults, Recursive, ReplacedForward, Unregistered, Methods, Global]
THE_MODEL: nn.Module


@pytest.mark.parametrize("kind", KINDS)
def test_functions_that_remember_the_module_run_the_copys(kind: type[Base]) -> None:
    global THE_MODEL
    THE_MODEL = model = kind().train()
    before = portrait(model)
    ran = []
    for module in model.modules():
        module.register_forward_pre_hook(lambda *_: ran.append(1))
    hooked = portrait(model)["hooks"]
    image = torch.rand(2, 3, 32, 32)
    network = read(model, 32)
    found = network.run(image, ["", "norm"])
    history = render(network, [Logit(1), Neuron("norm", 2)], SHORT, size=32).history
    assert bool((history[-1] > history[0]).all())
    assert not ran  # the user's own was never run
    assert portrait(model)["hooks"] == hooked
    for module in model.modules():
        module._forward_pre_hooks.clear()
    assert_same(before, portrait(model))
    model.eval()
    assert torch.allclose(found[""], model(image), atol=1e-6)
    for mine, theirs in zip(network.model_copy.module.parameters(), model.parameters(), strict=True):
        assert mine.data_ptr() == theirs.data_ptr()


def test_a_training_step_is_followed_through_functions_and_lists() -> None:
    for kind in (Lambda, Unregistered):
        model = kind().eval()
        network = read(model, 32)
        image = torch.rand(1, 3, 32, 32)
        before = network.run(image, [""])[""]
        with torch.no_grad():
            (model.extra[0] if kind is Unregistered else model.forms).weight.mul_(3)
        after = network.run(image, [""])[""]
        assert not torch.allclose(before, after)
        assert torch.allclose(after, model(image), atol=1e-6)


class Tied(Base):
    """Its forward itself uses a global variable, which no copy can change."""

    def forward(self, x):
        return THE_MODEL.classes(F.relu(THE_MODEL.forms(self.edges(x))).mean((2, 3)))


class TiedByObject(Base):
    """An object that is copied by itself as it is."""

    class Box:
        def __init__(self, model: nn.Module) -> None:
            self.model = model

        def __deepcopy__(self, memo):
            return self

    def __init__(self) -> None:
        super().__init__()
        self.box = self.Box(self)

    def forward(self, x):
        return self.rest(self.box.model.forms(F.relu(self.edges(x))))


@pytest.mark.parametrize("kind", [Tied, TiedByObject])
def test_what_stays_tied_to_the_users_module_is_refused(kind: type[Base]) -> None:
    global THE_MODEL
    THE_MODEL = model = kind().train()
    before = portrait(model)
    with pytest.raises(ModelError, match=r"uses 'forms\.weight' of your own model.*Let it use the self"):
        read(model, 32)
    assert_same(before, portrait(model))

    class Way(kind):
        def forward(self, x):
            return self.rest(self.forms(F.relu(self.edges(x))))

    assert read(Way(), 32)


def test_the_copies_of_two_models_do_not_share_functions() -> None:
    one, two = Lambda().eval(), Lambda().eval()
    with torch.no_grad():
        two.forms.weight.mul_(3)
    image = torch.rand(1, 3, 32, 32)
    networks = [read(model, 32) for model in (one, two)]
    for network, model in zip(networks, (one, two), strict=True):
        assert torch.allclose(network.run(image, [""])[""], model(image), atol=1e-6)
    assert torch.allclose(copy.deepcopy(tiny()).eval()(image), tiny().eval()(image))

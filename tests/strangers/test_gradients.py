"""Models in which a part has no gradient, and models with checkpointed blocks."""

from __future__ import annotations

import copy
import functools
import threading
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint as torchs
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from peek_widget import Channel, Logit, Neuron, Recipe, activations, render
from peek_widget.errors import AscentError
from peek_widget.network import read
from peek_widget.network.checkpointing import no_checkpoints
from peek_widget.network.receptive_field.effective import effective_field, effective_side
from tests.networks import assert_same, portrait

SHORT = Recipe.preset("peek").replace(steps=4, weight_noise=0.0, relu_leak=0.0, rivals=0.0)
pytestmark = pytest.mark.filterwarnings("ignore:torch.utils.checkpoint")


class Two(nn.Module):
    """Two branches that are joined; ``one`` says how the first is computed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.join = nn.Identity()
        self.last = nn.Conv2d(8, 6, 3, padding=1)
        self.fc = nn.Linear(6, 5)

    def one(self, x):
        return self.a(x)

    def forward(self, x):
        x = self.join(torch.cat([self.one(x), self.b(x)], 1))
        return self.fc(F.relu(self.last(x)).mean((2, 3)))


# -- checkpoints


class Reentrant(Two):
    def one(self, x):
        return checkpoint(self.a, x)


class NotReentrant(Two):
    def one(self, x):
        return checkpoint(self.a, x, use_reentrant=False)


class Sequential(Two):
    def one(self, x):
        return checkpoint_sequential(self.a, 2, x, use_reentrant=True)


class OfAFunction(Two):
    def one(self, x):
        return checkpoint(lambda y: F.relu(self.a[1](self.a[0](y))), x, use_reentrant=True)


class Both(Two):
    """All of it is checkpointed, in one another."""

    def one(self, x):
        return checkpoint(lambda y: checkpoint(self.a, y, use_reentrant=False), x, use_reentrant=True)


class DenseBlock(Two):
    """torchvision's memory-efficient DenseNet: only what requires a gradient is checkpointed."""

    def one(self, x):
        return checkpoint(self.a, x, use_reentrant=False) if x.requires_grad else self.a(x)


CHECKPOINTED = [Reentrant, NotReentrant, Sequential, OfAFunction, Both, DenseBlock]


@pytest.mark.parametrize("kind", CHECKPOINTED)
def test_a_checkpointed_block_is_what_it_is_without_the_checkpoint(kind: type[Two]) -> None:
    model, plain = kind(), Two()
    before = portrait(model)
    network, other = read(model, 32), read(plain, 32)
    assert [layer for layer in other.layers if layer.name in {one.name for one in network.layers}] == [
        replace(layer, index=other.layer(layer.name).index, kind=other.layer(layer.name).kind)
        for layer in network.layers
    ]
    assert all(layer.differentiable and not layer.cuts for layer in network.layers)
    image = torch.rand(2, 3, 32, 32)
    assert torch.allclose(network.run(image, [""])[""], copy.deepcopy(model).eval()(image), atol=1e-6)
    for name in (layer.name for layer in network.layers):
        gradients = []
        for one in (network, other):
            leaf = image.clone().requires_grad_()
            value = one.run(leaf.clone(), [name])[name]
            (value * torch.linspace(-1, 1, value.numel()).view_as(value)).sum().backward()
            gradients.append(leaf.grad)
        assert torch.equal(*gradients), name
    assert_same(before, portrait(model))


OBJECTIVES = [Neuron("a.0", 1), Channel("a.1", 2), Channel("join", 1), Channel("join", 6), Logit(2)]


@functools.cache
def of_the_plain_model() -> tuple[torch.Tensor, float | None]:
    """Pictures without checkpoints, and the side of an effective field."""
    network = read(Two(), 32)
    return render(network, OBJECTIVES, SHORT, size=32).images, effective_side(network, "last")


@pytest.mark.parametrize("kind", CHECKPOINTED)
def test_every_layer_of_it_can_be_drawn(kind: type[Two]) -> None:
    network = read(kind(), 32)
    images, side = of_the_plain_model()
    assert torch.equal(render(network, OBJECTIVES, SHORT, size=32).images, images)
    assert effective_side(network, "last") == side
    assert effective_field(network, "a.0", 1, torch.rand(3, 32, 32)).box is not None


def test_torch_is_as_it_was_and_other_threads_checkpoint_meanwhile() -> None:
    names = ("CheckpointFunction", "checkpoint", "_checkpoint_without_reentrant_generator")
    before = {name: getattr(torchs, name, None) for name in names}
    runs: list[int] = []

    def counted(x):
        runs.append(threading.get_ident())
        return x.sin()

    def elsewhere() -> None:
        for reentrant in (True, False):
            checkpoint(counted, torch.ones(2, requires_grad=True), use_reentrant=reentrant).sum().backward()

    with no_checkpoints():
        with no_checkpoints():
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            assert len(runs) == 4  # each once more in its backward
        for reentrant in (True, False):
            checkpoint(counted, torch.ones(2, requires_grad=True), use_reentrant=reentrant).sum().backward()
        assert len(runs) == 6
    assert {name: getattr(torchs, name, None) for name in names} == before
    with pytest.raises(ZeroDivisionError), no_checkpoints():
        raise ZeroDivisionError
    assert {name: getattr(torchs, name, None) for name in names} == before


# -- cuts


class NoGrad(Two):
    def one(self, x):
        with torch.no_grad():
            return self.a(x)


class SetGradEnabled(Two):
    def one(self, x):
        with torch.set_grad_enabled(False):
            return self.a(x)


class Decorated(Two):
    @torch.no_grad()
    def one(self, x):
        return self.a(x)


class Detached(Two):
    def one(self, x):
        return self.a(x).detach()


class DetachedBefore(Two):
    def one(self, x):
        return self.a(x.detach())


class Data(Two):
    def one(self, x):
        return self.a(x.data)


class InferenceMode(Two):
    def one(self, x):
        with torch.inference_mode():
            return self.a(x)


class InferenceModeInAProduct(Two):
    """torch refuses to save a tensor of inference mode for the backward."""

    def forward(self, x):
        with torch.inference_mode():
            a = self.a(x)
        x = self.join(torch.cat([a * self.b(x), self.b(x)], 1))
        return self.fc(F.relu(self.last(x)).mean((2, 3)))


class DetachedAndRequiring(Two):
    """A new leaf in the middle, whose gradient does not reach the image."""

    def one(self, x):
        return self.a(x.detach().requires_grad_())


CUT = {
    NoGrad: (r"torch\.no_grad\(\)", ("a.0", "a.1", "a.2", "a")),
    SetGradEnabled: (r"torch\.no_grad\(\)", ("a.0", "a")),
    Decorated: (r"torch\.no_grad\(\)", ("a.0", "a")),
    Detached: (r"detach\(\)", ()),
    DetachedBefore: (r"detach\(\)", ("a.0", "a")),
    Data: (r"\.data", ("a.0", "a")),
    InferenceMode: (r"torch\.inference_mode\(\)", ("a.0", "a")),
    InferenceModeInAProduct: (r"torch\.inference_mode\(\)", ("a.0", "a")),
    DetachedAndRequiring: (r"detach\(\)", ("a.0", "a")),
}


@pytest.mark.parametrize("kind", CUT)
def test_a_part_without_gradient_is_listed_and_has_the_right_values(kind: type[Two]) -> None:
    model = kind().eval()
    before = portrait(model)
    network = read(model, 32)
    plain = {layer.name: layer for layer in read(Two(), 32).layers}
    if kind is InferenceModeInAProduct:  # it calls the other branch twice
        plain = {layer.name: layer for layer in network.layers}
    assert [layer.name for layer in network.layers] == list(plain)
    for layer in network.layers:
        assert layer.primary == plain[layer.name].primary, layer.name
        assert layer.receptive_field == plain[layer.name].receptive_field
        assert layer.differentiable == (layer.name not in ("a", "a.0", "a.1", "a.2") or kind is Detached)
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = model(image)
        assert torch.allclose(network.run(image, [""])[""], expected, atol=1e-6)
        assert torch.allclose(network.run(image, ["a.0"])["a.0"], model.a[0](image), atol=1e-6)
    assert torch.allclose(activations(model, image, "", input_size=32, preprocess="none")[""], expected, atol=1e-5)
    assert_same(before, portrait(model))


@pytest.mark.parametrize("kind", CUT)
def test_what_has_a_gradient_can_be_drawn_and_what_has_none_says_why(kind: type[Two]) -> None:
    words, layers = CUT[kind]
    model = kind()
    objectives = [Channel("b", 1), Channel("last", 2), Logit(1)]
    if kind is not InferenceModeInAProduct:
        objectives.append(Channel("join", 6))
    network = read(model, 32)
    history = render(network, objectives, SHORT, size=32).history
    assert bool((history[-1] > history[0]).all())
    for name in layers:
        with pytest.raises(AscentError, match=rf"cuts it with {words}, so that the layer '{name}' has none"):
            render(network, Channel(name, 1), SHORT, size=32)
    if kind is not InferenceModeInAProduct:
        with pytest.raises(AscentError, match=rf"cuts it with {words}, so that a part of the layer 'join' has none"):
            render(network, Channel("join", 1), SHORT, size=32)
    if layers:
        assert effective_side(network, "a") is None
        assert effective_field(network, "a", 1, torch.rand(3, 32, 32)).box is None


def test_the_way_out_works() -> None:
    model = Two()
    model.a.requires_grad_(False)  # in the place of no_grad
    history = render(model, [Channel("a", 1), Channel("join", 1)], SHORT, size=32, input_size=32).history
    assert bool((history[-1] > history[0]).all())


class Frozen(nn.Module):
    """A whole backbone in ``no_grad``, and a head: how people train on features."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU())
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        with torch.no_grad():
            features = self.backbone(x)
        return self.head(features.mean((2, 3)))


def test_where_nothing_has_a_gradient_it_is_listed_all_the_same() -> None:
    model = Frozen().eval()
    network = read(model, 32)
    assert [layer.name for layer in network.layers if layer.primary] == ["backbone.0", "backbone.2", ""]
    assert not any(layer.differentiable for layer in network.layers)
    image = torch.rand(2, 3, 32, 32)
    assert torch.allclose(network.run(image, [""])[""], model(image), atol=1e-6)
    with pytest.raises(AscentError, match=r"cuts it with torch\.no_grad\(\), so that the output has none"):
        render(model, Logit(1), SHORT, size=32, input_size=32)


class MaskOfGates(Two):
    """A mask computed without gradient, by which a map is multiplied (MMAL-Net)."""

    def forward(self, x):
        a = self.a(x)
        with torch.no_grad():
            mask = (a.mean(1, keepdim=True) > a.mean((1, 2, 3), keepdim=True)).float()
        x = self.join(torch.cat([a * mask, self.b(x)], 1))
        return self.fc(F.relu(self.last(x)).mean((2, 3)))


class Weighted(Two):
    """Attention weights of a frozen branch."""

    def forward(self, x):
        with torch.no_grad():
            weights = self.a(x).mean((2, 3), keepdim=True).sigmoid()
        x = self.join(torch.cat([self.b(x) * weights, self.b(x)], 1))
        return self.fc(F.relu(self.last(x)).mean((2, 3)))


class StraightThrough(Two):
    """Rounding with the gradient of the identity."""

    def one(self, x):
        a = self.a(x)
        return a + (a.round() - a).detach()


@pytest.mark.parametrize("kind", [MaskOfGates, Weighted, StraightThrough])
def test_a_factor_without_gradient_leaves_the_rest_its_own(kind: type[Two]) -> None:
    model = kind().eval()
    network = read(model, 32)
    image = torch.rand(1, 3, 32, 32)
    leaves = [image.clone().requires_grad_() for _ in range(2)]
    found = network.run(leaves[0].clone(), [""])[""]
    expected = model(leaves[1].clone())
    assert torch.allclose(found, expected, atol=1e-6)
    found[0, 2].backward()
    expected[0, 2].backward()
    assert torch.allclose(leaves[0].grad, leaves[1].grad, atol=1e-7)
    history = render(model, [Channel("join", 1), Logit(2)], SHORT.replace(steps=16), size=32, input_size=32).history
    assert bool((history[-1] > history[0]).all())


class OwnFunction(torch.autograd.Function):
    """A function whose forward torch runs without gradients, and which has one all the same."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.tanh(F.softplus(x))

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            return torch.autograd.grad(F.mish(leaf), leaf, gradient)[0]


def test_an_own_autograd_function_is_no_cut() -> None:
    class Own(Two):
        def one(self, x):
            return OwnFunction.apply(self.a(x))

    network = read(Own(), 32)
    assert all(layer.differentiable and not layer.cuts for layer in network.layers)
    history = render(Own(), [Channel("join", 1), Logit(2)], SHORT, size=32, input_size=32).history
    assert bool((history[-1] > history[0]).all())


def test_what_a_forward_keeps_without_gradient_has_no_graph() -> None:
    class Remembers(Two):
        """Keeps a mean in a buffer and in an attribute, as running statistics are kept."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("bank", torch.zeros(4))

        def forward(self, x):
            a = self.a(x)
            with torch.no_grad():
                self.bank[:] = a.mean((0, 2, 3))
                self.bank.mul_(0.5).add_(a.amax() * 0)
                self.seen = a.detach().cpu().numpy().mean()
            x = self.join(torch.cat([a, self.b(x)], 1))
            return self.fc(F.relu(self.last(x)).mean((2, 3)))

    model = Remembers()
    network = read(model, 32)
    assert network.model_copy.module.bank.grad_fn is None
    assert all(layer.differentiable for layer in network.layers)
    history = render(model, [Channel("join", 1), Logit(2)], SHORT.replace(steps=16), size=32, input_size=32).history
    assert bool((history[-1] > history[0]).all())
    assert not hasattr(model, "seen")

"""Models as people write them: what the ghost computes is what they compute, and each can be drawn."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from peek_widget import Channel, Logit, Neuron, Objective, Preprocess, Recipe, Style, layers, render
from peek_widget.errors import PeekError, UnitError
from peek_widget.network import read
from tests.networks import assert_same, portrait, tiny

SHORT = Recipe.preset("peek").replace(steps=6)


class Two(nn.Module):
    def __init__(self, channels: int = 3, side: int = 32) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(channels, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.join = nn.Identity()
        self.fc = nn.Linear(6 * (side // 2) ** 2, 4)
        self.side = side


class Viewing(Two):
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.b(F.relu(self.a(x)))), 2)
        return self.fc(x.view(x.size(0), -1))


class ViewingAnyBatch(Two):
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.b(F.relu(self.a(x)))), 2)
        return self.fc(x.view(-1, 6 * (self.side // 2) ** 2))


class SideEffect(Two):
    def forward(self, x):
        x = self.a(x)
        F.relu_(x)
        return self.b(x).mean((2, 3))


class ReadAfterWriting(Two):
    def forward(self, x):
        x = self.a(x)
        y = self.act(x)
        return (x + self.b(y)).mean((2, 3))


class Dense(Two):
    def forward(self, x):
        p = F.relu(self.a(x))
        q = F.relu(self.b(p))
        return self.join(torch.cat([p, q], 1)).mean((2, 3))


class Tokens(Two):
    def forward(self, x):
        return self.b(self.a(x)).flatten(2).permute(0, 2, 1).mean(1)


class Soft(Two):
    def forward(self, x):
        return F.log_softmax(self.b(F.relu(self.a(x))).mean((2, 3)), dim=1)


class Dictionary(Two):
    def forward(self, x):
        return {"aux": self.a(x), "logits": self.b(self.a(x)).mean((2, 3))}


MODELS = [Viewing, ViewingAnyBatch, SideEffect, ReadAfterWriting, Dense, Tokens, Soft]


@pytest.mark.parametrize("kind", MODELS)
def test_the_copy_computes_what_the_model_does(kind: type[Two]) -> None:
    torch.manual_seed(0)
    model = kind().eval()
    image = torch.rand(2, 3, 32, 32)
    expected = copy.deepcopy(model)(image.clone())
    assert torch.allclose(read(model).model_copy.run(image, [""])[""], expected, atol=1e-6)


@pytest.mark.parametrize("kind", [*MODELS, Dictionary])
def test_it_can_be_drawn(kind: type[Two]) -> None:
    torch.manual_seed(0)
    model = kind()
    before = portrait(model)
    history = render(model, [Logit(1), Neuron("b", 2)], SHORT, seed=[0, 1]).history
    assert bool((history[-1] > history[0]).all())
    assert_same(before, portrait(model))


def test_a_size_at_which_one_image_becomes_many_is_not_the_models() -> None:
    model = ViewingAnyBatch(1, 28)
    assert read(model).input_size == 28
    assert [layer.name for layer in layers(model)][-1] == ""


def test_every_relu_that_a_layer_comes_out_of_is_left_out_and_nothing_else() -> None:
    torch.manual_seed(0)
    model = Dense()
    image = torch.randn(1, 3, 32, 32)
    found = read(model).run(image, ["join"])["join"]
    assert torch.allclose(found[:, :6], model.a(image), atol=1e-5)
    assert torch.allclose(found[:, 6:], model.b(F.relu(model.a(image))), atol=1e-5)


def test_a_class_is_drawn_before_the_softmax() -> None:
    torch.manual_seed(0)
    model = Soft()
    network = read(model)
    image = torch.rand(1, 3, 32, 32)
    logits = model.b(F.relu(model.a(image))).mean((2, 3))
    assert torch.allclose(network.run(image, [""])[""], logits, atol=1e-6)
    assert not network.layer("").rectified


def test_residual_blocks_are_primary_and_their_norms_are_not() -> None:
    found = {layer.name: layer for layer in layers(torchvision.models.resnet18(weights=None), 64)}
    assert found["layer1.0"].primary
    assert not found["layer1.0.bn2"].primary
    assert not found["layer1.0.bn1"].primary


def test_an_addition_in_place_does_not_change_the_layer_before_it() -> None:
    class Adding(Two):
        def forward(self, x):
            y = self.b(self.a(x))
            y += F.avg_pool2d(x, 11, 1, 5).mean(1, keepdim=True)
            return y.mean((2, 3))

    found = {layer.name: layer for layer in layers(Adding(), 32)}
    assert found["b"].receptive_field == (5, 5)


def test_a_submodule_called_preprocess_is_part_of_the_model() -> None:
    class Stem(Two):
        def __init__(self) -> None:
            super().__init__()
            self.preprocess = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))

        def forward(self, x):
            return self.a(self.preprocess(x)).mean((2, 3))

    model = Stem().train()
    before = portrait(model)
    assert "assumed" in str(read(model, 32).preprocess)
    assert_same(before, portrait(model))


def test_a_forward_tied_to_the_users_module_runs_the_copys() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    original = model[1].forward
    model[1].forward = lambda x: original(x)
    before = portrait(model)
    image = torch.rand(2, 3, 32, 32)
    found = read(model, 32).run(image, [""])[""]
    assert_same(before, portrait(model))
    assert torch.allclose(found, model.eval()(image), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype) -> None:
    model = tiny().to(dtype)
    result = render(model, Logit(1), SHORT.replace(steps=60), size=32)
    assert result.images.dtype == torch.float32
    assert result.history[-10:].mean() > result.history[:10].mean()


def test_a_layer_of_fixed_size_gets_views_of_that_size() -> None:
    for recipe in ("peek", "oygard-2016"):
        result = render(Viewing(), Neuron("fc", 1), Recipe.preset(recipe).replace(steps=6), size=48)
        assert result.images.shape[-1] == 48


def test_every_picture_of_a_batch_has_its_own_window() -> None:
    recipe = Recipe.preset("oygard-2016").replace(octaves=((4, 1.0), (8, 1.5)), step_size=2.5, blur=1.0)
    objectives = [Channel("edges", 1), Channel("forms", 4), Channel("forms", 2)]
    together = render(tiny(), objectives, recipe, seed=[5, 6, 7], size=48).images
    for number, objective in enumerate(objectives):
        alone = render(tiny(), objective, recipe, seed=5 + number, size=48).images[0]
        assert float((together[number] - alone).abs().max()) < 1e-3


def test_numbers_of_numpy_are_numbers() -> None:
    render(tiny(), Neuron("forms", np.int64(3)), SHORT.replace(blur=np.float32(1)), seed=np.int64(2), size=np.int64(32))
    assert Preprocess(0.13, 0.31, channels=1).mean == (0.13,)


@pytest.mark.parametrize("at", [(3,), 3, "ab", (1, 2, 3), (1.5, 2), (10, 10)])
def test_positions_outside_of_the_map_are_refused(at: object) -> None:
    with pytest.raises(UnitError, match=r"row, column"):
        render(torchvision.models.resnet18(weights=None), Neuron("layer3.1", 1, at=at), SHORT, size=96)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda a: None, "gave a NoneType for 2 images"),
        (lambda a: a["forms"], r"gave shape \(2, 8"),
        (lambda a: a["edges"][:, 0].mean(), "reads the layer 'edges'"),
    ],
)
def test_custom_objectives_are_checked(function: object, words: str) -> None:
    with pytest.raises(PeekError, match=words):
        render(tiny(), Objective(function, ["forms"]), SHORT, size=32)


def test_objectives_can_be_summed() -> None:
    total = sum([Neuron("forms", 1), Neuron("forms", 2)]) / 2
    result = render(tiny(), total, SHORT, size=32)
    assert result.history[-1] > result.history[0]


@pytest.mark.slow
def test_the_callers_autocast_and_inference_mode_are_ignored() -> None:
    model, small = torchvision.models.resnet18(weights=None), tiny()
    objectives = [Logit(1), Neuron("drop", 2), Style(["forms"], torch.rand(3, 32, 32))]
    start = torch.rand(3, 32, 32)
    outside = read(model, 64)
    drawn = render(small, objectives, SHORT, size=32, start=start)
    steep = render(model, Neuron("layer1.0", 2), SHORT, size=64)  # begins with a large convolution
    for context in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu")):
        with context:
            inside = read(model, 64)
            again = render(small, objectives, SHORT, size=32, start=start)
            assert torch.equal(render(model, Neuron("layer1.0", 2), SHORT, size=64).images, steep.images)
        assert inside.layers == outside.layers
        assert [layer.preactivation for layer in inside.layers] == [layer.preactivation for layer in outside.layers]
        assert torch.equal(again.images, drawn.images)

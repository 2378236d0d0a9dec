"""Forwards that can't take a single image, because they squeeze its dimension away; and outputs without units."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import Channel, Logit, Neuron, Recipe, activations, layers, render
from peek_widget.errors import ModelError
from peek_widget.network import read
from tests.networks import assert_same, portrait

SHORT = Recipe.preset("peek").replace(steps=4, weight_noise=0.0, relu_leak=0.0, rivals=0.0)


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.fc = nn.Linear(8, 5)

    def pooled(self, x):
        return F.adaptive_avg_pool2d(F.relu(self.conv(x)), 1)


class PersonReID(Base):
    def forward(self, x):
        return self.fc(self.norm(self.pooled(x).squeeze()))


class ReXNet(Base):
    """The linear layer takes a vector without complaint."""

    def forward(self, x):
        return self.fc(torch.squeeze(self.pooled(x)))


class AfterConvolution(Base):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(8, 5, 1)

    def forward(self, x):
        return self.last(self.pooled(x)).squeeze()


class InPlace(Base):
    def forward(self, x):
        return self.fc(self.pooled(x).squeeze_())


class Batches(Base):
    """Normalizes over dimension 1, which a single image has lost."""

    def forward(self, x):
        return self.fc(F.normalize(self.pooled(x).squeeze(), dim=1))


class OfDimension0(Base):
    def forward(self, x):
        return self.fc(self.norm(self.pooled(x).flatten(1).squeeze(0)))


class OfSomeDimensions(Base):
    def forward(self, x):
        return self.fc(self.norm(self.pooled(x).squeeze((0, -1, -2))))


SQUEEZING = [OfDimension0, OfSomeDimensions, PersonReID, ReXNet, AfterConvolution, InPlace, Batches]


@pytest.mark.parametrize("kind", SQUEEZING)
def test_a_model_that_squeezes_is_read_with_two_images(kind: type[Base]) -> None:
    model = kind()
    before = portrait(model)
    network = read(model, 32)
    assert (network.layer("").channels, network.input_size) == (5, 32)
    assert network.layer("conv").size == (32, 32)
    image = torch.rand(3, 3, 32, 32)
    expected = copy.deepcopy(model).eval()(image)
    assert torch.allclose(network.run(image, [""])[""], expected, atol=1e-6)
    for number in range(3):
        alone = network.run(image[number : number + 1], ["", "conv"])
        assert alone[""].shape == (1, 5)
        assert torch.allclose(alone[""][0], expected[number], atol=1e-6)
        assert torch.allclose(alone["conv"], model.conv(image[number : number + 1]), atol=1e-6)
    assert_same(before, portrait(model))


@pytest.mark.parametrize("kind", SQUEEZING)
def test_it_can_be_drawn_and_measured(kind: type[Base]) -> None:
    model = kind()
    history = render(model, [Logit(1), Neuron("conv", 2)], SHORT, input_size=32, size=32).history
    assert bool((history[-1] > history[0]).all())
    image = torch.rand(1, 3, 32, 32)
    found = activations(model, image, [""], preprocess="none", input_size=32)[""]
    assert torch.allclose(found, copy.deepcopy(model).eval()(torch.cat([image, image]))[:1], atol=1e-5)


def test_the_size_is_found_by_trial() -> None:
    class Fixed(Base):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8 * 48 * 48, 5)

        def forward(self, x):
            return self.fc(F.relu(self.conv(x)).flatten(1)[:, :, None, None].squeeze())

    network = read(Fixed())
    assert network.input_size == 48
    assert network.layer("").channels == 5


def test_where_two_images_do_not_help_the_sentence_names_the_squeeze_and_its_way_out_works() -> None:
    class Broken(Base):
        def forward(self, x):
            return self.fc(self.pooled(x).squeeze()[None].flatten(1)[:, :8].squeeze())

    with pytest.raises(ModelError, match=r"calls squeeze\(\) without a dimension.*flatten\(1\)"):
        layers(Broken(), 32)

    class Written(Broken):
        def forward(self, x):
            return self.fc(self.pooled(x).flatten(1))

    assert layers(Written(), 32)[-1].channels == 5


@pytest.mark.parametrize("drop", [lambda x: x[0], torch.flatten, lambda x: x.reshape(-1)])
def test_a_forward_of_one_image_alone_is_refused_by_its_shape_and_the_way_out_works(drop) -> None:
    class OfOne(Base):
        def forward(self, x):
            return self.fc(drop(self.pooled(x)[:, :, 0, 0]))

    with pytest.raises(ModelError, match=r"result of shape \[5\], without a dimension for the images.*flatten\(\)"):
        layers(OfOne(), 32)

    class Way(OfOne):
        def forward(self, x):
            return super().forward(x)[None]

    assert layers(Way(), 32)[-1].channels == 5


class Score(Base):
    """One number for each image."""

    def forward(self, x):
        return self.fc(self.pooled(x).flatten(1))[:, 3]


class SqueezedScore(Base):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 1)

    def forward(self, x):
        return self.fc(self.pooled(x).flatten(1)).squeeze(1)


class PlainlySqueezedScore(SqueezedScore):
    def forward(self, x):
        return self.fc(self.pooled(x).flatten(1)).squeeze()


@pytest.mark.parametrize("kind", [Score, SqueezedScore, PlainlySqueezedScore])
def test_one_number_for_each_image_is_one_unit(kind: type[Base]) -> None:
    model = kind().eval()
    network = read(model, 32)
    assert network.layers[-1].name == ""
    assert (network.layer("").channels, network.layer("").size) == (1, (1, 1))
    image = torch.rand(3, 3, 32, 32)
    assert torch.allclose(network.run(image, [""])[""][:, 0], model(image), atol=1e-6)
    assert network.run(image[:1], [""])[""].shape == (1, 1)
    history = render(model, Logit(0), SHORT, input_size=32, size=32).history
    assert history[-1] > history[0]


@pytest.mark.parametrize("dim", [1, None])
def test_one_map_for_each_image_is_one_unit_with_places(dim: int | None) -> None:
    class Saliency(Base):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Conv2d(8, 1, 3, padding=1)

        def forward(self, x):
            found = self.last(F.relu(self.conv(x)))
            return found.squeeze() if dim is None else found.squeeze(dim)

    model = Saliency().eval()
    network = read(model, 32)
    layer = network.layer("")
    assert (layer.channels, layer.size, layer.receptive_field) == (1, (32, 32), (5, 5))
    image = torch.rand(2, 3, 32, 32)
    assert torch.allclose(network.run(image, [""])[""][:, 0], model(image), atol=1e-6)
    history = render(model, Channel("", 0), SHORT, input_size=32, size=32).history
    assert history[-1] > history[0]

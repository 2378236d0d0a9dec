"""Networks that take some sizes only: what is drawn of them, and which cause is named where nothing can be."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import Channel, Logit, Neuron, Recipe, read, render, top_crops
from peek_widget.errors import ModelError, SizeError
from tests.strangers.images import colors


class UNet(nn.Module):
    """Joins maps of three sizes, which fit together where the input is a multiple of 8."""

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(3, 4, 3, padding=1)
        self.forms = nn.Conv2d(4, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.Conv2d(8, 4, 3, padding=1)
        self.masks = nn.Conv2d(8, 5, 3, padding=1)

    def forward(self, x):
        edges = F.silu(self.edges(x))
        forms = F.silu(self.forms(F.max_pool2d(edges, 4)))
        deep = F.silu(self.deep(F.max_pool2d(forms, 2)))
        up = F.silu(self.up(torch.cat([forms, F.interpolate(deep, scale_factor=2)], 1)))
        return self.masks(torch.cat([edges, F.interpolate(up, scale_factor=4)], 1))


class Checked(UNet):
    """Refuses all but multiples at its start: segmentation_models_pytorch's decoders do."""

    def forward(self, x):
        if x.shape[-1] % 32 or x.shape[-2] % 32:
            raise RuntimeError(f"Wrong input shape: {tuple(x.shape[2:])} must be divisible by 32")
        return super().forward(x)


class Transposed(UNet):
    """Transposed convolutions, as in the U-Net of 2015."""

    def __init__(self) -> None:
        super().__init__()
        self.grow = nn.ConvTranspose2d(4, 4, 2, stride=2)

    def forward(self, x):
        edges = F.silu(self.edges(x))
        forms = F.silu(self.forms(F.max_pool2d(edges, 2)))
        return self.masks(torch.cat([edges, self.grow(forms)], 1))


class Unshuffled(nn.Module):
    """Space to depth before the first convolution, which takes multiples of 4 only."""

    def __init__(self) -> None:
        super().__init__()
        self.shuffle = nn.PixelUnshuffle(4)
        self.edges = nn.Conv2d(48, 6, 3, padding=1)
        self.classes = nn.Linear(6, 5)

    def forward(self, x):
        return self.classes(F.silu(self.edges(self.shuffle(x))).mean((2, 3)))


def brief(name: str) -> Recipe:
    recipe = Recipe.preset(name)
    return recipe.replace(steps=len(recipe.octaves))


@pytest.mark.parametrize("size", [None, 77])
@pytest.mark.parametrize("kind", [UNet, Checked, Transposed, Unshuffled])
def test_networks_that_take_multiples_only(kind, size) -> None:
    torch.manual_seed(0)
    model = kind()
    network = read(model, 64)
    middle = "up" if kind in (UNet, Checked) else "edges"
    objectives = [Neuron(middle, 1), Channel("edges", 1), Logit(1)]
    turn = [UNet, Checked, Transposed, Unshuffled].index(kind)
    for number, recipe in enumerate(("peek", "oygard-2016", "lucid-2017")):
        result = render(network, objectives[(number + turn) % 3], brief(recipe), size=size)
        assert math.isfinite(result.activation)
        assert float(result.images.std()) > 0


def test_a_crop_of_one_is_what_the_network_sees() -> None:
    torch.manual_seed(0)
    model = UNet()
    crop = top_crops(model, "up", [colors(0, 70), colors(1, 90)], k=1, input_size=64, progress=False)[2].top[0]
    found = []
    handle = model.up.register_forward_hook(lambda _m, _i, output: found.append(output))
    with torch.no_grad():
        model(read(model, 64).preprocess(crop.input()[None]))
    handle.remove()
    row, column = crop.position
    assert float(found[0][0, 2, row, column]) == pytest.approx(crop.activation, abs=1e-5)


TABLES = {"colors": 1.0}


class Dependent(nn.Module):
    """Its forward looks something up outside of it, which may be gone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x * TABLES["colors"])


@pytest.mark.parametrize("objective", [Neuron("conv", 1), Channel("conv", 1), Logit(1)])
def test_a_forward_that_raises_is_not_a_matter_of_size(objective, monkeypatch) -> None:
    network = read(Dependent(), 32)
    monkeypatch.delitem(TABLES, "colors")
    with pytest.raises(ModelError, match=r"can't be computed\..*raised KeyError.*'colors'"):
        render(network, objective, brief("peek"), size=48)
    monkeypatch.undo()
    assert render(network, objective, brief("peek"), size=48).images.shape[-1] == 48


def test_what_is_too_small_is_still_said_to_be_and_the_size_that_is_named_does() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 9), nn.MaxPool2d(4), nn.Conv2d(4, 4, 5), nn.Conv2d(4, 2, 1))
    with pytest.raises(SizeError, match=r"20 px is too small: layer '2'.*Give size=\d+ or more") as caught:
        render(model, Channel("2", 0), brief("peek"), size=20, input_size=64)
    least = int(str(caught.value).split("size=")[1].split()[0])
    assert render(model, Channel("2", 0), brief("peek"), size=least, input_size=64).images.shape[-1] == least


class Shrinking(nn.Module):
    """Windows that get smaller with a small map, once and for all: transformers' Swin does so."""

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(3, 4, 3, stride=4, padding=1)
        self.bias = nn.Parameter(torch.randn(8, 8))
        self.window = 8
        self.mixed = nn.Conv2d(4, 4, 1)
        self.table = None

    def forward(self, x):
        x = self.edges(x)
        self.window = min(self.window, *x.shape[2:])
        if self.table is None or self.table.shape != x.shape[2:]:
            self.table = torch.ones(x.shape[2:]) * x.shape[2]
        windows = x.unfold(2, self.window, self.window).unfold(3, self.window, self.window) + self.bias
        return self.mixed(x) * windows.mean((2, 3, 4, 5))[:, :, None, None] + self.table.mean()


@pytest.mark.parametrize("first", [True, False])
def test_a_forward_that_remembers_a_small_size_does_not_spoil_the_others(first) -> None:
    torch.manual_seed(0)
    model = Shrinking()
    network = read(model, 64)
    image = torch.rand(1, 3, 64, 64)
    if first:
        before = network.run(image, [""])[""]
    assert network.minimum("") == (29, 29)
    assert not network.runs_at("", 20)
    after = network.run(image, [""])[""]
    assert model.window == 8
    assert model.table is None
    with torch.no_grad():
        right = model(image)
    assert torch.allclose(after, right, atol=1e-6)
    assert not first or torch.equal(before, after)
    assert math.isfinite(render(network, Neuron("mixed", 1), brief("peek")).activation)


class Wide(nn.Module):
    """Windows of 7 on a map of a 32nd: transformers' Swin takes 193 px and more, and the picture of a unit has 192."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 32, stride=32)
        self.bias = nn.Parameter(torch.randn(7, 7))
        self.mixed = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.patches(F.pad(x, (0, -x.shape[3] % 32, 0, -x.shape[2] % 32)))
        if min(x.shape[2:]) < 7:
            raise RuntimeError("The size of tensor a must match the size of tensor b")
        return self.mixed(F.softmax(x.flatten(2), -1).view_as(x)).square().mean((2, 3))


@pytest.mark.parametrize("objective", [Neuron("mixed", 1), Channel("mixed", 1), Logit(1)])
def test_a_recipe_whose_picture_is_too_small_for_the_network_is_shown_to_it_enlarged(objective) -> None:
    torch.manual_seed(0)
    model = Wide()
    recipe = brief("peek").replace(size=192)
    result = render(model, objective, recipe, input_size=224)
    assert math.isfinite(result.activation)
    assert result.images.shape[-1] == 192
    with pytest.raises(SizeError, match="Give size=193"):
        render(model, objective, recipe, input_size=224, size=192)
    assert render(model, objective, recipe, input_size=224, size=193).images.shape[-1] == 193

"""Sizes: of the pictures in each octave, and of what the network gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from peek_widget import Channel, Logit, Neuron, Objective, Recipe, ascend
from peek_widget._size import Size
from peek_widget.ascent import NUMBERS, Ascent
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.views import ViewGeometry, affine_draws
from peek_widget.errors import RecipeError
from peek_widget.network import read
from tests.networks import Fixed, tiny

NET = read(tiny(), 32)
OYGARD = Recipe.preset("oygard-2016")


def squares(sides: list[int]) -> list[tuple[int, int]]:
    return [(side, side) for side in sides]


def test_octaves_end_at_the_size_asked_for_and_begin_at_the_models() -> None:
    assert Geometry(NET, OYGARD, None).sizes == squares([32, 32, 34, 35, 37])
    assert Geometry(NET, OYGARD, 60).sizes == squares([52, 52, 54, 57, 60])
    assert Geometry(NET, OYGARD.replace(size=60), None).sizes == squares([52, 52, 54, 57, 60])
    assert Geometry(NET, OYGARD.replace(size=60), 8).sizes[-1] == (8, 8)
    assert Geometry(NET, OYGARD, None).window == (32, 32)


def test_octaves_that_grow_past_every_size_are_refused() -> None:
    recipe = Recipe(octaves=((1, 4.0),) * 4)
    with pytest.raises(RecipeError, match=r"octaves grow 256 times, to 8192 px; the limit is 2048: give size="):
        ascend(NET, Logit(0), recipe)
    assert Geometry(NET, recipe, 512).sizes == squares([8, 32, 128, 512])


def test_the_view_of_each_kind_of_objective() -> None:
    peek = Recipe(sampling="crop")
    geometry = Geometry(NET, peek, 64)
    assert geometry.view(Logit(0)) == ViewGeometry(32, "crop")
    assert geometry.view(Channel("forms", 1)) == ViewGeometry(32, "widest")
    field = geometry.view(Neuron("forms", 1))
    assert field.kind == "field"
    layer = NET.layer("forms")
    assert field.side == layer.receptive_field[0] + 2 * layer.stride[0]
    # The unit's pixel, of an even-sided map the first of the two middles.
    assert field.center is not None
    assert all(abs(c) < layer.stride[0] / field.side * 2 for c in field.center)
    assert Geometry(NET, peek, 16).view(Logit(0)).side == 16  # never enlarged
    assert Geometry(NET, OYGARD, 60).view(Channel("forms", 1)) == ViewGeometry(52, "window")
    lucid = Geometry(NET, Recipe.preset("lucid-2017"), 128).view(Logit(0))
    # 12 px of padding, less 4 px of jitter and 2 px of the later one, on each side.
    assert lucid == ViewGeometry(128 + 2 * 12 - 2 * 4 - 2 * 2, "whole")


@pytest.mark.parametrize("recipe", ["oygard-2016", "lucid-2017", "maco-2023", "yosinski-2015-1"])
@pytest.mark.parametrize("kind", ["local", "global", "preprocessed"])
def test_a_center_unit_is_drawn_from_its_receptive_field_alone(recipe: str, kind: str) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 5, 2, 1), nn.Tanh(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(4, 6, 3, padding=1)]
    if kind == "global":
        layers.insert(1, nn.InstanceNorm2d(4))
    network = read(nn.Sequential(*layers), 90, (lambda x: x - x.mean()) if kind == "preprocessed" else "none")
    views = {"n_views": 3} if recipe == "maco-2023" else {}
    short = Recipe.preset(recipe).replace(steps=8, **views)
    run = Ascent(network, Neuron("3", 2), short, size=90)
    part = run._evaluator.groups[0].view.part
    assert (part is not None) is (kind == "local")
    if part is not None:
        assert part[2] == network.layer("3").receptive_field[0] + 2 * network.layer("3").stride[0]
        whole = Ascent(network, Neuron("3", 2), short, size=90)
        whole._evaluator.groups = tuple(
            replace(group, view=replace(group.view, part=None)) for group in whole._evaluator.groups
        )
        for step, other in zip(run, whole, strict=True):
            assert torch.allclose(step.images, other.images, atol=1e-3)
            assert step.activation == pytest.approx(other.activation, rel=1e-4)
    place = tuple((side - 1) // 2 for side in network.layer("3").size)
    assert Ascent(network, Neuron("3", 2, at=place), short, size=90)._evaluator.groups[0].view.part is None


@pytest.mark.parametrize("sampling", ["crop", "normal-crop", "whole", "window"])
def test_a_model_of_a_fixed_size_gets_that_size(sampling: str) -> None:
    recipe = Recipe(sampling=sampling, param="pixels")
    for size in (8, 16, 40):
        assert Geometry(read(Fixed()), recipe, size).view(Logit(0)).side == 16


def test_the_highest_frequency_is_that_of_the_closest_view() -> None:
    def band(**changes: object) -> float:
        geometry = Geometry(NET, Recipe(**{"octaves": ((10, 1.0), (10, 1.0), (10, 1.0)), **changes}), 64)
        return geometry.highest_frequency(geometry.view(Logit(0)))

    # 32 px show up to 16 cycles of what they see; the whole picture is seen in its own 64.
    assert band(sampling="whole") == 32.0
    assert band(crop=(0.25, 1.0)) == 64.0
    assert band(crop=(0.5, 1.0), scale_choices=(1.0, 2.0)) == 64.0
    assert band(crop=((0.5, 1.0), (1.0, 1.0))) == 32.0
    assert band(sampling="normal-crop", crop_mean=0.5, crop_std=0.05) == pytest.approx(16 / 0.4)
    # The closest view may come in the middle of the run.
    middle = ((0.8, 0.8), (0.2, 0.2), (0.8, 0.8))
    assert band(sampling="normal-crop", crop_mean=middle, crop_std=0.0) == pytest.approx(80.0)


def test_a_window_too_small_for_a_layer_is_refused_with_the_smallest_size() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 7), nn.Conv2d(4, 2, 7))
    network = read(model, 32)
    with pytest.raises(Exception, match=r"A picture of 14 px is too small.*from the 12 px.*at least 13\. Give size="):
        Geometry(network, OYGARD, 14).view(Channel("1", 0))
    assert Geometry(network, OYGARD, 16).view(Channel("1", 0)).side >= 13


def thousand(channels: int = 3, classes: int = 1000) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    )


@pytest.mark.parametrize(
    ("model", "objective", "flipped"),
    [
        (thousand(), Logit(7), True),
        (thousand(classes=999), Logit(7), False),
        (thousand(channels=1), Logit(7), False),
        (thousand(), Neuron("0", 1), False),
        (thousand(), Logit(7) + Channel("0", 1), False),
    ],
    ids=["a class of ImageNet", "of other classes", "of gray images", "a unit", "not a class alone"],
)
def test_views_of_imagenets_classes_alone_are_flipped(model: nn.Module, objective: Objective, flipped: bool) -> None:
    network, recipe = read(model, 32), Recipe(class_flip=0.5, n_views=16)
    geometry = Geometry(network, recipe, None)
    view = geometry.view(objective)
    assert view.flip == (0.5 if flipped else 0.0)
    parameters = geometry.parameters(view, 0, {name: recipe.at(name, 0) for name in NUMBERS})
    theta, _ = affine_draws(Size.of(32), view, parameters, [torch.Generator().manual_seed(0)])
    sides = torch.linalg.det(theta[:, :, :2]) < 0.0
    assert sides.any() == flipped
    assert not sides.all()

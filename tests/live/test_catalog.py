"""What the page is told can be chosen."""

import torch
from torch import nn

from peek_widget.live.catalog import Catalog, default_layer
from peek_widget.live.choices import Choices
from peek_widget.live.model_source import ModelSource

NAMES = ["cat", "dog", "fish", "bird", "tree"]


def catalog(*, names=NAMES):
    torch.manual_seed(0)
    model = nn.Sequential()
    for name, module in {
        "conv1": nn.Conv2d(3, 5, 3),  # as many units as classes, and none of them
        "conv2": nn.Conv2d(5, 16, 3),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
        "logits": nn.Linear(16, 5),
        "softmax": nn.Softmax(dim=1),
    }.items():
        model.add_module(name, module)
    source = ModelSource(model, 32)
    return Catalog(source, Choices(source.current), names)


def test_the_logits_and_the_layers_after_them_share_the_class_names():
    made = catalog()
    named = {row["name"]: row["named"] for row in made.layers("softmax")}
    assert named["softmax"]
    assert named["logits"]
    assert named[""]
    assert not named["conv1"]
    assert not named["conv2"]
    assert made.unit_name("logits", 1) == made.unit_name("softmax", 1) == made.unit_name("", 1) == "dog"
    assert made.unit_name("conv1", 1) == made.unit_name("conv2", 1) == ""


def test_without_names_no_layer_has_them():
    made = catalog(names=None)
    assert not any(row["named"] for row in made.layers(""))
    assert made.unit_name("", 1) == ""


def test_the_layer_shown_is_described_even_if_it_is_not_offered():
    made = catalog()
    assert "softmax" not in {row["name"] for row in made.layers("conv1")}
    assert "softmax" in {row["name"] for row in made.layers("softmax")}


def test_a_recipe_of_ones_own_is_listed_last():
    made = catalog()
    from peek_widget import Recipe

    names = [row["name"] for row in made.recipes(Recipe.preset("peek").replace(name="mine"))]
    assert names[-1] == "mine"
    assert names[:-1] == [row["name"] for row in made.recipes("peek")]


def test_the_default_layer_is_spatial():
    source = catalog()._source
    assert default_layer(source.network) in ("conv1", "conv2")

"""Batches: each picture is the one that it would be alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from peek_widget import Channel, Diversity, Logit, Neuron, Objective, Recipe, interpolate, render, zoo
from peek_widget.ascent import Ascent
from peek_widget.ascent.diversity import gram
from peek_widget.network import Network, read
from tests.networks import squeezenet, tiny

TINY = read(tiny(), 32)
SHORT = Recipe.preset("peek").replace(steps=10)


def brief(name: str) -> Recipe:
    recipe = Recipe.preset(name)
    return recipe.replace(n_views=min(recipe.n_views, 3))


def drift(network: Network, objectives: list[Objective], recipe: Recipe, size: int, steps: int = 3) -> list[float]:
    """Largest difference of any pixel to the picture alone: at the start and after each step."""
    seeds = [7 * n for n in range(len(objectives))]
    together = Ascent(network, objectives, recipe, seed=seeds, size=size)
    alone = [Ascent(network, o, recipe, seed=s, size=size) for o, s in zip(objectives, seeds, strict=True)]

    def apart() -> float:
        return max(float((together.images[n] - one.images[0]).abs().max()) for n, one in enumerate(alone))

    found = [apart()]
    for _ in range(steps):
        together.step()
        for one in alone:
            one.step()
        found.append(apart())
    return found


@pytest.mark.parametrize("name", Recipe.presets())
def test_the_first_steps_of_a_batch_equal_those_of_each_picture_alone(name: str) -> None:
    objectives = [Neuron("forms", 1), Neuron("forms", 5), Channel("forms", 2), Logit(0), Neuron("edges", 3), Logit(4)]
    start, *steps = drift(TINY, objectives, brief(name), 40)
    assert start == 0.0
    assert max(steps) < 1e-5


@pytest.mark.parametrize("name", ["peek", "peek-fast", "oygard-2016", "lucid-2017", "maco-2023", "yosinski-2015-1"])
def test_a_batch_on_the_bundled_network_equals_its_pictures_alone(name: str) -> None:
    network = read(zoo.bundled())
    spatial = [layer.name for layer in network.layers if layer.spatial]
    objectives: list[Objective] = [Logit(0), Logit(3)]
    objectives += [Neuron(spatial[n], 2) for n in (1, len(spatial) // 2, -1)]
    start, *steps = drift(network, objectives, brief(name), 48)
    assert start == 0.0
    assert max(steps) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["peek", "peek-fast", "lucid-2017", "maco-2023", "oygard-2016", "yosinski-2015-1"])
def test_on_a_real_network(name: str) -> None:
    objectives = [
        Logit(130),
        Logit(817),
        Neuron("features.3", 10),
        Neuron("features.7", 3),
        Neuron("features.7", 100),
        Neuron("features.12", 10),
        Neuron("features.12", 99),
        Channel("features.5", 2),
    ]
    start, *steps = drift(read(squeezenet()), objectives, brief(name), 96)
    assert start == 0.0
    assert max(steps) < 1e-5


@pytest.mark.slow
def test_a_batch_reaches_the_activations_that_each_picture_reaches_alone() -> None:
    network = read(squeezenet())
    objectives = [Neuron("features.3", 10), Neuron("features.7", 100), Neuron("features.12", 10), Logit(130)]
    recipe = Recipe.preset("peek").replace(steps=32)
    together = render(network, objectives, recipe, size=128)
    for number, one in enumerate(objectives):
        alone = render(network, one, recipe, size=128)
        share = together.history[-10:, number].mean() / alone.history[-10:].mean()
        assert float(share) == pytest.approx(1.0, abs=0.02)
        if number >= 2:  # whose views are large, so that on a CPU each goes through the network by itself
            assert torch.equal(together.images[number], alone.images[0])


@pytest.mark.parametrize("name", Recipe.presets())
def test_equal_batches_are_equal_bit_for_bit(name: str) -> None:
    objectives = [Logit(0), Neuron("forms", 1), Channel("edges", 2), Logit(1)]
    recipe = brief(name).replace(steps=8)
    first, second = (render(TINY, objectives, recipe, seed=[1, 2, 3, 4], size=24) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.history, second.history)


def test_equal_objectives_with_equal_seeds_are_equal_pictures() -> None:
    images = render(TINY, [Logit(2)] * 3, SHORT.replace(steps=3), seed=5, size=24).images
    assert torch.allclose(images[1:], images[:1], atol=1e-6)
    images = render(TINY, [Logit(2)] * 3, SHORT.replace(steps=3), seed=[5, 6, 5], size=24).images
    assert torch.allclose(images[2], images[0], atol=1e-6)
    assert not torch.allclose(images[1], images[0], atol=1e-3)


def test_terms_are_reported_for_each_picture() -> None:
    joint = 2 * Logit(0) - 0.5 * Neuron("forms", 1) + Channel("edges", 3)
    ascent = Ascent(TINY, [joint, Logit(4), Logit(4) + Logit(4)], SHORT, size=24)
    for _ in range(4):
        step = ascent.step()
        first, second, third = step.terms
        words = {"class 0": 2.0, "unit 1 of forms at the center": -0.5, "unit 3 of edges": 1.0}
        assert set(first) == set(words)
        assert sum(words[name] * value for name, value in first.items()) == pytest.approx(step.activation, abs=1e-4)
        assert list(second.values()) == pytest.approx([float(step.activations[1])], abs=1e-5)
        assert list(third) == ["class 4", "class 4 (2)"]
    result = render(TINY, [joint, Logit(4)], SHORT, size=24)
    assert [len(terms) for terms in result.terms] == [3, 1]


def likeness(images: Tensor) -> float:
    """Mean cosine of the pictures' Gram matrices in a layer that sees all of each."""
    with torch.no_grad():
        matrices = gram(TINY.run(TINY.preprocess(images), ["forms"])["forms"]).flatten(1)
    units = matrices / matrices.norm(dim=1, keepdim=True)
    cosines = units @ units.T
    count = len(images)
    return float((cosines.sum() - count) / (count * (count - 1)))


def test_diversity_makes_pictures_differ() -> None:
    recipe = Recipe.preset("peek").replace(steps=60)
    alike = render(TINY, [Channel("forms", 2)] * 3, recipe, seed=[1, 2, 3], size=32).images
    apart = render(TINY, [Channel("forms", 2) + 3.0 * Diversity("forms")] * 3, recipe, seed=[1, 2, 3], size=32).images
    assert likeness(apart) < likeness(alike) - 0.05


def test_the_ends_of_an_interpolation_are_its_two_objectives() -> None:
    one, other = Neuron("forms", 1), Neuron("forms", 4)
    between = render(TINY, interpolate(one, other, 3), SHORT.replace(steps=3), size=24).images
    assert torch.allclose(between[:1], render(TINY, one, SHORT.replace(steps=3), size=24).images, atol=1e-5)
    assert torch.allclose(between[2:], render(TINY, other, SHORT.replace(steps=3), size=24).images, atol=1e-5)
    assert not torch.allclose(between[1], between[0], atol=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {
            "sampling": "window",
            "param": "pixels",
            "rotation": 0.0,
            "n_views": 1,
            "contrast_cap": 0.0,
            "contrast_floor": 0.0,
        },
        {"sampling": "normal-crop"},
    ],
)
def test_a_batch_of_many_keeps_its_order(changes: dict[str, Any]) -> None:
    # Layers and so groups take turns; each picture's own value must come back to its place.
    objectives = [Logit(0), Neuron("forms", 0), Logit(1), Neuron("edges", 1), Logit(2), Neuron("forms", 2)]
    recipe = SHORT.replace(**changes, noise=0.02)
    together = Ascent(TINY, objectives, recipe, seed=list(range(6)), size=24)
    values = torch.stack([together.step().activations for _ in range(5)])
    for number, objective in enumerate(objectives):
        alone = Ascent(TINY, objective, recipe, seed=number, size=24)
        own = torch.stack([alone.step().activations[0] for _ in range(5)])
        assert torch.allclose(values[:, number], own, atol=2e-3)

"""The still activation of a picture; how it lies in the network's input is tested with `evidence/measures`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from peek_widget import Channel, Direction, Neuron, PeekError, Recipe, SizeError, render
from peek_widget.ascent import Result
from peek_widget.ascent.still import StillActivation, still_activation
from peek_widget.network import Network, read
from tests.networks import tiny

SHORT = Recipe.preset("peek").replace(steps=4, size=32)
OCTAVES = Recipe(octaves=((2, 1.0), (2, 2.0)), param="pixels")


@pytest.fixture(scope="module")
def network() -> Network:
    return read(tiny(), 32, "none")


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_unit_counts_where_it_is_largest_and_a_minimized_one_where_it_is_smallest(
    network: Network, picture: torch.Tensor
) -> None:
    values = network.run(picture[None], ["forms"])["forms"][0, 3]
    for weight in (1.0, 2.5):
        found = still_activation(network, weight * Channel("forms", 3), picture, SHORT)
        assert found == pytest.approx(weight * float(values.amax()), rel=1e-4)
    found = still_activation(network, -Channel("forms", 3), picture, SHORT)
    assert found == pytest.approx(-float(values.amin()), rel=1e-4)


def test_of_any_other_objective_the_value_counts(network: Network, picture: torch.Tensor) -> None:
    objective = Channel("forms", 3) - 0.5 * Direction("edges", [1.0, 2.0, 0.0, 0.0, 0.0, 1.0])
    with torch.no_grad():
        expected = float(objective(network.run(picture[None], objective.layers))[0])
    assert still_activation(network, objective, picture, SHORT) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("sampling", ["window", "crop"])
def test_a_picture_in_the_middle_of_a_run_with_octaves_needs_the_size_of_the_end(sampling: str) -> None:
    network = read(nn.Sequential(nn.Conv2d(3, 4, 19), nn.ReLU()), 32, "none")
    small, recipe = torch.rand(3, 28, 28), OCTAVES.replace(sampling=sampling)
    with pytest.raises(SizeError):
        still_activation(network, Neuron("0", 3), small, recipe)
    assert StillActivation(network, Neuron("0", 3), recipe, 56)(small) > -10.0


def test_all_pictures_of_a_run_are_measured_as_each_alone(network: Network) -> None:
    meter = StillActivation(network, Neuron("forms", 3), SHORT)
    for seed in range(3):
        picture = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(seed))
        assert meter(picture) == still_activation(network, Neuron("forms", 3), picture, SHORT)
        assert not torch.is_inference(picture)


def test_a_result_has_the_activations_of_its_pictures(network: Network) -> None:
    units = [Neuron("forms", 3), Neuron("forms", 4)]
    result = render(network, units, SHORT)
    expected = [still_activation(network, *pair, SHORT) for pair in zip(units, result.images, strict=True)]
    assert result.activations.tolist() == expected
    assert result.activation == expected[0] != float(result.history[-1, 0])
    with pytest.raises(PeekError, match="does not know what it was drawn from: activations takes one that render gave"):
        Result(result.images, result.history).activations  # noqa: B018


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 32, 32)])
def test_what_is_no_picture_is_refused(network: Network, shape: tuple[int, ...]) -> None:
    with pytest.raises(PeekError, match=r"must be \[3, H, W\]"):
        still_activation(network, Neuron("forms", 3), torch.zeros(shape), SHORT)

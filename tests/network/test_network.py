"""A layer given as a module of the user's model, and a second network on the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from peek_widget import Ascent, Channel, Direction, Neuron
from peek_widget.errors import LayerError, UnitError
from peek_widget.network import Preprocess, read
from tests.networks import assert_same, portrait, tiny


def test_a_layer_can_be_given_as_a_module_of_the_users_model() -> None:
    model = tiny()
    network = read(model, 32)
    assert network.layer(model.forms) == network.layer("forms")
    assert network.layer(model).name == ""
    with pytest.raises(UnitError, match="Layer 'forms' has 8 units"):
        network.check_unit(model.forms, 8)


def test_a_module_inside_wrappers_is_the_layer_that_it_is_without_them() -> None:
    model = nn.DataParallel(nn.Sequential(nn.DataParallel(nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.Conv2d(4, 5, 3)))
    network = read(model, 32)
    inner = model.module
    assert [network.layer(one).name for one in (model, inner, inner[0], inner[0].module, inner[2])] == (
        ["", "", "0", "0", "2"]
    )


def test_a_module_that_is_used_under_two_names_is_the_layer_of_its_first_call() -> None:
    shared = nn.Conv2d(3, 3, 3, padding=1)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert read(model, 32).layer(model[2]).name == "0"


def test_a_module_of_another_model_is_refused_with_what_is_possible() -> None:
    network = read(tiny(), 32)
    with pytest.raises(
        LayerError, match=r"The Conv2d given as a layer is not a module of this model.*edges.*lists all"
    ):
        network.layer(tiny().forms)


def test_a_module_that_never_runs_is_refused_by_its_name() -> None:
    model = tiny()
    with pytest.raises(LayerError, match=r"'unused' is in the model.*never runs it"):
        read(model, 32).layer(model.unused)


def test_something_that_is_neither_a_name_nor_a_module_is_no_layer() -> None:
    with pytest.raises(LayerError, match=r"named by a string.*or is given as a module.*int was given"):
        read(tiny(), 32).layer(3)


def test_a_replica_reads_the_same_model_in_the_same_way_and_shares_its_weights() -> None:
    model = tiny()
    before = portrait(model)
    network = read(model, 40, Preprocess(mean=(0.4,) * 3, std=(0.2,) * 3), "cpu")
    replica = network.replica()
    assert replica.layers == network.layers
    assert (replica.input_size, replica.preprocess, replica.channels) == (40, network.preprocess, 3)
    assert replica.model_copy.original is model
    assert replica.model_copy.module is not network.model_copy.module
    for mine, theirs in zip(replica.model_copy.module.parameters(), model.parameters(), strict=True):
        assert mine.data_ptr() == theirs.data_ptr()
    image = torch.rand(1, 3, 40, 40)
    assert torch.equal(replica.run(image, ["forms"])["forms"], network.run(image, ["forms"])["forms"])
    assert_same(before, portrait(model))


def test_a_replica_takes_other_arguments() -> None:
    replica = read(tiny(), 40).replica(input_size=24, preprocess="none")
    assert (replica.input_size, str(replica.preprocess)) == (24, "none, RGB in [0, 1] (given)")


def test_an_objective_takes_a_layer_as_a_module_and_an_ascent_names_it() -> None:
    model = tiny()
    given = [Neuron(model.forms, 3), Channel(model.forms, 3) - Channel("edges", 1), Direction(model.edges, [1.0] * 6)]
    named = [Neuron("forms", 3), Channel("forms", 3) - Channel("edges", 1), Direction("edges", [1.0] * 6)]
    ascent = Ascent(model, given, "peek-fast", size=32, input_size=32)
    assert list(ascent.objectives) == named
    assert Neuron(model.forms, 3).describe().startswith("unit 3 of a Conv2d")
    with pytest.raises(LayerError, match="is not a module of this model"):
        Ascent(model, Neuron(tiny().forms, 3), "peek-fast", size=32, input_size=32)

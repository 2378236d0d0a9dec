"""What is drawn and where: objective, place, sign, device; labels; and what the explorer says of itself."""

import numpy as np
import pytest
import torch
from torch import nn
from traitlets import TraitError

from peek_widget import Channel, Logit, Neuron, render
from peek_widget.errors import PeekError, UnitError
from peek_widget.live import choices as objectives
from peek_widget.live.controls import LARGEST_SEED
from peek_widget.live.snapshot import Target
from peek_widget.zoo.images import Images

from .test_explorer import LONG, ROOT, SHORT, eventually, explore, recording, tiny

__all__ = ["explore", "recording"]  # fixtures

NAMES = ["cat", "dog", "fish", "bird", "tree"]


def pixels(explorer):
    assert explorer.wait(60) == "done", explorer.status["text"]
    return np.asarray(explorer.image)


@pytest.mark.parametrize(
    ("options", "objective"),
    [
        ({}, Neuron("conv2", 3)),
        ({"objective": "channel"}, Channel("conv2", 3)),
        ({"at": (2, 5)}, Neuron("conv2", 3, (2, 5))),
        ({"negative": True}, -Neuron("conv2", 3)),
        ({"objective": "channel", "negative": True}, -Channel("conv2", 3)),
        ({"layer": ""}, Logit(3)),
        ({"layer": "", "objective": "class", "negative": True}, -Logit(3)),
    ],
)
def test_it_draws_what_the_script_draws_for_that_objective(explore, options, objective):
    model = tiny()
    explorer = explore(model, **{"layer": "conv2", "unit": 3, **options})
    expected = render(model, objective, SHORT, seed=0)
    assert np.array_equal(pixels(explorer), np.asarray(expected.pil()))
    sign = -1 if explorer.negative else 1
    assert explorer.history[-1].highest == pytest.approx(sign * float(expected.history[-1, 0]))


def test_a_trait_set_later_begins_again_with_it(explore):
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3)
    first = pixels(explorer)
    explorer.at = [2, 5]
    assert explorer.at == (2, 5)
    assert not np.array_equal(pixels(explorer), first)
    assert "at row 2, column 5" in explorer.status["text"]
    explorer.at = None
    assert np.array_equal(pixels(explorer), first)
    explorer.negative = True
    explorer.wait(60)
    assert "minimized" in explorer.status["text"]
    explorer.negative, explorer.objective = False, "channel"
    assert np.array_equal(pixels(explorer), np.asarray(render(model, Channel("conv2", 3), SHORT, seed=0).pil()))
    assert "mean over the map" in explorer.status["text"]


def test_another_layer_has_its_own_objective_and_place(explore):
    explorer = explore(layer="conv2", unit=12, at=(2, 5), playing=False)
    explorer.layer = ""
    assert (explorer.objective, explorer.at, explorer.unit) == ("class", None, 4)
    explorer.layer = "conv1"
    assert explorer.objective == "neuron"
    explorer.objective = "channel"
    explorer.layer = "conv2"
    assert explorer.objective == "channel"


@pytest.mark.parametrize(
    ("layer", "name", "value", "words"),
    [
        ("conv2", "objective", "class", "only the model's output has classes"),
        ("conv2", "objective", "nothing", "Choose one of 'neuron', 'channel'"),
        ("", "objective", "channel", "its output has no map"),
        ("conv2", "at", (99, 0), "not on the feature map"),
        ("conv2", "at", (1, 2, 3), "two whole numbers"),
        ("conv2", "at", "middle", "two whole numbers"),
        ("", "at", (0, 0), "has no map"),
        ("conv2", "device", "abacus", "can compute on 'cpu'"),
        ("conv2", "device", "meta", "can compute on 'cpu'"),
        ("conv2", "unit", True, "whole number"),
    ],
)
def test_what_is_not_possible_is_said_in_a_sentence(explore, layer, name, value, words):
    explorer = explore(layer=layer, playing=False)
    before = getattr(explorer, name)
    with pytest.raises(TraitError, match=words):
        setattr(explorer, name, value)
    assert getattr(explorer, name) == before
    if name != "unit":
        with pytest.raises(PeekError, match=words):
            explore(layer=layer, **{name: value})


def test_the_page_sets_them_and_what_it_asks_in_vain_is_sent_back(explore):
    explorer = explore(layer="conv2", playing=False)
    explorer.comm.receive({"method": "update", "state": {"at": [3, 4], "negative": True, "objective": "neuron"}})
    assert (explorer.at, explorer.negative) == ((3, 4), True)
    explorer.comm.receive({"method": "update", "state": {"layer": "", "unit": 2, "objective": "class", "at": None}})
    assert (explorer.layer, explorer.objective, explorer.at) == ("", "class", None)
    explorer.comm.sent.clear()
    explorer.comm.receive({"method": "update", "state": {"at": [3, 4]}})
    assert explorer.at is None
    assert any(state.get("at", 0) is None for state in explorer.comm.updates())


def test_the_device_can_be_said_again(explore):
    explorer = explore(layer="conv2")
    assert explorer.device == "cpu" == explorer._about["device"]
    assert explorer._about["devices"][0] == "cpu"
    explorer.device = "cpu:0"
    assert explorer.device == "cpu"
    assert explorer.wait(60) == "done"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_device_can_be_changed_while_it_runs(explore):
    explorer = explore(layer="conv2", recipe=LONG)
    eventually(lambda: explorer.step > 3)
    explorer.device = "cuda"
    assert explorer.device == explorer._about["device"] == "cuda:0"
    eventually(lambda: explorer.status["state"] == "running" and explorer.step > 3, 60)
    assert explorer._parts.source.network.model_copy.device.type == "cuda"


def test_kinds_follow_the_layer():
    class Layer:
        name, spatial = "", True

    assert objectives.kinds(Layer) == ("neuron", "channel", "class")


# -- names


def test_the_status_names_the_class(explore):
    explorer = explore(layer="", unit=2, class_names=NAMES)
    explorer.wait(60)
    assert "unit 2 of the output (fish)" in explorer.status["text"]
    explorer.unit = 1
    explorer.wait(60)
    assert "(dog)" in explorer.status["text"]
    explorer.layer = "conv2"
    explorer.wait(60)
    assert "dog" not in explorer.status["text"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (NAMES[:4], "4 names, and the model's output has 5 units"),
        (["x"] * 6, "6 names"),
        ([], "0 names"),
        ("cat", "list of names"),
        (7, "list of names"),
    ],
)
def test_labels_that_do_not_fit_are_refused(explore, labels, words):
    with pytest.raises(PeekError, match=words):
        explore(class_names=labels)


def test_a_models_own_names_that_do_not_fit_are_left_out_and_that_is_said(explore, caplog):
    model = tiny()
    model.class_names = NAMES[:3]
    assert explore(model, playing=False).class_names == []
    assert "3 names, and the model's output has 5 units" in caplog.text
    model.class_names = NAMES
    assert explore(model, playing=False).class_names == NAMES


def test_what_describes_the_explorer_cannot_be_set(explore):
    explorer = explore(playing=False)
    for name in ("_layer_list", "_recipe_list", "_knobs", "class_names", "_about"):
        before = getattr(explorer, name)
        with pytest.raises(TraitError, match=f"{name} describes the explorer and cannot be set"):
            setattr(explorer, name, type(before)())
        assert getattr(explorer, name) == before


def test_sentences_of_a_target():
    def say(**more):
        return Target("conv", 3, **more).describe()

    assert say() == "unit 3 of layer conv"
    assert say(name="cat") == "unit 3 of layer conv (cat)"
    assert say(objective="channel") == "unit 3 of layer conv, mean over the map"
    assert say(at=(1, 2)) == "unit 3 of layer conv, at row 1, column 2"
    assert say(negative=True) == "unit 3 of layer conv, minimized"
    assert say(negative=True, at=(1, 2)) == "unit 3 of layer conv, at row 1, column 2, minimized"


# -- beside real images


def test_the_gauge_says_what_it_compares(explore):
    images = Images(12, size=32)
    explorer = explore(layer="conv2", unit=3, dataset=images)
    eventually(
        lambda: explorer.evidence_status.get("state") == "done" and explorer.gauge.get("activation") is not None, 30
    )
    assert "Negative objective" not in explorer.gauge["text"]
    explorer.negative = True
    eventually(lambda: "Negative objective: not compared" in explorer.gauge["text"], 30)
    assert explorer.gauge["activation"] is explorer.gauge["activation_ratio"] is None
    explorer.negative, explorer.objective = False, "channel"
    eventually(lambda: "channel mean" in explorer.gauge["text"], 30)
    assert explorer.gauge["activation"] is not None


def test_a_map_of_scores_can_be_drawn_as_a_class_or_at_a_place(explore):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))
    explorer = explore(model, layer="", unit=1)
    assert explorer.objective == "neuron"
    explorer.objective = "class"
    explorer.wait(60)
    assert np.array_equal(np.asarray(explorer.image), np.asarray(render(model, Logit(1), SHORT, seed=0).pil()))
    with pytest.raises(UnitError):
        explore(model, layer="", at=(500, 0))


def test_a_layer_can_be_given_as_a_module(explore):
    model = tiny()
    explorer = explore(model, layer=model.conv1, playing=False)
    assert explorer.layer == "conv1"
    explorer.layer = model.conv2
    assert explorer.layer == "conv2"
    assert explorer.get_state("layer") == {"layer": "conv2"}
    with pytest.raises(TraitError, match="module"):
        explorer.layer = torch.nn.Conv2d(3, 4, 1)
    with pytest.raises(TraitError, match="name of a layer or a module"):
        explorer.layer = 3
    assert explorer.layer == "conv2"


def test_the_largest_seed_survives_the_page_and_a_larger_one_is_refused(explore):
    explorer = explore(layer="conv2", seed=LARGEST_SEED, playing=False)
    # what JavaScript reads, which has doubles only, and sends back
    (sent,) = (int(float(state["seed"])) for state in [explorer.get_state("seed")])
    explorer.set_state({"seed": 0})
    explorer.set_state({"seed": sent})
    assert explorer.seed == LARGEST_SEED
    with pytest.raises(TraitError, match=r"from 0 to 2\*\*53 - 1"):
        explorer.seed = LARGEST_SEED + 1
    with pytest.raises(PeekError, match=r"from 0 to 2\*\*53 - 1"):
        explorer.compare(seeds=[0, LARGEST_SEED + 1])
    assert explorer.seed == LARGEST_SEED


def test_the_front_end_has_the_same_largest_seed():
    generated = (ROOT / "js" / "src" / "protocol.gen.ts").read_text(encoding="utf-8")
    assert f"export const LARGEST_SEED = {LARGEST_SEED};" in generated


def test_the_devices_are_those_that_can_be_chosen(explore):
    explorer = explore(playing=False)
    assert explorer.devices[0] == "cpu"
    assert explorer.device in explorer.devices

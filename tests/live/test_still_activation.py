"""The number under the picture is that of the picture: its still activation, wherever it is shown."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from peek_widget import Channel, Direction, Logit, Neuron, Objective, Recipe, render
from peek_widget.ascent.still import StillActivation, still_activation
from peek_widget.live import still_meter
from peek_widget.network import read

from .test_explorer import LONG, SHORT, eventually, explore, recording, tiny

__all__ = ["explore", "recording"]  # fixtures

OCTAVES = Recipe.preset("oygard-2016").replace(steps=24, size=48)


def shown(explorer):
    """The picture shown, and how it was made."""
    return explorer._parts.exporter.snapshot


def own(model, objective, snapshot):
    """What the picture itself does, by the rule."""
    return still_activation(read(model), objective, snapshot.image, snapshot.recipe)


@pytest.mark.parametrize("recipe", ["peek", "oygard-2016", "lucid-2017", "maco-2023"])
@pytest.mark.parametrize(
    ("options", "objective"),
    [({}, Neuron("conv2", 3)), ({"objective": "channel"}, Channel("conv2", 3)), ({"layer": ""}, Logit(3))],
)
def test_at_the_end_it_is_that_of_the_picture_to_the_last_bit(explore, recipe, options, objective):
    model = tiny()
    recipe = Recipe.preset(recipe).replace(steps=12, size=32)
    explorer = explore(model, **{"layer": "conv2", "unit": 3, "recipe": recipe, **options})
    assert explorer.wait(60) == "done", explorer.status["text"]
    assert explorer.activation == own(model, objective, shown(explorer))
    assert explorer.history[-1].activation == np.float32(explorer.activation)
    assert explorer.status["text"].endswith("after 12 steps.")


def test_a_minimized_unit_is_measured_where_it_is_lowest(explore):
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, negative=True)
    explorer.wait(60)
    network, picture = read(model), shown(explorer)
    views = StillActivation(network, Neuron("conv2", 3), picture.recipe).shown(picture.image)
    values = network.run(network.preprocess(views(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))), ["conv2"])["conv2"]
    assert explorer.activation == float(values[0, 3].amin()) < 0.0


def square(activations):
    return activations["conv2"].square().mean(dim=(1, 2, 3))


@pytest.mark.parametrize(
    "objective",
    [
        Direction("conv2", np.linspace(-1, 1, 16)),
        Neuron("conv2", 3) - 0.5 * Channel("conv1", 2),
        Objective(square, ["conv2"]),
    ],
)
def test_of_any_other_objective_it_is_the_value_of_the_picture(explore, objective):
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, objective=objective)
    assert explorer.wait(60) == "done", explorer.status["text"]
    network, picture = read(model), shown(explorer)
    image = network.preprocess(picture.image[None])
    with torch.no_grad():
        expected = float(objective(network.run(image, objective.layers))[0])
    assert explorer.activation == own(model, objective, picture) == pytest.approx(expected, rel=1e-4)


def test_it_follows_every_picture_at_which_the_run_stands_still(explore):
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, recipe=LONG)
    eventually(lambda: explorer.step > 30)
    explorer.pause()
    explorer.wait(60)
    paused = explorer.activation
    assert paused == own(model, Neuron("conv2", 3), shown(explorer))
    for step in explorer.checkpoint_steps[:3]:
        explorer.seek(step)
        explorer.wait(60)
        assert shown(explorer).step == explorer.step == step
        assert explorer.activation == own(model, Neuron("conv2", 3), shown(explorer))
        at = next(point for point in explorer.history if point.step >= step)
        assert at.activation == np.float32(explorer.activation), "the curve goes through it"
    explorer.seek(explorer.checkpoint_steps[-1])
    explorer.wait(60)
    assert explorer.activation == paused
    explorer.step_once()
    explorer.wait(60)
    assert explorer.activation == own(model, Neuron("conv2", 3), shown(explorer)) != paused
    explorer.resume_from(explorer.checkpoint_steps[2])
    explorer.pause()
    explorer.wait(60)
    assert explorer.activation == own(model, Neuron("conv2", 3), shown(explorer))


def test_each_new_run_has_its_own_number_from_its_first_picture_on(explore):
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, playing=False)
    for unit in (3, 4, 5):
        explorer.unit = unit
        explorer.step_once()
        explorer.wait(60)
        assert explorer.activation == own(model, Neuron("conv2", unit), shown(explorer))
        assert all(point.activation == point.activation for point in explorer.history)


def test_measuring_changes_no_pixel_and_draws_no_random_number(explore, monkeypatch):
    monkeypatch.setattr(still_meter, "SHORTEST_REST", 0.0)
    monkeypatch.setattr(still_meter, "SHARE", math.inf)
    for recipe in (SHORT, OCTAVES):
        model = tiny()
        before = torch.get_rng_state()
        explorer = explore(model, layer="conv2", unit=3, recipe=recipe, seed=5)
        assert explorer.wait(60) == "done"
        assert torch.equal(torch.get_rng_state(), before)
        measured = [point.activation for point in explorer.history]
        assert len(measured) == recipe.steps
        assert all(map(math.isfinite, measured)), "every step was measured, also before the last octave"
        result = render(model, Neuron("conv2", 3), recipe, seed=5)
        assert torch.equal(shown(explorer).image, result.images[0])
        views = [point.lowest for point in explorer.history]
        assert views == result.history[:, 0].tolist()


def test_the_gauge_has_the_same_number(explore):
    images = [Image.fromarray(np.full((32, 32, 3), 20 * n, np.uint8)) for n in range(12)]
    explorer = explore(layer="conv2", unit=3, dataset=images, playing=False)
    explorer.comm.receive({"method": "custom", "content": {"kind": "visible", "on": True}})
    explorer.play()
    assert explorer.wait(60) == "done"
    eventually(lambda: explorer.gauge.get("activation") == explorer.activation)
    explorer.seek(explorer.checkpoint_steps[1])
    explorer.wait(60)
    eventually(lambda: explorer.gauge["activation"] == explorer.activation)


def test_an_objective_that_cannot_be_measured_is_drawn_and_says_so(explore):
    def one_view_only(activations):
        if not torch.is_grad_enabled():
            raise ValueError("needs a gradient")
        return activations["conv2"].mean(dim=(1, 2, 3))

    explorer = explore(layer="conv2", objective=Objective(one_view_only, ["conv2"]))
    assert explorer.wait(60) == "done"
    assert math.isnan(explorer.activation)
    assert "activation can't be measured: needs a gradient" in explorer.status["text"]

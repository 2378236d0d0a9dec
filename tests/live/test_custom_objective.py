"""An `Objective` given to the explorer in place of the name of one."""

import numpy as np
import pytest
from PIL import Image
from traitlets import TraitError

from peek_widget import Channel, Direction, Neuron, Objective, load_recipe, render
from peek_widget.errors import LayerError, PeekError

from .test_explorer import SHORT, eventually, explore, recording, tiny

__all__ = ["explore", "recording"]  # fixtures

DIRECTION = Direction("conv2", np.linspace(-1, 1, 16))


def mean_square(activations):
    return activations["conv2"].square().mean(dim=(1, 2, 3))


OWN = Objective(mean_square, ["conv2"])


@pytest.mark.parametrize("objective", [DIRECTION, Neuron("conv2", 3) - 0.5 * Channel("conv1", 2), OWN])
def test_the_picture_is_that_of_the_script_and_the_page_calls_it_custom(explore, objective):
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, objective=objective)
    assert explorer.wait(60) == "done", explorer.status["text"]
    assert np.array_equal(np.asarray(explorer.image), np.asarray(render(model, objective, SHORT, seed=0).pil()))
    assert explorer.get_state("objective") == {"objective": "custom"}
    assert str(objective) in explorer.status["text"]


def test_the_layer_follows_the_objective_where_none_is_given(explore):
    assert explore(objective=Neuron("conv1", 3), playing=False).layer == "conv1"


@pytest.mark.parametrize("change", [{"unit": 4}, {"layer": "conv1"}])
def test_another_unit_or_layer_sets_the_default_again(explore, change):
    explorer = explore(layer="conv2", unit=3, objective=DIRECTION, playing=False)
    for name, value in change.items():
        setattr(explorer, name, value)
    assert explorer.objective == "neuron"


def test_other_controls_and_the_page_naming_it_keep_it(explore):
    explorer = explore(layer="conv2", unit=3, playing=False)
    explorer.objective = DIRECTION
    explorer.seed, explorer.negative = 4, True
    explorer.set_state({"objective": "custom", "seed": 5})
    assert explorer.objective is DIRECTION
    assert explorer.seed == 5
    explorer.set_state({"objective": "channel"})
    assert explorer.objective == "channel"


def test_the_page_cannot_choose_custom_where_there_is_none(explore, caplog):
    explorer = explore(layer="conv2", playing=False)
    explorer.set_state({"objective": "custom"})
    assert explorer.objective == "neuron"
    assert "not available for" in caplog.text


def test_an_objective_of_a_layer_that_the_model_has_not_is_refused(explore):
    with pytest.raises(LayerError, match="nowhere"):
        explore(objective=Neuron("nowhere", 0))
    explorer = explore(layer="conv2", playing=False)
    with pytest.raises(TraitError, match="nowhere"):
        explorer.objective = Neuron("nowhere", 0)


def test_the_state_refuses_it_in_a_sentence_and_the_line_names_a_variable(explore):
    explorer = explore(layer="conv2", unit=3, objective=DIRECTION, playing=False)
    with pytest.raises(PeekError, match=r"can't be part of a state.*set objective to a name first\."):
        explorer.state  # noqa: B018
    assert "objective=objective" in explorer.code()
    explorer.objective = "channel"
    assert '"objective": "channel"' in explorer.state


def test_the_gauge_does_not_compare_it_with_the_images_of_the_unit(explore):
    images = [Image.fromarray(np.full((32, 32, 3), 20 * n, np.uint8)) for n in range(12)]
    explorer = explore(layer="conv2", unit=3, objective=DIRECTION, dataset=images, playing=False)
    explorer.comm.receive({"method": "custom", "content": {"kind": "visible", "on": True}})
    explorer.play()
    explorer.wait(60)
    eventually(lambda: explorer.gauge.get("text"))
    assert explorer.gauge["text"] == "Custom objective: not compared with the top images."
    assert (explorer.gauge["activation"], explorer.gauge["activation_ratio"]) == (None, None)
    explorer.objective = "neuron"
    explorer.play()
    explorer.wait(60)
    eventually(lambda: explorer.gauge["activation"] is not None)


def test_a_picture_of_a_function_is_saved_without_the_function(explore, tmp_path):
    explorer = explore(layer="conv2", unit=3, objective=OWN, seed=2)
    assert explorer.wait(60) == "done"
    explorer.save(tmp_path / "x.png")
    drawing = load_recipe(tmp_path / "x.png")
    assert drawing.objective is None
    assert (drawing.seed, drawing.size, drawing.recipe.steps) == (2, 32, 12)

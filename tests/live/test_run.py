"""A knob that the recipe refuses does not stop the run, which says so and keeps the recipe's own value."""

import pytest
from traitlets import TraitError

from peek_widget import Recipe
from peek_widget.errors import PeekError
from peek_widget.live.snapshot import Target

from .fakes import Bench
from .test_explorer import SHORT, explore, recording

__all__ = ["explore", "recording"]  # fixtures

MACO = Recipe.preset("maco-2023").replace(steps=12, size=32)
"""A recipe that refuses decay, because its contrast is fixed."""


@pytest.fixture
def bench():
    made = []

    def make(**options):
        made.append(Bench(**options))
        return made[-1]

    yield make
    for each in made:
        assert each.session.close()


def test_a_refused_knob_leaves_the_recipes_value_and_the_other_knobs_count(bench):
    b = bench(steps=20, refuses=["decay"], playing=False)
    b.session.set_knobs(decay=0.5, blur=1.5)
    b.session.set_playing(True)
    assert b.session.wait(5) == "done"
    assert b.made[0].overrides == {"blur": 1.5}
    assert b.last.status["error"] is None
    assert "decay keeps the recipe's own value: decay has no effect here" in b.last.status["text"]
    assert b.last.snapshot.overrides == {"blur": 1.5}


def test_a_knob_refused_during_the_run_is_noted_until_it_is_given_back(bench):
    b = bench(steps=20, refuses=["decay"])
    b.session.wait(5)
    b.session.set_playing(False)
    b.session.set_knobs(decay=0.5)
    assert b.session.wait(5) in ("done", "paused")
    assert "decay keeps the recipe's own value" in b.last.status["text"]
    b.session.set_knobs(decay=None)
    b.session.wait(5)
    assert "decay" not in b.last.status["text"]
    assert b.made[0].overrides == {}


def test_a_knob_that_one_recipe_refused_counts_in_the_next_one(bench):
    b = bench(steps=20, refuses=["decay"])
    b.session.set_knobs(decay=0.5)
    b.session.wait(5)
    b.ascent["refuses"] = []
    b.session.set_target(Target("conv", 3, recipe="other"))
    assert b.session.wait(5) == "done"
    assert b.made[-1].overrides == {"decay": 0.5}
    assert "decay" not in b.last.status["text"]


def test_a_refused_knob_does_not_stop_a_resumed_run(bench):
    b = bench(steps=20, refuses=["decay"])
    b.session.wait(5)
    b.session.set_knobs(decay=0.5)
    b.session.resume_from(7)
    assert b.session.wait(5) == "done"
    assert "Resumed from step 7." in b.last.status["text"]
    assert "decay keeps the recipe's own value" in b.last.status["text"]


def test_a_recipe_and_an_override_that_it_cannot_have_are_refused_in_a_sentence(explore):
    explorer = explore(recipe=SHORT, layer="conv2", decay=0.01)
    explorer.wait(60)
    with pytest.raises(TraitError, match=r"decay=0.01 is not possible with the recipe 'maco-2023'"):
        explorer.recipe = MACO
    assert explorer.recipe == SHORT
    explorer.decay = None
    explorer.recipe = MACO
    with pytest.raises(TraitError, match=r"decay=0.01 is not possible with the recipe 'maco-2023'"):
        explorer.decay = 0.01
    assert explorer.decay is None
    assert explorer.wait(60) == "done", explorer.status["text"]
    assert explorer.status["error"] is None
    assert explorer.status["values"]["decay"] == 0.0
    with pytest.raises(PeekError, match="decay"):
        explore(recipe=MACO, layer="conv2", decay=0.01)


def test_a_recipe_chosen_in_the_page_gives_back_the_overrides_that_it_cannot_have(explore):
    explorer = explore(recipe=SHORT, layer="conv2", decay=0.01, step_size=0.2, size=32)
    explorer.wait(60)
    explorer.set_state({"recipe": "maco-2023"})
    assert (explorer.recipe, explorer.decay, explorer.step_size) == ("maco-2023", None, 0.2)

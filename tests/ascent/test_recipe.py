from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peek_widget import Recipe
from peek_widget.ascent import KNOBS, presets
from peek_widget.errors import PeekError, RecipeError


@pytest.mark.parametrize("name", Recipe.presets())
def test_presets_are_frozen_hashable_and_survive_json(name: str) -> None:
    recipe = Recipe.preset(name)
    assert recipe.name == name
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert hash(Recipe.from_json(recipe.to_json())) == hash(recipe)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.blur = 1.0  # type: ignore[misc]
    assert presets()[name].summary
    assert presets()[name].source


def test_oygard_has_the_published_numbers() -> None:
    recipe = Recipe.preset("oygard-2016")
    assert recipe.steps == 475
    assert [recipe.at("step_size", s) for s in (0, 100, 200, 300, 474)] == pytest.approx(
        [3.0, 2.75, 2.5, 2.0, 0.375 - 0.25 * 24 / 25]
    )
    assert [recipe.at("blur", s) for s in (0, 200, 300, 400, 450)] == pytest.approx([2.5, 1.1, 0.858, 0.858, 0.4])
    assert recipe.octaves == ((200, 1.0), (100, 1.0), (100, 1.05), (50, 1.05), (25, 1.05))
    assert (recipe.start_level, recipe.start_deviation) == (250.0, 8.0)


@given(st.integers(5, 3000))
def test_steps_scale_octaves_in_proportion(steps: int) -> None:
    recipe = Recipe.preset("oygard-2016")
    scaled = recipe.replace(steps=steps)
    assert scaled.steps == steps
    lengths = [n for n, _ in scaled.octaves]
    assert min(lengths) >= 1
    if steps >= 100:
        for length, (published, _) in zip(lengths, recipe.octaves, strict=True):
            assert abs(length - published * steps / 475) <= 1.0
    assert scaled.blur == recipe.blur


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 4}, "at least 5, one step for each octave"),
        ({"steps": -1}, "steps=-1"),
        ({"blur": -0.1}, "blur=-0.1 is out of range: possible is 0 to 5"),
        ({"blur": ((1.0, 2.0),)}, "for each of the 5 octaves"),
        ({"step_size": float("nan")}, "step_size=nan"),
        ({"decay": "much"}, "decay='much': give a number"),
        ({"blurr": 1.0}, "no field 'blurr'; near names: blur"),
        ({"image": "jpeg"}, "possible are 'fourier', 'pixels'"),
        ({"crop": (0.5, 0.2)}, "the smallest comes first"),
        ({"views": 0}, "whole number from 1 to 64"),
        ({"size": 4}, "from 8 to 2048"),
        ({"image": "fourier"}, "needs image='pixels'"),
        ({"octaves": ()}, "octaves is empty"),
        ({"octaves": ((0, 1.0),) * 5}, "octave of 0 steps"),
    ],
)
def test_what_is_impossible_is_refused_in_a_sentence(changes: dict[str, object], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        Recipe.preset("oygard-2016").replace(**changes)


@pytest.mark.parametrize("text", ["", "[1]", '{"blurr": 1}', '{"blur": -3}', '{"octaves": 7}', "{", "null"])
def test_foreign_json_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_json(text)


def test_unknown_preset() -> None:
    with pytest.raises(RecipeError, match="no recipe 'peak'; possible are peek"):
        Recipe.preset("peak")


values = st.one_of(
    st.floats(), st.integers(-3, 400), st.none(), st.text(max_size=3), st.tuples(st.floats(), st.floats())
)
fields = st.sampled_from([f.name for f in dataclasses.fields(Recipe)] + ["steps", "bogus"])


@given(st.dictionaries(fields, values, max_size=4))
def test_any_change_is_a_recipe_or_a_named_error(changes: dict[str, object]) -> None:
    try:
        recipe = Recipe.preset("peek").replace(**changes)
    except PeekError as error:
        assert str(error)
        return
    for name, knob in KNOBS.items():
        assert knob.minimum <= recipe.at(name, 0) <= knob.maximum
    assert Recipe.from_json(recipe.to_json()) == recipe

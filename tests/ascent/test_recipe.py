from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peek_widget import Recipe
from peek_widget.ascent import KNOBS, NUMBERS, presets
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


OYGARD = {
    "param": "pixels", "init": "noise", "optimizer": "plain", "grad_norm": "mean", "sampling": "window", "n_views": 1,
    "return_best": False, "size": None, "blur_every": 1, "decay": 0.0, "jitter": 0.0, "init_std": 8.0,
}  # fmt: skip
YOSINSKI = {
    "param": "pixels", "init": "noise", "init_mean": None, "init_std": 10.0, "optimizer": "plain",
    "sampling": "window", "n_views": 1, "return_best": True, "size": None, "jitter": 0.0, "noise": 0.0,
    "mean_grad_norm": 0.2,  # not published: from the toolbox's example run, as the presets' docstring explains
}  # fmt: skip
VGG_BLUR = ((2.5, 1.1), (1.1, 0.858), (0.858, 0.78), (0.858, 0.40), (0.4, 0.1))

PUBLISHED: dict[str, dict[str, Any]] = {
    "oygard-2016": {
        **OYGARD, "steps": 475, "octaves": ((200, 1.0), (100, 1.0), (100, 1.05), (50, 1.05), (25, 1.05)),
        "init_mean": 250.0, "blur": VGG_BLUR,
        "step_size": ((3.0, 2.5), (2.5, 2.0), (2.0, 1.5), (1.5, 0.375), (0.375, 0.125)),
    },
    "oygard-2016-googlenet": {
        **OYGARD, "steps": 475, "octaves": ((200, 1.0), (100, 1.0), (100, 1.05), (50, 1.05), (25, 1.05)),
        "init_mean": 250.0, "blur": (*VGG_BLUR[:4], (0.4, 0.3)),
        "step_size": ((12.0, 10.0), (10.0, 8.0), (8.0, 6.0), (6.0, 1.5), (1.5, 0.5)),
    },
    "oygard-2015-class": {
        **OYGARD, "steps": 640, "octaves": ((190, 1.0), (450, 1.2)), "init_mean": 200.0,
        "blur": ((2.5, 0.78), (0.936, 0.40)), "step_size": ((11.0, 11.0), (6.0, 3.0)),
    },
    "yosinski-2015-1": {
        **YOSINSKI, "steps": 500, "decay": 0.0, "blur": 0.5, "blur_every": 4, "clip_norm_percentile": 50.0,
        "clip_contribution_percentile": 0.0, "grad_norm": "progress", "step_size": 2.0, "max_rate": 100.0,
    },
    "yosinski-2015-2": {
        **YOSINSKI, "steps": 750, "decay": 0.3, "blur": 0.0, "clip_norm_percentile": 20.0,
        "clip_contribution_percentile": 0.0, "grad_norm": "none", "step_size": 100.0,
    },
    "yosinski-2015-3": {
        **YOSINSKI, "steps": 1000, "decay": 0.0001, "blur": 1.0, "blur_every": 4, "clip_norm_percentile": 0.0,
        "clip_contribution_percentile": 0.0, "grad_norm": "none", "step_size": 100.0,
    },
    "yosinski-2015-4": {
        **YOSINSKI, "steps": 1000, "decay": 0.0, "blur": 0.5, "blur_every": 4, "clip_norm_percentile": 0.0,
        "clip_contribution_percentile": 90.0, "grad_norm": "progress", "step_size": 2.0, "max_rate": 1e8,
    },
    "lucid-2017": {
        "steps": 512, "size": 128, "param": "fourier", "init": "noise", "init_std": 0.01,
        "spectrum_power": 1.0, "optimizer": "adam", "step_size": 0.05, "sampling": "whole", "n_views": 1,
        "padding": 12 / 128, "padding_mode": "constant", "jitter": 4 / 128, "jitter2": 2 / 128, "rotation": 0.0,
        "scale_choices": (0.9, 0.92, 0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06, 1.08, 1.1),
        "rotation_choices": (*map(float, range(-10, 11)), 0.0, 0.0, 0.0, 0.0, 0.0), "return_best": False,
        "total_variation": 0.0,
    },
    "maco-2023": {
        "steps": 256, "size": 512, "param": "maco", "optimizer": "nadam", "step_size": 1.0, "sampling": "normal-crop",
        "n_views": 32, "crop_mean": (0.5, 0.05), "crop_std": 0.05, "center_std": 0.15,
        # N(0, 0.08) + U(-0.04, 0.04) on values from -1 to 1 is half of that on values from 0 to 1.
        "noise": 0.04, "init_std": 1.0, "alpha": True, "return_best": False,
    },
    "peek": {"param": "fourier", "optimizer": "adam", "sampling": "crop", "size": 192, "steps": 84},
    "peek-fast": {"param": "fourier", "optimizer": "adam", "sampling": "crop"},
}  # fmt: skip


def test_every_preset_has_its_row_of_published_numbers() -> None:
    assert set(PUBLISHED) == set(Recipe.presets())


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_have_the_published_numbers(name: str) -> None:
    recipe = Recipe.preset(name)
    for field, value in PUBLISHED[name].items():
        found = getattr(recipe, field)
        assert found == (pytest.approx(value) if field == "scale_choices" else value), field


def test_oygard_has_the_published_numbers_at_its_steps() -> None:
    recipe = Recipe.preset("oygard-2016")
    assert [recipe.at("step_size", s) for s in (0, 100, 200, 300, 474)] == pytest.approx(
        [3.0, 2.75, 2.5, 2.0, 0.375 - 0.25 * 24 / 25]
    )
    assert [recipe.at("blur", s) for s in (0, 200, 300, 400, 450)] == pytest.approx([2.5, 1.1, 0.858, 0.858, 0.4])


def test_maco_crops_get_smaller_over_the_run() -> None:
    recipe = Recipe.preset("maco-2023")
    assert [recipe.at("crop_mean", s) for s in (0, 128, 256)] == pytest.approx([0.5, 0.275, 0.05])


def test_peek_fast_is_shorter_than_peek() -> None:
    assert Recipe.preset("peek-fast").steps < Recipe.preset("peek").steps


def test_a_schedule_is_linear_over_the_run_or_an_octave() -> None:
    recipe = Recipe(octaves=((10, 1.0), (30, 1.5)), blur=2.0, noise=(0.4, 0.0), decay=((0.0, 0.1), (0.3, 0.2)))
    assert [recipe.at("blur", s) for s in (0, 39, 1000)] == [2.0] * 3
    assert [recipe.at("noise", s) for s in (0, 10, 20, 39)] == pytest.approx([0.4, 0.3, 0.2, 0.01])
    # An octave's last step stops one short of its end, past the run the last value holds.
    assert [recipe.at("decay", s) for s in (0, 5, 9, 10, 25, 39)] == pytest.approx(
        [0.0, 0.05, 0.09, 0.3, 0.25, 0.3 - 0.1 * 29 / 30]
    )
    assert recipe.at("decay", 500) == recipe.at("decay", 40) == pytest.approx(0.2)
    assert recipe.at("noise", 500) == 0.0
    half = recipe.replace(steps=20)
    assert half.octaves == ((5, 1.0), (15, 1.5))
    for name in ("blur", "noise", "decay"):
        for step in range(20):
            assert half.at(name, step) == pytest.approx(recipe.at(name, 2 * step)), (name, step)


def test_a_range_of_crops_can_change_over_the_run() -> None:
    recipe = Recipe(octaves=((10, 1.0),), crop=((0.5, 1.0), (0.1, 0.4)), field_crop=(0.5, 0.9))
    assert recipe.shares("crop", 0) == (0.5, 1.0)
    assert recipe.shares("crop", 5) == pytest.approx((0.3, 0.7))
    assert recipe.shares("crop", 99) == pytest.approx((0.1, 0.4))
    assert recipe.shares("field_crop", 7) == (0.5, 0.9)
    assert Recipe.from_json(recipe.to_json()) == recipe


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
        ({"steps": 2.5}, "steps=2.5"),
        ({"steps": True}, "steps=True"),
        ({"steps": 10**9}, "from 1 to 100000"),
        ({"blur": -0.1}, "blur=-0.1 is out of range: give a number from 0 to 5"),
        ({"blur": ((1.0, 2.0),)}, "for each of the 5 octaves"),
        ({"blur": 10**400}, "out of range: give a number from 0 to 5"),
        ({"step_size": float("nan")}, "step_size=nan"),
        ({"step_size": (1.0, float("inf"))}, "step_size=inf"),
        ({"decay": "much"}, "decay='much': give a number"),
        ({"decay": True}, "decay=True: give a number"),
        ({"decay": None}, "decay=None: give a number"),
        ({"blurr": 1.0}, "no field 'blurr'; near names: blur"),
        ({"param": "jpeg"}, "choose one of 'fourier', 'pixels'"),
        ({"param": None}, "choose one of 'fourier', 'pixels'"),
        ({"crop": (0.5, 0.2)}, "give the smallest first"),
        ({"crop": (0.01, 0.2)}, "give a number from 0.02 to 4"),
        ({"crop": 0.5}, "give .smallest, largest."),
        ({"crop": ((0.1, 0.2), (0.1, 0.2), (0.1, 0.2))}, "give .smallest, largest."),
        ({"crop": (((0.1, 0.2), (0.1, 0.2)), (0.1, 0.2))}, "two pairs at most"),
        (
            {"rotation_choices": (181.0,)},
            "one of rotation_choices=181.0 is out of range: give a number from -180 to 180",
        ),
        ({"scale_choices": (0.2,)}, "one of scale_choices=0.2 is out of range: give a number from 0.25 to 4"),
        ({"rotation_choices": 5.0}, "give a tuple of numbers"),
        ({"n_views": 0}, "whole number from 1 to 64"),
        ({"n_views": 1.5}, "whole number from 1 to 64"),
        ({"blur_every": 0}, "whole number from 1 to 1000"),
        ({"size": 4}, "from 8 to 2048"),
        ({"size": 2049}, "from 8 to 2048"),
        ({"size": 32.5}, "from 8 to 2048"),
        ({"name": 3}, "give a short text"),
        ({"alpha": 1}, "give True or False"),
        ({"octaves": ()}, "octaves is empty"),
        ({"octaves": ((0, 1.0),) * 5}, "octave of 0 steps"),
        ({"octaves": ((5, 0.5),) * 5}, "an octave's scale=0.5 is out of range: give a number from 1 to 4"),
        ({"octaves": ((5, "1.0"),) * 5}, "an octave's scale='1.0'"),
        ({"octaves": ((5, math.nan),) * 5}, "an octave's scale=nan"),
        ({"octaves": 7}, "give ..steps, scale."),
        ({"param": "fourier"}, "needs param='pixels'"),
        ({"n_views": 2}, "give n_views=1 and not 2"),
        ({"rotation_choices": (1.0,)}, "for rotation_choices or scale_choices take another sampling"),
        ({"scale_choices": (1.1,)}, "for rotation_choices or scale_choices take another sampling"),
        ({"rotation": 3.0}, "for rotation take another sampling"),
        ({"flip": (0.0, 0.5)}, "for flip take another sampling"),
        ({"padding": 0.1}, "needs sampling='whole'"),
        ({"jitter2": 0.1}, "needs sampling='whole'"),
        ({"grad_norm": "progress", "optimizer": "adam"}, "needs optimizer='plain'"),
    ],
)
def test_impossible_values_are_refused_in_a_sentence(changes: dict[str, object], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        Recipe.preset("oygard-2016").replace(**changes)


@pytest.mark.parametrize(
    ("base", "changes", "words"),
    [
        ("maco-2023", {"init": "gray"}, "init='gray' has none"),
        ("maco-2023", {"octaves": ((10, 1.0), (10, 1.5))}, "octaves of scale 1"),
        ("maco-2023", {"decay": (0.0, 0.1)}, "nothing can decay"),
        ("maco-2023", {"clip_norm_percentile": 5.0}, "needs param='pixels', and not 'maco'"),
        ("peek", {"clip_contribution_percentile": 5.0}, "needs param='pixels', and not 'fourier'"),
        ("peek", {"bilateral": 1.0}, "needs param='pixels', and not 'fourier'"),
        ("peek", {"sampling": "window"}, "needs param='pixels'"),
        ("peek", {"grad_norm": "progress"}, "needs optimizer='plain', param='pixels'"),
        ("lucid-2017", {"rotation": 5.0}, "rotation_choices are taken in place of rotation"),
        ("lucid-2017", {"sampling": "crop"}, "needs sampling='whole'"),
    ],
)
def test_impossible_combinations_are_refused_in_a_sentence(base: str, changes: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        Recipe.preset(base).replace(**changes)


# Of each number what is possible alone, and something just outside of either end.
BOUNDS = {
    **{name: (knob.minimum, knob.maximum) for name, knob in NUMBERS.items()},
    "init_mean": (0.0, 255.0), "init_std": (0.0, 255.0), "spectrum_power": (0.0, 3.0),
    "max_rate": (1e-6, 1e12), "mean_grad_norm": (1e-6, 1e6), "stretch": (1e-3, 1e3),
    "crop_std": (0.0, 1.0), "center_std": (0.0, 1.0),
    "jitter2": (0.0, 0.25), "padding": (0.0, 1.0), "bilateral_color": (0.01, 1.0),
}  # fmt: skip


def _param_of(name: str) -> str:
    """Return a parametrization in which the number has an effect."""
    return "fourier" if name.startswith("contrast_") else "pixels"


@pytest.mark.parametrize("name", BOUNDS)
def test_every_number_has_a_minimum_and_a_maximum(name: str) -> None:
    low, high = BOUNDS[name]
    base = Recipe(param=_param_of(name), sampling="whole")
    for value in (low, high, (low + high) / 2):
        assert getattr(base.replace(**{name: value}), name) == value
    for value in (low - 1e-3, high * 1.01, math.nan, math.inf, -math.inf, "1", True):
        with pytest.raises(RecipeError, match=name) as caught:
            base.replace(**{name: value})
        assert f"{high:g}" in str(caught.value)


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_can_have_a_schedule(name: str) -> None:
    low, high = BOUNDS[name]
    base = Recipe(param=_param_of(name), sampling="whole", octaves=((4, 1.0), (4, 1.0)))
    whole, parts = base.replace(**{name: (high, low)}), base.replace(**{name: [[low, high], [high, low]]})
    assert whole.at(name, 4) == pytest.approx((low + high) / 2)
    assert [parts.at(name, s) for s in (0, 4)] == [low, high]
    assert Recipe.from_json(parts.to_json()) == parts
    with pytest.raises(RecipeError, match=name):
        base.replace(**{name: ((low, high), (high, low + 1e9))})


@pytest.mark.parametrize(
    "text",
    [
        "", "[1]", '{"blurr": 1}', '{"blur": -3}', '{"octaves": 7}', "{", "null", '{"steps": 5}', '{"blur": NaN}',
        '{"blur": Infinity}', '{"blur": 1' + "0" * 400 + "}", '{"crop": ' + "[" * 700 + "]" * 700 + "}",
        "[" * 100_000, '{"octaves": [[1, 1.0], [2]]}', '{"octaves": [["x", 1.0]]}', '{"name": ["peek"]}',
        '{"size": "64"}', '{"param": ["maco"]}',
    ],
)  # fmt: skip
def test_foreign_json_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_json(text)


def test_json_has_every_field_and_missing_ones_have_their_defaults() -> None:
    assert set(json.loads(Recipe().to_json())) == {f.name for f in dataclasses.fields(Recipe)}
    assert Recipe.from_json("{}") == Recipe()
    with pytest.raises(RecipeError, match="no field 'steps'; near names: step_size"):
        Recipe.from_json('{"steps": 5}')


def test_an_unknown_preset_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(RecipeError, match="no recipe 'peak': choose one of peek"):
        Recipe.preset("peak")


values = st.one_of(
    st.floats(), st.integers(-3, 400), st.none(), st.text(max_size=3), st.tuples(st.floats(), st.floats())
)
fields = st.sampled_from([f.name for f in dataclasses.fields(Recipe)] + ["steps", "bogus"])


@given(st.dictionaries(fields, values, max_size=4))
def test_any_changes_give_a_recipe_or_a_named_error(changes: dict[str, object]) -> None:
    try:
        recipe = Recipe.preset("peek").replace(**changes)
    except PeekError as error:
        assert str(error)
        return
    for name, knob in KNOBS.items():
        assert knob.minimum <= recipe.at(name, 0) <= knob.maximum
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_names_of_earlier_versions_are_read() -> None:
    old = {"view": "window", "image": "pixels", "keep": "best", "beyond": "grey", "start": "grey", "small_norm": 5.0}
    assert Recipe.from_json(json.dumps(old)) == Recipe(
        sampling="window", param="pixels", return_best=True, padding_mode="constant", init="gray",
        clip_norm_percentile=5.0,
    )  # fmt: skip
    for both in ({"view": "whole", "sampling": "whole"}, {"normalise": "rms", "normalize": "rms"}):
        with pytest.raises(RecipeError, match=r"under several names.*keep only"):
            Recipe.from_json(json.dumps(both))
    with pytest.raises(RecipeError, match="return_best='worst': give True or False"):
        Recipe.from_json('{"keep": "worst"}')
    with pytest.raises(RecipeError, match="no field 'view'"):
        Recipe().replace(view="whole")


def test_a_field_that_was_renamed_says_its_new_name():
    with pytest.raises(RecipeError, match="'turns': it is called 'rotation_choices'"):
        Recipe().replace(turns=(1.0,))

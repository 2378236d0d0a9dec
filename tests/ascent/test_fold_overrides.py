"""A run as it went, as a recipe that draws it again."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from peek_widget import Channel, Recipe, ascend, render
from peek_widget.ascent.fold_overrides import fold_overrides
from peek_widget.ascent.knobs import NUMBERS

PAIR = ((3.0, 1.0), (1.0, 0.5), (0.5, 0.25))
BASE = Recipe(
    octaves=((4, 1.0), (3, 1.2), (3, 1.0)),
    param="pixels",
    optimizer="plain",
    grad_norm="mean",
    sampling="window",
    step_size=PAIR,
    blur=(1.0, 0.2),
    init_std=8.0,
    size=32,
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))


def test_a_run_without_changes_folds_into_its_recipe():
    assert fold_overrides(BASE, BASE.steps, {}) == (BASE, [])


@given(steps=st.integers(1, 25), blur=st.none() | st.floats(0, 5))
@settings(deadline=None, max_examples=60)
def test_the_folded_recipe_has_the_same_numbers_at_every_step(steps, blur):
    overrides = {} if blur is None else {"blur": blur}
    recipe, lost = fold_overrides(BASE, steps, overrides)
    assert lost == []
    assert recipe.steps == steps
    for step in range(steps):
        for name in NUMBERS:
            expected = overrides.get(name, BASE.at(name, min(step, BASE.steps - 1)))
            assert recipe.at(name, step) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", Recipe.presets())
@pytest.mark.parametrize("steps", [9, 15])
def test_every_preset_stopped_early_or_extended_is_reproduced_from_its_folded_recipe(model, name, steps):
    if name == "maco-2023":
        recipe = Recipe.preset(name).replace(steps=12, n_views=2)
    else:
        recipe = Recipe.preset(name).replace(steps=12)
    knobs = {"blur": 0.7, "step_size": 1.3 * recipe.at("step_size", 0)}
    run = ascend(model, Channel("2", 1), recipe, seed=3, size=24)
    run.override(**knobs)
    run.extend(3)
    for _ in range(steps):
        step = run.step()
    again, lost = fold_overrides(recipe, steps, knobs, [max(size) for size in run._geometry.sizes])
    assert lost == []
    result = render(model, Channel("2", 1), again, seed=3, size=run.size)
    if recipe.octaves[0][0] == 12:
        assert torch.equal(result.images, step.images)
    else:
        assert result.images.shape == step.images.shape
        assert (result.images - step.images).abs().max() < 1 / 512


def test_properties_that_no_recipe_can_reproduce_are_listed():
    assert fold_overrides(Recipe.preset("lucid-2017"), 512, {"jitter": 0.2})[1] != []
    assert fold_overrides(Recipe.preset("lucid-2017"), 100, {"blur": 0.2})[1] == []
    growing = Recipe(crop=((0.2, 1.0), (0.5, 1.0)))
    assert fold_overrides(growing, 100, {})[1] != []
    assert fold_overrides(growing, growing.steps, {}) == (growing, [])

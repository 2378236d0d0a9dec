"""The loop in a researcher's hands: lazy, stopped, changed on the way, interrupted, in any context, on odd models."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from peek_widget import Channel, Logit, Neuron, Objective, PeekError, Recipe, Step, ascend, load_recipe, render
from peek_widget.ascent import NUMBERS, Ascent, engine
from peek_widget.errors import AscentError, RecipeError, SizeError
from peek_widget.network import read
from tests.networks import Fixed, Tiny, assert_same, portrait, tiny

NET = read(tiny(), 32)
SHORT = Recipe.preset("peek").replace(steps=8)


def brief(name: str, steps: int = 8) -> Recipe:
    recipe = Recipe.preset(name)
    return recipe.replace(steps=steps, n_views=min(recipe.n_views, 2))


# Lazy, and left early


def test_no_step_is_made_before_it_is_asked_for() -> None:
    asked = []

    def count(activations: Any) -> torch.Tensor:
        asked.append(1)
        return activations["forms"][:, 1].mean(dim=(1, 2))

    steps = ascend(NET, Objective(count, ["forms"]), SHORT, size=24)
    assert not asked
    assert iter(steps) is steps
    next(steps)
    assert len(asked) == 1
    assert [step.index for step in steps] == list(range(1, 8))
    assert len(asked) == 8
    assert steps.done
    with pytest.raises(StopIteration):
        next(steps)


def test_a_callback_gets_every_step_and_may_stop_the_run() -> None:
    seen: list[Step] = []
    render(NET, Logit(1), SHORT, size=24, callback=seen.append)
    assert [s.index for s in seen] == list(range(8))

    def until(step: Step) -> bool:
        return step.index == 2

    result = render(NET, Logit(1), SHORT, size=24, callback=until)
    assert result.history.shape == (3, 1)
    assert torch.equal(result.images, seen[2].images)
    assert not result.interrupted
    # Only True itself stops: a callback that gives back what it has drawn, say, does not.
    assert render(NET, Logit(1), SHORT, size=24, callback=lambda step: step.images).history.shape == (8, 1)


def test_single_steps_followed_by_run_are_one_run() -> None:
    ascent = Ascent(NET, Logit(1), SHORT, size=24)
    first = next(ascent)
    rest = ascent.run()
    whole = render(NET, Logit(1), SHORT, size=24)
    assert rest.history.shape == (7, 1)
    assert torch.equal(torch.cat([first.activations[None], rest.history]), whole.history)
    assert torch.equal(rest.images, whole.images)
    again = ascent.run()  # nothing is left
    assert again.history.shape == (0, 1)
    assert torch.equal(again.images, whole.images)


def test_changing_returned_tensors_does_not_change_the_run() -> None:
    ascent = Ascent(NET, Logit(1), SHORT, size=24)
    for step in ascent:
        step.images.zero_()
        step.activations.zero_()
        ascent.images.fill_(1.0)
    assert torch.equal(ascent.images, render(NET, Logit(1), SHORT, size=24).images)


def test_extend_allows_further_steps() -> None:
    ascent = Ascent(NET, Logit(1), SHORT, size=24)
    ascent.run()
    ascent.extend(2)
    assert [s.index for s in ascent] == [8, 9]
    for steps in (-1, 1.5, True, "2", None):
        with pytest.raises(PeekError, match="whole number of further steps"):
            ascent.extend(steps)  # type: ignore[arg-type]


# Interrupted


def test_ctrl_c_returns_the_result_so_far() -> None:
    def stop(step: Step) -> None:
        if step.index == 3:
            raise KeyboardInterrupt

    result = render(NET, Logit(1), SHORT, size=24, callback=stop)
    assert result.interrupted
    assert result.history.shape == (4, 1)
    kept = render(NET, Logit(1), SHORT, size=24, callback=lambda s: s.index == 3)
    assert torch.equal(result.images, kept.images)


class Interrupting(Tiny):
    """Ctrl-C comes in its forward, once so many runs are over."""

    left = math.inf

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if Interrupting.left <= 0:
            raise KeyboardInterrupt
        Interrupting.left -= 1
        return super().forward(x)


@pytest.mark.parametrize("name", ["peek", "oygard-2016", "yosinski-2015-1"])
def test_ctrl_c_in_the_middle_of_a_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = Interrupting()
    before = portrait(model)
    # (the noise on the weights is measured in forwards of its own before the first step)
    ascent = Ascent(
        model, Logit(1), brief(name).replace(weight_noise=0.0, relu_leak=0.0, rivals=0.0), size=24, input_size=32
    )
    monkeypatch.setattr(Interrupting, "left", 3)
    result = ascent.run()
    assert result.interrupted
    assert result.history.shape == (3, 1)
    assert torch.equal(result.images, ascent.best)
    assert_same(before, portrait(model))
    monkeypatch.setattr(Interrupting, "left", 0)
    with pytest.raises(KeyboardInterrupt):
        ascent.run()  # before a step of this call
    # It can be taken up again.
    monkeypatch.setattr(Interrupting, "left", math.inf)
    assert ascent.run().history.shape == (5, 1)


def test_ctrl_c_before_the_first_step_is_raised() -> None:
    def stop(activations: Any) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(NET, Objective(stop, ["forms"]), SHORT, size=24)


def test_other_exceptions_of_a_callback_are_raised() -> None:
    def fail(step: Step) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        render(NET, Logit(1), SHORT, size=24, callback=fail)


# Changed on the way


@pytest.mark.parametrize("name", NUMBERS)
def test_any_number_can_be_overridden(name: str) -> None:
    knob = NUMBERS[name]
    sampling = "normal-crop" if name == "crop_mean" else "whole"
    recipe = Recipe(
        octaves=((6, 1.0),), param="pixels", sampling=sampling, grad_norm="rms", optimizer="plain", step_size=3.0
    )
    if name.startswith("contrast_"):  # on spectra alone
        recipe = recipe.replace(param="fourier")
    objective = Logit(1) if name == "weight_noise" else Channel("forms", 1)
    value = (knob.minimum + 2.0 * knob.maximum) / 3.0
    by_hand = Ascent(NET, objective, recipe, size=24)
    by_hand.override(**{name: value})
    own = Ascent(NET, objective, recipe.replace(**{name: value}), size=24)
    assert torch.equal(by_hand.run().images, own.run().images)
    free = Ascent(NET, objective, recipe, size=24)
    assert not torch.equal(free.run().images, own.images)
    for bad in (knob.minimum - 1.0, knob.maximum * 1.5, math.nan, math.inf, "1", True):
        with pytest.raises(RecipeError, match=name):
            by_hand.override(**{name: bad})


def test_overrides_are_applied_all_or_none() -> None:
    ascent = Ascent(NET, Logit(1), SHORT, size=24)
    for bad in ({"blur": 1.0, "nope": 2.0}, {"blur": 1.0, "decay": 9.0}, {"blur": 1.0, "clip_norm_percentile": 50.0}):
        with pytest.raises(RecipeError):
            ascent.override(**bad)
    assert ascent.values()["blur"] == 0.0


def test_recipe_values_are_reported_beside_overridden_values() -> None:
    recipe = SHORT.replace(blur=(2.0, 1.0))
    ascent = Ascent(NET, Logit(1), recipe, size=24)
    ascent.override(blur=4.0)
    assert (ascent.values()["blur"], ascent.recipe_values()["blur"]) == (4.0, 2.0)
    ascent.step()
    assert ascent.recipe_values()["blur"] == recipe.at("blur", 1) < 2.0
    assert "decay" in ascent.recipe_values()
    assert "decay" not in Ascent(NET, Logit(1), brief("maco-2023"), size=24).recipe_values()


def test_overrides_without_effect_are_refused() -> None:
    ascent = Ascent(NET, Logit(1), SHORT, size=24)
    for name in ("bilateral", "clip_norm_percentile", "clip_contribution_percentile"):
        with pytest.raises(RecipeError, match="needs param='pixels'"):
            ascent.override(**{name: 1.0})
        ascent.override(**{name: 0.0})
    with pytest.raises(RecipeError, match="nothing can decay"):
        Ascent(NET, Logit(1), brief("maco-2023"), size=24).override(decay=0.1)
    with pytest.raises(RecipeError, match="crop_mean is the side of normal crops, and sampling='crop' has none"):
        ascent.override(crop_mean=0.3)
    with pytest.raises(RecipeError, match="in place of rotation"):
        Ascent(NET, Logit(1), brief("lucid-2017"), size=24).override(rotation=5.0)
    held = Ascent(NET, Logit(1), brief("oygard-2016"), size=24)
    held.override(clip_norm_percentile=10.0)
    with pytest.raises(RecipeError, match="clip_norm_percentile changes single pixels"):
        held.change(recipe="peek")


def test_the_objective_can_be_changed_during_the_run() -> None:
    ascent = Ascent(NET, Channel("forms", 1), brief("peek", 40), size=24)
    for _ in range(20):
        ascent.step()
    before = ascent.images
    ascent.change(objective=Channel("forms", 6))
    assert torch.equal(ascent.images, before)
    values = [step.activation for step in ascent]
    assert len(values) == 20
    assert sum(values[-3:]) > sum(values[:3])
    with pytest.raises(PeekError, match="2 objectives for 1 pictures"):
        ascent.change(objective=[Logit(0), Logit(1)])


@pytest.mark.parametrize("base", ["peek", "oygard-2016", "lucid-2017", "maco-2023"])
@pytest.mark.parametrize("then", ["peek", "oygard-2016", "lucid-2017", "yosinski-2015-4", "oygard-2015-class"])
def test_the_recipe_can_be_changed_during_the_run(base: str, then: str) -> None:
    ascent = Ascent(NET, [Logit(1), Neuron("forms", 2)], brief(base, 6), size=24)
    for _ in range(3):
        ascent.step()
    before = ascent.images
    ascent.change(recipe=brief(then, 10))
    if ascent.size == before.shape[-1]:
        # A spectrum keeps no more than its band.
        assert float((ascent.images - before).abs().mean()) < (0.04 if ascent.recipe.param == "fourier" else 1e-4)
    assert len(list(ascent)) == 7
    assert ascent.images.shape == (2, 3, 24, 24)
    assert torch.isfinite(ascent.images).all()


@pytest.mark.parametrize("base", ["peek", "oygard-2016", "maco-2023"])
@pytest.mark.parametrize(
    "changes",
    [
        {"objective": Neuron("forms", 99)},
        {"objective": Neuron("nowhere", 1)},
        {"objective": [Logit(1), Logit(2)]},
        {"objective": "forms"},
        {"recipe": "nope"},
        {"recipe": 3},
        {"recipe": Recipe(param="maco", size=8)},
        {"recipe": Recipe(octaves=((1, 4.0),) * 3 + ((100, 4.0),)), "objective": Logit(99)},
    ],
)
def test_a_failed_change_leaves_the_run_as_it_was(base: str, changes: dict[str, Any]) -> None:
    def made() -> Ascent:
        ascent = Ascent(NET, Channel("forms", 1), brief(base).replace(size=24))
        for _ in range(3):
            ascent.step()
        return ascent

    tried, untried = made(), made()
    with pytest.raises(PeekError):
        tried.change(**changes)
    for one, other in zip(tried, untried, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.activations, other.activations)
    assert tried.recipe == untried.recipe
    assert tried.objectives == untried.objectives


def test_a_change_that_breaks_half_way_leaves_the_run_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, untried = (Ascent(NET, Channel("forms", 1), SHORT, size=24) for _ in range(2))
    tried.step(), untried.step()

    def late(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(engine, "Updater", late)  # the last that a change makes
    with pytest.raises(MemoryError):
        tried.change(recipe=brief("oygard-2016"), objective=Logit(1))
    monkeypatch.undo()
    for one, other in zip(tried, untried, strict=True):
        assert torch.equal(one.images, other.images)


def test_maco_can_only_be_changed_to_maco_of_its_size() -> None:
    recipe = brief("maco-2023").replace(size=24)
    ascent = Ascent(NET, Logit(1), recipe)
    ascent.step()
    before = ascent.images
    ascent.change(recipe=recipe.replace(spectrum_power=0.5, noise=0.1))
    assert torch.equal(ascent.images, before)
    with pytest.raises(RecipeError, match="it is 24 px in this run: give size=24"):
        ascent.change(recipe=recipe.replace(size=32))
    with pytest.raises(RecipeError, match="can't be continued with param='maco'"):
        Ascent(NET, Logit(1), SHORT, size=24).change(recipe=recipe)


def test_random_draws_continue_after_a_change() -> None:
    # A change to what it is already draws nothing and forgets nothing but the optimizer's momentum.
    plain = Recipe(octaves=((8, 1.0),), param="pixels", optimizer="plain", grad_norm="mean", step_size=3.0, noise=0.1)
    changed, whole = (Ascent(NET, Logit(1), plain, size=24) for _ in range(2))
    for _ in range(3):
        changed.step(), whole.step()
    changed.change(recipe=plain, objective=Logit(1))
    assert torch.equal(changed.run().images, whole.run().images)


# The caller's context, and the guest


@pytest.mark.parametrize("name", Recipe.presets())
def test_the_context_does_not_matter_and_the_model_is_unchanged(name: str) -> None:
    model = tiny().train()
    before = portrait(model)
    results = []
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu")):
        with mode():
            results.append(render(model, [Logit(1), Neuron("forms", 2)], brief(name, 6), size=24, input_size=32))
    assert_same(before, portrait(model))
    for other in results[1:]:
        assert torch.equal(results[0].images, other.images)
        assert torch.equal(results[0].history, other.history)


def test_the_model_is_unchanged_after_an_error() -> None:
    model = tiny()
    before = portrait(model)

    def fail(_: Any) -> torch.Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        render(model, Objective(fail, ["forms"]), SHORT, size=24, input_size=32)
    assert_same(before, portrait(model))


def test_the_callers_default_dtype_is_ignored() -> None:
    expected = [render(NET, Neuron("forms", 1), brief(name, 5), size=24).images for name in Recipe.presets()]
    torch.set_default_dtype(torch.float64)
    try:
        for name, images in zip(Recipe.presets(), expected, strict=True):
            assert torch.equal(render(NET, Neuron("forms", 1), brief(name, 5), size=24).images, images), name
    finally:
        torch.set_default_dtype(torch.float32)


# Odd models, extreme numbers

VIEWS = [
    {"sampling": "crop"},
    {"sampling": "normal-crop", "n_views": 3},
    {"sampling": "whole", "padding": 0.2, "jitter": 0.1},
    {
        "sampling": "window",
        "param": "pixels",
        "rotation": 0.0,
        "n_views": 1,
        "contrast_cap": 0.0,
        "contrast_floor": 0.0,
    },
]


@pytest.mark.parametrize("changes", VIEWS)
@pytest.mark.parametrize("kind", ["half", "bfloat16", "double", "gray", "fixed"])
def test_unusual_models_are_drawn_with_every_sampling(kind: str, changes: dict[str, Any]) -> None:
    model: nn.Module = {
        "half": lambda: tiny().half(),
        "bfloat16": lambda: tiny().bfloat16(),
        "double": lambda: tiny().double(),
        "gray": lambda: tiny(channels=1),
        "fixed": Fixed,
    }[kind]()
    conv = "conv" if kind == "fixed" else "forms"
    recipe = SHORT.replace(**changes)
    result = render(model, [Logit(1), Neuron(conv, 2), Channel(conv, 1)], recipe, size=24)
    assert result.images.shape == (3, 1 if kind in ("gray", "fixed") else 3, 24, 24)
    assert torch.isfinite(result.images).all()
    assert result.images.dtype == result.history.dtype == torch.float32
    assert float(result.images.std()) > 1e-4


@pytest.mark.parametrize("name", Recipe.presets())
@pytest.mark.parametrize("size", [8, 9, 13, 40])
def test_the_smallest_pictures_and_fewest_steps_are_drawn(name: str, size: int) -> None:
    recipe = Recipe.preset(name)
    least = len(recipe.octaves)
    result = render(NET, [Logit(1), Neuron("edges", 2)], recipe.replace(steps=least), size=size)
    assert result.images.shape == (2, 3, size, size)
    assert result.history.shape == (least, 2)
    assert torch.isfinite(result.images).all()


@pytest.mark.parametrize("param", ["fourier", "pixels", "maco"])
@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": "crop", "n_views": 64, "crop": (0.02, 4.0), "field_crop": (0.02, 4.0), "rotation": 180.0},
        {
            "sampling": "crop",
            "scale_choices": (0.25,),
            "crop": (4.0, 4.0),
            "field_crop": (4.0, 4.0),
            "padding_mode": "reflect",
        },
        {"sampling": "whole", "padding": 1.0, "jitter": 0.5, "jitter2": 0.25, "scale_choices": (0.25, 4.0)},
        {"sampling": "whole", "padding": 0.0, "jitter2": 0.25, "scale_choices": (4.0,), "jitter": 0.5},
        {"sampling": "normal-crop", "crop_mean": 0.05, "crop_std": 1.0, "center_std": 1.0, "noise": 0.5},
        {"sampling": "whole", "step_size": 200.0, "total_variation": 1.0, "l1": 1.0, "blur": 5.0},
    ],
)
@pytest.mark.parametrize("optimizer", ["adam", "plain"])
def test_extreme_numbers_give_a_finite_picture_or_a_named_error(
    param: str, changes: dict[str, Any], optimizer: str
) -> None:
    given = {"padding_mode": "constant", "step_size": 5.0, "flip": 1.0, "grad_norm": "rms", **changes}
    recipe = Recipe(octaves=((3, 1.0),), param=param, optimizer=optimizer, **given)
    for size in (8, 33):
        for objective in (Neuron("edges", 1), Channel("forms", 2), Logit(1)):
            try:
                images = render(NET, objective, recipe, size=size).images
            except AscentError as error:
                assert "its gradient is zero everywhere" in str(error)  # a view so far off sees nothing but gray
                continue
            assert images.shape == (1, 3, size, size)
            assert torch.isfinite(images).all()


def test_a_last_step_that_is_not_finite_is_an_error() -> None:
    model = tiny()
    with torch.no_grad():
        model.classes.weight.mul_(1e30)
    recipe = SHORT.replace(steps=1, optimizer="plain", grad_norm="none", step_size=200.0)
    with pytest.raises(AscentError, match="The pictures after step 0 have numbers that are not finite: make step_size"):
        render(model, Logit(0), recipe, size=24, input_size=32)


def test_an_objective_too_deep_for_the_first_octave_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(4), nn.Conv2d(4, 4, 5), nn.Conv2d(4, 2, 1))
    recipe = Recipe.preset("oygard-2016").replace(steps=5)
    with pytest.raises(SizeError, match=r"needs at least 22\. Give size=") as caught:
        ascend(model, Channel("2", 0), recipe, size=20)
    least = int(str(caught.value).rsplit("size=", 1)[1].split()[0])
    assert len(list(ascend(model, Channel("2", 0), recipe, size=least))) == 5


# Kept


@pytest.mark.parametrize("name", Recipe.presets())
def test_a_picture_is_drawn_again_from_its_file(name: str, tmp_path: Path) -> None:
    recipe = brief(name, 6)
    result = render(NET, [Logit(1), Neuron("forms", 2)], recipe, seed=[8, 9], size=24)
    result.save(tmp_path / "x.png", 1)
    drawing = load_recipe(tmp_path / "x.png")
    assert drawing.recipe == recipe
    assert drawing.objective == Neuron("forms", 2)
    assert (drawing.seed, drawing.size) == (9, 24)
    again = render(NET, drawing.objective, drawing.recipe, seed=drawing.seed, size=drawing.size)
    assert torch.allclose(again.history[:3, 0], result.history[:3, 1], atol=1e-4)


def test_of_several_pictures_it_is_said_which_is_saved(tmp_path: Path) -> None:
    result = render(NET, [Logit(1), Logit(2)], brief("peek", 2), size=24)
    with pytest.raises(PeekError, match=r"has 2 pictures, and a file holds one.*index=0"):
        result.save(tmp_path / "x.png")
    for wrong in (2, -1, True, "1"):
        with pytest.raises(PeekError, match="from 0 to 1"):
            result.save(tmp_path / "x.png", wrong)
    for i in range(len(result.images)):
        result.save(tmp_path / f"{i}.png", i)
    assert [load_recipe(tmp_path / f"{i}.png").objective for i in range(2)] == [Logit(1), Logit(2)]

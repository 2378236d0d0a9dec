from __future__ import annotations

import dataclasses
import gc
import math
import weakref

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from peek_widget import Channel, Direction, Diversity, Logit, Neuron, Objective, Preprocess, Recipe, ascend, render, zoo
from peek_widget.ascent import NUMBERS, Ascent, to_pil
from peek_widget.errors import (
    AscentError,
    LayerError,
    ModelError,
    PeekError,
    RecipeError,
    SizeError,
    UnitError,
)
from peek_widget.evidence.naturalness import degenerate
from peek_widget.network import read
from tests.networks import Fixed, Planted, Tiny, squeezenet, tiny

SHORT = Recipe.preset("peek").replace(steps=12)


@pytest.mark.parametrize("recipe", Recipe.presets())
def test_the_picture_is_what_a_planted_unit_looks_for(recipe: str) -> None:
    planned = Recipe.preset(recipe)
    short = planned.replace(steps=min(planned.steps, 475))
    result = render(Planted(), Channel("conv", 0), short, size=32, preprocess="none", input_size=32)
    image = result.images[0]
    if recipe == "maco-2023":
        # Its mean color is fixed; what it can do is to be red in the middle, where most of its crops lie.
        redness = image[0] - image[1:].mean(0)
        assert float(redness[8:24, 8:24].mean()) > float(redness.mean()) + 0.02
    else:
        red, green, blue = image.mean(dim=(1, 2))
        # Yosinski's set 4 clears nine in ten pixels.
        assert red > 1.2 * max(green, blue)
    assert result.history[-5:].mean() > result.history[:5].mean()


@pytest.mark.parametrize("recipe", Recipe.presets())
@pytest.mark.parametrize("objective", [Neuron("forms", 2), Channel("forms", 2), Logit(3)])
def test_activation_rises(recipe: str, objective: Objective) -> None:
    history = render(tiny(), objective, Recipe.preset(recipe).replace(steps=40), size=32).history[:, 0]
    assert history[-5:].mean() > history[:5].mean()


@pytest.mark.parametrize("recipe", Recipe.presets())
def test_same_seed_same_pixels(recipe: str) -> None:
    short = Recipe.preset(recipe).replace(steps=15)
    first, second = (render(tiny(), [Neuron("forms", 1), Logit(0)], short, seed=7, size=32) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.history, second.history)
    torch.manual_seed(99)  # the global state has no say
    other = render(tiny(), [Neuron("forms", 1), Logit(0)], short, seed=8, size=32)
    assert not torch.equal(first.images, other.images)


@pytest.mark.parametrize("recipe", ["peek-fast", "oygard-2016"])
def test_a_run_that_nobody_holds_gives_its_memory_back_at_once(recipe: str) -> None:
    network = read(tiny())
    render(network, "forms:3", Recipe.preset(recipe).replace(steps=10), size=32)  # what is found out once may stay
    gc.collect()
    gc.disable()
    try:
        run = Ascent(network, "forms:3", recipe=recipe, size=32)
        for _ in range(2):
            run.step()
        ended = weakref.ref(run)
        del run
        assert ended() is None
    finally:
        gc.enable()


def test_the_global_random_state_is_left_alone() -> None:
    model = tiny()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    render(model, Logit(0), SHORT, size=32)
    assert torch.equal(before, torch.get_rng_state())


def test_a_batch_starts_as_its_pictures_do_alone() -> None:
    objectives = [Neuron("forms", 1), Neuron("forms", 5), Channel("forms", 2)]
    together = Ascent(tiny(), objectives, SHORT, seed=[4, 5, 6], size=32)
    alone = [Ascent(tiny(), o, SHORT, seed=s, size=32) for o, s in zip(objectives, (4, 5, 6), strict=True)]
    for _ in range(3):
        batch, singles = together.step(), [one.step() for one in alone]
        for number, single in enumerate(singles):
            assert torch.allclose(batch.images[number], single.tensor, atol=1e-4)


def test_images_of_a_step_are_copies_in_range() -> None:
    steps = list(ascend(tiny(), Logit(0), SHORT, size=24))
    assert [s.index for s in steps] == list(range(12))
    for step in steps:
        assert step.images.shape == (1, 3, 24, 24)
        assert step.images.dtype == torch.float32
        assert 0.0 <= float(step.images.min()) <= float(step.images.max()) <= 1.0
        assert math.isfinite(step.activation)
    assert not torch.equal(steps[3].images, steps[4].images)


def test_the_activation_of_a_step_is_that_of_the_views() -> None:
    # The whole picture without any view: the value can be worked out by hand.
    model = tiny().eval()
    recipe = Recipe.preset("oygard-2016").replace(octaves=((5, 1.0),), step_size=3.0, blur=1.0)
    ascent = Ascent(model, Logit(2), recipe, size=32, preprocess="none")
    for _ in range(3):
        before = ascent.images
        step = ascent.step()
        assert step.activation == pytest.approx(model(before)[0, 2].item(), abs=1e-5)


def test_a_rectified_layer_is_drawn_before_its_relu() -> None:
    class Off(nn.Module):
        """Its bias keeps the ReLU shut for every image."""

        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
            nn.init.constant_(self.block[0].bias, -50.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(x).mean(dim=(2, 3))

    torch.manual_seed(0)
    for objective in (Neuron("block", 1), Logit(1), Channel("block", 1)):
        history = render(Off(), objective, SHORT, size=32).history
        assert history[-1] > history[0]
        assert history[0] < -40.0


def test_sums_have_exact_weights() -> None:
    acts = {"a": torch.tensor([[[[2.0]], [[5.0]]]])}
    one, two = Neuron("a", 0), Neuron("a", 1)
    assert (2 * one - two)(acts).item() == -1.0
    assert (3 * (2 * one - two) + two)(acts).item() == 3 * -1 + 5
    assert (-one)(acts).item() == -2.0
    assert (-(one + two) * 2)(acts).item() == -14.0
    custom = Objective(lambda a: a["a"][:, 0, 0, 0] ** 2, ["a"])
    assert (custom + one)(acts).item() == 6.0


def test_a_negative_objective_lowers_the_activation() -> None:
    history = render(tiny(), -1 * Neuron("forms", 2), SHORT, size=32).history
    assert history[-1] > history[0]


def test_a_sum_of_two_layers_one_of_them_after_a_relu_rises() -> None:
    result = render(tiny(), Channel("drop", 1) + Channel("edges", 2) + Logit(0), SHORT, size=32)
    assert result.history[-1] > result.history[0]


def test_a_model_of_one_channel_and_a_fixed_size_is_drawn() -> None:
    result = render(Fixed(), [Logit(0), Neuron("conv", 2)], SHORT, preprocess=Preprocess((0.1,), (0.3,), channels=1))
    assert result.images.shape == (2, 1, 192, 192)
    assert result.pil().mode == "L"
    assert result.history[-1, 0] > result.history[0, 0]


def test_knobs_can_be_overridden_during_the_run() -> None:
    ascent = Ascent(tiny(), Logit(0), "oygard-2016", size=32)
    ascent.step()
    assert ascent.values()["blur"] == Recipe.preset("oygard-2016").at("blur", 1)
    ascent.override(blur=4.0, total_variation=0.5, decay=0.1, jitter=0.1, step_size=1.0)
    for _ in range(5):
        ascent.step()
    smooth = ascent.images
    assert ascent.values() == {"blur": 4.0, "jitter": 0.1, "decay": 0.1, "total_variation": 0.5, "step_size": 1.0}
    ascent.override(blur=0.0)
    for _ in range(5):
        ascent.step()
    rough = ascent.images

    def grain(x: torch.Tensor) -> float:
        return float((x[..., 1:] - x[..., :-1]).abs().mean())

    assert grain(rough) > 2 * grain(smooth)
    ascent.override(blur=None)
    assert ascent.values()["blur"] == Recipe.preset("oygard-2016").at("blur", ascent.index)
    with pytest.raises(RecipeError, match="out of range"):
        ascent.override(blur=9.0)
    with pytest.raises(RecipeError, match="no knob 'blurr'"):
        ascent.override(blurr=1.0)


@pytest.mark.parametrize("name", ["blur", "decay", "total_variation"])
def test_each_regularizer_smooths_a_spectrum(name: str) -> None:
    def variation(value: float) -> float:
        recipe = SHORT.replace(**{"steps": 30, "total_variation": 0.0, "contrast_floor": 0.0, name: value})
        image = render(tiny(), Logit(0), recipe, size=48).images
        return float((image[..., 1:] - image[..., :-1]).abs().mean())

    assert variation({"blur": 2.0, "decay": 0.3, "total_variation": 1.0}[name]) < 0.7 * variation(0.0)


def test_a_run_can_be_extended_past_its_end() -> None:
    ascent = Ascent(tiny(), Logit(0), SHORT, size=32)
    while not ascent.done:
        ascent.step()
    ascent.extend(3)
    assert not ascent.done
    indices = []
    while not ascent.done:
        indices.append(ascent.step().index)
    assert indices == [12, 13, 14]


def test_octaves_end_at_the_size_asked_for() -> None:
    recipe = Recipe.preset("oygard-2016").replace(steps=10)
    assert [s.images.shape[-1] for s in ascend(tiny(), Logit(0), recipe, size=60)][-1] == 60
    published = [s.images.shape[-1] for s in ascend(tiny(), Logit(0), recipe, input_size=224)]
    assert sorted(set(published)) == [224, 235, 247, 259]
    fourier = Recipe(octaves=((5, 1.0), (5, 1.5)))
    sizes = [s.images.shape[-1] for s in ascend(tiny(), Logit(0), fourier, size=48)]
    assert sizes == [32] * 5 + [48] * 5


def test_an_octave_only_resizes_the_picture() -> None:
    from peek_widget.ascent.param import Fourier

    noise = torch.randn(1, 3, 32, 17, 2, generator=torch.Generator().manual_seed(0))
    image = Fourier(noise, 32, 2.0)
    before = image.render().detach()
    image.resize(48)
    after = torch.nn.functional.interpolate(image.render().detach(), 32, mode="bilinear", antialias=True)
    assert float((before - after).abs().mean()) < 0.1 * float(before.std())


def test_a_zero_gradient_is_an_error_in_a_sentence() -> None:
    class Dead(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 0.0

    class Cut(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).detach()

    for model, words in ((Dead(), r"changes Logit\(unit=1\)"), (Cut(), r"Logit\(unit=1\) has no gradient.*detach")):
        with pytest.raises(PeekError, match=words):
            list(ascend(model, Logit(1), size=32, input_size=32))


def test_nan_is_an_error_in_a_sentence() -> None:
    model = tiny()
    with torch.no_grad():
        model.forms.weight[3, 0, 0, 0] = math.nan
    with pytest.raises(AscentError, match=r"At step 0 .*Neuron\(layer='forms', unit=3.*not a finite number"):
        list(ascend(model, [Neuron("forms", 2), Neuron("forms", 3)], size=32))


@pytest.mark.parametrize(
    ("objective", "kwargs", "error", "words"),
    [
        (Neuron("form", 0), {}, LayerError, "near names: forms"),
        (Neuron("unused", 0), {}, LayerError, "never runs it"),
        (Neuron("forms", 8), {}, UnitError, "numbered 0 to 7"),
        (Neuron("forms", 1, (16, 0)), {}, UnitError, "16 rows and 16 columns"),
        (Logit(5), {}, UnitError, "numbered 0 to 4"),
        (Logit(0), {"seed": -1}, PeekError, "seed=-1"),
        (Logit(0), {"seed": [1, 2]}, PeekError, "2 seeds for 1 objectives"),
        (Logit(0), {"size": 7}, RecipeError, "from 8 to 2048"),
        (Logit(0), {"recipe": "nope"}, RecipeError, "choose one of peek"),
        (Logit(0), {"recipe": 3}, RecipeError, "recipe is a int"),
        ([], {}, PeekError, "not an objective"),
        (3, {}, PeekError, "not an objective"),
        ("forms", {}, PeekError, "names no unit"),
        (Logit(0), {"device": "gpu"}, ModelError, "device"),
        (Logit(0), {"preprocess": Preprocess((0.5,), channels=1)}, ModelError, "takes 3"),
    ],
)
def test_bad_input_is_refused_at_the_call(objective: object, kwargs: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        ascend(tiny(), objective, **{"size": 32, **kwargs})


def test_a_size_too_small_for_the_layer_is_refused_with_the_smallest_size() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(4), nn.Conv2d(4, 4, 5), nn.Conv2d(4, 2, 1))
    with pytest.raises(SizeError, match=r"16 px is too small: layer '2'.*at least 22. Give size=22") as caught:
        ascend(model, Channel("2", 0), size=16)
    assert "needs at least 22" in str(caught.value)
    assert len(list(ascend(model, Channel("2", 0), SHORT, size=22))) == 12


objectives = st.sampled_from(
    [
        Logit(1),
        Neuron("forms", 2),
        Neuron("forms", 2, (3, 1)),
        Channel("edges", 0),
        Neuron("classes", 3),
        -Channel("norm", 1),
        Direction("forms", [1.0, -2.0, 0.0, 0.5, 3.0, 0.0, 0.0, 1.0], power=2.0),
        Channel("forms", 1) + 0.5 * Diversity("edges"),
        2 * Logit(0) - Neuron("edges", 3),
    ]
)


def schedules(low: float, high: float) -> st.SearchStrategy:
    one = st.floats(low, high)
    return st.one_of(one, st.tuples(one, one), st.lists(st.tuples(one, one), min_size=1, max_size=5).map(tuple))


pairs = st.tuples(st.floats(0.02, 4.0), st.floats(0.02, 4.0)).map(lambda p: tuple(sorted(p)))
anything = {
    **{name: schedules(knob.minimum, knob.maximum) for name, knob in NUMBERS.items()},
    "octaves": st.lists(st.tuples(st.integers(1, 5), st.floats(1.0, 1.5)), min_size=1, max_size=3).map(tuple),
    "return_best": st.booleans(),
    "param": st.sampled_from(["fourier", "pixels", "maco"]),
    "init": st.sampled_from(["noise", "gray", "white"]),
    "init_mean": st.none() | st.floats(0.0, 255.0),
    "init_std": st.floats(0.0, 255.0),
    "spectrum_power": st.floats(0.0, 3.0),
    "max_rate": st.floats(1e-6, 1e12),
    "mean_grad_norm": st.none() | st.floats(1e-6, 1e6),
    "stretch": st.floats(1e-3, 1e3),
    "log_probability": st.floats(0.0, 100.0),
    "rivals": st.floats(0.0, 1.0),
    "residual_gradient": st.floats(0.0, 1.0),
    "relu_leak": st.floats(0.0, 1.0),
    "pool_spread": st.floats(0.0, 1.0),
    "class_flip": st.just(0.0) | st.floats(0.0, 1.0),
    "alpha": st.booleans(),
    "optimizer": st.sampled_from(["adam", "nadam", "plain"]),
    "grad_norm": st.sampled_from(["first", "rms", "mean", "none", "progress"]),
    "sampling": st.sampled_from(["crop", "normal-crop", "whole", "window"]),
    "n_views": st.integers(1, 3),
    "crop": pairs | st.tuples(pairs, pairs),
    "field_crop": pairs,
    "effective_field": st.booleans(),
    "view_size": st.none() | st.integers(8, 48),
    "crop_std": st.floats(0.0, 1.0),
    "center_std": st.floats(0.0, 1.0),
    "jitter2": st.floats(0.0, 0.25),
    "rotation_choices": st.lists(st.floats(-180.0, 180.0), max_size=3).map(tuple),
    "scale_choices": st.lists(st.floats(0.25, 4.0), max_size=3).map(tuple),
    "padding": st.floats(0.0, 1.0),
    "padding_mode": st.sampled_from(["reflect", "constant"]),
    "blur_every": st.integers(1, 5),
    "bilateral_color": st.floats(0.01, 1.0),
}


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    objective=objectives,
    base=st.sampled_from(Recipe.presets()),
    # A few at a time: of all together hardly a recipe would be possible.
    changes=st.lists(st.sampled_from(sorted(anything)), max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: anything[name] for name in names})
    ),
    size=st.integers(8, 40),
    seed=st.integers(0, 2**62),
)
def test_any_run_gives_a_finite_picture_or_a_named_error(
    objective: Objective, base: str, changes: dict, size: int, seed: int
) -> None:
    try:
        recipe = Recipe.preset(base)
        recipe = recipe.replace(steps=8, n_views=min(recipe.n_views, 3)).replace(**changes)
        images = render(NETWORK, objective, recipe, size=size, seed=seed).images
    except PeekError as error:
        assert str(error)
        return
    assert images.shape == (1, 3, size, size)
    assert bool(torch.isfinite(images).all())
    assert 0.0 <= float(images.min()) <= float(images.max()) <= 1.0


def test_the_random_recipes_cover_every_field() -> None:
    assert {f.name for f in dataclasses.fields(Recipe)} == {*anything, "name", "size"}


NETWORK = read(tiny(), 32)


@pytest.mark.slow
def test_squeezenet_recognizes_the_picture_of_a_class() -> None:
    model = squeezenet()
    with torch.no_grad():
        result = render(model, Logit(817), "peek", size=128)
        image = nn.functional.interpolate(result.images, 224, mode="bilinear")
        image = Preprocess((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(image)
        assert 817 in model(image)[0].topk(5).indices.tolist()


YOSINSKI = [name for name in Recipe.presets() if name.startswith("yosinski")]


@pytest.mark.parametrize("recipe", YOSINSKI)
def test_recipes_with_absolute_rates_draw_on_a_real_network(recipe: str) -> None:
    history = render(squeezenet(), Logit(130), Recipe.preset(recipe).replace(steps=12), size=96).history[:, 0]
    assert history.max() > history[0] + 2.0


@pytest.mark.parametrize("recipe", YOSINSKI)
def test_recipes_with_absolute_rates_give_a_picture_of_the_bundled_network(recipe: str) -> None:
    result = render(zoo.bundled(), Neuron("conv4", 20), Recipe.preset(recipe).replace(steps=60))
    assert degenerate(result.images[0]) == ""
    assert result.history.max() > result.history[0] + 1.0


@pytest.mark.parametrize("recipe", YOSINSKI)
def test_recipes_with_absolute_rates_draw_the_same_whatever_the_scale_of_the_network(recipe: str) -> None:
    model = tiny()
    short = Recipe.preset(recipe).replace(steps=12)
    expected = render(model, Logit(3), short, size=32).images
    with torch.no_grad():
        model.classes.weight *= 1024.0  # a power of two, so that nothing is rounded
        model.classes.bias *= 1024.0
    assert torch.equal(render(model, Logit(3), short, size=32).images, expected)
    own = short.replace(mean_grad_norm=None)
    assert not torch.equal(render(model, Logit(3), own, size=32).images, expected)


@pytest.mark.slow
def test_inactive_units_of_fire8_are_drawn() -> None:
    model = squeezenet()
    units = list(range(0, 512, 64))
    steps = ascend(model, [Neuron("features.12", u) for u in units], size=96)
    first = next(steps)
    for _ in range(15):
        last = next(steps)
    assert bool((last.activations > first.activations).all())


def test_numbers_without_effect_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"start= takes a picture; .*replace\(init='gray'\)"):
        ascend(tiny(), Logit(0), SHORT, start="gray", size=32)
    with pytest.raises(RecipeError, match="spectrum= is for param='maco'"):
        ascend(tiny(), Logit(0), SHORT, spectrum=torch.ones(3, 8, 5), size=32)
    with pytest.raises(PeekError, match=r"State\.load\(path\)"):
        Ascent.resume(tiny(), "run.safetensors")  # type: ignore[arg-type]
    with pytest.raises(PeekError, match="from 0 to 9223372036854775807"):
        ascend(tiny(), Logit(0), SHORT, seed=2**64, size=32)


def test_a_step_and_a_result_have_a_picture_and_a_tensor() -> None:
    ascent = ascend(tiny(), [Logit(0), Logit(1)], SHORT, size=32)
    step = ascent.step()
    assert torch.equal(step.tensor, step.images[0])
    assert step.image == to_pil(step.images[0])
    result = ascent.run()
    assert torch.equal(result.tensor, result.images[0])
    assert result.image == result.pil()

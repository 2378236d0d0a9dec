"""Regularizers and steps by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from peek_widget import Channel, Logit, Recipe, render
from peek_widget.ascent import Ascent
from peek_widget.ascent.param import Fourier, Maco, Pixels
from peek_widget.ascent.regularizers import (
    bilateral,
    blur,
    clip_contribution,
    clip_norm,
    decay,
    l1_gradient,
    total_variation_gradient,
)
from peek_widget.ascent.spectrum import power_law_spectrum
from tests.networks import Planted, tiny

NEUTRAL = torch.tensor([0.4, 0.5, 0.6])
WHOLE = [(slice(None), slice(None))]


def pixels(side: int = 16, count: int = 1, seed: int = 0) -> Pixels:
    return Pixels(255.0 * torch.rand(count, 3, side, side, generator=Generator().manual_seed(seed)))


def test_decay_equals_a_computation_by_hand() -> None:
    image = pixels()
    before, target = image.parameter.detach().clone(), 255.0 * NEUTRAL.view(1, 3, 1, 1)
    decay(image, 0.25, NEUTRAL)
    assert torch.allclose(image.parameter, 0.75 * before + 0.25 * target, atol=1e-4)
    decay(image, 0.0, NEUTRAL)
    spectrum = Fourier(torch.randn(1, 3, 8, 5, 2), 8, 1.0)
    before = spectrum.parameter.detach().clone()
    decay(spectrum, 0.1, NEUTRAL)
    assert torch.allclose(spectrum.parameter, 0.9 * before)


def test_penalty_gradients_equal_autograds() -> None:
    pictures = torch.rand(2, 3, 7, 9, requires_grad=True)
    across = (pictures[..., 1:] - pictures[..., :-1]).abs().sum()
    down = (pictures[:, :, 1:] - pictures[:, :, :-1]).abs().sum()
    (expected,) = torch.autograd.grad(across + down, pictures)
    assert torch.equal(total_variation_gradient(pictures.detach()), expected)
    (expected,) = torch.autograd.grad((pictures - 0.5).abs().sum(), pictures)
    assert torch.equal(l1_gradient(pictures.detach()), expected)
    flat = torch.full((1, 1, 4, 4), 0.5)
    assert not total_variation_gradient(flat).any()
    assert not l1_gradient(flat).any()


@pytest.mark.parametrize("percentile", [1.0, 20.0, 50.0, 90.0, 99.0])
def test_pixels_of_small_norm_are_cleared(percentile: float) -> None:
    image = pixels(20, 2)
    target = 255.0 * NEUTRAL.view(1, 3, 1, 1)
    before = image.parameter.detach().clone()
    norms = (before - target).norm(dim=1)
    clip_norm(image, percentile, NEUTRAL)
    emptied = (image.parameter.detach() == target).all(1)
    for number in range(2):
        # Of each picture exactly so many, and those with the smallest norm.
        assert int(emptied[number].sum()) == int(percentile / 100.0 * 400)
        assert float(norms[number][emptied[number]].max()) < float(norms[number][~emptied[number]].min())
    assert torch.equal(image.parameter.detach().movedim(1, -1)[~emptied], before.movedim(1, -1)[~emptied])


@pytest.mark.parametrize("percentile", [10.0, 90.0])
def test_pixels_of_small_contribution_are_cleared(percentile: float) -> None:
    image = pixels(20, 2)
    target = 255.0 * NEUTRAL.view(1, 3, 1, 1)
    gradient = torch.randn(2, 3, 20, 20, generator=Generator().manual_seed(3))
    worth = (gradient * (image.parameter.detach() - target)).sum(1).abs()
    clip_contribution(image, gradient, percentile, NEUTRAL)
    emptied = (image.parameter.detach() == target).all(1)
    for number in range(2):
        assert int(emptied[number].sum()) == int(percentile / 100.0 * 400)
        assert float(worth[number][emptied[number]].max()) < float(worth[number][~emptied[number]].min())


def test_nothing_is_cleared_where_the_percentage_is_less_than_one_pixel() -> None:
    image = pixels(8)
    before = image.parameter.detach().clone()
    clip_norm(image, 1.0, NEUTRAL)
    clip_norm(image, 0.0, NEUTRAL)
    clip_contribution(image, torch.ones_like(before), 0.0, NEUTRAL)
    assert torch.equal(image.parameter, before)


def bell(side: int, sigma: float) -> Tensor:
    places = torch.arange(side) - side // 2
    one = torch.exp(-(places**2) / (2.0 * sigma**2))
    return torch.outer(one, one) / one.sum() ** 2


def dot(side: int) -> Pixels:
    levels = torch.zeros(1, 3, side, side)
    levels[..., side // 2, side // 2] = 255.0
    return Pixels(levels)


@pytest.mark.parametrize("sigma", [0.5, 1.1, 2.5])
def test_blur_equals_scipys_gaussian(sigma: float) -> None:
    image = dot(41)
    blur(image, sigma, WHOLE)
    assert torch.allclose(image.parameter[0, 0] / 255.0, bell(41, sigma), atol=1e-4)


def test_blur_stays_in_its_window() -> None:
    image = pixels(20, 2)
    before = image.parameter.detach().clone()
    windows = [(slice(2, 12), slice(5, 15)), (slice(None), slice(None))]
    blur(image, 1.5, windows)
    changed = (image.parameter.detach() != before).any(1)
    inside = torch.zeros(20, 20, dtype=torch.bool)
    inside[2:12, 5:15] = True
    assert torch.equal(changed[0], inside)
    assert bool(changed[1].all())
    alone = Pixels(before[:1, :, 2:12, 5:15].clone())
    blur(alone, 1.5, WHOLE)  # nothing of what lies outside comes in
    assert torch.equal(image.parameter[:1, :, 2:12, 5:15], alone.parameter)


def test_blur_of_a_spectrum_is_a_gaussian_of_its_values() -> None:
    side = 32
    values = torch.zeros(1, 1, side, side)
    values[..., side // 2, side // 2] = 1.0
    image = Fourier.from_pictures(torch.sigmoid(values), 1.0)
    blur(image, 1.5, WHOLE)
    assert torch.allclose(torch.logit(image.render().detach())[0, 0], bell(side, 1.5), atol=1e-3)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_filters_accept_the_smallest_pictures(side: int) -> None:
    image = pixels(side)
    blur(image, 5.0, WHOLE)
    bilateral(image, 5.0, 0.5)
    clip_norm(image, 99.0, NEUTRAL)
    assert bool(torch.isfinite(image.parameter).all())


def test_bilateral_keeps_an_edge_and_smooths_the_areas_beside_it() -> None:
    noise = 4.0 * torch.randn(1, 3, 24, 24, generator=Generator().manual_seed(0))
    step = torch.full((1, 3, 24, 24), 50.0)
    step[..., 12:] = 200.0
    image, softened = Pixels(step + noise), Pixels(step + noise)
    bilateral(image, 2.0, 0.1)
    blur(softened, 2.0, WHOLE)
    found, soft = image.parameter.detach(), softened.parameter.detach()
    assert float(found[..., 12].mean() - found[..., 11].mean()) > 145.0
    assert float(soft[..., 12].mean() - soft[..., 11].mean()) < 60.0
    assert float(found[..., :10].std()) < 0.5 * float(noise.std())


@pytest.mark.parametrize("sigma", [0.7, 1.2, 2.0])
def test_bilateral_with_a_large_color_deviation_is_a_blur(sigma: float) -> None:
    image, other = dot(31), dot(31)
    bilateral(image, sigma, 1e6)
    blur(other, sigma, WHOLE)
    # It reaches two deviations far and the blur four.
    found, expected = image.parameter.detach(), other.parameter.detach()
    assert torch.allclose(found, expected, atol=0.12 * float(expected.max()))
    assert float(found.sum()) == pytest.approx(float(expected.sum()), rel=1e-3)


def test_bilateral_equals_a_computation_by_hand() -> None:
    image = Pixels(torch.tensor([[[[10.0, 20.0, 40.0]] * 3]]))
    bilateral(image, 0.5, 0.1)  # a reach of 1 px
    color = lambda d: math.exp(-(d**2) / (2 * 25.5**2))  # noqa: E731
    beside = math.exp(-1 / (2 * 0.25))
    weights = {10.0: beside * color(10), 20.0: 1.0, 40.0: beside * color(20)}  # the rows are alike
    expected = sum(level * w for level, w in weights.items()) / sum(weights.values())
    assert float(image.parameter.detach()[0, 0, 1, 1]) == pytest.approx(expected, abs=1e-3)


def test_bilateral_with_a_small_sigma_does_nothing() -> None:
    image = pixels()
    before = image.parameter.detach().clone()
    bilateral(image, 0.0, 0.1)
    bilateral(image, 0.05, 0.1)
    assert torch.equal(image.parameter, before)


def test_blur_of_maco_changes_its_magnitudes() -> None:
    image = Maco(torch.randn(1, 1, 16, 9, generator=Generator().manual_seed(0)), power_law_spectrum(1, 16), 16)
    phases = image.parameter.detach().clone()
    before = image.render().detach()
    blur(image, 2.0, WHOLE)
    assert image.blurred == 2.0
    assert torch.equal(image.parameter, phases)
    assert not torch.equal(image.render(), before)
    blur(image, 0.0, WHOLE)
    assert torch.equal(image.render(), before)


# One step by hand. Planted's first unit is red less green less blue, the mean over the picture: of size S its gradient
# is +-1 / S² in every pixel of [0, 1], where its ReLU is open or not.

SIGNS = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
SIDE = 10
PLAIN = Recipe(
    octaves=((5, 1.0),),
    param="pixels",
    init="gray",
    optimizer="plain",
    sampling="window",
    grad_norm="none",
    step_size=1.0,
)


def moved(recipe: Recipe, steps: int = 1) -> Tensor:
    """By how many gray levels the picture has moved."""
    objective = Channel("conv", 0)
    ascent = Ascent(Planted(), objective, recipe, size=SIDE, preprocess="none", input_size=SIDE)
    before = ascent.images
    for _ in range(steps):
        ascent.step()
    return 255.0 * (ascent.images - before)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"grad_norm": "mean", "step_size": 3.0}, 3.0),
        ({"grad_norm": "rms", "step_size": 3.0}, 3.0),
        ({"grad_norm": "first", "step_size": 3.0}, 3.0),
        # By gray levels: 1 / S² / 255.
        ({"grad_norm": "none", "step_size": 200.0}, 200.0 / (SIDE**2 * 255.0)),
        # min(largest, desired / |g|²) g, with |g|² = 3 S² / (S² 255)².
        ({"grad_norm": "progress", "step_size": 0.02, "max_rate": 1e8}, 0.02 * SIDE**2 * 255.0 / (3 * SIDE**2)),
        ({"grad_norm": "progress", "step_size": 2.0, "max_rate": 1e4}, 1e4 / (SIDE**2 * 255.0)),
        # Of norm 0.5 for 227 px, in proportion to the side: every pixel and channel has an equal part of it.
        (
            {"grad_norm": "none", "step_size": 200.0, "mean_grad_norm": 0.5, "stretch": 0.1},
            0.1 * 200.0 * 0.5 / (227 * 3**0.5),
        ),
        (
            {"grad_norm": "progress", "step_size": 2.0, "max_rate": 1e8, "mean_grad_norm": 0.5, "stretch": 3.0},
            3.0 * 2.0 * 227 / (0.5 * SIDE * SIDE * 3**0.5),
        ),
    ],
)
def test_a_plain_step_equals_a_computation_by_hand(changes: dict[str, Any], expected: float) -> None:
    assert torch.allclose(moved(PLAIN.replace(**changes)), expected * SIGNS.expand(1, 3, SIDE, SIDE), rtol=2e-3)


@pytest.mark.parametrize("optimizer", ["adam", "nadam"])
@pytest.mark.parametrize("grad_norm", ["first", "rms", "mean", "none"])
def test_an_adaptive_step_equals_a_computation_by_hand(optimizer: str, grad_norm: str) -> None:
    recipe = PLAIN.replace(optimizer=optimizer, grad_norm=grad_norm, step_size=2.0)
    levels = torch.full((1, 3, SIDE, SIDE), 127.5, requires_grad=True)
    kind = {"adam": torch.optim.Adam, "nadam": torch.optim.NAdam}[optimizer]
    by_hand = kind([levels], lr=2.0)
    slope = SIGNS.expand_as(levels) / SIDE**2
    size = {"first": 1 / SIDE**2, "rms": 1 / SIDE**2, "mean": 1 / SIDE**2, "none": 1.0}[grad_norm]
    for _ in range(3):
        levels.grad = -slope / size / 255.0
        by_hand.step()
    assert torch.allclose(moved(recipe, 3), levels.detach() - 127.5, atol=0.01, rtol=1e-3)


@pytest.mark.parametrize("grad_norm", ["first", "rms", "mean", "none"])
def test_a_plain_step_of_a_spectrum_equals_a_computation_by_hand(grad_norm: str) -> None:
    recipe = PLAIN.replace(param="fourier", sampling="whole", grad_norm=grad_norm, step_size=0.05, spectrum_power=1.0)
    ascent = Ascent(Planted(), Channel("conv", 0), recipe, size=SIDE, preprocess="none", input_size=SIDE)
    parameter = ascent._image.parameter.detach().clone().requires_grad_()
    image = Fourier(parameter.detach().clone(), SIDE, 1.0, ascent._image.highest_frequencies)
    image.render().backward(SIGNS.expand(1, 3, SIDE, SIDE) / (1.0 if grad_norm != "none" else SIDE**2))
    expected = parameter.detach() + 0.05 * image.parameter.grad
    ascent.step()
    assert torch.allclose(ascent._image.parameter.detach(), expected, atol=1e-5)


def test_penalty_weights_are_in_units_of_the_gradient() -> None:
    # Against mid-gray and red's pull the other way: at a strength of 1 the two are of one size.
    white = PLAIN.replace(init="white", grad_norm="none", step_size=200.0)
    free, pulled = moved(white), moved(white.replace(l1=1.0))
    unit = 200.0 / (SIDE**2 * 255.0)
    assert torch.allclose(free, torch.clamp(unit * SIGNS, max=0.0).expand_as(free), rtol=1e-2)  # white is clipped
    assert torch.allclose(pulled, unit * (SIGNS - 1.0).expand_as(free), rtol=1e-2)


def test_blur_is_applied_every_blur_every_steps() -> None:
    # Steps 0, 3, 6, ... as in the toolbox, whose blur comes when i % blur_every is 0.
    noisy = PLAIN.replace(init="noise", init_mean=128.0, init_std=20.0, blur=1.0, blur_every=3, steps=7)
    ascent = Ascent(Planted(), Channel("conv", 0), noisy, size=32, preprocess="none", input_size=32)
    grain = [float((s.images[..., 1:] - s.images[..., :-1]).abs().mean()) for s in ascent]
    falls = [after < 0.9 * before for before, after in itertools.pairwise(grain)]
    assert falls == [False, False, True, False, False, True]


def test_return_best_returns_the_picture_of_highest_activation() -> None:
    # A step so long that the unit overshoots: the last picture is not the best.
    recipe = PLAIN.replace(init="noise", return_best=True, grad_norm="mean", step_size=60.0, steps=12, decay=0.3)
    model = tiny().eval()
    ascent = Ascent(model, [Logit(0), Logit(3)], recipe, size=16, preprocess="none", input_size=16)
    seen, values = [], []
    for _ in range(12):
        seen.append(ascent.images)
        values.append(ascent.step().activations)
    best = torch.stack(values).argmax(0).tolist()
    assert any(number < 11 for number in best)
    for picture, number in enumerate(best):
        assert torch.equal(ascent.best[picture], seen[number][picture])
        with torch.no_grad():
            value = float(model(ascent.best)[picture, (0, 3)[picture]])
        assert value == pytest.approx(float(values[number][picture]), abs=1e-4)
    kept = render(model, [Logit(0), Logit(3)], recipe, size=16, preprocess="none", input_size=16)
    assert torch.equal(kept.images, ascent.best)
    last = render(
        model, [Logit(0), Logit(3)], recipe.replace(return_best=False), size=16, preprocess="none", input_size=16
    )
    assert torch.equal(last.images, ascent.images)


@pytest.mark.parametrize(
    ("name", "value", "measure"),
    [
        ("total_variation", 0.5, lambda x: (x[..., 1:] - x[..., :-1]).abs().mean()),
        ("l1", 0.5, lambda x: (x - 0.5).abs().mean()),
        ("decay", 0.2, lambda x: (x - 0.5).abs().mean()),
        ("blur", 1.5, lambda x: (x[..., 1:] - x[..., :-1]).abs().mean()),
        ("bilateral", 1.5, lambda x: (x[..., 1:] - x[..., :-1]).abs().mean()),
        ("clip_norm_percentile", 90.0, lambda x: ((x - 0.5).abs() > 0.01).float().mean()),
        ("clip_contribution_percentile", 90.0, lambda x: ((x - 0.5).abs() > 0.01).float().mean()),
    ],
)
def test_each_regularizer_has_its_effect_in_a_run(name: str, value: float, measure: Any) -> None:
    recipe = PLAIN.replace(init="noise", init_std=10.0, grad_norm="mean", step_size=6.0, steps=10)

    with_it, without = (
        float(measure(render(tiny(), Logit(1), r, size=24, preprocess="none", input_size=24).images))
        for r in (recipe.replace(**{name: value, **({"bilateral_color": 1.0} if name == "bilateral" else {})}), recipe)
    )
    assert with_it < 0.7 * without

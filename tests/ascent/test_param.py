"""Parametrizations and starts: what they render, and what a step can and can't change of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from torch import Generator, nn

from peek_widget import Channel, Logit, Recipe, ascend, measure_spectrum, render
from peek_widget.ascent import Ascent, power_law_spectrum
from peek_widget.ascent.param import Fourier, Maco, Pixels
from peek_widget.ascent.spectrum import decorrelate, frequencies, recorrelate, resample_spectrum
from peek_widget.errors import PeekError, RecipeError
from peek_widget.network import read
from tests.networks import tiny

CHANNELS = (1, 2, 3, 4, 7)
SHORT = Recipe.preset("peek").replace(
    steps=4, contrast_cap=0.0, contrast_floor=0.0, weight_noise=0.0, relu_leak=0.0, rivals=0.0
)
MACO = Recipe.preset("maco-2023").replace(steps=4, n_views=2, size=None)


def network(channels: int = 3) -> Any:
    return read(tiny(channels=channels), 32, "none")


def smooth(side: int, channels: int, seed: int = 0) -> torch.Tensor:
    """A picture without fine grain, well inside [0, 1]."""
    small = torch.rand(1, channels, 5, 5, generator=Generator().manual_seed(seed))
    return 0.1 + 0.8 * nn.functional.interpolate(small, (side, side), mode="bicubic").clamp(0.0, 1.0)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("param", ["pixels", "fourier", "maco"])
def test_pictures_can_have_any_number_of_channels(param: str, channels: int) -> None:
    # Of a nearly flat picture the tiny network's pooling has only ties: plain noise for pixels.
    pixels = SHORT.replace(param="pixels", init_std=20.0, step_size=1.0)
    base = {"maco": MACO, "fourier": SHORT, "pixels": pixels}[param]
    recipe = base.replace(
        sampling="whole", n_views=1, jitter=0.0, rotation=0.0, noise=0.0, total_variation=0.0
    )  # nothing but the picture changes
    spectrum = power_law_spectrum(channels, 16) if param == "maco" else None
    result = render(network(channels), Logit(1), recipe, size=24, spectrum=spectrum)
    assert result.images.shape == (1, channels, 24, 24)
    assert float(result.images.std()) > 1e-4
    assert result.history[-1] > result.history[0]


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("side", [8, 15, 32])
def test_a_spectrum_made_from_a_picture_renders_it(channels: int, side: int) -> None:
    pictures = torch.rand(2, channels, side, side, generator=Generator().manual_seed(1))
    again = Fourier.from_pictures(pictures, 1.2).render().detach()
    assert float((again - pictures).abs().max()) < 0.01  # the extremes are taken half a gray level inside
    middle = 0.25 + 0.5 * pictures
    assert torch.allclose(Fourier.from_pictures(middle, 1.2).render(), middle, atol=1e-4)


def test_pixels_made_from_a_picture_render_it() -> None:
    pictures = torch.rand(2, 4, 9, 9)
    assert torch.allclose(Pixels.from_pictures(pictures).render(), pictures, atol=1e-6)


def test_frequencies_above_the_highest_are_removed_and_lower_ones_kept() -> None:
    side = 32
    wave = torch.arange(side) * (2 * math.pi / side)
    logits = 0.5 * torch.sin(2 * wave) + 0.5 * torch.sin(9 * wave)  # 2 and 9 cycles a picture
    pictures = torch.sigmoid(logits).expand(2, 1, side, side)
    held = Fourier.from_pictures(pictures, 1.0, torch.tensor([5.0, 16.0])).render().detach()
    coarse = torch.sigmoid(0.5 * torch.sin(2 * wave)).expand(1, side, side)
    assert torch.allclose(held[0], coarse, atol=1e-4)
    assert torch.allclose(held[1], pictures[1], atol=1e-4)


def test_colors_are_decorrelated_for_three_channels_only() -> None:
    noise = torch.zeros(1, 3, 16, 9, 2)
    noise[0, 0, 0, 1, 0] = 1.0  # a wave in the first channel alone

    def waves(picture: torch.Tensor) -> list[float]:
        return picture[0].std(dim=(1, 2)).tolist()

    red, green, blue = waves(Fourier(noise, 16, 1.0).render().detach())
    assert min(red, green, blue) > 0.9 * max(red, green, blue) > 0.0
    first, *others = waves(Fourier(torch.cat([noise, noise[:, 1:2]], 1), 16, 1.0).render().detach())
    assert first > 0.0
    assert max(others) < 1e-6


def logits_of(pictures: torch.Tensor) -> torch.Tensor:
    """The standardized, decorrelated values behind MACO's sigmoid."""
    return decorrelate(torch.logit(pictures.double()))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("side", [24, 31])
def test_maco_keeps_every_magnitude_and_changes_phases(channels: int, side: int) -> None:
    table = power_law_spectrum(channels, 20) * torch.linspace(1.0, 3.0, channels).view(-1, 1, 1)
    ascent = Ascent(network(channels), Logit(1), MACO.replace(steps=6), size=side, spectrum=table)
    expected = resample_spectrum(table, side).double()

    def spectrum() -> torch.Tensor:
        # Not .images, whose float32 is the same, but of the image itself: nothing clamped.
        return torch.fft.rfft2(logits_of(ascent._image.render().detach()))[0]

    def interior(values: torch.Tensor) -> torch.Tensor:
        # A real picture's coefficients on the columns 0 and half a side belong to pairs, which the inverse
        # transform makes agree; all others are as they were given. The mean is standardized away.
        return values[..., 1 : (side - 1) // 2 + 1]

    start = spectrum()
    for _ in range(6):
        ascent.step()
        found = interior(spectrum().abs())
        ratio = found / interior(expected)
        assert float(ratio.std() / ratio.mean()) < 2e-3
    turned = torch.angle(interior(spectrum()) / interior(start)).abs()
    assert float(turned.median()) > 0.1


def test_maco_of_two_channels_needs_a_spectrum() -> None:
    with pytest.raises(RecipeError, match=r"none is known for 2 channels.*give one as spectrum=measure_spectrum"):
        ascend(network(2), Logit(0), MACO)


@pytest.mark.parametrize(
    ("spectrum", "words"),
    [
        (torch.ones(3, 8, 8), r"spectrum is \(3, 8, 8\)"),
        (torch.ones(8, 5), r"spectrum is \(8, 5\)"),
        ([[1.0]], "spectrum is list"),
        (torch.ones(1, 8, 5), "spectrum has 1 channels and the model's images 3"),
        (torch.ones(3, 2, 2), "a side of 2: give one of images of 3 px or more"),
        (-torch.ones(3, 8, 5), "give magnitudes, finite and 0 or more"),
        (torch.full((3, 8, 5), math.nan), "give magnitudes, finite and 0 or more"),
        (torch.full((3, 8, 5), math.inf), "give magnitudes, finite and 0 or more"),
        (1j * torch.ones(3, 8, 5), r"complex numbers: give their magnitudes, spectrum\.abs\(\)"),
        (torch.zeros(3, 8, 5), "0 at every frequency"),
    ],
)
def test_anything_but_a_spectrum_is_refused(spectrum: object, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        ascend(network(), Logit(0), MACO, spectrum=spectrum)


def test_a_spectrum_of_any_dtype_and_grad_mode_is_accepted() -> None:
    table, known = power_law_spectrum(3, 16), network()
    first = render(known, Logit(0), MACO, size=16, spectrum=table).images
    assert torch.equal(first, render(known, Logit(0), MACO, size=16, spectrum=table.double()).images)
    with torch.inference_mode():
        own = table.clone()
        assert torch.equal(first, render(known, Logit(0), MACO, size=16, spectrum=own).images)
    assert torch.equal(first, render(known, Logit(0), MACO, size=16, spectrum=own).images)


def slope(spectrum: torch.Tensor) -> float:
    """Of log magnitude over log frequency, by least squares, from 2 cycles a picture to 0.8 of the finest."""
    side = spectrum.shape[-2]
    cycles = side * frequencies(side)
    held = (cycles >= 2) & (cycles <= 0.4 * side)
    x, y = cycles[held].log(), spectrum.double().mean(0)[held].log()
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


def test_measured_spectra_have_the_slopes_of_their_images() -> None:
    generator = Generator().manual_seed(0)
    grain = [torch.rand(3, 48, 48, generator=generator) for _ in range(40)]
    assert abs(slope(measure_spectrum(grain, 48))) < 0.05

    def colored(power: float) -> torch.Tensor:
        scale = (48 * frequencies(48)).clamp(min=1.0) ** -power
        values = torch.fft.irfft2(torch.fft.rfft2(torch.randn(3, 48, 48, generator=generator)) * scale, s=(48, 48))
        return (0.5 + 0.1 * values / values.std()).clamp(0.0, 1.0).float()

    for power in (1.0, 1.5):
        assert slope(measure_spectrum([colored(power) for _ in range(40)], 48)) == pytest.approx(-power, abs=0.1)
    assert slope(power_law_spectrum(3, 48, 1.3)) == pytest.approx(-1.3, abs=0.01)


def test_measure_spectrum_equals_a_computation_by_hand() -> None:
    first, second = torch.rand(3, 16, 16), torch.rand(3, 16, 16)
    by_hand = sum(torch.fft.rfft2(decorrelate(one[None])[0]).abs() for one in (first, second)) / 2
    by_hand[:, 0, 0] = 0.0
    assert torch.allclose(measure_spectrum([first, second], 16), by_hand / by_hand.max(), atol=1e-6)
    assert measure_spectrum([PILImage.new("L", (20, 30))], 8).shape == (1, 8, 5)
    with pytest.raises(PeekError, match="none was given"):
        measure_spectrum([])
    with pytest.raises(PeekError, match="Image 1 has 1 channels, those before it 3"):
        measure_spectrum([first, np.zeros((9, 9))], 16)


def test_recorrelate_and_decorrelate_are_inverse() -> None:
    values = torch.randn(2, 3, 5, 5)
    assert torch.allclose(recorrelate(decorrelate(values)), values, atol=1e-4)
    other = torch.randn(2, 4, 5, 5)
    assert torch.equal(recorrelate(other), other)
    # The published rows: a value in the first axis alone is nearly gray.
    one = torch.zeros(1, 3, 1, 1)
    one[0, 0] = 1.0
    assert recorrelate(one).flatten().tolist() == pytest.approx([0.56282854, 0.58447580, 0.58447580])


@pytest.mark.parametrize(("own", "side"), [(64, 32), (64, 31), (63, 40), (32, 64), (32, 47), (16, 200)])
def test_a_resampled_spectrum_is_equal_at_equal_cycles_per_picture(own: int, side: int) -> None:
    power = 1.41
    taken = resample_spectrum(power_law_spectrum(1, own, power), side)[0]
    expected = power_law_spectrum(1, side, power)[0]
    cycles = side * frequencies(side)
    # Between the table's places a bilinear mean stands for a hyperbola: from some cycles on it is near.
    held = cycles >= 6
    ratio = taken[held] / expected[held]
    assert 0.9 < float(ratio.min()) <= float(ratio.max()) < 1.15
    assert float(taken[0, 0]) == 0.0
    axis = torch.arange(1, min(own, side) // 2 - 1)
    assert torch.allclose(taken[0, axis], expected[0, axis], rtol=1e-3)
    assert torch.allclose(taken[axis, 0], expected[axis, 0], rtol=1e-3)


@pytest.mark.parametrize("param", ["pixels", "fourier"])
def test_init_gray_and_white_are_plain(param: str) -> None:
    for start, level in (("gray", 0.5), ("white", 1.0)):
        recipe = SHORT.replace(param=param, init=start)
        ascent = Ascent(network(), Logit(0), recipe, size=16)
        images = ascent.images
        assert float((images - level).abs().max()) < 0.003
        assert not torch.equal(ascent.step().images, images)  # a flat start is no dead end


def test_initial_noise_has_the_mean_and_standard_deviation_of_the_recipe() -> None:
    recipe = Recipe(param="pixels", sampling="window", optimizer="plain", init_mean=100.0, init_std=8.0)
    levels = 255.0 * Ascent(network(), Logit(0), recipe, size=128).images
    assert float(levels.mean()) == pytest.approx(100.0, abs=0.2)
    assert float(levels.std()) == pytest.approx(8.0, abs=0.2)
    mean = read(tiny(), 32).preprocess.neutral()
    zero = Ascent(tiny(), Logit(0), recipe.replace(init_mean=None), size=128, input_size=32).images
    assert zero.mean(dim=(0, 2, 3)).tolist() == pytest.approx(mean.tolist(), abs=0.002)


def test_initial_fourier_noise_is_faint_and_has_all_frequencies() -> None:
    pictures = Ascent(network(), Channel("edges", 0), SHORT.replace(spectrum_power=0.0), size=64).images
    assert 0.0 < float((pictures - 0.5).abs().max()) < 0.2


GIVEN = smooth(32, 3)[0]


def test_start_accepts_every_kind_of_image() -> None:
    array = GIVEN.permute(1, 2, 0).numpy()
    levels = (255.0 * array).round().astype(np.uint8)
    for recipe in (SHORT, SHORT.replace(param="pixels")):
        for given in (GIVEN, GIVEN.double(), array, levels, PILImage.fromarray(levels), GIVEN[None]):
            images = Ascent(network(), Logit(0), recipe, size=32, start=given).images
            assert float((images[0] - GIVEN).abs().max()) < 0.02, type(given)


def test_start_takes_the_central_square_and_resizes_it() -> None:
    wide = torch.zeros(3, 20, 60)
    wide[:, :, 20:40] = 1.0
    images = Ascent(network(), Logit(0), SHORT.replace(param="pixels"), size=40, start=wide).images
    assert float(images.min()) == 1.0
    gray = PILImage.new("L", (50, 30), 51)
    images = Ascent(network(1), Logit(0), SHORT.replace(param="pixels"), size=16, start=gray).images
    assert torch.allclose(images, torch.full((1, 1, 16, 16), 0.2))


def test_start_accepts_one_image_for_all_pictures_or_one_for_each() -> None:
    both = torch.stack([smooth(16, 3, 1)[0], smooth(16, 3, 2)[0]])
    recipe = SHORT.replace(param="pixels")
    ascent = Ascent(network(), [Logit(0), Logit(1)], recipe, size=16, start=both)
    assert torch.allclose(ascent.images, both, atol=1e-6)
    before = both.clone()
    ascent.step()
    assert torch.equal(both, before)  # the caller's stays theirs
    for one in (both[0], both[:1]):
        images = Ascent(network(), [Logit(0), Logit(1)], recipe, size=16, start=one).images
        assert torch.allclose(images, both[:1].expand(2, -1, -1, -1), atol=1e-6)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (torch.rand(3, 3, 16, 16), "start holds 3 pictures for 1 objectives"),
        (torch.rand(4, 16, 16), "takes images of 3 channels and this picture has 4"),
        (torch.rand(16, 16), r"shape \(16, 16\) is not an image"),
        (torch.rand(3, 0, 16), "is not an image"),
        (255.0 * torch.rand(3, 16, 16), "values go from"),
        (torch.rand(3, 16, 16) - 0.5, "values go from"),
        (torch.full((3, 16, 16), math.nan), "values go from nan"),
        (np.zeros((16, 16, 3), dtype=complex), "is not an image"),
        (np.zeros((1, 16, 16, 3)), "is not an image"),
        ("picture.png", "A str is not an image"),
        ([GIVEN], "A list is not an image"),
    ],
)
def test_start_refuses_anything_but_an_image(given: object, words: str) -> None:
    with pytest.raises(PeekError, match=words):
        ascend(network(), Logit(0), SHORT, size=16, start=given)


def test_maco_refuses_an_initial_image() -> None:
    with pytest.raises(RecipeError, match="can't begin from a picture"):
        ascend(network(), Logit(0), MACO, size=16, start=GIVEN)


@pytest.mark.parametrize("param", ["pixels", "fourier"])
def test_octaves_keep_the_picture(param: str) -> None:
    recipe = SHORT.replace(octaves=((1, 1.0), (1, 1.5), (1, 1.33)), param=param)
    ascent = Ascent(network(), Logit(0), recipe, size=64, start=smooth(64, 3)[0])
    assert ascent.size == round(64 / 1.5 / 1.33)
    for side in (48, 64):
        before = ascent.images
        ascent._take_size(side)
        after = nn.functional.interpolate(ascent.images, before.shape[-1], mode="bilinear", antialias=True)
        edge = 4  # a spectrum goes on periodically past the border
        inner = (before - after)[..., edge:-edge, edge:-edge]
        assert float(inner.abs().max()) < 0.05


def test_alpha_is_where_the_gradients_were() -> None:
    class Corner(nn.Module):
        """It looks at the upper left quarter of the picture."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return x[:, :, : x.shape[2] // 2, : x.shape[3] // 2].mean(dim=(2, 3))

    recipe = Recipe(octaves=((3, 1.0), (3, 1.5)), sampling="whole", alpha=True)
    result = render(Corner(), [Logit(0), Logit(1)], recipe, size=30, preprocess="none", input_size=32)
    assert result.alpha is not None
    assert result.alpha.shape == (2, 1, 30, 30)
    assert 0.0 <= float(result.alpha.min()) <= float(result.alpha.max()) == 1.0
    assert float(result.alpha[:, :, :13, :13].min()) > 0.9
    assert float(result.alpha[:, :, 17:].max()) == 0.0
    assert result.pil().mode == "RGBA"
    plain = render(Corner(), Logit(0), recipe.replace(alpha=False), size=30, preprocess="none", input_size=32)
    assert plain.alpha is None
    assert plain.pil().mode == "RGB"


def test_alpha_follows_the_recipe_after_a_change() -> None:
    ascent = Ascent(network(), Logit(0), SHORT.replace(alpha=True), size=16)
    assert ascent.alpha is None  # nothing yet
    ascent.step()
    assert ascent.alpha is not None
    ascent.change(recipe=SHORT)
    assert ascent.alpha is None


def test_maco_blurs_its_magnitudes_once() -> None:
    noise = torch.randn(1, 1, 32, 17, generator=Generator().manual_seed(0))
    image = Maco(noise, power_law_spectrum(1, 32), 32)
    sharp = torch.fft.rfft2(logits_of(image.render().detach()))[0, 0].abs()
    for _ in range(3):
        image.blur(1.5)
    soft = torch.fft.rfft2(logits_of(image.render().detach()))[0, 0].abs()
    cycles = frequencies(32)
    inner = (cycles < 0.2) & (torch.arange(17) > 0)
    ratio = (soft / sharp / torch.exp(-2 * (math.pi * 1.5 * cycles) ** 2))[inner]
    assert float(ratio.std() / ratio.mean()) < 0.01


def test_start_converts_gray_to_color_and_color_to_gray() -> None:
    gray = torch.rand(1, 16, 16)
    ascent = Ascent(tiny(), Logit(0), Recipe(param="pixels"), start=gray, size=16)
    assert torch.allclose(ascent.images[0], gray.expand(3, -1, -1), atol=1e-6)
    colors = torch.rand(3, 16, 16)
    ascent = Ascent(tiny(channels=1), Logit(0), Recipe(param="pixels"), start=colors, size=16)
    assert torch.allclose(ascent.images[0], colors.mean(0, keepdim=True), atol=1e-6)

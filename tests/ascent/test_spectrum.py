"""The spectrum of natural images in the package, and the tool that measures it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from peek_widget import Logit, Recipe
from peek_widget.ascent import Ascent, natural_spectrum, power_law_spectrum
from peek_widget.ascent.spectrum import NATURAL, POWER, frequencies, log_polar
from peek_widget.network import read
from tests.networks import shared, tiny
from tools.spectrum import OCTAVES, ORIENTATIONS, fit, mean_magnitude, periodic

MACO = Recipe.preset("maco-2023").replace(steps=2, n_views=2, size=None)


def slope(magnitude: Tensor, low: float, high: float) -> float:
    """Of log magnitude over log frequency, by least squares, between two frequencies in cycles a picture."""
    cycles = magnitude.shape[-2] * frequencies(magnitude.shape[-2])
    held = (cycles >= low) & (cycles <= high)
    x, y = cycles[held].log(), magnitude.double()[held].log()
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


def test_the_natural_spectrum_falls_as_that_of_photographs() -> None:
    magnitude = natural_spectrum(512)
    assert magnitude.shape == (3, 512, 257)
    assert magnitude.dtype == torch.float32
    assert bool(torch.isfinite(magnitude).all())
    assert float(magnitude.max()) == pytest.approx(1.0, abs=1e-3)
    assert magnitude[:, 0, 0].tolist() == [0.0, 0.0, 0.0]
    # Luminance: about 1 / f (Field 1987), with the power law above the table's last frequency.
    assert -1.3 < slope(magnitude[0], 2, 64) < -1.0
    assert slope(magnitude[0], 2**6.5, 256) == pytest.approx(-POWER, abs=0.02)
    # Photographs have more horizontal and vertical structure than oblique.
    assert float(magnitude[0, 0, 20]) > 1.3 * float(magnitude[0, 14, 14])


def test_the_natural_spectrum_is_equal_at_equal_cycles_a_picture() -> None:
    small, large = natural_spectrum(64), natural_spectrum(200)
    assert torch.allclose(small[:, :32, :32], large[:, :32, :32])
    assert torch.allclose(small[:, -31:, :32], large[:, -31:, :32])


def test_maco_takes_the_natural_spectrum_for_color_and_the_formula_for_gray() -> None:
    for channels, spectrum in ((3, natural_spectrum(32)), (1, power_law_spectrum(1))):
        network = read(tiny(channels=channels), 32)
        left_out = Ascent(network, Logit(0), MACO, size=32).images
        assert torch.equal(left_out, Ascent(network, Logit(0), MACO, size=32, spectrum=spectrum).images)
    assert not torch.equal(left_out, Ascent(network, Logit(0), MACO, size=32, spectrum=torch.ones(1, 32, 17)).images)


def test_the_fit_finds_a_spectrum_of_its_own_form() -> None:
    octave, degrees = log_polar(256)
    expected = torch.stack([-p * octave * math.log(2.0) + 0.1 * degrees / 90.0 for p in (1.0, 1.2, 1.5)])
    octaves = torch.tensor(OCTAVES, dtype=torch.float64)[:, None] * math.log(2.0)
    oblique = 0.1 * torch.tensor(ORIENTATIONS, dtype=torch.float64) / 90.0
    found = torch.from_numpy(fit(expected.exp()))
    for number, power in enumerate((1.0, 1.2, 1.5)):
        # at the lowest frequencies few orientations exist, and the others follow their neighbors
        assert torch.allclose(found[number, 2:], (-power * octaves + oblique)[2:], atol=0.01)


def test_the_periodic_component_has_no_step_at_the_border() -> None:
    ramp = torch.arange(32.0, dtype=torch.float64).expand(1, 1, 32, 32)
    assert float(torch.fft.irfft2(periodic(ramp)).std()) < 0.05 * float(ramp.std())
    noise = torch.rand(1, 1, 32, 32, dtype=torch.float64, generator=Generator().manual_seed(0))
    turned = torch.roll(noise, (7, 3), (2, 3))
    turned[..., -1], turned[:, :, -1] = turned[..., 0], turned[:, :, 0]  # opposite borders are equal
    assert torch.allclose(periodic(turned), torch.fft.rfft2(turned))


@pytest.mark.slow
def test_the_table_is_that_of_the_photographs() -> None:
    paths = sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))
    table = fit(mean_magnitude(paths))
    kept = np.array(json.loads(NATURAL.read_text())["log_magnitude"])
    assert np.abs(table - table.max() - kept).max() < 0.01

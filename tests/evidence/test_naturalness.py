"""Statistics of a picture alone: degenerate pictures, and what photographs have in common."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from peek_widget import PeekError
from peek_widget.evidence.naturalness import NATURAL_BAND, degenerate, in_band, naturalness
from tests.networks import shared


def test_degenerate_pictures_are_named() -> None:
    noise = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    assert degenerate(noise) == ""
    assert degenerate(torch.full((3, 40, 40), 0.5) + 0.02 * (noise - 0.5)) == "gray"
    red = torch.zeros(3, 40, 40)
    red[0] = 1.0
    assert degenerate(red) == "gray"  # of one color all over
    assert degenerate((noise > 0.5).float()) == "clipped"
    half = noise.clone()
    half[:, :19] = 1.0
    assert degenerate(half) == ""
    half[:, :21] = 1.0
    assert degenerate(half) == "clipped"
    for bad in (math.nan, math.inf):
        broken = noise.clone()
        broken[1, 2, 3] = bad
        assert degenerate(broken) == "nan"


def power_law(slope: float, side: int = 227) -> Tensor:
    """Noise whose power falls as ``f ** slope``, in gray, of contrast 0.2."""
    noise = torch.randn(1, side, side, generator=torch.Generator().manual_seed(0))
    axis = torch.fft.fftfreq(side)
    frequency = (axis[:, None].square() + axis.square()).sqrt()
    amplitude = torch.where(frequency > 0, frequency.clamp(min=1e-9) ** (slope / 2.0), 0.0)
    picture = torch.fft.ifft2(torch.fft.fft2(noise) * amplitude).real
    return (0.5 + 0.2 * (picture - picture.mean()) / picture.std()).expand(3, -1, -1)


@pytest.mark.parametrize("slope", [-3.0, -2.0, -1.0])
@pytest.mark.parametrize(("side", "near"), [(48, 0.35), (227, 0.1)])
def test_the_slope_is_that_of_the_power(slope: float, side: int, near: float) -> None:
    assert naturalness(0.3 * power_law(slope, side) + 0.35)["slope"] == pytest.approx(slope, abs=near)


def test_white_noise_has_the_statistics_that_it_must() -> None:
    found = naturalness(torch.rand(3, 227, 227, generator=torch.Generator().manual_seed(0)))
    assert found["slope"] == pytest.approx(0.0, abs=0.1)
    assert found["variation"] == pytest.approx(2.0 / 3.0, abs=0.01)
    assert found["fine"] == pytest.approx(1.0 - math.pi / 16.0, abs=0.01)
    assert found["contrast"] == pytest.approx(12**-0.5, abs=0.005)
    assert found["saturation"] == pytest.approx(2.0 / 3.0, abs=0.01)
    within = in_band(found)
    assert within["contrast"]
    assert not any(within[name] for name in ("slope", "variation", "fine"))


def test_clipping_and_saturation() -> None:
    picture = torch.full((3, 100, 100), 0.4)
    picture[0, :30] = 1.0
    found = naturalness(picture)
    assert found["clipped"] == pytest.approx(0.3)
    assert found["saturation"] == pytest.approx(0.3 * 0.6)
    assert naturalness(picture.mean(0, keepdim=True).expand(3, -1, -1))["saturation"] == 0.0
    gray = naturalness(picture[:1])
    assert math.isnan(gray["saturation"])
    assert set(in_band(gray)) == set(NATURAL_BAND) - {"saturation"}
    with pytest.raises(PeekError, match="8 px or more"):
        naturalness(torch.rand(3, 7, 7))


def test_a_uniform_picture_has_finite_statistics() -> None:
    for level in (0.0, 0.5, 1.0):
        assert all(math.isfinite(value) for value in naturalness(torch.full((3, 64, 64), level)).values())


@pytest.mark.slow
def test_photographs_lie_in_the_band() -> None:
    """The band is of other photographs, shown at 227 px; that nine in ten of these fit says the formulas agree."""
    found = []
    for path in sorted((shared() / "data" / "imagenet-samples").glob("*.jpg")):
        with Image.open(path) as image:
            picture = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None] / 255.0
        small = nn.functional.interpolate(picture, size=(227, 227), mode="bilinear", antialias=True)[0]
        found.append(in_band(naturalness(small)))
    for name in NATURAL_BAND:
        share = sum(one[name] for one in found) / len(found)
        assert 0.86 <= share <= 0.97, (name, share)

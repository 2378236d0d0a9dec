"""Magnitude spectra of natural images, which MACO keeps fixed (Fel et al. 2023), and their decorrelated colors."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget._size import Size, SizeLike
from peek_widget.ascent.pictures import Picture, as_picture, center_cut
from peek_widget.errors import PeekError, RecipeError

__all__ = [
    "check_spectrum",
    "decorrelate",
    "frequencies",
    "measure_spectrum",
    "natural_spectrum",
    "power_law_spectrum",
    "recorrelate",
    "resample_spectrum",
]

# Color correlation of ImageNet, as in Xplique and Horama; rows are the decorrelated axes.
_AXES = torch.tensor(
    [
        [0.56282854, 0.58447580, 0.58447580],
        [0.19482528, 0.00000000, -0.19482528],
        [0.04329450, -0.10823626, 0.06494176],
    ]
)

NATURAL: Path = Path(__file__).with_name("spectrum.json")
"""The spectrum of natural images that comes with the package, which ``tools/spectrum.py`` measures."""

POWER = 1.41
"""Exponent of the power law: half of 2.82, the median slope of the power spectra of 1000 ImageNet photographs."""


def recorrelate(values: Tensor) -> Tensor:
    """Convert decorrelated channels ``[N, C, H, W]`` to colors; unchanged unless C is 3."""
    return torch.einsum("nchw,cd->ndhw", values, _axes(values.dtype, values.device)) if values.shape[1] == 3 else values


@functools.lru_cache(maxsize=8)
def _axes(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # a gradient needs them
        return _AXES.to(device, dtype)


def decorrelate(values: Tensor) -> Tensor:
    """Convert colors ``[N, C, H, W]`` to decorrelated channels, the inverse of :func:`recorrelate`."""
    axes = torch.linalg.inv(_AXES).to(values)
    return torch.einsum("nchw,cd->ndhw", values, axes) if values.shape[1] == 3 else values


def power_law_spectrum(channels: int, size: SizeLike = 128, power: float = POWER) -> Tensor:
    """Compute the magnitudes of natural images by formula: ``1 / f ** power``, the same in each decorrelated channel.

    It stands in for a measured spectrum where there is none: :func:`natural_spectrum` is that of color photographs,
    and :func:`measure_spectrum` measures one from images of yours.

    Args:
        channels: number of channels C.
        size: (height, width) of the pictures in pixels, or the side of square ones.
        power: exponent of the frequency.

    Returns:
        The magnitudes, float32 ``[C, H, W // 2 + 1]``; that of frequency 0 (the mean) is 0.
    """
    frequency = Size.of(size).side * frequencies(size)
    magnitude = frequency.clamp(min=1.0) ** -power * (frequency > 0)
    return magnitude.float().expand(channels, -1, -1).clone()


def natural_spectrum(size: SizeLike) -> Tensor:
    """Return the magnitudes of photographs, in decorrelated color, as 250 of ImageNet's have them on average.

    Frequencies are in cycles a picture; of a picture that is not square, in cycles over the side of the square of its
    area.

    The table in the package is smooth in frequency and orientation; between its knots the logarithm is linear, and
    above its highest frequency (90 cycles a picture) the magnitudes follow the power law.

    Args:
        size: (height, width) of the pictures in pixels, or the side of square ones.

    Returns:
        The magnitudes, float32 ``[3, H, W // 2 + 1]``, at most 1; that of frequency 0 (the mean) is 0.
    """
    octaves, orientations, table = _natural_table()
    octave, degrees = log_polar(size)
    inside = octave.clamp(0.0, octaves[-1])
    grid = torch.stack([2.0 * degrees / orientations[-1] - 1.0, 2.0 * inside / octaves[-1] - 1.0], dim=-1)
    values = F.grid_sample(table[None], grid[None], mode="bilinear", padding_mode="border", align_corners=True)[0]
    magnitude = torch.exp(values - math.log(2.0) * POWER * (octave - inside))
    magnitude[:, 0, 0] = 0.0
    return magnitude.float()


@functools.cache
def _natural_table() -> tuple[list[float], list[float], Tensor]:
    """Read the octaves, the orientations and the logarithms ``[3, octaves, orientations]`` of the package's table."""
    found = json.loads(NATURAL.read_text(encoding="utf-8"))
    return (
        found["octaves"],
        found["orientations"],
        torch.tensor(found["log_magnitude"], dtype=torch.float64, device="cpu"),
    )


def log_polar(size: SizeLike) -> tuple[Tensor, Tensor]:
    """Return log2 of each frequency of ``rfft2`` in cycles a picture, and its orientation: ``[H, W // 2 + 1]`` each.

    Orientations are from 0 to 90 degrees, from horizontal to vertical frequencies, left and right taken together;
    frequency 0 is given as one cycle.
    """
    (height, width), side = Size.of(size), Size.of(size).side
    rows = side * torch.fft.fftfreq(height, dtype=torch.float64, device="cpu").abs()
    columns = side * torch.fft.rfftfreq(width, dtype=torch.float64, device="cpu")
    octave = (side * frequencies(size)).clamp(min=1.0).log2()
    return octave, torch.rad2deg(torch.atan2(rows[:, None], columns[None, :]))


def measure_spectrum(images: Iterable[Picture], size: SizeLike = 224) -> Tensor:
    """Measure the mean magnitude of every frequency over images, in decorrelated color, for ``param="maco"``.

    Args:
        images: PIL images, arrays ``[H, W, C]`` or tensors ``[C, H, W]`` in [0, 1]; the center of each, in the shape of
            ``size``, is resized to that. All need the same number of channels.
        size: side of a square in pixels, whose spectrum pictures of any size can have; or the (height, width) of the
            pictures to draw.

    Returns:
        The magnitudes, float32 ``[C, H, W // 2 + 1]``; pass them as ``spectrum=`` to ``ascend`` or ``render``.

    Raises:
        PeekError: if there is no image, or the images have different numbers of channels.
    """
    total: Tensor | None = None
    count = 0
    for image in images:
        picture = center_cut(as_picture(image), Size.of(size))
        magnitude = torch.fft.rfft2(decorrelate(picture[None])).abs()[0].double()
        if total is not None and total.shape != magnitude.shape:
            raise PeekError(
                f"Image {count} has {magnitude.shape[0]} channels, those before it {total.shape[0]}: give images of "
                "one kind, e.g. image.convert('RGB')."
            )
        total = magnitude if total is None else total + magnitude
        count += 1
    if total is None:
        raise PeekError("A spectrum is measured from images, and none was given: give at least one.")
    mean = total / count
    # The mean has no form, and rendered values are standardized anyway.
    mean[:, 0, 0] = 0.0
    return (mean / mean.max().clamp(min=1e-12)).float()


def check_spectrum(spectrum: Any, channels: int, size: SizeLike) -> Tensor:
    """Return a copy of a spectrum as float32 on the CPU.

    Args:
        spectrum: the magnitudes, a tensor ``[C, T, T // 2 + 1]`` for any T, or ``[C, H, W // 2 + 1]``.
        channels: number of channels C of the pictures.
        size: size of the pictures.

    Raises:
        RecipeError: if it is anything else, or has a number that is negative or not finite.
    """
    height, width = Size.of(size)
    tables = isinstance(spectrum, Tensor) and spectrum.ndim == 3
    if not tables or spectrum.shape[2] not in (
        spectrum.shape[1] // 2 + 1,
        width // 2 + 1 if spectrum.shape[1] == height else 0,
    ):
        got = tuple(spectrum.shape) if isinstance(spectrum, Tensor) else type(spectrum).__name__
        raise RecipeError(
            f"spectrum is {got}: give a tensor [C, T, T // 2 + 1], as measure_spectrum(images) does, or for these "
            f"pictures of {Size.of(size)} px [C, {height}, {width // 2 + 1}]."
        )
    if len(spectrum) != channels:
        raise RecipeError(
            f"spectrum has {len(spectrum)} channels and the model's images {channels}: measure it from such images."
        )
    if spectrum.shape[1] < 3:
        raise RecipeError(f"spectrum has a side of {spectrum.shape[1]}: give one of images of 3 px or more.")
    if spectrum.is_complex():
        raise RecipeError("spectrum holds complex numbers: give their magnitudes, spectrum.abs().")
    magnitude = spectrum.detach().to("cpu", torch.float32, copy=True)
    if not magnitude.numel() or not 0.0 <= float(magnitude.min()) <= float(magnitude.max()) < float("inf"):
        raise RecipeError(
            "spectrum has negative, infinite or NaN values, or none at all: give magnitudes, finite and 0 or more, as "
            "measure_spectrum(images) does."
        )
    if not bool(magnitude.any()):
        raise RecipeError("spectrum is 0 at every frequency, so no picture could have any form: measure another.")
    return magnitude


def frequencies(size: SizeLike) -> Tensor:
    """Return the frequency of each coefficient of ``rfft2``, in cycles per pixel: float64 ``[H, W // 2 + 1]``."""
    height, width = Size.of(size)
    rows = torch.fft.fftfreq(height, dtype=torch.float64, device="cpu")
    columns = torch.fft.rfftfreq(width, dtype=torch.float64, device="cpu")
    return torch.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2)


def resample_spectrum(magnitude: Tensor, size: SizeLike) -> Tensor:
    """Resample the spectrum of a square, ``[C, T, T // 2 + 1]``, for pictures of another size: ``[C, H, W // 2 + 1]``.

    Magnitudes are equal at equal cycles per picture (over the side of the square of its area); frequencies above the
    highest of the table follow the power law.
    """
    own = magnitude.shape[1]
    (height, width), side = Size.of(size), Size.of(size).side
    if own == height == width:
        return magnitude
    # In cycles per picture; a frequency beyond the table takes the value at its edge, lowered by the power law.
    rows = side * torch.fft.fftfreq(height, dtype=torch.float32, device="cpu")
    columns = side * torch.fft.rfftfreq(width, dtype=torch.float32, device="cpu")
    end = (own - 1) // 2
    shifted = torch.fft.fftshift(magnitude, dim=1)  # row 0 is frequency -own // 2
    reach = torch.maximum(rows.abs()[:, None], columns.abs()[None, :]) / end
    beyond = reach.clamp(min=1.0)
    y = (rows[:, None] / beyond + own // 2) / (own - 1) * 2.0 - 1.0
    x = (columns[None, :] / beyond) / (magnitude.shape[2] - 1) * 2.0 - 1.0
    grid = torch.stack(torch.broadcast_tensors(x, y), dim=-1)[None].to(magnitude)
    taken = F.grid_sample(shifted[None], grid, mode="bilinear", padding_mode="border", align_corners=True)[0]
    return taken / beyond.to(taken) ** POWER

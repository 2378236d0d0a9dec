"""How strong each frequency is in natural images: what MACO holds fixed (Fel et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget.ascent.pictures import as_picture, fitted
from peek_widget.errors import PeekError, RecipeError

__all__ = [
    "at_side",
    "check_spectrum",
    "decorrelate",
    "frequencies",
    "measure_spectrum",
    "power_law_spectrum",
    "recorrelate",
]

# Xplique's and Horama's recorrelation of ImageNet's colors; rows are the decorrelated axes.
_AXES = torch.tensor(
    [
        [0.56282854, 0.58447580, 0.58447580],
        [0.19482528, 0.00000000, -0.19482528],
        [0.04329450, -0.10823626, 0.06494176],
    ]
)

POWER = 1.41
"""Half of 2.82, the median slope of the power spectra of 1000 ImageNet photographs."""


def recorrelate(values: Tensor) -> Tensor:
    """Colors from decorrelated channels, ``[N, C, H, W]``; only 3 channels are colors, others stay as they are."""
    return torch.einsum("nchw,cd->ndhw", values, _AXES.to(values)) if values.shape[1] == 3 else values


def decorrelate(values: Tensor) -> Tensor:
    """The inverse of :func:`recorrelate`."""
    axes = torch.linalg.inv(_AXES).to(values)
    return torch.einsum("nchw,cd->ndhw", values, axes) if values.shape[1] == 3 else values


def power_law_spectrum(channels: int, side: int = 128, power: float = POWER) -> Tensor:
    """A natural image's magnitudes by formula: ``1 / f ** power``, in each decorrelated channel alike.

    Shipped in place of a measured one, because the photographs that one would be measured from are not ours
    to give away; :func:`measure_spectrum` measures one from yours.

    Args:
        channels: C.
        side: of the pictures, S.
        power: of the frequency.

    Returns:
        ``[C, S, S // 2 + 1]``; the mean (frequency 0) has magnitude 0.
    """
    frequency = side * frequencies(side)
    magnitude = frequency.clamp(min=1.0) ** -power * (frequency > 0)
    return magnitude.float().expand(channels, -1, -1).clone()


def measure_spectrum(images: Iterable[Any], size: int = 224) -> Tensor:
    """The mean magnitude of every frequency over images, in decorrelated color: a spectrum for ``param="maco"``.

    Args:
        images: PIL images, arrays ``[H, W, C]`` or tensors ``[C, H, W]`` in [0, 1]; each is resized so that its
            shorter side is ``size`` and cut to its middle square. All must have as many channels.
        size: side in pixels of the squares, S.

    Returns:
        float32 ``[C, S, S // 2 + 1]``; pass it as ``spectrum=`` to ``ascend`` or ``render``.

    Raises:
        PeekError: for no image at all, or images of different numbers of channels.
    """
    total: Tensor | None = None
    count = 0
    for image in images:
        picture = fitted(as_picture(image), size)
        magnitude = torch.fft.rfft2(decorrelate(picture[None])).abs()[0].double()
        if total is not None and total.shape != magnitude.shape:
            raise PeekError(
                f"Image {count} has {magnitude.shape[0]} channels, those before it {total.shape[0]}: give images of "
                "one kind, e.g. image.convert('RGB')."
            )
        total = magnitude if total is None else total + magnitude
        count += 1
    if total is None:
        raise PeekError("A spectrum is measured from images, and there was none: give at least one.")
    mean = total / count
    # A mean of the picture is no form, and the values are standardized afterwards anyhow.
    mean[:, 0, 0] = 0.0
    return (mean / mean.max().clamp(min=1e-12)).float()


def check_spectrum(spectrum: Any, channels: int) -> Tensor:
    """A spectrum for pictures of so many channels, as float32 on the CPU, a copy; RecipeError if it is none."""
    if not isinstance(spectrum, Tensor) or spectrum.ndim != 3 or spectrum.shape[2] != spectrum.shape[1] // 2 + 1:
        got = tuple(spectrum.shape) if isinstance(spectrum, Tensor) else type(spectrum).__name__
        raise RecipeError(f"spectrum is {got}: give a tensor [C, T, T // 2 + 1], as measure_spectrum(images) does.")
    if len(spectrum) != channels:
        raise RecipeError(
            f"spectrum has {len(spectrum)} channels and the model's images {channels}: measure it from such images."
        )
    if spectrum.shape[1] < 3:
        raise RecipeError(f"spectrum has a side of {spectrum.shape[1]}: give one of images of 3 px or more.")
    magnitude = torch.empty(0) if spectrum.is_complex() else spectrum.detach().to("cpu", torch.float32, copy=True)
    if not magnitude.numel() or not 0.0 <= float(magnitude.min()) <= float(magnitude.max()) < float("inf"):
        raise RecipeError("spectrum holds magnitudes: give finite numbers that are not negative.")
    if not bool(magnitude.any()):
        raise RecipeError("spectrum is 0 at every frequency, so that no picture could have any form: measure another.")
    return magnitude


def frequencies(side: int) -> Tensor:
    """The frequency of each coefficient of a picture's ``rfft2``, in cycles a pixel: double ``[S, S // 2 + 1]``."""
    rows = torch.fft.fftfreq(side, dtype=torch.float64, device="cpu")
    columns = torch.fft.rfftfreq(side, dtype=torch.float64, device="cpu")
    return torch.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2)


def at_side(magnitude: Tensor, side: int) -> Tensor:
    """A spectrum ``[C, T, T // 2 + 1]`` for pictures of another side: equal at equal cycles a picture.

    Finer frequencies than it has go on falling as the finest that it has.
    """
    own = magnitude.shape[1]
    if own == side:
        return magnitude
    # In cycles a picture; what lies past the table's end is taken from its end and falls by the power law.
    rows = side * torch.fft.fftfreq(side, dtype=torch.float32, device="cpu")
    columns = side * torch.fft.rfftfreq(side, dtype=torch.float32, device="cpu")
    end = (own - 1) // 2
    shifted = torch.fft.fftshift(magnitude, dim=1)  # rows from -own // 2 up
    reach = torch.maximum(rows.abs()[:, None], columns.abs()[None, :]) / end
    beyond = reach.clamp(min=1.0)
    y = (rows[:, None] / beyond + own // 2) / (own - 1) * 2.0 - 1.0
    x = (columns[None, :] / beyond) / (magnitude.shape[2] - 1) * 2.0 - 1.0
    grid = torch.stack(torch.broadcast_tensors(x, y), dim=-1)[None].to(magnitude)
    taken = F.grid_sample(shifted[None], grid, mode="bilinear", padding_mode="border", align_corners=True)[0]
    return taken / beyond.to(taken) ** POWER

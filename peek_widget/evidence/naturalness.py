"""Image statistics of a picture: whether it shows anything, and whether a photograph could have them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from peek_widget._size import Size
from peek_widget.errors import PeekError

__all__ = ["NATURAL_BAND", "Band", "degenerate", "in_band", "naturalness"]

Band = tuple[float, float]

NATURAL_BAND: Mapping[str, Band] = {
    "slope": (-3.76, -2.10),
    "variation": (0.025, 0.127),
    "clipped": (0.0, 0.176),
    "saturation": (0.06, 0.61),
    "contrast": (0.145, 0.326),
    "fine": (0.002, 0.096),
}
"""Range of each statistic of :func:`naturalness` that nine in ten photographs have (the 5th to 95th percentile of 1000
ImageNet images at 227 px). White noise has slope 0, variation 0.667 and 0.80 of its energy in ``fine``."""

_LEAST_SIDE = 8
_CLIPPED = 0.5 / 255.0
_GRAY = 0.02
_LUMA = (0.299, 0.587, 0.114)


def degenerate(picture: Tensor) -> str:
    """Return the flaw of a picture that shows nothing: ``"nan"``, ``"gray"`` or ``"clipped"``; else ``""``.

    Gray: no channel has a standard deviation above 5 gray levels of 255 (so it is a uniform color). Clipped: at more
    than half of the pixels every channel is at 0 or 1.

    Args:
        picture: ``[C, H, W]`` in [0, 1].
    """
    if not bool(torch.isfinite(picture).all()):
        return "nan"
    if float(picture.flatten(1).std(1, correction=0).max()) < _GRAY:
        return "gray"
    ends = ((picture <= _CLIPPED) | (picture >= 1.0 - _CLIPPED)).all(0)
    return "clipped" if float(ends.float().mean()) > 0.5 else ""


def naturalness(picture: Tensor) -> dict[str, float]:
    """Compute image statistics that lie in a narrow range for photographs, by the names of :data:`NATURAL_BAND`.

    - ``slope``: slope of log power (mean over directions, under a Hann window) over log frequency, from 2 cycles per
      picture to half a cycle per pixel (Field 1987: about -2);
    - ``variation``: total variation: mean absolute difference of neighbors, horizontal plus vertical, mean over
      channels;
    - ``clipped``: share of pixels where a channel is at 0 or 1 (to half of one of 255 levels);
    - ``saturation``: mean saturation of HSV; NaN for a picture that is not RGB;
    - ``contrast``: standard deviation over pixels and channels;
    - ``fine``: share of the power above a quarter of a cycle per pixel.

    Args:
        picture: ``[C, H, W]`` in [0, 1], 8 px or more on each side, at the scale at which the network gets it
            (:func:`~peek_widget.evidence.measures.as_seen`): a picture may be drawn larger than the receptive field,
            and a photograph that was enlarged as much would be out of range.

    Raises:
        PeekError: if it is smaller.
    """
    if picture.ndim != 3 or min(picture.shape[1:]) < _LEAST_SIDE:
        raise PeekError(
            f"A picture of {tuple(picture.shape)} has no spectrum to speak of: give [C, H, W] of 8 px or more."
        )
    size = Size(*picture.shape[1:])
    shown = picture.float().clamp(0.0, 1.0)
    rgb = shown.shape[0] == 3
    light = (shown * shown.new_tensor(_LUMA)[:, None, None]).sum(0) if rgb else shown.mean(0)
    down, across = (torch.hann_window(side, periodic=False) for side in size)
    power = torch.fft.fft2((light - light.mean()) * down[:, None] * across).abs().square()
    rows, columns = (torch.fft.fftfreq(side) for side in size)
    frequency = (rows[:, None].square() + columns.square()).sqrt()
    top, low = shown.amax(0), shown.amin(0)
    return {
        "slope": _slope(power, (frequency * size.side).round().long(), int(size.side) // 2),
        "variation": float(shown.diff(dim=1).abs().mean() + shown.diff(dim=2).abs().mean()),
        "clipped": float(((shown <= _CLIPPED) | (shown >= 1.0 - _CLIPPED)).any(0).float().mean()),
        "saturation": float(((top - low) / top.clamp(min=1e-9)).mean()) if rgb else math.nan,
        "contrast": float(shown.std(correction=0)),
        "fine": float(power[frequency > 0.25].sum() / power.sum().clamp(min=1e-12)),
    }


def in_band(statistics: Mapping[str, float]) -> dict[str, bool]:
    """Return which statistics of :func:`naturalness` lie within :data:`NATURAL_BAND`; one that is NaN is left out."""
    return {
        name: low <= statistics[name] <= high
        for name, (low, high) in NATURAL_BAND.items()
        if not math.isnan(statistics[name])
    }


def _slope(power: Tensor, ring: Tensor, rings: int) -> float:
    flat = ring.flatten()
    inside = flat <= rings
    total = torch.zeros(rings + 1).index_add_(0, flat[inside], power.flatten()[inside])
    mean = total / torch.bincount(flat[inside], minlength=rings + 1)
    x = torch.arange(2, rings + 1).float().log()
    x = x - x.mean()
    return float((x * mean[2:].clamp(min=1e-12).log()).sum() / x.square().sum())

"""Changes of a part of a photo, as the network sees it: covered with gray, without color, blurred, shuffled."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget._size import Size, SizeLike
from peek_widget.errors import PhotoError
from peek_widget.evidence.prepare import InputPlacement
from peek_widget.network import Preprocess

__all__ = ["EDITS", "Edit", "Region", "edited", "region_mask"]

Edit = Literal["gray", "grayscale", "blur", "shuffle"]
EDITS: tuple[Edit, ...] = get_args(Edit)
"""How a part of a photo can be changed, see :func:`edited`."""

Region = tuple[float, float, float, float] | np.ndarray[Any, Any] | Tensor | None
"""A part of a photo, see :func:`region_mask`."""

_BLUR = 1 / 28  # standard deviation, as a share of the input's side: 8 px of 224
_TILE = 1 / 16  # side of the tiles that are shuffled, as a share of the input's side: 14 px of 224
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, Pillow's weights of red, green and blue


def region_mask(region: Region, given: SizeLike, size: tuple[int, int], placement: InputPlacement) -> Tensor:
    """Return which pixels of the network's input lie in a part of a photo.

    Args:
        region: (left, top, right, bottom) in pixels of the photo; or a mask ``[H, W]`` over the whole photo, of any
            size, in which numbers of 0.5 and more are in the part; None for the whole photo.
        given: size of the network's input in pixels.
        size: (width, height) of the photo.
        placement: where the network's input lies in it.

    Returns:
        ``[H, W]`` bool: the pixels of the input whose centers are in the part.

    Raises:
        PhotoError: if it is not one of these, or the network sees nothing of it.
    """
    if region is None:
        return torch.ones(*Size.of(given), dtype=torch.bool)
    down, across = (torch.arange(side, dtype=torch.float64) + 0.5 for side in Size.of(given))
    x, y = (across + placement.left) * placement.scale[0], (down + placement.top) * placement.scale[1]
    if isinstance(region, (np.ndarray, Tensor)):
        over = torch.as_tensor(region)
        if over.ndim != 2 or not over.numel():
            raise PhotoError(f"region is an array of shape {tuple(over.shape)}: give a mask [H, W] over the photo.")
        rows = (y / size[1] * over.shape[0]).long().clamp(0, over.shape[0] - 1)
        columns = (x / size[0] * over.shape[1]).long().clamp(0, over.shape[1] - 1)
        mask = over.cpu()[rows][:, columns] >= 0.5
    else:
        left, top, right, bottom = _box(region)
        mask = ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))[None]
    if not bool(mask.any()):
        width, height = size
        shown = (x[0], y[0], x[-1], y[-1])
        words = "{:.0f}, {:.0f} to {:.0f}, {:.0f}".format(*map(float, shown))
        raise PhotoError(
            f"The network sees nothing of that region: the photo is {width} x {height} px, of which it sees {words} "
            "(left, top to right, bottom)."
        )
    return mask


def _box(region: Any) -> tuple[float, float, float, float]:
    try:
        left, top, right, bottom = (float(one) for one in region)
        good = left < right and top < bottom and np.isfinite([left, top, right, bottom]).all()
    except (TypeError, ValueError):
        good = False
    if not good:
        raise PhotoError(
            f"region={region!r}: give (left, top, right, bottom) in pixels of the photo, a mask [H, W], or None for "
            "the whole photo."
        )
    return left, top, right, bottom


def edited(pixels: Tensor, mask: Tensor, how: Edit, preprocess: Preprocess) -> Tensor:
    """Change a part of the network's input.

    Args:
        pixels: the input, ``[C, H, W]`` in [0, 1].
        mask: which pixels are changed, ``[H, W]`` bool.
        how: ``"gray"`` covers them with the color that the network sees as zero (usually the mean color of its training
            images); ``"grayscale"`` takes the color away and leaves the lightness; ``"blur"`` blurs them by a Gaussian
            with a standard deviation of S/28; ``"shuffle"`` exchanges tiles of S/16 that lie wholly in the part
            (texture stays, form goes; Geirhos et al. 2019), in the same way each time. S is the side of a square of the
            input's area.
        preprocess: determines the color that the network sees as zero.

    Returns:
        A new tensor of the same shape.

    Raises:
        PhotoError: for an unknown ``how``.
    """
    if how not in EDITS:
        raise PhotoError(f"how={how!r}: choose one of {', '.join(map(repr, EDITS))}.")
    if how == "shuffle":
        return _shuffled(pixels, mask)
    if how == "gray":
        instead = preprocess.neutral().to(pixels)[:, None, None].expand_as(pixels)
    elif how == "grayscale":
        weights = pixels.new_tensor(_LUMA if len(pixels) == 3 else [1.0 / len(pixels)] * len(pixels))
        instead = (pixels * weights[:, None, None]).sum(0, keepdim=True).expand_as(pixels)
    else:
        instead = _blurred(pixels, max(1.0, _BLUR * Size(*pixels.shape[-2:]).side))
    return torch.where(mask, instead, pixels)


def _blurred(pixels: Tensor, deviation: float) -> Tensor:
    reach = min(int(3 * deviation), min(pixels.shape[-2:]) - 1)
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weights = torch.exp(-at.square() / (2 * deviation**2))
    weights = (weights / weights.sum()).to(pixels)
    padded = F.pad(pixels[:, None], (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))[:, 0]


def _shuffled(pixels: Tensor, mask: Tensor) -> Tensor:
    height, width = size = Size(*mask.shape)
    tile = max(2, round(_TILE * size.side))
    corners = [
        (top, left)
        for top in range(0, height - tile + 1, tile)
        for left in range(0, width - tile + 1, tile)
        if bool(mask[top : top + tile, left : left + tile].all())
    ]
    if len(corners) < 2:
        raise PhotoError(
            f"The region is too small to shuffle: its tiles are {tile} px of what the network sees, and it holds "
            f"{len(corners)} of them; choose a larger one, or how='blur'."
        )
    order = torch.randperm(len(corners), generator=torch.Generator().manual_seed(0)).tolist()
    result = pixels.clone()
    for (top, left), other in zip(corners, order, strict=True):
        y, x = corners[other]
        result[:, top : top + tile, left : left + tile] = pixels[:, y : y + tile, x : x + tile]
    return result

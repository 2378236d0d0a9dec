"""Conversion of images: from what users give to tensors, and from tensors to Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as PILImage
from torch import Tensor

from peek_widget import _pillow
from peek_widget._size import Size
from peek_widget.errors import PeekError

__all__ = ["Picture", "as_picture", "center_cut", "match_channels", "to_pil"]

Picture = PILImage.Image | np.ndarray[Any, Any] | Tensor
"""A PIL image, an array ``[H, W]`` or ``[H, W, C]`` (bytes, or numbers in [0, 1]), or a tensor ``[C, H, W]`` in
[0, 1]."""


def to_pil(image: Tensor, alpha: Tensor | None = None) -> PILImage.Image:
    """Convert a picture to a PIL image: the first three channels as RGB; of fewer channels the mean, in gray.

    Args:
        image: ``[C, H, W]`` in [0, 1]; other values are clipped, NaN is black.
        alpha: opacity, ``[1, H, W]`` in [0, 1], where the picture has one.
    """
    colors = image[:3] if image.shape[0] >= 3 else image.mean(0, keepdim=True)
    levels = colors if alpha is None else torch.cat([colors, alpha.to(colors)])
    # plane by plane, three times as fast as by pixels: every live frame is converted here
    values = levels.detach().cpu().nan_to_num().clamp_(0.0, 1.0)
    bands = [PILImage.fromarray(plane) for plane in values.mul_(255.0).round_().to(torch.uint8).numpy()]
    return bands[0] if len(bands) == 1 else PILImage.merge({2: "LA", 3: "RGB", 4: "RGBA"}[len(bands)], bands)


def as_picture(image: Picture) -> Tensor:
    """Convert an image to a tensor, float32 ``[C, H, W]`` in [0, 1].

    Args:
        image: a PIL image of any mode (RGB unless it is gray; upright, as its EXIF orientation says; with more than 8
            bits, scaled by the smallest of 1, 255, 65535 and its highest number that holds it), an array ``[H, W]`` or
            ``[H, W, C]`` (bytes, or numbers in [0, 1]), or a tensor ``[C, H, W]`` in [0, 1].

    Raises:
        PeekError: if it is anything else.
    """
    if isinstance(image, PILImage.Image):
        image = _levels(_pillow.unpacked(_pillow.upright(image)))
    if isinstance(image, np.ndarray):
        array = image[:, :, None] if image.ndim == 2 else image
        if array.ndim != 3 or array.dtype.kind not in "uifb" or not array.size:
            raise PeekError(
                f"An array of shape {image.shape} and type {image.dtype} is not an image: give [H, W] or [H, W, C] of "
                "bytes, or of numbers from 0 to 1."
            )
        scale = 255.0 if array.dtype == np.uint8 else 1.0
        image = torch.from_numpy(np.ascontiguousarray(array).astype(np.float32) / scale).permute(2, 0, 1)
    if not isinstance(image, Tensor):
        raise PeekError(
            f"A {type(image).__name__} is not an image: give a PIL image, an array [H, W, C] or a tensor [C, H, W] in "
            "[0, 1]."
        )
    if image.ndim != 3 or not image.numel():
        raise PeekError(f"A tensor of shape {tuple(image.shape)} is not an image: give [C, H, W].")
    picture = image.detach().to("cpu", torch.float32)
    low, high = float(picture.min()), float(picture.max())
    if not (0.0 <= low <= high <= 1.0):  # also true for NaN
        raise PeekError(
            f"The image's values go from {low:g} to {high:g}: give values from 0 to 1 (bytes divided by 255, and "
            "not normalized)."
        )
    return picture


def _levels(image: PILImage.Image | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an image of Pillow's as an array of bytes, or of numbers from 0 to 1."""
    if isinstance(image, PILImage.Image):
        return np.asarray(_pillow.converted(image, "L" if image.mode in ("1", "L") else "RGB"))
    highest = 65535.0 if image.dtype == np.uint16 else float(image.max())
    return image / next((most for most in (1.0, 255.0, 65535.0) if highest <= most), highest)


def match_channels(picture: Tensor, channels: int) -> Tensor:
    """Convert a picture ``[C, H, W]`` to a number of channels: gray is repeated, colors are averaged to gray.

    Raises:
        PeekError: if neither the picture nor the result is gray and the numbers of channels differ.
    """
    if picture.shape[0] == channels:
        return picture
    if picture.shape[0] == 1:
        return picture.expand(channels, -1, -1)
    if channels == 1:
        return picture.mean(0, keepdim=True)
    raise PeekError(
        f"The model takes images of {channels} channels and this picture has {picture.shape[0]}: give one of "
        f"{channels}, or a gray one. (A tensor is [C, H, W], an array [H, W, C].)"
    )


def center_cut(picture: Tensor, size: Size) -> Tensor:
    """Cut the largest part of that shape out of the center of a picture ``[C, H, W]``, and resize it to that size."""
    given = Size(*picture.shape[-2:])
    # (as wide or as high as the picture, whichever is less)
    scale = min(given.height / size.height, given.width / size.width)
    height, width = (min(max(1, round(scale * of)), most) for of, most in zip(size, given, strict=True))
    top, left = (given.height - height) // 2, (given.width - width) // 2
    cut = picture[:, top : top + height, left : left + width]
    if (height, width) == size:
        return cut
    resized = F.interpolate(cut[None], tuple(size), mode="bilinear", antialias=True, align_corners=False)
    return resized[0].clamp(0.0, 1.0)

"""Real images as the page gets them: small JPEGs, and a unit's map as a mask over one."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from peek_widget.evidence import Crop

__all__ = ["LARGE", "THUMB", "box_share", "jpeg", "large", "map_bytes", "map_share", "start_picture", "thumb"]

THUMB = 128
"""Longer side of a thumbnail in pixels."""

LARGE = 448
"""Longer side of the enlarged image in pixels."""

_LARGE_LIMIT = 96 * 1024
_FINEST_MAP = 128


def thumb(crop: Crop, cut: bool) -> bytes:
    """A JPEG of at most 128 px: of what the unit sees (`cut`), or of the whole image."""
    return jpeg(_within(crop.image() if cut else crop.whole(), THUMB, enlarge=cut), 82)


def large(crop: Crop) -> bytes:
    """A JPEG of the whole image, at most 448 px and some 96 kB."""
    picture = _within(crop.whole(), LARGE)
    for quality in (88, 75, 50):
        data = jpeg(picture, quality)
        if len(data) <= _LARGE_LIMIT:
            break
    return data


def jpeg(picture: Image.Image, quality: int) -> bytes:
    """The picture as a JPEG."""
    into = io.BytesIO()
    (picture if picture.mode in ("L", "RGB") else picture.convert("RGB")).save(into, "JPEG", quality=quality)
    return into.getvalue()


def box_share(crop: Crop) -> list[float]:
    """What the unit sees, (left, top, right, bottom) as shares of the image's width and height."""
    (left, top, right, bottom), (width, height) = crop.box, crop.size
    return [round(x, 4) for x in (left / width, top / height, right / width, bottom / height)]


def map_bytes(found: Tensor) -> tuple[bytes, list[int]]:
    """A unit's map as one byte for each place, row by row, and its (h, w).

    255 is the highest activation of this image. 0 is zero and below, or, where nothing is above zero, the lowest.
    A map finer than 128 x 128 is thinned out to the highest of each patch.
    """
    values = np.nan_to_num(found.numpy().astype(np.float64))
    step = -(-max(values.shape) // _FINEST_MAP)
    if step > 1:
        height, width = (-(-side // step) * step for side in values.shape)
        padded = np.full((height, width), -np.inf)
        padded[: values.shape[0], : values.shape[1]] = values
        values = padded.reshape(height // step, step, width // step, step).max(axis=(1, 3))
    high, low = values.max(), values.min()
    low = 0.0 if high > 0.0 else low
    shares = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
    return np.rint(shares * 255.0).astype(np.uint8).tobytes(), list(values.shape)


def map_share(crop: Crop) -> list[float]:
    """Where the map lies on the image, (left, top, right, bottom) as shares of its width and height."""
    example_index: Any = crop._example_index
    field = example_index.fields[crop.layer]
    top, left = (start - stride / 2 + 0.5 for start, stride in zip(field.start, field.stride, strict=True))
    bottom, right = top + field.map[0] * field.stride[0], left + field.map[1] * field.stride[1]
    if field.kind == "whole":
        left = top = 0.0
        right = bottom = float(field.input_size)
    frame = example_index.preparer.frame(crop.size)
    width, height = crop.size
    (across, down), x, y = frame.scale, frame.left, frame.top
    return [
        round(float(share), 4)
        for share in (
            (left + x) * across / width,
            (top + y) * down / height,
            (right + x) * across / width,
            (bottom + y) * down / height,
        )
    ]


def start_picture(crop: Crop, channels: int) -> Any:
    """What an ascent that starts from the crop is given: what the unit sees, in the network's number of channels."""
    if channels in (1, 3):
        return crop.image().convert("L" if channels == 1 else "RGB")
    left, top, right, bottom = (round(edge) for edge in crop.input_box)
    return crop.input()[:, top : max(bottom, top + 1), left : max(right, left + 1)].clamp(0.0, 1.0)


def _within(picture: Image.Image, side: int, *, enlarge: bool = False) -> Image.Image:
    scale = side / max(picture.size)
    if scale >= 1.0 and not enlarge:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # A field of a few pixels is to be seen as pixels, not as a blur.
    how = Image.Resampling.NEAREST if max(picture.size) < 24 else Image.Resampling.LANCZOS
    return picture.resize(size, how)

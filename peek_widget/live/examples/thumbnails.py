"""Example crops as shown on the page: small JPEGs, and the activation map as a mask over an image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from peek_widget._encode import jpeg_bytes, jpeg_within, shrunk
from peek_widget.evidence import Crop

__all__ = [
    "ENLARGED",
    "THUMBNAIL",
    "THUMBNAIL_QUALITY",
    "enlarged",
    "map_box",
    "map_levels",
    "png_thumbnail",
    "shares",
    "start_picture",
    "thumbnail",
]

THUMBNAIL = 128
"""Longer side of a thumbnail in pixels."""

THUMBNAIL_QUALITY = 82

ENLARGED = 448
"""Longer side of the enlarged image in pixels."""

_MOST_BYTES = 96 * 1024
_FINEST_MAP = 128


def thumbnail(crop: Crop, box: tuple[int, int, int, int] | None) -> bytes:
    """Return a JPEG of a crop, of at most 128 px.

    Args:
        crop: an example.
        box: part of the image to show, (left, top, right, bottom) in its pixels; None for all of it.

    Raises:
        DatasetError: if the image can no longer be loaded.
    """
    image = crop.whole()
    return jpeg_bytes(shrunk(image, THUMBNAIL) if box is None else _resized(image.crop(box)), THUMBNAIL_QUALITY)


def png_thumbnail(png: bytes) -> bytes:
    """Return the picture of a PNG as a JPEG of at most 128 px."""
    with Image.open(io.BytesIO(png)) as picture:
        small = picture.convert("L" if picture.mode == "L" else "RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return jpeg_bytes(small, THUMBNAIL_QUALITY)


def enlarged(crop: Crop) -> bytes:
    """Return a JPEG of the whole image, at most 448 px and about 96 kB.

    Raises:
        DatasetError: if the image can no longer be loaded.
    """
    return jpeg_within(shrunk(crop.whole(), ENLARGED), _MOST_BYTES, (88, 75, 50))


def shares(box: tuple[int, int, int, int], size: tuple[int, int]) -> list[float]:
    """Return a box in pixels of an image of size (width, height) as fractions of its sides."""
    (left, top, right, bottom), (width, height) = box, size
    return [round(x, 4) for x in (left / width, top / height, right / width, bottom / height)]


def map_levels(activations: Tensor) -> tuple[bytes, list[int]]:
    """Return an activation map `[h, w]` as one byte for each position, row by row, and its (h, w).

    255 is the highest activation of this image; 0 is zero or less or, if no activation is above zero, the lowest.
    A map larger than 128 x 128 is max-pooled until it is not.
    """
    values = np.nan_to_num(activations.numpy().astype(np.float64))
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


def map_box(crop: Crop) -> list[float]:
    """Return where the activation map lies on the image, (left, top, right, bottom) as fractions of its sides."""
    (left, top, right, bottom), (width, height) = crop.map_box, crop.size
    return [round(float(share), 4) for share in (left / width, top / height, right / width, bottom / height)]


def start_picture(crop: Crop, channels: int) -> Any:
    """Return a crop as a picture to start from: an image, or a tensor `[C, H, W]` in [0, 1].

    It is the focus if the receptive field is wide and the focus is known, as on the page, and the receptive field
    otherwise.

    Args:
        crop: an example.
        channels: number of channels of the network's input.
    """
    field = crop.known_focus if crop.wide else None
    if channels in (1, 3):
        box = None if field is None else crop.focus_of(field)
        part = crop.image if box is None else crop.whole().crop(box)
        return part.convert("L" if channels == 1 else "RGB")
    edges = crop.input_box if field is None or field.box is None else field.box
    left, top, right, bottom = (round(edge) for edge in edges)
    return crop.input()[:, top : max(bottom, top + 1), left : max(right, left + 1)].clamp(0.0, 1.0)


def _resized(picture: Image.Image) -> Image.Image:
    """Return a part of an image resized to a thumbnail's side, up or down."""
    scale = THUMBNAIL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # a part of a few pixels should be shown as pixels, not as a blur
    how = Image.Resampling.NEAREST if max(picture.size) < 24 else Image.Resampling.LANCZOS
    return picture.resize(size, how)

"""Pillow's images, upright and with their true numbers, whatever their mode."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageOps

__all__ = ["converted", "is_turned", "sideways", "unpacked", "upright"]

_ORIENTATION = 0x0112  # the EXIF tag in which a camera records how it was held

# Pillow converts these modes only to each other.
_THROUGH = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}


def sideways(image: Image.Image) -> bool:
    """Return whether turning the image as its EXIF orientation says swaps width and height."""
    return _orientation(image) in (5, 6, 7, 8)


def is_turned(image: Image.Image) -> bool:
    """Return whether an image is not upright, as its EXIF orientation says."""
    return _orientation(image) in (2, 3, 4, 5, 6, 7, 8)


def upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF orientation says; unchanged if there is none that can be read."""
    return ImageOps.exif_transpose(image) if is_turned(image) else image


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    # Damaged EXIF data raise nearly anything; the pixels are good nonetheless.
    except Exception:
        return 1


def converted(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image of 8 bits a channel to ``"L"`` or ``"RGB"``, from any mode; opacity is dropped."""
    if image.mode == mode:
        return image
    between = _THROUGH.get(image.mode)
    return (image.convert(between) if between else image).convert(mode)


def unpacked(image: Image.Image) -> Image.Image | np.ndarray[Any, Any]:
    """Return the numbers of an image with more than 8 bits a channel, ``[H, W]``; any other image is returned as it is.

    Pillow's own conversion of these to bytes cuts off everything above 255: 16 bits become white, and numbers from 0
    to 1 black.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)  # in this machine's order of bytes
    if image.mode == "I":
        array = np.asarray(image)
        # Pillow gives these files' 16 bits as 32.
        return array.astype(np.uint16) if getattr(image, "format", None) in ("PNG", "PPM") else array
    return np.asarray(image) if image.mode == "F" else image

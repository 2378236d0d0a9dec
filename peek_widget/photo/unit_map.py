"""A unit's feature map on a photo, laid where its receptive fields are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from peek_widget.errors import PhotoError

__all__ = ["UnitMap", "without_what_is_cut_off"]

_COLOR = (255, 106, 0)
_STRONGEST = 0.75  # opacity where the unit fires most
_SIDE = 512
_CUT_OFF = 0.35  # lightness of what the network doesn't see


@dataclass(frozen=True)
class UnitMap:
    """A unit's activations at all positions of its map on one photo.

    Attributes:
        layer: name of the layer.
        unit: number of the unit.
        values: activations before the ReLU, ``[H, W]`` float32.
        box: part of the photo that the map covers, (left, top, right, bottom) in its pixels: each position is one
            stride wide and has the center of its receptive field in its middle. It may reach beyond the photo, where
            fields are centered on padding, or end within it.
        in_place: whether positions see the part of the photo where they lie; after a flip, say, they do not, and the
            map can't be laid over the photo.
    """

    layer: str
    unit: int
    values: Tensor
    box: tuple[float, float, float, float]
    in_place: bool
    _picture: Image.Image = field(repr=False, compare=False)
    _size: tuple[int, int] = field(repr=False, compare=False)
    _shown: tuple[float, float, float, float] = field(repr=False, compare=False)

    def strength(self, width: int, height: int) -> np.ndarray[Any, Any]:
        """Return the map resampled over the photo, ``[height, width]`` float32 from 0 to 1.

        1 is its highest activation; 0 is an activation of 0 (for a unit that is nowhere above 0, its lowest), and all
        that the network doesn't see or the map doesn't cover. Between the centers of receptive fields it is
        interpolated bilinearly.

        Args:
            width, height: size of the photo that it is for, in pixels.

        Raises:
            PhotoError: if the map can't be laid over the photo.
        """
        if not self.in_place:
            raise PhotoError(
                f"The map of {self.layer!r} can't be laid over the photo: its positions are not in the order of the "
                "image (after a flip or a shuffle, say). Its numbers are in .values."
            )
        values = self.values.numpy()
        high = float(values.max())
        low = 0.0 if high > 0 else float(values.min())
        share = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
        # One more row and column at each border, so that its outer half positions are covered too.
        padded = Image.fromarray(np.pad(share, 1, mode="edge").astype(np.float32))
        left, top, right, bottom = self.box
        rows, columns = values.shape
        x, y = (right - left) / columns, (bottom - top) / rows
        across, down = self._size[0] / width, self._size[1] / height
        found = padded.transform(
            (width, height),
            Image.Transform.AFFINE,
            (across / x, 0.0, 1.0 - left / x, 0.0, down / y, 1.0 - top / y),
            Image.Resampling.BILINEAR,
        )
        spread = np.array(found)
        xs, ys = (np.arange(width) + 0.5) * across, (np.arange(height) + 0.5) * down
        for covered in (self.box, self._shown):
            inside = ((ys >= covered[1]) & (ys < covered[3]))[:, None] & ((xs >= covered[0]) & (xs < covered[2]))[None]
            spread = np.where(inside, spread, 0.0)
        return spread.astype(np.float32)

    def overlay(self, side: int = _SIDE) -> Image.Image:
        """Return the photo, with the map over it in orange; what the network doesn't see of it is darkened.

        Args:
            side: longer side of the picture in pixels.

        Raises:
            PhotoError: if the map can't be laid over the photo.
        """
        picture = without_what_is_cut_off(self._picture, self._size, self._shown, side)
        opacity = (_STRONGEST * self.strength(*picture.size))[..., None]
        mixed = np.asarray(picture, np.float32) * (1 - opacity) + np.array(_COLOR, np.float32) * opacity
        return Image.fromarray(mixed.round().astype(np.uint8))


def without_what_is_cut_off(
    picture: Image.Image, size: tuple[int, int], shown: tuple[float, float, float, float], side: int
) -> Image.Image:
    """Return a photo with its longer side ``side`` px long (RGB), what the network doesn't see of it darkened."""
    scale = side / max(size)
    width, height = (max(1, round(one * scale)) for one in size)
    resampling = Image.Resampling.NEAREST if max(picture.size) < 48 else Image.Resampling.BICUBIC
    small = picture.convert("RGB").resize((width, height), resampling)
    left, top, right, bottom = (round(one * scale) for one in shown)
    dark = small.point(_darkened)
    dark.paste(small.crop((left, top, right, bottom)), (left, top))
    return dark


def _darkened(level: float) -> float:
    return level * _CUT_OFF

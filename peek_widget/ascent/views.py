"""Views: the random crops, turns and shifts through which the network sees a picture.

What stays exciting under all of them is form; what only one exact placement excites is noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

__all__ = ["Frame", "Window", "affine_views", "shift", "window"]

Window = tuple[slice, slice]
"""Rows and columns of a picture."""


@dataclass(frozen=True)
class Frame:
    """How a picture is laid before a network for one objective.

    Attributes:
        side: of the square that the network gets, in pixels.
        shares: smallest and largest side of what is cut out of the picture, as a share of the picture's side;
            above 1 it reaches past the border, which is mirrored.
        centre: the place (y, x) in the network's square, from -1 to 1, on which the picture's middle comes to
            lie; None lets the cut go anywhere in the picture.
    """

    side: int
    shares: tuple[float, float]
    centre: tuple[float, float] | None = None


def affine_views(
    pictures: Tensor, frame: Frame, count: int, rotation: float, jitter: float, generators: list[Generator]
) -> Tensor:
    """Random resized, turned and shifted crops.

    Args:
        pictures: ``[N, C, S, S]``.
        frame: what to cut out.
        count: views of each picture, V.
        rotation: largest turn, in degrees.
        jitter: largest shift, as a share of the picture's side.
        generators: one for each picture; draws are made on the CPU on every device.

    Returns:
        ``[N * V, C, frame.side, frame.side]``, the views of one picture together.
    """
    side = pictures.shape[-1]
    draws = torch.stack([torch.rand(count, 6, generator=g) for g in generators]).flatten(0, 1)
    low, high = frame.shares
    share = low + (high - low) * draws[:, 0]
    angle = math.radians(rotation) * (2.0 * draws[:, 1] - 1.0)
    cos, sin = share * torch.cos(angle), share * torch.sin(angle)
    move = 2.0 * jitter * (2.0 * draws[:, 4:6] - 1.0)
    if frame.centre is None:
        room = (1.0 - share).clamp(min=0.0)[:, None]
        middle = room * (2.0 * draws[:, 2:4] - 1.0)
    else:
        y, x = frame.centre
        middle = -torch.stack([cos * x - sin * y, sin * x + cos * y], dim=1)
    middle = middle + move
    theta = torch.stack(
        [torch.stack([cos, -sin, middle[:, 0]], 1), torch.stack([sin, cos, middle[:, 1]], 1)], dim=1
    ).to(pictures.device)
    # Bilinear sampling looks at four pixels: a picture much finer than the view is averaged down first, or
    # most of its pixels would never be seen.
    coarser = int(low * side / frame.side)
    if coarser > 1:
        pictures = F.adaptive_avg_pool2d(pictures, side // coarser)
    if count > 1:
        pictures = pictures.repeat_interleave(count, 0)
    grid = F.affine_grid(theta, [len(theta), pictures.shape[1], frame.side, frame.side], align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def window(side: int, seen: int, generator: Generator) -> Window:
    """Rows and columns of a square of side ``seen`` in a picture of side ``side``, near its middle.

    The offset is normal about the middle with deviation ``0.3 * (side - seen)``, as in Øygard's deepdraw.
    """
    room = side - seen
    if room <= 0:
        return slice(None), slice(None)
    offsets = room / 2 + 0.3 * room * torch.randn(2, generator=generator)
    y, x = (int(v) for v in offsets.round().clamp(0, room))
    return slice(y, y + seen), slice(x, x + seen)


def shift(pictures: Tensor, share: float, generator: Generator) -> Tensor:
    """Pictures moved by up to ``share`` of their side, the border mirrored: jitter."""
    reach = min(round(share * pictures.shape[-1]), pictures.shape[-1] - 1)
    if reach <= 0:
        return pictures
    y, x = torch.randint(0, 2 * reach + 1, (2,), generator=generator).tolist()
    padded = F.pad(pictures, [reach] * 4, mode="reflect")
    height, width = pictures.shape[-2:]
    return padded[:, :, y : y + height, x : x + width]

"""Views: the random crops, turns and shifts through which the network sees a picture.

What stays exciting under all of them is form; what only one exact placement excites is noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

__all__ = ["Frame", "Look", "Window", "affine_views", "normal", "shift", "speckle", "uniform", "window"]

Window = tuple[slice, slice]
"""Rows and columns of a picture."""


@dataclass(frozen=True)
class Frame:
    """How a picture is laid before a network for one objective.

    Attributes:
        side: of the square that the network gets, in pixels.
        cut: what is cut out of the picture: ``"crop"`` (of any size, anywhere in it), ``"widest"`` (the largest
            crop), ``"field"`` (a receptive field round its middle), ``"normal-crop"`` (MACO's), ``"whole"``,
            ``"window"`` (a square of its own pixels).
        reach: of a field's cut, its side by the side of the field: the room round the field.
        center: the place (y, x) in the network's square, from -1 to 1, on which the picture's middle comes to
            lie; None lets the cut go anywhere in the picture.
        part: first row, first column and side of what the network needs of its square, because a unit in the middle
            sees no more; None for all of it.
    """

    side: int
    cut: Literal["crop", "widest", "field", "normal-crop", "whole", "window"]
    reach: float = 1.0
    center: tuple[float, float] | None = None
    part: tuple[int, int, int] | None = None

    def needed(self, views: Tensor) -> Tensor:
        """The part of views ``[M, C, side, side]`` that the network needs."""
        if self.part is None:
            return views
        top, left, side = self.part
        return views[:, :, top : top + side, left : left + side]


@dataclass(frozen=True)
class Look:
    """The numbers of one step's views. Shares are of the picture's side.

    Attributes:
        count: views of each picture, V.
        shares: smallest and largest side of what is cut out; above 1 it reaches past the border. Of a normal
            crop, its mean and deviation.
        rotation: largest turn, in degrees.
        rotation_choices: where given, one of these angles (in degrees) is taken at random in place of ``rotation``.
        scale_choices: where given, one of these magnifications is taken at random.
        jitter: largest shift.
        jitter2: largest second shift, after scaling.
        center_std: of a normal crop's middle.
        flip: the probability that a view is mirrored, left for right.
        padding_mode: what lies past the border: the mirrored picture, or mid-gray.
    """

    count: int
    shares: tuple[float, float]
    rotation: float = 0.0
    rotation_choices: tuple[float, ...] = ()
    scale_choices: tuple[float, ...] = ()
    jitter: float = 0.0
    jitter2: float = 0.0
    center_std: float = 0.0
    flip: float = 0.0
    padding_mode: Literal["reflect", "constant"] = "reflect"


def uniform(*shape: int, generator: Generator) -> Tensor:
    """Draws from [0, 1), float32 on the CPU whatever the caller's default type and device are."""
    return torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")


def normal(*shape: int, generator: Generator) -> Tensor:
    """Standard normal draws, float32 on the CPU whatever the caller's default type and device are."""
    return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")


def affine_views(pictures: Tensor, frame: Frame, look: Look, generators: list[Generator]) -> Tensor:
    """Random resized, turned, mirrored and shifted crops, in one bilinear sampling.

    Args:
        pictures: ``[N, C, S, S]``.
        frame: what to cut out.
        look: how much of each.
        generators: one for each picture; draws are made on the CPU on every device.

    Returns:
        ``[N * V, C, frame.side, frame.side]``, the views of one picture together.
    """
    side, count = pictures.shape[-1], look.count
    draws = torch.stack([uniform(count, 6, generator=g) for g in generators]).flatten(0, 1)
    low, high = look.shares
    if frame.cut == "normal-crop":
        bell = torch.stack([normal(count, 3, generator=g) for g in generators]).flatten(0, 1)
        share = (low + high * bell[:, 0]).clamp(_LEAST_CROP, 1.0)
        low = float(share.min())
    else:
        share = low + (high - low) * draws[:, 0]
    if frame.cut == "whole":
        share = share - 2.0 * look.jitter2
        low = float(share.min())
    scale = None
    if look.scale_choices:
        # Scaled and then cut to the view's own size, so that a magnification of 1.1 shows 1 / 1.1 of it.
        scale = torch.stack([_choose(look.scale_choices, count, g) for g in generators]).flatten(0, 1)
        share = share / scale
        low = float(share.min())
    if look.rotation_choices:
        turn = torch.stack([_choose(look.rotation_choices, count, g) for g in generators]).flatten(0, 1)
        angle = turn * (math.pi / 180.0)
    else:
        angle = math.radians(look.rotation) * (2.0 * draws[:, 1] - 1.0)
    cos, sin = share * torch.cos(angle), share * torch.sin(angle)
    move = 2.0 * look.jitter * (2.0 * draws[:, 4:6] - 1.0)
    if look.flip > 0.0:
        coins = torch.stack([uniform(count, generator=g) for g in generators]).flatten(0, 1)
        mirror = torch.where(coins < look.flip, -1.0, 1.0)
        across, down = cos * mirror, sin * mirror
    else:
        across, down = cos, sin
    if frame.cut == "normal-crop":
        room = (1.0 - share)[:, None]
        middle = torch.minimum(torch.maximum(2.0 * look.center_std * bell[:, 1:], -room), room)
    elif frame.cut == "whole":
        late = 2.0 * look.jitter2 * (2.0 * draws[:, 2:4] - 1.0)
        middle = late if scale is None else late / scale[:, None]
    elif frame.center is None:
        room = (1.0 - share).clamp(min=0.0)[:, None]
        middle = room * (2.0 * draws[:, 2:4] - 1.0)
    else:
        y, x = frame.center
        middle = -torch.stack([across * x - sin * y, down * x + cos * y], dim=1)
    middle = middle + move
    theta = torch.stack([across, -sin, middle[:, 0], down, cos, middle[:, 1]], dim=1).view(-1, 2, 3).to(pictures.device)
    # Bilinear sampling looks at four pixels: a picture much finer than the view is averaged down first, or
    # most of its pixels would never be seen.
    coarser = int(low * side / frame.side)
    if coarser > 1:
        pictures = F.adaptive_avg_pool2d(pictures, max(1, side // coarser))
    grid = F.affine_grid(theta, [len(theta), pictures.shape[1], frame.side, frame.side], align_corners=False)
    # A picture's views are sampled as one tall view: a copy of the picture for each would take hundreds of megabytes.
    grid = grid.view(len(pictures), count * frame.side, frame.side, 2)
    if look.padding_mode == "constant":
        views = 0.5 + F.grid_sample(pictures - 0.5, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    else:
        views = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return views.unflatten(2, (count, frame.side)).transpose(1, 2).flatten(0, 1)


# As in Xplique's MACO: a normal crop is never smaller than this share of the picture.
_LEAST_CROP = 0.05


def _choose(values: tuple[float, ...], count: int, generator: Generator) -> Tensor:
    places = torch.randint(len(values), (count,), generator=generator, device="cpu")
    return torch.tensor(values, dtype=torch.float32, device="cpu")[places]


def speckle(views: Tensor, noise: float, generators: list[Generator]) -> Tensor:
    """Views with noise added: normal of deviation ``noise``, and uniform within half of it (MACO, Fel et al. 2023).

    Args:
        views: ``[N * V, C, H, W]`` in [0, 1], the views of one picture together.
        noise: as a share of the range from black to white; 0 does nothing.
        generators: one for each picture; draws are made on the CPU on every device.
    """
    if noise <= 0.0:
        return views
    shape = (len(views) // len(generators), *views.shape[1:])
    draws = [noise * normal(*shape, generator=g) + noise * (uniform(*shape, generator=g) - 0.5) for g in generators]
    return views + torch.cat(draws).to(views.device)


def window(side: int, seen: int, generator: Generator) -> Window:
    """Rows and columns of a square of side ``seen`` in a picture of side ``side``, near its middle.

    The offset is normal about the middle with deviation ``0.3 * (side - seen)``, as in Øygard's deepdraw.
    """
    room = side - seen
    if room <= 0:
        return slice(None), slice(None)
    offsets = room / 2 + 0.3 * room * normal(2, generator=generator)
    y, x = (int(v) for v in offsets.round().clamp(0, room))
    return slice(y, y + seen), slice(x, x + seen)


def shift(pictures: Tensor, share: float, generator: Generator) -> Tensor:
    """Pictures moved by up to ``share`` of their side, the border mirrored: jitter."""
    reach = min(round(share * pictures.shape[-1]), pictures.shape[-1] - 1)
    if reach <= 0:
        return pictures
    y, x = torch.randint(0, 2 * reach + 1, (2,), generator=generator, device="cpu").tolist()
    padded = F.pad(pictures, [reach] * 4, mode="reflect")
    height, width = pictures.shape[-2:]
    return padded[:, :, y : y + height, x : x + width]

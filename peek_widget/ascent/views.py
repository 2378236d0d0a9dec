"""Views: the random crops, rotations and shifts of a picture that the network sees.

What excites a unit under all views is form; what excites it only at one exact position is noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from peek_widget._size import Size, SizeLike

__all__ = [
    "ViewGeometry",
    "ViewParameters",
    "Window",
    "affine_draws",
    "affine_views",
    "normal",
    "shift_draws",
    "shifted",
    "uniform",
    "view_noise",
    "window",
]

Window = tuple[slice, slice]
"""Rows and columns of a picture."""

# As in Xplique's MACO: a normal crop is never smaller than this share of the picture.
_SMALLEST_NORMAL_CROP = 0.05


@dataclass(frozen=True)
class ViewGeometry:
    """How the network's input is taken from a picture, for one objective."""

    size: Size
    """What the network gets: (height, width) in pixels; given as one number, a square."""

    kind: Literal["crop", "widest", "field", "normal-crop", "whole", "window"]
    """What is taken from the picture: ``"crop"`` (a crop of any size, anywhere in it), ``"widest"`` (the largest
    crop), ``"field"`` (a receptive field about its center), ``"normal-crop"`` (MACO's), ``"whole"`` or ``"window"`` (a
    square of its own pixels)."""

    field_ratio: float = 1.0
    """Size of what the network gets by that of the largest part of its shape within the picture, which stands for the
    receptive field, for ``"field"``: the margin about the field."""

    center: tuple[float, float] | None = None
    """Point (y, x) of what the network gets, from -1 to 1, at which the picture's center lies; None for a crop that may
    be
    anywhere in the picture."""

    count: int = 1
    """Views of each picture in a step."""

    flip: float = 0.0
    """Least probability that a view is flipped, left for right."""

    part: tuple[int, int, int, int] | None = None
    """First row, first column, height and width of the part that the network needs, where the objective reads one unit
    at the center, which depends on no more; None for all of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", Size.of(self.size))  # frozen; this is its construction

    @property
    def side(self) -> float:
        """Side of the square with the area of what the network gets; an int where that is a square."""
        return self.size.side

    def magnified(self, picture: SizeLike) -> tuple[float, float, int]:
        """Return by how much the largest part of this shape within a picture is larger than what the network gets.

        Args:
            picture: size of the picture.

        Returns:
            side of the picture, side of what the network gets, whose ratio that is; and the axis that they are of.
        """
        room = Size.of(picture)
        axis = 0 if room.height * self.size.width <= room.width * self.size.height else 1
        return room[axis], self.size[axis], axis

    def needed(self, views: Tensor) -> Tensor:
        """Return the part of views ``[M, C, H, W]`` that the network needs."""
        if self.part is None:
            return views
        top, left, height, width = self.part
        return views[:, :, top : top + height, left : left + width]


@dataclass(frozen=True)
class ViewParameters:
    """The numbers that one step's views are drawn by.

    Sizes are shares of the largest part of the view's shape within the picture (of all of a picture of that shape);
    shifts down are shares of the picture's height, shifts across of its width.
    """

    n_views: int
    """Views of each picture, V."""

    shares: tuple[float, float]
    """Smallest and largest side of what is taken, above 1 reaching past the border; the mean and the standard deviation
    of the side for a normal crop."""

    rotation: float = 0.0
    """Largest rotation, in degrees."""

    rotation_choices: tuple[float, ...] = ()
    """Angles in degrees, one of which is chosen at random in place of ``rotation``."""

    scale_choices: tuple[float, ...] = ()
    """Magnifications, one of which is chosen at random."""

    jitter: float = 0.0
    """Largest shift."""

    jitter2: float = 0.0
    """Largest second shift, after scaling."""

    center_std: float = 0.0
    """Standard deviation of the center of a normal crop."""

    flip: float = 0.0
    """Probability that a view is flipped, left for right."""

    padding_mode: Literal["reflect", "constant"] = "reflect"
    """What lies past the border: the reflected picture, or mid-gray."""


def uniform(*shape: int, generator: Generator) -> Tensor:
    """Draw from [0, 1), as float32 on the CPU whatever the caller's default type and device are."""
    return torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")


def normal(*shape: int, generator: Generator) -> Tensor:
    """Draw from the standard normal, as float32 on the CPU whatever the caller's default type and device are."""
    return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")


def affine_draws(
    picture: Size, geometry: ViewGeometry, parameters: ViewParameters, generators: Sequence[Generator]
) -> tuple[Tensor, int]:
    """Draw random resized, rotated, flipped and shifted crops of pictures, for :func:`affine_views`.

    Args:
        picture: size of the pictures in pixels.
        geometry: what is taken.
        parameters: the numbers of the random draws.
        generators: one for each picture.

    Returns:
        The affine maps from the views to their pictures, ``[N * V, 2, 3]`` on the CPU, as ``F.affine_grid`` takes them,
        with the views of one picture next to each other; and by how much the pictures are averaged down before.
    """
    count = parameters.n_views
    # Sides by the picture's of its largest part in the view's shape: 1 on both axes where it has that shape itself.
    whole, fitted, axis = geometry.magnified(picture)
    inner = [1.0 if n == axis else geometry.size[n] * whole / (fitted * picture[n]) for n in (0, 1)]
    turned = picture.height / picture.width
    draws = torch.stack([uniform(count, 6, generator=g) for g in generators]).flatten(0, 1)
    low, high = parameters.shares
    if geometry.kind == "normal-crop":
        bell = torch.stack([normal(count, 3, generator=g) for g in generators]).flatten(0, 1)
        share = (low + high * bell[:, 0]).clamp(_SMALLEST_NORMAL_CROP, 1.0)
        low = float(share.min())
    else:
        share = low + (high - low) * draws[:, 0]
    if geometry.kind == "whole":
        share = share - 2.0 * parameters.jitter2
        low = float(share.min())
    scale = None
    if parameters.scale_choices:
        # Scaled and then cropped to the view's own size, so that a magnification of 1.1 shows 1 / 1.1 of it.
        scale = torch.stack([_choose(parameters.scale_choices, count, g) for g in generators]).flatten(0, 1)
        share = share / scale
        low = float(share.min())
    if parameters.rotation_choices:
        degrees = torch.stack([_choose(parameters.rotation_choices, count, g) for g in generators]).flatten(0, 1)
        angle = degrees * (math.pi / 180.0)
    else:
        angle = math.radians(parameters.rotation) * (2.0 * draws[:, 1] - 1.0)
    cos, sin = share * torch.cos(angle), share * torch.sin(angle)
    move = 2.0 * parameters.jitter * (2.0 * draws[:, 4:6] - 1.0)
    if parameters.flip > 0.0:
        coins = torch.stack([uniform(count, generator=g) for g in generators]).flatten(0, 1)
        sign = torch.where(coins < parameters.flip, -1.0, 1.0)
        across, down = cos * sign, sin * sign
    else:
        across, down = cos, sin
    # Rotated in pixels: what is across in the view is partly down in the picture, whose height is another.
    across, down, aside, cos = (
        across * inner[1],
        down * inner[1] / turned,
        sin * inner[0] * turned,
        cos * inner[0],
    )
    if geometry.kind == "normal-crop":
        room = torch.stack([1.0 - share * inner[1], 1.0 - share * inner[0]], dim=1)
        center = torch.minimum(torch.maximum(2.0 * parameters.center_std * bell[:, 1:], -room), room)
    elif geometry.kind == "whole":
        second = 2.0 * parameters.jitter2 * (2.0 * draws[:, 2:4] - 1.0)
        center = second if scale is None else second / scale[:, None]
    elif geometry.center is None:
        room = torch.stack([1.0 - share * inner[1], 1.0 - share * inner[0]], dim=1).clamp(min=0.0)
        center = room * (2.0 * draws[:, 2:4] - 1.0)
    else:
        y, x = geometry.center
        center = -torch.stack([across * x - aside * y, down * x + cos * y], dim=1)
    center = center + move
    theta = torch.stack([across, -aside, center[:, 0], down, cos, center[:, 1]], dim=1)
    # Bilinear sampling reads four pixels: a picture much finer than the view is averaged down first, or most of its
    # pixels would never be seen.
    return theta.view(-1, 2, 3), max(1, int(low * picture[axis] / geometry.size[axis]))


def affine_views(
    pictures: Tensor, theta: Tensor, coarser: int, size: Size, padding_mode: Literal["reflect", "constant"]
) -> Tensor:
    """Take the crops that :func:`affine_draws` has drawn, in one bilinear sampling.

    Args:
        pictures: ``[N, C, H, W]``.
        theta: the maps, ``[N * V, 2, 3]``, on the pictures' device.
        coarser: by how much the pictures are averaged down before.
        size: size of the views in pixels.
        padding_mode: what lies past the border.

    Returns:
        ``[N * V, C, *size]``, with the views of one picture next to each other.
    """
    count, (height, width) = len(theta) // len(pictures), size
    if coarser > 1:
        pictures = F.adaptive_avg_pool2d(pictures, [max(1, side // coarser) for side in pictures.shape[-2:]])
    grid = _grid(theta, size)
    # A picture's views are sampled as one tall view: a copy of the picture for each would take hundreds of megabytes.
    grid = grid.view(len(pictures), count * height, width, 2)
    if padding_mode == "constant":
        views = 0.5 + F.grid_sample(pictures - 0.5, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    else:
        views = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return views.unflatten(2, (count, height)).transpose(1, 2).flatten(0, 1)


def _grid(theta: Tensor, size: Size) -> Tensor:
    """Compute ``F.affine_grid`` (with ``align_corners=False``) in half the time.

    Args:
        theta: ``[M, 2, 3]``.
        size: size of the views in pixels.

    Returns:
        ``[M, H, W, 2]``; on x86 to the last bit as torch computes it by a product of matrices.
    """
    rows, columns = (
        torch.linspace(-1.0, 1.0, side, dtype=theta.dtype, device=theta.device) * (side - 1) / side for side in size
    )
    across, down = theta[:, :, :1] * columns, theta[:, :, 1:2] * rows
    return torch.stack(list((across[:, :, None] + down[..., None] + theta[:, :, 2:, None]).unbind(1)), dim=-1)


def _choose(values: tuple[float, ...], count: int, generator: Generator) -> Tensor:
    chosen = torch.randint(len(values), (count,), generator=generator, device="cpu")
    return torch.tensor(values, dtype=torch.float32, device="cpu")[chosen]


def view_noise(shape: Sequence[int], noise: float, generators: Sequence[Generator]) -> Tensor | None:
    """Draw normal noise of standard deviation ``noise`` and uniform noise within half of it (MACO, Fel et al. 2023).

    Args:
        shape: ``[V, C, H, W]``, that of the views of one picture.
        noise: standard deviation as a share of the range from black to white.
        generators: one for each picture.

    Returns:
        ``[N * V, C, H, W]`` on the CPU, with the views of one picture next to each other; None where it is 0.
    """
    if noise <= 0.0:
        return None
    draws = [noise * normal(*shape, generator=g) + noise * (uniform(*shape, generator=g) - 0.5) for g in generators]
    return torch.cat(draws)


def window(size: SizeLike, window_size: SizeLike, generator: Generator) -> Window:
    """Choose the rows and columns of a part near the center of a picture.

    The offset is normal about the center with standard deviation ``0.3 * (side - window_side)`` on each axis, as in
    Øygard's deepdraw.

    Args:
        size: size of the picture in pixels.
        window_size: size of the part in pixels; where it is not smaller, all of the picture is taken.
        generator: source of the two draws.
    """
    wanted = Size.of(window_size)
    rooms = [max(0, side - part) for side, part in zip(Size.of(size), wanted, strict=True)]
    if not any(rooms):
        return slice(None), slice(None)
    y, x = (
        int((room / 2 + 0.3 * room * draw).round().clamp(0, room))
        for room, draw in zip(rooms, normal(2, generator=generator), strict=True)
    )
    return slice(y, y + wanted.height), slice(x, x + wanted.width)


def shift_draws(size: SizeLike, share: float, generator: Generator) -> tuple[int, int, int, int] | None:
    """Draw by how much pictures are shifted, up to ``share`` of their height and width (jitter), for :func:`shifted`.

    Args:
        size: size of the pictures in pixels.
        share: largest shift.
        generator: source of the draws.

    Returns:
        largest shift down and across, and the shift down and across counted from its smallest, in pixels; None for no
        shift at all.
    """
    down, across = (min(round(share * side), side - 1) for side in Size.of(size))
    if max(down, across) <= 0:
        return None
    if down == across:
        y, x = torch.randint(0, 2 * down + 1, (2,), generator=generator, device="cpu").tolist()
    else:
        y, x = (int(torch.randint(0, 2 * n + 1, (), generator=generator, device="cpu")) for n in (down, across))
    return down, across, y, x


def shifted(pictures: Tensor, shift: tuple[int, int, int, int] | None) -> Tensor:
    """Shift pictures ``[N, C, H, W]`` as :func:`shift_draws` has drawn it, with the border reflected."""
    if shift is None:
        return pictures
    (down, across, y, x), (height, width) = shift, pictures.shape[-2:]
    padded = F.pad(pictures, [across, across, down, down], mode="reflect")
    return padded[:, :, y : y + height, x : x + width]

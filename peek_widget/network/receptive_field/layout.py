"""How a module's output is brought into the one shape that maps and vectors have here."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from peek_widget.network.receptive_field.axes import spatial
from peek_widget.network.receptive_field.tracer import Field

__all__ = ["Layout", "layouts"]

# What stands before the patches: a class token, sometimes distillation or register tokens behind it.
_PREFIXES = (0, 1, 2, 5)


@dataclass(frozen=True)
class Layout:
    """Which dimension of an output is what.

    Attributes:
        order: where the images and the units are; then the rows and columns of a map, or the tokens.
        grid: rows and columns of patches, where the tokens are such.
        before: tokens before the patches.
        after: tokens after them.
        token: the one token that is a vector layer of its own.
    """

    order: tuple[int, ...]
    grid: tuple[int, int] | None = None
    before: int = 0
    after: int = 0
    token: int | None = None

    def __call__(self, output: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The output as ``[N, C, H, W]`` or ``[N, C]``, for an image of that shape ``[N, C, H, W]``."""
        if self.order != tuple(range(output.ndim)):
            output = output.permute(self.order)
        if self.token is not None:
            return output[:, :, self.token]
        if self.grid is None:
            return output
        count = output.shape[2] - self.before - self.after
        height, width = self.grid
        if height * width != count:
            height = max(1, round(math.sqrt(count * shape[-2] / shape[-1])))
            width = count // height
        return output.narrow(2, self.before, height * width).unflatten(2, (height, width))


def layouts(shape: tuple[int, ...], field: Field, last_grid: tuple[int, int]) -> dict[str, Layout]:
    """How an output of one image is read, by what is put behind the module's name: "" the output itself, a token
    that is no patch ``"class"`` or ``"token1"``; empty if it has no units that can be told.

    Args:
        shape: of the output.
        field: of the output.
        last_grid: rows and columns of the last map before it, for tokens whose places could not be followed.
    """
    if not shape or shape[0] != 1:
        return {}
    if len(shape) == 2:
        return {"": Layout((0, 1))}
    if len(shape) == 4:
        dims = field.dims
        if dims is None and shape[2:] == (1, 1):
            dims = (2, 3)
        if dims is None or 0 in dims:
            return {}
        (channel,) = {1, 2, 3} - set(dims)
        return {"": Layout((0, channel, *dims))}
    if len(shape) != 3:
        return {}
    known = field.tokens
    if known is not None:
        dim, grid = known
        if dim == 0 or field.axes is None:
            return {}
        axis = field.axes[dim]
        patches = Layout((0, 3 - dim, dim), grid, axis.before, axis.after)
    elif field.axes is None or not any(spatial(axis) for axis in field.axes):
        found = _counted(shape[1], last_grid)
        if found is None:
            return {}
        patches = Layout((0, 2, 1), found[1], found[0])
    else:
        return {}
    if not field.whole:
        return {"": patches}  # nothing of the image has reached the other tokens yet
    places = [*range(patches.before), *range(shape[patches.order[2]] - patches.after, shape[patches.order[2]])]
    names = ["class", *(f"token{number}" for number in range(1, len(places)))]
    return {"": patches} | {
        name: replace(patches, grid=None, before=0, after=0, token=place)
        for name, place in zip(names, places, strict=False)
    }


def _counted(count: int, last_grid: tuple[int, int]) -> tuple[int, tuple[int, int]] | None:
    """How many tokens come before the patches, and the patches' rows and columns."""
    for before in _PREFIXES:
        if count - before == last_grid[0] * last_grid[1] > 1:
            return before, last_grid
    for before in _PREFIXES:
        side = math.isqrt(max(0, count - before))
        if side > 1 and side * side == count - before:
            return before, (side, side)
    return None

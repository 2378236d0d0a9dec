"""Tracking where an image's rows and columns are in a tensor that was reshaped, permuted and sliced.

A vision transformer reshapes a map ``[1, C, 14, 14]`` to tokens ``[1, 196, C]`` and puts a class token before them.
Here that dimension of 197 entries is an :class:`Axis` with the factors 14 rows and 14 columns and one entry before
them, so that the tokens can be brought back to a map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Axes", "Axis", "cut", "grid", "plain", "reshaped", "spatial", "tokens"]

_Factor = tuple[str, int, int]
"""A part of a dimension: its kind ("y" for rows, "x" for columns, "" for anything else: channels, heads, images), the
number of its entries, and for rows and columns the step from one entry to the next."""


@dataclass(frozen=True)
class Axis:
    """One dimension of a tensor.

    Attributes:
        factors: what it is the product of, the slowest-changing first: ``(kind, count, step)`` each.
        before: number of entries before these that are not positions of the image (a class token).
        after: number of such entries after them.
    """

    factors: tuple[_Factor, ...] = ()
    before: int = 0
    after: int = 0

    @property
    def size(self) -> int:
        """Number of entries of the dimension."""
        return self.before + math.prod(count for _, count, _ in self.factors) + self.after


Axes = tuple[Axis, ...]
"""All dimensions of a tensor."""


def plain(size: int) -> Axis:
    """Return a dimension of that size without positions."""
    return Axis(_merged([("", size, 0)]))


def grid(shape: Sequence[int]) -> Axes:
    """Return the axes of a feature map ``[N, C, H, W]`` of that shape."""
    rows, columns = (Axis(_merged([(kind, size, 1)])) for kind, size in zip("yx", shape[-2:], strict=True))
    return (*(plain(size) for size in shape[:-2]), rows, columns)


def spatial(axis: Axis) -> bool:
    """Return whether a dimension goes over positions of the image: rows, columns or both."""
    return any(kind for kind, _, _ in axis.factors)


def whole_axis(axis: Axis, kind: str) -> bool:
    """Return whether a dimension is all rows (kind "y") or all columns ("x") and nothing else."""
    return axis.before == axis.after == 0 and axis.factors == ((kind, axis.size, 1),)


def tokens(axes: Axes) -> tuple[int, tuple[int, int]] | None:
    """Find the dimension that goes over all positions, row by row.

    Returns:
        the dimension, and the number of (rows, columns); None if there is no such dimension.
    """
    over = [dim for dim, axis in enumerate(axes) if spatial(axis)]
    if len(over) != 1 or len(axes[over[0]].factors) != 2:
        return None
    (first, height, outer), (second, width, inner) = axes[over[0]].factors
    return (over[0], (height, width)) if (first, second, outer, inner) == ("y", "x", 1, 1) else None


def reshaped(axes: Axes, shape: Sequence[int]) -> Axes | None:
    """Return the axes after a reshape; None where rows or columns were split in a way that can't be followed.

    Args:
        axes: the axes before it.
        shape: the shape after it.
    """
    if 0 in shape:
        return None
    pieces: list[_Factor | Axis] = []
    for axis in axes:
        pieces.extend([axis] if axis.before or axis.after else axis.factors)
    found: list[Axis] = []
    for size in shape:
        factors: list[_Factor] = []
        left = size
        while left > 1:
            if not pieces:
                return None
            piece = pieces.pop(0)
            if isinstance(piece, Axis):
                if piece.size != left or factors:
                    return None
                found.append(piece)
                break
            kind, count, step = piece
            if left % count == 0:
                factors.append(piece)
                left //= count
            elif count % left == 0:
                inner = count // left
                factors.append((kind, left, step * inner))
                pieces.insert(0, (kind, inner, step))
                left = 1
            else:
                return None
        else:
            found.append(Axis(_merged(factors)))
    return tuple(found)


def cut(axis: Axis, begin: int, step: int, size: int) -> Axis | None:
    """Return a dimension after slicing; None where the result can't be described.

    Args:
        axis: the dimension before it.
        begin: first entry that is kept.
        step: step from one entry that is kept to the next.
        size: number of entries that are kept.
    """
    if not spatial(axis):
        return plain(size)
    if step == 1 and (begin, size) == (0, axis.size):
        return axis
    if axis.before == axis.after == 0 and len(axis.factors) == 1 and whole_axis(axis, axis.factors[0][0]):
        return Axis(_merged([(axis.factors[0][0], size, 1)]))
    first, last = axis.before, axis.size - axis.after
    if step == 1 and begin <= first and begin + size >= last:
        return Axis(axis.factors, first - begin, begin + size - last)
    if step == 1 and (begin >= last or begin + size <= first):
        return plain(size)
    return None


def _merged(factors: Sequence[_Factor]) -> tuple[_Factor, ...]:
    """Join neighboring factors that together count the rows, or the columns, in order; drop those of one entry."""
    found: list[_Factor] = []
    for kind, count, step in factors:
        if count == 1:
            continue
        if found and found[-1][0] == kind and found[-1][2] == count * step:
            found[-1] = (kind, found[-1][1] * count, step)
        else:
            found.append((kind, count, step))
    return tuple(found)

"""Where the rows and columns of an image are in a tensor that was reshaped, turned and cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Axes", "Axis", "cut", "grid", "plain", "reshaped", "spatial", "tokens"]

_Factor = tuple[str, int, int]


@dataclass(frozen=True)
class Axis:
    """One dimension of a tensor, as a product of factors, the slowest first, with other entries round it.

    Attributes:
        factors: of each the kind (``"y"``, ``"x"`` or ``""``: channels, heads, images), the count, and for a
            part of the rows or columns the step from one to the next, in rows or columns.
        before: entries that are no places before the grid (a class token).
        after: such entries after it.
    """

    factors: tuple[_Factor, ...] = ()
    before: int = 0
    after: int = 0

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.before + math.prod(count for _, count, _ in self.factors) + self.after


Axes = tuple[Axis, ...]


def plain(size: int) -> Axis:
    """A dimension that has nothing to do with places."""
    return Axis(_merged([("", size, 0)]))


def grid(shape: Sequence[int]) -> Axes:
    """The axes of a map ``[N, C, H, W]``."""
    rows, columns = (Axis(_merged([(kind, size, 1)])) for kind, size in zip("yx", shape[-2:], strict=True))
    return (*(plain(size) for size in shape[:-2]), rows, columns)


def spatial(axis: Axis) -> bool:
    """Whether a dimension goes over places."""
    return any(kind for kind, _, _ in axis.factors)


def whole_axis(axis: Axis, kind: str) -> bool:
    """Whether a dimension is just the rows ("y") or the columns ("x")."""
    return axis.before == axis.after == 0 and axis.factors == ((kind, axis.size, 1),)


def tokens(axes: Axes) -> tuple[int, tuple[int, int]] | None:
    """The dimension that goes over all places row by row, and how many rows and columns; None if there is none."""
    over = [dim for dim, axis in enumerate(axes) if spatial(axis)]
    if len(over) != 1 or len(axes[over[0]].factors) != 2:
        return None
    (first, height, outer), (second, width, inner) = axes[over[0]].factors
    return (over[0], (height, width)) if (first, second, outer, inner) == ("y", "x", 1, 1) else None


def reshaped(axes: Axes, shape: Sequence[int]) -> Axes | None:
    """The axes after a reshape; None where places were torn apart in a way that can't be told."""
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
    """A dimension of which ``size`` entries are kept, from ``begin`` in steps; None where that can't be told."""
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
    found: list[_Factor] = []
    for kind, count, step in factors:
        if count == 1:
            continue
        if found and found[-1][0] == kind and found[-1][2] == count * step:
            found[-1] = (kind, found[-1][1] * count, step)
        else:
            found.append((kind, count, step))
    return tuple(found)

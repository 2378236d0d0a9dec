"""The height and width of an image in pixels, and the one reader of what users give for them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsIndex

from peek_widget.errors import PeekError, SizeError

__all__ = ["Size", "SizeLike", "read_size"]

SizeLike = int | tuple[int, int]
"""The side of a square in pixels, or (height, width)."""


class Size(NamedTuple):
    """Height and width of an image, of a picture or of a network's input, in pixels."""

    height: int
    width: int

    @classmethod
    def of(cls, size: SizeLike) -> Size:
        """Return the size that an int (the side of a square) or a pair (height, width) means; it is not checked."""
        if isinstance(size, Sequence):
            return cls(*size)
        side = operator.index(size)
        return cls(side, side)

    @property
    def square(self) -> bool:
        """Whether height and width are equal."""
        return self.height == self.width

    @property
    def side(self) -> float:
        """Side of the square with the same area; an int where this is one."""
        return self.height if self.square else math.sqrt(self.height * self.width)

    @property
    def plain(self) -> SizeLike:
        """The size as it is given and written: one number for a square, else (height, width)."""
        return self.height if self.square else (self.height, self.width)

    def of_side(self, side: float) -> Size:
        """Return the size of this shape with the area of a square of that side; itself if it is within half a
        pixel."""
        if abs(side - self.side) < 0.5:
            return self
        factor = side / self.side
        return Size(max(1, round(self.height * factor)), max(1, round(self.width * factor)))

    def within(self, room: Size) -> Size:
        """Return the largest size of this shape, no larger than this one, that lies within another."""
        return self if self.height <= room.height and self.width <= room.width else self.filling(room)

    def filling(self, room: Size) -> Size:
        """Return the largest size of this shape that lies within another."""
        factor = min(room.height / self.height, room.width / self.width)
        height, width = max(1, round(self.height * factor)), max(1, round(self.width * factor))
        return Size(min(height, room.height), min(width, room.width))

    def __str__(self) -> str:
        return str(self.height) if self.square else f"{self.height} x {self.width}"


def read_size(
    given: Any, name: str, *, lowest: int = 1, highest: int = 2**20, error: type[PeekError] = SizeError
) -> Size:
    """Read a size that a user gave: an int is the side of a square; a pair is (height, width).

    Args:
        given: the size.
        name: name of the argument, for the error.
        lowest, highest: range of height and width.
        error: class of the error.

    Raises:
        SizeError: (or ``error``) if it is anything else.
    """
    many = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    sides = tuple(given) if many else (given, given)
    whole = all(isinstance(one, SupportsIndex) and not isinstance(one, bool) for one in sides)
    if len(sides) == 2 and whole and all(lowest <= int(one) <= highest for one in sides):
        return Size(int(sides[0]), int(sides[1]))
    shown = tuple(given) if isinstance(given, Size) else given
    possible = f"a whole number {'above 0' if lowest == 1 else f'from {lowest} to {highest}'}"
    three = " Channels are not part of it: preprocess= says how many there are." if many and len(sides) == 3 else ""
    raise error(
        f"{name}={shown!r}: give the side of a square in pixels as {possible}, e.g. 224, or (height, width), e.g. "
        f"(256, 128).{three}"
    )

"""Places on a map, for the objectives that look at one."""

from __future__ import annotations

from typing import Any, SupportsIndex

from peek_widget.errors import UnitError
from peek_widget.network import Layer

__all__ = ["as_place", "check_place", "is_whole", "middle", "on_map", "place_words"]


def is_whole(value: Any) -> bool:
    """Whether it is a whole number (of Python's, numpy's or torch's), and no bool."""
    return isinstance(value, SupportsIndex) and not isinstance(value, bool)


def as_place(at: Any) -> Any:
    """A pair of whole numbers as a tuple of ints; anything else as it is, for :func:`check_place` to refuse."""
    if isinstance(at, (tuple, list)) and len(at) == 2 and all(is_whole(v) for v in at):
        return (int(at[0]), int(at[1]))
    return at


def check_place(at: Any, name: str, layer: Layer) -> None:
    """UnitError if ``at`` is not a place (row, column) on the layer's map."""
    if not (isinstance(at, tuple) and len(at) == 2 and all(is_whole(v) for v in at)):
        raise UnitError(f"at={at!r}: give a place of the map as (row, column), two whole numbers.")
    on_map(at, name, *layer.size)


def on_map(at: tuple[int, int], name: str, height: int, width: int) -> tuple[int, int]:
    """The place; UnitError if the map is too small to have it."""
    if not (0 <= at[0] < height and 0 <= at[1] < width):
        raise UnitError(
            f"Place {at} is not on the map of {name!r}, which has {height} rows and {width} columns for "
            f"pictures of this size: give at=(row, column) from (0, 0) to ({height - 1}, {width - 1})."
        )
    return at


def middle(height: int, width: int) -> tuple[int, int]:
    """The middle place of a map; of an even side's two, the first."""
    return (height - 1) // 2, (width - 1) // 2


def place_words(at: tuple[int, int] | None) -> str:
    """A place as part of a sentence; None is the middle."""
    return "at the middle" if at is None else f"at row {at[0]}, column {at[1]}"

"""Positions (row, column) on a feature map."""

from __future__ import annotations

from typing import Any, SupportsIndex

from peek_widget.errors import UnitError
from peek_widget.network import Layer

__all__ = ["as_position", "check_position", "describe_position", "is_whole", "middle", "on_map"]


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number (of Python, numpy or torch) and not a bool."""
    return isinstance(value, SupportsIndex) and not isinstance(value, bool)


def as_position(at: Any) -> Any:
    """Return a pair of whole numbers as ints, and anything else unchanged, for :func:`check_position` to refuse."""
    if isinstance(at, (tuple, list)) and len(at) == 2 and all(is_whole(v) for v in at):
        return (int(at[0]), int(at[1]))
    return at


def check_position(at: Any, name: str, layer: Layer) -> None:
    """Raise UnitError if ``at`` is not a position (row, column) on the layer's feature map."""
    if not (isinstance(at, tuple) and len(at) == 2 and all(is_whole(v) for v in at)):
        raise UnitError(f"at={at!r}: give a position on the feature map as (row, column), two whole numbers.")
    on_map(at, name, *layer.size)


def on_map(at: tuple[int, int], name: str, height: int, width: int) -> tuple[int, int]:
    """Return the position; UnitError if it is not on a feature map of ``height`` rows and ``width`` columns."""
    if not (0 <= at[0] < height and 0 <= at[1] < width):
        raise UnitError(
            f"Position {at} is not on the feature map of {name!r}, which has {height} rows and {width} columns for "
            f"a picture of this size: give at=(row, column) from (0, 0) to ({height - 1}, {width - 1})."
        )
    return at


def middle(height: int, width: int) -> tuple[int, int]:
    """Return the center position of a feature map; of the two central rows or columns of an even side, the first."""
    return (height - 1) // 2, (width - 1) // 2


def describe_position(at: tuple[int, int] | None) -> str:
    """Describe a position as part of a sentence; None is the center."""
    return "at the center" if at is None else f"at row {at[0]}, column {at[1]}"

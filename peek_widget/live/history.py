"""The activation curve of a whole run in a fixed number of points."""

from __future__ import annotations

import bisect
import math
import struct
from typing import NamedTuple

__all__ = ["History", "HistoryPoint", "unpack"]

_ROW = struct.Struct("<4f")


class HistoryPoint(NamedTuple):
    """One point of the activation curve, which stands for one step or, in a long run, for some consecutive ones."""

    step: int
    """Number of steps made, of the newest of these steps."""

    activation: float
    """Still activation of a picture of these steps; NaN where none was measured."""

    lowest: float
    """Lowest value of these steps, each the mean over the step's random views."""

    highest: float
    """Highest of them."""


class History:
    """The points of a run's curve. Whenever there are too many, each two become one.

    `packed()` is always the whole run, so that a page that connects late needs nothing more.

    Args:
        capacity: number of points at most, from 4.
    """

    def __init__(self, capacity: int = 256) -> None:
        if capacity < 4:
            raise ValueError(f"A history needs room for at least 4 points; {capacity} was given.")
        self.capacity = capacity
        self._points: list[HistoryPoint] = []
        self._stride = 1
        self._first = 0
        """The first step that the newest point stands for."""

    def add(self, step: int, value: float) -> None:
        """Add the mean over the random views of the step that made the number of steps `step`; they come in order."""
        added = HistoryPoint(step, math.nan, value, value)
        if self._points and step - self._first < self._stride:
            self._points[-1] = _joined(self._points[-1], added)
            return
        self._points.append(added)
        self._first = step
        if len(self._points) > self.capacity:
            # from the newest back, so that it does not change; the first may remain alone
            odd = len(self._points) % 2
            pairs = zip(self._points[odd::2], self._points[odd + 1 :: 2], strict=True)
            self._points = [*self._points[:odd], *(_joined(*pair) for pair in pairs)]
            self._stride *= 2
            self._first = step - self._stride // 2

    def measured(self, step: int, activation: float) -> None:
        """Add the still activation of the picture after `step` steps, which were added before."""
        at = bisect.bisect_left(self._points, step, key=lambda point: point.step)
        if at < len(self._points):
            self._points[at] = self._points[at]._replace(activation=activation)

    def cut(self, step: int) -> None:
        """Forget the points after a step."""
        del self._points[bisect.bisect_right(self._points, step, key=lambda point: point.step) :]
        # the next step begins a point
        self._first = step - self._stride

    def points(self) -> list[HistoryPoint]:
        """Return at most `capacity` points; the last one is that of the newest step."""
        return list(self._points)

    def packed(self) -> bytes:
        """Return the points as rows of four little-endian float32, in the order of the fields."""
        return b"".join(_ROW.pack(*point) for point in self._points)


def unpack(packed: bytes) -> list[HistoryPoint]:
    """Return the points of `History.packed`, whose values are those of float32."""
    return [HistoryPoint(int(step), *values) for step, *values in _ROW.iter_unpack(packed)]


def _joined(one: HistoryPoint, next_: HistoryPoint) -> HistoryPoint:
    """Return one point for two consecutive ones."""
    activation = one.activation if math.isnan(next_.activation) else next_.activation
    return HistoryPoint(next_.step, activation, min(one.lowest, next_.lowest), max(one.highest, next_.highest))

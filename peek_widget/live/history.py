"""The activation curve of a whole run, in a limited number of points."""

from __future__ import annotations

import bisect
import math
import struct
from typing import NamedTuple

import torch
from torch import Tensor

from peek_widget.live.snapshot import Made

__all__ = ["History", "HistoryPoint", "unpack"]

MOST_UNREAD = 256
"""Maximum number of values left on a device while no picture is shown."""

_ROW = struct.Struct("<4f")


class HistoryPoint(NamedTuple):
    """One point of the activation curve, for one step or, in a long run, for several consecutive ones."""

    step: int
    """Number of steps made after the newest of these steps."""

    activation: float
    """Still activation of a picture of these steps; NaN if none was measured."""

    lowest: float
    """Lowest value of these steps, each the mean over the step's random views."""

    highest: float
    """Highest value of these steps, as above."""


class History:
    """The points of a run's curve. Whenever there are too many, they are merged in pairs.

    `packed()` always covers the whole run, so a page that connects late needs nothing else.

    Args:
        capacity: maximum number of points, at least 4.
    """

    def __init__(self, capacity: int = 256) -> None:
        if capacity < 4:
            raise ValueError(f"A history needs room for at least 4 points; {capacity} was given.")
        self.capacity = capacity
        self._points: list[HistoryPoint] = []
        self._stride = 1
        self._first = 0
        """The first step that the newest point stands for."""
        self._unread: list[tuple[int, Tensor]] = []
        self._still: dict[int, float] = {}
        """Still activations of steps whose values have not been read yet."""

    def add(self, step: int, value: float | Tensor) -> None:
        """Add the mean over the random views of the step number `step`; steps come in order.

        A tensor `[]` on a device is read later, together with others.
        """
        if isinstance(value, Tensor):
            self._unread.append((step, value))
            if len(self._unread) >= MOST_UNREAD:
                self._read()
            return
        self._read()
        self._add(step, value)

    def read_with(self, made: Made) -> None:
        """Read the values still on the device, in one copy with the pictures of a step."""
        if self._unread:
            self._take(made.read_with([value for _, value in self._unread]))

    def _read(self) -> None:
        if self._unread:
            self._take(torch.stack([value for _, value in self._unread]).tolist())

    def _take(self, values: list[float]) -> None:
        steps, self._unread = [step for step, _ in self._unread], []
        for step, value in zip(steps, values, strict=True):
            self._add(step, value)
            if step in self._still:
                self.measured(step, self._still.pop(step))

    def _add(self, step: int, value: float) -> None:
        added = HistoryPoint(step, math.nan, value, value)
        if self._points and step - self._first < self._stride:
            self._points[-1] = _joined(self._points[-1], added)
            return
        self._points.append(added)
        self._first = step
        if len(self._points) > self.capacity:
            # merge from the newest back; the first point may stay unmerged
            odd = len(self._points) % 2
            pairs = zip(self._points[odd::2], self._points[odd + 1 :: 2], strict=True)
            self._points = [*self._points[:odd], *(_joined(*pair) for pair in pairs)]
            self._stride *= 2
            self._first = step - self._stride // 2

    def measured(self, step: int, activation: float) -> None:
        """Add the still activation of the picture after `step` steps, all added before."""
        if any(step == unread for unread, _ in self._unread):
            self._still[step] = activation
            return
        at = bisect.bisect_left(self._points, step, key=lambda point: point.step)
        if at < len(self._points):
            self._points[at] = self._points[at]._replace(activation=activation)

    def cut(self, step: int) -> None:
        """Drop the points after a step."""
        self._read()
        del self._points[bisect.bisect_right(self._points, step, key=lambda point: point.step) :]
        # the next step begins a new point
        self._first = step - self._stride

    def points(self) -> list[HistoryPoint]:
        """Return at most `capacity` points; the last one is that of the newest step."""
        self._read()
        return list(self._points)

    def packed(self) -> bytes:
        """Return the points as rows of four little-endian float32, in the order of the fields."""
        return b"".join(_ROW.pack(*point) for point in self.points())


def unpack(packed: bytes) -> list[HistoryPoint]:
    """Return the points of `History.packed`, with float32 precision."""
    return [HistoryPoint(int(step), *values) for step, *values in _ROW.iter_unpack(packed)]


def _joined(one: HistoryPoint, next_: HistoryPoint) -> HistoryPoint:
    """Return one point for two consecutive ones."""
    activation = one.activation if math.isnan(next_.activation) else next_.activation
    return HistoryPoint(next_.step, activation, min(one.lowest, next_.lowest), max(one.highest, next_.highest))

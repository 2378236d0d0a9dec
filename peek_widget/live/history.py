"""The activation curve of a whole run in a fixed number of points."""

from __future__ import annotations

import struct

__all__ = ["History"]


class History:
    """The points `(step, activation)` of a run. Whenever there are too many, every second one is dropped.

    `packed()` is always the whole run, so that a page that connects late needs nothing more.

    Args:
        capacity: number of points at most, from 4.
    """

    def __init__(self, capacity: int = 256) -> None:
        if capacity < 4:
            raise ValueError(f"A history needs room for at least 4 points; {capacity} was given.")
        self.capacity = capacity
        self._points: list[tuple[int, float]] = []
        self._stride = 1
        self._newest: tuple[int, float] | None = None

    def add(self, step: int, activation: float) -> None:
        """Add the activation after `step` steps; steps come in rising order."""
        self._newest = (step, activation)
        if self._points and step - self._points[-1][0] < self._stride:
            return
        self._points.append(self._newest)
        # one point is reserved for the newest, which is always there
        if len(self._points) >= self.capacity:
            self._points = self._points[::2]
            self._stride *= 2

    def cut(self, step: int) -> None:
        """Forget the points after a step."""
        self._points = [point for point in self._points if point[0] <= step]
        if self._newest is not None and self._newest[0] > step:
            self._newest = self._points[-1] if self._points else None

    def points(self) -> list[tuple[int, float]]:
        """Return at most `capacity` points, the first and the newest always among them."""
        if self._newest is None or self._points[-1] == self._newest:
            return list(self._points)
        return [*self._points, self._newest]

    def packed(self) -> bytes:
        """Return the points as little-endian float32 pairs (step, activation)."""
        flat = [value for point in self.points() for value in point]
        return struct.pack(f"<{len(flat)}f", *flat)

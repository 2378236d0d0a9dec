"""Points along a run that one can look back at, and go on from: its pictures and states in bounded memory."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peek_widget.live.snapshot import Snapshot

__all__ = ["Checkpoint", "Checkpoints"]

MOST = 48
"""Checkpoints of a run at most: as many places as one can tell apart on a scrubber."""

BUDGET = 96 * 2**20
"""Bytes for all of them. A point of a 224 px picture has 2.4 MB (the picture, its parameter, Adam's two moments), so
40 of them fit; of a 1024 px picture one."""


@dataclass(frozen=True)
class Checkpoint:
    """A run as it was after a step.

    Attributes:
        snapshot: the picture, and how it was made.
        state: what another ascent goes on from, see `peek_widget.ascent.State`.
    """

    snapshot: Snapshot
    state: Any

    @property
    def step(self) -> int:
        """Number of steps made."""
        return self.snapshot.step

    @property
    def bytes(self) -> int:
        """What it takes in memory, as far as it is a matter of size."""
        tensors: Mapping[str, Any] = getattr(self.state, "tensors", {})
        return int(self.snapshot.image.nbytes) + sum(int(value.nbytes) for value in tensors.values())


class Checkpoints:
    """The checkpoints of one run, evenly thinned out as it grows: every second one goes whenever they are too many.

    Args:
        most: how many there are at most, from 2.
        budget: bytes that they take at most, all together. A point that alone takes more is not kept.
        stride: steps between two of them at first; it doubles with each thinning.
    """

    def __init__(self, most: int = MOST, budget: int = BUDGET, stride: int = 1) -> None:
        if most < 2 or stride < 1:
            raise ValueError(f"A run is kept in 2 points or more, 1 step apart or more; {most}, {stride} were given.")
        self._most, self._budget, self._stride = most, budget, stride
        self._points: list[Checkpoint] = []
        self._next = 0

    def wants(self, step: int) -> bool:
        """Whether the run after that step is to be kept; asked first, because to take a state costs time."""
        return step >= self._next

    def add(self, point: Checkpoint) -> None:
        """Keep a point of the run; they come in rising order of steps."""
        if point.bytes > self._budget:
            # too large for even one; asked for less and less often
            self._stride *= 2
        else:
            self._points.append(point)
        while len(self._points) > self._most or self.bytes > self._budget:
            del self._points[1::2]
            self._stride *= 2
        self._next = point.step + self._stride

    def cut(self, step: int) -> None:
        """Forget what came after that step."""
        del self._points[bisect.bisect_right(self.steps, step) :]
        self._next = step + self._stride

    def nearest(self, step: int) -> Checkpoint | None:
        """The point nearest to a step, of two equally near ones the earlier; None where there is none."""
        return min(self._points, key=lambda point: abs(point.step - step), default=None)

    @property
    def points(self) -> list[Checkpoint]:
        """All of them, by rising step."""
        return list(self._points)

    @property
    def steps(self) -> list[int]:
        """The steps after which a point was kept, rising."""
        return [point.step for point in self._points]

    @property
    def bytes(self) -> int:
        """What they take in memory."""
        return sum(point.bytes for point in self._points)

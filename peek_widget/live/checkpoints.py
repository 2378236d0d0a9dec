"""Checkpoints: earlier steps of a run that can be viewed and resumed, in bounded memory."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peek_widget.live.snapshot import Snapshot

__all__ = ["MAX_CHECKPOINTS", "Checkpoint", "Checkpoints"]

MAX_CHECKPOINTS = 48
"""Checkpoints of a run at most: as many positions as one can tell apart on a slider."""

MAX_BYTES = 96 * 2**20
"""Bytes that all of them take at most. A checkpoint of a 224 px picture takes 2.4 MB (the picture, its parameter, and
Adam's two moments), so that 40 of them fit; of a 1024 px picture one fits."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after a step.

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
        """Bytes of the picture and of the tensors in the state."""
        tensors: Mapping[str, Any] = getattr(self.state, "tensors", {})
        return int(self.snapshot.made.nbytes) + sum(int(value.nbytes) for value in tensors.values())


class Checkpoints:
    """The checkpoints of one run. Whenever there are too many, every second one is dropped, so that they stay even.

    Args:
        most: number of checkpoints at most, from 2.
        budget: bytes that all of them take at most. A checkpoint that alone takes more is not kept.
        stride: steps between two of them at first, from 1; it doubles whenever some are dropped.
    """

    def __init__(self, most: int = MAX_CHECKPOINTS, budget: int = MAX_BYTES, stride: int = 1) -> None:
        if most < 2 or stride < 1:
            raise ValueError(f"A run has 2 checkpoints or more, 1 step or more apart; {most} and {stride} were given.")
        self._most, self._budget, self._stride = most, budget, stride
        self._points: list[Checkpoint] = []
        self._next = 0

    def wants(self, step: int) -> bool:
        """Return whether to add a checkpoint after that step; asked before, because taking a state costs time."""
        return step >= self._next

    def add(self, point: Checkpoint) -> None:
        """Add a checkpoint; they come in rising order of steps."""
        if point.bytes > self._budget:
            # too large for even one, so ask for them less and less often
            self._stride *= 2
        else:
            self._points.append(point)
        while len(self._points) > self._most or self.bytes > self._budget:
            del self._points[1::2]
            self._stride *= 2
        self._next = point.step + self._stride

    def cut(self, step: int) -> None:
        """Forget the checkpoints after a step."""
        del self._points[bisect.bisect_right(self.steps, step) :]
        self._next = step + self._stride

    def nearest(self, step: int) -> Checkpoint | None:
        """Return the checkpoint nearest to a step, of two equally near ones the earlier; None where there is none."""
        return min(self._points, key=lambda point: abs(point.step - step), default=None)

    @property
    def points(self) -> list[Checkpoint]:
        """All checkpoints, by rising step."""
        return list(self._points)

    @property
    def steps(self) -> list[int]:
        """The steps after which there is a checkpoint, rising."""
        return [point.step for point in self._points]

    @property
    def bytes(self) -> int:
        """Bytes that all checkpoints take."""
        return sum(point.bytes for point in self._points)

"""Checkpoints: earlier steps of a run that can be viewed and resumed, in bounded memory."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peek_widget.live.snapshot import Snapshot

__all__ = ["MAX_CHECKPOINTS", "Checkpoint", "Checkpoints"]

MAX_CHECKPOINTS = 48
"""Maximum number of checkpoints of a run: as many as there are distinguishable positions on a slider."""

MAX_BYTES = 96 * 2**20
"""Maximum number of bytes of all checkpoints. A checkpoint of a 224 px picture takes 2.4 MB (the picture, its
parameter, and Adam's two moments), so 40 of them fit; of a 1024 px picture only one fits."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after a step.

    Attributes:
        snapshot: the picture, and how it was made.
        state: the state that another ascent resumes from, see `peek_widget.ascent.State`.
    """

    snapshot: Snapshot
    state: Any

    @property
    def step(self) -> int:
        """Number of steps made."""
        return self.snapshot.step

    @property
    def bytes(self) -> int:
        """Number of bytes of the picture and of the tensors in the state."""
        tensors: Mapping[str, Any] = getattr(self.state, "tensors", {})
        return int(self.snapshot.made.nbytes) + sum(int(value.nbytes) for value in tensors.values())


class Checkpoints:
    """The checkpoints of one run. Whenever there are too many, every second one is dropped, so they stay evenly spaced.

    Args:
        most: maximum number of checkpoints, at least 2.
        budget: maximum number of bytes of all checkpoints; one that alone takes more is not kept.
        stride: initial number of steps between two checkpoints, at least 1; it doubles whenever some are dropped.
    """

    def __init__(self, most: int = MAX_CHECKPOINTS, budget: int = MAX_BYTES, stride: int = 1) -> None:
        if most < 2 or stride < 1:
            raise ValueError(f"A run has 2 checkpoints or more, 1 step or more apart; {most} and {stride} were given.")
        self._most, self._budget, self._stride = most, budget, stride
        self._points: list[Checkpoint] = []
        self._next = 0

    def wants(self, step: int) -> bool:
        """Return whether to add a checkpoint after this step; called first, because copying a state takes time."""
        return step >= self._next

    def add(self, point: Checkpoint) -> None:
        """Add a checkpoint; checkpoints are added in ascending order of steps."""
        if point.bytes > self._budget:
            # even one is too large, so ask for checkpoints less and less often
            self._stride *= 2
        else:
            self._points.append(point)
        while len(self._points) > self._most or self.bytes > self._budget:
            del self._points[1::2]
            self._stride *= 2
        self._next = point.step + self._stride

    def cut(self, step: int) -> None:
        """Drop the checkpoints after a step."""
        del self._points[bisect.bisect_right(self.steps, step) :]
        self._next = step + self._stride

    def nearest(self, step: int) -> Checkpoint | None:
        """Return the checkpoint nearest to a step, the earlier of two equally near ones; None if there are none."""
        return min(self._points, key=lambda point: abs(point.step - step), default=None)

    @property
    def points(self) -> list[Checkpoint]:
        """All checkpoints, in ascending order of steps."""
        return list(self._points)

    @property
    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        return [point.step for point in self._points]

    @property
    def bytes(self) -> int:
        """Number of bytes of all checkpoints."""
        return sum(point.bytes for point in self._points)

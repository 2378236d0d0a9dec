"""When the pictures of a run are measured: a few times a second, for a small share of the time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace

from peek_widget.live.snapshot import Snapshot

__all__ = ["SHARE", "SHORTEST_REST", "StillMeter"]

log: logging.Logger = logging.getLogger("peek_widget")

SHARE = 0.02
"""Share of the time that measurements take at most while a run goes on, beside its first picture's."""

SHORTEST_REST = 0.2
"""Seconds between two measurements at least."""

UNMEASURED = "The picture's activation can't be measured: {error}"


class StillMeter:
    """Measures the still activation of a run's pictures.

    Args:
        measurement: prepares to measure the still activation of a picture, and returns a function that does it. What
            is prepared is done once for a run, or for an octave of it, and does not count as the cost of one picture.
        clock: returns seconds, monotonic.

    Attributes:
        problem: why the last picture could not be measured, in a sentence; "" where it could.
    """

    def __init__(self, measurement: Callable[[Snapshot], Callable[[], float]], clock: Callable[[], float]) -> None:
        self._measurement, self._clock = measurement, clock
        self._run = 0
        self._next = -math.inf
        self.problem: str = ""

    def due(self, run: int) -> bool:
        """Return whether to measure a new picture of that run: its first, and then now and again."""
        return run != self._run or self._clock() >= self._next

    def measured(self, snapshot: Snapshot, run: int) -> Snapshot:
        """Return a picture of that run with its still activation, NaN where it can't be measured."""
        self._run = run
        began = self._clock()
        try:
            measure = self._measurement(snapshot)
            began = self._clock()
            activation = measure()
            self.problem = ""
        except Exception as error:
            # a picture without its number is still a picture, and an objective of one's own may do what it likes
            problem = UNMEASURED.format(error=error)
            if problem != self.problem:
                log.warning("%s", problem, exc_info=error)
            self.problem, activation = problem, math.nan
        now = self._clock()
        self._next = now + max(SHORTEST_REST, (now - began) / SHARE)
        return replace(snapshot, activation=activation)

"""Measures the pictures of a run: a few times a second, for a small share of the time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace

from peek_widget.live.snapshot import Snapshot

__all__ = ["SHARE", "SHORTEST_REST", "StillMeter"]

log: logging.Logger = logging.getLogger("peek_widget")

SHARE = 0.02
"""Maximum share of the time that measurements take while a run goes on, apart from its first picture's."""

SHORTEST_REST = 0.2
"""Minimum time between two measurements, in seconds."""

UNMEASURED = "The picture's activation can't be measured: {error}"


class StillMeter:
    """A meter of the still activations of a run's pictures.

    Args:
        measurement: prepares to measure the still activation of a picture, and returns a function that does it. The
            preparation is done once for a run, or for an octave of it, and does not count as the cost of one picture.
        clock: returns monotonic time in seconds.

    Attributes:
        problem: why the last picture could not be measured, in a sentence; "" if it could.
    """

    def __init__(self, measurement: Callable[[Snapshot], Callable[[], float]], clock: Callable[[], float]) -> None:
        self._measurement, self._clock = measurement, clock
        self._run = 0
        self._next = -math.inf
        self.problem: str = ""

    def due(self, run: int) -> bool:
        """Return whether to measure a new picture of that run: the first one, and then one from time to time."""
        return run != self._run or self._clock() >= self._next

    def measured(self, snapshot: Snapshot, run: int) -> Snapshot:
        """Return a picture of that run with its still activation, NaN if it can't be measured."""
        self._run = run
        began = self._clock()
        try:
            measure = self._measurement(snapshot)
            began = self._clock()
            activation = measure()
            self.problem = ""
        except Exception as error:
            # the picture is shown even without its number; a custom objective may raise anything
            problem = UNMEASURED.format(error=error)
            if problem != self.problem:
                log.warning("%s", problem, exc_info=error)
            self.problem, activation = problem, math.nan
        now = self._clock()
        self._next = now + max(SHORTEST_REST, (now - began) / SHARE)
        return replace(snapshot, activation=activation)

"""Finds the focus of the crops on the page, one at a time, next to the main run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from peek_widget.errors import DatasetError, PeekError
from peek_widget.evidence import Crop, find_focus
from peek_widget.network import Network

__all__ = ["FocusMonitor"]

REST = 6.0
"""Ratio of the rest between two focuses to the duration of the last, while the main run draws."""

MOST_PROBLEMS = 256


class FocusMonitor:
    """A monitor that computes the focus of crops, with one backward pass each; for one thread.

    Args:
        network: returns the network that this thread may run.
        drawing: returns whether the main run draws.
        clock: returns monotonic time in seconds.
    """

    def __init__(
        self,
        network: Callable[[], Network],
        drawing: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._network, self._drawing, self._clock = network, drawing, clock
        self._ended_at, self._cost = -math.inf, 0.0
        # crops whose focus can't be found; they are not tried again
        self._failed: set[Crop] = set()

    def has_work(self, crops: Sequence[Crop]) -> bool:
        """Return whether the focus of one of these crops can still be found."""
        return any(crop not in self._failed for crop in crops)

    def find(self, crops: Sequence[Crop]) -> bool:
        """Find the focus of the first of these crops that has one; return whether one was found.

        Raises:
            PeekError: if it can't be found, once for each crop; not for an unreadable image, which the tile reports.
        """
        crop = next((crop for crop in crops if crop not in self._failed), None)
        if crop is None or (self._drawing() and self._clock() - self._ended_at < REST * self._cost):
            return False
        began = self._clock()
        try:
            network = self._network()
            network.model_copy.refresh()
            find_focus(network, crop)
        except PeekError as error:
            if len(self._failed) >= MOST_PROBLEMS:
                self._failed.clear()
            self._failed.add(crop)
            if isinstance(error, DatasetError):
                return False
            raise
        finally:
            self._ended_at = self._clock()
            self._cost = self._ended_at - began
        return True

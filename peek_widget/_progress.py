"""Progress bars, durations in words, and an estimate of the time that is left."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Any

__all__ = ["Rate", "duration", "progress_bar"]

DELAY = 2.0
"""Seconds that work takes before its bar is shown, unless one is asked for."""


def progress_bar(
    items: Iterable[Any] | int, description: str, progress: bool | None = None, *, unit: str = "it"
) -> Any:
    """Make a tqdm bar for some work, in a script or in a notebook; ``with`` closes it.

    Args:
        items: what is iterated over; or the number of pieces of work, counted by the bar's ``update(n)``.
        description: what is done, at the bar's left.
        progress: None shows the bar once the work has taken two seconds, True at once, False never.
        unit: what is counted.
    """
    from tqdm.auto import tqdm  # here and not at the top: in a notebook it imports ipywidgets

    counted: dict[str, Any] = {"total": items} if isinstance(items, int) else {"iterable": items}
    delay = 0.0 if progress else DELAY
    return tqdm(**counted, desc=description, unit=unit, disable=progress is False, delay=delay)


def duration(seconds: float) -> str:
    """Describe a number of seconds roughly, as one says it: "about 20 s", "about 3 minutes"."""
    if seconds < 5:
        return "a few seconds"
    if seconds < 55:
        return f"about {math.ceil(seconds / 5) * 5} s"
    if seconds < 90:
        return "about a minute"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes"
    return f"about {round(seconds / 3600)} hours"


class Rate:
    """Items per second over a sliding window.

    Args:
        window: seconds that the rate is taken over.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> None:
        """Record that ``count`` items were done at ``now`` (seconds of any steady clock)."""
        self._samples.append((now, count))
        while now - self._samples[0][0] > self._window:
            self._samples.popleft()

    def clear(self) -> None:
        """Forget all samples, after a pause say."""
        self._samples.clear()

    def time_left(self, items: int, *, at_least: float = 0.0) -> float | None:
        """Estimate the seconds that ``items`` more will take; None where the rate is not known.

        Args:
            items: number of items that are left.
            at_least: seconds that the samples must span.
        """
        if len(self._samples) < 2:
            return None
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        if last <= first or ended - began < at_least:
            return None
        return items * (ended - began) / (last - first)

"""Progress bars, durations in words, and an estimate of the time that is left."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Any

__all__ = ["Rate", "duration", "progress_bar"]

DELAY = 2.0
"""Seconds after which a progress bar appears by default."""


def progress_bar(
    items: Iterable[Any] | int | None, description: str, progress: bool | None = None, *, unit: str = "it"
) -> Any:
    """Make a tqdm progress bar for a script or a notebook, a context manager that closes it.

    Args:
        items: what to iterate over; or the number of items, which the bar's ``update(n)`` counts, None where it is not
            known.
        description: text at the left of the bar.
        progress: whether to show the bar: True at once, False never, None once the work has taken two seconds.
        unit: name of one item.
    """
    from tqdm.auto import tqdm  # imported here, because in a notebook it imports ipywidgets

    counted: dict[str, Any] = {"total": items} if items is None or isinstance(items, int) else {"iterable": items}
    delay = 0.0 if progress else DELAY
    return tqdm(**counted, desc=description, unit=unit, disable=progress is False, delay=delay)


def duration(seconds: float) -> str:
    """Describe a number of seconds in rounded words, e.g. "about 20 s" or "about 3 minutes"."""
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
        window: length of the window in seconds.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, now: float, count: float) -> None:
        """Record that ``count`` items were done at ``now`` (in seconds of a monotonic clock)."""
        self._samples.append((now, count))
        while now - self._samples[0][0] > self._window:
            self._samples.popleft()

    def clear(self) -> None:
        """Forget all samples, e.g. after a pause."""
        self._samples.clear()

    def time_left(self, items: float, *, at_least: float = 0.0) -> float | None:
        """Estimate the seconds that further items will take; None while the rate is unknown.

        Args:
            items: number of items left.
            at_least: seconds that the samples must span before the rate counts as known.
        """
        if len(self._samples) < 2:
            return None
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        if last <= first or ended - began < at_least:
            return None
        return items * (ended - began) / (last - first)

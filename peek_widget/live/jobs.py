"""A queue of small jobs that the worker does between two steps."""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable

__all__ = ["JobQueue"]

log: logging.Logger = logging.getLogger("peek_widget")


class JobQueue:
    """A queue of small jobs that the worker does between two steps, so that no message handler waits for them."""

    blocking = False

    def __init__(self) -> None:
        self._jobs: collections.deque[Callable[[], None]] = collections.deque()

    def add(self, job: Callable[[], None]) -> None:
        """Queue a job."""
        self._jobs.append(job)

    def ready(self, watched: bool) -> bool:
        """Return whether there is a job."""
        return bool(self._jobs)

    def run_once(self) -> None:
        """Run the oldest job; an error is logged."""
        job = self._jobs.popleft()
        try:
            job()
        except Exception as error:
            log.error("What the page asked for failed: %s", error, exc_info=error)

"""The number of CPU threads that a worker computes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import torch

from peek_widget.errors import PeekError

__all__ = ["allowed_threads", "set_threads", "thread_setter", "usual_threads"]


def usual_threads() -> int:
    """Return one less than the number of cores, and never more than torch would take.

    torch's threads wait for each other at every operation: where another process (a browser, say) keeps one
    of their cores busy, all of them stand still. On 2 cores, one of them taken, a step was measured at
    0.22 s with one thread and 2.2 s with two.
    """
    return max(1, min(torch.get_num_threads(), _cores() - 1))


def set_threads(count: int) -> None:
    """Let torch compute on `count` CPU threads, from 1, in the calling thread."""
    torch.set_num_threads(count)


def thread_setter(threads: int | None) -> Callable[[], None]:
    """Return what the worker calls once to take no more of a shared machine than it may.

    Args:
        threads: number of CPU threads; None takes the environment's `PEEK_THREADS`, or `usual_threads()`.

    Raises:
        PeekError: if it is no number of threads.
    """
    count = _given(threads)
    return lambda: set_threads(usual_threads() if count is None else count)


def allowed_threads(threads: int | None) -> int:
    """Return how many threads may compute at once that do not wait for each other: as given, else one for each core.

    Args:
        threads: as for `thread_setter`.
    """
    count = _given(threads)
    return _cores() if count is None else count


def _given(threads: int | None) -> int | None:
    """Return the number of threads that the user or the environment gives; None where neither does."""
    source, given = "threads", threads
    if threads is None:
        source, given = "PEEK_THREADS", os.environ.get("PEEK_THREADS") or None
    if given is None:
        return None
    with contextlib.suppress(ValueError, TypeError):
        count = int(given)
        if count >= 1:
            return count
    raise PeekError(f"{source} is a number of CPU threads, a whole number from 1; {given!r} was given.")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""The number of CPU threads that a worker computes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import torch

from peek_widget.errors import PeekError

__all__ = ["set_threads", "thread_setter", "usual_threads"]


def usual_threads() -> int:
    """Return one less than the number of cores, and never more than torch would take.

    torch's threads wait for each other at every operation: where another process (a browser, say) keeps one
    of their cores busy, all of them stand still. On 2 cores, one of them taken, a step was measured at
    0.22 s with one thread and 2.2 s with two.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), cores - 1))


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
    source, given = "threads", threads
    if threads is None and os.environ.get("PEEK_THREADS"):
        source, given = "PEEK_THREADS", os.environ["PEEK_THREADS"]
    if given is None:
        return lambda: set_threads(usual_threads())
    with contextlib.suppress(ValueError, TypeError):
        count = int(given)
        if count >= 1:
            return lambda: set_threads(count)
    raise PeekError(f"{source} is a number of CPU threads, a whole number from 1; {given!r} was given.")

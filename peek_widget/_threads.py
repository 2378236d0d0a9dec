"""The number of CPU threads that torch computes on.

torch's threads wait for each other at every operation, and they wait by spinning: where other processes keep the cores
busy, each spins while the one that it waits for has no core. On 2 cores that 2 other processes kept busy, drawing took
26 times as long with two threads as with one; on the same cores alone two threads saved a sixth of the time
(``benchmarks/threads.py``). So by default one core is left to others.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Generator

import torch

from peek_widget.errors import PeekError

__all__ = [
    "allowed_threads",
    "computing_on",
    "divided_threads",
    "set_threads",
    "thread_count",
    "thread_setter",
    "usual_threads",
]

_here = threading.local()
"""``settled``: whether the number of torch's threads was settled for what this thread is doing."""


def usual_threads() -> int:
    """Return one less than the number of cores, and never more than torch would take."""
    return max(1, min(torch.get_num_threads(), _cores() - 1))


def thread_count(count: int | None = None) -> int:
    """Return how many CPU threads `computing_on(count)` would compute on in the calling thread.

    Args:
        count: number of threads; None: as settled for the calling thread, else the environment's `PEEK_THREADS`, else
            `usual_threads()`.

    Raises:
        PeekError: if it is not a number of threads.
    """
    if count is None and getattr(_here, "settled", False):
        return torch.get_num_threads()
    given = _given(count)
    return usual_threads() if given is None else given


@contextlib.contextmanager
def computing_on(count: int | None = None) -> Generator[None]:
    """Compute on so many CPU threads in the calling thread, and on as many as before afterwards.

    Args:
        count: as for `thread_count`; inside, None is this number.
    """
    before, settled, count = torch.get_num_threads(), getattr(_here, "settled", False), thread_count(count)
    if count != before:
        torch.set_num_threads(count)
    _here.settled = True
    try:
        yield
    finally:
        _here.settled = settled
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def set_threads(count: int) -> None:
    """Compute on `count` CPU threads, from 1, in the calling thread from now on."""
    torch.set_num_threads(count)
    _here.settled = True


def thread_setter(threads: int | None) -> Callable[[], None]:
    """Return a function that a worker calls once to limit its CPU threads on a shared machine.

    Args:
        threads: number of CPU threads; None takes the environment's `PEEK_THREADS`, or `usual_threads()`.

    Raises:
        PeekError: if it is not a number of threads.
    """
    count = _given(threads)
    return lambda: set_threads(usual_threads() if count is None else count)


def allowed_threads(threads: int | None) -> int:
    """Return how many independent threads may compute at once: the given number, else one for each core.

    Args:
        threads: as for `thread_setter`.
    """
    count = _given(threads)
    return _cores() if count is None else count


def divided_threads(threads: int | None, most: int) -> tuple[int, int]:
    """Divide threads among pieces of work that are done at once, and do not wait for each other.

    Args:
        threads: as for `thread_setter`; None without `PEEK_THREADS` is one for each core, and no more than torch would
            take.
        most: number of pieces at once, at most.

    Returns:
        the number of pieces at once, and the number of threads that each is computed on.

    Raises:
        PeekError: if it is not a number of threads.
    """
    given = _given(threads)
    count = min(torch.get_num_threads(), _cores()) if given is None else given
    each = -(-count // most)
    return count // each, each


def _given(threads: int | None) -> int | None:
    """Return the number of threads given by the user or the environment; None if neither gives one."""
    source, given = "threads", threads
    if threads is None:
        source, given = "PEEK_THREADS", os.environ.get("PEEK_THREADS") or None
    if given is None:
        return None
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        count = int(given)
        if count >= 1 and (isinstance(given, str) or count == given) and not isinstance(given, bool):
            return count
    raise PeekError(f"{source} must be a number of CPU threads, a whole number from 1; {given!r} was given.")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""The number of CPU threads that a worker computes on."""

from __future__ import annotations

import os

import torch

__all__ = ["set_threads", "usual_threads"]


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

"""How much of a shared machine a worker takes."""

from __future__ import annotations

import torch

__all__ = ["set_threads"]


def set_threads(count: int) -> None:
    """Let the calling thread compute on `count` CPU threads, at least 1."""
    torch.set_num_threads(count)

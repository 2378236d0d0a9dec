"""What surrounds a call of ours must not change what comes out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["full_precision", "undisturbed"]


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """The caller's ``torch.autocast`` has no say inside: neither on the device nor on the CPU, where views are made."""
    with contextlib.ExitStack() as stack:
        for kind in {"cpu", device.type}:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextlib.contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """As :func:`full_precision`, and the caller's ``torch.inference_mode`` has no say either."""
    with torch.inference_mode(False), full_precision(device):
        yield

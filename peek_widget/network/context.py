"""Isolate calls of the model from the caller's ``torch.autocast`` and ``torch.inference_mode``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["full_precision", "undisturbed"]


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Turn the caller's ``torch.autocast`` off, on the device and on the CPU, where views are rendered."""
    with contextlib.ExitStack() as stack:
        for kind in {"cpu", device.type}:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextlib.contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Turn both the caller's ``torch.autocast`` and ``torch.inference_mode`` off."""
    with torch.inference_mode(False), full_precision(device):
        yield

"""Memory that runs out, and devices that are gone: telling these from other errors, and giving back what was held."""

from __future__ import annotations

import gc
import traceback

import torch

__all__ = ["device_error", "memory_error", "release"]

_SIGNS = (
    "DefaultCPUAllocator",
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "could not create a memory object",  # oneDNN's
)


def memory_error(error: BaseException | None) -> str | None:
    """Return the words of an error, or of its cause, if it means that memory ran out; else None."""
    while error is not None:
        words = str(error)
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
            isinstance(error, RuntimeError) and any(sign in words for sign in _SIGNS)
        ):
            return words.splitlines()[0][:200] if words else type(error).__name__
        error = error.__cause__
    return None


def device_error(error: BaseException | None) -> str | None:
    """Return the words of an error, or of its cause, if it means that a device does not answer any more; else None."""
    if memory_error(error) is not None:
        return None
    while error is not None:
        words = str(error)
        if isinstance(error, RuntimeError) and (type(error).__name__ == "AcceleratorError" or "CUDA error" in words):
            return words.splitlines()[0][:200]
        error = error.__cause__
    return None


def release(device: torch.device | None = None, error: BaseException | None = None) -> None:
    """Give back the memory of a piece of work that failed, so that others on the same device have it.

    Args:
        device: the device whose memory it was; left out, every GPU's.
        error: what it raised, if that is kept: its traceback would hold on to all tensors of the functions in it.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
    if (device is None or device.type == "cuda") and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if (device is None or device.type == "mps") and torch.backends.mps.is_available():
        torch.mps.empty_cache()

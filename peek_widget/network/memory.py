"""Recognizing errors of memory that ran out and of lost devices, and releasing what was held."""

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
    "_ALLOC_FAILED",  # cuBLAS's, cuFFT's, cuSOLVER's and cuDNN's
    "ALLOCATION_FAILED",  # cuDNN's from version 9
)

# After these a GPU answers nothing until the process is restarted (CUDA Runtime API, cudaError_t: "any further CUDA
# work will return the same error"), or there is none. After others, such as "no kernel image is available", it works.
_LOST = (
    "an illegal memory access was encountered",
    "an illegal instruction was encountered",
    "device-side assert triggered",
    "hardware stack error",
    "invalid program counter",
    "launch timed out and was terminated",
    "misaligned address",
    "operation not supported on global/shared address space",
    "unspecified launch failure",
    "uncorrectable",  # of its memory (ECC), or of NVLink
    "unknown error",
    "busy or unavailable",
    "no CUDA-capable device is detected",
    "no ROCm-capable device is detected",
    "driver shutting down",
    "context is destroyed",
    "hardware error",  # of a peer's memory
)


def memory_error(error: BaseException | None) -> str | None:
    """Return the message of an error, or of its cause, if it means that memory ran out; else None."""
    while error is not None:
        words = str(error)
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
            isinstance(error, RuntimeError) and any(sign in words for sign in _SIGNS)
        ):
            return words.splitlines()[0][:200] if words else type(error).__name__
        error = error.__cause__
    return None


def device_error(error: BaseException | None) -> str | None:
    """Return the message of an error, or of its cause, if it means that a device no longer answers; else None.

    An error after which the device still works, such as a missing kernel image, does not count.
    """
    if memory_error(error) is not None:
        return None
    while error is not None:
        for line in str(error).splitlines() if isinstance(error, RuntimeError) else ():
            named = type(error).__name__ == "AcceleratorError" or "CUDA error" in line or "HIP error" in line
            if named and any(sign in line for sign in _LOST):
                return line[:200]
        error = error.__cause__
    return None


def release(device: torch.device | None = None, error: BaseException | None = None) -> None:
    """Release the memory of failed work, so that others on the same device can use it.

    Args:
        device: the device whose memory it was; left out, every GPU's.
        error: the error, if it is kept: its traceback would keep all tensors of its frames alive.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
    if (device is None or device.type == "cuda") and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if (device is None or device.type == "mps") and torch.backends.mps.is_available():
        torch.mps.empty_cache()

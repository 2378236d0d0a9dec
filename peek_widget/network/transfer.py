"""Copies between the CPU and the device that a network is on."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

__all__ = ["constants", "upload"]


def upload(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; from the CPU without waiting for what the device is computing."""
    if values.device.type != "cpu" or device.type == "cpu":
        # only the CPU's memory can be pinned
        return values.to(device)
    if device.type == "cuda":
        # from pageable memory the copy would begin when all that was asked for before is done
        values = values.pin_memory()
    # on MPS the memory of what is copied may be given away before it was
    return values.to(device, non_blocking=device.type != "mps")


@functools.lru_cache(maxsize=64)
def constants(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a few numbers as a tensor ``[n]`` on a device, made once and not to be written into."""
    with torch.inference_mode(False):  # a gradient may need them
        return torch.tensor(values, dtype=dtype, device="cpu").to(device)

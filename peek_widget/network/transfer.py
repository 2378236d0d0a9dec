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
        # from pageable memory the copy would wait for all queued work
        values = values.pin_memory()
    # on MPS the source memory may be reused before the copy has run
    return values.to(device, non_blocking=device.type != "mps")


@functools.lru_cache(maxsize=64)
def constants(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a few numbers as a tensor ``[n]`` on a device, made once and not to be written into."""
    with torch.inference_mode(False):  # so that a gradient may use them
        return torch.tensor(values, dtype=dtype, device="cpu").to(device)

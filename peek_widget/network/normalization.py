"""Batch normalization whose gradient is right for any strides of dimensions of size 1."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["NORMALIZING"]

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def _regular(tensor: Tensor) -> Tensor:
    """Return a view of the tensor with regular strides, also for dimensions of size 1.

    Those of a batch of one image are arbitrary, and what comes of tokens in channels_last has others than a map.
    torch (2.14) takes such a tensor for contiguous in both formats at once, and reads it in the wrong one in the
    backward of a batch normalization: the gradient is then that of other positions.
    """
    if tensor.ndim not in _CHANNELS_LAST or tensor.layout is not torch.strided or 1 not in tensor.shape:
        return tensor
    strides = [math.prod(tensor.shape[dim + 1 :]) for dim in range(tensor.ndim)]
    if not tensor.is_contiguous():
        if not tensor.is_contiguous(memory_format=_CHANNELS_LAST[tensor.ndim]):
            return tensor
        channels = tensor.shape[1]
        strides = [strides[0], 1, *(channels * step for step in strides[2:])]
    return tensor if list(tensor.stride()) == strides else tensor.as_strided(tensor.shape, strides)


def _with_regular_strides(
    function: Callable[..., Tensor], arrange: Callable[[Tensor], Tensor] = _regular
) -> Callable[..., Tensor]:
    """Return a normalization whose input gets regular strides, and whose gradient is rearranged by a function."""

    @functools.wraps(function)
    def normalize(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        output = function(_regular(input), *args, **kwargs)
        if output.requires_grad:
            output.register_hook(arrange)
        return output

    return normalize


NORMALIZING: dict[Callable[..., Any], Callable[..., Any]] = {
    F.batch_norm: _with_regular_strides(F.batch_norm),
    torch.batch_norm: _with_regular_strides(torch.batch_norm),
    # These make views of maps contiguous.
    F.instance_norm: _with_regular_strides(F.instance_norm, Tensor.contiguous),
    torch.instance_norm: _with_regular_strides(torch.instance_norm, Tensor.contiguous),
}
"""What is called instead of torch's functions: the same values, bit for bit."""

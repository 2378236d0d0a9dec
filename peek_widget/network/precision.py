"""The precision that a network computes in: float32, or bfloat16 where the device has units for it."""

from __future__ import annotations

import contextlib
import platform
from typing import Literal, get_args

import torch

from peek_widget.errors import PeekError

__all__ = ["Precision", "check_precision", "has_bf16"]

Precision = Literal["float32", "bf16"]
"""``"float32"``, or ``"bf16"``: convolutions and matrix products in bfloat16 (8 bits of mantissa), as by
``torch.autocast``."""


def check_precision(precision: object, device: torch.device) -> torch.dtype | None:
    """Return the dtype of convolutions and matrix products; None for the network's own.

    Args:
        precision: one of :data:`Precision`.
        device: where the network is.

    Raises:
        PeekError: if there is no such precision, or the device has no units for it.
    """
    if precision not in get_args(Precision):
        raise PeekError(f"precision={precision!r}: give 'float32', or 'bf16' on hardware that computes in bfloat16.")
    if precision == "float32":
        return None
    if not has_bf16(device):
        what = "this CPU has no bfloat16 instructions (AVX512-BF16, AMX, or bf16 on ARM)"
        if device.type != "cpu":
            what = f"the device {str(device)!r} can't compute in bfloat16"
        raise PeekError(f"precision='bf16' is not possible here: {what}. Leave precision out.")
    return torch.bfloat16


def has_bf16(device: torch.device) -> bool:
    """Return whether a device has units that multiply in bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        with contextlib.suppress(AttributeError, RuntimeError):
            return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        return False
    # On x86 the function above is true of every CPU with AVX-512, where bfloat16 is emulated and slower.
    return any(
        getattr(torch.cpu, name, lambda: False)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )

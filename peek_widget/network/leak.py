"""A little gradient through closed ReLUs, so that a picture is changed by what nearly opens them too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from peek_widget.network.rectifiers import name_of, writes

__all__ = ["Leak"]


class Leak(TorchFunctionMode):
    """A mode in which a share of the gradient passes a ReLU where its output is zero, or capped (ReLU6).

    What closes a ReLU by a little closes it in this network alone. Attacks whose gradient passes closed ReLUs carry
    over to other networks more often (Guo, Li & Chen 2020, "Backpropagating Linearly Improves Transferability of
    Adversarial Examples", NeurIPS, whose share is 1), and so does what a picture of a class shows; Øygard (2016) gave
    his networks leaky ReLUs. Activations are not changed. A ReLU is ``relu`` and ``relu6``, and ``clamp`` and
    ``hardtanh`` from 0 on; one that is written by hand keeps its own gradient.

    Args:
        share: from 0 (the true gradient) to 1 (all of it).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        read = _READ.get(name_of(func))
        cap = None if read is None or not torch.is_grad_enabled() else read(*args, **kwargs)
        source = args[0] if args else kwargs.get("input")
        if cap is None or not isinstance(source, Tensor) or not source.requires_grad:
            return func(*args, **kwargs)
        if not writes(func, args, kwargs):
            return _Leaky.apply(source, cap, False, self._share)
        if source._is_view():  # torch refuses to write into a view in a function of our own
            return source.copy_(_Leaky.apply(source, cap, False, self._share))
        return _Leaky.apply(source, cap, True, self._share)


class _Leaky(torch.autograd.Function):
    """A ReLU with a cap, through which a share of the gradient passes where it is closed."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, cap: float, in_place: bool, share: float) -> Tensor:
        if in_place:
            ctx.mark_dirty(source)
        highest = None if cap == math.inf else cap
        output = source.clamp_(0.0, highest) if in_place else source.clamp(0.0, highest)
        ctx.save_for_backward(output)
        ctx.cap, ctx.share = cap, share
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (output,) = ctx.saved_tensors
        if ctx.cap == math.inf:
            return torch.ops.aten.leaky_relu_backward(gradient, output, ctx.share, True), None, None, None
        passed = torch.ops.aten.hardtanh_backward(gradient, output, 0.0, ctx.cap)
        return torch.lerp(passed, gradient, ctx.share), None, None, None


def _relu(input: Any, inplace: bool = False) -> float:
    return math.inf


def _relu6(input: Any, inplace: bool = False) -> float:
    return 6.0


def _clamp(input: Any, min: Any = None, max: Any = None) -> float | None:
    """Return the cap of a clamp from 0 on; None for another, and for one whose limits are tensors."""
    if isinstance(min, Tensor) or isinstance(max, Tensor) or min != 0:
        return None
    return math.inf if max is None else float(max) if max > 0 else None


def _hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> float | None:
    return _clamp(input, min_val, max_val)


def _threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> float | None:
    return math.inf if threshold == value == 0 else None


_READ: dict[str, Callable[..., float | None]] = {
    name + end: read
    for names, read in (
        (("relu",), _relu),
        (("relu6",), _relu6),
        (("clamp", "clip", "clamp_min"), _clamp),
        (("hardtanh",), _hardtanh),
        (("threshold", "_threshold"), _threshold),
    )
    for name in names
    for end in ("", "_")
}
"""By the names of the functions that may be a ReLU, what returns a call's cap: infinity for a ReLU without one, None
for a call that is none."""

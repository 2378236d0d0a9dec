"""A little gradient through closed ReLUs, so that a picture is changed by what nearly opens them too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from peek_widget.network.rectifiers import name_of, writes
from peek_widget.network.replaced import replaceable

__all__ = ["Leak"]


class Leak(TorchFunctionMode):
    """A mode in which a share of the gradient passes a ReLU where its output is zero, or at its cap.

    What closes a ReLU by a little closes it in this network alone. Attacks whose gradient passes closed ReLUs carry
    over to other networks more often (Guo, Li & Chen 2020, "Backpropagating Linearly Improves Transferability of
    Adversarial Examples", NeurIPS, whose share is 1), and so does what a picture of a class shows; Øygard (2016) gave
    his networks leaky ReLUs. Activations are not changed, unless the forward itself takes gradients. A ReLU is
    ``relu`` and ``relu6``, and ``clamp``, ``hardtanh`` and ``threshold`` from 0 on; one that is written by hand,
    scripted, or in an autograd function of the model's keeps its own gradient.

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
        cap = _cap(func, args, kwargs) if replaceable(func, _NAMES, args) else None
        if cap is None:
            return func(*args, **kwargs)
        source, in_place = args[0], writes(func, args, kwargs)
        leaky = _LeakyRelu if name_of(func) in ("relu", "relu_") else _Leaky
        if in_place and source._is_view():  # torch refuses to write into a view in a function of our own
            return source.copy_(leaky.apply(source, cap, False, self._share))
        return leaky.apply(source, cap, in_place, self._share)


def _cap(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
    """Return a call's cap, infinity for a ReLU without one; None for a call that is no ReLU, or can't be read."""
    try:
        return _READ[name_of(func)](*args, **kwargs)
    except TypeError:
        return None


class _LeakyRelu(torch.autograd.Function):
    """A ReLU through which a share of the gradient passes where it is closed; like torch's, it keeps its output."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, _cap: float, in_place: bool, share: float) -> Tensor:
        if in_place:
            ctx.mark_dirty(source)
        output = source.relu_() if in_place else source.relu()
        ctx.save_for_backward(output)
        ctx.share = share
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (output,) = ctx.saved_tensors
        return torch.ops.aten.leaky_relu_backward(gradient, output, ctx.share, True), None, None, None


class _Leaky(torch.autograd.Function):
    """The same for the other spellings, whose output may be written into, with a cap."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, cap: float, in_place: bool, share: float) -> Tensor:
        if in_place:
            ctx.mark_dirty(source)
        highest = None if cap == math.inf else cap
        ctx.save_for_backward(source > 0.0 if highest is None else (source > 0.0) & (source < highest))
        ctx.share = share
        return source.clamp_(0.0, highest) if in_place else source.clamp(0.0, highest)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (open_,) = ctx.saved_tensors
        return torch.where(open_, gradient, gradient * ctx.share), None, None, None


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

_NAMES = frozenset(_READ)

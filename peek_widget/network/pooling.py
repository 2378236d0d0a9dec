"""The gradient of max-pooling spread over its windows, so that a picture is not changed at single pixels alone."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from peek_widget.network.replaced import replaceable

__all__ = ["SpreadPooling"]

_NAMES = frozenset(("max_pool2d",))


class SpreadPooling(TorchFunctionMode):
    """A mode in which a share of the gradient of 2-D max-pooling is spread evenly over its windows.

    Max-pooling gives all of a window's gradient to its largest value, often one of several that are nearly as large,
    and another one in another network. Attacks whose gradient goes to more of a window carry over to other networks
    more often (Wang, Tong & He 2023, "Rethinking the Backward Propagation for Adversarial Transferability",
    NeurIPS, by a softmax of the values), and so does what a picture of a class shows. Activations are not changed.
    What would go to a padded border is lost. Pooling that also returns its indices, dilated and adaptive pooling keep
    their own gradient.

    Args:
        share: from 0 (the true gradient) to 1 (that of average pooling).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        window = None
        if replaceable(func, _NAMES, args):
            with contextlib.suppress(TypeError):  # of a call that can't be read
                window = _window(*args, **kwargs)
        if window is None:
            return func(*args, **kwargs)
        return _Spread.apply(args[0], window, self._share)


def _window(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[list[int], list[int], list[int], bool] | None:
    """Return kernel, stride, padding (rows, columns each) and the ceil mode of a pooling; None for one left alone."""
    if return_indices or _pair(dilation) != [1, 1]:
        return None
    kernel = _pair(kernel_size)
    return kernel, kernel if stride is None or stride == [] else _pair(stride), _pair(padding), bool(ceil_mode)


def _pair(value: Any) -> list[int]:
    both = list(map(operator.index, value)) if isinstance(value, (tuple, list)) else [operator.index(value)]
    return both * 2 if len(both) == 1 else both


class _Spread(torch.autograd.Function):
    """Max-pooling with the gradient that :class:`SpreadPooling` describes."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, window: tuple[list[int], list[int], list[int], bool], share: float) -> Tensor:
        kernel, stride, padding, ceil = window
        output, places = torch.ops.aten.max_pool2d_with_indices(source, kernel, stride, padding, [1, 1], ceil)
        ctx.save_for_backward(source, places)
        ctx.window, ctx.share = window, share
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        source, places = ctx.saved_tensors
        kernel, stride, padding, ceil = ctx.window
        aten = torch.ops.aten
        largest = aten.max_pool2d_with_indices_backward(gradient, source, kernel, stride, padding, [1, 1], ceil, places)
        even = aten.avg_pool2d_backward(gradient, source, kernel, stride, padding, ceil, True, None)
        return torch.lerp(largest, even, ctx.share), None, None

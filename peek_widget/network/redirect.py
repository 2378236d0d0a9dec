"""Gradients through closed ReLUs: how to draw a unit that only sees what a ReLU has set to zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from peek_widget.network.nested import map_tensors, tensors_in
from peek_widget.network.rectifiers import Derived, Role, writes

__all__ = ["Redirected"]


class Redirected(TorchFunctionMode):
    """A mode in which a ReLU that would cut an image's whole gradient passes the gradients that would open it.

    A unit of a depthwise convolution reads one unit of the layer before, and that after its ReLU: where it is zero
    everywhere, as at the flat start of a picture, the gradient is zero too and nothing could ever be drawn. The rule is
    that of Lucid (Olah et al. 2017, ``redirected_relu_grad``): gradients are the ordinary ones wherever there are any;
    where there are none, a value below zero gets those that would raise it, and one above a cap (ReLU6) those that
    would lower it. Activations are not changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._derived = Derived()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._derived.role(func, args, kwargs) is not Role.RECTIFIER:
            return func(*args, **kwargs)
        source = next(iter(tensors_in([args, kwargs])))
        if not (source.requires_grad and torch.is_grad_enabled()):
            return func(*args, **kwargs)
        in_place = writes(func, args, kwargs)
        given = source.detach().clone()  # an in-place ReLU writes over it

        def instead(tensor: Tensor) -> Tensor:
            return given.clone() if tensor is source else tensor

        output = func(*map_tensors(args, instead), **map_tensors(kwargs, instead))
        redirected = _Redirect.apply(source, given, output)
        return source.copy_(redirected) if in_place else redirected


class _Redirect(torch.autograd.Function):
    """The output of a ReLU, with the gradient that :class:`Redirected` describes."""

    @staticmethod
    def forward(ctx: Any, _source: Tensor, given: Tensor, output: Tensor) -> Tensor:
        ctx.save_for_backward(output > given, output < given)
        return output.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        raised, lowered = ctx.saved_tensors
        plain = gradient.masked_fill(raised | lowered, 0.0)
        opening = gradient.masked_fill((raised & (gradient < 0)) | (lowered & (gradient > 0)), 0.0)
        none = (plain == 0).flatten(1).all(1).view(-1, *[1] * (plain.ndim - 1)) if plain.ndim > 1 else plain == 0
        return torch.where(none, opening, plain), None, None

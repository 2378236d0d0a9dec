"""Operations that cut the gradient between a layer and the image: ``no_grad``, ``detach`` and the like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from peek_widget.network.context import call
from peek_widget.network.nested import tensors_in

__all__ = ["GradientTracker", "call_with_graph"]

_DATA = Tensor.data.__get__  # type: ignore[attr-defined]
# Functions that convert tensors to other types, which fail or warn for a tensor that requires grad.
_LEAVING = frozenset(
    ("numpy", "__array__", "__deepcopy__", "__dlpack__", "item", "tolist", "__float__", "__int__", "__index__")
)
_SET_REQUIRES_GRAD = Tensor.requires_grad.__set__  # type: ignore[attr-defined]


class GradientTracker:
    """Finds for every tensor of a forward, whose calls are reported to it one by one, whether it has a gradient.

    The calls themselves are made by :func:`call_with_graph`, so that all tensors have a graph, by which layers are
    told apart; what the model's own forward would have cut is only noted.

    Args:
        image: the network's input.
    """

    def __init__(self, image: Tensor) -> None:
        # By the tensor's id: whether a gradient reaches the image from it, what cuts it on some way, and the autograd
        # node that it had then. The tensor is kept as well, since the id of a collected one would be given to another.
        self._known: dict[int, tuple[Tensor, bool, frozenset[str], Any]] = {}
        self._known[id(image)] = image, True, frozenset(), image.grad_fn

    def of(self, tensor: Tensor) -> tuple[bool, frozenset[str]]:
        """Return whether a gradient of the tensor reaches the image, and what cuts it on some way to it, in words."""
        entry = self._known.get(id(tensor))
        if entry is None:
            # Made from the image (nothing else has a gradient) by something that torch does not report.
            return tensor.requires_grad, frozenset()
        _, reaches, cuts, node = entry
        if tensor.grad_fn is not node and isinstance(tensor.grad_fn, BackwardCFunction):
            # Made in an autograd function of the model's own, which computes without gradients and then has one.
            return True, frozenset()
        return reaches, cuts

    def called(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Report one call of a torch function and its ``output``."""
        given = [
            self.of(tensor)
            for tensor in tensors_in([args, kwargs])
            if id(tensor) in self._known or tensor.requires_grad
        ]
        if not given:
            return
        had = any(reaches for reaches, _ in given)
        cuts = frozenset().union(*(one for _, one in given))
        cause = _cause(func)
        for tensor in tensors_in(args[0] if func is Tensor.__setitem__ else output):
            numbers = tensor.is_floating_point() or tensor.is_complex()
            reaches = had and cause is None and numbers
            found = cuts | {cause} if had and cause is not None and numbers else cuts
            self._known[id(tensor)] = tensor, reaches, found, tensor.grad_fn


def _cause(func: Callable[..., Any]) -> str | None:
    """Return in words why the result of a call has no gradient; None if it has one."""
    if func.__name__ in ("detach", "detach_"):
        return "detach()"
    if func == _DATA:
        return ".data"
    if torch.is_inference_mode_enabled():
        return "torch.inference_mode()"
    return None if torch.is_grad_enabled() else "torch.no_grad()"


def call_with_graph(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a torch function whose arguments depend on the image, so that its result has an autograd graph."""
    tensor = next(tensors_in([args, kwargs]))
    name = func.__name__
    if name == "detach_" or name == "requires_grad_" or func == _SET_REQUIRES_GRAD:
        return tensor
    if name == "detach" or func == _DATA:
        return tensor.view_as(tensor)
    if name in _LEAVING:
        return func(tensor.detach(), *args[1:], **kwargs)
    if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
        with torch.inference_mode(False), torch.enable_grad():
            return call(func, args, kwargs, False)
    return call(func, args, kwargs, False)

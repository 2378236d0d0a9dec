"""Which calls of a forward may be replaced by a function of our own with another gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from peek_widget.network.rectifiers import name_of

__all__ = ["replaceable"]


def replaceable(func: Callable[..., Any], names: frozenset[str], args: tuple[Any, ...]) -> bool:
    """Return whether a call is one of torch's own functions with one of these names, of a tensor with a gradient.

    A library's operator may have the same name. Without ``functorch``'s transforms and forward-mode differentiation,
    which a function of our own would have to know.
    """
    if name_of(func) not in names or not torch.is_grad_enabled():
        return False
    if isinstance(func, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)) and "aten::" not in str(_schema(func)):
        return False
    if not args or not isinstance(args[0], Tensor) or not args[0].requires_grad:
        return False
    if args[0].layout is not torch.strided or not args[0].is_floating_point():
        return False
    return not torch._C._are_functorch_transforms_active() and forward_ad._current_level < 0


def _schema(func: Any) -> str:
    """Return an operator's name with its namespace, e.g. ``aten::relu``."""
    return str(func._qualified_op_name if isinstance(func, torch._ops.OpOverloadPacket) else func.name())

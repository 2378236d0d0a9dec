"""Less gradient through what residual blocks add, so that more of it takes the shortcuts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["LessThroughBlocks"]

_SUMS = frozenset({torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__})

# Number of autograd nodes searched for one addend behind the other: a block has about ten.
_MOST_NODES = 200


class LessThroughBlocks(TorchFunctionMode):
    """A mode in which the gradient through what a residual block adds to its input is multiplied by a factor.

    The skip gradient method (Wu et al. 2020, "Skip Connections Matter", ICLR): attacks that take more of the gradient
    from the shortcuts carry over to other networks more often, and so does what a picture of a class shows. A residual
    sum is known by its addends, of one shape, one of which was computed from the other; a sum of two branches, as where
    a block changes the size, is left alone. Activations are not changed.

    Args:
        factor: from 0 (all gradient goes past the blocks) to 1 (the true gradient).
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _SUMS and len(args) == 2 and torch.is_grad_enabled():
            branch = _branch(*args)
            if branch is not None:
                branch.register_hook(lambda gradient: self._factor * gradient)
        return func(*args, **(kwargs or {}))


def _branch(one: Any, other: Any) -> Tensor | None:
    """Return which of two addends was computed from the other; None for neither."""
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)) or one.shape != other.shape:
        return None
    if one.grad_fn is None or other.grad_fn is None or one.grad_fn is other.grad_fn:
        return None
    if _leads_to(one.grad_fn, other.grad_fn):
        return one
    return other if _leads_to(other.grad_fn, one.grad_fn) else None


def _leads_to(start: Any, end: Any) -> bool:
    """Return whether the gradient of one autograd node goes on to another one, a few layers down."""
    seen, waiting = {start}, [start]
    for node in waiting:
        for next_node, _ in node.next_functions:
            if next_node is end:
                return True
            if next_node is not None and next_node not in seen and len(seen) < _MOST_NODES:
                seen.add(next_node)
                waiting.append(next_node)
    return False

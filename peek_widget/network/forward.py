"""Letting the last ReLUs of a layer, and the last softmax of a model, pass their input through."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["ForwardMode", "is_rectifier", "is_squashing"]

_RELUS = {F.relu, F.relu_, F.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_SOFTMAXES = {
    F.softmax, F.log_softmax, torch.softmax, torch.log_softmax, Tensor.softmax, Tensor.log_softmax,
}  # fmt: skip


def is_rectifier(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call cuts its input off at zero: a ReLU or ReLU6 in any of torch's spellings."""
    if function in (F.hardtanh, F.hardtanh_):
        return float(kwargs.get("min_val", args[1] if len(args) > 1 else -1.0)) == 0.0
    return function in _RELUS


def is_squashing(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call hides from the gradient what is asked for: a ReLU, or a softmax."""
    return function in _SOFTMAXES or is_rectifier(function, args, kwargs)


class ForwardMode(TorchFunctionMode):
    """Round a forward: the ReLUs and softmaxes in ``lift`` pass their input through.

    A unit whose output has already been rectified has exactly zero gradient from most starts, so it is drawn
    by what goes into its last ReLUs instead (36 of 40 units of SqueezeNet's fire8 are dead at a grey start
    after their ReLU, none before it). Øygard did it with a leak of 0.01 in a second network definition. A
    softmax makes a class larger by making the others smaller. Functions and not modules are caught, because
    models call ``F.relu`` too.

    Args:
        lift: numbers of such calls, counted from 0 in call order through one forward.
    """

    def __init__(self, lift: Iterable[int] = ()) -> None:
        super().__init__()
        self._lift = frozenset(lift)
        self.calls = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_squashing(func, args, kwargs):
            self.calls += 1
            if self.calls - 1 in self._lift:
                return args[0] if args else kwargs["input"]
        return func(*args, **kwargs)

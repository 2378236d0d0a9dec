"""What happens to a forward of the ghost: ReLUs write nothing in place, and some of them let everything through."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["ForwardMode", "is_rectifier"]

_RELUS: dict[Callable[..., Any], Callable[[Tensor], Tensor]] = dict.fromkeys(
    (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_), torch.relu
)
_RELUS[F.relu6] = lambda x: x.clamp(0.0, 6.0)


def is_rectifier(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call cuts its input off at zero: a ReLU or ReLU6 in any of torch's spellings."""
    if function in (F.hardtanh, F.hardtanh_):
        return float(kwargs.get("min_val", args[1] if len(args) > 1 else -1.0)) == 0.0
    return function in _RELUS


class ForwardMode(TorchFunctionMode):
    """Round a forward: no ReLU works in place, and those in ``lift`` pass their input through.

    A unit whose output has already been rectified has exactly zero gradient from most starts, so it is drawn
    by what goes into its last ReLUs instead (36 of 40 units of SqueezeNet's fire8 are dead at a grey start
    after their ReLU, none before it). Øygard did it with a leak of 0.01 in a second network definition.
    Functions and not modules are caught, because models call ``F.relu`` too.

    Args:
        lift: numbers of ReLU calls, counted from 0 in call order through one forward.
    """

    def __init__(self, lift: Iterable[int] = ()) -> None:
        super().__init__()
        self._lift = frozenset(lift)
        self.calls = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not is_rectifier(func, args, kwargs):
            return func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        self.calls += 1
        if self.calls - 1 in self._lift:
            return x
        if func in _RELUS:
            return _RELUS[func](x)
        high = float(kwargs.get("max_val", args[2] if len(args) > 2 else 1.0))
        return x.clamp(0.0, high)

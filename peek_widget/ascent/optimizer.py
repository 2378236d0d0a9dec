"""Adam and NAdam, by torch's own functions and without its classes.

The classes import ``torch._dynamo``, torch's compiler, when the first one is made: 1.3 s of computing before the first
picture, on a processor of 2023. The functions, whose results are the same to the last bit, don't.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.nadam import nadam

__all__ = ["Optimizer"]

# Kingma & Ba 2015 ("Adam") and Dozat 2016 ("Incorporating Nesterov Momentum into Adam"); torch's defaults.
_BETA1, _BETA2, _EPSILON, _MOMENTUM_DECAY = 0.9, 0.999, 1e-8, 4e-3


class Optimizer:
    """Adam or NAdam for one tensor.

    Args:
        kind: which of the two.
        parameter: the tensor that is updated in place.

    Attributes:
        state: what the next step needs, by the names that ``torch.optim`` gives it; empty before the first step.
    """

    def __init__(self, kind: Literal["adam", "nadam"], parameter: Tensor) -> None:
        self._kind, self._parameter = kind, parameter
        self.state: dict[str, Tensor] = {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state; the counts are kept on the CPU."""
        self.state = {name: value.cpu() if value.ndim == 0 else value for name, value in state.items()}

    def _begin(self) -> None:
        if self.state:
            return
        self.state = {
            "step": torch.zeros((), dtype=torch.float32, device="cpu"),
            "exp_avg": torch.zeros_like(self._parameter),
            "exp_avg_sq": torch.zeros_like(self._parameter),
        }
        if self._kind == "nadam":
            self.state["mu_product"] = torch.ones((), dtype=torch.float32, device="cpu")

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Make one step against the gradient, which has the parameter's shape."""
        self._begin()
        state = self.state
        tensors = [self._parameter], [gradient], [state["exp_avg"]], [state["exp_avg_sq"]]
        shared: dict[str, Any] = {
            "beta1": _BETA1,
            "beta2": _BETA2,
            "lr": learning_rate,
            "weight_decay": 0.0,
            "eps": _EPSILON,
        }
        with torch.no_grad():
            if self._kind == "nadam":
                nadam(*tensors, [state["mu_product"]], [state["step"]], momentum_decay=_MOMENTUM_DECAY, **shared)
            else:
                adam(*tensors, [], [state["step"]], amsgrad=False, maximize=False, **shared)

    def rates(self, learning_rate: float) -> tuple[float, ...]:
        """Count a step, and return the numbers that :meth:`step_by` makes it with, computed as torch does."""
        self._begin()
        self.state["step"] += 1
        count = self.state["step"].item()
        remaining = 1.0 - _BETA2**count
        if self._kind == "adam":
            return remaining**0.5, -(learning_rate / (1.0 - _BETA1**count))
        mu, following = (_BETA1 * (1.0 - 0.5 * 0.96 ** (n * _MOMENTUM_DECAY)) for n in (count, count + 1))
        self.state["mu_product"] *= mu
        product = self.state["mu_product"].item()
        first = -learning_rate * (1.0 - mu) / (1.0 - product)
        return remaining, first, (-learning_rate * following) / (1.0 - product * following)

    @torch.no_grad()
    def step_by(self, gradient: Tensor, rates: Sequence[Tensor]) -> None:
        """Make the step that :meth:`rates` has counted, by its numbers as tensors ``[]``, of which none is read.

        On the CPU its results are those of :meth:`step` to the last bit.
        """
        mean, square = self.state["exp_avg"], self.state["exp_avg_sq"]
        mean.lerp_(gradient, 1.0 - _BETA1)
        square.mul_(_BETA2).addcmul_(gradient, gradient, value=1.0 - _BETA2)
        if self._kind == "adam":
            root, rate = rates
            self._parameter.add_(rate * mean / (square.sqrt() / root).add_(_EPSILON))
            return
        remaining, first, second = rates
        divisor = square.div(remaining).sqrt().add_(_EPSILON)
        self._parameter.add_(first * gradient / divisor)
        self._parameter.add_(second * mean / divisor)

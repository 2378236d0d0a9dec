"""Adam and NAdam, by torch's own functions and without its classes.

The classes import ``torch._dynamo``, torch's compiler, when the first one is made: 1.3 s of computing before the first
picture, on a processor of 2023. The functions, whose results are the same to the last bit, don't.
"""

from __future__ import annotations

from collections.abc import Mapping
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

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """Make one step against the gradient, which has the parameter's shape."""
        if not self.state:
            self.state = {
                "step": torch.zeros((), dtype=torch.float32, device="cpu"),
                "exp_avg": torch.zeros_like(self._parameter),
                "exp_avg_sq": torch.zeros_like(self._parameter),
            }
            if self._kind == "nadam":
                self.state["mu_product"] = torch.ones((), dtype=torch.float32, device="cpu")
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

"""Checks that the numbers of a run are finite and that its first gradient is not zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from peek_widget.ascent.objective import Objective
from peek_widget.errors import AscentError

__all__ = ["EVERY", "Watch", "check_pictures"]

EVERY = 50
"""Steps between two looks where the network is not on the CPU."""


class Watch:
    """Checks for numbers that are not finite: after every step on the CPU, elsewhere every :data:`EVERY` steps.

    Elsewhere each look makes the CPU wait for the device, so numbers are added up there meanwhile: what was not finite
    in any step is not finite in the sum.

    Args:
        objectives: one for each picture.
        device: where the network is.
        zero: returns the error for a picture, by its number, whose first gradient is zero everywhere.
    """

    def __init__(
        self, objectives: Sequence[Objective], device: torch.device, zero: Callable[[int], AscentError]
    ) -> None:
        self._objectives, self._zero = objectives, zero
        self._every = 1 if device.type == "cpu" else EVERY
        self._sum: Tensor | None = None
        self._first = self._last = 0

    def gradient(self, gradient: Tensor, activations: Tensor, step: int) -> None:
        """Take the gradients by the pictures ``[N, C, H, W]`` and the activations ``[N]`` of a step.

        Raises:
            AscentError: if they are not finite, or the gradient of step 0 is zero for a picture.
        """
        flat = gradient.flatten(1)
        values = flat.sum(1) + activations
        if step == 0:
            still = (flat == 0).all(1)
            if self._every == 1:
                self._check(values.tolist(), step, step)
                zero = still.tolist()
            else:  # in one synchronization
                found = torch.stack([values, still.to(values.dtype)]).tolist()
                self._check(found[0], step, step)
                zero = [one > 0 for one in found[1]]
            if any(zero):
                raise self._zero(zero.index(True))
        elif self._every == 1:
            self._check(values.tolist(), step, step)
        else:
            self._first = step if self._sum is None else self._first
            self._last = step
            self._sum = values if self._sum is None else self._sum + values

    def pictures(self, pictures: Tensor, step: int, last: bool) -> None:
        """Take the pictures after a step, ``[N, C, H, W]``; raises AscentError if they are not finite.

        Args:
            pictures: the pictures.
            step: number of the step.
            last: whether the run ends with it.
        """
        if self._every == 1:
            check_pictures(pictures, step)
        elif last or (step and step % self._every == 0):
            self.look(pictures, step)

    def look(self, pictures: Tensor, step: int) -> None:
        """Check the pictures after a step and everything recorded since the last check; raises as above."""
        if self._every == 1:
            return
        total = pictures.detach().sum().reshape(1)
        *values, whole = (total if self._sum is None else torch.cat([self._sum, total])).tolist()
        self._sum = None
        self._check(values, self._first, self._last)
        if not math.isfinite(whole):
            raise _not_finite(step)

    def _check(self, values: Sequence[float], first: int, last: int) -> None:
        bad = next((n for n, value in enumerate(values) if not math.isfinite(value)), None)
        if bad is not None:
            when = f"At step {last}" if first == last else f"In one of the steps {first} to {last}"
            raise AscentError(
                f"{when} the activation or gradient of {self._objectives[bad]!r} is not a finite number: "
                "make step_size smaller; if it is so at step 0, look for NaN in the model's weights or preprocess."
            )


def check_pictures(pictures: Tensor, step: int) -> None:
    """Raise AscentError if the pictures after a step are not finite."""
    if not math.isfinite(float(pictures.detach().sum())):
        raise _not_finite(step)


def _not_finite(step: int) -> AscentError:
    return AscentError(f"The pictures after step {step} have numbers that are not finite: make step_size smaller.")

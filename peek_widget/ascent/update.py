"""Update: a step of the optimizer along the gradient, and what regularizers do before and after it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from peek_widget.ascent import regularizers
from peek_widget.ascent.evaluate import Evaluation
from peek_widget.ascent.optimizer import Optimizer
from peek_widget.ascent.param import Fourier, Image, Pixels
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.views import Window
from peek_widget.network import Preprocess

__all__ = ["Updater"]

_PUBLISHED_SIDE = 227
"""Side in pixels of CaffeNet's images, for which ``mean_grad_norm`` is given."""


class Updater:
    """Updates the pictures of an ascent.

    Args:
        recipe: the recipe, with the optimizer, the gradient's normalization and the regularizers.
        image: the pictures under optimization, which are changed in place.
        preprocess: the preprocessing, which determines the color that the network sees as zero.

    Attributes:
        image: the pictures.
        first_grad_rms: root mean square of each picture's first gradient, ``[N, 1, 1, 1]``; None before that.
        grad_rms_sum: sum of the root mean squares of each picture's gradients, ``[N, 1, 1, 1]``; None where the recipe
            asks for no mean.
        grad_count: number of gradients in that sum.
    """

    def __init__(self, recipe: Recipe, image: Image, preprocess: Preprocess) -> None:
        self._recipe = recipe
        self.image: Image = image
        self._neutral = preprocess.neutral().to(image.parameter.device)
        self.first_grad_rms: Tensor | None = None
        self.grad_rms_sum: Tensor | None = None
        self.grad_count: int = 0
        self.restart()

    def restart(self) -> None:
        """Begin with a new optimizer, for the image's present parameter."""
        kind = self._recipe.optimizer
        self._optimizer: Optimizer | None = None if kind == "plain" else Optimizer(kind, self.image.parameter)

    def of(self, image: Image) -> Updater:
        """Return an updater of another image on the same memory, with the same optimizer."""
        other = copy.copy(self)
        other.image = image
        return other

    def unrepeatable(self) -> str:
        """Return why an update can't be recorded; "" where it always computes the same."""
        if self._recipe.mean_grad_norm is not None:
            return "this recipe scales a gradient by the mean of all before it"
        return ""

    def state(self) -> list[Tensor]:
        """Return the tensors that a step changes, each in place: the pictures' parameter, and the optimizer's."""
        held = () if self._optimizer is None else self._optimizer.state.values()
        return [self.image.parameter, *held]

    def rates(self, step_size: float) -> tuple[float, ...]:
        """Count a step of the optimizer, and return the numbers that it is made with."""
        return (step_size,) if self._optimizer is None else self._optimizer.rates(step_size)

    def penalized(self, evaluation: Evaluation, numbers: Mapping[str, float | Tensor]) -> Tensor:
        """Return the gradient less that of the penalties, whose weights are in units of its root mean square.

        A weight given as a tensor is not looked at, and at 0 changes nothing.
        """
        gradient = evaluation.gradient
        for name, penalty in (
            ("total_variation", regularizers.total_variation_gradient),
            ("l1", regularizers.l1_gradient),
        ):
            weight = numbers[name]
            if not regularizers.is_off(weight):
                gradient = gradient - weight * _rms(gradient) * penalty(evaluation.pictures)
        return gradient

    def update(
        self, pictures: Tensor, gradient: Tensor, windows: list[Window], step_size: float | Sequence[Tensor]
    ) -> None:
        """Make one step of the optimizer along the gradient.

        Args:
            pictures: ``[N, C, H, W]`` as the image rendered them, with their graph.
            gradient: gradient with respect to these pictures, ``[N, C, H, W]``.
            windows: rows and columns of each picture that a plain step on pixels changes.
            step_size: step size of the optimizer; or what :meth:`rates` has returned, as tensors ``[]``.
        """
        recipe, parameter = self._recipe, self.image.parameter
        if self.first_grad_rms is None:
            # Units differ by orders of magnitude, and Adam's epsilon is absolute.
            self.first_grad_rms = _rms(gradient).clamp(min=1e-30)
        if recipe.mean_grad_norm is not None:
            found = _rms(gradient)
            self.grad_rms_sum = found if self.grad_rms_sum is None else self.grad_rms_sum + found
            self.grad_count += 1
        if recipe.optimizer == "plain" and isinstance(self.image, Pixels):
            with torch.no_grad():
                for number, (rows, columns) in enumerate(windows):
                    part = gradient[number, :, rows, columns]
                    parameter[number, :, rows, columns] += self._plain_step(part, _plain(step_size), number)
        else:
            parameter.grad = None
            pictures.backward(-gradient / self._divisor(gradient))
            assert parameter.grad is not None
            if self._optimizer is None:
                with torch.no_grad():
                    parameter -= _plain(step_size) * parameter.grad
            elif isinstance(step_size, (int, float)):
                self._optimizer.step(parameter.grad, step_size)
            else:
                self._optimizer.step_by(parameter.grad, step_size)
        if isinstance(self.image, Pixels):
            with torch.no_grad():
                parameter.clamp_(0.0, 255.0)

    def post_process(
        self, gradient: Tensor, windows: list[Window], numbers: Mapping[str, float | Tensor], step: int
    ) -> None:
        """Apply the regularizers that change the pictures after a step, from decay to the cap on the contrast.

        Args:
            gradient: gradient of the objectives with respect to the pictures before the step.
            windows: rows and columns of each picture that are blurred.
            numbers: the recipe's NUMBERS as this step uses them; a tensor among them is not looked at.
            step: number of the step, from 0.
        """
        regularizers.decay(self.image, numbers["decay"], self._neutral)
        if step % self._recipe.blur_every == 0:
            regularizers.blur(self.image, numbers["blur"], windows)
        if isinstance(self.image, Fourier):
            self.image.bound_contrast(numbers["contrast_floor"], numbers["contrast_cap"])
        if isinstance(self.image, Pixels):
            neutral = self._neutral
            names = ("bilateral", "clip_norm_percentile", "clip_contribution_percentile")
            sigma, weak, idle = (float(numbers[name]) for name in names)
            regularizers.bilateral(self.image, sigma, self._recipe.bilateral_color)
            regularizers.clip_norm(self.image, weak, neutral)
            regularizers.clip_contribution(self.image, gradient, idle, neutral)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that a resumed run needs, by name."""
        found = {} if self.first_grad_rms is None else {"first_grad_rms": self.first_grad_rms}
        if self.grad_rms_sum is not None:
            found |= {"grad_rms_sum": self.grad_rms_sum, "grad_count": torch.tensor(float(self.grad_count))}
        if self._optimizer is not None:
            found |= {f"optimizer.{name}": value for name, value in self._optimizer.state.items()}
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self.restart()
        self.first_grad_rms = tensors.get("first_grad_rms")
        self.grad_rms_sum = tensors.get("grad_rms_sum")
        self.grad_count = int(tensors.get("grad_count", 0))
        state = {n.removeprefix("optimizer."): v for n, v in tensors.items() if n.startswith("optimizer.")}
        if self._optimizer is not None:
            self._optimizer.load(state)

    def _plain_step(self, gradient: Tensor, step_size: float | Tensor, number: int) -> Tensor:
        """Return a plain step in gray levels along the gradient ``[C, H, W]`` of one picture."""
        match self._recipe.grad_norm:
            case "mean":
                mean = gradient.abs().mean()
                # A picture whose gradient is zero does not change.
                return step_size * torch.where(mean > 0, gradient / mean, 0.0)
            case "rms":
                rms = gradient.square().mean().sqrt()
                return step_size * torch.where(rms > 0, gradient / rms, 0.0)
            case "first":
                assert self.first_grad_rms is not None
                return step_size * gradient / self.first_grad_rms[number]
        recipe, by_level = self._recipe, gradient / 255.0
        if recipe.mean_grad_norm is not None:
            by_level = by_level * self._published_scale(number)
        if recipe.grad_norm == "none":
            return recipe.stretch * step_size * by_level
        progress = step_size / by_level.square().sum().clamp(min=1e-30)
        return recipe.stretch * progress.clamp(max=recipe.max_rate) * by_level

    def _published_scale(self, number: int) -> Tensor:
        """Return the factor that gives a picture's gradients on average the norm of the recipe."""
        assert self.grad_rms_sum is not None
        assert self._recipe.mean_grad_norm is not None
        # Of a picture's gradient with root mean square r by gray levels, r * side * sqrt(channels) is the norm.
        mean = (self.grad_rms_sum[number].squeeze() / self.grad_count / 255.0).clamp(min=1e-30)
        return self._recipe.mean_grad_norm / (mean * _PUBLISHED_SIDE * self.image.parameter.shape[1] ** 0.5)

    def _divisor(self, gradient: Tensor) -> Tensor | float:
        """Return what the gradient is divided by before the optimizer gets it."""
        match self._recipe.grad_norm:
            case "first":
                assert self.first_grad_rms is not None
                return self.first_grad_rms
            case "rms":
                return _rms(gradient).clamp(min=1e-30)
            case "mean":
                return gradient.abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
            case _:
                return 1.0


def _plain(step_size: float | Sequence[Tensor]) -> float | Tensor:
    """Return the step size of a plain step."""
    return step_size if isinstance(step_size, (int, float)) else step_size[0]


def _rms(gradient: Tensor) -> Tensor:
    """Return the root mean square of each picture's gradient, ``[N, 1, 1, 1]``."""
    return gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()

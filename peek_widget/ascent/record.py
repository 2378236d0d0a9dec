"""What a run records besides its newest pictures: the best ones, and where the gradients were."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget._size import Size
from peek_widget.ascent.evaluate import Evaluation
from peek_widget.ascent.recipe import Recipe

__all__ = ["Record"]

# Full opacity from this quantile of the gradients on, as in Horama (Fel et al. 2023).
_OPAQUE = 0.8


class Record:
    """The best pictures of a run and the sum of its gradients, as far as the recipe asks for them.

    Attributes:
        importance: mean absolute gradient of each pixel, summed over steps, ``[N, H, W]``; None where not asked for.
        best_values: highest activation of each picture so far, ``[N]``; None where not asked for.
        best_pictures: the pictures that had them, ``[N, C, H, W]``.
    """

    def __init__(self) -> None:
        self.importance: Tensor | None = None
        self.best_values: Tensor | None = None
        self.best_pictures: Tensor | None = None

    def add(self, evaluation: Evaluation, recipe: Recipe) -> None:
        """Record the best pictures and the gradients of an evaluation, if the recipe needs them."""
        if recipe.alpha:
            add = evaluation.gradient.abs().mean(1)
            self.importance = add if self.importance is None else self.importance + add
        if recipe.return_best:
            pictures, activations = evaluation.pictures, evaluation.activations
            if self.best_values is None or self.best_pictures is None:
                self.best_values, self.best_pictures = activations, pictures
            better = activations > self.best_values
            self.best_values = torch.where(better, activations, self.best_values)
            self.best_pictures = torch.where(better.view(-1, 1, 1, 1), pictures, self.best_pictures)

    def forget_best(self) -> None:
        """Forget the best pictures so far."""
        self.best_values = self.best_pictures = None

    def resize(self, size: Size) -> None:
        """Resize the summed gradients, and forget the best pictures, which have another size."""
        self.forget_best()
        if self.importance is not None:
            self.importance = F.interpolate(self.importance[:, None], tuple(size), mode="bilinear")[:, 0]

    def alpha(self) -> Tensor | None:
        """Return the summed gradients as opacity, ``[N, 1, H, W]`` in [0, 1], on the CPU."""
        if self.importance is None:
            return None
        flat = self.importance.flatten(1)
        full = flat.kthvalue(max(1, round(_OPAQUE * flat.shape[1])), dim=1).values.clamp(min=1e-30)
        return (self.importance / full.view(-1, 1, 1)).clamp(0.0, 1.0)[:, None].float().cpu()

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that a resumed run needs, by name."""
        found = {
            "importance": self.importance,
            "best_values": self.best_values,
            "best_pictures": self.best_pictures,
        }
        return {name: value for name, value in found.items() if value is not None}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self.importance = tensors.get("importance")
        if "best_values" in tensors:
            self.best_values, self.best_pictures = tensors["best_values"], tensors["best_pictures"]

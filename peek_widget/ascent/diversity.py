"""What makes the pictures of a batch differ from each other."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peek_widget.ascent.base import Activations, Objective, layer_words
from peek_widget.network import Network

__all__ = ["Diversity", "gram"]


@dataclass(frozen=True)
class Diversity(Objective):
    """How unlike the other pictures of its batch a picture is, to a layer: drawn together, they come out different.

    The negative mean, over the others, of the cosine between the Gram matrix of the picture's activations and
    theirs: from -1 (all the same) to 0 (nothing in common, or alone). Of a picture seen in several views, each
    view is compared with the mean of the others' views. After Olah, Mordvintsev & Schubert 2017, "Feature
    Visualization", and Lucid's ``diversity``, which sums over the others instead, with the other sign.

    A picture climbs its own value only: the others are taken as they are at that step, so that one with this term
    leaves one without it alone.

    Its weight is in units of activation, and pictures begin to part at a tenth to a half of what the unit reaches
    without: on SqueezeNet's features.7 a channel that three pictures bring to 1956, at -0.94, gives 1906 at -0.89
    with the weight 200, and 1368 at -0.31 with 1000. Only pictures that the same layers are asked of, and that are
    laid before the network in the same way, are drawn together.

    Args:
        layer: name as in ``named_modules()``.

    Example:
        ``render(model, [Channel("features.7", 10) + 1000 * Diversity("features.7")] * 3, seed=[0, 1, 2])``
    """

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        """The layer's name, alone."""
        return (self.layer,)

    @property
    def depends_on_batch(self) -> bool:
        """Always."""
        return True

    def bind(self, network: Network) -> Objective:
        """The same, which computes the others' matrices once for all pictures of a step."""
        return _Bound(self.layer)

    def __call__(self, activations: Activations) -> Tensor:
        """Zeros ``[M]``: a picture alone has no others."""
        values = activations[self.layer]
        return self.in_batch(activations, values.shape[0], 0)

    def in_batch(self, activations: Activations, count: int, index: int) -> Tensor:
        """The value of one picture among others, ``[count]``."""
        values = activations[self.layer]
        own = values[index * count : (index + 1) * count]
        others = values.shape[0] // count - 1
        if others == 0:
            return own.flatten(1).sum(1) * 0.0  # of the graph, so that a gradient (of zeros) goes through
        matrices = self._matrices(values, count)
        # The mean of the cosines is the dot product with the mean of the others' matrices of unit length.
        rest = (matrices.sum(0) - matrices[index]) / others
        return -(_unit(gram(own)) * rest).sum(dim=(1, 2))

    def _matrices(self, values: Tensor, count: int) -> Tensor:
        """Every picture's Gram matrix, the mean of its views', at unit length, ``[G, C, C]``; no gradient."""
        with torch.no_grad():
            return _unit(gram(values).unflatten(0, (-1, count)).mean(1))

    def words(self) -> str:
        """For example ``unlikeness to the others in features.12``."""
        return f"unlikeness to the others in {layer_words(self.layer)}"

    def least(self) -> str:
        """Describe the negative objective, as part of a sentence."""
        return f"likeness to the others in {layer_words(self.layer)}"

    def to_dict(self) -> dict[str, Any]:
        """Describe the objective for JSON."""
        return {"kind": "diversity", "layer": self.layer}


class _Bound(Diversity):
    def _matrices(self, values: Tensor, count: int) -> Tensor:
        seen, matrices = vars(self).get("_last", (None, None))
        if seen is None or seen() is not values:
            matrices = super()._matrices(values, count)
            # Not the activations themselves, which would hold a whole step's graph.
            vars(self)["_last"] = (weakref.ref(values), matrices)
        return matrices


def gram(values: Tensor) -> Tensor:
    """Gram matrices ``[M, C, C]`` of activations ``[M, C, H, W]`` or ``[M, C]``: the mean over places of the
    products of any two units.
    """
    rows = values.flatten(2) if values.ndim > 2 else values[:, :, None]
    return rows @ rows.transpose(1, 2) / rows.shape[2]


def _unit(matrices: Tensor) -> Tensor:
    return matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp(min=1e-12)

"""Objective: the diversity of the pictures of a batch."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peek_widget.ascent.objective_base import Activations, Objective, describe_layer
from peek_widget.network import Network

__all__ = ["Diversity", "gram"]


@dataclass(frozen=True)
class Diversity(Objective):
    """Dissimilarity of a picture to the others of its batch, in a layer: a term that makes them come out different.

    It is the negative mean, over the other pictures, of the cosine between their Gram matrix and the picture's: from
    -1 (all equal) to 0 (nothing in common, or a batch of one). With several views, each view is compared with the mean
    over the other pictures' views. After Olah, Mordvintsev & Schubert 2017, "Feature Visualization", and Lucid's
    ``diversity``, which has the opposite sign and sums over the other pictures.

    Each picture ascends its own value, with the others held constant, so that a picture with this term does not
    influence one without it.

    The weight is in units of activation; pictures begin to differ at a tenth to a half of the activation that the unit
    reaches without the term: on SqueezeNet's features.7 three pictures of a channel reach 1956 with a diversity of
    -0.94; with the weight 200 they reach 1906 with -0.89, and with 1000 they reach 1368 with -0.31. Pictures are
    compared only if their objectives read the same layers and are shown to the network in the same way.

    Args:
        layer: name as in ``named_modules()``.

    Example:
        ``render(model, [Channel("features.7", 10) + 1000 * Diversity("features.7")] * 3, seed=[0, 1, 2])``
    """

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        """Name of the layer, as the only one."""
        return (self.layer,)

    @property
    def depends_on_batch(self) -> bool:
        """Whether the value depends on the batch: it always does."""
        return True

    def bind(self, network: Network) -> Objective:
        """Return the objective that computes the Gram matrices once for all pictures of a step."""
        return _Bound(self.layer)

    def __call__(self, activations: Activations) -> Tensor:
        """Return zeros ``[M]``: a single picture has no others to differ from."""
        values = activations[self.layer]
        return self.in_batch(activations, values.shape[0], 0)

    def in_batch(self, activations: Activations, count: int, index: int) -> Tensor:
        """Return the value for each view of one picture in a batch, ``[count]``."""
        values = activations[self.layer]
        own = values[index * count : (index + 1) * count]
        others = values.shape[0] // count - 1
        if others == 0:
            return own.flatten(1).sum(1) * 0.0  # part of the graph, so that there is a gradient (zeros)
        matrices = self._matrices(values, count)
        # The mean of the cosines is the dot product with the mean of the others' normalized matrices.
        others_mean = (matrices.sum(0) - matrices[index]) / others
        return -(_normalize(gram(own)) * others_mean).sum(dim=(1, 2))

    def _matrices(self, values: Tensor, count: int) -> Tensor:
        """Return each picture's Gram matrix (mean over its views), normalized, without gradient: ``[G, C, C]``."""
        with torch.no_grad():
            return _normalize(gram(values).unflatten(0, (-1, count)).mean(1))

    def describe(self) -> str:
        """Describe the term, e.g. ``dissimilarity to the others in features.12``."""
        return f"dissimilarity to the others in {describe_layer(self.layer)}"

    def describe_negative(self) -> str:
        """Describe the negative objective as part of a sentence."""
        return f"similarity to the others in {describe_layer(self.layer)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the objective as a dict for JSON."""
        return {"kind": "diversity", "layer": self.layer}


class _Bound(Diversity):
    """Diversity that remembers the matrices of the step's activations."""

    def _matrices(self, values: Tensor, count: int) -> Tensor:
        seen, matrices = vars(self).get("_last", (None, None))
        if seen is None or seen() is not values:
            matrices = super()._matrices(values, count)
            # A weak reference: the activations themselves would keep the graph of a whole step alive.
            vars(self)["_last"] = (weakref.ref(values), matrices)
        return matrices


def gram(values: Tensor) -> Tensor:
    """Compute the Gram matrices ``[M, C, C]`` of activations ``[M, C, H, W]`` or ``[M, C]``.

    They contain the product of each two units, averaged over positions.
    """
    rows = values.flatten(2) if values.ndim > 2 else values[:, :, None]
    return rows @ rows.transpose(1, 2) / rows.shape[2]


def _normalize(matrices: Tensor) -> Tensor:
    return matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp(min=1e-12)

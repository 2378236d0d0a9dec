"""The dataset examples that a sheet shows beside its pictures: the evidence of its layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from peek_widget.errors import PeekError
from peek_widget.evidence import Evidence, LayerEvidence

__all__ = ["best_activations", "layer_evidence"]


def layer_evidence(evidence: LayerEvidence | Evidence | None, layer: str) -> LayerEvidence | None:
    """Return the evidence of one layer; None where there is none.

    Args:
        evidence: evidence of the layer, or of several layers, as ``top_crops`` returns it.
        layer: name of the layer.

    Raises:
        PeekError: if it is something else, or another layer's.
    """
    if isinstance(evidence, Mapping):
        evidence = evidence[layer]
    if evidence is None:
        return None
    if not isinstance(evidence, LayerEvidence):
        kind = type(evidence).__name__
        raise PeekError(f"evidence is a {kind}: give what top_crops(model, {layer!r}, images) gives.")
    if evidence.name != layer:
        raise PeekError(
            f"The evidence is of layer {evidence.name!r}, and the sheet is of {layer!r}: give evidence of it."
        )
    return evidence


def best_activations(evidence: LayerEvidence | None, units: Iterable[int]) -> dict[int, float]:
    """Return the highest activation that a dataset image gave, by unit; empty without evidence."""
    if evidence is None:
        return {}
    return {unit: evidence[unit].top[0].activation for unit in units if evidence[unit].top}

"""How unusual a unit's activation on a photo is, and which units of a layer are the most unusual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from peek_widget.evidence import LayerEvidence
from peek_widget.evidence.layer_index import by_position

__all__ = ["LISTED", "Basis", "Firing", "Unusual", "at_place", "on_photo"]

LISTED = 9
"""Number of units of a layer that are listed."""

Basis = Literal["evidence", "layer"]


@dataclass(frozen=True)
class Firing:
    """How strongly one unit fires on a photo, or at one place of it.

    Attributes:
        layer: name of the layer.
        unit: number of the unit.
        activation: its activation there before the ReLU; on a whole photo the highest one.
        percentile: how unusual that is, from 0 to 100, see ``basis``.
        basis: what it is a percentile of. ``"evidence"``: of the real images of a pass, by their highest activation; at
            a place, of all their places. ``"layer"``, where there is no pass: of the layer's units, by how far their
            highest activation stands out from the rest of their own map (in its standard deviations; in a layer without
            a map, from the other units); at a place, of the unit's own places on this photo.
        position: (row, column) on the layer's map.
        place: (y, x), the center of its receptive field in pixels of the photo; it may lie beyond the border.
        label: what is known about the unit: the name of its class, else the label of its best real image; or "".
        tags: tags of the unit.
    """

    layer: str
    unit: int
    activation: float
    percentile: float
    basis: Basis
    position: tuple[int, int]
    place: tuple[float, float]
    label: str = ""
    tags: tuple[str, ...] = ()

    def __str__(self) -> str:
        of = "real images" if self.basis == "evidence" else "the layer's units"
        where = self.layer or "the output"
        return f"unit {self.unit} of {where}: {self.activation:.3g}, more unusual than {self.percentile:.1f} % of {of}"


@dataclass(frozen=True)
class Unusual:
    """The units of a layer in the order of how unusual they are.

    Attributes:
        order: numbers of the units, the most unusual first.
        activation: activation of each unit, ``[units]``.
        position: number of the position (row * width + column) of each, ``[units]``.
        percentile: percentile of each, ``[units]``, 0 to 100.
        basis: what it is a percentile of.
    """

    order: Tensor
    activation: Tensor
    position: Tensor
    percentile: Tensor
    basis: Basis


def on_photo(values: Tensor, evidence: LayerEvidence | None) -> Unusual:
    """Compare the highest activation of each unit with what is usual.

    A maximum is compared with maxima: nearly every image has some place where a unit exceeds 99 % of all places.

    Args:
        values: activations of the layer, ``[1, C, H, W]`` or ``[1, C]``, before the ReLU.
        evidence: what a pass has found about the layer; None, or evidence without an image, for the layer's own
            statistics.
    """
    flat = by_position(values)[0]  # [P, C]
    high, position = flat.max(dim=0)
    if evidence is not None and evidence.images:
        share, basis = evidence.shares_below(high, "images"), "evidence"
        found = evidence.statistics()
        excess = (high - found.mean) / found.deviation.clamp(min=1e-12)
    else:
        excess, basis = _standing_out(flat, high), "layer"
        share = _ranks(excess)
    return Unusual(_order(share, excess, high), high, position, 100.0 * share.double(), basis)


def at_place(values: Tensor, evidence: LayerEvidence | None, position: int) -> Unusual:
    """Compare the activation of each unit at one position; see :func:`on_photo`."""
    flat = by_position(values)[0]
    here = flat[position]
    if evidence is not None and evidence.images:
        share, basis = evidence.shares_below(here, "places"), "evidence"
        found = evidence.statistics()
        excess = (here - found.mean) / found.deviation.clamp(min=1e-12)
    elif len(flat) == 1:
        excess, basis = _standing_out(flat, here), "layer"
        share = _ranks(excess)
    else:
        excess, basis = _standing_out(flat, here), "layer"
        share = (flat < here).double().mean(dim=0)
    at = torch.full_like(here, position, dtype=torch.int64)
    return Unusual(_order(share, excess, here), here, at, 100.0 * share.double(), basis)


def _standing_out(flat: Tensor, here: Tensor) -> Tensor:
    """Return by how many standard deviations of its own map each activation exceeds the map's mean, ``[C]``."""
    if len(flat) == 1:
        return (here - here.mean()) / here.std(correction=0).clamp(min=1e-12)
    deviation = flat.std(dim=0, correction=0)
    # A constant map stands out nowhere, whatever rounding does to it.
    same = deviation <= 1e-5 * flat.abs().amax(dim=0)
    return torch.where(same, 0.0, (here - flat.mean(dim=0)) / deviation.clamp(min=1e-12))


def _ranks(values: Tensor) -> Tensor:
    """Return for each number the share of the others that are lower, ``[n]``."""
    ordered = values.sort().values
    return torch.searchsorted(ordered, values, right=False).double() / max(1, len(values) - 1)


def _order(share: Tensor, excess: Tensor, activation: Tensor) -> Tensor:
    """Return the units, the most unusual first: by their share, equal ones by their excess.

    Those that are not above 0 do not fire, and come after all that do.
    """
    order = excess.double().nan_to_num(-torch.inf).argsort(descending=True, stable=True)
    order = order[share.double().nan_to_num(-1.0)[order].argsort(descending=True, stable=True)]
    fires = (activation > 0)[order]
    return torch.cat([order[fires], order[~fires]])

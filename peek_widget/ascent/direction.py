"""Objective: a direction in a layer's activation space."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from peek_widget.ascent.objective_base import Activations, Objective, describe_layer
from peek_widget.ascent.position import as_position, check_position, describe_position, middle, on_map
from peek_widget.errors import PeekError, UnitError
from peek_widget.network import Network

__all__ = ["HIGHEST_POWER", "Direction"]

HIGHEST_POWER = 100.0
# Lucid's lower bound of the cosine, which keeps a gradient where the initial activations point elsewhere.
_LEAST_COSINE = 0.1


@dataclass(frozen=True, repr=False)
class Direction(Objective):
    """A direction in activation space: the dot product of a layer's activations with a unit vector.

    With a power it is ``dot * max(0.1, cosine) ** power``, which prefers activations in this direction to large ones
    in others: Lucid's ``direction``, and the activation atlas (Carter et al. 2019, "Activation Atlas", power 2 in its
    first version). The vector is normalized; Lucid does not normalize it where the power is 0.

    Args:
        layer: name as in ``named_modules()``, or a module of the model; an ascent replaces a module by its name.
        vector: one number for each unit of the layer: a sequence, an array or a tensor. Kept as floats.
        power: exponent of the cosine, from 0 to 100.
        at: position (row, column) on the feature map, or ``"center"``; left out, the mean over all positions.

    Raises:
        UnitError: if the vector is not a sequence of finite numbers, or is zero.
        PeekError: if the power is out of range.
    """

    layer: str | nn.Module
    vector: tuple[float, ...]
    power: float = 0.0
    at: tuple[int, int] | Literal["center"] | None = None

    def __post_init__(self) -> None:
        # frozen; this is its construction
        object.__setattr__(self, "vector", _numbers(self.vector))
        object.__setattr__(self, "power", _power(self.power))
        object.__setattr__(self, "at", as_position(self.at))

    @property
    def layers(self) -> tuple[str, ...]:
        """Name of the layer, as the only one."""
        return (self.layer,)

    @property
    def centered_on(self) -> str | None:
        """Name of the layer, where the position is the center; else None."""
        return self.layer if self.at == "center" else None

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if there is no such layer or position, or the vector has another length."""
        layer = network.layer(self.layer)
        if len(self.vector) != layer.channels:
            raise UnitError(
                f"A direction in {describe_layer(self.layer)} needs one number for each of its {layer.channels} units; "
                f"{len(self.vector)} were given."
            )
        if self.at not in (None, "center"):
            check_position(self.at, self.layer, layer)

    def bind(self, network: Network) -> Objective:
        """Return the objective with its vector on the network's device."""
        with torch.inference_mode(False):  # autograd can't use a tensor made in inference mode
            return _Bound(self, self._normalized().to(network.model_copy.device))

    def __call__(self, activations: Activations) -> Tensor:
        """Return the dot product at the position, or its mean over all positions, ``[M]``."""
        return self._along(activations, self._normalized().to(activations[self.layer].device))

    def _normalized(self) -> Tensor:
        vector = torch.tensor(self.vector, dtype=torch.float64)
        # Divided by its largest number first, whose square might overflow or underflow.
        vector = vector / vector.abs().max()
        return (vector / vector.norm()).float()

    def _along(self, activations: Activations, unit: Tensor) -> Tensor:
        """Return the value for a unit vector on the activations' device, ``[M]``."""
        values = activations[self.layer]
        if values.ndim == 2:
            values = values[:, :, None, None]
        if self.at is not None:
            size = values.shape[2:]
            row, column = middle(*size) if self.at == "center" else on_map(self.at, self.layer, *size)
            values = values[:, :, row : row + 1, column : column + 1]
        dot = torch.einsum("mchw,c->mhw", values, unit.to(values.dtype))
        if self.power:
            length = torch.linalg.vector_norm(values, dim=1)
            cosine = dot / length.clamp(min=1e-12)
            dot = dot * cosine.clamp(min=_LEAST_COSINE) ** self.power
        return dot.mean(dim=(1, 2))

    def describe(self) -> str:
        """Describe the direction, e.g. ``the direction (0.1, -2, 0.5, ...) of features.12 at the center``."""
        numbers = ", ".join(f"{v:.3g}" for v in self.vector[:3]) + (", ..." if len(self.vector) > 3 else "")
        position = "" if self.at is None else " " + describe_position(None if self.at == "center" else self.at)
        return f"the direction ({numbers}) of {describe_layer(self.layer)}{position}"

    def to_dict(self) -> dict[str, Any]:
        """Return the objective as a dict for JSON."""
        at = list(self.at) if isinstance(self.at, tuple) else self.at
        return {"kind": "direction", "layer": self.layer, "vector": list(self.vector), "power": self.power, "at": at}

    def __repr__(self) -> str:
        return f"Direction({self.layer!r}, <{len(self.vector)} numbers>, power={self.power:g}, at={self.at!r})"


class _Bound(Objective):
    """A direction with its unit vector on the network's device."""

    def __init__(self, direction: Direction, unit: Tensor) -> None:
        super().__init__(
            lambda activations: direction._along(activations, unit), direction.layers, direction.describe()
        )
        self._direction = direction

    @property
    def centered_on(self) -> str | None:
        return self._direction.centered_on


def _numbers(vector: Any) -> tuple[float, ...]:
    if isinstance(vector, (str, bytes, dict)) or not isinstance(vector, Iterable):
        raise UnitError(f"A direction is a vector with one number for each unit; a {type(vector).__name__} was given.")
    if isinstance(vector, Tensor):
        vector = vector.detach().cpu()
    if getattr(vector, "ndim", 1) != 1:
        raise UnitError(
            f"A direction is a vector with one number for each unit; an array of shape {tuple(vector.shape)} was given."
        )
    row = vector.tolist() if hasattr(vector, "tolist") else list(vector)
    if not all(isinstance(v, numbers.Real) for v in row):
        raise UnitError(
            "A direction is a vector of real numbers, one for each unit; something else is among those given."
        )
    try:
        row = [float(v) for v in row]
    except OverflowError:
        row = [math.inf]
    if not all(map(math.isfinite, row)):
        raise UnitError("A direction needs finite numbers: NaN or infinity was given.")
    if not any(row):
        raise UnitError(
            f"{len(row)} zeros are not a direction: give a vector with a number other than 0 in it."
            if row
            else "An empty vector is not a direction: give one number for each unit of the layer."
        )
    return tuple(row)


def _power(power: Any) -> float:
    if isinstance(power, bool) or not isinstance(power, numbers.Real) or not 0.0 <= power <= HIGHEST_POWER:
        raise PeekError(f"power={power!r}: give the power of the cosine as a number from 0 to {HIGHEST_POWER:g}.")
    return float(power)

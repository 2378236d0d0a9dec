"""What an ascent makes larger: a channel, a neuron, a class, or anything one can compute from activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from peek_widget.errors import PeekError, UnitError
from peek_widget.network import OUTPUT, Network

__all__ = ["Channel", "Logit", "Neuron", "Objective"]

Activations = Mapping[str, Tensor]


class Objective:
    """Any function of activations, and the layers that it needs. Objectives add, subtract and take a number.

    Args:
        function: from a mapping of layer names to activations (``[N, C, H, W]``, or ``[N, C]`` for a vector)
            to one value for each image, ``[N]``.
        layers: names of the layers whose activations it reads; ``""`` is the model's output.

    Example:
        ``2 * Channel("features.12", 1) - Channel("features.12", 2)``
    """

    def __init__(self, function: Callable[[Activations], Tensor], layers: Sequence[str]) -> None:
        if not callable(function):
            raise PeekError(f"An Objective is made from a function of activations; got a {type(function).__name__}.")
        if isinstance(layers, str) or not layers:
            raise PeekError(
                f'layers={layers!r}: give the names of the layers it reads as a list, e.g. ["features.12"].'
            )
        self._function = function
        self._layers = tuple(layers)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose activations it reads."""
        return self._layers

    @property
    def centred(self) -> str | None:
        """The layer of a single place at the middle of the map; None for anything that sees more of it."""
        return None

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if the network has not what this needs."""
        for name in self.layers:
            network.layer(name)

    def __call__(self, activations: Activations) -> Tensor:
        """One value for each image, ``[N]``."""
        return self._function(activations)

    def __add__(self, other: Any) -> Objective:
        if isinstance(other, int) and other == 0:
            return self  # sum() begins with it
        return _Sum.of((1.0, self), (1.0, other)) if isinstance(other, Objective) else NotImplemented

    def __sub__(self, other: Any) -> Objective:
        return _Sum.of((1.0, self), (-1.0, other)) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, number: Any) -> Objective:
        return _Sum.of((float(number), self)) if isinstance(number, (int, float)) else NotImplemented

    __radd__ = __add__
    __rmul__ = __mul__

    def __truediv__(self, number: Any) -> Objective:
        return self * (1.0 / number) if isinstance(number, (int, float)) and number else NotImplemented

    def __neg__(self) -> Objective:
        return _Sum.of((-1.0, self))


class _Sum(Objective):
    """Objectives with weights; sums of sums are flattened, so that weights never compound."""

    def __init__(self, terms: tuple[tuple[float, Objective], ...]) -> None:
        self.terms = terms

    @classmethod
    def of(cls, *terms: tuple[float, Objective]) -> _Sum:
        flat: list[tuple[float, Objective]] = []
        for weight, objective in terms:
            inner = objective.terms if isinstance(objective, _Sum) else ((1.0, objective),)
            flat.extend((weight * w, o) for w, o in inner)
        return cls(tuple(flat))

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, o in self.terms for name in o.layers))

    @property
    def centred(self) -> str | None:
        centres = {o.centred for _, o in self.terms}
        return centres.pop() if len(centres) == 1 else None

    def check(self, network: Network) -> None:
        for _, objective in self.terms:
            objective.check(network)

    def __call__(self, activations: Activations) -> Tensor:
        first, *rest = (weight * objective(activations) for weight, objective in self.terms)
        return sum(rest, start=first)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sum) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(self.terms)

    def __repr__(self) -> str:
        return " + ".join(f"{w:g} * {o!r}" for w, o in self.terms)


@dataclass(frozen=True)
class Channel(Objective):
    """A unit at every place of its map: the mean of the channel. Draws a texture that fills the picture.

    Args:
        layer: name as in ``named_modules()``.
        unit: number of the channel, from 0.
    """

    layer: str
    unit: int

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if there is no such unit."""
        network.check_unit(self.layer, self.unit)

    def __call__(self, activations: Activations) -> Tensor:
        """Mean activation of the channel over its map, ``[N]``."""
        values = activations[self.layer][:, self.unit]
        return values.flatten(1).mean(1) if values.ndim > 1 else values


@dataclass(frozen=True)
class Neuron(Objective):
    """A unit at one place of its map: draws the one thing, not a texture of it.

    Args:
        layer: name as in ``named_modules()``.
        unit: number of the channel, from 0.
        at: the place (row, column) in the map; left out, its middle, ``((H - 1) // 2, (W - 1) // 2)``.
    """

    layer: str
    unit: int
    at: tuple[int, int] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    @property
    def centred(self) -> str | None:
        """The layer, where the place is the map's middle."""
        return self.layer if self.at is None else None

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if there is no such unit or place."""
        network.check_unit(self.layer, self.unit)
        if self.at is None:
            return
        if not (isinstance(self.at, (tuple, list)) and len(self.at) == 2 and all(type(v) is int for v in self.at)):
            raise UnitError(f"at={self.at!r}: give a place of the map as (row, column), two whole numbers.")
        self._on_map(*network.layer(self.layer).size)

    def _on_map(self, height: int, width: int) -> None:
        if not (0 <= self.at[0] < height and 0 <= self.at[1] < width):
            raise UnitError(
                f"Place {self.at} is not on the map of {self.layer!r}, which has {height} rows and {width} columns for "
                f"pictures of this size: give at=(row, column) from (0, 0) to ({height - 1}, {width - 1})."
            )

    def __call__(self, activations: Activations) -> Tensor:
        """The activation at that place, ``[N]``."""
        values = activations[self.layer][:, self.unit]
        if values.ndim == 1:
            return values
        if self.at is not None:
            self._on_map(*values.shape[1:])
        row, column = self.at or ((values.shape[1] - 1) // 2, (values.shape[2] - 1) // 2)
        return values[:, row, column]


@dataclass(frozen=True)
class Logit(Objective):
    """A class: the model's output before any softmax, and before a last ReLU (SqueezeNet has one).

    Args:
        unit: number of the class, from 0.
    """

    unit: int

    @property
    def layers(self) -> tuple[str, ...]:
        """The model's output."""
        return (OUTPUT,)

    def check(self, network: Network) -> None:
        """Raise UnitError if there is no such class."""
        network.check_unit(OUTPUT, self.unit)

    def __call__(self, activations: Activations) -> Tensor:
        """The class's score, ``[N]``; of a map of scores, their mean."""
        values = activations[OUTPUT][:, self.unit]
        return values.flatten(1).mean(1) if values.ndim > 1 else values

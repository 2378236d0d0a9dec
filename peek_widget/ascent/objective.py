"""The objectives of single units: a channel, a neuron, a class.

Further objectives are in :mod:`~peek_widget.ascent.objective_base` (functions and sums),
:mod:`~peek_widget.ascent.direction`, :mod:`~peek_widget.ascent.diversity` and :mod:`~peek_widget.ascent.style`;
:mod:`~peek_widget.ascent.serialization` reads objectives from JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget.ascent.objective_base import Activations, Objective, Sum, Term, describe_layer
from peek_widget.ascent.position import as_position, check_position, describe_position, is_whole, middle, on_map
from peek_widget.errors import PeekError
from peek_widget.network import OUTPUT, Network

__all__ = ["Activations", "Channel", "Logit", "Neuron", "Objective", "Sum", "Term", "interpolate", "unit_objective"]

# On 18 classes of SqueezeNet one alone helped a third as much, and three as much as two.
_RIVALS = 2


@dataclass(frozen=True)
class Channel(Objective):
    """A unit everywhere: the mean over its feature map. Draws a texture that fills the picture.

    Args:
        layer: name as in ``named_modules()``, or a module of the model; an ascent replaces a module by its name.
        unit: number of the channel, from 0.
    """

    layer: str | nn.Module
    unit: int

    @property
    def layers(self) -> tuple[str, ...]:
        """Name of the layer, as the only one."""
        return (self.layer,)

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if there is no such unit."""
        network.check_unit(self.layer, self.unit)

    def __call__(self, activations: Activations) -> Tensor:
        """Return the mean activation over the feature map, ``[M]``."""
        values = activations[self.layer][:, self.unit]
        return values.flatten(1).mean(1) if values.ndim > 1 else values

    def describe(self) -> str:
        """Describe the objective, e.g. ``unit 10 of features.12``."""
        return f"unit {self.unit} of {describe_layer(self.layer)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the objective as a dict for JSON."""
        return {"kind": "channel", "layer": self.layer, "unit": int(self.unit)}


@dataclass(frozen=True)
class Neuron(Objective):
    """A unit at one position of its feature map. Draws one thing, not a texture.

    Args:
        layer: name as in ``named_modules()``, or a module of the model; an ascent replaces a module by its name.
        unit: number of the channel, from 0.
        at: position (row, column) on the feature map; left out, the center, ``((H - 1) // 2, (W - 1) // 2)``.
    """

    layer: str | nn.Module
    unit: int
    at: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", as_position(self.at))  # frozen; this is its construction

    @property
    def layers(self) -> tuple[str, ...]:
        """Name of the layer, as the only one."""
        return (self.layer,)

    @property
    def centered_on(self) -> str | None:
        """Name of the layer, where the position is the center; else None."""
        return self.layer if self.at is None else None

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if there is no such unit or position."""
        network.check_unit(self.layer, self.unit)
        if self.at is not None:
            check_position(self.at, self.layer, network.layer(self.layer))

    def __call__(self, activations: Activations) -> Tensor:
        """Return the activation at that position, ``[M]``."""
        values = activations[self.layer][:, self.unit]
        if values.ndim == 1:
            return values
        row, column = middle(*values.shape[1:]) if self.at is None else on_map(self.at, self.layer, *values.shape[1:])
        return values[:, row, column]

    def describe(self) -> str:
        """Describe the objective, e.g. ``unit 10 of features.12 at row 3, column 4``."""
        return f"unit {self.unit} of {describe_layer(self.layer)} {describe_position(self.at)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the objective as a dict for JSON."""
        at = None if self.at is None else list(self.at)
        return {"kind": "neuron", "layer": self.layer, "unit": int(self.unit), "at": at}


@dataclass(frozen=True)
class Logit(Objective):
    """A class: the model's output before any softmax or sigmoid, and before a last ReLU (SqueezeNet has one).

    Args:
        unit: number of the class, from 0.
    """

    unit: int

    @property
    def layers(self) -> tuple[str, ...]:
        """Name of the model's output, as the only layer."""
        return (OUTPUT,)

    def check(self, network: Network) -> None:
        """Raise UnitError if there is no such class."""
        network.check_unit(OUTPUT, self.unit)

    def __call__(self, activations: Activations) -> Tensor:
        """Return the score of the class, ``[M]``; where the output is a feature map, its mean."""
        values = activations[OUTPUT][:, self.unit]
        return values.flatten(1).mean(1) if values.ndim > 1 else values

    def log_probability(self, activations: Activations) -> Tensor | None:
        """Return the log-probability of the class by a softmax over all, ``[M]``; None where the output is a map."""
        values = activations[OUTPUT]
        return values.log_softmax(1)[:, self.unit] if values.ndim == 2 else None

    def rivals(self, activations: Activations) -> Tensor | None:
        """Return the mean score of the two strongest other classes (of the other, if it is one), ``[M]``; else None."""
        values = activations[OUTPUT]
        if values.ndim != 2 or values.shape[1] < 2:
            return None
        others = torch.cat([values[:, : self.unit], values[:, self.unit + 1 :]], 1)
        return others.topk(min(_RIVALS, others.shape[1])).values.mean(1)

    def describe(self) -> str:
        """Describe the objective, e.g. ``class 207``."""
        return f"class {self.unit}"

    def to_dict(self) -> dict[str, Any]:
        """Return the objective as a dict for JSON."""
        return {"kind": "logit", "unit": int(self.unit)}


def interpolate(first: Objective, second: Objective, count: int = 5) -> list[Objective]:
    """Interpolate between two objectives: ``(1 - t) * first + t * second`` for ``count`` values of t from 0 to 1.

    Lucid's ``channel_interpolate`` (Olah, Mordvintsev & Schubert 2017, "Feature Visualization"), for objectives of
    any kind.

    Raises:
        PeekError: if one of the two is not an objective, or ``count`` is not from 2 to 1000.

    Example:
        ``render(model, interpolate(Channel("features.12", 1), Channel("features.12", 2)))`` draws five pictures.
    """
    for one in (first, second):
        if not isinstance(one, Objective):
            raise PeekError(f"{one!r} is not an objective: give two, e.g. Channel(layer, 1) and Channel(layer, 2).")
    if not is_whole(count) or not 2 <= int(count) <= 1000:
        raise PeekError(f"count={count!r}: give a whole number of pictures from 2 (the two ends) to 1000.")
    shares = [index / (count - 1) for index in range(count)]
    return [Sum.of((1.0 - share, first), (share, second)) for share in shares]


def unit_objective(
    network: Network, layer: str, unit: int, kind: str | None = None, at: tuple[int, int] | None = None
) -> Objective:
    """Return the objective that a unit is drawn for by default, in explorer, sheet, comparison, scores and game.

    Args:
        network: the network that has the unit.
        layer: the layer's name; ``""`` is the model's output.
        unit: the unit's number in the layer.
        kind: ``"neuron"`` (one position of the feature map), ``"channel"`` (the mean over the map) or ``"class"``
            (the model's own score); None for the default: a class where the output is a vector, else the neuron.
            A unit of an output without a map is its class whatever is asked for.
        at: the neuron's position (row, column) on the feature map; None for the center.
    """
    found = network.layer(layer)
    if kind == "class" or (found.name == OUTPUT and not found.spatial):
        return Logit(unit)
    if kind == "channel":
        return Channel(found.name, unit)
    # a vector has one position
    return Neuron(found.name, unit, at if found.spatial else None)

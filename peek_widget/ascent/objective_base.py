"""The base class of objectives, and their weighted sums."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from peek_widget.errors import PeekError
from peek_widget.network import OUTPUT, Network

if TYPE_CHECKING:
    from peek_widget.ascent.recipe import Recipe

__all__ = ["LONGEST_DESCRIPTION", "Activations", "Objective", "Sum", "Term", "describe_layer"]

Activations = Mapping[str, Tensor]
"""Activations by layer name, before the last ReLU: ``[M, C, H, W]`` for a feature map, ``[M, C]`` for a vector."""

Term = tuple[str, float, "Objective"]
"""Description, weight and objective of one term of a sum."""

LONGEST_DESCRIPTION = 10_000
"""Largest number of characters of a description in a file; a longer one is cut."""


class Objective:
    """A function of activations that an ascent maximizes.

    Objectives can be added, subtracted, and multiplied or divided by a number.

    Args:
        function: function from a mapping of layer names to activations (``[M, C, H, W]``, or ``[M, C]`` for a vector; M
            views of one picture) to one value for each view, ``[M]``.
        layers: names of the layers whose activations it reads; ``""`` is the model's output.
        description: what the function is, as part of a sentence; left out, its name and the layers.

    Raises:
        PeekError: if ``function`` is not callable, or ``layers`` not a list of names.

    Example:
        ``2 * Channel("features.12", 1) - Channel("features.12", 2)``
    """

    # With this a numpy number times an objective calls __rmul__, instead of making an array.
    __array_ufunc__ = None

    def __init__(self, function: Callable[[Activations], Tensor], layers: Sequence[str], description: str = "") -> None:
        if not callable(function):
            raise PeekError(
                f"Objective(function, layers) needs a function of activations; a {type(function).__name__} was given. "
                "For a unit use Channel(layer, unit), Neuron(layer, unit) or Logit(unit)."
            )
        if isinstance(layers, str) or not layers:
            raise PeekError(
                f'layers={layers!r}: give a list with the names of the layers that it reads, e.g. ["features.12"].'
            )
        self._function = function
        self._layers = tuple(layers)
        self._description = description

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose activations the objective reads."""
        return self._layers

    @property
    def centered_on(self) -> str | None:
        """Name of the layer of whose feature map the objective reads only the center position; else None."""
        return None

    @property
    def depends_on_batch(self) -> bool:
        """Whether a picture's value depends on the other pictures of its batch, see :meth:`in_batch`."""
        return False

    @property
    def needs_start(self) -> bool:
        """Whether it is about the picture that an ascent begins from, which then must be given (:meth:`with_start`)."""
        return False

    @property
    def default_recipe(self) -> Recipe | None:
        """The recipe where none is given; None for the package's own default."""
        return None

    @property
    def measured(self) -> Objective:
        """The objective of which a still activation is measured: itself, but for one that only adds a penalty."""
        return self

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if the network does not have what the objective reads."""
        for name in self.layers:
            network.layer(name)

    def resolve(self, network: Network) -> Objective:
        """Return the objective with the name of its layer in place of a module of the network's model.

        Raises:
            LayerError: if the module is not part of the model, or its forward never runs it.
        """
        layer = getattr(self, "layer", None)
        if not isinstance(layer, nn.Module):
            return self
        named: Any = self  # a dataclass, since it has a field for its layer
        return replace(named, layer=network.layer(layer).name)

    def bind(self, network: Network) -> Objective:
        """Return the objective with everything that can be computed once for an ascent on a network.

        The returned objective is for that ascent only: it need not be described, compared or bound again.
        """
        return self

    def with_start(self, network: Network, picture: Tensor) -> Objective:
        """Return the objective bound to a network, and to the picture ``[C, S, S]`` that an ascent begins from.

        Its values are then computed from activations that also hold those of the same views of that picture, under the
        names that :func:`~peek_widget.ascent.accentuate.of_start` gives.
        """
        return self.bind(network)

    def __call__(self, activations: Activations) -> Tensor:
        """Return one value for each view of one picture, ``[M]``."""
        return self._function(activations)

    def in_batch(self, activations: Activations, count: int, index: int) -> Tensor:
        """Return one value for each view of one picture in a batch, ``[count]``.

        Args:
            activations: activations of the whole batch by layer name, ``[N * count, ...]``, with the views of one
                picture next to each other.
            count: number of views of each picture.
            index: number of the picture, from 0 to N - 1.
        """
        own = slice(index * count, (index + 1) * count)
        return self({name: values[own] for name, values in activations.items()})

    def log_probability(self, activations: Activations) -> Tensor | None:
        """Return the log-probability of what is drawn among its alternatives, ``[M]``; None where it has none.

        Args:
            activations: as for a call.
        """
        return None

    def rivals(self, activations: Activations) -> Tensor | None:
        """Return the mean score of the strongest alternatives to what is drawn, ``[M]``; None where it has none.

        Args:
            activations: as for a call.
        """
        return None

    def terms(self) -> tuple[Term, ...]:
        """Return ``(description, weight, objective)`` for each term of a sum, or for the objective itself."""
        return ((self.describe(), 1.0, self),)

    def describe(self) -> str:
        """Describe the objective as part of a sentence, e.g. ``unit 10 of features.12``."""
        return self._description or f"{_name(self._function)} of {' and '.join(describe_layer(n) for n in self.layers)}"

    def describe_negative(self) -> str:
        """Describe the negative objective as part of a sentence."""
        return f"the negative of {self.describe()}"

    def to_dict(self) -> dict[str, Any]:
        """Return the objective as a dict for JSON.

        :func:`~peek_widget.ascent.serialization.objective_from_dict` reads it back. Of a function only the description
        is saved, and None is read back.
        """
        return {"kind": "custom", "words": self.describe()[:LONGEST_DESCRIPTION]}

    def __add__(self, other: Any) -> Objective:
        if type(other) is int and other == 0:
            return self  # sum() starts with 0
        return Sum.of((1.0, self), (1.0, other)) if isinstance(other, Objective) else NotImplemented

    def __sub__(self, other: Any) -> Objective:
        return Sum.of((1.0, self), (-1.0, other)) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, number: Any) -> Objective:
        return Sum.of((_weight(number), self)) if isinstance(number, numbers.Real) else NotImplemented

    __radd__ = __add__
    __rmul__ = __mul__

    def __truediv__(self, number: Any) -> Objective:
        if not isinstance(number, numbers.Real):
            return NotImplemented
        if _weight(number) == 0.0:
            raise PeekError("An objective can't be divided by 0: give another number.")
        # Each weight divided by itself, because a product with 1 / number would be rounded twice.
        return Sum(tuple((_weight(w / float(number)), o) for w, o in _parts(self)))

    def __neg__(self) -> Objective:
        return Sum.of((-1.0, self))

    def __repr__(self) -> str:
        return f"Objective({_name(self._function)}, layers={list(self.layers)})"


@dataclass(frozen=True, repr=False)
class Sum(Objective):
    """A weighted sum of objectives, as +, -, * and / make it; sums of sums are flattened.

    Args:
        parts: ``(weight, objective)`` for each term.
    """

    parts: tuple[tuple[float, Objective], ...]

    @classmethod
    def of(cls, *parts: tuple[float, Objective]) -> Sum:
        """Make the weighted sum of objectives, which may be sums themselves."""
        return cls(tuple((_weight(weight * w), o) for weight, one in parts for w, o in _parts(one)))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of all terms, each once."""
        return tuple(dict.fromkeys(name for _, o in self.parts for name in o.layers))

    @property
    def centered_on(self) -> str | None:
        """Name of the layer of whose feature map all terms read only the center position; else None."""
        centers = {o.centered_on for _, o in self.parts}
        return centers.pop() if len(centers) == 1 else None

    @property
    def depends_on_batch(self) -> bool:
        """Whether the value of any term depends on the batch."""
        return any(o.depends_on_batch for _, o in self.parts)

    @property
    def needs_start(self) -> bool:
        """Whether any term is about the picture that an ascent begins from."""
        return any(o.needs_start for _, o in self.parts)

    def with_start(self, network: Network, picture: Tensor) -> Objective:
        """Return the sum of the terms bound to a network and to a first picture."""
        return Sum(tuple((weight, o.with_start(network, picture)) for weight, o in self.parts))

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if the network does not have what a term reads."""
        for _, objective in self.parts:
            objective.check(network)

    def resolve(self, network: Network) -> Objective:
        """Return the sum of the resolved terms."""
        return Sum(tuple((weight, one.resolve(network)) for weight, one in self.parts))

    def bind(self, network: Network) -> Objective:
        """Return the sum of the bound terms."""
        return Sum(tuple((weight, o.bind(network)) for weight, o in self.parts))

    def __call__(self, activations: Activations) -> Tensor:
        """Return the weighted sum of the terms' values, ``[M]``."""
        first, *rest = (weight * objective(activations) for weight, objective in self.parts)
        return sum(rest, start=first)

    def in_batch(self, activations: Activations, count: int, index: int) -> Tensor:
        """Return the weighted sum of the terms' values for one picture in a batch, ``[count]``."""
        first, *rest = (weight * o.in_batch(activations, count, index) for weight, o in self.parts)
        return sum(rest, start=first)

    def terms(self) -> tuple[Term, ...]:
        """Return all terms; equal descriptions are numbered, from the second on."""
        seen: dict[str, int] = {}
        terms = []
        for weight, objective in self.parts:
            name = objective.describe()
            seen[name] = seen.get(name, 0) + 1
            terms.append((name if seen[name] == 1 else f"{name} ({seen[name]})", weight, objective))
        return tuple(terms)

    def describe(self) -> str:
        """Describe all terms with their weights, e.g. ``2 x unit 1 of a, minus unit 2 of a``."""
        if len(self.parts) == 1:
            weight, objective = self.parts[0]
            return (
                _times(weight, objective.describe())
                if weight >= 0.0
                else _times(-weight, objective.describe_negative())
            )
        text = ""
        for weight, objective in self.parts:
            sign = "minus " if weight < 0.0 else "plus " if text else ""
            text += (", " if text else "") + sign + _times(abs(weight), objective.describe())
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the objective as a dict for JSON."""
        return {"kind": "sum", "terms": [{"weight": w, "objective": o.to_dict()} for w, o in self.parts]}

    def __repr__(self) -> str:
        return " + ".join(f"{w:g} * {o!r}" for w, o in self.parts)


def describe_layer(name: str | nn.Module) -> str:
    """Describe a layer as part of a sentence."""
    if isinstance(name, nn.Module):
        return f"a {type(name).__name__}"
    return name if name != OUTPUT else "the output"


def _parts(objective: Objective) -> tuple[tuple[float, Objective], ...]:
    return objective.parts if isinstance(objective, Sum) else ((1.0, objective),)


def _weight(number: Any) -> float:
    try:
        weight = float(number)
    except OverflowError:
        weight = math.inf
    if not math.isfinite(weight):
        raise PeekError(f"{weight} can't be the weight of an objective: give a finite number.")
    return weight


def _times(weight: float, description: str) -> str:
    return description if weight == 1.0 else f"{weight:g} x {description}"


def _name(function: Any) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "a function" if name == "<lambda>" else str(name)

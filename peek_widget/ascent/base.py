"""The base class of objectives, and their weighted sums."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from peek_widget.errors import PeekError
from peek_widget.network import OUTPUT, Network

__all__ = ["LONGEST_WORDS", "Activations", "Objective", "Sum", "Term", "layer_words"]

Activations = Mapping[str, Tensor]
"""By layer name, before the last ReLU: ``[M, C, H, W]`` for a map, ``[M, C]`` for a vector."""

Term = tuple[str, float, "Objective"]
"""A name in plain words, a weight, and what it weighs."""


LONGEST_WORDS = 10_000
"""Characters of an objective's words that are written down."""


class Objective:
    """A function of activations that an ascent maximizes. Objectives add, subtract and take a number as weight.

    Args:
        function: from a mapping of layer names to activations (``[M, C, H, W]``, or ``[M, C]`` for a vector; M
            views of one picture) to one value for each view, ``[M]``.
        layers: names of the layers whose activations it reads; ``""`` is the model's output.
        words: description, as part of a sentence; left out, the function's name and the layers.

    Raises:
        PeekError: if that is no function, or no list of names.

    Example:
        ``2 * Channel("features.12", 1) - Channel("features.12", 2)``
    """

    # numpy's numbers leave a product to us, instead of making an array of it.
    __array_ufunc__ = None

    def __init__(self, function: Callable[[Activations], Tensor], layers: Sequence[str], words: str = "") -> None:
        if not callable(function):
            raise PeekError(f"An Objective is made from a function of activations; got a {type(function).__name__}.")
        if isinstance(layers, str) or not layers:
            raise PeekError(
                f'layers={layers!r}: give the names of the layers it reads as a list, e.g. ["features.12"].'
            )
        self._function = function
        self._layers = tuple(layers)
        self._words = words

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose activations it reads."""
        return self._layers

    @property
    def centered_on(self) -> str | None:
        """The layer at whose center position the objective reads; None for one that reads more of the map."""
        return None

    @property
    def depends_on_batch(self) -> bool:
        """Whether a picture's value depends on the others of its batch, so that :meth:`in_batch` is needed."""
        return False

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if the network does not have what the objective reads."""
        for name in self.layers:
            network.layer(name)

    def resolve(self, network: Network) -> Objective:
        """Return the same objective with its layer named, where it was given as a module of the network's model.

        Raises:
            LayerError: if the module is none of the model, or its forward never runs it.
        """
        layer = getattr(self, "layer", None)
        if not isinstance(layer, nn.Module):
            return self
        named: Any = self  # a dataclass, since it has a field for its layer
        return replace(named, layer=network.layer(layer).name)

    def bind(self, network: Network) -> Objective:
        """Return the objective prepared for one ascent on a network: what can be computed once, is.

        The returned objective belongs to that ascent, and is not described, compared or bound again.
        """
        return self

    def __call__(self, activations: Activations) -> Tensor:
        """Return one value for each view of one picture, ``[M]``."""
        return self._function(activations)

    def in_batch(self, activations: Activations, count: int, index: int) -> Tensor:
        """Return one value for each view of one picture in a batch, ``[count]``.

        Args:
            activations: of the whole group, ``[G * count, ...]``; the views of one picture lie side by side.
            count: views of each picture.
            index: number of the picture, from 0 to G - 1.
        """
        own = slice(index * count, (index + 1) * count)
        return self({name: values[own] for name, values in activations.items()})

    def terms(self) -> tuple[Term, ...]:
        """Return ``(name, weight, objective)`` for each term of a sum; itself with weight 1 where it is none."""
        return ((self.words(), 1.0, self),)

    def words(self) -> str:
        """Describe the objective as part of a sentence, e.g. ``unit 10 of features.12``."""
        return self._words or f"{_name(self._function)} of {' and '.join(layer_words(n) for n in self.layers)}"

    def least(self) -> str:
        """Describe the negative objective, as part of a sentence."""
        return f"the least of {self.words()}"

    def to_dict(self) -> dict[str, Any]:
        """Describe the objective for JSON; :func:`~peek_widget.ascent.serialization.objective_from_dict` reads it back.

        A function can't be written down: of such an objective only its words are kept, and None is read back.
        """
        return {"kind": "custom", "words": self.words()[:LONGEST_WORDS]}

    def __add__(self, other: Any) -> Objective:
        if type(other) is int and other == 0:
            return self  # sum() begins with it
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
        # Each weight by itself: times 1 / number would be rounded twice.
        return Sum(tuple((_weight(w / float(number)), o) for w, o in _parts(self)))

    def __neg__(self) -> Objective:
        return Sum.of((-1.0, self))

    def __repr__(self) -> str:
        return f"Objective({_name(self._function)}, layers={list(self.layers)})"


@dataclass(frozen=True, repr=False)
class Sum(Objective):
    """A weighted sum of objectives, as +, -, * and / make it. It is flat: sums in it are replaced by their terms.

    Args:
        parts: ``(weight, objective)`` for each term.
    """

    parts: tuple[tuple[float, Objective], ...]

    @classmethod
    def of(cls, *parts: tuple[float, Objective]) -> Sum:
        """Make the sum of objectives that may be sums themselves."""
        return cls(tuple((_weight(weight * w), o) for weight, one in parts for w, o in _parts(one)))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of all terms, each once."""
        return tuple(dict.fromkeys(name for _, o in self.parts for name in o.layers))

    @property
    def centered_on(self) -> str | None:
        """The layer at whose center position all terms read, if there is one."""
        centers = {o.centered_on for _, o in self.parts}
        return centers.pop() if len(centers) == 1 else None

    @property
    def depends_on_batch(self) -> bool:
        """Whether the value of any term depends on the batch."""
        return any(o.depends_on_batch for _, o in self.parts)

    def check(self, network: Network) -> None:
        """Raise LayerError or UnitError if the network has not what a term needs."""
        for _, objective in self.parts:
            objective.check(network)

    def resolve(self, network: Network) -> Objective:
        """Return the sum of the resolved terms."""
        return Sum(tuple((weight, one.resolve(network)) for weight, one in self.parts))

    def bind(self, network: Network) -> Objective:
        """Return the sum of the bound terms."""
        return Sum(tuple((weight, o.bind(network)) for weight, o in self.parts))

    def __call__(self, activations: Activations) -> Tensor:
        """The weighted sum of the terms' values, ``[M]``."""
        first, *rest = (weight * objective(activations) for weight, objective in self.parts)
        return sum(rest, start=first)

    def in_batch(self, activations: Activations, count: int, index: int) -> Tensor:
        """The weighted sum of the terms' values for one picture among others, ``[count]``."""
        first, *rest = (weight * o.in_batch(activations, count, index) for weight, o in self.parts)
        return sum(rest, start=first)

    def terms(self) -> tuple[Term, ...]:
        """Return every term; equal names are numbered, from the second on."""
        seen: dict[str, int] = {}
        terms = []
        for weight, objective in self.parts:
            name = objective.words()
            seen[name] = seen.get(name, 0) + 1
            terms.append((name if seen[name] == 1 else f"{name} ({seen[name]})", weight, objective))
        return tuple(terms)

    def words(self) -> str:
        """Describe all terms with their weights, e.g. ``2 x unit 1 of a, less unit 2 of a``."""
        if len(self.parts) == 1:
            weight, objective = self.parts[0]
            return _times(weight, objective.words()) if weight >= 0.0 else _times(-weight, objective.least())
        words = ""
        for weight, objective in self.parts:
            sign = "less " if weight < 0.0 else "plus " if words else ""
            words += (", " if words else "") + sign + _times(abs(weight), objective.words())
        return words

    def to_dict(self) -> dict[str, Any]:
        """Describe the objective for JSON."""
        return {"kind": "sum", "terms": [{"weight": w, "objective": o.to_dict()} for w, o in self.parts]}

    def __repr__(self) -> str:
        return " + ".join(f"{w:g} * {o!r}" for w, o in self.parts)


def layer_words(name: str | nn.Module) -> str:
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
        raise PeekError(f"An objective can't have the weight {weight}: give a finite number.")
    return weight


def _times(weight: float, words: str) -> str:
    return words if weight == 1.0 else f"{weight:g} x {words}"


def _name(function: Any) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "a function" if name == "<lambda>" else str(name)

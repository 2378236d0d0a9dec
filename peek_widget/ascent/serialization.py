"""Reading objectives and recipes from JSON that need not be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable

from peek_widget._schema import Check, nullable, number, read_fields, sequence, short, text, whole
from peek_widget.ascent.accentuate import Accentuate
from peek_widget.ascent.direction import HIGHEST_POWER, Direction
from peek_widget.ascent.diversity import Diversity
from peek_widget.ascent.objective import Channel, Logit, Neuron
from peek_widget.ascent.objective_base import LONGEST_DESCRIPTION, Objective, Sum
from peek_widget.ascent.old_names import POSITIONS
from peek_widget.ascent.recipe import Recipe
from peek_widget.errors import FileError

__all__ = ["check_objective", "check_recipe", "objective_from_dict"]

LONGEST_NAME = 1000
LONGEST_VECTOR = 65_536
MOST_TERMS = 4096
HIGHEST_NUMBER = 2**31 - 1  # of a unit, row or column; torch takes none past 2**63


def check_recipe(_name: str, value: object) -> Recipe:
    """Read the JSON object of a recipe; FileError if it isn't one, RecipeError for an invalid value."""
    if not isinstance(value, dict):
        raise FileError(f"A recipe is saved as a JSON object; this is a {type(value).__name__}.")
    return Recipe.from_json(json.dumps(value))


def check_objective(_name: str, value: object) -> Objective | None:
    """Read the dict of an objective, see :func:`objective_from_dict`."""
    return objective_from_dict(value)


def objective_from_dict(described: object) -> Objective | None:
    """Make an objective of the dict that :meth:`Objective.to_dict` returned for it.

    Args:
        described: a dict as ``json.loads`` returns it. A name may have 1000 characters, a sum 4096 terms, a direction
            65536 numbers.

    Returns:
        The objective; None for one of which only the description is saved: a function of the user's, a style, and any
        sum with such a term.

    Raises:
        FileError: for an unknown or missing kind or field, or a value of a wrong type, too long or out of range.
        UnitError: for an impossible vector of a ``Direction``.
    """
    return _objective(described, in_sum=False)


def _objective(described: object, in_sum: bool) -> Objective | None:
    if not isinstance(described, dict):
        raise FileError(f"An objective is described by a JSON object; this is a {type(described).__name__}.")
    kind = described.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise FileError(f"There is no objective of kind {short(kind)}; the kinds are {', '.join(_KINDS)}.")
    if in_sum and kind in ("sum", "accentuate"):
        raise FileError(f"A term of a sum can't be of kind {kind!r} itself; this one has such a term.")
    fields, make = _KINDS[kind]
    values = read_fields(described, {"kind": text(20), **fields}, f"An objective of kind {kind!r}")
    del values["kind"]
    return make(**values)


def _position(name: str, value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise FileError(f"{name} is {short(value)}: a position as [row, column] is needed, or null.")
    row, column = (whole(HIGHEST_NUMBER)(f"A number of {name}", v) for v in value)
    return row, column


def _position_or_center(name: str, value: object) -> tuple[int, int] | str | None:
    named = POSITIONS.get(value, value) if isinstance(value, str) else value
    return "center" if named == "center" else _position(name, named)


def _term(_name: str, value: object) -> tuple[float, Objective | None]:
    if not isinstance(value, dict):
        raise FileError(f"A term of a sum is a JSON object; this one is a {type(value).__name__}.")
    fields: dict[str, Check] = {"weight": number(), "objective": lambda _, one: _objective(one, in_sum=True)}
    read = read_fields(value, fields, "A term")
    return read["weight"], read["objective"]


def _sum(terms: tuple[tuple[float, Objective | None], ...]) -> Objective | None:
    known = tuple((weight, objective) for weight, objective in terms if objective is not None)
    return Sum(known) if len(known) == len(terms) else None


def _accentuate(unit: Objective | None, keep: str | None, strength: float, photo: str) -> Objective | None:
    return None if unit is None else Accentuate(unit, keep, strength, photo)


def _custom(words: str) -> None:
    return None


_LAYER = text(LONGEST_NAME)
_UNIT = whole(HIGHEST_NUMBER)
_VECTOR = sequence(number(), LONGEST_VECTOR, 1)

_KINDS: dict[str, tuple[dict[str, Check], Callable[..., Objective | None]]] = {
    "channel": ({"layer": _LAYER, "unit": _UNIT}, Channel),
    "neuron": ({"layer": _LAYER, "unit": _UNIT, "at": _position}, Neuron),
    "logit": ({"unit": _UNIT}, Logit),
    "direction": (
        {"layer": _LAYER, "vector": _VECTOR, "power": number(0.0, HIGHEST_POWER), "at": _position_or_center},
        Direction,
    ),
    "diversity": ({"layer": _LAYER}, Diversity),
    "sum": ({"terms": sequence(_term, MOST_TERMS, 1)}, _sum),
    "accentuate": (
        {
            "unit": lambda _, one: _objective(one, in_sum=False),
            "keep": nullable(_LAYER),
            "strength": number(0.0),
            "photo": text(16),
        },
        _accentuate,
    ),
    "custom": ({"words": text(LONGEST_DESCRIPTION)}, _custom),
}
"""For each kind of objective the checks of its fields, and the class or function that they are passed to."""

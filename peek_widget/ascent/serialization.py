"""Objectives read back from JSON, which may come from anybody."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from peek_widget.ascent.base import LONGEST_WORDS, Objective, Sum
from peek_widget.ascent.direction import HIGHEST_POWER, Direction
from peek_widget.ascent.diversity import Diversity
from peek_widget.ascent.objective import Channel, Logit, Neuron
from peek_widget.ascent.old_names import POSITIONS
from peek_widget.errors import FileError

__all__ = ["objective_from_dict"]

LONGEST_NAME = 1000
LONGEST_VECTOR = 65_536
MOST_TERMS = 4096
HIGHEST_NUMBER = 2**31 - 1  # of a unit or place: none has more in practice, and torch takes no index past 2**63


def objective_from_dict(described: Any) -> Objective | None:
    """The objective that :meth:`Objective.to_dict` described, equal to it.

    None for one that can't be given back: a function of the user's own, a style, and any sum with such a term.

    Args:
        described: a dict as ``json.loads`` gives it. Names may have 1000 characters, a sum 4096 terms, a direction
            65536 numbers.

    Raises:
        FileError: if it is anything else: an unknown kind or field, a missing one, a value of a wrong type, too
            long or out of range.
        UnitError: if it describes a direction that can't be one.
    """
    return _objective(described, in_sum=False)


def _objective(described: Any, in_sum: bool) -> Objective | None:
    if not isinstance(described, dict):
        raise FileError(f"An objective is described by a JSON object; this is a {type(described).__name__}.")
    kind = described.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise FileError(f"There is no objective of kind {_short(kind)}; possible are {', '.join(_KINDS)}.")
    if in_sum and kind == "sum":
        raise FileError("A sum is described by its terms, none of which is a sum again; this one has a sum in it.")
    fields, make = _KINDS[kind]
    values = read_fields(described, {"kind": _word, **fields}, f"An objective of kind {kind!r}")
    del values["kind"]
    return make(**values)


def read_fields(given: Mapping[str, Any], fields: Mapping[str, Callable[[str, Any], Any]], what: str) -> dict[str, Any]:
    """Exactly these fields, each through the function that checks it; FileError for any other, or a missing one."""
    for name in given:
        if name not in fields:
            raise FileError(f"{what} has no field {_short(name)}; it has {', '.join(fields)}.")
    for name in fields:
        if name not in given:
            raise FileError(f"{what} needs the field {name!r}, and this one has none.")
    return {name: check(name, given[name]) for name, check in fields.items()}


def whole(highest: int) -> Callable[[str, Any], int]:
    """A check for whole numbers from 0."""

    def check(name: str, value: Any) -> int:
        if type(value) is not int or not 0 <= value <= highest:
            raise FileError(f"{name} is {_short(value)}: a whole number from 0 to {highest} is needed.")
        return value

    return check


def text(longest: int) -> Callable[[str, Any], str]:
    """A check for strings."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or len(value) > longest:
            got = f"one of {len(value)} characters" if isinstance(value, str) else _short(value)
            raise FileError(f"{name} is {got}: a text of at most {longest} characters is needed.")
        return value

    return check


def _word(_name: str, value: str) -> str:
    return value


def _number(name: str, value: Any) -> float:
    # Compared, since an int past the largest float can't be asked whether it is finite. A bool is an int to Python.
    if type(value) not in (int, float) or not -sys.float_info.max <= value <= sys.float_info.max:
        raise FileError(f"{name} is {_short(value)}: a finite number is needed.")
    return float(value)


def _power(name: str, value: Any) -> float:
    if not 0.0 <= (power := _number(name, value)) <= HIGHEST_POWER:
        raise FileError(f"{name} is {power:g}: a number from 0 to {HIGHEST_POWER:g} is needed.")
    return power


def _vector(name: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= LONGEST_VECTOR:
        raise FileError(f"{name} is {_short(value)}: a list of 1 to {LONGEST_VECTOR} numbers is needed.")
    return tuple(_number(f"A number of {name}", v) for v in value)


def _place(name: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise FileError(f"{name} is {_short(value)}: a place as [row, column] is needed, or null.")
    row, column = (whole(HIGHEST_NUMBER)(f"A number of {name}", v) for v in value)
    return row, column


def _place_or_center(name: str, value: Any) -> Any:
    if isinstance(value, str):
        value = POSITIONS.get(value, value)
    return value if value == "center" else _place(name, value)


def _terms(name: str, value: Any) -> tuple[tuple[float, Objective | None], ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_TERMS:
        raise FileError(f"{name} is {_short(value)}: a list of 1 to {MOST_TERMS} terms is needed.")
    found = []
    for term in value:
        if not isinstance(term, dict):
            raise FileError(f"A term of a sum is a JSON object; this one is a {type(term).__name__}.")
        read = read_fields(term, {"weight": _number, "objective": lambda _, o: _objective(o, in_sum=True)}, "A term")
        found.append((read["weight"], read["objective"]))
    return tuple(found)


def _sum(terms: tuple[tuple[float, Objective | None], ...]) -> Objective | None:
    whole_terms = tuple((weight, objective) for weight, objective in terms if objective is not None)
    return Sum(whole_terms) if len(whole_terms) == len(terms) else None


def _custom(words: str) -> None:
    return None


def _short(value: Any) -> str:
    """Something from a file in a sentence: never more than a line of it."""
    if isinstance(value, (list, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    if type(value) is int and value.bit_length() > 64:
        return "a huge number"  # Python refuses to print the largest
    return repr(value[:60] if isinstance(value, str) else value)[:60]


_LAYER = text(LONGEST_NAME)
_UNIT = whole(HIGHEST_NUMBER)

_KINDS: dict[str, tuple[dict[str, Callable[[str, Any], Any]], Callable[..., Objective | None]]] = {
    "channel": ({"layer": _LAYER, "unit": _UNIT}, Channel),
    "neuron": ({"layer": _LAYER, "unit": _UNIT, "at": _place}, Neuron),
    "logit": ({"unit": _UNIT}, Logit),
    "direction": ({"layer": _LAYER, "vector": _vector, "power": _power, "at": _place_or_center}, Direction),
    "diversity": ({"layer": _LAYER}, Diversity),
    "sum": ({"terms": _terms}, _sum),
    "custom": ({"words": text(LONGEST_WORDS)}, _custom),
}

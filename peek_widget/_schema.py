"""Readers of untrusted input: files, JSON, messages. Every value is checked for type, range and length.

A check is a function of the name of a field and its value that returns the value, or raises :class:`FileError` in a
sentence. A record is read by a table of checks (:func:`read_fields`); :func:`checks_of` makes this table from a
dataclass whose fields are annotated with checks.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, get_type_hints

from peek_widget.errors import FileError

__all__ = [
    "Check",
    "checks_of",
    "choice",
    "mapping",
    "nullable",
    "number",
    "pair",
    "read_fields",
    "read_json",
    "record",
    "sequence",
    "short",
    "switch",
    "text",
    "whole",
]

Check = Callable[[str, Any], Any]
"""A function that returns the value of a field, or raises FileError with its name."""

_T = TypeVar("_T")


def read_fields(
    given: Mapping[str, Any], fields: Mapping[str, Check], what: str, *, optional: Collection[str] = ()
) -> dict[str, Any]:
    """Check every field of a record, and return the checked values by name.

    Args:
        given: the record.
        fields: the check of each field, by name.
        what: name of the record, at the beginning of error sentences.
        optional: names of fields that may be missing.

    Raises:
        FileError: for an unknown or a missing field, and what the checks raise.
    """
    for name in given:
        if name not in fields:
            raise FileError(f"{what} has no field {short(name)}; it has {', '.join(fields)}.")
    for name in fields:
        if name not in given and name not in optional:
            raise FileError(f"{what} needs the field {name!r}, and this one has none.")
    return {name: check(name, given[name]) for name, check in fields.items() if name in given}


def checks_of(record: type) -> dict[str, Check]:
    """Return the checks of a dataclass by field name: each field is annotated as ``Annotated[type, check]``."""
    hints = get_type_hints(record, include_extras=True)
    return {field.name: hints[field.name].__metadata__[0] for field in dataclasses.fields(record)}


def read_json(written: str | bytes, what: str, longest: int) -> dict[str, Any]:
    """Parse a JSON object strictly: no duplicate fields, only finite numbers, integers of at most 20 digits.

    Args:
        written: the JSON text.
        what: name of the object, at the beginning of error sentences.
        longest: largest number of characters.

    Raises:
        FileError: if it is anything else.
    """
    if len(written) > longest:
        raise FileError(f"{what} has {len(written)} characters: no more than {longest} are read.")
    try:
        found = json.loads(
            written.decode() if isinstance(written, bytes) else written,
            parse_int=_int,
            parse_float=_float,
            parse_constant=_float,
            object_pairs_hook=_without_repeats,
        )
    except FileError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileError(f"{what} should be JSON, and this is not: {error}.") from error
    if not isinstance(found, dict):
        raise FileError(f"{what} should be a JSON object; this is a {type(found).__name__}.")
    return found


def whole(highest: int, lowest: int = 0) -> Callable[[str, Any], int]:
    """Make a check for a whole number from ``lowest`` to ``highest``; a bool is refused."""

    def check(name: str, value: Any) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise FileError(f"{name} is {short(value)}: a whole number from {lowest} to {highest} is needed.")
        return value

    return check


def number(lowest: float = -sys.float_info.max, highest: float = sys.float_info.max) -> Callable[[str, Any], float]:
    """Make a check for a finite number from ``lowest`` to ``highest``; it returns a float."""

    def check(name: str, value: Any) -> float:
        # compared, because math.isfinite fails for an int above the largest float; type(), because a bool is an int
        if type(value) not in (int, float) or not -sys.float_info.max <= value <= sys.float_info.max:
            raise FileError(f"{name} is {short(value)}: a finite number is needed.")
        if not lowest <= value <= highest:
            raise FileError(f"{name} is {value:g}: a number from {lowest:g} to {highest:g} is needed.")
        return float(value)

    return check


def text(longest: int) -> Callable[[str, Any], str]:
    """Make a check for a string of at most ``longest`` characters."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or len(value) > longest:
            got = f"one of {len(value)} characters" if isinstance(value, str) else short(value)
            raise FileError(f"{name} is {got}: a text of at most {longest} characters is needed.")
        return value

    return check


def switch(name: str, value: Any) -> bool:
    """Check that a value is true or false."""
    if not isinstance(value, bool):
        raise FileError(f"{name} is {short(value)}: true or false is needed.")
    return value


def choice(options: Sequence[_T]) -> Callable[[str, Any], _T]:
    """Make a check for one of the given values."""

    def check(name: str, value: Any) -> _T:
        if value not in options or (isinstance(value, bool) and True not in options):
            raise FileError(f"{name} is {short(value)}; it must be one of {', '.join(map(str, options))}.")
        return value

    return check


def nullable(check: Callable[[str, Any], _T]) -> Callable[[str, Any], _T | None]:
    """Make a check for null, or for what another check accepts."""
    return lambda name, value: None if value is None else check(name, value)


def sequence(check: Callable[[str, Any], _T], most: int, least: int = 0) -> Callable[[str, Any], tuple[_T, ...]]:
    """Make a check for a list of ``least`` to ``most`` items that another check accepts; it returns a tuple."""

    def check_all(name: str, value: Any) -> tuple[_T, ...]:
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            raise FileError(f"{name} is {short(value)}: a list of {least} to {most} items is needed.")
        return tuple(check(f"An item of {name}", item) for item in value)

    return check_all


def record(fields: Mapping[str, Check], *, optional: Collection[str] = ()) -> Callable[[str, Any], dict[str, Any]]:
    """Make a check for an object with exactly these fields, see :func:`read_fields`."""

    def check_fields(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise FileError(f"{name} is {short(value)}: an object is needed.")
        return read_fields(value, fields, name, optional=optional)

    return check_fields


def mapping(check: Callable[[str, Any], _T], most: int) -> Callable[[str, Any], dict[str, _T]]:
    """Make a check for an object with at most ``most`` fields of any name, whose values another check accepts."""

    def check_all(name: str, value: Any) -> dict[str, _T]:
        if not isinstance(value, dict) or len(value) > most:
            raise FileError(f"{name} is {short(value)}: an object of at most {most} fields is needed.")
        return {key: check(f"{key[:60]!r} in {name}", item) for key, item in value.items()}

    return check_all


def pair(check: Callable[[str, Any], _T]) -> Callable[[str, Any], tuple[_T, _T]]:
    """Make a check for a list of two items that another check accepts; it returns a tuple."""
    both = sequence(check, 2, 2)

    def check_both(name: str, value: Any) -> tuple[_T, _T]:
        first, second = both(name, value)
        return first, second

    return check_both


def short(value: Any) -> str:
    """Describe an untrusted value in at most 60 characters, for an error sentence."""
    if isinstance(value, (list, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    if type(value) is int and value.bit_length() > 64:
        return "a huge number"  # Python refuses to print the largest
    return repr(value[:60] if isinstance(value, str) else value)[:60]


def _int(digits: str) -> int:
    if len(digits) > 20:
        raise FileError(f"It contains a number of {len(digits)} digits: at most 20 are read.")
    return int(digits)


def _float(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        raise FileError(f"It contains the number {digits[:40]}: only finite numbers are read.")
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise FileError("It contains a field twice, so that its value is not clear.")
    return values

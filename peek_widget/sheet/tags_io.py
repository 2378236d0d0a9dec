"""Tags as JSON, as CSV and as a table; all are text that anybody may have written, and are checked as they are read."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from peek_widget._files import write_atomic
from peek_widget.errors import TagError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Entries",
    "clean",
    "layer_tags",
    "load",
    "read_csv",
    "read_json",
    "same",
    "save",
    "suffix",
    "to_csv",
    "to_frame",
    "to_json",
    "unit_key",
    "unit_number",
]

Entries = Iterable[tuple[tuple[str, int], tuple[str, ...]]]
"""Tags of units: ((layer, unit), words), one for each unit that was reviewed."""

_LONGEST = 200
"""Largest number of characters in a tag."""

_COLUMNS = ("layer", "unit", "tag")
_FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")
"""Beginnings of a cell that a spreadsheet would run as a formula, with or without apostrophes in front."""


# One tag, one unit


def clean(word: str) -> str:
    """Return a tag as it is kept: composed (NFC), trimmed, with white space reduced to single spaces.

    Raises:
        TagError: if it isn't text, is empty, longer than 200 characters, or has control characters.
    """
    if not isinstance(word, str):
        raise TagError(f"A tag is text; {word!r} was given.")
    tidy = " ".join(unicodedata.normalize("NFC", word).split())
    if not tidy:
        raise TagError(
            "A tag was empty: give it at least one letter; mark_reviewed(layer, unit) says that nothing was found."
        )
    if len(tidy) > _LONGEST:
        raise TagError(f"A tag has at most {_LONGEST} characters; {len(tidy)} were given: {tidy[:40]!r}...")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in tidy):
        raise TagError(f"The tag {tidy[:40]!r} has control characters or halves of a surrogate pair; leave them out.")
    return tidy


def same(word: str) -> str:
    """Return what all spellings of one tag have in common (Unicode's canonical caseless match)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", clean(word)).casefold())


def unit_key(layer: Any, unit: Any) -> tuple[str, int]:
    """Check a layer's name and the number of a unit, given as a number or as its digits; return both.

    Raises:
        TagError: if the layer isn't text or the unit isn't a whole number from 0.
    """
    if not isinstance(layer, str) or any(unicodedata.category(letter) == "Cs" for letter in layer):
        raise TagError(f"A layer is its name, as text; {layer!r} was given.")
    return layer, unit_number(unit)


def unit_number(unit: Any) -> int:
    """Check the number of a unit, given as a number or as its digits, and return it.

    Raises:
        TagError: if it is not a whole number from 0.
    """
    if isinstance(unit, str) and unit.strip().isascii() and unit.strip().isdigit():
        unit = int(unit)
    if isinstance(unit, bool) or not hasattr(unit, "__index__") or int(unit) < 0:
        raise TagError(f"A unit is a whole number, 0 or more; {unit!r} was given.")
    return int(unit)


def layer_tags(given: Any) -> Iterator[tuple[tuple[str, int], list[str]]]:
    """Read ``{layer: {unit: [words]}}``; yield the key and the words of each unit.

    Raises:
        TagError: at the first entry that is something else.
    """
    shape = "Tags are {layer: {unit: [words]}}"
    if not isinstance(given, Mapping):
        raise TagError(f"{shape}; a {type(given).__name__} was given.")
    for layer, units in given.items():
        if not isinstance(units, Mapping):
            raise TagError(f"{shape}; of layer {layer!r} a {type(units).__name__} was given.")
        for unit, words in units.items():
            if isinstance(words, str) or not isinstance(words, Iterable):
                raise TagError(f"{shape}; of unit {unit!r} of {layer!r} {words!r} was given: a list is wanted.")
            yield unit_key(layer, unit), [clean(word) for word in words]


# JSON


def to_json(given: Mapping[str, Mapping[str, list[str]]]) -> str:
    """Write ``{layer: {unit: [words]}}`` as JSON."""
    return json.dumps(given, ensure_ascii=False, indent=1) + "\n"


def read_json(text: str) -> dict[str, Any]:
    """Read JSON into a dict; its entries are checked by :func:`layer_tags`.

    Raises:
        TagError: if it isn't JSON, has a name twice, or is not an object.
    """
    _refuse_empty(text)
    try:
        given = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_without_repeats)
    except (json.JSONDecodeError, RecursionError) as error:
        raise TagError(f"These tags are not JSON: {error}. Give what Tags.to_json wrote.") from error
    if not isinstance(given, dict):
        kind = type(given).__name__
        raise TagError(f"These tags are a {kind}, not a dict of layers: give what Tags.to_json wrote.")
    return given


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # the json module would silently keep the last of two equal names
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, uses in Counter(name for name, _ in pairs).items() if uses > 1)
        raise TagError(f"The tags name {twice!r} twice in one place; write each layer and each unit once.")
    return found


# CSV


def to_csv(entries: Entries) -> str:
    """Write a table with the columns layer, unit, tag: a row for each tag, one with no tag for a unit without any.

    A cell that a spreadsheet would run as a formula (=, +, -, @ first) gets an apostrophe in front; :func:`read_csv`
    takes it off.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(_COLUMNS)
    for (layer, unit), words in entries:
        table.writerows((_guard(layer), unit, _guard(word)) for word in words or ("",))
    return text.getvalue()


def read_csv(source: str | TextIO) -> Iterator[tuple[tuple[str, int], list[str]]]:
    """Read a table with the columns layer, unit, tag in any order; yield the key and the words of each row.

    Args:
        source: the text, or an open file. Columns are separated by commas, semicolons or tabs, as spreadsheets do.

    Raises:
        TagError: in a sentence, with the column or the line that is wrong.
    """
    text = _text(source)
    head = text.partition("\n")[0]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    try:
        names = [name.strip().casefold() for name in next(lines, [])]
        _check_columns(names)
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(names):
                raise TagError(f"{len(cells)} cells; the heading has {len(names)}.")
            row = dict(zip(names, cells, strict=True))
            yield (
                unit_key(_unguard(row["layer"]), row["unit"]),
                [clean(_unguard(row["tag"]))] if row["tag"].strip() else [],
            )
    except (csv.Error, TagError) as error:
        raise TagError(f"Line {lines.line_num} of the table of tags: {error}") from error


def _check_columns(names: list[str]) -> None:
    unknown = [name for name in names if name not in _COLUMNS]
    missing = [name for name in _COLUMNS if name not in names]
    if unknown or missing or len(names) > len(_COLUMNS):
        wrong = [f"unknown: {', '.join(map(repr, unknown))}"] if unknown else []
        wrong += [f"missing: {', '.join(map(repr, missing))}"] if missing else []
        raise TagError(f"the columns are layer, unit, tag, each once ({'; '.join(wrong) or 'one is there twice'}).")


def _guard(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unguard(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


# Tables and files


def to_frame(entries: Entries) -> pd.DataFrame:
    """Return a pandas DataFrame with the columns layer, unit, tag; a unit without tags has one row, its tag missing."""
    from peek_widget._optional import optional_import

    rows = [(layer, unit, word) for (layer, unit), words in entries for word in words or (None,)]
    return optional_import("pandas").DataFrame(rows, columns=list(_COLUMNS))


def save(text: str, path: str | os.PathLike[str]) -> None:
    """Write tags to a file, atomically: UTF-8, for CSV with the byte order mark that spreadsheets need.

    Raises:
        TagError: if the name ends neither in .json nor in .csv, or the file can't be written.
    """
    encoding = {".json": "utf-8", ".csv": "utf-8-sig"}[suffix(path)]
    try:
        write_atomic(path, text.encode(encoding))
    except OSError as error:
        raise TagError(f"The tags can't be written to {os.fspath(path)!r}: {error.strerror or error}.") from error


def load(path: str | os.PathLike[str]) -> str:
    """Read the text of a file of tags.

    Raises:
        TagError: if the file can't be read or is not UTF-8.
    """
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TagError(f"The tags in {str(path)[:200]!r} can't be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise TagError(f"{str(path)[:200]!r} is not text in UTF-8: save the table as 'CSV UTF-8'.") from error


def suffix(path: str | os.PathLike[str]) -> str:
    """Return ``".json"`` or ``".csv"``, by a file's extension.

    Raises:
        TagError: if the extension is another one, or ``path`` is not a name.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TagError(f"Tags are kept in a file, whose path is text; a {type(path).__name__} was given.")
    found = Path(path).suffix.lower()
    if found not in (".json", ".csv"):
        raise TagError(f"Tags are kept in a .json or a .csv; {str(path)[:200]!r} was given.")
    return found


def _text(source: str | TextIO) -> str:
    if hasattr(source, "read"):
        text = source.read()
        return (text.decode("utf-8-sig") if isinstance(text, bytes) else text).removeprefix("\ufeff")
    _refuse_empty(source)
    return source.removeprefix("\ufeff")


def _refuse_empty(text: Any) -> None:
    if not isinstance(text, str):
        raise TagError(f"Tags are read from text; a {type(text).__name__} was given (Tags.load reads a file).")
    if "\n" not in text and not text.strip():
        raise TagError("There are no tags in an empty text: give what Tags wrote; Tags.load reads a file.")

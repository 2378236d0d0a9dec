"""The user's words on units: given, taken back, counted, kept as CSV or JSON, merged. Pure Python.

A tag is a few words of the user's, on a unit of a layer: ``"dog"``, ``"left eye"``. It is trimmed, its inner white
space made single spaces, and composed (Unicode NFC). Case is kept as it was first written and does not tell tags
apart: who tags ``"Dog"`` after ``"dog"`` has given ``dog`` once more. Markup is text like any other.

A unit that was looked at and given no tag is not the same as one that nobody has looked at: the first has an empty
tuple of tags here, the second is absent. Shares are of the units looked at.
"""

from __future__ import annotations

import csv
import io
import json
import operator
import os
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from peek_widget._stats import wilson_interval
from peek_widget.errors import TagError

if TYPE_CHECKING:
    import pandas as pd

    from peek_widget.evidence.survey import Survey

__all__ = ["Count", "Suggestion", "Tags", "clean", "same"]

Place = tuple[str, int]  # layer, unit
Units = int | Iterable[int]

_LONGEST = 200  # characters of a tag
_COLUMNS = ("layer", "unit", "tag")
_FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")  # what a spreadsheet would run, and what already stands guarded
_EDITS = 1000  # that undo goes back


def clean(word: str) -> str:
    """A tag as it is kept: NFC, trimmed, white space made single spaces.

    Raises:
        TagError: if it isn't text, is empty, longer than 200 characters, or has control characters.
    """
    if not isinstance(word, str):
        raise TagError(f"A tag is text; {word!r} was given.")
    tidy = " ".join(unicodedata.normalize("NFC", word).split())
    if not tidy:
        raise TagError("A tag was empty: give it at least one letter; look(layer, unit) says that nothing was found.")
    if len(tidy) > _LONGEST:
        raise TagError(f"A tag has at most {_LONGEST} characters; {len(tidy)} were given: {tidy[:40]!r}...")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in tidy):
        raise TagError(f"The tag {tidy[:40]!r} has control characters or halves of a surrogate pair; leave them out.")
    return tidy


def same(word: str) -> str:
    """What two spellings of one tag have in common (Unicode's canonical caseless match)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", clean(word)).casefold())


@dataclass(frozen=True)
class Count:
    """How many units of a layer carry a tag.

    Attributes:
        word: the tag.
        units: that carry it.
        looked_at: units looked at, tagged or not.
        total: units of the layer.
        share: ``units / looked_at``, in [0, 1].
        low, high: a 95 % interval of the share in the whole layer: Wilson's (1927), with the sample's size corrected
            for a finite population, since each unit looked at is one that need not be guessed; both are ``share``
            once all have been looked at. It takes the units looked at as drawn blindly from the layer: of the first
            fifty, or of those that caught the eye, it says nothing.
    """

    word: str
    units: int
    looked_at: int
    total: int
    share: float
    low: float
    high: float

    @property
    def sampled(self) -> bool:
        """Whether only some of the units have been looked at."""
        return self.looked_at < self.total

    def __str__(self) -> str:
        text = f"{self.units} of {self.looked_at}, {100 * self.share:.1f} %"
        if not self.sampled:
            return text
        return f"{text} of those looked at ({100 * self.low:.1f} to {100 * self.high:.1f} % of all {self.total})"


class Suggestion(NamedTuple):
    """A tag that the survey of real images proposes.

    Attributes:
        layer, unit: whose.
        word: the group of images.
        q: how likely the coincidence is by chance, corrected over the units.
        count: the unit's top images in the group, ...
        of: ... of so many.
    """

    layer: str
    unit: int
    word: str
    q: float
    count: int
    of: int

    def __str__(self) -> str:
        return f"{self.word}: {self.count} of its {self.of} top images (q = {self.q:.2g})"


class Tags(Mapping[Place, tuple[str, ...]]):
    """Words on units; a mapping from (layer, unit), each one looked at, to its tags in the order given.

    Two are equal if they say the same of the same units; order and case aside. Edits may come from several threads.

    Args:
        given: as :meth:`to_dict` gives it, ``{layer: {unit: [words]}}``; units as numbers or as text.
    """

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __init__(self, given: Mapping[str, Mapping[Any, Iterable[str]]] | None = None) -> None:
        self._of: dict[str, dict[int, tuple[str, ...]]] = {}
        self._spelling: dict[str, str] = {}  # by same(word), as long as a unit has it
        self._uses: Counter[str] = Counter()
        self._undo: list[dict[Place, tuple[Any, Any]]] = []
        self._redo: list[dict[Place, tuple[Any, Any]]] = []
        self._observers: list[Callable[[frozenset[Place]], object]] = []
        self._check: Callable[[str, int], object] | None = None
        self._lock = threading.RLock()
        for place, words in _read(given or {}):
            self._put(place, self._joined(self._at(place) or (), words))

    # reading

    def of(self, layer: str, unit: int) -> tuple[str, ...]:
        """The unit's tags, in the order given; none if it has none or was not looked at."""
        return self._at((layer, _unit(unit))) or ()

    def units(self, layer: str, word: str) -> list[int]:
        """The units that carry the tag, ascending."""
        key = same(word)
        with self._lock:
            return sorted(
                unit for unit, words in self._of.get(layer, {}).items() if any(same(has) == key for has in words)
            )

    def words(self, layer: str | None = None) -> list[str]:
        """The tags in use in a layer (left out: in all), those on the most units first, then by alphabet."""
        with self._lock:
            layers = self._of.values() if layer is None else [self._of.get(layer, {})]
            uses = Counter(word for units in layers for words in units.values() for word in words)
        return sorted(uses, key=lambda word: (-uses[word], same(word)))

    @property
    def layers(self) -> list[str]:
        """The layers of which a unit was looked at, in the order of the first."""
        with self._lock:
            return list(self._of)

    def looked_at(self, layer: str) -> list[int]:
        """The units looked at, tagged or not, ascending."""
        with self._lock:
            return sorted(self._of.get(layer, {}))

    def count(self, layer: str, total: int) -> list[Count]:
        """How many of the layer's ``total`` units carry each tag, most first.

        Raises:
            TagError: if a unit beyond ``total`` was looked at.
        """
        with self._lock:
            seen = dict(self._of.get(layer, {}))
            words = self.words(layer)
        if seen and max(seen) >= total:
            raise TagError(
                f"{layer or 'the output'} is said to have {total} units, but unit {max(seen)} is tagged: "
                f"take that back with tags.forget({layer!r}, {max(seen)})."
            )
        uses = Counter(word for has in seen.values() for word in has)
        n = len(seen)
        return [
            Count(word, uses[word], n, total, uses[word] / n, *wilson_interval(uses[word], n, total)) for word in words
        ]

    def suggest(self, survey: Survey, level: float | None = None) -> list[Suggestion]:
        """What a survey of real images says the units are about and they aren't tagged with yet.

        Args:
            survey: of the layer (:func:`peek_widget.survey`).
            level: the accepted false discovery rate; left out, the survey's.

        Returns:
            By unit, the surest first.
        """
        level = survey.level if level is None else level
        rows = survey.every[survey.every["q"] <= level]
        rows = rows.sort_values(["unit", "q", "count"], ascending=[True, True, False], kind="stable")
        found = []
        for row in rows.itertuples():
            word = clean(str(row.group))
            if same(word) not in {same(has) for has in self.of(survey.layer, row.unit)}:
                found.append(Suggestion(survey.layer, int(row.unit), word, float(row.q), int(row.count), int(row.of)))
        return found

    # editing

    def check(self, function: Callable[[str, int], object]) -> None:
        """Ask this of each layer and unit that is to be tagged from now on; what it raises refuses the edit."""
        self._check = function

    def add(self, layer: str, units: Units, *words: str) -> None:
        """Tag a unit, or several at once, with each of the words; those it has stay where they are."""
        words = tuple(map(clean, words))
        with self._lock:
            self._edit({place: self._joined(self._at(place) or (), words) for place in self._checked(layer, units)})

    def remove(self, layer: str, units: Units, *words: str) -> None:
        """Take tags off; the units stay looked at. A unit that doesn't carry the tag, or wasn't seen, is left."""
        keys = set(map(same, words))
        with self._lock:
            now = {place: self._at(place) for place in _places(layer, units)}
            self._edit(
                {place: tuple(w for w in has if same(w) not in keys) for place, has in now.items() if has is not None}
            )

    def replace(self, layer: str, unit: int, *words: str) -> None:
        """Give a unit exactly these tags; none says that it was looked at and nothing was found."""
        with self._lock:
            self._edit({place: self._joined((), map(clean, words)) for place in self._checked(layer, unit)})

    def rename(self, word: str, new: str, layer: str | None = None) -> None:
        """Spell a tag otherwise wherever it is (in one layer); if the new one is in use, the two become one."""
        key, new = same(word), clean(new)
        with self._lock:
            now = {place: has for place, has in self._items() if layer is None or place[0] == layer}
            if same(new) == key:  # another case: the one spelling that there is
                now = dict(self._items())
                self._spelling[key] = new
            else:
                new = self._spelling.get(same(new), new)
            self._edit(
                {place: tuple(dict.fromkeys(new if same(w) == key else w for w in has)) for place, has in now.items()}
            )

    def look(self, layer: str, units: Units) -> None:
        """Say that units were looked at; those without a tag count as "nothing found"."""
        with self._lock:
            self._edit({place: self._at(place) or () for place in self._checked(layer, units)})

    def forget(self, layer: str, units: Units) -> None:
        """Take back that units were looked at, with their tags."""
        with self._lock:
            self._edit(dict.fromkeys(_places(layer, units)))

    def merge(self, other: Tags) -> Tags:
        """Add everything that the other says, as one edit; returns this one. ``a | b`` is a new one.

        Nothing is lost: the tags of both, and looked at is what either looked at. Merging twice changes nothing
        more, and which comes first decides the order and the case alone.
        """
        if not isinstance(other, Tags):
            raise TagError(f"merge takes Tags; a {type(other).__name__} was given (Tags.from_csv reads a table).")
        said = dict(other._items())
        with self._lock:
            self._edit({place: self._joined(self._at(place) or (), words) for place, words in said.items()})
        return self

    def __or__(self, other: Tags) -> Tags:
        return self.copy().merge(other) if isinstance(other, Tags) else NotImplemented

    def assign(self, other: Tags) -> None:
        """Say exactly what the other says, as one edit."""
        said = dict(other._items())
        with self._lock:
            self._edit({**dict.fromkeys(self), **{place: self._joined((), words) for place, words in said.items()}})

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether an edit that was taken back can be made again."""
        return bool(self._redo)

    def undo(self) -> frozenset[Place]:
        """Take the last edit back; returns the (layer, unit) that it changed, none if there is no edit."""
        return self._back(self._undo, self._redo, 0)

    def redo(self) -> frozenset[Place]:
        """Make the edit again that was taken back last; returns what it changed."""
        return self._back(self._redo, self._undo, 1)

    def observe(self, function: Callable[[frozenset[Place]], object]) -> Callable[[], None]:
        """Have a function called after each change, with the (layer, unit) it touched; returns what ends it.

        It runs on the thread that made the change, before the next change can be made: put what it says in a mailbox.
        """
        self._observers.append(function)
        return lambda: self._observers.remove(function) if function in self._observers else None

    # out and in

    def to_dict(self) -> dict[str, dict[str, list[str]]]:
        """``{layer: {unit: [words]}}``, JSON's types; an empty list is a unit looked at with nothing found."""
        with self._lock:
            return {
                layer: {str(unit): list(units[unit]) for unit in sorted(units)} for layer, units in self._of.items()
            }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """:meth:`to_dict` as JSON; returned, and written to a file (UTF-8) where one is named."""
        return _write(json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n", path, "utf-8")

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """A table with the columns layer, unit, tag: a row a tag, and one with no tag where nothing was found.

        Returned, and written to a file where one is named (UTF-8 with a mark that makes spreadsheets see it).
        A cell that a spreadsheet would run as a formula (=, +, -, @ first) gets an apostrophe in front;
        :meth:`from_csv` takes it off.
        """
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(_COLUMNS)
        for (layer, unit), words in self._items():
            table.writerows((_guard(layer), unit, _guard(word)) for word in words or ("",))
        return _write(text.getvalue(), path, "utf-8-sig")

    def to_frame(self) -> pd.DataFrame:
        """A pandas DataFrame with the columns layer, unit, tag: a row a tag, a missing one where nothing was found."""
        from peek_widget._optional import optional_import

        rows = [(layer, unit, word) for (layer, unit), words in self._items() for word in words or (None,)]
        return optional_import("pandas").DataFrame(rows, columns=list(_COLUMNS))

    @classmethod
    def from_dict(cls, given: Mapping[str, Mapping[Any, Iterable[str]]]) -> Tags:
        """What :meth:`to_dict` gave."""
        return cls(given)

    @classmethod
    def from_json(cls, source: str | os.PathLike[str] | TextIO) -> Tags:
        """What :meth:`to_json` wrote.

        Args:
            source: a file's path, an open file, or the text itself.

        Raises:
            TagError: in a sentence, if it can't be read, isn't JSON or says something else than tags.
        """
        try:
            given = json.loads(_text(source, _is_json), object_pairs_hook=_once)
        except (json.JSONDecodeError, RecursionError) as error:
            raise TagError(f"These tags are not JSON: {error}. Give what Tags.to_json wrote.") from error
        if not isinstance(given, dict):
            kind = type(given).__name__
            raise TagError(f"These tags are a {kind}, not a dict of layers: give what Tags.to_json wrote.")
        return cls(given)

    @classmethod
    def from_csv(cls, source: str | os.PathLike[str] | TextIO) -> Tags:
        """What :meth:`to_csv` wrote, or a table with the same three columns in any order.

        Args:
            source: a file's path, an open file, or the text itself (it has a line break). Columns are separated by
                commas, semicolons or tabs, as spreadsheets do.

        Raises:
            TagError: in a sentence, with the column or the line that is wrong.
        """
        text = _text(source, lambda text: "\n" in text)
        head = text.partition("\n")[0]
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
        tags = cls()
        try:
            names = [name.strip().casefold() for name in next(lines, [])]
            _columns(names)
            for cells in lines:
                if not cells:
                    continue
                if len(cells) != len(names):
                    raise TagError(f"{len(cells)} cells; the heading has {len(names)}.")
                row = dict(zip(names, cells, strict=True))
                place = _place(_bare(row["layer"]), row["unit"])
                words = [clean(_bare(row["tag"]))] if row["tag"].strip() else []
                tags._put(place, tags._joined(tags._at(place) or (), words))
        except (csv.Error, TagError) as error:
            raise TagError(f"Line {lines.line_num} of the table of tags: {error}") from error
        return tags

    def copy(self) -> Tags:
        """The same tags, to be edited apart (without the edits to take back)."""
        return Tags(self.to_dict())

    # a mapping

    def __getitem__(self, place: Place) -> tuple[str, ...]:
        words = self._at(place)
        if words is None:
            raise KeyError(place)
        return words

    def __iter__(self) -> Iterator[Place]:
        return iter([place for place, _ in self._items()])

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._of.values()))

    def __eq__(self, other: object) -> bool:
        return self._said() == other._said() if isinstance(other, Tags) else NotImplemented

    def __repr__(self) -> str:
        with self._lock:
            return f"<Tags: {len(self._uses)} words on {len(self)} units looked at in {len(self._of)} layers>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Tags, (self.to_dict(),)

    # inside

    def _items(self) -> list[tuple[Place, tuple[str, ...]]]:
        with self._lock:
            return [((layer, unit), units[unit]) for layer, units in self._of.items() for unit in sorted(units)]

    def _said(self) -> dict[Place, frozenset[str]]:
        return {place: frozenset(map(same, words)) for place, words in self._items()}

    def _at(self, place: Place) -> tuple[str, ...] | None:
        return self._of.get(place[0], {}).get(place[1])

    def _joined(self, has: Iterable[str], words: Iterable[str]) -> tuple[str, ...]:
        """Both, each word once and in the spelling that is already in use."""
        found: dict[str, str] = {}
        for word in (*has, *words):
            found.setdefault(same(word), self._spelling.get(same(word), word))
        return tuple(found.values())

    def _checked(self, layer: str, units: Units) -> list[Place]:
        places = _places(layer, units)
        for place in places if self._check else ():
            self._check(*place)
        return places

    def _put(self, place: Place, words: tuple[str, ...] | None) -> None:
        layer, unit = place
        units = self._of.setdefault(layer, {})
        for word in units.pop(unit, None) or ():
            key = same(word)
            self._uses[key] -= 1
            if not self._uses[key]:
                del self._uses[key], self._spelling[key]
        if words is not None:
            for word in words:
                self._uses[same(word)] += 1
                self._spelling[same(word)] = word
            units[unit] = words
        elif not units:
            del self._of[layer]

    def _edit(self, wanted: Mapping[Place, tuple[str, ...] | None]) -> None:
        changes = {place: (self._at(place), words) for place, words in wanted.items() if self._at(place) != words}
        if not changes:
            return
        for place, (_, words) in changes.items():
            self._put(place, words)
        self._undo = [*self._undo[1 - _EDITS :], changes]
        self._redo.clear()
        self._tell(changes)

    def _back(self, source: list[Any], target: list[Any], side: int) -> frozenset[Place]:
        with self._lock:
            if not source:
                return frozenset()
            changes = source.pop()
            for place, values in changes.items():
                self._put(place, values[side])
            target.append(changes)
            return self._tell(changes)

    def _tell(self, changes: Mapping[Place, Any]) -> frozenset[Place]:
        changed = frozenset(changes)
        for function in tuple(self._observers):
            function(changed)
        return changed


def _unit(unit: Any) -> int:
    """A unit's number, from a number or the digits of one."""
    if isinstance(unit, str) and unit.strip().isascii() and unit.strip().isdigit():
        unit = int(unit)
    try:
        number = operator.index(unit)
    except TypeError:
        number = -1
    if number < 0 or isinstance(unit, bool):
        raise TagError(f"A unit is a whole number, 0 or more; {unit!r} was given.")
    return number


def _place(layer: Any, unit: Any) -> Place:
    if not isinstance(layer, str) or any(unicodedata.category(letter) == "Cs" for letter in layer):
        raise TagError(f"A layer is its name, as text; {layer!r} was given.")
    return layer, _unit(unit)


def _places(layer: str, units: Units) -> list[Place]:
    several = isinstance(units, Iterable) and not isinstance(units, str)
    return [_place(layer, unit) for unit in dict.fromkeys(units if several else [units])]


def _read(given: Any) -> Iterator[tuple[Place, list[str]]]:
    """The entries of what should be ``{layer: {unit: [words]}}``."""
    shape = "Tags are {layer: {unit: [words]}}"
    if not isinstance(given, Mapping):
        raise TagError(f"{shape}; a {type(given).__name__} was given.")
    for layer, units in given.items():
        if not isinstance(units, Mapping):
            raise TagError(f"{shape}; of layer {layer!r} a {type(units).__name__} was given.")
        for unit, words in units.items():
            if isinstance(words, str) or not isinstance(words, Iterable):
                raise TagError(f"{shape}; of unit {unit!r} of {layer!r} {words!r} was given: a list is wanted.")
            yield _place(layer, unit), [clean(word) for word in words]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names all differ: of two equal ones JSON would silently keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, uses in Counter(name for name, _ in pairs).items() if uses > 1)
        raise TagError(f"The tags name {twice!r} twice in one place; write each layer and each unit once.")
    return found


def _columns(names: list[str]) -> None:
    unknown = [name for name in names if name not in _COLUMNS]
    missing = [name for name in _COLUMNS if name not in names]
    if unknown or missing or len(names) > len(_COLUMNS):
        wrong = [f"unknown: {', '.join(map(repr, unknown))}"] if unknown else []
        wrong += [f"missing: {', '.join(map(repr, missing))}"] if missing else []
        raise TagError(f"the columns are layer, unit, tag, each once ({'; '.join(wrong) or 'one is there twice'}).")


def _guard(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _bare(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _is_json(text: str) -> bool:
    if "{" in text:
        return True
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _text(source: Any, is_text: Callable[[str], bool]) -> str:
    """The text of a source: itself if it looks like that, else what the file of that name holds."""
    if hasattr(source, "read"):
        text = source.read()
        return (text.decode("utf-8-sig") if isinstance(text, bytes) else text).removeprefix("\ufeff")
    if isinstance(source, str) and "\n" not in source and not source.strip():
        raise TagError("There are no tags in an empty text: give a path, an open file, or what Tags wrote.")
    if isinstance(source, str) and is_text(source):
        return source.removeprefix("\ufeff")
    if not isinstance(source, (str, os.PathLike)):
        raise TagError(f"Tags are read from a path, an open file or text; a {type(source).__name__} was given.")
    try:
        return Path(source).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TagError(f"The tags in {str(source)[:200]!r} can't be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise TagError(f"{str(source)[:200]!r} is not text in UTF-8: save the table as 'CSV UTF-8'.") from error


def _write(text: str, path: str | os.PathLike[str] | None, encoding: str) -> str:
    """The text; where a path is given also a file of it, which is there whole or not at all."""
    if path is None:
        return text
    part = Path(f"{os.fspath(path)}.part")
    try:
        part.write_bytes(text.encode(encoding))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise TagError(f"The tags can't be written to {os.fspath(path)!r}: {error.strerror or error}.") from error
    return text

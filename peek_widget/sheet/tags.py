"""The user's tags on units: added, removed, counted, merged, undone. Pure Python.

A tag is a few words that the user gives a unit of a layer: ``"dog"``, ``"left eye"``. It is trimmed, white space within
it becomes single spaces, and it is composed (Unicode NFC). Case is kept as it was first written but does not tell tags
apart: ``"Dog"`` given after ``"dog"`` is ``dog`` again. Markup is plain text.

A unit that was reviewed and given no tag is not the same as one that nobody has reviewed: the first has an empty
tuple of tags here, the second is absent. Shares are of the units reviewed.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from peek_widget.errors import TagError
from peek_widget.sheet import tags_io
from peek_widget.sheet.counts import Count
from peek_widget.sheet.suggestions import Suggestion, suggestions
from peek_widget.sheet.tags_io import clean, same, unit_key, unit_number

if TYPE_CHECKING:
    import pandas as pd

    from peek_widget.evidence.survey import Survey

__all__ = ["Tags", "UnitKey"]

UnitKey = tuple[str, int]
"""Name of a layer and number of a unit."""

Units = int | Iterable[int]

_UNDO_LIMIT = 1000
"""Number of edits that can be undone."""


class Tags(Mapping[UnitKey, tuple[str, ...]]):
    """Tags on units; a mapping from (layer, unit), of each unit that was reviewed, to its tags in the order given.

    Two are equal if they have the same tags on the same units, regardless of order and case. Edits may come from
    several threads.

    Args:
        given: tags as :meth:`to_dict` gives them, ``{layer: {unit: [words]}}``; units as numbers or as text.

    Raises:
        TagError: if they are anything else.
    """

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __init__(self, given: Mapping[str, Mapping[Any, Iterable[str]]] | None = None) -> None:
        self._of: dict[str, dict[int, tuple[str, ...]]] = {}
        self._spelling: dict[str, str] = {}  # by same(word), as long as a unit has it
        self._uses: Counter[str] = Counter()
        self._undo: list[dict[UnitKey, tuple[Any, Any]]] = []
        self._redo: list[dict[UnitKey, tuple[Any, Any]]] = []
        self._observers: list[Callable[[frozenset[UnitKey]], object]] = []
        self._check: Callable[[str, int], object] | None = None
        self._lock = threading.RLock()
        for key, words in tags_io.layer_tags(given or {}):
            self._put(key, self._joined(self._at(key) or (), words))

    # Reading

    def of(self, layer: str, unit: int) -> tuple[str, ...]:
        """Return a unit's tags in the order given; none if it has none or was not reviewed."""
        return self._at((layer, unit_number(unit))) or ()

    def units(self, layer: str, word: str) -> list[int]:
        """Return the units that carry a tag, ascending."""
        wanted = same(word)
        with self._lock:
            return sorted(
                unit for unit, words in self._of.get(layer, {}).items() if any(same(has) == wanted for has in words)
            )

    def words(self, layer: str | None = None) -> list[str]:
        """Return the tags in use in a layer (left out: in all), those on the most units first, then alphabetically."""
        with self._lock:
            layers = self._of.values() if layer is None else [self._of.get(layer, {})]
            uses = Counter(word for units in layers for words in units.values() for word in words)
        return sorted(uses, key=lambda word: (-uses[word], same(word)))

    @property
    def layers(self) -> list[str]:
        """The layers of which a unit was reviewed, in the order of the first review."""
        with self._lock:
            return list(self._of)

    def reviewed(self, layer: str) -> list[int]:
        """Return the units that were reviewed, tagged or not, ascending."""
        with self._lock:
            return sorted(self._of.get(layer, {}))

    def count(self, layer: str, total: int) -> list[Count]:
        """Count how many of the layer's ``total`` units carry each tag, most first.

        Raises:
            TagError: if a unit beyond ``total`` was reviewed.
        """
        with self._lock:
            reviewed = dict(self._of.get(layer, {}))
            words = self.words(layer)
        if reviewed and max(reviewed) >= total:
            raise TagError(
                f"{layer or 'the output'} is said to have {total} units, but unit {max(reviewed)} is tagged: "
                f"take that back with tags.forget({layer!r}, {max(reviewed)})."
            )
        uses = Counter(word for has in reviewed.values() for word in has)
        return [Count.of(word, uses[word], len(reviewed), total) for word in words]

    def suggest(self, survey: Survey, level: float | None = None) -> list[Suggestion]:
        """Return the tags that a survey of real images proposes for units that don't carry them yet.

        Args:
            survey: survey of the layer (:func:`peek_widget.survey`).
            level: accepted false discovery rate; left out, the survey's.

        Returns:
            Suggestions by unit, the surest of each first.
        """
        return suggestions(survey, self.of, level)

    # Editing

    def check(self, function: Callable[[str, int], object]) -> None:
        """Call a function with each layer and unit to be tagged from now on; if it raises, the edit is refused."""
        self._check = function

    def add(self, layer: str, units: Units, *words: str) -> None:
        """Tag a unit, or several at once, with each of the words; tags that it has stay where they are."""
        words = tuple(map(clean, words))
        with self._lock:
            self._edit({key: self._joined(self._at(key) or (), words) for key in self._checked(layer, units)})

    def remove(self, layer: str, units: Units, *words: str) -> None:
        """Remove tags; the units stay reviewed. A unit that doesn't carry the tag, or wasn't reviewed, is unchanged."""
        unwanted = set(map(same, words))
        with self._lock:
            now = {key: self._at(key) for key in _keys(layer, units)}
            self._edit(
                {key: tuple(w for w in has if same(w) not in unwanted) for key, has in now.items() if has is not None}
            )

    def replace(self, layer: str, unit: int, *words: str) -> None:
        """Give a unit exactly these tags; no tags mean that it was reviewed and nothing was found."""
        with self._lock:
            self._edit({key: self._joined((), map(clean, words)) for key in self._checked(layer, unit)})

    def rename(self, word: str, new: str, layer: str | None = None) -> None:
        """Rename a tag wherever it is used (in one layer); if the new one is in use, the two become one."""
        old, new = same(word), clean(new)
        with self._lock:
            now = {key: has for key, has in self._items() if layer is None or key[0] == layer}
            if same(new) == old:  # only the case differs: the one spelling changes
                now = dict(self._items())
                self._spelling[old] = new
            else:
                new = self._spelling.get(same(new), new)
            self._edit(
                {key: tuple(dict.fromkeys(new if same(w) == old else w for w in has)) for key, has in now.items()}
            )

    def mark_reviewed(self, layer: str, units: Units) -> None:
        """Mark units as reviewed; those without a tag count as "nothing found"."""
        with self._lock:
            self._edit({key: self._at(key) or () for key in self._checked(layer, units)})

    def forget(self, layer: str, units: Units) -> None:
        """Mark units as not reviewed; their tags are dropped."""
        with self._lock:
            self._edit(dict.fromkeys(_keys(layer, units)))

    def merge(self, other: Tags) -> Tags:
        """Add all of another's tags, as one edit, and return self. ``a | b`` makes new tags.

        A unit has the tags of both, and is reviewed if it is in either. The first one decides the order and case.
        """
        if not isinstance(other, Tags):
            raise TagError(f"merge takes Tags; a {type(other).__name__} was given (Tags.load reads a file).")
        theirs = dict(other._items())
        with self._lock:
            self._edit({key: self._joined(self._at(key) or (), words) for key, words in theirs.items()})
        return self

    def __or__(self, other: Tags) -> Tags:
        return self.copy().merge(other) if isinstance(other, Tags) else NotImplemented

    def assign(self, other: Tags) -> None:
        """Become equal to other tags, as one edit."""
        theirs = dict(other._items())
        with self._lock:
            self._edit({**dict.fromkeys(self), **{key: self._joined((), words) for key, words in theirs.items()}})

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to undo."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone edit to redo."""
        return bool(self._redo)

    def undo(self) -> frozenset[UnitKey]:
        """Undo the last edit; return the (layer, unit) keys that it changed, none if there is no edit."""
        return self._go_back(self._undo, self._redo, 0)

    def redo(self) -> frozenset[UnitKey]:
        """Redo the edit that was undone last; return the keys that it changed."""
        return self._go_back(self._redo, self._undo, 1)

    def observe(self, function: Callable[[frozenset[UnitKey]], object]) -> Callable[[], None]:
        """Call a function after each change, with the (layer, unit) keys it touched; return a function that ends this.

        The function runs on the thread that made the change, with the lock held: it should only leave a note for
        another thread.
        """
        self._observers.append(function)
        return lambda: self._observers.remove(function) if function in self._observers else None

    # Saving and loading

    def to_dict(self) -> dict[str, dict[str, list[str]]]:
        """Return ``{layer: {unit: [words]}}``, JSON's types; an empty list is a unit reviewed, with nothing found."""
        with self._lock:
            return {
                layer: {str(unit): list(units[unit]) for unit in sorted(units)} for layer, units in self._of.items()
            }

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON."""
        return tags_io.to_json(self.to_dict())

    def to_csv(self) -> str:
        """Return a table with the columns layer, unit, tag: a row for each tag, or one without where nothing was found.

        A cell that a spreadsheet would run as a formula gets an apostrophe in front; :meth:`from_csv` takes it off.
        """
        return tags_io.to_csv(self._items())

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with the columns layer, unit, tag; the tag is missing where nothing was found."""
        return tags_io.to_frame(self._items())

    @classmethod
    def from_dict(cls, given: Mapping[str, Mapping[Any, Iterable[str]]]) -> Tags:
        """Make tags from what :meth:`to_dict` returned."""
        return cls(given)

    @classmethod
    def from_json(cls, text: str) -> Tags:
        """Make tags from what :meth:`to_json` returned.

        Raises:
            TagError: in a sentence, if it isn't JSON or holds anything but tags.
        """
        return cls(tags_io.read_json(text))

    @classmethod
    def from_csv(cls, source: str | TextIO) -> Tags:
        """Make tags from what :meth:`to_csv` returned, or from a table with the same three columns in any order.

        Args:
            source: the text, or an open file. Columns are separated by commas, semicolons or tabs, as spreadsheets do.

        Raises:
            TagError: in a sentence, with the column or the line that is wrong.
        """
        tags = cls()
        for key, words in tags_io.read_csv(source):
            tags._put(key, tags._joined(tags._at(key) or (), words))
        return tags

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tags to a .json or a .csv, atomically.

        Raises:
            TagError: if the extension is another one, or the file can't be written.
        """
        tags_io.save(self.to_json() if tags_io.suffix(path) == ".json" else self.to_csv(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tags:
        """Read the tags of a .json or a .csv, written by :meth:`save` or by a spreadsheet.

        Raises:
            TagError: in a sentence, if the file can't be read or holds anything but tags.
        """
        read = cls.from_json if tags_io.suffix(path) == ".json" else cls.from_csv
        return read(tags_io.load(path))

    def copy(self) -> Tags:
        """Return a copy that can be edited separately, without the edits to undo."""
        return Tags(self.to_dict())

    # Mapping

    def __getitem__(self, key: UnitKey) -> tuple[str, ...]:
        words = self._at(key)
        if words is None:
            raise KeyError(key)
        return words

    def __iter__(self) -> Iterator[UnitKey]:
        return iter([key for key, _ in self._items()])

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._of.values()))

    def __eq__(self, other: object) -> bool:
        return self._comparable() == other._comparable() if isinstance(other, Tags) else NotImplemented

    def __repr__(self) -> str:
        with self._lock:
            return f"<Tags: {len(self._uses)} tags on {len(self)} units reviewed in {len(self._of)} layers>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Tags, (self.to_dict(),)

    # Internal, with the lock held

    def _items(self) -> list[tuple[UnitKey, tuple[str, ...]]]:
        with self._lock:
            return [((layer, unit), units[unit]) for layer, units in self._of.items() for unit in sorted(units)]

    def _comparable(self) -> dict[UnitKey, frozenset[str]]:
        return {key: frozenset(map(same, words)) for key, words in self._items()}

    def _at(self, key: UnitKey) -> tuple[str, ...] | None:
        return self._of.get(key[0], {}).get(key[1])

    def _joined(self, has: Iterable[str], words: Iterable[str]) -> tuple[str, ...]:
        """Return both, each tag once and in the spelling that is already in use."""
        found: dict[str, str] = {}
        for word in (*has, *words):
            found.setdefault(same(word), self._spelling.get(same(word), word))
        return tuple(found.values())

    def _checked(self, layer: str, units: Units) -> list[UnitKey]:
        keys = _keys(layer, units)
        for key in keys if self._check else ():
            self._check(*key)
        return keys

    def _put(self, key: UnitKey, words: tuple[str, ...] | None) -> None:
        layer, unit = key
        units = self._of.setdefault(layer, {})
        for word in units.pop(unit, None) or ():
            folded = same(word)
            self._uses[folded] -= 1
            if not self._uses[folded]:
                del self._uses[folded], self._spelling[folded]
        if words is not None:
            for word in words:
                self._uses[same(word)] += 1
                self._spelling[same(word)] = word
            units[unit] = words
        elif not units:
            del self._of[layer]

    def _edit(self, wanted: Mapping[UnitKey, tuple[str, ...] | None]) -> None:
        changes = {key: (self._at(key), words) for key, words in wanted.items() if self._at(key) != words}
        if not changes:
            return
        for key, (_, words) in changes.items():
            self._put(key, words)
        self._undo = [*self._undo[1 - _UNDO_LIMIT :], changes]
        self._redo.clear()
        self._notify(changes)

    def _go_back(self, source: list[Any], target: list[Any], side: int) -> frozenset[UnitKey]:
        with self._lock:
            if not source:
                return frozenset()
            changes = source.pop()
            for key, values in changes.items():
                self._put(key, values[side])
            target.append(changes)
            return self._notify(changes)

    def _notify(self, changes: Mapping[UnitKey, Any]) -> frozenset[UnitKey]:
        changed = frozenset(changes)
        for function in tuple(self._observers):
            function(changed)
        return changed


def _keys(layer: str, units: Units) -> list[UnitKey]:
    several = isinstance(units, Iterable) and not isinstance(units, str)
    return [unit_key(layer, unit) for unit in dict.fromkeys(units if several else [units])]

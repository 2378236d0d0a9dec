"""The user's words on units, as the explorer keeps them: one set of tags, edited from pages and from Python alike.

A page never sends tags, only what was done to them ("put this word on these units"): two pages, or a page and a cell,
that tag at the same time then lose nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from peek_widget.errors import PeekError, TagError
from peek_widget.live import protocol
from peek_widget.network import Network
from peek_widget.sheet import Tags
from peek_widget.sheet.tags import clean

__all__ = ["TagBook"]

SOON = 0.02
"""Seconds after which an edit of the tags themselves is told: a loop over a layer is told a few times."""


class TagBook:
    """Tags and the letters that give them.

    Args:
        network: gives the network as it is now read, whose layers can be tagged.
        changed: called after each change, on the thread that made it and with no lock held.
    """

    def __init__(self, network: Callable[[], Network], changed: Callable[[], None]) -> None:
        self.tags: Tags = Tags()
        self._network, self._changed = network, changed
        self._keys: dict[str, str] = {}
        self._problem = ""
        self._lock = threading.Lock()
        self._telling = False
        self._editing = threading.local()
        self.tags.observe(self._noticed)

    # -- in and out, as the traits have it

    @property
    def keys(self) -> dict[str, str]:
        """The word of each letter."""
        return dict(self._keys)

    def as_dict(self) -> dict[str, dict[str, list[str]]]:
        """`{layer: {unit: [words]}}`, as the `tags` trait has it."""
        return self.tags.to_dict()

    def assign(self, given: Any) -> None:
        """Take other tags instead, as one edit.

        Raises:
            PeekError: if they are no tags, or of a layer or a unit that the model does not have.
        """
        new = given if isinstance(given, Tags) else Tags(given)
        for layer in new.layers:
            self._network().check_unit(layer, max(new.reviewed(layer)))
        with self._edit():
            self.tags.assign(new)

    def assign_keys(self, given: Any) -> None:
        """Take other letters instead.

        Raises:
            TagError: if it is no dict of letters and words.
        """
        if not isinstance(given, Mapping):
            raise TagError(
                f"tag_keys is a dict of letters and words, {{'d': 'dog'}}; a {type(given).__name__} was given."
            )
        keys = {}
        for key, word in given.items():
            if not isinstance(key, str) or len(key) != 1 or not "a" <= key <= "z":
                raise TagError(f"A key is a letter from 'a' to 'z'; {key!r} was given.")
            keys[key] = clean(word)
        with self._edit():
            self._keys = keys

    # -- from a page

    def receive(self, message: protocol.TagMessage) -> None:
        """Do what a page asks; what is not possible is said in its panel."""
        with self._edit():
            try:
                self._obey(message)
                self._problem = ""
            except PeekError as error:
                self._problem = str(error)

    def _obey(self, message: protocol.TagMessage) -> None:
        match message:
            case protocol.Tag(layer, units, words, on):
                self._check(layer, units)
                (self.tags.add if on else self.tags.remove)(layer, units, *words)
            case protocol.TagReviewed(layer, units, on):
                self._check(layer, units)
                (self.tags.mark_reviewed if on else self.tags.forget)(layer, units)
            case protocol.TagUndo(again):
                self.tags.redo() if again else self.tags.undo()
            case protocol.TagKey(key, word):
                keys = {letter: has for letter, has in self._keys.items() if letter != key}
                if word:
                    word = clean(word)
                    # a word has one key
                    keys = {letter: has for letter, has in keys.items() if has.casefold() != word.casefold()}
                    keys[key] = word
                self._keys = keys

    def _check(self, layer: str, units: tuple[int, ...]) -> None:
        for unit in units or (0,):
            self._network().check_unit(layer, unit)

    # -- what the panel says

    def counts(self, layer: str) -> dict[str, Any]:
        """The `counts` message of a layer."""
        total, rows, problem = self._network().layer(layer).channels, [], self._problem
        try:
            rows = [[one.word, one.units, str(one)] for one in self.tags.count(layer, total)]
        except PeekError as error:
            problem = str(error)
        return {
            "kind": "counts",
            "layer": layer,
            "rows": rows,
            "looked": len(self.tags.reviewed(layer)),
            "total": total,
            "undo": self.tags.can_undo,
            "redo": self.tags.can_redo,
            "problem": problem,
        }

    # -- telling

    @contextlib.contextmanager
    def _edit(self) -> Iterator[None]:
        """One edit of ours: what it changes is told once, when it is made."""
        self._editing.now = True
        try:
            yield
        finally:
            self._editing.now = False
        self._changed()

    def _noticed(self, _: frozenset[Any]) -> None:
        # Somebody holds the tags themselves. Their lock is held here, and the observers of a trait may want any other.
        if getattr(self._editing, "now", False):
            return
        with self._lock:
            if self._telling:
                return
            self._telling = True
        threading.Thread(target=self._tell_soon, name="peek_widget.tags", daemon=True).start()

    def _tell_soon(self) -> None:
        time.sleep(SOON)
        with self._lock:
            self._telling = False
        self._changed()

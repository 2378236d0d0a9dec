"""The tags of an explorer: one set, edited both from pages and from Python.

A page never sends all tags, only edits ("add this tag to these units"), so that two pages, or a page and a cell, that
tag at the same time lose nothing.
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
from peek_widget.sheet.tags_io import clean

__all__ = ["TagBook"]

NOTIFY_AFTER = 0.02
"""Seconds from an edit in Python to its notification, so that a loop over a layer notifies only a few times."""


class TagBook:
    """The tags of units, and the keyboard keys that add them.

    Args:
        network: returns the current network, whose layers can be tagged.
        changed: called after each change, with no lock held: in the thread that made it or, for an edit of
            :attr:`tags` in Python, soon afterwards in another thread.

    Attributes:
        tags: the tags, which any thread may edit.
    """

    def __init__(self, network: Callable[[], Network], changed: Callable[[], None]) -> None:
        self.tags: Tags = Tags()
        self._network, self._changed = network, changed
        self._keys: dict[str, str] = {}
        self._problem = ""
        self._lock = threading.Lock()
        self._notifying = False
        self._editing = threading.local()
        self.tags.observe(self._on_edit)

    # -- the values of the traits

    @property
    def keys(self) -> dict[str, str]:
        """The tag of each key, by letter."""
        return dict(self._keys)

    def as_dict(self) -> dict[str, dict[str, list[str]]]:
        """Return the value of the `tags` trait, `{layer: {unit: [tags]}}`."""
        return self.tags.to_dict()

    def assign(self, given: Any) -> None:
        """Replace all tags, as one edit.

        Raises:
            PeekError: if they are not tags, or are of a layer or a unit that the model does not have.
        """
        new = given if isinstance(given, Tags) else Tags(given)
        for layer in new.layers:
            self._network().check_unit(layer, max(new.reviewed(layer)))
        with self._edit():
            self.tags.assign(new)

    def assign_keys(self, given: Any) -> None:
        """Replace all keys.

        Raises:
            TagError: if it is not a dict of letters and tags.
        """
        if not isinstance(given, Mapping):
            raise TagError(
                f"tag_keys is a dict of letters and tags, {{'d': 'dog'}}; a {type(given).__name__} was given."
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
        """Make an edit that a page asks for; an error is shown in its panel."""
        with self._edit():
            try:
                self._apply(message)
                self._problem = ""
            except PeekError as error:
                self._problem = str(error)

    def _apply(self, message: protocol.TagMessage) -> None:
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
                    # a tag has only one key
                    keys = {letter: has for letter, has in keys.items() if has.casefold() != word.casefold()}
                    keys[key] = word
                self._keys = keys

    def _check(self, layer: str, units: tuple[int, ...]) -> None:
        for unit in units or (0,):
            self._network().check_unit(layer, unit)

    # -- for the panel

    def counts(self, layer: str) -> dict[str, Any]:
        """Return the `counts` message of a layer."""
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

    # -- notifications

    @contextlib.contextmanager
    def _edit(self) -> Iterator[None]:
        """Make one edit in this thread, with a single notification at the end."""
        self._editing.now = True
        try:
            yield
        finally:
            self._editing.now = False
        self._changed()

    def _on_edit(self, _: frozenset[Any]) -> None:
        """Notify soon of an edit of :attr:`tags` itself.

        The notification comes from another thread, since the lock of the tags is held here and observers may need
        other locks.
        """
        if getattr(self._editing, "now", False):
            return
        with self._lock:
            if self._notifying:
                return
            self._notifying = True
        threading.Thread(target=self._notify_soon, name="peek_widget.tags", daemon=True).start()

    def _notify_soon(self) -> None:
        time.sleep(NOTIFY_AFTER)
        with self._lock:
            self._notifying = False
        self._changed()

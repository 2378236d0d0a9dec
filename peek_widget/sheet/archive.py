"""The results of a sheet: its pictures, tags and problems in memory, and in its store if it has one."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Iterable, Mapping

from peek_widget.errors import FileError, SheetStoreError
from peek_widget.sheet import table
from peek_widget.sheet.header import SheetHeader
from peek_widget.sheet.store import INDEX, TAGS, Store, name_of
from peek_widget.sheet.tags import Tags
from peek_widget.sheet.unit import SheetUnit, from_png

__all__ = ["Archive"]

log: logging.Logger = logging.getLogger("peek_widget")


class Archive:
    """Everything that is known about a sheet's units.

    Opening it loads what the store already holds. The sheet, a scheduler that draws it and the widget's service
    share one archive; results may be added from several threads.

    Args:
        header: header of the sheet.
        units: numbers of the sheet's units.
        store: where pictures, tags and index are saved; None to keep them in memory only.
        best: highest activation of a real image by unit, for the gauge.
        tags: the user's tags, to which those in the store are added; left out, those in the store.

    Raises:
        SheetStoreError: if the store is another sheet's, or can't be read or written.

    Attributes:
        header: as given.
        units: as given, in the order given.
        store: as given.
        best: as given.
        done: finished pictures by unit.
        drafts: previews by unit, also of units that have been finished since.
        failed: why a unit can't be drawn, as a sentence, by unit.
        notes: sentences about invalid files in the store, by the file's name.
        unsaved: finished pictures that are not in the store yet, for lack of room, say.
    """

    def __init__(
        self,
        header: SheetHeader,
        units: Iterable[int],
        *,
        store: Store | None = None,
        best: Mapping[int, float] | None = None,
        tags: Tags | None = None,
    ) -> None:
        self.header: SheetHeader = header
        self.store: Store | None = store
        self.best: Mapping[int, float] = dict(best or {})
        self.done: dict[int, SheetUnit] = {}
        self.drafts: dict[int, SheetUnit] = {}
        self.failed: dict[int, str] = {}
        self.notes: dict[str, str] = {}
        self.unsaved: dict[int, SheetUnit] = {}
        self.units: tuple[int, ...] = tuple(units)
        self._members = frozenset(self.units)
        self._tags = tags
        self._tags_loaded = False
        self._stored_tags = b""
        """The tags file as it was last read or written; any other content is another process's."""
        if store is None:
            return
        store.open(header.to_dict(), header.difference)
        store.unpack(self._check)
        self.load(store.units())
        for name in store.invalid():
            self._note(name, f"{name} is not a unit's picture: it is left alone.")
        self.save_index()

    # Pictures

    def add(self, finished: Iterable[SheetUnit], failed: Mapping[int, str] | None = None) -> None:
        """Add results, in memory only; :meth:`save_pictures` then saves what is finished.

        Args:
            finished: pictures, including previews.
            failed: units that can't be drawn, each with the reason in a sentence.
        """
        self.failed.update(failed or {})
        for one in finished:
            if one.draft:
                self.drafts[one.unit] = one
                continue
            self.done[one.unit] = one
            self.drafts.pop(one.unit, None)
            if self.store is not None:
                self.unsaved[one.unit] = one

    def save_pictures(self, key: str = "rest") -> None:
        """Write the finished pictures that are not in the store yet.

        Args:
            key: name for the journal that makes the writing all or nothing.

        Raises:
            SheetStoreError: if not all could be written; the others stay in :attr:`unsaved`.
        """
        if self.store is None or not self.unsaved:
            return
        pictures = dict(self.unsaved)
        try:
            self.store.save(key, list(pictures.values()))
        except SheetStoreError:
            there = self.store.units()
            self.unsaved = {unit: one for unit, one in self.unsaved.items() if unit not in there}
            raise
        for unit in pictures:
            self.unsaved.pop(unit, None)

    def recover(self) -> None:
        """Finish what was interrupted: batches that a killed process left in a journal, and pictures not saved yet.

        Raises:
            SheetStoreError: if the store can't be read or written.
        """
        if self.store is not None:
            self.store.unpack(self._check)
            self.save_pictures()

    def load(self, units: Iterable[int]) -> list[SheetUnit]:
        """Load pictures of these units from the store, check each, and return them.

        An invalid file is set aside (see :meth:`Store.quarantine`) and its unit is drawn again. Units that are
        finished already, or are not on the sheet, are left out.
        """
        if self.store is None:
            return []
        loaded = []
        for unit, found in self.store.load(sorted((set(units) & self._members) - set(self.done)), self._check):
            if isinstance(found, SheetUnit):
                self.done[unit] = found
                self.drafts.pop(unit, None)
                loaded.append(found)
            else:
                self._refuse(unit, found)
        return loaded

    def load_new(self) -> list[SheetUnit]:
        """Load and return what other processes have finished meanwhile."""
        return [] if self.store is None else self.load(self.store.units())

    def save_index(self) -> None:
        """Write the table of the pictures if the stored one differs; it is derived, so a failure loses nothing."""
        if self.store is None:
            return
        saved = [self.done[unit] for unit in self.units if unit in self.done and unit not in self.unsaved]
        try:
            table.save(self.store, INDEX, self.header.layer, saved, self.recipe_fingerprint, self.tags)
        except SheetStoreError as error:
            log.warning("The index is not up to date: %s", error)

    @property
    def recipe_fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the recipe's JSON."""
        return hashlib.sha256(self.header.recipe.to_json().encode()).hexdigest()[:16]

    # Tags

    @property
    def tags(self) -> Tags:
        """The tags of the sheet's units; those in the store are read on first use.

        Raises:
            SheetStoreError: if the store can't be read.
        """
        if not self._tags_loaded:
            found = None if self.store is None else self.store.read(TAGS)
            self._stored_tags = found or b""
            stored = Tags() if found is None else self._read_tags(found)
            if self._tags is None:
                self._tags = stored
                self._tags.check(self.header.network.check_unit)
            elif stored:
                self._tags.merge(stored)
            self._tags_loaded = True
        assert self._tags is not None
        return self._tags

    def save_tags(self) -> None:
        """Write the tags to the store; those that another process wrote there meanwhile are merged in.

        Raises:
            SheetStoreError: if they can't be read or written.
        """
        if self.store is None:
            return
        ours = self.tags
        there = self.store.read(TAGS) or b""
        if there and there != self._stored_tags:
            ours.merge(self._read_tags(there))
        written = ours.to_json().encode()
        if written != there and (there or len(ours)):
            self.store.write(TAGS, written)
        self._stored_tags = written if there or len(ours) else b""

    def _read_tags(self, written: bytes) -> Tags:
        try:
            return Tags.from_json(written.decode())
        except ValueError as error:  # as PeekError and UnicodeDecodeError are
            name = f"{TAGS}.{hashlib.sha256(written).hexdigest()[:8]}.torn"
            assert self.store is not None
            # Reported once, and left in its place, since another process may be writing a good one there now.
            if self.store.read(name) is None:
                self.store.write(name, written)
                self._note(TAGS, f"{TAGS} can't be read ({error}); it is copied to {name!r}, and the tags start empty.")
            return Tags()

    # Checks

    def _check(self, png: bytes, name: str) -> SheetUnit:
        """Read a picture of this very sheet; FileError for anything else."""
        one, drawing = from_png(png, name)
        self.header.check(one, drawing, name)
        best = self.best.get(one.unit)
        if best is not None:
            one = dataclasses.replace(one, gauge=one.activation / best if best > 0.0 else None)
        return one

    def _refuse(self, unit: int, error: FileError) -> None:
        """Set aside an invalid file that has a unit's name, and report it once."""
        assert self.store is not None
        name = name_of(unit)
        if name in self.notes:
            return
        aside = self.store.quarantine(name)
        where = f" What stood there is now {aside!r}." if aside else ""
        self._note(name, f"{error} Unit {unit} is drawn again.{where}")

    def _note(self, name: str, why: str) -> None:
        self.notes[name] = why
        log.warning("%s", why)

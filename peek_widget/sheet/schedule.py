"""The scheduler of a sheet: which units are drawn next, and their drawing, one step at a time.

A script (``ContactSheet.draw``) and the widget's service use the same scheduler, and so share the work of one
store with each other and with other machines.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from peek_widget.sheet.archive import Archive
from peek_widget.sheet.batches import Batch
from peek_widget.sheet.leases import Leases
from peek_widget.sheet.local import Runner
from peek_widget.sheet.unit import SheetUnit

__all__ = ["POLL", "Advance", "Scheduler", "batch_key", "next_batch"]

POLL = 0.5
"""Seconds between two checks of the store for what other processes have finished."""

_POLL_SHARE = 0.05
"""Share of the time that these checks may take: with an object store each takes long."""


@dataclass(frozen=True)
class Advance:
    """The result of one call of :meth:`Scheduler.step`.

    Attributes:
        arrived: pictures that are new on the sheet, including previews: drawn here, or found in the store.
        failed: units that can't be drawn, each with the reason in a sentence.
        waiting: whether other processes draw all that is missing; call again after :data:`POLL` seconds.
        done: whether nothing is left to draw.
    """

    arrived: tuple[SheetUnit, ...] = ()
    failed: Mapping[int, str] = field(default_factory=dict)
    waiting: bool = False
    done: bool = False


def batch_key(batch: Batch) -> str:
    """Return a batch's name in the store: the same in every process that makes the same call."""
    digest = hashlib.sha256(repr(batch.units).encode()).hexdigest()[:8]
    return f"{batch.number:05d}-{digest}"


def next_batch(batches: Sequence[Batch], there: Collection[int], view: Sequence[int]) -> Batch | None:
    """Choose what to draw next: missing units that are in view, in the order of the view, then the rest as planned.

    Args:
        batches: a plan.
        there: units to leave out: they are drawn, can't be drawn, or are being drawn.
        view: units in view, the one under the pointer first.

    Returns:
        None where nothing is missing. For a plan whose units don't go through the network together (on a CPU, with
        large views) a batch of just the units in view, since they come out the same in any batch. Else the
        plan's own batch, or what is left of it.
    """
    owner = {unit: number for number, batch in enumerate(batches) for unit in batch.units} if view else {}
    missing = [unit for unit in dict.fromkeys(view) if unit in owner and unit not in there]
    if missing:
        batch = batches[owner[missing[0]]]
        if batch.together and not batch.draft:
            return batch.missing(there)
        units = tuple(missing[: len(batch.units)])
        return replace(batch, units=units, wanted=units)
    return next((left for batch in batches if (left := batch.missing(there)) is not None), None)


class Scheduler:
    """Draws what is missing on a sheet: units in view first, previews before the finished pictures.

    In a store each batch of the plan is leased before it is drawn, so that one of several processes draws it, and what
    the others finish is loaded as it comes. One thread at a time may call a scheduler; :attr:`view` may be set from
    any.

    Args:
        archive: results of the sheet, including those that exist already.
        batches: plan of the sheet.
        drafts: plan of its previews; empty for none. Previews are kept in memory only.
        make_runner: makes the runner that draws; called when there is something to draw.
        clock: seconds, monotonic.

    Attributes:
        archive: as given.
        view: units in view, the one under the pointer first.
        transfers: name of each worker that the last runner sent the model to, and number of its bytes.
    """

    def __init__(
        self,
        archive: Archive,
        batches: Iterable[Batch],
        drafts: Iterable[Batch] = (),
        *,
        make_runner: Callable[[], Runner],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.archive: Archive = archive
        self.view: tuple[int, ...] = ()
        self.transfers: list[tuple[str, int]] = []
        self._batches, self._drafts = tuple(batches), tuple(drafts)
        self._owner = {unit: batch for batch in self._batches for unit in batch.units}
        self._make_runner = make_runner
        self._clock = clock
        self._leases = None if archive.store is None else Leases(archive.store, clock)
        self._runner: Runner | None = None
        # The batches that are being drawn, each with the keys of its leases. Two pieces of one batch may share a lease.
        self._in_flight: dict[Batch, frozenset[str]] = {}
        self._arrived: list[SheetUnit] = []
        self._recovered = False
        self._paused = False
        self._refresh_at = -math.inf

    # What is left to do

    @property
    def pending(self) -> bool:
        """Whether something is left to draw or to save."""
        archive = self.archive
        return bool(
            self._in_flight
            or archive.unsaved
            or any(unit not in archive.done and unit not in archive.failed for unit in self._owner)
        )

    @property
    def in_flight(self) -> tuple[Batch, ...]:
        """The batches that are being drawn."""
        return tuple(self._in_flight)

    @property
    def progress(self) -> float:
        """Fraction of the steps made of the batches in flight; 0 where an executor draws."""
        return 0.0 if self._runner is None else self._runner.progress

    @property
    def previewing(self) -> bool:
        """Whether previews are still to be drawn."""
        return self._left_to_preview() > 0

    @property
    def units_left(self) -> float:
        """Number of previews that are left to draw or, after the last of them, of finished pictures.

        It falls with every step: a half-drawn batch counts as half as many units.
        """
        archive = self.archive
        left = self._left_to_preview()
        if not left:
            known = {*dict(archive.done), *dict(archive.failed)}
            left = sum(unit not in known for unit in self._owner)
        return left - self.progress * sum(len(batch.wanted) for batch in self._in_flight)

    def _left_to_preview(self) -> int:
        archive = self.archive
        known = {*dict(archive.done), *dict(archive.failed), *dict(archive.drafts)}
        return sum(unit not in known for batch in self._drafts for unit in batch.units)

    # Drawing

    def step(self, seconds: float = 0.0) -> Advance:
        """Draw one step of one batch, or for about this many seconds; what is finished is then in the archive.

        Raises:
            SheetStoreError: if pictures can't be saved; they are in memory, and a later step saves them.
            PeekError: if it can't go on (no memory for one picture, an executor that died). :meth:`close` then releases
                the leases, and a later step begins again.
        """
        if not self._recovered or self.archive.unsaved:
            self.archive.recover()
            self._recovered = True
        self._arrived += self.refresh()
        self._resume()
        self._dispatch()
        failed: dict[int, str] = {}
        waiting = False
        if self._in_flight:
            failed = self._work(seconds)
            self.heartbeat()
        else:
            waiting = self.pending
        done = not self.pending
        if done and self._leases is not None:
            self._leases.release()
            self._leases.sweep()
        arrived, self._arrived = tuple(self._arrived), []
        return Advance(arrived, failed, waiting, done)

    def refresh(self) -> list[SheetUnit]:
        """Load and return what other processes have finished; the store is checked every :data:`POLL` seconds."""
        began = self._clock()
        if self.archive.store is None or began < self._refresh_at:
            return []
        found = self.archive.load_new()
        ended = self._clock()
        self._refresh_at = ended + max(POLL, (ended - began) / _POLL_SHARE)
        return found

    def heartbeat(self) -> None:
        """Renew the leases; call it every few seconds while no step is made."""
        if self._leases is not None:
            self._leases.heartbeat()

    def pause(self) -> None:
        """Release the leases and keep half-drawn batches; the next step continues those that no other process drew."""
        if self._leases is not None and self._in_flight and not self._paused:
            self._leases.release()
            self._paused = True

    def abandon(self) -> None:
        """Drop half-drawn batches, and release their leases."""
        if self._runner is not None:
            self.transfers = self._runner.transfers
            self._runner.close()
        self._runner = None
        self._in_flight.clear()
        self._paused = False
        if self._leases is not None:
            self._leases.release()

    def close(self) -> None:
        """Drop half-drawn batches, and bring the store's index up to date. A later step begins again."""
        self.abandon()
        self._recovered = False
        self._refresh_at = -math.inf
        self.archive.save_index()

    def _resume(self) -> None:
        """Take the leases again after a pause, and drop batches that another process has drawn or leased meanwhile."""
        if self._paused:
            self._paused = False
            assert self._leases is not None
            if not all(self._leases.take(key) for key in frozenset().union(*self._in_flight.values())):
                self.abandon()
        done = self.archive.done
        if self._in_flight and all(unit in done for batch in self._in_flight for unit in batch.wanted):
            self.abandon()

    def _dispatch(self) -> None:
        """Give the runner as many batches as it takes."""
        while (self._runner is None or self._runner.free) and (found := self._next()) is not None:
            batch, keys = found
            if self._runner is None:
                self._runner = self._make_runner()
            self._runner.submit(batch)
            self._in_flight[batch] = keys

    def _next(self) -> tuple[Batch, frozenset[str]] | None:
        """Choose the next batch and lease what it is of; None if nothing is left, or others draw it."""
        archive = self.archive
        taken = {*dict(archive.done), *dict(archive.failed), *(u for b in self._in_flight for u in b.wanted)}
        draft = next_batch(self._drafts, taken | set(dict(archive.drafts)), self.view)
        if draft is not None:
            return draft, frozenset()
        if any(batch.draft for batch in self._in_flight):
            return None  # the previews first, all of them
        while (batch := next_batch(self._batches, taken, self.view)) is not None:
            keys, elsewhere = self._lease(batch)
            if not elsewhere:
                return batch, keys
            self._release(keys)
            taken |= elsewhere
        return None

    def _lease(self, batch: Batch) -> tuple[frozenset[str], set[int]]:
        """Lease the plan's batches that a batch is of.

        Returns:
            The keys of the leases, and units that need not be drawn here: others draw them, or have just finished them.
        """
        if self._leases is None:
            return frozenset(), set()
        owners = {batch_key(owner): owner for owner in (self._owner[unit] for unit in batch.wanted)}
        elsewhere: set[int] = set()
        new: set[int] = set()
        for key, owner in owners.items():
            if self._leases.holds(key):
                continue
            if self._leases.take(key):
                new |= set(owner.units)
            else:
                elsewhere |= set(owner.units)
        # Between the last look and the lease another process may have finished it.
        if new:
            arrived = self.archive.load(new)
            self._arrived += arrived
            elsewhere |= {one.unit for one in arrived}
        return frozenset(owners), elsewhere

    def _release(self, keys: Iterable[str]) -> None:
        """Release the leases that nothing in flight needs."""
        if self._leases is not None:
            for key in set(keys).difference(*self._in_flight.values()):
                self._leases.release(key)

    def _work(self, seconds: float) -> dict[int, str]:
        assert self._runner is not None
        results = self._runner.work(seconds)
        failed: dict[int, str] = {}
        for result in results:
            # Kept in memory before they are saved, so that a full disk loses nothing.
            self.archive.add(result.finished, result.failed)
            self._arrived += result.finished
            failed.update(result.failed)
        for result in results:
            self.archive.save_pictures(batch_key(result.batch))
            if result.last:
                self._release(self._in_flight.pop(result.batch))
        return failed

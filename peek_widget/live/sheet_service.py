"""The thread that draws the contact sheet of an explorer.

It draws what the page shows: the units in view first, previews before the finished pictures, nothing while the
sheet is closed or not visible. While the main run draws, it has one CPU thread and rests between two steps; otherwise
it draws several batches at once, each on its own thread.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peek_widget._progress import duration
from peek_widget._threads import set_threads
from peek_widget.errors import PeekError
from peek_widget.evidence import LayerEvidence, survey
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.service import Service
from peek_widget.live.sheet_cache import CachedSheet, SheetCache, SheetKey
from peek_widget.live.sheet_thumbnails import ThumbnailFeed
from peek_widget.network import Network
from peek_widget.network.precision import Precision
from peek_widget.sheet import ContactSheet, Tags
from peek_widget.sheet.schedule import POLL

__all__ = ["SheetKey", "SheetService"]

log: logging.Logger = logging.getLogger("peek_widget")

DUTY_CYCLE = 0.15
"""Share of the time that the sheet takes while the main run draws, the same as for a pass over the dataset."""

INTERVAL = 0.7
"""Seconds between two checks whether the page is visible, and between two progress reports."""

REPEAT = 20.0
"""Seconds after which the same report is sent again while a sheet is drawn.

The page acknowledges it, which tells the kernel that the page still exists."""

NEARLY_DONE = 0.6
"""Fraction of a batch's steps after which the batch is finished even if its units leave the view."""

SAVE_AFTER = 2.0
"""Seconds from an edit of the tags until they are saved."""


@dataclass
class _Requests:
    """Requests to the thread.

    Attributes:
        key: the sheet to show.
        open: whether the panel of the sheet is open.
        drawing: whether to draw.
        view: units in view, the one under the pointer first.
        ack: number of the last message that the page has received.
        similarity: whether to send the order by similarity.
        resend: whether a page has connected that has nothing yet.
        look: whether something may have changed for this service.
        save_tags: whether the tags have changed.
    """

    key: SheetKey | None = None
    open: bool | None = None
    drawing: bool | None = None
    view: tuple[int, ...] | None = None
    ack: int | None = None
    similarity: bool = False
    resend: bool = False
    look: bool = False
    save_tags: bool = False


class SheetService(Service[_Requests]):
    """A service that draws the contact sheet of an explorer. Its thread is started when the sheet is opened.

    Args:
        key: the sheet to begin with.
        front_end: sends messages to the page; used in this thread.
        network: returns the explorer's current network.
        watched: returns whether a visible page shows the explorer; otherwise nothing is drawn or sent.
        drawing: returns whether the main run is drawing; the sheet then yields to it.
        tags: the user's tags; saved in the store with the sheet.
        evidence: returns the complete evidence on a layer; None until it is complete.
        store: where sheets are saved, each in its own subfolder: a folder or any fsspec address; None for memory only.
        at_once: number of batches drawn at once, each on its own thread, while the main run stands still.
        precision: what the network computes in; see `peek_widget.ascent.AscentOptions`.
        clock: returns monotonic time in seconds.
    """

    def __init__(
        self,
        key: SheetKey,
        *,
        front_end: FrontEnd,
        network: Callable[[], Network],
        watched: Callable[[], bool],
        drawing: Callable[[], bool],
        tags: Tags | None = None,
        evidence: Callable[[str], LayerEvidence | None] = lambda _: None,
        store: str | None = None,
        at_once: int = 1,
        precision: Precision | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("peek_widget.sheet", _Requests, clock=clock)
        self._front_end, self._watched, self._main_run_draws = front_end, watched, drawing
        self._evidence, self._store = evidence, store
        self._cache = SheetCache(
            network,
            Tags() if tags is None else tags,
            store,
            at_once=lambda: 1 if drawing() else at_once,
            precision=precision,
            clock=clock,
        )
        self._key = key

        # the fields below are used by the service's own thread only
        self._feed = ThumbnailFeed(front_end)
        self._current: CachedSheet | None = None
        self._open = False
        self._enabled = True
        self._outdated = False
        self._similarity = False
        self._problem = ""
        self._rest_until = -math.inf
        self._wait_until = -math.inf
        self._save_at = math.inf
        self._report: tuple[Any, ...] | None = None
        self._reported_at = -math.inf
        self._suggested: tuple[str, int] | None = None

    # -- requests, from any thread

    def show_sheet(self, key: SheetKey) -> None:
        """Show another sheet."""
        if key == self._key:
            return
        self._key = key
        self.post(start=False, key=key)

    def set_open(self, on: bool) -> None:
        """Note that the panel of the sheet was opened or closed."""
        self.post(open=on)

    def set_drawing(self, on: bool) -> None:
        """Draw, or stop drawing."""
        self.post(drawing=on)

    def set_view(self, units: Sequence[int]) -> None:
        """Draw the units in view first, beginning with the one under the pointer."""
        self.post(view=tuple(units))

    def ack(self, n: int) -> None:
        """Note that the page has received every message up to this number."""
        self.post(start=False, ack=n)

    def request_similarity(self) -> None:
        """Send the page the order in which similar pictures are neighbors."""
        self.post(similarity=True)

    def resend(self) -> None:
        """Send everything to a page that has nothing yet."""
        self.post(start=False, resend=True)

    def wake(self) -> None:
        """Wake the thread to check for work, for example because a page is visible again."""
        self.post(start=False, look=True)

    def save_tags(self) -> None:
        """Save the changed tags in the store soon."""
        self.post(start=False, save_tags=True)

    def sheet(self) -> ContactSheet:
        """Return the sheet as far as it is drawn; a new, undrawn one if there is none yet.

        Raises:
            PeekError: if it is not possible: the layer can't have this recipe or size, or the store has another sheet.
        """
        return self._cache.get(self._key, service_thread=False).sheet

    def picture(self, layer: str, unit: int, weights: str) -> bytes | None:
        """Return the small JPEG of a unit from any sheet of its layer where it is finished; from any thread.

        See `SheetCache.picture`.
        """
        return self._cache.picture(replace(self._key, layer=layer), unit, weights)

    # -- the thread

    def enter(self) -> None:
        """Compute on one CPU thread."""
        set_threads(1)

    def leave(self) -> None:
        """Save what is not saved yet, and release the leases."""
        try:
            self._save_if_due(math.inf)
        except PeekError as error:
            # the panel that would show this error is gone
            log.warning("The tags are not saved: %s", error)
        if self._current is not None:
            # leases that are not released expire
            with contextlib.suppress(PeekError):
                self._current.scheduler.close()

    def fail(self, error: BaseException) -> None:
        """Show the error on the page; the explorer goes on drawing."""
        if not isinstance(error, PeekError):
            log.error("Drawing the sheet failed: %s", error, exc_info=error)
        if self._current is not None:
            self._current.scheduler.close()
        self._problem = str(error) if isinstance(error, PeekError) else f"{type(error).__name__}: {error}"
        self._send_report()

    def wait_time(self) -> float | None:
        """Return the time until a rest ends, tags are to be saved, or the page's visibility is to be checked."""
        now = self._clock()
        if self._can_send():
            return 0.0
        if self._can_draw():
            # wait in short slices: the rest ends as soon as the main run stands still
            rest = min(0.1, max(0.0, self._rest_until - now)) if self._main_run_draws() else 0.0
            return max(rest, self._wait_until - now)
        if self._save_at < math.inf:
            return max(0.0, self._save_at - now)
        return INTERVAL if self._open else None

    def handle(self, requests: _Requests) -> None:
        """Take the requests, send some pictures, and draw one step."""
        self._take(requests)
        if self._open and self._outdated:
            self._outdated = False
            self._show(self._cache.get(self._key, service_thread=True))
        current = self._current
        if current is not None:
            if self._open and self._watched():
                if self._can_send():
                    self._feed.send_pictures()
                if self._similarity:
                    self._similarity = False
                    self._feed.send_similarity()
                self._send_suggestions()
                self._draw(current)
            else:
                # unfinished pictures wait until the sheet is visible again
                self._pause(current)
        self._save_if_due(self._clock())
        self._send_report()

    def _take(self, requests: _Requests) -> None:
        if requests.save_tags and self._store is not None:
            self._save_at = self._clock() + SAVE_AFTER
        if requests.key is not None or requests.open or requests.drawing:
            # a request is a reason to try again, whatever went wrong
            self._problem, self._outdated = "", True
        if requests.open is not None:
            self._open = requests.open
        if requests.drawing is not None:
            self._enabled = requests.drawing
        if requests.ack is not None:
            self._feed.ack(requests.ack)
        if requests.view is not None:
            self._feed.view = requests.view
            self._follow_view()
        if requests.resend:
            self._report = self._suggested = None
            if self._current is not None:
                self._send_all(self._current)
        self._similarity |= requests.similarity

    def _show(self, sheet: CachedSheet) -> None:
        if sheet is self._current:
            return
        if self._current is not None:
            self._current.scheduler.abandon()
        self._current, self._report, self._suggested = sheet, None, None
        sheet.scheduler.view = self._feed.view
        self._send_all(sheet)

    def _send_all(self, sheet: CachedSheet) -> None:
        # send the report first: the page drops pictures of a sheet that it does not know
        self._send_report()
        self._feed.show(sheet)

    # -- drawing

    def _can_draw(self) -> bool:
        return bool(
            self._open
            and self._enabled
            and self._current is not None
            and not self._problem
            and self._watched()
            and self._current.scheduler.pending
        )

    def _draw(self, sheet: CachedSheet) -> None:
        """Make a step if it is time; otherwise keep unfinished pictures and check what other processes have drawn."""
        now = self._clock()
        if not self._can_draw():
            self._pause(sheet)
            if not self._problem:
                self._feed.add(one.unit for one in sheet.scheduler.refresh())
        elif now < self._wait_until or (now < self._rest_until and self._main_run_draws()):
            sheet.scheduler.heartbeat()
        else:
            self._step(sheet)

    def _pause(self, sheet: CachedSheet) -> None:
        sheet.scheduler.pause()
        sheet.rate.clear()

    def _step(self, sheet: CachedSheet) -> None:
        began = self._clock()
        advance = sheet.scheduler.step()
        self._feed.add(one.unit for one in advance.arrived)
        self._feed.add(advance.failed)
        ended = self._clock()
        sheet.note_pace(ended)
        self._rest_until = ended + (ended - began) * (1.0 / DUTY_CYCLE - 1.0)
        if advance.waiting:
            self._wait_until = ended + POLL

    def _follow_view(self) -> None:
        """Draw for the new view: abandon a batch out of view unless it is nearly finished."""
        if self._current is None:
            return
        scheduler = self._current.scheduler
        scheduler.view = self._feed.view
        drawn = {unit for batch in scheduler.in_flight for unit in batch.wanted}
        if drawn and not drawn & set(self._feed.view) and scheduler.progress < NEARLY_DONE:
            scheduler.abandon()

    def _save_if_due(self, now: float) -> None:
        """Save the tags with the sheet, `SAVE_AFTER` seconds after an edit."""
        if now < self._save_at:
            return
        self._save_at = math.inf
        if self._current is not None and self._store is not None:
            self._current.sheet.save()

    # -- to the page

    def _can_send(self) -> bool:
        return self._open and self._feed.ready and self._watched()

    def _send_suggestions(self) -> None:
        """Send the tags that a survey of the dataset examples suggests, once the evidence is complete."""
        layer = self._key.layer
        evidence = self._evidence(layer)
        if evidence is None or self._suggested == (layer, evidence.images):
            return
        self._suggested = (layer, evidence.images)
        rows: list[list[Any]] = []
        problem = ""
        try:
            for one in Tags().suggest(survey(evidence)):
                rows.append([one.unit, one.word, f"{one.count} of its {one.of} top images, q = {one.q:.2g}"])
        except PeekError as error:
            problem = f"No suggestions: {error}"
        self._front_end.send({"kind": "suggestions", "layer": layer, "rows": rows, "problem": problem})

    def _send_report(self) -> None:
        """Send the progress of the sheet if it has changed, but not too often."""
        current, now = self._current, self._clock()
        state, text = self._describe(current)
        number = 0 if current is None else current.number
        report = (number, self._open, state, self._problem, text)
        last, since = self._report, now - self._reported_at
        if report == last and (state != "running" or since < REPEAT):
            return
        # a change of the text alone can wait
        if last is not None and report[:-1] == last[:-1] and since < INTERVAL:
            return
        self._report, self._reported_at = report, now
        self._feed.send(
            {
                "kind": "sheet",
                "sheet": number,
                "layer": self._key.layer,
                "total": 0 if current is None else len(current.sheet),
                "open": self._open,
                "state": state,
                "text": text,
                "problem": self._problem,
            }
        )

    def _describe(self, current: CachedSheet | None) -> tuple[str, str]:
        """Return the state of the sheet, and one or two sentences about it."""
        if self._problem:
            return "error", ""
        if current is None:
            return "waiting", "Preparing the layer ..."
        sheet = current.sheet
        total, done, drafts, failed = len(sheet), len(sheet.done), len(sheet.drafts), len(current.failed)
        end = f". {failed} can't be drawn." if failed else "."
        if done + failed >= total:
            return "done", f"{done} of {total} units drawn{end}" if failed else f"All {total} units drawn."
        text = f"{done} of {total} units drawn"
        if current.scheduler.previewing:
            text = f"Previews: {done + drafts} of {total} units"
        if not self._enabled:
            return "stopped", f"Stopped. {text}{end}"
        if not self._watched():
            return "waiting", f"Paused: not visible. {text}{end}"
        left, then = current.seconds_left()
        text += "" if left is None else f", {duration(left)} left"
        text += "" if then is None else f"; the finished pictures then take {duration(then)}"
        return "running", f"{text}.{' Waiting for the main run.' if self._main_run_draws() else ''}{end[1:]}"

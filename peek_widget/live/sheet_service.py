"""The thread beside the worker that draws the whole layer: the contact sheet of the explorer.

As the desk of the real images does, it takes wishes from a mailbox, has a network and one torch thread of its own, and
rests between two steps for as long as the bench draws. It draws what somebody looks at: the units in view first, a
quick version before the better one, nothing while the sheet is put away or nobody looks. Pictures leave as small
JPEGs, a few at a time, as far ahead as the page has acknowledged.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import io
import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from peek_widget._encode import jpeg_bytes
from peek_widget._progress import duration
from peek_widget.ascent import Recipe
from peek_widget.ascent.recipe import as_recipe
from peek_widget.errors import PeekError
from peek_widget.evidence import LayerEvidence, survey
from peek_widget.live.threads import set_threads
from peek_widget.live.thumbnails import THUMB, THUMB_QUALITY
from peek_widget.network import Network
from peek_widget.network.fingerprint import fingerprint
from peek_widget.sheet import ContactSheet, SheetUnit, Tags, contact_sheet
from peek_widget.sheet.batches import DRAFT_STEPS, Kind, plan
from peek_widget.sheet.schedule import POLL, Scheduler
from peek_widget.sheet.similarity import order

__all__ = ["SheetKey", "SheetService"]

log: logging.Logger = logging.getLogger("peek_widget")

DUTY = 0.15
"""The share of the time that the sheet takes while the bench draws; as a pass over images."""

BEAT = 0.7
"""Seconds between two looks at whether somebody looks, and two words on how far it is."""

IN_FLIGHT = 192 * 1024
"""Bytes of pictures sent and not acknowledged, at most."""

AT_ONCE = 16
"""Pictures in a message."""

KEPT_BYTES = 256 * 1024 * 1024
"""What the pictures of all sheets may take; then the sheet that was not shown for longest is forgotten."""

KEPT_SHEETS = 32
"""How many are kept: each has a structural copy of the model, and every place of a knob is another sheet."""

STILL_THERE = 20.0
"""Seconds after which a page is told the same again while a sheet is drawn."""

NEARLY_DONE = 0.6
"""Fraction of a batch's steps after which it is finished also when its units leave the view."""

RATE_OVER = 90.0
SAVE_AFTER = 2.0


@dataclass(frozen=True)
class SheetKey:
    """Which sheet: a change of any field means another one."""

    layer: str
    recipe: Recipe | str
    seed: int = 0
    size: int | None = None
    objective: str = "neuron"

    @property
    def kind(self) -> Kind:
        """As the sheet has it: a class is its own score either way."""
        return "channel" if self.objective == "channel" else "neuron"


@dataclass
class _Mailbox:
    wanted: SheetKey | None = None
    open: bool | None = None
    go: bool | None = None
    view: tuple[int, ...] | None = None
    ack: int | None = None
    alike: bool = False
    resend: bool = False
    nudge: bool = False
    tagged: bool = False


@dataclass
class _Sheet:
    """A sheet, its scheduler, and what the page has of it."""

    number: int
    sheet: ContactSheet
    scheduler: Scheduler
    todo: dict[int, None] = field(default_factory=dict)
    thumbs: dict[int, tuple[bool, bytes]] = field(default_factory=dict)
    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def bytes(self) -> int:
        kept = (*self.sheet.done.values(), *self.sheet.drafts.values())
        return sum(len(one.png) for one in kept) + sum(len(data) for _, data in self.thumbs.values())

    def failed(self) -> dict[int, str]:
        return dict(self.sheet.archive.failed)


class SheetService:
    """The contact sheet of an explorer.

    Args:
        wanted: the sheet to begin with.
        network: gives the network as it is now read; called in the desk's thread.
        tell: takes a message for the page and its buffers; likewise.
        watched: whether anybody looks; without that nothing is drawn or sent.
        drawing: whether the bench draws, to which the sheet then gives way.
        tags: the user's words; kept in the store with the sheet.
        evidence: gives what all real images of a dataset say about a layer, None while they are being looked at.
        store: where sheets are kept, each in a folder of its own: a folder, or any fsspec address. None: in memory.
        clock: seconds, monotonic.

    The thread is a daemon, is started when the sheet is opened, and ends with `close()`.
    """

    def __init__(
        self,
        wanted: SheetKey,
        *,
        network: Callable[[], Network],
        tell: Callable[[dict[str, Any], list[bytes]], None],
        watched: Callable[[], bool],
        drawing: Callable[[], bool],
        tags: Tags | None = None,
        evidence: Callable[[str], LayerEvidence | None] = lambda _: None,
        store: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_network, self._tell_page = network, tell
        self._is_watched, self._is_drawing, self._evidence = watched, drawing, evidence
        self._tags = Tags() if tags is None else tags
        self._store = store
        self._clock = clock
        self._changed = threading.Condition()
        self._mailbox = _Mailbox()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._making = threading.Lock()
        self._sheets: OrderedDict[tuple[SheetKey, str], _Sheet] = OrderedDict()
        self._numbers = 0
        self._wanted = wanted

        # from here on: the desk's own thread's
        self._network: Network | None = None
        self._open = False
        self._go = True
        self._view: tuple[int, ...] = ()
        self._current: _Sheet | None = None
        self._recheck = False
        self._rest_until = -math.inf
        self._wait_until = -math.inf
        self._problem = ""
        self._n = 0
        self._flying: deque[tuple[int, int]] = deque()
        self._said: Any = None
        self._said_at = -math.inf
        self._alike = False
        self._save_at = math.inf
        self._surveyed: Any = None

    # -- wishes, from any thread

    def show(self, wanted: SheetKey) -> None:
        """Another sheet from now on."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._wish(start=False, wanted=wanted)

    def open(self, on: bool) -> None:
        """The sheet is looked at, or was put away."""
        self._wish(open=on)

    def go(self, on: bool) -> None:
        """Stop drawing, or go on."""
        self._wish(go=on)

    def view(self, units: Sequence[int]) -> None:
        """What can be seen, the unit under the eye first."""
        self._wish(view=tuple(units))

    def ack(self, n: int) -> None:
        """The page has taken every message up to this number."""
        self._wish(start=False, ack=n)

    def alike(self) -> None:
        """Tell the page in which order similar pictures lie together."""
        self._wish(alike=True)

    def resend(self) -> None:
        """A page has come that knows nothing yet."""
        self._wish(start=False, resend=True)

    def nudge(self) -> None:
        """Something happened that may concern the desk: somebody looks again, say."""
        self._wish(start=False, nudge=True)

    def tagged(self) -> None:
        """The tags have changed: they are kept in the store, soon."""
        self._wish(start=False, tagged=True)

    def sheet(self) -> ContactSheet:
        """The sheet as far as it is drawn; made, and not drawn, where there is none yet.

        Raises:
            PeekError: if there can be none (a recipe or a size that the layer can't have, another sheet's store).
        """
        return self._sheet_of(self._wanted).sheet

    def close(self, timeout: float = 5.0) -> bool:
        """End the thread after its current step; whether it has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def _wish(self, *, start: bool = True, **wishes: Any) -> None:
        with self._changed:
            if self._thread is None and (self._closed or not start):
                return
            for name, value in wishes.items():
                setattr(self._mailbox, name, value)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="peek_widget.sheet", daemon=True)
                # as with the session: a daemon thread inside torch must not see the interpreter go
                atexit.register(self.close)
                self._thread.start()
            self._changed.notify_all()

    # -- the sheets

    def _sheet_of(self, wanted: SheetKey) -> _Sheet:
        """The sheet, as it was left or new. From any thread."""
        given = self._read_network()
        # a model that has been trained on since has another sheet
        digits = fingerprint(given)
        with self._making:
            found = self._sheets.get((wanted, digits))
            if found is None:
                # a network of its own: somebody may draw the sheet from a cell meanwhile
                network = given.replica()
                recipe = as_recipe(wanted.recipe)
                options: dict[str, Any] = {"seed": wanted.seed, "size": wanted.size, "objective": wanted.kind}
                store = None if self._store is None else f"{self._store.rstrip('/')}/{_folder(wanted, recipe, digits)}"
                sheet = contact_sheet(network, wanted.layer, recipe, store=store, tags=self._tags, **options)
                # where all steps are hardly more than those of a draft, there is nothing to wait for
                quick = recipe.steps > 2 * DRAFT_STEPS
                drafts = plan(network, wanted.layer, recipe, draft=True, **options) if quick else []
                scheduler = sheet.scheduler(self._fresh_network, drafts, clock=self._clock)
                self._numbers += 1
                found = self._sheets[wanted, digits] = _Sheet(self._numbers, sheet, scheduler)
            self._sheets.move_to_end((wanted, digits))
            while len(self._sheets) > KEPT_SHEETS:
                # the one that is missed least: with the fewest finished pictures, of these not shown for longest
                others = [*self._sheets][:-1]
                del self._sheets[min(others, key=lambda key: len(self._sheets[key].sheet.done))]
            total = sum(each.bytes() for each in self._sheets.values())
            while len(self._sheets) > 1 and total > KEPT_BYTES:
                _, old = self._sheets.popitem(last=False)
                total -= old.bytes()
            return found

    def _fresh_network(self) -> Network:
        """Give the service's own network as the model is now: two threads must not run one model copy at once."""
        given = self._read_network()
        mine = self._network
        if mine is None or mine.model_copy.stale() or mine.model_copy.device != given.model_copy.device:
            self._network = given.replica()
        assert self._network is not None
        self._network.model_copy.refresh()
        return self._network

    # -- the thread

    def _work(self) -> None:
        set_threads(1)
        while True:
            with self._changed:
                if self._mailbox == _Mailbox() and not self._closed:
                    self._changed.wait(self._pause())
                if self._closed:
                    break
                mailbox, self._mailbox = self._mailbox, _Mailbox()
            try:
                self._turn(mailbox)
            except PeekError as error:
                self._fail(str(error))
            except BaseException as error:
                # the explorer goes on drawing, and the reader is told
                log.error("Drawing the sheet failed: %s", error, exc_info=error)
                self._fail(f"{type(error).__name__}: {error}")
        with contextlib.suppress(PeekError):
            self._save(math.inf)
            if self._current is not None:
                self._current.scheduler.close()
        atexit.unregister(self.close)

    def _pause(self) -> float | None:
        """How long to wait for a wish; None for as long as it takes."""
        now = self._clock()
        if self._can_send():
            return 0.0
        if self._wants_step():
            # a rest is over soon when the bench stands still
            rest = min(0.1, max(0.0, self._rest_until - now)) if self._is_drawing() else 0.0
            return max(rest, self._wait_until - now)
        if self._save_at < math.inf:
            return max(0.0, self._save_at - now)
        return BEAT if self._open else None

    def _turn(self, mailbox: _Mailbox) -> None:
        self._take(mailbox)
        if not self._open:
            if self._current is not None:
                # what is half drawn waits, and is gone on with when the sheet is opened again
                self._current.scheduler.pause()
            self._save(self._clock())
            self._say()
            return
        if self._recheck:
            self._recheck = False
            self._change()
        if self._current is not None and self._is_watched():
            self._send()
            if self._alike:
                self._send_order()
            self._suggest()
            self._draw(self._current)
        elif self._current is not None:
            self._current.scheduler.pause()
        self._save(self._clock())
        self._say()

    def _take(self, mailbox: _Mailbox) -> None:
        if mailbox.tagged and self._store is not None:
            self._save_at = self._clock() + SAVE_AFTER
        if mailbox.wanted is not None or mailbox.open or mailbox.go:
            # whatever went wrong, this is a reason to try again
            self._problem, self._recheck = "", True
        if mailbox.open is not None:
            self._open = mailbox.open
        if mailbox.go is not None:
            self._go = mailbox.go
        if mailbox.ack is not None:
            while self._flying and self._flying[0][0] <= mailbox.ack:
                self._flying.popleft()
        if mailbox.view is not None:
            self._view = mailbox.view
            self._look_elsewhere()
        if mailbox.resend:
            self._flying.clear()
            self._said = self._surveyed = None
            if self._current is not None:
                # first of which sheet they are: the page lets go of pictures of one that it does not know
                self._say()
                self._send_all(self._current)
        self._alike |= mailbox.alike

    def _change(self) -> None:
        """To the sheet that is wanted now."""
        now = self._sheet_of(self._wanted)
        if now is not self._current:
            if self._current is not None:
                self._current.scheduler.abandon()
            self._current, self._said, self._surveyed = now, None, None
            now.scheduler.view = self._view
            self._flying.clear()
            self._say()
            self._send_all(now)

    def _send_all(self, now: _Sheet) -> None:
        now.todo = dict.fromkeys((*now.sheet.done, *now.sheet.drafts, *now.failed()))

    # -- drawing

    def _wants_step(self) -> bool:
        return bool(
            self._open
            and self._go
            and self._current is not None
            and not self._problem
            and self._is_watched()
            and self._current.scheduler.pending
        )

    def _draw(self, now: _Sheet) -> None:
        """Make a step if it is time for one, and else only keep what is half drawn and see what others have drawn."""
        if not self._wants_step():
            now.scheduler.pause()
            if not self._problem:
                self._take_results(now, now.scheduler.refresh())
        elif self._clock() < self._wait_until or (self._clock() < self._rest_until and self._is_drawing()):
            now.scheduler.heartbeat()
        else:
            self._step(now)

    def _step(self, now: _Sheet) -> None:
        began = self._clock()
        advance = now.scheduler.step()
        self._take_results(now, advance.arrived)
        now.todo.update(dict.fromkeys(advance.failed))
        ended = self._clock()
        self._rest_until = ended + (ended - began) * (1.0 / DUTY - 1.0)
        if advance.waiting:
            self._wait_until = ended + POLL

    def _take_results(self, now: _Sheet, arrived: Sequence[SheetUnit]) -> None:
        now.todo.update(dict.fromkeys(one.unit for one in arrived))
        if any(not one.draft for one in arrived):
            ended = self._clock()
            now.samples.append((ended, len(now.sheet.archive.done)))
            while ended - now.samples[0][0] > RATE_OVER:
                now.samples.popleft()

    def _look_elsewhere(self) -> None:
        """Draw for the new view: give up a batch that nobody sees unless it is nearly finished."""
        if self._current is None:
            return
        scheduler = self._current.scheduler
        scheduler.view = self._view
        drawn = {unit for batch in scheduler.in_flight for unit in batch.wanted}
        if drawn and not drawn & set(self._view) and scheduler.progress < NEARLY_DONE:
            scheduler.abandon()

    def _fail(self, problem: str) -> None:
        if self._current is not None:
            self._current.scheduler.close()
        self._problem = problem
        self._say()

    # -- to the page

    def _can_send(self) -> bool:
        now = self._current
        return bool(
            self._open
            and now is not None
            and now.todo
            and sum(size for _, size in self._flying) < IN_FLIGHT
            and self._is_watched()
        )

    def _thumb(self, now: _Sheet, unit: int) -> tuple[bool, bytes] | None:
        one = now.sheet.done.get(unit) or now.sheet.drafts.get(unit)
        if one is None:
            return None
        found = now.thumbs.get(unit)
        if found is None or found[0] != one.draft:
            # not one.image, which would keep every picture decoded
            with Image.open(io.BytesIO(one.png)) as picture:
                small = picture.convert("L" if picture.mode == "L" else "RGB")
            small.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
            found = now.thumbs[unit] = (one.draft, jpeg_bytes(small, THUMB_QUALITY))
        return found

    def _send(self) -> None:
        """One message with some of the pictures that the page has not, those in view first."""
        now = self._current
        if now is None or not self._can_send():
            return
        first = [unit for unit in self._view if unit in now.todo]
        chosen = list(dict.fromkeys((*first, *now.todo)))[:AT_ONCE]
        failed, rows, buffers = now.failed(), [], []
        for unit in chosen:
            del now.todo[unit]
            found = self._thumb(now, unit)
            if found is not None:
                one = now.sheet[unit]
                rows.append([unit, one.activation, found[0], ""])
                buffers.append(found[1])
            elif unit in failed:
                rows.append([unit, None, False, failed[unit]])
        self._tell({"kind": "thumbs", "sheet": now.number, "units": rows}, buffers)

    def _send_order(self) -> None:
        now = self._current
        assert now is not None
        self._alike = False
        units = sorted((*now.sheet.done, *now.sheet.drafts))
        pictures = [found[1] for unit in units if (found := self._thumb(now, unit))]
        places, problem = [], ""
        try:
            places = order(pictures)
        except PeekError as error:
            problem = f"No order by likeness: {error}"
        message = {"kind": "similarity", "sheet": now.number, "units": [units[at] for at in places], "problem": problem}
        self._tell(message, [])

    def _tell(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        self._n += 1
        size = sum(map(len, buffers))
        if size:
            self._flying.append((self._n, size))
        self._tell_page({**message, "n": self._n}, buffers)

    def _suggest(self) -> None:
        """What the survey of the real images proposes, once all of them are seen."""
        layer = self._wanted.layer
        evidence = self._evidence(layer)
        if evidence is None or self._surveyed == (layer, evidence.images):
            return
        self._surveyed = (layer, evidence.images)
        rows: list[list[Any]] = []
        problem = ""
        try:
            for one in Tags().suggest(survey(evidence)):
                rows.append([one.unit, one.word, f"{one.count} of its {one.of} top images, q = {one.q:.2g}"])
        except PeekError as error:
            problem = f"No suggestions: {error}"
        self._tell_page({"kind": "suggestions", "layer": layer, "rows": rows, "problem": problem}, [])

    def _say(self) -> None:
        now = self._current
        clock = self._clock()
        state, text = self._words(now)
        total = 0 if now is None else len(now.sheet)
        said = (now and now.number, self._open, state, text, self._problem)
        urgent = self._said is None or said[:3] != self._said[:3] or said[4] != self._said[4]
        since = clock - self._said_at
        # what the page acknowledges is also how the kernel knows that somebody is there
        still = said == self._said and (state != "running" or since < STILL_THERE)
        if still or (not urgent and since < BEAT):
            return
        self._said, self._said_at = said, clock
        message = {
            "kind": "sheet",
            "sheet": 0 if now is None else now.number,
            "layer": self._wanted.layer,
            "total": total,
            "open": self._open,
            "state": state,
            "text": text,
            "problem": self._problem,
        }
        self._tell(message, [])

    def _words(self, now: _Sheet | None) -> tuple[str, str]:
        if self._problem or now is None:
            return ("error", "") if self._problem else ("waiting", "Getting ready to draw the layer.")
        total, done, failed = len(now.sheet), len(now.sheet.done), len(now.failed())
        drafts = len(now.sheet.drafts)
        cannot = f" {failed} can't be drawn." if failed else ""
        if done + failed >= total:
            return "done", f"{done} of {total} units drawn.{cannot}" if failed else f"All {total} units drawn."
        so_far = f"{done} of {total} units drawn"
        if drafts and done + drafts + failed < total:
            so_far = f"Quick versions of {done + drafts} of {total} units"
        if not self._go:
            return "stopped", f"Stopped: {so_far[0].lower()}{so_far[1:]}.{cannot}"
        if not self._is_watched():
            return "waiting", f"{so_far}. It goes on when somebody looks.{cannot}"
        left = self._left(now, total - done - failed)
        so_far += f", {duration(left)} left" if left is not None else ""
        return "running", f"{so_far}.{' The bench comes first.' if self._is_drawing() else ''}{cannot}"

    def _left(self, now: _Sheet, units: int) -> float | None:
        if len(now.samples) < 2:
            return None
        (began, first), (ended, last) = now.samples[0], now.samples[-1]
        return None if last <= first else units * (ended - began) / (last - first)

    def _save(self, now: float) -> None:
        """Tags go to the store with the sheet, a little after they were given."""
        if now < self._save_at:
            return
        self._save_at = math.inf
        if self._current is not None and self._store is not None:
            self._current.sheet.save()


def _folder(wanted: SheetKey, recipe: Recipe, digits: str) -> str:
    """A sheet's folder in the store: a name that one can read, and a few digits that tell sheets of a layer apart."""
    what = f"{recipe.to_json()}/{wanted.seed}/{wanted.size}/{wanted.kind}/{digits}"
    name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in wanted.layer) or "output"
    return f"{name}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"

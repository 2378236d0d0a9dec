"""The comparison of an explorer, drawn by the thread of the main run: one step of all its pictures at a time.

While it draws, the main run stands still, and continues afterwards. The two would share one copy of the model and one
processor, so each would slow the other down, and a seventh picture beside six is of little use. If a control is
changed meanwhile, the main run makes its first step at once, so that its picture matches the controls.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from peek_widget._encode import jpeg_bytes, shrunk
from peek_widget.ascent import to_pil
from peek_widget.comparison import Comparison, figure
from peek_widget.errors import FileError, PeekError
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.pacing import Pacer
from peek_widget.live.service import Mailbox

__all__ = ["ComparisonService", "LiveComparison"]

log: logging.Logger = logging.getLogger("peek_widget")

RATE = 15.0
"""Maximum number of sets sent per second; a set has up to six pictures."""

SIDE = 256
"""Maximum side of a picture on the page, in pixels: side by side, pictures are not shown larger."""

LIVE_QUALITY, STILL_QUALITY = 85, 93

REST = 8.0
"""Ratio of the rest before the next measurement of the pictures to the duration of the last one."""


@dataclass(frozen=True)
class _Begin:
    """A comparison to draw.

    Attributes:
        make: makes the comparison.
        controls: for each picture, the explorer's controls that would draw it in the main run, by name.
    """

    make: Callable[[], Comparison]
    controls: Sequence[dict[str, Any]]


@dataclass
class _Requests:
    """Requests to the worker.

    Attributes:
        begin: the comparison to draw instead.
        close: remove the current comparison.
        resend: send the comparison again, to a page that has nothing yet.
    """

    begin: _Begin | None = None
    close: bool = False
    resend: bool = False


@dataclass(frozen=True)
class _Shown:
    """The pictures as they were last sent."""

    pictures: tuple[Image.Image, ...]
    steps: tuple[int, ...]
    activations: tuple[float, ...]
    done: bool


class ComparisonService:
    """A background task of the main run's thread that draws one comparison at a time.

    Args:
        front_end: sends messages to the page; used in the worker.
        wake: wakes the worker, so that it calls :meth:`ready`.
        clock: returns monotonic time in seconds.

    Attributes:
        current: the comparison that is shown; None without one.
    """

    def __init__(
        self, front_end: FrontEnd, wake: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._front_end, self._wake, self._clock = front_end, wake, clock
        self._mailbox = Mailbox(_Requests)
        self._changed = self._mailbox.changed
        self._waiters = 0
        self._number = 0
        self._pacer = Pacer(RATE, now=clock())
        self.current: LiveComparison | None = None

        # the fields below are written by the worker only
        self._comparison: Comparison | None = None
        self._controls: Sequence[dict[str, Any]] = ()
        self._problem = ""
        self._messages = 0
        self._fresh = False
        self._measured: tuple[float, ...] = ()
        self._measured_at, self._cost = -math.inf, 0.0
        self._shown: _Shown | None = None

    # -- requests, from any thread

    def begin(self, make: Callable[[], Comparison], controls: Sequence[dict[str, Any]]) -> LiveComparison:
        """Draw another comparison.

        Args:
            make: makes the comparison; called in the worker.
            controls: for each picture, the explorer's controls that would draw it in the main run, by name.
        """
        with self._changed:
            self._number += 1
            self._mailbox.post(begin=_Begin(make, controls), close=False)
            self.current = LiveComparison(self, self._number)
        self._wake()
        return self.current

    def close(self) -> None:
        """Remove the comparison."""
        with self._changed:
            self.current = None
            self._mailbox.post(begin=None, close=True)
        self._wake()

    def ack(self, n: int) -> None:
        """Note that the page has drawn the messages up to number `n`."""
        with self._changed:
            self._pacer.ack(n, self._clock())

    def resend(self) -> None:
        """Send the comparison to a page that has nothing yet, or that is visible again."""
        with self._changed:
            self._mailbox.pending.resend = self.current is not None
            self._pacer.hello(self._clock())

    # -- for the main run's thread

    @property
    def blocking(self) -> bool:
        """Whether the main run stands still, because a comparison is being drawn or about to be."""
        with self._changed:
            return self._mailbox.pending.begin is not None or self._drawing()

    def ready(self, watched: bool) -> bool:
        """Return whether there is something to draw or to send.

        Args:
            watched: whether a visible page shows the explorer.
        """
        with self._changed:
            return not self._mailbox.empty or (self._drawing() and (watched or self._waiters > 0))

    def run_once(self) -> None:
        """Make one step of all pictures, and send them if it is time."""
        with self._changed:
            requests = self._mailbox.take()
            if requests.begin is not None or requests.close:
                # under the lock, or a waiter could take the end of the last comparison for the end of the new one
                self._comparison, self._problem, self._measured, self._shown = None, "", (), None
                self._measured_at = -math.inf
        try:
            if requests.begin is not None:
                self._controls = requests.begin.controls
                self._send("starting")
                self._comparison = requests.begin.make()
            elif requests.close:
                self._send("")
                return
            elif self._drawing():
                assert self._comparison is not None
                self._comparison.step()
                self._fresh = True
            self._show(resend=requests.resend)
        except Exception as error:
            known = isinstance(error, PeekError)
            log.error("The comparison stopped: %s", error, exc_info=None if known else error)
            self._problem = str(error) if known else f"{type(error).__name__}: {error}"
            self._send("error")
        finally:
            with self._changed:
                self._changed.notify_all()

    def _drawing(self) -> bool:
        comparison = self._comparison
        return comparison is not None and not comparison.done and not self._problem

    def _show(self, *, resend: bool) -> None:
        """Send the pictures if they are new and due, or if a page asks for them."""
        comparison = self._comparison
        if comparison is None:
            if resend:
                self._send("error" if self._problem else "")
            return
        with self._changed:
            now = self._clock()
            # the worker runs this only for a visible page or a waiting caller, which the pacer does not know of
            self._pacer.mark_active(now)
            due = self._pacer.due(now) <= now
        done = comparison.done
        if not (resend or (self._fresh and (done or due))):
            return
        images = comparison.images
        self._measure(comparison)
        activations = self._measured or (math.nan,) * len(images)
        visible = comparison.network.preprocess.visible
        pictures = tuple(to_pil(visible(image)) for image in images)
        self._shown = _Shown(pictures, comparison.steps, activations, done)
        self._fresh = False
        quality = STILL_QUALITY if done else LIVE_QUALITY
        self._send(
            "done" if done else "drawing",
            [jpeg_bytes(shrunk(picture, SIDE), quality, full_color=True) for picture in pictures],
        )
        with self._changed:
            self._pacer.sent(self._messages, self._clock())

    def _measure(self, comparison: Comparison) -> None:
        """Measure the pictures' still activations, from time to time and at the end."""
        rested = self._clock() - self._measured_at >= REST * self._cost
        if comparison.index and (comparison.done or rested or not self._measured):
            began = self._clock()
            self._measured = comparison.measured()
            self._measured_at = self._clock()
            self._cost = self._measured_at - began

    def _send(self, state: str, buffers: Sequence[bytes] = ()) -> None:
        self._messages += 1
        comparison = self._comparison
        self._front_end.send(
            {
                "kind": "compare",
                "n": self._messages,
                "state": state,
                "title": "" if comparison is None else comparison.title,
                "text": _describe(state, comparison),
                "problem": self._problem,
                "items": self._items(),
            },
            buffers,
        )

    def _items(self) -> list[dict[str, Any]]:
        """Describe the pictures in the protocol's terms."""
        comparison, shown = self._comparison, self._shown
        if comparison is None or shown is None:
            return []
        low, high = _scale(shown.activations)
        items = []
        for entry, controls, steps, activation in zip(
            comparison.entries, self._controls, shown.steps, shown.activations, strict=True
        ):
            known = math.isfinite(activation)
            ends = (min(0.0, activation), max(0.0, activation)) if known else (low, low)
            items.append(
                {
                    "caption": entry.caption,
                    "note": f"step {steps} of {entry.recipe.steps}",
                    "activation": activation if known else None,
                    "bar": [round(100.0 * (end - low) / (high - low), 2) for end in ends],
                    "controls": controls,
                }
            )
        return items

    # -- for the holder of a LiveComparison

    def figure_of(self, number: int, side: int, dark: bool) -> Image.Image:
        """Return the figure of the comparison with this number, as it was last shown; from any thread."""
        comparison, shown = self._comparison, self._shown
        if self._is_gone(number):
            raise PeekError("This comparison was closed, and its pictures are gone: compare again.")
        if comparison is None or shown is None:
            raise PeekError(self._problem or "This comparison has no pictures yet: wait for it with .wait().")
        notes = [f"{n} step{'s' * (n != 1)}, {p.width} px" for n, p in zip(shown.steps, shown.pictures, strict=True)]
        return figure(
            shown.pictures, comparison.captions, shown.activations, notes, comparison.title, side=side, dark=dark
        )

    def state_of(self, number: int) -> str:
        """Return the state: "waiting", "drawing", "done", "error" or "closed"."""
        if self._is_gone(number):
            return "closed"
        if self._problem:
            return "error"
        if self._mailbox.pending.begin is not None or self._comparison is None:
            return "waiting"
        return "done" if self._shown is not None and self._shown.done else "drawing"

    def wait_for(self, number: int, timeout: float | None) -> str:
        """Block until the comparison with this number is finished; see `LiveComparison.wait`."""
        with self._changed:
            self._waiters += 1
        self._wake()
        ends = None if timeout is None else self._clock() + timeout
        try:
            with self._changed:
                while (state := self.state_of(number)) in ("waiting", "drawing"):
                    left = None if ends is None else ends - self._clock()
                    if left is not None and left <= 0:
                        raise TimeoutError(f"The comparison is still {state} after {timeout:g} s; wait longer.")
                    self._changed.wait(1.0 if left is None else min(left, 1.0))
                if state == "error":
                    raise PeekError(self._problem)
                return state
        finally:
            with self._changed:
                self._waiters -= 1

    def _is_gone(self, number: int) -> bool:
        return self.current is None or number != self._number


class LiveComparison:
    """A comparison drawn by an explorer, as last shown: the return value of `explorer.compare`."""

    def __init__(self, service: ComparisonService, number: int) -> None:
        self._service, self._number = service, number

    @property
    def state(self) -> str:
        """The state: `"waiting"`, `"drawing"`, `"done"`, `"error"` or `"closed"`."""
        return self._service.state_of(self._number)

    def wait(self, timeout: float | None = None) -> LiveComparison:
        """Block until the pictures are finished.

        Args:
            timeout: seconds; None waits without a limit.

        Raises:
            PeekError: if the comparison failed, with the reason.
            TimeoutError: if the pictures are not finished after `timeout` seconds.
        """
        self._service.wait_for(self._number, timeout)
        return self

    def figure(self, *, side: int = 320, dark: bool = False) -> Image.Image:
        """Return the pictures side by side, see `Comparison.figure`."""
        return self._service.figure_of(self._number, side, dark)

    def save(self, path: str | Path, *, side: int = 320, dark: bool = False) -> None:
        """Write the figure to a file, whose extension decides the format.

        Raises:
            FileError: if the extension is not that of a picture format.
        """
        path = Path(path)
        if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
            raise FileError(f"{path.name!r} does not end in a format for pictures: use .png, .webp or .jpg.")
        self.figure(side=side, dark=dark).save(path)

    def __repr__(self) -> str:
        return f"<a comparison in an explorer: {self.state}>"


def _describe(state: str, comparison: Comparison | None) -> str:
    if state == "starting":
        return "Preparing ..."
    if comparison is None or state == "":
        return ""
    if state == "done":
        return "Finished. The marks show each picture's activation, before any ReLU, on one scale."
    share = round(100 * comparison.index / comparison.total)
    return f"{share} % of each run. The main run is paused meanwhile."


def _scale(activations: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a scale that contains zero and all finite activations."""
    finite = [value for value in activations if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    return low, high if high > low else low + 1.0

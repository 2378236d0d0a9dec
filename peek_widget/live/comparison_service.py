"""The comparison in an explorer: drawn by the worker's own thread, a step of all pictures at a time.

While it draws, the explorer's own run rests, and goes on after it. The two would share one ghost and one processor:
in turn, each would be slower by as much as the other takes, and of six pictures nobody looks at a seventh. Where a
control is changed meanwhile, the run makes its first step at once, so that the picture is of what the controls say.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from peek_widget._encode import jpeg_bytes, shrunk
from peek_widget.ascent import to_pil
from peek_widget.comparison import Comparison, figure
from peek_widget.errors import FileError, PeekError
from peek_widget.live.pacing import Pacer

__all__ = ["ComparisonService", "LiveComparison"]

log: logging.Logger = logging.getLogger("peek_widget")

RATE = 15.0
"""Sets of pictures a second at most: each is up to six pictures."""

SIDE = 256
"""Pixels of a picture as the page gets it, at most: side by side they are shown no larger."""

QUALITY, STILL_QUALITY = 85, 93

SHARE = 8.0
"""The pictures are measured again after a rest of so many times what that took."""


@dataclass(frozen=True)
class _Shown:
    """The pictures as they were last sent."""

    pictures: tuple[Image.Image, ...]
    steps: tuple[int, ...]
    activations: tuple[float, ...]
    done: bool


class ComparisonService:
    """One comparison at a time, beside a session's run.

    Args:
        tell: takes a message for the page and its buffers; called in the worker.
        wake: makes the session look here again.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        tell: Callable[[dict[str, Any], list[bytes]], None],
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell, self._wake, self._clock = tell, wake, clock
        self._changed = threading.Condition()
        self._wish: tuple[int, Callable[[], Comparison], list[dict[str, Any]]] | None = None
        self._closing = False
        self._resend = False
        self._waiters = 0
        self._number = 0
        self._pacer = Pacer(RATE, now=clock())
        self.current: LiveComparison | None = None

        # from here on: the worker's own
        self._comparison: Comparison | None = None
        self._controls: list[dict[str, Any]] = []
        self._problem = ""
        self._n = 0
        self._fresh = False
        self._measured: tuple[float, ...] = ()
        self._measured_at, self._cost = -math.inf, 0.0
        self._shown: _Shown | None = None

    # -- wishes, from any thread

    def begin(self, make: Callable[[], Comparison], controls: list[dict[str, Any]]) -> LiveComparison:
        """Draw another one.

        Args:
            make: makes it; called in the worker.
            controls: for each picture the explorer's controls that would draw it on the bench, by name.
        """
        with self._changed:
            self._number += 1
            self._wish, self._closing = (self._number, make, controls), False
            self.current = LiveComparison(self, self._number)
        self._wake()
        return self.current

    def close(self) -> None:
        """Put it away."""
        with self._changed:
            self._wish, self._closing, self.current = None, True, None
            self._changed.notify_all()
        self._wake()

    def ack(self, n: int) -> None:
        """The page has drawn the sets up to `n`."""
        with self._changed:
            self._pacer.ack(n, self._clock())

    def resend(self) -> None:
        """A page has come that knows nothing yet, or looks again."""
        with self._changed:
            self._resend = self.current is not None
            self._pacer.hello(self._clock())

    # -- for the session

    @property
    def blocking(self) -> bool:
        """Whether the run rests: a comparison is drawn, or about to be."""
        return self._wish is not None or self._drawing()

    def ready(self, watched: bool) -> bool:
        """Whether there is something to draw or to tell."""
        if self._wish is not None or self._closing or self._resend:
            return True
        return self._drawing() and (watched or self._waiters > 0)

    def _drawing(self) -> bool:
        comparison = self._comparison
        return comparison is not None and not comparison.done and not self._problem

    def run_once(self) -> None:
        """Make one step, and show it if it is time."""
        with self._changed:
            wish, self._wish = self._wish, None
            closing, self._closing = self._closing, False
            resend, self._resend = self._resend, False
            if wish is not None or closing:
                self._comparison, self._problem, self._measured, self._shown = None, "", (), None
                self._measured_at = -math.inf
        try:
            if closing and wish is None:
                self._say("")
                return
            if wish is not None:
                _, make, self._controls = wish
                self._say("starting")
                self._comparison = make()
            elif self._drawing():
                assert self._comparison is not None
                self._comparison.step()
                self._fresh = True
            self._show(resend)
        except Exception as error:
            known = isinstance(error, PeekError)
            log.error("The comparison stopped: %s", error, exc_info=None if known else error)
            self._problem = str(error) if known else f"{type(error).__name__}: {error}"
            self._say("error")
        finally:
            with self._changed:
                self._changed.notify_all()

    # -- in the worker

    def _show(self, resend: bool) -> None:
        comparison = self._comparison
        if comparison is None:
            if resend:
                self._say("error" if self._problem else "")
            return
        with self._changed:
            now = self._clock()
            # the worker draws only for somebody; who that is, the session knows
            self._pacer.alive(now)
            due = self._pacer.due(now) <= now
        done = comparison.done
        if not (resend or (self._fresh and (done or due))):
            return
        images = comparison.images
        rested = self._clock() - self._measured_at >= SHARE * self._cost
        if comparison.index and (done or rested or not self._measured):
            began = self._clock()
            self._measured = comparison.measured()
            self._measured_at = self._clock()
            self._cost = self._measured_at - began
        activations = self._measured or (math.nan,) * len(images)
        pictures = tuple(to_pil(image) for image in images)
        self._shown = _Shown(pictures, comparison.steps, activations, done)
        self._fresh = False
        buffers = [
            jpeg_bytes(shrunk(picture, SIDE), STILL_QUALITY if done else QUALITY, full_color=True)
            for picture in pictures
        ]
        self._say("done" if done else "drawing", buffers)
        with self._changed:
            self._pacer.sent(self._n, self._clock())

    def _say(self, state: str, buffers: list[bytes] | None = None) -> None:
        self._n += 1
        comparison, shown = self._comparison, self._shown
        items = []
        if comparison is not None and shown is not None:
            low, high = _scale(shown.activations)
            for entry, control, steps, activation in zip(
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
                        "controls": control,
                    }
                )
        self._tell(
            {
                "kind": "compare",
                "n": self._n,
                "state": state,
                "title": "" if comparison is None else comparison.title,
                "text": _sentence(state, comparison),
                "problem": self._problem,
                "items": items,
            },
            buffers or [],
        )

    # -- for those who hold one

    def figure_of(self, number: int, side: int, dark: bool) -> Image.Image:
        """The figure of the comparison of that number, as it was last shown; from any thread."""
        comparison, shown = self._comparison, self._shown
        if self._gone(number):
            raise PeekError("This comparison was put away, and its pictures with it: compare again.")
        if comparison is None or shown is None:
            raise PeekError(self._problem or "Nothing is drawn of this comparison yet: wait for it with .wait().")
        notes = [f"{n} step{'s' * (n != 1)}, {p.width} px" for n, p in zip(shown.steps, shown.pictures, strict=True)]
        return figure(
            shown.pictures, comparison.captions, shown.activations, notes, comparison.title, side=side, dark=dark
        )

    def state_of(self, number: int) -> str:
        """One of "waiting", "drawing", "done", "error" or "closed"."""
        if self._gone(number):
            return "closed"
        if self._problem:
            return "error"
        if self._wish is not None or self._comparison is None:
            return "waiting"
        return "done" if self._shown is not None and self._shown.done else "drawing"

    def wait_for(self, number: int, timeout: float | None) -> str:
        """Block until that comparison stands still; see `LiveComparison.wait`."""
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

    def _gone(self, number: int) -> bool:
        return self.current is None or number != self._number


class LiveComparison:
    """A comparison that an explorer draws, as it was last shown: what `explorer.compare` gives."""

    def __init__(self, desk: ComparisonService, number: int) -> None:
        self._desk, self._number = desk, number

    @property
    def state(self) -> str:
        """`"waiting"`, `"drawing"`, `"done"`, `"error"` or `"closed"`."""
        return self._desk.state_of(self._number)

    def wait(self, timeout: float | None = None) -> LiveComparison:
        """Block until its pictures are finished.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            PeekError: if it failed, with what was wrong.
            TimeoutError: if it still draws then.
        """
        self._desk.wait_for(self._number, timeout)
        return self

    def figure(self, *, side: int = 320, dark: bool = False) -> Image.Image:
        """The pictures side by side, see `Comparison.figure`."""
        return self._desk.figure_of(self._number, side, dark)

    def save(self, path: str | Path, *, side: int = 320, dark: bool = False) -> None:
        """Write the figure; the name's ending says in which format."""
        path = Path(path)
        if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
            raise FileError(f"{path.name!r} has no ending that names a format for pictures: give .png, .webp or .jpg.")
        self.figure(side=side, dark=dark).save(path)

    def __repr__(self) -> str:
        return f"<a comparison in an explorer: {self.state}>"


def _sentence(state: str, comparison: Comparison | None) -> str:
    if state == "starting":
        return "Getting ready."
    if comparison is None or state == "":
        return ""
    if state == "done":
        return "Finished. Activations are of each picture as it is, before any ReLU, on one scale."
    share = round(100 * comparison.index / comparison.total)
    return f"{share} % of each run. The picture above rests meanwhile."


def _scale(activations: tuple[float, ...]) -> tuple[float, float]:
    finite = [value for value in activations if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    return low, high if high > low else low + 1.0

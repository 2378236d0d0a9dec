"""When a frame may leave the kernel: a credit window, a rate, and what silence means.

Pure: no thread, no clock and no browser of its own; every method is told the time (seconds, from
any monotonic clock). Only one thread may use a `Pacer` at a time: its owner holds the lock.

The figures come from measurements in JupyterLab: an answer per frame halves the frame rate, because
every message to the kernel repaints the notebook's busy light, so answers are few and cumulative,
and the window spans about half a second. A page that takes longer and longer to show what it is
sent has a queue, and is sent less: by how long a frame's answer takes, not by how many frames are
out, so that a slow page obeys the hand as a quick one does (so LEDBAT keeps queues short, RFC 6817).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["Attention", "Pacer"]

MAX_RATE = 60.0

SILENCE = 1.5
"""Seconds without an ack, frames being out, until the front end counts as not answering."""

PATIENCE = 10.0
"""Seconds of not answering during which frames still go out at `PATIENT_RATE`: on a kernel without
sub-shells a running cell holds the answers back, but not the frames."""

PATIENT_RATE = 4.0
PROBE_RATE = 1.0
LIFE = 60.0
"""Seconds without any sign of life after which nobody is taken to be there."""

AT_ONCE = 2
"""Frames that go at once when somebody asks: a server's socket holds the end of a small one back until more follows
(Nagle's algorithm; jupyter_server leaves it on), so the second pushes the first one through."""

SLOWEST = 1.0
"""Frames a second that the slowest page, or the narrowest way to it, gets at the least."""

LATE = 0.05
"""Seconds by which a frame may be longer on its way (there, and its answer back) than the quickest one was. One that is
later waits in a queue of the page's."""

HEARD = 8
"""Answers, the newest ones, by whose quickest way back it is told how long one was held up: by a cell in the kernel, by
the network. That is no queue of the page's."""

FORGET = 0.008
"""Seconds by which the quickest way known grows in each second without a quicker one: the way itself can become longer
for good, and that is no queue either."""

EASE, GROW, EASE_EVERY = 0.7, 1.05, 0.5
"""A page with a queue gets `EASE` of its rate, once in `EASE_EVERY` seconds (answers that were held up come all at
once), and by each answer in time a little more again: what it can't draw would keep it from obeying the hand."""

GRACE = 1.0
"""Seconds between "no view can be seen" and rest: scrolling past must not stop the run."""


@dataclass(frozen=True)
class Attention:
    """Whether anybody looks, and why not: `reason` is "" where somebody does."""

    watched: bool
    reason: str = ""


class Pacer:
    """Flow control for one stream of numbered frames; the newest frame wins.

    `pace` is the rate now, at most `rate`: less for a page that can't draw so many.

    Args:
        rate: frames a second to aim at, above 0; held to at most 60.
        now: the time at which the stream begins.
    """

    def __init__(self, rate: float = 30.0, *, now: float) -> None:
        if not rate > 0:
            raise ValueError(f"The frame rate must be above 0 frames a second; {rate} was given.")
        self.rate: float = min(float(rate), MAX_RATE)
        self.pace: float = self.rate
        self._eased = now
        self._sent = 0
        self._acked = 0
        self._sent_at: deque[tuple[int, float]] = deque(maxlen=2 * self.window)
        self._quickest = math.inf
        self._back: deque[float] = deque(maxlen=HEARD)
        self._last_ack = now
        self._last_sent = -math.inf
        self._beat = -math.inf
        self._waiting_since: float | None = None
        self._last_life = now
        self._hidden_since: float | None = None
        self._at_once = 0

    # -- what comes in

    def hello(self, now: float) -> None:
        """A front end has (re)connected: what an earlier one left unanswered no longer counts."""
        self._acked = self._sent
        self._measure_anew()
        self.pace = self.rate
        self._waiting_since = None
        self._hidden_since = None
        self._last_life = now
        self._at_once = AT_ONCE

    def ack(self, n: int, now: float, at: float | None = None) -> None:
        """Every frame up to `n` was drawn. Acks of several pages mix: the furthest one counts.

        `at` is when the page said so, in seconds of its own clock, which need not agree with that of `now`.
        """
        self._last_life = now
        # only a view that can be seen acknowledges
        self._hidden_since = None
        if n > self._sent:
            # another stream's number, which measures nothing of this one
            self._measure_anew()
            n = self._sent
        if n > self._acked:
            self._judge(n, now, self._heard(n, now, at))
            self._acked = n
        self._waiting_since = None if self._acked == self._sent else now

    def _heard(self, n: int, now: float, at: float | None) -> float:
        """When the answer to `n` would have come, had nothing held it up on its way back."""
        if at is None:
            return now
        self._back.append(now - at)
        heard = now - (self._back[-1] - min(self._back))
        if heard < next((left for number, left in self._sent_at if number == n), -math.inf):
            # answered before it left? By another machine's clock then, or by one that was set back
            return now
        return heard

    def _judge(self, n: int, now: float, heard: float) -> None:
        """Set the pace by how long the oldest frame that `n` leaves out has been on its way, when that was `heard`.

        Not by how long `n` was: its answer may have waited for its turn, and for a slow producer's next frame.
        """
        self._quickest += FORGET * (now - self._last_ack)
        self._last_ack = now
        while self._sent_at and self._sent_at[0][0] <= n:
            self._quickest = min(self._quickest, heard - self._sent_at.popleft()[1])
        late = heard - self._sent_at[0][1] - self._quickest if self._sent_at else 0.0
        if late <= LATE / 2:
            self.pace = min(self.rate, GROW * self.pace)
        elif late > LATE and now - self._eased >= EASE_EVERY:
            self.pace, self._eased = max(min(SLOWEST, self.rate), EASE * self.pace), now

    def _measure_anew(self) -> None:
        """Who looks, and over which way, may have changed."""
        self._sent_at.clear()
        self._back.clear()
        self._quickest = math.inf

    def visible(self, on: bool, now: float) -> None:
        """Some view became visible, or none is any more."""
        self._last_life = now
        self._measure_anew()
        if on:
            self._hidden_since = None
            self._at_once = AT_ONCE
        elif self._hidden_since is None:
            self._hidden_since = now

    def wake(self, now: float) -> None:
        """Somebody changed a control or asked: the next frames go at once, window or not."""
        self._last_life = now
        self._at_once = AT_ONCE

    def mark_active(self, now: float) -> None:
        """Somebody is there (a script that waits, say), without asking for a frame."""
        self._last_life = now

    def sent(self, n: int, now: float) -> None:
        """Frame `n` has left."""
        # the same one again, for a page that has come, is no new one on its way
        if n > self._sent:
            self._sent_at.append((n, now))
            self._sent = n
        # a producer is seldom ready on the beat: what one frame was late, the next may be early, or 20 ms steps would
        # make 25 frames a second out of 30. What went at once before its time is not held against those after it.
        self._beat = min(max(self._beat + 1.0 / self.pace, now - 0.5 / self.pace), now)
        self._last_sent = now
        self._at_once = max(0, self._at_once - 1)
        if self._waiting_since is None and self._acked < self._sent:
            self._waiting_since = now

    # -- what follows from it

    @property
    def window(self) -> int:
        """Frames that may be out: half a second of them; of a page that gets few, two seconds."""
        return max(2, round(min(self.rate / 2, 2 * self.pace)))

    @property
    def outstanding(self) -> int:
        """Frames sent and not acknowledged."""
        return self._sent - self._acked

    def attention(self, now: float) -> Attention:
        """Whether somebody looks: without that there is nothing to draw for."""
        if self._hidden_since is not None and now - self._hidden_since >= GRACE:
            return Attention(False, "hidden")
        if now - self._last_life >= LIFE:
            return Attention(False, "nobody")
        return Attention(True)

    def due(self, now: float) -> float:
        """When the next frame may go: a time not after `now` means at once, infinity never.

        A time ahead is when to ask again; anything heard in between may bring it forward.
        """
        if not self.attention(now).watched:
            return math.inf
        if self._at_once:
            return now
        if self._waiting_since is not None and now - self._waiting_since >= SILENCE:
            silent = now - self._waiting_since - SILENCE
            return self._last_sent + 1.0 / min(self.pace, PATIENT_RATE if silent < PATIENCE else PROBE_RATE)
        if self.outstanding >= self.window:
            return self._waiting_since + SILENCE if self._waiting_since is not None else now
        return self._beat + 1.0 / self.pace

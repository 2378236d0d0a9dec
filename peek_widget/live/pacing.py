"""When a frame may leave the kernel: a credit window, a rate, and what silence means.

It has no thread, no clock and no browser of its own: every method is given the time (seconds, from any monotonic
clock). Only one thread may use a `Pacer` at a time: its owner holds the lock.

The constants come from measurements in JupyterLab. An acknowledgement of every frame halves the frame rate, because
each message to the kernel repaints the notebook's busy indicator; so acknowledgements are few and cumulative, and the
window of frames in flight spans about half a second beside the round trip that was measured, since a kernel may be far
from its page. A page that takes longer and longer to show what it is sent has a
queue, and is sent less. What counts is how long a frame has been on its way, not how many frames are in flight, so that
a slow page reacts to its user as quickly as a fast one (as LEDBAT keeps queues short, RFC 6817).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["Attention", "Pacer"]

MAX_RATE = 60.0
"""Frames a second at most."""

SILENCE = 1.5
"""Seconds without an ack, while frames are in flight, until the front end counts as silent."""

PATIENCE = 10.0
"""Seconds of silence during which frames still go out at `PATIENT_RATE`: on a kernel without sub-shells a running cell
delays the acks, but not the frames."""

PATIENT_RATE = 4.0
"""Frames a second to a front end that has just become silent."""

PROBE_RATE = 1.0
"""Frames a second to a front end that has been silent for longer."""

LIFE = 60.0
"""Seconds without any message after which nobody is taken to be there."""

AT_ONCE = 2
"""Frames that are due at once after a change of a control: a server's socket holds the end of a small one back until
more follows (Nagle's algorithm; jupyter_server leaves it on), so the second pushes the first one through."""

SLOWEST = 1.0
"""Frames a second at least, however slow the page or its connection."""

LATE = 0.05
"""Seconds by which the round trip of a frame may exceed the shortest one. A frame that takes longer waits in a queue of
the page."""

RECENT_ACKS = 8
"""Number of the newest acks whose shortest way back tells how long another was held up by a cell in the kernel or by
the network, which is not a queue of the page."""

DRIFT = 0.008
"""Seconds by which the shortest round trip known grows in each second without a shorter one: the connection itself can
become slower for good, which is not a queue either."""

EASE, GROW, EASE_EVERY = 0.7, 1.05, 0.5
"""A page with a queue gets `EASE` times its rate, once in `EASE_EVERY` seconds (acks that were held up arrive
together), and `GROW` times its rate with each ack in time: frames that it can't draw would delay its reaction to its
user."""

AHEAD = 0.5
"""Seconds of frames that may be in flight, beside those that the way takes: acks come four times a second."""

LONGEST_WAY = 1.0
"""Seconds of a round trip at most by which the window grows."""

GRACE = 1.0
"""Seconds after which a stream that no view shows is paused: scrolling past must not stop the run."""


@dataclass(frozen=True)
class Attention:
    """Whether anybody watches.

    Attributes:
        watched: whether somebody does.
        reason: why nobody does, "hidden" or "nobody"; "" where somebody does.
    """

    watched: bool
    reason: str = ""


class Pacer:
    """Flow control for one stream of numbered frames, of which only the newest counts.

    Args:
        rate: frames a second to aim at, above 0; at most 60 are sent.
        now: time at which the stream begins.

    Attributes:
        rate: frames a second to aim at.
        pace: frames a second now, at most `rate`: less for a page that can't draw as many.
    """

    def __init__(self, rate: float = 30.0, *, now: float) -> None:
        if not rate > 0:
            raise ValueError(f"The frame rate must be above 0 frames a second; {rate} was given.")
        self.rate: float = min(float(rate), MAX_RATE)
        self.pace: float = self.rate
        self._slowed_at = now
        self._sent = 0
        self._acked = 0
        self._shortest = math.inf
        self._sent_at: deque[tuple[int, float]] = deque(maxlen=math.ceil(2 * self.rate * (AHEAD + LONGEST_WAY)))
        self._way_back: deque[float] = deque(maxlen=RECENT_ACKS)
        self._last_ack = now
        self._last_sent = -math.inf
        self._last_slot = -math.inf
        self._waiting_since: float | None = None
        self._last_sign = now
        self._hidden_since: float | None = None
        self._urgent = 0

    # -- events

    def hello(self, now: float) -> None:
        """Note that a front end has (re)connected: frames that an earlier one did not acknowledge no longer count."""
        self._acked = self._sent
        self._forget_trips()
        self.pace = self.rate
        self._waiting_since = None
        self._hidden_since = None
        self._last_sign = now
        self._urgent = AT_ONCE

    def ack(self, n: int, now: float, at: float | None = None) -> None:
        """Note that every frame up to `n` was drawn. Of the acks of several pages the furthest one counts.

        Args:
            n: number of the frame.
            now: time at which the ack arrived.
            at: time at which the page sent it, by the page's own clock, which need not agree with that of `now`.
        """
        self._last_sign = now
        # only a view that can be seen acknowledges
        self._hidden_since = None
        if n > self._sent:
            # a number of another stream, which says nothing about this one
            self._forget_trips()
            n = self._sent
        if n > self._acked:
            self._adjust(n, now, self._undelayed(n, now, at))
            self._acked = n
        self._waiting_since = None if self._acked == self._sent else now

    def _undelayed(self, n: int, now: float, at: float | None) -> float:
        """Return when the ack of `n` would have arrived, had nothing held it up on its way back."""
        if at is None:
            return now
        self._way_back.append(now - at)
        arrived = now - (self._way_back[-1] - min(self._way_back))
        if arrived < next((left for number, left in self._sent_at if number == n), -math.inf):
            # before the frame left? Then the time is of another machine's clock, or of one that was set back
            return now
        return arrived

    def _adjust(self, n: int, now: float, arrived: float) -> None:
        """Adjust the pace to how long the oldest frame after `n` had been on its way when the ack of `n` arrived.

        What `n` itself took says less: its ack may have waited for its turn, and for a slow producer's next frame.
        """
        self._shortest += DRIFT * (now - self._last_ack)
        self._last_ack = now
        while self._sent_at and self._sent_at[0][0] <= n:
            self._shortest = min(self._shortest, arrived - self._sent_at.popleft()[1])
        late = arrived - self._sent_at[0][1] - self._shortest if self._sent_at else 0.0
        if late <= LATE / 2:
            self.pace = min(self.rate, GROW * self.pace)
        elif late > LATE and now - self._slowed_at >= EASE_EVERY:
            self.pace, self._slowed_at = max(min(SLOWEST, self.rate), EASE * self.pace), now

    def _forget_trips(self) -> None:
        """Measure round trips again, because who watches, and over which connection, may have changed."""
        self._sent_at.clear()
        self._way_back.clear()
        self._shortest = math.inf

    def visible(self, on: bool, now: float) -> None:
        """Note that some view became visible (`on`), or that none is any more."""
        self._last_sign = now
        self._forget_trips()
        if on:
            self._hidden_since = None
            self._urgent = AT_ONCE
        elif self._hidden_since is None:
            self._hidden_since = now

    def wake(self, now: float) -> None:
        """Note that somebody changed a control or asked: the next frames are due at once, whatever the window."""
        self._last_sign = now
        self._urgent = AT_ONCE

    def mark_active(self, now: float) -> None:
        """Note that somebody is there (a script that waits, say), without asking for a frame."""
        self._last_sign = now

    def sent(self, n: int, now: float) -> None:
        """Note that frame `n` was sent."""
        # a frame that is sent again, to a page that has just connected, is not a new one
        if n > self._sent:
            self._sent_at.append((n, now))
            self._sent = n
        # a producer is seldom ready on time: as much as one frame was late, the next may be early, or steps of 20 ms
        # would make 25 frames a second out of 30. A frame sent at once before its time does not delay those after it.
        self._last_slot = min(max(self._last_slot + 1.0 / self.pace, now - 0.5 / self.pace), now)
        self._last_sent = now
        self._urgent = max(0, self._urgent - 1)
        if self._waiting_since is None and self._acked < self._sent:
            self._waiting_since = now

    # -- decisions

    @property
    def window(self) -> int:
        """Number of frames that may be in flight: those of half a second beside the shortest round trip; for a page
        that gets few, of two seconds.
        """
        way = min(self._shortest, LONGEST_WAY) if self._shortest < math.inf else 0.0
        return max(2, round(min(self.rate * (AHEAD + way), 2 * self.pace)))

    @property
    def outstanding(self) -> int:
        """Number of frames sent and not acknowledged."""
        return self._sent - self._acked

    def attention(self, now: float) -> Attention:
        """Return whether somebody watches; without that there is nothing to draw for."""
        if self._hidden_since is not None and now - self._hidden_since >= GRACE:
            return Attention(False, "hidden")
        if now - self._last_sign >= LIFE:
            return Attention(False, "nobody")
        return Attention(True)

    def due(self, now: float) -> float:
        """Return when the next frame may be sent: a time not after `now` means at once, infinity means never.

        A later time is when to ask again; any message in between may bring it forward.
        """
        if not self.attention(now).watched:
            return math.inf
        if self._urgent:
            return now
        if self._waiting_since is not None and now - self._waiting_since >= SILENCE:
            silent = now - self._waiting_since - SILENCE
            return self._last_sent + 1.0 / min(self.pace, PATIENT_RATE if silent < PATIENCE else PROBE_RATE)
        if self.outstanding >= self.window:
            return self._waiting_since + SILENCE if self._waiting_since is not None else now
        return self._last_slot + 1.0 / self.pace

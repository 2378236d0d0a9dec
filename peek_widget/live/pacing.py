"""Flow control of frames: when a frame may leave the kernel, by a credit window, a rate and the page's silence.

It is independent of thread, clock and browser: every method is given the time (seconds, from any monotonic
clock). Only one thread may use a `Pacer` at a time: its owner holds the lock.

The constants come from measurements in JupyterLab. An acknowledgment of every frame halves the frame rate, because
each message to the kernel repaints the notebook's busy indicator; so acknowledgments are few and cumulative, and the
window of frames in flight spans about half a second plus the measured round trip, since a kernel may be far
from its page. A page that takes longer and longer to show frames has a
queue, and is sent fewer. What counts is how long a frame has been on its way, not how many frames are in flight, so
a slow page reacts to its user as quickly as a fast one (as LEDBAT keeps queues short, RFC 6817).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["Attention", "Pacer"]

MAX_RATE = 60.0
"""Maximum number of frames per second."""

SILENCE = 1.5
"""Seconds without an ack, while frames are in flight, after which the front end counts as silent."""

PATIENCE = 10.0
"""Seconds of silence during which frames still go out at `PATIENT_RATE`: on a kernel without subshells a running cell
delays the acks, but not the frames."""

PATIENT_RATE = 4.0
"""Frames per second to a front end that has just become silent."""

PROBE_RATE = 1.0
"""Frames per second to a front end that has been silent for longer."""

LIFE = 60.0
"""Seconds without any message after which the front end counts as gone."""

AT_ONCE = 2
"""Number of frames due at once after a change of a control: a server's socket holds back the end of a small frame
until more follows (Nagle's algorithm; jupyter_server leaves it on), so the second frame pushes the first through."""

SLOWEST = 1.0
"""Minimum number of frames per second, however slow the page or its connection."""

LATE = 0.05
"""Seconds by which the round trip of a frame may exceed the shortest one. A frame that takes longer waits in the
page's queue."""

RECENT_ACKS = 8
"""Number of newest acks whose shortest way back shows how long another ack was held up by a cell in the kernel or by
the network, which is not a queue of the page."""

DRIFT = 0.008
"""Seconds by which the shortest known round trip grows in each second without a shorter one: the connection itself can
become slower permanently, which is not a queue either."""

EASE, GROW, EASE_EVERY = 0.7, 1.05, 0.5
"""Factors of the rate: `EASE` for a page with a queue, at most once in `EASE_EVERY` seconds (acks that were held up
arrive together), and `GROW` for each ack in time: frames that a page can't draw would delay its reaction to its
user."""

AHEAD = 0.5
"""Seconds of frames that may be in flight in addition to the round trip: acks come four times a second."""

LONGEST_WAY = 1.0
"""Maximum number of seconds of a round trip that count for the window."""

GRACE = 1.0
"""Seconds after which a stream without a visible view is paused: scrolling past must not stop the run."""


@dataclass(frozen=True)
class Attention:
    """Whether the stream is watched, and why not.

    Attributes:
        watched: whether it is watched.
        reason: why it is not watched, "hidden" or "nobody"; "" if it is.
    """

    watched: bool
    reason: str = ""


class Pacer:
    """Flow control for one stream of numbered frames, of which only the newest counts.

    Args:
        rate: target in frames per second, above 0; at most 60 are sent.
        now: time at which the stream begins.

    Attributes:
        rate: target in frames per second.
        pace: current frames per second, at most `rate`: less for a page that can't draw as many.
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
        """Note that a front end has (re)connected: frames not acknowledged by an earlier one no longer count."""
        self._acked = self._sent
        self._forget_trips()
        self.pace = self.rate
        self._waiting_since = None
        self._hidden_since = None
        self._last_sign = now
        self._urgent = AT_ONCE

    def ack(self, n: int, now: float, at: float | None = None) -> None:
        """Note that every frame up to `n` was drawn. If several pages send acks, the furthest ack counts.

        Args:
            n: number of the frame.
            now: time at which the ack arrived.
            at: time at which the page sent it, by the page's own clock, which need not agree with that of `now`.
        """
        self._last_sign = now
        # only a visible view acknowledges
        self._hidden_since = None
        if n > self._sent:
            # a number of another stream does not apply to this one
            self._forget_trips()
            n = self._sent
        if n > self._acked:
            self._adjust(n, now, self._undelayed(n, now, at))
            self._acked = n
        self._waiting_since = None if self._acked == self._sent else now

    def _undelayed(self, n: int, now: float, at: float | None) -> float:
        """Return when the ack of `n` would have arrived without a delay on its way back."""
        if at is None:
            return now
        self._way_back.append(now - at)
        arrived = now - (self._way_back[-1] - min(self._way_back))
        if arrived < next((left for number, left in self._sent_at if number == n), -math.inf):
            # a time before the frame left is from another machine's clock, or from a clock that was set back
            return now
        return arrived

    def _adjust(self, n: int, now: float, arrived: float) -> None:
        """Adjust the pace to how long the oldest frame after `n` had been on its way when the ack of `n` arrived.

        The time for `n` itself says less: its ack may have waited for its turn, and for a slow producer's next frame.
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
        """Discard the measured round trips, because the page or its connection may have changed."""
        self._sent_at.clear()
        self._way_back.clear()
        self._shortest = math.inf

    def visible(self, on: bool, now: float) -> None:
        """Note that a view became visible (`on`), or that no view is visible any more."""
        self._last_sign = now
        self._forget_trips()
        if on:
            self._hidden_since = None
            self._urgent = AT_ONCE
        elif self._hidden_since is None:
            self._hidden_since = now

    def wake(self, now: float) -> None:
        """Note that a control was changed or a frame requested: the next frames are due at once, in any window."""
        self._last_sign = now
        self._urgent = AT_ONCE

    def mark_active(self, now: float) -> None:
        """Note that the stream is in use (by a waiting script, for example), without requesting a frame."""
        self._last_sign = now

    def sent(self, n: int, now: float) -> None:
        """Note that frame `n` was sent."""
        # a frame sent again, to a page that has just connected, is not a new one
        if n > self._sent:
            self._sent_at.append((n, now))
            self._sent = n
        # a producer is rarely ready on time: the next frame may be early by as much as one was late, or steps of 20 ms
        # would give 25 frames per second instead of 30; a frame sent early, at once, does not delay later ones
        self._last_slot = min(max(self._last_slot + 1.0 / self.pace, now - 0.5 / self.pace), now)
        self._last_sent = now
        self._urgent = max(0, self._urgent - 1)
        if self._waiting_since is None and self._acked < self._sent:
            self._waiting_since = now

    # -- decisions

    @property
    def window(self) -> int:
        """Maximum number of frames in flight.

        They are those of half a second plus the shortest round trip or, for a slow page, of two seconds.
        """
        way = min(self._shortest, LONGEST_WAY) if self._shortest < math.inf else 0.0
        return max(2, round(min(self.rate * (AHEAD + way), 2 * self.pace)))

    @property
    def outstanding(self) -> int:
        """Number of frames sent and not acknowledged."""
        return self._sent - self._acked

    def attention(self, now: float) -> Attention:
        """Return whether the stream is watched, and so worth drawing for."""
        if self._hidden_since is not None and now - self._hidden_since >= GRACE:
            return Attention(False, "hidden")
        if now - self._last_sign >= LIFE:
            return Attention(False, "nobody")
        return Attention(True)

    def due(self, now: float) -> float:
        """Return when the next frame may be sent: a time up to `now` means at once, infinity means never.

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

"""The audience of a run, and how fast the page shows frames."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from peek_widget.live import protocol
from peek_widget.live.pacing import Pacer

__all__ = ["Audience"]


class Audience:
    """A `Pacer` that several threads may use, and the callers that wait for the run in Python.

    Args:
        changed: the lock that guards it, and the condition to notify when a page or a caller comes or answers.
        rate: maximum number of frames published per second.
        clock: returns monotonic time in seconds.

    Attributes:
        pacer: decides when a frame may be sent; use it only with the lock held.
    """

    def __init__(self, changed: threading.Condition, rate: float, clock: Callable[[], float]) -> None:
        self._changed, self._clock = changed, clock
        self._waiters = 0
        self.pacer: Pacer = Pacer(rate, now=clock())

    # -- from any thread

    def receive(self, message: protocol.Message) -> bool:
        """Take a message of the page about its own state.

        Returns:
            Whether the page asks for the newest picture again.
        """
        with self._changed:
            now = self._clock()
            match message:
                case protocol.Ack(n, at):
                    self.pacer.ack(n, now, at / 1000)
                    resend = False
                case protocol.Visible(on):
                    self.pacer.visible(on, now)
                    resend = on
                case protocol.Ping():
                    self.pacer.wake(now)
                    resend = True
                case protocol.Hello():
                    self.pacer.hello(now)
                    resend = True
                case _:
                    return False
            self._changed.notify_all()
            return resend

    def mark_active(self) -> None:
        """Note that the page is active, without a request for a picture."""
        with self._changed:
            self.pacer.mark_active(self._clock())

    def expect_frame(self) -> None:
        """Note that a control was changed: the next frames are due at once."""
        with self._changed:
            self.pacer.wake(self._clock())

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the caller, which holds the lock, as watching."""
        self._waiters += 1
        self.mark_active()
        self._changed.notify_all()
        try:
            yield
        finally:
            self._waiters -= 1

    def watched(self) -> bool:
        """Return whether the picture is visible to anyone, or a caller waits for the run."""
        with self._changed:
            now = self._clock()
            if self._waiters:
                self.pacer.mark_active(now)
                return True
            return self.pacer.attention(now).watched

    # -- from the worker

    def frame_due(self) -> bool:
        """Return whether a frame may be sent now."""
        with self._changed:
            now = self._clock()
            return self.pacer.due(now) <= now

    def sent(self, number: int) -> None:
        """Note that the frame with this number was sent."""
        with self._changed:
            self.pacer.sent(number, self._clock())

"""A thread with a mailbox: the base of every background part of an explorer."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["JOIN_TIMEOUT", "Mailbox", "Service"]

log: logging.Logger = logging.getLogger("peek_widget")

JOIN_TIMEOUT = 5.0
"""Seconds for which closing waits for the thread."""

Requests = TypeVar("Requests")


class Mailbox(Generic[Requests]):
    """A mailbox of requests from any thread to one thread; a newer request of the same kind replaces an older one.

    Args:
        make: makes an empty set of requests: a dataclass with a default for every kind of request, so that two empty
            sets are equal.

    Attributes:
        changed: the owner's lock, and the condition that is notified of each request.
        pending: the requests not yet taken; read or change them only with the lock held.
    """

    def __init__(self, make: Callable[[], Requests]) -> None:
        self._make = make
        self.changed: threading.Condition = threading.Condition()
        self.pending: Requests = make()

    @property
    def empty(self) -> bool:
        """Whether the mailbox has no request."""
        return self.pending == self._make()

    def post(self, **requests: Any) -> None:
        """Leave requests, by the names of the dataclass's fields, and wake the thread that waits for them."""
        with self.changed:
            for name, value in requests.items():
                setattr(self.pending, name, value)
            self.changed.notify_all()

    def take(self) -> Requests:
        """Empty the mailbox and return what was in it."""
        with self.changed:
            taken, self.pending = self.pending, self._make()
        return taken


class Service(Generic[Requests]):
    """A service with a thread of its own that takes requests from a mailbox.

    A caller posts a request and returns: handlers of messages and observers of traits run on the kernel's threads and
    must never block. The thread checks the mailbox between two pieces of work. It is a daemon, starts with the
    first request, and ends with :meth:`close` or with the interpreter.

    A subclass implements :meth:`wait_time` and :meth:`handle`, and may override :meth:`enter`, :meth:`fail`,
    :meth:`leave` (these run in the thread) and :meth:`interrupt`.

    Args:
        name: name of the thread.
        requests: makes an empty set of requests, see :class:`Mailbox`.
        clock: returns monotonic time in seconds.
    """

    def __init__(
        self, name: str, requests: Callable[[], Requests], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._clock = name, clock
        self._mailbox = Mailbox(requests)
        self._changed = self._mailbox.changed
        self._closed = False
        self._thread: threading.Thread | None = None

    # -- from any thread

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, unless it was started or the service is closed; does not wait for it."""
        with self._changed:
            if self._closed or self._thread is not None:
                return
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            # a daemon thread inside torch can crash the interpreter while it shuts down
            atexit.register(self.close)
            self._thread.start()

    def post(self, *, start: bool = True, **requests: Any) -> None:
        """Leave requests for the thread, by the names of the mailbox's fields.

        Args:
            start: whether to start the thread if needed; otherwise a request to a thread never started is dropped.
        """
        with self._changed:
            if self._closed or (self._thread is None and not start):
                return
            self._mailbox.post(**requests)
            self.start()

    def wake(self) -> None:
        """Make the thread call :meth:`wait_time` again, after a change outside the mailbox."""
        with self._changed:
            self._changed.notify_all()

    def close(self, timeout: float = JOIN_TIMEOUT) -> bool:
        """End the thread after its current piece of work.

        Returns:
            Whether it has ended; False if that piece takes longer than ``timeout`` seconds.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        self.interrupt()
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    # -- for the subclass

    def enter(self) -> None:
        """Prepare the thread, for example its number of torch threads."""

    def wait_time(self) -> float | None:
        """Return how many seconds to sleep while there is no request: 0 not to sleep, None to sleep until there is one.

        Called with the lock held, before each sleep.
        """
        raise NotImplementedError

    def handle(self, requests: Requests) -> None:
        """Take the requests (possibly an empty set) and do one piece of work."""
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """Report that a piece of work raised; the thread goes on with the next one."""
        log.error("%s failed: %s", self._name, error, exc_info=error)

    def leave(self) -> None:
        """Clean up when the thread ends."""

    def interrupt(self) -> None:
        """Cut the current piece of work short if possible; called by :meth:`close`, in the thread that closes."""

    # -- the thread

    def _work(self) -> None:
        try:
            self.enter()
        except Exception as error:
            self.fail(error)
        while True:
            with self._changed:
                self._sleep()
                if self._closed:
                    self._changed.notify_all()
                    break
                requests = self._mailbox.take()
            try:
                self.handle(requests)
            except BaseException as error:
                # an observer may raise anything, and SystemExit would end the thread silently
                self.fail(error)
        try:
            self.leave()
        finally:
            atexit.unregister(self.close)

    def _sleep(self) -> None:
        """Wait with the lock held until there is a request, the time to sleep has passed, or the service is closed."""
        while not self._closed and self._mailbox.empty:
            seconds = self.wait_time()
            if seconds is not None:
                if seconds > 0.0:
                    self._changed.wait(seconds)
                return
            self._changed.wait()

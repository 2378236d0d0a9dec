"""A thread with a mailbox: what every background part of an explorer is built on."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["JOIN_TIMEOUT", "Service"]

log: logging.Logger = logging.getLogger("peek_widget")

JOIN_TIMEOUT = 5.0
"""Seconds that closing waits for the thread."""

_Requests = TypeVar("_Requests")


class Service(Generic[_Requests]):
    """Work in a thread of its own that takes requests from a mailbox.

    Whoever wants something posts it and goes on: handlers of messages and observers of traits run on the kernel's
    threads and must never wait. The thread looks into the mailbox between two pieces of work; of two requests of one
    kind the newer wins. The thread is a daemon, is started by the first request, and ends with :meth:`close` or with
    the interpreter.

    A subclass implements :meth:`handle` and :meth:`wait_time`, and may implement :meth:`enter`, :meth:`fail` and
    :meth:`leave`. All of these run in the thread.

    Args:
        name: of the thread.
        requests: makes an empty mailbox: a dataclass with a default for every kind of request. It must compare equal
            to another empty one.
        clock: seconds, monotonic.
    """

    def __init__(
        self, name: str, requests: Callable[[], _Requests], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._make_requests, self._clock = name, requests, clock
        self._changed = threading.Condition()
        self._requests: _Requests = requests()
        self._closed = False
        self._thread: threading.Thread | None = None

    # -- from any thread

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread if it was not started; does not wait."""
        with self._changed:
            if self._closed or self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            # a daemon thread inside torch while the interpreter is taken down can crash it
            atexit.register(self.close)
            self._thread.start()

    def post(self, *, start: bool = True, **requests: Any) -> None:
        """Leave requests for the thread, by the names of the mailbox's fields.

        Args:
            start: start the thread if need be. Otherwise requests to a thread that was never started are dropped.
        """
        with self._changed:
            if self._thread is None and not start:
                return
            for name, value in requests.items():
                setattr(self._requests, name, value)
            self.start()
            self._changed.notify_all()

    def wake(self) -> None:
        """Let the thread look whether there is something to do."""
        with self._changed:
            self._changed.notify_all()

    def close(self, timeout: float = JOIN_TIMEOUT) -> bool:
        """End the thread after its current piece of work.

        Returns:
            Whether it has ended; False where that piece takes longer than ``timeout`` seconds.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    # -- for the subclass

    def enter(self) -> None:
        """Prepare the thread (its number of torch threads, say)."""

    def wait_time(self) -> float | None:
        """Seconds to sleep while there is no request: 0 for none, None until there is one. The lock is held."""
        raise NotImplementedError

    def handle(self, requests: _Requests) -> None:
        """Take the requests (an empty mailbox where there were none) and do one piece of work."""
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """Tell the reader that a piece of work raised; the thread goes on."""
        log.error("%s failed: %s", self._name, error, exc_info=error)

    def leave(self) -> None:
        """Clean up when the thread ends."""

    def _run(self) -> None:
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
                requests, self._requests = self._requests, self._make_requests()
            try:
                self.handle(requests)
            except BaseException as error:
                # an observer may raise anything, and SystemExit in a thread would end it without a word
                self.fail(error)
        try:
            self.leave()
        finally:
            atexit.unregister(self.close)

    def _sleep(self) -> None:
        """Wait, the lock held, until there is something to do: once for a time, or as often as somebody wakes it."""
        while not self._closed and self._requests == self._make_requests():
            seconds = self.wait_time()
            if seconds is not None:
                if seconds > 0.0:
                    self._changed.wait(seconds)
                return
            self._changed.wait()

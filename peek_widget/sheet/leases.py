"""Leases on the batches of a store, so that each is drawn by one of the processes that fill it, without locks.

A lease is advisory. If two processes draw the same batch after all (at an address that can't create a file only if
it is new), they draw the same pictures, and the store ends up the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable

from peek_widget.errors import SheetStoreError
from peek_widget.sheet.store import WORK, Store

__all__ = ["Leases"]

HEARTBEAT = 5.0
"""Seconds between two renewals of a lease."""

LEASE_TIMEOUT = 60.0
"""Seconds without a renewal after which a lease counts as abandoned."""


class Leases:
    """The leases of one process on the batches of a store.

    Args:
        store: store that they are written to.
        clock: seconds, monotonic.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._me = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex}
        self._held: dict[str, float] = {}
        self._renewals = 0
        # Leases of other processes: what was last read, and since when it has been so. The clocks of two machines are
        # never compared.
        self._seen: dict[str, tuple[bytes, float]] = {}

    def holds(self, key: str) -> bool:
        """Return whether this process holds the lease on a batch."""
        return key in self._held

    def take(self, key: str) -> bool:
        """Lease a batch; return False where a living process holds the lease."""
        if key in self._held:
            return True
        name = _name(key)
        for _ in range(2):
            if self._store.create(name, self._signature()):
                self._held[key] = self._clock()
                return True
            theirs = self._store.read(name)
            if theirs is not None:
                if not self._abandoned(key, theirs):
                    return False
                self._store.remove(name)
        return False

    def heartbeat(self) -> None:
        """Renew the leases that are due, to show that their batches are still being drawn; cheap, call it often."""
        now = self._clock()
        for key, last in self._held.items():
            if now - last >= HEARTBEAT:
                self._held[key] = now
                with contextlib.suppress(SheetStoreError):  # advice only: an error shows when a picture is saved
                    self._store.write(_name(key), self._signature())

    def release(self, key: str | None = None) -> None:
        """Release one lease, or all."""
        for one in list(self._held) if key is None else [key]:
            if self._held.pop(one, None) is not None:
                with contextlib.suppress(SheetStoreError):
                    self._store.remove(_name(one))

    def sweep(self) -> None:
        """Remove the leases left by processes that have ended."""
        for name in self._store.names(WORK):
            if name.endswith(".claim") and (theirs := self._store.read(f"{WORK}/{name}")) is not None:
                key = name.removesuffix(".claim")
                if key not in self._held and self._abandoned(key, theirs):
                    with contextlib.suppress(SheetStoreError):
                        self._store.remove(f"{WORK}/{name}")

    def _signature(self) -> bytes:
        self._renewals += 1
        return json.dumps({**self._me, "beat": self._renewals}).encode()

    def _abandoned(self, key: str, theirs: bytes) -> bool:
        try:
            owner = json.loads(theirs)
            if owner["host"] == self._me["host"] and not _alive(int(owner["pid"])):
                return True
        except (ValueError, KeyError, TypeError):
            pass  # corrupt, or still being written: judged by the time without a renewal
        before, since = self._seen.get(key, (b"", 0.0))
        if before != theirs:
            self._seen[key] = (theirs, self._clock())
            return False
        return self._clock() - since >= LEASE_TIMEOUT


def _name(key: str) -> str:
    return f"{WORK}/{key}.claim"


def _alive(pid: int) -> bool:
    """Return whether a process of this machine is alive; True where asking would end it."""
    if os.name != "posix":
        return True  # there os.kill(pid, 0) would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

"""Who draws which batch, where several processes fill one store. No locks: a claim is advice.

Should two draw the same batch after all (on an address that can't create a file only if it is new), they draw the same
pictures, and the store ends up the same.
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

BEAT = 5.0
"""Seconds between two signs of life of a claim."""

SILENT = 60.0
"""Seconds without one after which it counts as abandoned."""


class Leases:
    """One process's claims on a store's batches.

    Args:
        store: where they are left.
        clock: seconds, monotonic.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._me = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex}
        self._held: dict[str, float] = {}
        self._beats = 0
        # Of other people's claims: what was last read, and since when it has been so. Clocks are never compared.
        self._seen: dict[str, tuple[bytes, float]] = {}

    def take(self, key: str) -> bool:
        """Claim a batch; False where somebody alive has it."""
        if key in self._held:
            return True
        name = _name(key)
        for _ in range(2):
            if self._store.create(name, self._sign()):
                self._held[key] = self._clock()
                return True
            theirs = self._store.read(name)
            if theirs is not None:
                if not self._abandoned(key, theirs):
                    return False
                self._store.remove(name)
        return False

    def beat(self) -> None:
        """Show that what is held is still being drawn; cheap, call it often."""
        now = self._clock()
        for key, last in self._held.items():
            if now - last >= BEAT:
                self._held[key] = now
                with contextlib.suppress(SheetStoreError):  # advice only; what matters is told when a picture is kept
                    self._store.write(_name(key), self._sign())

    def release(self, key: str | None = None) -> None:
        """Give one back, or all."""
        for one in list(self._held) if key is None else [key]:
            if self._held.pop(one, None) is not None:
                with contextlib.suppress(SheetStoreError):
                    self._store.remove(_name(one))

    def sweep(self) -> None:
        """Take away what processes that are gone have left."""
        for name in self._store.names(WORK):
            if name.endswith(".claim") and (theirs := self._store.read(f"{WORK}/{name}")) is not None:
                key = name.removesuffix(".claim")
                if key not in self._held and self._abandoned(key, theirs):
                    with contextlib.suppress(SheetStoreError):
                        self._store.remove(f"{WORK}/{name}")

    def _sign(self) -> bytes:
        self._beats += 1
        return json.dumps({**self._me, "beat": self._beats}).encode()

    def _abandoned(self, key: str, theirs: bytes) -> bool:
        try:
            who = json.loads(theirs)
            if who["host"] == self._me["host"] and not _alive(int(who["pid"])):
                return True
        except (ValueError, KeyError, TypeError):
            pass  # torn, or still being written: judged by its silence
        before, since = self._seen.get(key, (b"", 0.0))
        if before != theirs:
            self._seen[key] = (theirs, self._clock())
            return False
        return self._clock() - since >= SILENT


def _name(key: str) -> str:
    return f"{WORK}/{key}.claim"


def _alive(pid: int) -> bool:
    if os.name != "posix":
        return True  # there os.kill(pid, 0) would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

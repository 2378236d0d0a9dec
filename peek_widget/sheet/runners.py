"""Who draws the batches: this thread, or somebody's executor. Both are asked in the same way."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import logging
import os
import platform
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from peek_widget._version import __version__
from peek_widget.errors import PeekError
from peek_widget.network import Network
from peek_widget.sheet.batches import Batch, draw, finish, threads
from peek_widget.sheet.serialize import pack, unpacked
from peek_widget.sheet.unit import SheetUnit

__all__ = ["Drawn", "LocalRunner", "PoolRunner", "Runner", "runner"]

log: logging.Logger = logging.getLogger("peek_widget")

LOOK = 0.25
"""Seconds after which somebody who waits for a batch is given the word again."""

IN_FLIGHT = 64
"""Batches handed to an executor and not yet drawn."""

_TRIES = 3


@dataclass(frozen=True)
class Drawn:
    """What has come of a batch, or of a half of it.

    Attributes:
        batch: which.
        finished: units.
        failed: units that can't be drawn, and why.
        last: whether nothing more will come of this batch.
    """

    batch: Batch
    finished: tuple[SheetUnit, ...]
    failed: Mapping[int, str]
    last: bool


class Runner(Protocol):
    """Draws batches."""

    @property
    def free(self) -> bool:
        """Whether it takes another batch."""

    @property
    def busy(self) -> bool:
        """Whether it has batches that are not drawn yet."""

    def submit(self, batch: Batch) -> None:
        """Take a batch on."""

    def wait(self) -> list[Drawn]:
        """Work, or wait for work, for a moment; what came of it."""

    def close(self) -> None:
        """Give up what is not drawn yet."""


def runner(
    executor: Executor | None,
    network: Network,
    fingerprint: str,
    best: Mapping[int, float],
    count: int | None,
) -> Runner:
    """Who draws: this thread where no executor is given.

    Args:
        executor: any that has ``submit``.
        network: as read.
        fingerprint: of the model.
        best: highest activation of real images by unit, see :func:`~peek_widget.sheet.batches.draw`.
        count: CPU threads of each batch; None for as many as there are here, and for one in an executor's worker.
    """
    if executor is None:
        return LocalRunner(network, fingerprint, best, count)
    if not callable(getattr(executor, "submit", None)):
        hint = " (of a Dask client: client.get_executor())" if hasattr(executor, "get_executor") else ""
        raise PeekError(
            f"executor is a {type(executor).__name__}: give a concurrent.futures.Executor{hint}, or None to draw here."
        )
    return PoolRunner(executor, network, fingerprint, best, 1 if count is None else count)


class LocalRunner:
    """Draws one batch at a time, in the calling thread."""

    def __init__(self, network: Network, fingerprint: str, best: Mapping[int, float], count: int | None) -> None:
        self._network, self._fingerprint, self._best, self._threads = network, fingerprint, best, count
        self._batch: Batch | None = None
        self._run: Iterator[Any] | None = None

    @property
    def free(self) -> bool:
        """Whether it takes another batch."""
        return self._run is None

    @property
    def busy(self) -> bool:
        """Whether it has a batch."""
        return self._run is not None

    def submit(self, batch: Batch) -> None:
        """Take a batch on."""
        self._batch = batch
        self._run = draw(self._network, batch, fingerprint=self._fingerprint, best=self._best)

    def wait(self) -> list[Drawn]:
        """Some steps; what they finished."""
        assert self._run is not None
        assert self._batch is not None
        until = time.monotonic() + LOOK
        with threads(self._threads):
            for progress in self._run:
                if progress.finished or progress.failed:
                    return [Drawn(self._batch, progress.finished, progress.failed, last=False)]
                if time.monotonic() >= until:
                    return []
        batch, self._run = self._batch, None
        return [Drawn(batch, (), {}, last=True)]

    def close(self) -> None:
        """Give up the batch."""
        self._run = None


# In an executor


@dataclass(frozen=True)
class Job:
    """A batch for a worker."""

    key: str
    batch: Batch
    fingerprint: str
    best: Mapping[int, float]
    threads: int
    version: str
    attempt: int = 0  # no two are equal: Dask would give the answer of the first
    failures: int = 0


@dataclass(frozen=True)
class Reply:
    """What a worker answers: ``finished`` is None where it has not the model and can't reach it."""

    worker: str
    loaded: bool = False
    finished: list[SheetUnit] | None = None
    failed: Mapping[int, str] = dataclasses.field(default_factory=dict)


def work(job: Job, source: Any) -> Reply:
    """Draw a batch in a worker; module-level, so that any executor can find it."""

    if __version__ != job.version:
        raise PeekError(
            f"The worker {_name()} has peek_widget {__version__}, and this is {job.version}: install the "
            "same there, so that it draws the same."
        )
    network, loaded = unpacked(job.key, source)
    if network is None:
        return Reply(_name())
    with threads(job.threads):
        finished, failed = finish(draw(network, job.batch, fingerprint=job.fingerprint, best=job.best))
    return Reply(_name(), loaded, finished, failed)


def _name() -> str:
    return f"{platform.node()}:{os.getpid()}"


class PoolRunner:
    """Hands batches to an executor, and the model once to each of its workers.

    How the model gets there: to threads as it is; through Dask as data that its scheduler spreads (``scatter``); else
    through a file beside, which every worker of this machine reads once. A worker that can't see the file says so, and
    gets the bytes with the batch.
    """

    def __init__(
        self, executor: Executor, network: Network, fingerprint: str, best: Mapping[int, float], count: int
    ) -> None:

        self._executor, self._fingerprint, self._best, self._threads = executor, fingerprint, best, count
        self._version = __version__
        self._waiting: dict[Future[Reply], Job] = {}
        self._folder: Path | None = None
        self._problem: PeekError | None = None
        # Batches that went out with the model's bytes, by the worker that asked for them; and those that this worker
        # has sent back too and that wait until it must have them.
        self._carrying: dict[Future[Reply], str] = {}
        self._held: list[Job] = []
        self.trips: list[tuple[str, int]] = []
        """Which worker unpacked the model, and of how many bytes."""
        if isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            self._key, self._source, self._data = uuid.uuid4().hex, network, b""
            return
        parcel = pack(network)
        self._key, self._data = parcel.key, parcel.data
        self._source = _scattered(executor, parcel.data) or self._file(parcel.data)

    @property
    def free(self) -> bool:
        """Whether it takes another batch."""
        return len(self._waiting) < IN_FLIGHT

    @property
    def busy(self) -> bool:
        """Whether batches are out."""
        return bool(self._waiting) or self._problem is not None

    def submit(self, batch: Batch) -> None:
        """Hand a batch on."""
        best = {unit: self._best[unit] for unit in batch.wanted if unit in self._best}
        self._hand_on(Job(self._key, batch, self._fingerprint, best, self._threads, self._version), self._source)

    def wait(self) -> list[Drawn]:
        """Wait for a moment; what has come back.

        Raises:
            PeekError: if the executor has died, or a batch can't be drawn; all that came back before is given first.
        """
        found: list[Drawn] = []
        if self._problem is None:
            done, _ = concurrent.futures.wait(self._waiting, LOOK, concurrent.futures.FIRST_COMPLETED)
            for future in done:
                job = self._waiting.pop(future)
                try:
                    found += self._come_back(future, job)
                except PeekError as error:
                    self._problem = self._problem or error
        if self._problem is not None and not found:
            raise self._problem
        return found

    def close(self) -> None:
        """Call back what nobody has begun; the executor stays its owner's."""
        for future in self._waiting:
            future.cancel()
        self._waiting.clear()
        self._carrying.clear()
        self._held.clear()
        self._source = None  # Dask forgets data that nobody holds
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _come_back(self, future: Future[Reply], job: Job) -> list[Drawn]:
        if self._carrying.pop(future, None) is not None:
            held, self._held = self._held, []
            for one in held:
                self._hand_on(one, self._source)
        try:
            reply = future.result()
        except PeekError:
            raise
        except BrokenExecutor as error:
            raise PeekError(
                f"The executor has died ({_words(error)}): its processes were ended, ran out of memory, or could not "
                "start (a script that makes a ProcessPoolExecutor needs if __name__ == '__main__':). What was drawn is "
                "kept: give a new executor (sheet.executor = ...) and call draw() again."
            ) from error
        except (Exception, CancelledError) as error:
            # A worker may have been lost, and with it what was on its way there.
            if job.failures + 1 >= _TRIES:
                raise PeekError(
                    f"The executor could not draw units {job.batch.wanted[0]} to {job.batch.wanted[-1]} in {_TRIES} "
                    f"tries; the last ended with {type(error).__name__}: {error}. What was drawn is kept: call draw() "
                    "again to go on, with another executor (sheet.executor = ...) if this one is lost."
                ) from error
            log.warning("A batch was lost (%s: %s); it is handed on again.", type(error).__name__, _words(error))
            again = dataclasses.replace(job, attempt=job.attempt + 1, failures=job.failures + 1)
            self._hand_on(again, self._data or self._source)
            return []
        if reply.finished is None:
            log.debug("Worker %s can't see the model's file: its bytes go with the batch.", reply.worker)
            again = dataclasses.replace(job, attempt=job.attempt + 1)
            if reply.worker in self._carrying.values():
                self._held.append(again)
            else:
                self._carrying[self._hand_on(again, self._data)] = reply.worker
            return []
        if reply.loaded:
            self.trips.append((reply.worker, len(self._data)))
        return [Drawn(job.batch, tuple(reply.finished), reply.failed, last=True)]

    def _hand_on(self, job: Job, source: Any) -> Future[Reply]:
        try:
            future = self._executor.submit(work, job, source)
        except RuntimeError as error:  # BrokenExecutor is one too
            raise PeekError(
                f"The executor takes no more work ({_words(error)}). What was drawn is kept: give a new one "
                "(sheet.executor = ...) and call draw() again."
            ) from error
        self._waiting[future] = job
        return future

    def _file(self, data: bytes) -> str:
        self._folder = Path(tempfile.mkdtemp(prefix="peek_widget-"))  # for the user alone
        path = self._folder / "model"
        path.write_bytes(data)
        return str(path)


def _scattered(executor: Any, data: bytes) -> Any:
    """The bytes as data of a Dask cluster, which each worker gets once; None for any other executor."""
    client = getattr(executor, "_client", None)
    if not type(executor).__module__.startswith("distributed") or not hasattr(client, "scatter"):
        return None
    with contextlib.suppress(TimeoutError):  # no worker there yet: the bytes go with the batches
        return client.scatter(data, broadcast=True)
    return None


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__

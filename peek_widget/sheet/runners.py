"""The runner that draws batches in an executor's workers, and the choice between it and drawing here."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import logging
import os
import platform
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peek_widget._threads import computing_on, thread_count
from peek_widget._version import __version__
from peek_widget.errors import PeekError
from peek_widget.network import Network
from peek_widget.sheet.batches import Batch, draw, finish
from peek_widget.sheet.local import BatchResult, ParallelRunner, Replicas, Runner
from peek_widget.sheet.serialize import deserialize, serialize
from peek_widget.sheet.unit import SheetUnit

__all__ = ["WAIT", "PoolRunner", "make_runner"]

log: logging.Logger = logging.getLogger("peek_widget")

WAIT = 0.25
"""Seconds that a script lets a runner work before it looks at the store again."""

IN_FLIGHT = 64
"""Number of batches that are given to an executor and not yet drawn, at most."""

_TRIES = 3


def make_runner(
    executor: Executor | None,
    network: Network,
    fingerprint: str,
    best: Mapping[int, float],
    count: int | None,
) -> Runner:
    """Make the runner of an executor, or of the calling thread where none is given.

    Args:
        executor: any object with ``submit`` as ``concurrent.futures.Executor`` has it.
        network: network to draw.
        fingerprint: fingerprint of the model.
        best: highest activation of a real image by unit, see :func:`~peek_widget.sheet.batches.draw`.
        count: CPU threads of each batch; None for the usual number here, and for one in an executor's worker.

    Raises:
        PeekError: if ``executor`` is none.
    """
    if executor is None:
        at_once = thread_count(count)
        return ParallelRunner(Replicas(lambda: network), fingerprint, best, count, lambda: at_once)
    if not callable(getattr(executor, "submit", None)):
        hint = " (of a Dask client: client.get_executor())" if hasattr(executor, "get_executor") else ""
        raise PeekError(
            f"executor is a {type(executor).__name__}: give a concurrent.futures.Executor{hint}, or None to draw here."
        )
    return PoolRunner(executor, network, fingerprint, best, 1 if count is None else count)


# In an executor


@dataclass(frozen=True)
class Job:
    """A batch for a worker.

    Attributes:
        key: key of the model's payload.
        batch: batch to draw.
        fingerprint: fingerprint of the model.
        best: highest activation of a real image, of the batch's units.
        threads: CPU threads to draw with.
        version: version of peek_widget that the worker must have.
        attempt: number of times that it was dispatched before. It makes every job differ: of two equal ones Dask would
            return the first one's answer.
        failures: number of times that it was lost.
    """

    key: str
    batch: Batch
    fingerprint: str
    best: Mapping[int, float]
    threads: int
    version: str
    attempt: int = 0
    failures: int = 0


@dataclass(frozen=True)
class Reply:
    """Answer of a worker.

    Attributes:
        worker: name of the worker.
        loaded: whether it had to load the model for this job.
        finished: pictures; None where it has not the model and can't reach it.
        failed: units that can't be drawn, with a sentence why.
    """

    worker: str
    loaded: bool = False
    finished: list[SheetUnit] | None = None
    failed: Mapping[int, str] = dataclasses.field(default_factory=dict)


def work(job: Job, source: Any) -> Reply:
    """Draw a batch in a worker. A function of the module, so that any executor can find it.

    Args:
        job: what to draw.
        source: where the model comes from, see :func:`~peek_widget.sheet.serialize.deserialize`.
    """
    if __version__ != job.version:
        raise PeekError(
            f"The worker {_worker_name()} has peek_widget {__version__}, and this is {job.version}: install the "
            "same there, so that it draws the same."
        )
    network, loaded = deserialize(job.key, source)
    if network is None:
        return Reply(_worker_name())
    with computing_on(job.threads):
        finished, failed = finish(draw(network, job.batch, fingerprint=job.fingerprint, best=job.best))
    return Reply(_worker_name(), loaded, finished, failed)


def _worker_name() -> str:
    return f"{platform.node()}:{os.getpid()}"


class PoolRunner:
    """Dispatches batches to an executor, and sends the model once to each of its workers.

    Threads get the model as it is. Dask gets it as data that its scheduler spreads (``scatter``). Any other executor's
    workers read it from a temporary file, once each; a worker on another machine, which can't see that file, says so
    and gets the bytes together with the batch.

    Args:
        executor: executor, which stays its owner's.
        network: network to draw.
        fingerprint: fingerprint of the model.
        best: highest activation of a real image by unit.
        count: CPU threads of each batch.
    """

    def __init__(
        self, executor: Executor, network: Network, fingerprint: str, best: Mapping[int, float], count: int
    ) -> None:
        self._executor, self._fingerprint, self._best, self._threads = executor, fingerprint, best, count
        self._in_flight: dict[Future[Reply], Job] = {}
        self._folder: Path | None = None
        self._problem: PeekError | None = None
        # Jobs that were sent with the model's bytes, by the worker that asked for them; and jobs that the same worker
        # sent back meanwhile: they wait until it has the model.
        self._with_model: dict[Future[Reply], str] = {}
        self._postponed: list[Job] = []
        self.transfers: list[tuple[str, int]] = []
        self.progress: float = 0.0
        if isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            self._key, self._source, self._data = uuid.uuid4().hex, network, b""
            return
        payload = serialize(network)
        self._key, self._data = payload.key, payload.data
        self._source = _scatter(executor, payload.data) or self._write_file(payload.data)

    @property
    def free(self) -> bool:
        """Whether it takes another batch."""
        return self._problem is None and len(self._in_flight) < IN_FLIGHT

    def submit(self, batch: Batch) -> None:
        """Dispatch a batch."""
        best = {unit: self._best[unit] for unit in batch.wanted if unit in self._best}
        self._dispatch(Job(self._key, batch, self._fingerprint, best, self._threads, __version__), self._source)

    def work(self, seconds: float) -> list[BatchResult]:
        """Wait for about so many seconds, and return what has come back.

        Raises:
            PeekError: if the executor has died, or a batch can't be drawn; all that came back before is given first.
        """
        found: list[BatchResult] = []
        if self._problem is None:
            done, _ = concurrent.futures.wait(self._in_flight, seconds, concurrent.futures.FIRST_COMPLETED)
            for future in done:
                job = self._in_flight.pop(future)
                try:
                    found += self._receive(future, job)
                except PeekError as error:
                    self._problem = self._problem or error
        if self._problem is not None and not found:
            raise self._problem
        return found

    def close(self) -> None:
        """Cancel what no worker has begun."""
        for future in self._in_flight:
            future.cancel()
        self._in_flight.clear()
        self._with_model.clear()
        self._postponed.clear()
        self._source = None  # Dask drops data that has no reference
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _receive(self, future: Future[Reply], job: Job) -> list[BatchResult]:
        if self._with_model.pop(future, None) is not None:
            postponed, self._postponed = self._postponed, []
            for one in postponed:
                self._dispatch(one, self._source)
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
            # A worker may have been lost, and with it the model's data.
            if job.failures + 1 >= _TRIES:
                raise PeekError(
                    f"The executor could not draw units {job.batch.wanted[0]} to {job.batch.wanted[-1]} in {_TRIES} "
                    f"tries; the last ended with {type(error).__name__}: {error}. What was drawn is kept: call draw() "
                    "again to go on, with another executor (sheet.executor = ...) if this one is lost."
                ) from error
            log.warning("A batch was lost (%s: %s); it is dispatched again.", type(error).__name__, _words(error))
            again = dataclasses.replace(job, attempt=job.attempt + 1, failures=job.failures + 1)
            self._dispatch(again, self._data or self._source)
            return []
        if reply.finished is None:
            log.debug("Worker %s can't see the model's file: its bytes go with the batch.", reply.worker)
            again = dataclasses.replace(job, attempt=job.attempt + 1)
            if reply.worker in self._with_model.values():
                self._postponed.append(again)
            else:
                self._with_model[self._dispatch(again, self._data)] = reply.worker
            return []
        if reply.loaded:
            self.transfers.append((reply.worker, len(self._data)))
        return [BatchResult(job.batch, tuple(reply.finished), reply.failed, last=True)]

    def _dispatch(self, job: Job, source: Any) -> Future[Reply]:
        try:
            future = self._executor.submit(work, job, source)
        except RuntimeError as error:  # BrokenExecutor is one too
            raise PeekError(
                f"The executor takes no more work ({_words(error)}). What was drawn is kept: give a new one "
                "(sheet.executor = ...) and call draw() again."
            ) from error
        self._in_flight[future] = job
        return future

    def _write_file(self, data: bytes) -> str:
        """Write the model to a folder that only this user can read."""
        self._folder = Path(tempfile.mkdtemp(prefix="peek_widget-"))
        path = self._folder / "model"
        path.write_bytes(data)
        return str(path)


def _scatter(executor: Any, data: bytes) -> Any:
    """Make the bytes data of a Dask cluster, which each worker gets once; None for any other executor."""
    client = getattr(executor, "_client", None)
    if not type(executor).__module__.startswith("distributed") or not hasattr(client, "scatter"):
        return None
    with contextlib.suppress(TimeoutError):  # no worker there yet: the bytes go with the batches
        return client.scatter(data, broadcast=True)
    return None


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__

"""Work in the processes of an executor: the model is sent once to each, and a lost worker's tasks are sent again.

Any ``concurrent.futures.Executor`` will do: processes of this machine, or those of a Dask cluster by
``Client.get_executor()``.
"""

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
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from peek_widget._version import __version__
from peek_widget.errors import PeekError
from peek_widget.network.serialize import Received, deserialize, serialize

__all__ = ["TRIES", "Dispatcher", "ExecutorLostError", "Job", "Outcome", "check_executor", "work"]

log: logging.Logger = logging.getLogger("peek_widget")

TRIES = 3
"""Number of times that a task is dispatched before its error counts."""

_FINAL = ("KilledWorker",)
"""Names of errors of executors that already retried by themselves: Dask, on several workers."""

TaskT = TypeVar("TaskT")


class ExecutorLostError(PeekError):
    """The executor accepts no more work; the text is a sentence that says why."""


def check_executor(executor: Any) -> None:
    """Raise PeekError for what is not an executor."""
    if isinstance(executor, type):
        raise PeekError(f"executor is the class {executor.__name__} itself: give an instance, {executor.__name__}(2).")
    if not callable(getattr(executor, "submit", None)):
        hint = " (of a Dask client: client.get_executor())" if hasattr(executor, "get_executor") else ""
        raise PeekError(
            f"executor is a {type(executor).__name__}: give a concurrent.futures.Executor{hint}, or None to work here."
        )


@dataclass(frozen=True)
class Job(Generic[TaskT]):
    """A task on its way to a worker.

    Attributes:
        key: key of the model's payload.
        task: what to do.
        version: version of peek_widget that the worker must have.
        attempt: number of times that it was dispatched before. It makes every job differ: of two equal ones Dask would
            return the first one's answer.
        failures: number of times that it was lost.
    """

    key: str
    task: TaskT
    version: str
    attempt: int = 0
    failures: int = 0


@dataclass(frozen=True)
class Reply:
    """Answer of a worker.

    Attributes:
        worker: name of the worker.
        loaded: whether it had to load the model for this job.
        known: whether it has the model, or could reach it; else there is no result.
        result: what the task gave.
    """

    worker: str
    loaded: bool = False
    known: bool = True
    result: Any = None


class Outcome(NamedTuple, Generic[TaskT]):
    """A task that has ended: with what it gave, or with the error of its last try."""

    task: TaskT
    result: Any
    error: BaseException | None


def work(function: Callable[[Received, Any], Any], job: Job[Any], source: Any) -> Reply:
    """Do a task in a worker. A function of the module, so that any executor can find it.

    Args:
        function: a function of a module, which is given what was sent, and the task.
        job: what to do.
        source: where the model comes from, see :func:`~peek_widget.network.serialize.deserialize`.
    """
    if __version__ != job.version:
        raise PeekError(
            f"The worker {_worker_name()} has peek_widget {__version__}, and this is {job.version}: install the "
            "same there, so that it gives the same."
        )
    received, loaded = deserialize(job.key, source)
    if received is None:
        return Reply(_worker_name(), known=False)
    return Reply(_worker_name(), loaded, True, function(received, job.task))


def _worker_name() -> str:
    return f"{platform.node()}:{os.getpid()}"


class Dispatcher(Generic[TaskT]):
    """Dispatches tasks to an executor, and sends the model once to each of its workers.

    Threads get the model as it is. Dask gets it as data that its scheduler spreads (``scatter``). Any other executor's
    workers read it from a temporary file, once each; a worker on another machine, which can't see that file, says so
    and gets the bytes together with the task.

    Args:
        executor: executor, which stays its owner's.
        function: what a worker does with a task; a function of a module.
        content: the network, and the dataset where workers need one.
        tries: number of times that a task is dispatched before what it ended with counts.

    Attributes:
        transfers: name of each worker that the model was sent to, and number of its bytes.

    Raises:
        ModelError: if the model or the dataset can't be sent, with what to do.
    """

    def __init__(
        self,
        executor: Executor,
        function: Callable[[Received, TaskT], Any],
        content: Received,
        tries: int = TRIES,
    ) -> None:
        self._executor, self._function, self._tries = executor, function, tries
        self._in_flight: dict[Future[Reply], Job[TaskT]] = {}
        self._folder: Path | None = None
        # Jobs that were sent with the model's bytes, by the worker that asked for them; and jobs that the same worker
        # sent back meanwhile: they wait until it has the model.
        self._with_model: dict[Future[Reply], str] = {}
        self._postponed: list[Job[TaskT]] = []
        self.transfers: list[tuple[str, int]] = []
        self._data: bytes = b""
        self._source: Any
        if isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            self._key, self._source = uuid.uuid4().hex, content
            return
        payload = serialize(content.network, content.dataset)
        self._key, self._data = payload.key, payload.data
        self._source = _scatter(executor, payload.data) or self._write_file(payload.data)

    def __len__(self) -> int:
        """Return the number of tasks in flight."""
        return len(self._in_flight) + len(self._postponed)

    def submit(self, task: TaskT) -> None:
        """Dispatch a task.

        Raises:
            ExecutorLostError: if the executor takes no more work.
        """
        self._dispatch(Job(self._key, task, __version__), self._source)

    def wait(self, seconds: float) -> list[Outcome[TaskT]]:
        """Wait for about that many seconds, or until a task has ended, and return the ended ones.

        Raises:
            ExecutorLostError: if the executor has died, and nothing else has come back.
        """
        found: list[Outcome[TaskT]] = []
        lost: ExecutorLostError | None = None
        done, _ = concurrent.futures.wait(self._in_flight, seconds, concurrent.futures.FIRST_COMPLETED)
        for future in done:
            job = self._in_flight.pop(future)
            try:
                outcome = self._receive(future, job)
            except ExecutorLostError as error:
                lost = error
                # It is raised again by the next call, so that the caller gets finished results first.
                self._in_flight[future] = job
                continue
            if outcome is not None:
                found.append(outcome)
        if lost is not None and not found:
            raise lost
        return found

    def close(self) -> None:
        """Cancel what no worker has begun."""
        for future in self._in_flight:
            future.cancel()
        self._in_flight.clear()
        self._with_model.clear()
        self._postponed.clear()
        self._source = None  # Dask drops unreferenced data
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _receive(self, future: Future[Reply], job: Job[TaskT]) -> Outcome[TaskT] | None:
        if self._with_model.pop(future, None) is not None:
            postponed, self._postponed = self._postponed, []
            for one in postponed:
                self._dispatch(one, self._source)
        try:
            reply = future.result()
        except PeekError as error:
            return Outcome(job.task, None, error)
        except BrokenExecutor as error:
            raise ExecutorLostError(
                f"The executor has died ({_words(error)}): its processes were ended, ran out of memory, or could not "
                "start (a script that makes a ProcessPoolExecutor needs if __name__ == '__main__':)."
            ) from error
        except (Exception, CancelledError) as error:
            # A worker may have been lost together with the model's data.
            if job.failures + 1 >= self._tries or type(error).__name__ in _FINAL:
                return Outcome(job.task, None, error)
            log.warning("A task was lost (%s: %s); it is dispatched again.", type(error).__name__, _words(error))
            again = dataclasses.replace(job, attempt=job.attempt + 1, failures=job.failures + 1)
            self._dispatch(again, self._data or self._source)
            return None
        if not reply.known:
            log.debug("Worker %s can't see the model's file: its bytes go with the task.", reply.worker)
            again = dataclasses.replace(job, attempt=job.attempt + 1)
            if reply.worker in self._with_model.values():
                self._postponed.append(again)
            else:
                self._with_model[self._dispatch(again, self._data)] = reply.worker
            return None
        if reply.loaded:
            self.transfers.append((reply.worker, len(self._data)))
        return Outcome(job.task, reply.result, None)

    def _dispatch(self, job: Job[TaskT], source: Any) -> Future[Reply]:
        try:
            future = self._executor.submit(work, self._function, job, source)
        except RuntimeError as error:  # BrokenExecutor is one too
            raise ExecutorLostError(
                f"The executor accepts no more tasks ({_words(error)}): it was shut down, or one of its processes "
                "died. Make a new one, and keep it open (inside its with block) until this call returns."
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
    """Scatter the bytes on a Dask cluster, so that each worker gets them once; None for any other executor."""
    client = getattr(executor, "_client", None)
    if not type(executor).__module__.startswith("distributed") or not hasattr(client, "scatter"):
        return None
    with contextlib.suppress(TimeoutError):  # no worker yet: the bytes go with the tasks
        return client.scatter(data, broadcast=True)
    return None


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__

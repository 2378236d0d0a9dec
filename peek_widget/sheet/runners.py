"""The runner that draws batches in an executor's workers, and the choice between it and drawing here."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from peek_widget._threads import computing_on, thread_count
from peek_widget.errors import PeekError
from peek_widget.network import Network
from peek_widget.network.serialize import Received
from peek_widget.network.workers import TRIES, Dispatcher, ExecutorLostError, check_executor
from peek_widget.sheet.batches import Batch, draw, finish
from peek_widget.sheet.local import BatchResult, ParallelRunner, Replicas, Runner
from peek_widget.sheet.unit import SheetUnit

__all__ = ["WAIT", "PoolRunner", "make_runner"]

WAIT = 0.25
"""Seconds that a script lets a runner work before it looks at the store again."""

IN_FLIGHT = 64
"""Largest number of batches that are given to an executor and not yet drawn."""


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
        PeekError: if ``executor`` is not an executor.
    """
    if executor is None:
        at_once = thread_count(count)
        return ParallelRunner(Replicas(lambda: network), fingerprint, best, count, lambda: at_once)
    check_executor(executor)
    return PoolRunner(executor, network, fingerprint, best, 1 if count is None else count)


# In an executor


@dataclass(frozen=True)
class Task:
    """A batch for a worker.

    Attributes:
        batch: batch to draw.
        fingerprint: fingerprint of the model.
        best: highest activation of a real image, of the batch's units.
        threads: CPU threads to draw with.
    """

    batch: Batch
    fingerprint: str
    best: Mapping[int, float]
    threads: int


def draw_task(received: Received, task: Task) -> tuple[list[SheetUnit], Mapping[int, str]]:
    """Draw a batch in a worker; a function of the module, so that any executor can import it.

    Returns:
        the pictures; and the units that can't be drawn, each with the reason in a sentence.
    """
    with computing_on(task.threads):
        return finish(draw(received.network, task.batch, fingerprint=task.fingerprint, best=task.best))


class PoolRunner:
    """Draws batches in the workers of an executor, which get the model once each.

    Args:
        executor: the executor, which its owner shuts down.
        network: network to draw.
        fingerprint: fingerprint of the model.
        best: highest activation of a real image by unit.
        count: CPU threads of each batch.
    """

    def __init__(
        self, executor: Executor, network: Network, fingerprint: str, best: Mapping[int, float], count: int
    ) -> None:
        self._fingerprint, self._best, self._threads = fingerprint, best, count
        self._problem: PeekError | None = None
        self._dispatcher: Dispatcher[Task] = Dispatcher(executor, draw_task, Received(network))
        self.progress: float = 0.0

    @property
    def transfers(self) -> list[tuple[str, int]]:
        """Name of each worker that the model was sent to, and number of its bytes."""
        return self._dispatcher.transfers

    @property
    def free(self) -> bool:
        """Whether it takes another batch."""
        return self._problem is None and len(self._dispatcher) < IN_FLIGHT

    def submit(self, batch: Batch) -> None:
        """Dispatch a batch.

        Raises:
            PeekError: if the executor takes no more work.
        """
        best = {unit: self._best[unit] for unit in batch.wanted if unit in self._best}
        try:
            self._dispatcher.submit(Task(batch, self._fingerprint, best, self._threads))
        except ExecutorLostError as error:
            raise _lost(error) from error

    def work(self, seconds: float) -> list[BatchResult]:
        """Wait for about this many seconds, and return the results that have come back.

        Raises:
            PeekError: if the executor has died, or a batch can't be drawn; results that came back before are returned
                first.
        """
        found: list[BatchResult] = []
        if self._problem is None:
            try:
                for task, result, error in self._dispatcher.wait(seconds):
                    if error is None:
                        finished, failed = result
                        found.append(BatchResult(task.batch, tuple(finished), failed, last=True))
                    elif isinstance(error, PeekError):
                        self._problem = self._problem or error
                    else:
                        self._problem = self._problem or _failed(task, error)
            except ExecutorLostError as error:
                self._problem = self._problem or _lost(error)
        if self._problem is not None and not found:
            raise self._problem
        return found

    def close(self) -> None:
        """Cancel the batches that no worker has begun."""
        self._dispatcher.close()


def _lost(error: ExecutorLostError) -> PeekError:
    found = PeekError(
        f"{error} What was drawn is kept: give a new executor (sheet.executor = ...) and call draw() again."
    )
    found.__cause__ = error
    return found


def _failed(task: Task, error: BaseException) -> PeekError:
    wanted = task.batch.wanted
    found = PeekError(
        f"The executor could not draw units {wanted[0]} to {wanted[-1]} in {TRIES} tries; the last ended with "
        f"{type(error).__name__}: {error}. What was drawn is kept: call draw() again to go on, with another executor "
        "(sheet.executor = ...) if this one is lost."
    )
    found.__cause__ = error
    return found

"""Runners that draw batches in this process: one batch at a time, or several on threads of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from peek_widget._threads import computing_on, thread_count
from peek_widget.network import Network
from peek_widget.sheet.batches import Batch, Progress, draw
from peek_widget.sheet.unit import SheetUnit

__all__ = ["BatchResult", "LocalRunner", "ParallelRunner", "Replicas", "Runner"]

_MOST_AT_ONCE = 16
"""Largest number of batches drawn at once: Python's own part of a step, a twentieth, runs in one thread at a time."""


@dataclass(frozen=True)
class BatchResult:
    """The pictures of a batch, or of a half of it.

    Attributes:
        batch: the batch as it was submitted.
        finished: units with their pictures.
        failed: units that can't be drawn, each with the reason in a sentence.
        last: whether nothing more will come of this batch.
    """

    batch: Batch
    finished: tuple[SheetUnit, ...]
    failed: Mapping[int, str]
    last: bool


class Runner(Protocol):
    """Interface of the runners that draw batches."""

    @property
    def transfers(self) -> list[tuple[str, int]]:
        """Name of each worker that the model was sent to, and number of its bytes."""

    @property
    def free(self) -> bool:
        """Whether it takes another batch."""

    @property
    def progress(self) -> float:
        """Fraction of the steps made of the batch that is being drawn; 0 where that is not known."""

    def submit(self, batch: Batch) -> None:
        """Accept a batch to draw."""

    def work(self, seconds: float) -> list[BatchResult]:
        """Draw, or wait for workers, at least one step and about this many seconds; return the results."""

    def close(self) -> None:
        """Cancel what is not drawn yet."""


class LocalRunner:
    """Draws one batch at a time, in the calling thread.

    Args:
        network: returns the network to draw; called at the start of each batch.
        fingerprint: fingerprint of the model.
        best: highest activation of a real image by unit.
        count: CPU threads to draw with; None for the usual number.
    """

    transfers: list[tuple[str, int]] = []  # noqa: RUF012  # nothing is ever sent

    def __init__(
        self, network: Callable[[], Network], fingerprint: str, best: Mapping[int, float], count: int | None = None
    ) -> None:
        self._network, self._fingerprint, self._best, self._threads = network, fingerprint, best, count
        self._batch: Batch | None = None
        self._left: set[int] = set()
        self._run: Generator[Progress] | None = None
        self.progress: float = 0.0

    @property
    def free(self) -> bool:
        """Whether it takes another batch."""
        return self._run is None

    def submit(self, batch: Batch) -> None:
        """Accept a batch to draw."""
        self._batch, self._left, self.progress = batch, set(batch.wanted), 0.0
        self._run = draw(self._network(), batch, fingerprint=self._fingerprint, best=self._best)

    def work(self, seconds: float) -> list[BatchResult]:
        """Make at least one step, and as many as fit in this many seconds; stop early where some units are finished."""
        assert self._run is not None
        assert self._batch is not None
        until = time.monotonic() + seconds
        with computing_on(self._threads):
            for progress in self._run:
                self.progress = progress.step / max(1, progress.steps)
                if progress.finished or progress.failed:
                    self._left -= {one.unit for one in progress.finished} | progress.failed.keys()
                    if not self._left:
                        self.close()
                    return [BatchResult(self._batch, progress.finished, progress.failed, last=not self._left)]
                if time.monotonic() >= until:
                    return []
        raise AssertionError("a batch ended with units left")

    def close(self) -> None:
        """Cancel the batch."""
        if self._run is not None:
            self._run.close()
        self._run = None


class Replicas:
    """The networks of threads that draw at the same time, since a network is run by one thread at a time.

    Called with the number of a thread, it returns the network for a batch that begins now: for number 0 the given one,
    for any other a replica of it, made when it is first needed.

    Args:
        network: returns the network to draw; called at the start of each batch.
    """

    def __init__(self, network: Callable[[], Network]) -> None:
        self._network = network
        self._base: Network | None = None
        self._replicas: dict[int, Network] = {}

    def __call__(self, number: int) -> Network:
        """Return the network for the thread of that number, from 0."""
        base = self._network()
        if base is not self._base:
            self._base, self._replicas = base, {}
        if number == 0:
            return base
        if number not in self._replicas:
            self._replicas[number] = base.replica()
        self._replicas[number].model_copy.refresh()
        return self._replicas[number]


class ParallelRunner:
    """Draws several batches at once, each on one CPU thread: the first in the calling thread, the others in a pool.

    Several threads with a step each are quicker than a step on several threads, which wait for each other at every
    operation. Previews are drawn in this way; finished pictures only where they are drawn with one CPU thread anyway,
    since their last digits depend on the number of threads.

    Args:
        networks: the networks of the threads.
        fingerprint: fingerprint of the model.
        best: highest activation of a real image by unit.
        count: CPU threads to draw a finished picture with; None for the usual number.
        at_once: returns how many batches may now be drawn at once; only one is on devices other than a CPU.
    """

    transfers: list[tuple[str, int]] = []  # noqa: RUF012  # nothing is ever sent

    def __init__(
        self,
        networks: Replicas,
        fingerprint: str,
        best: Mapping[int, float],
        count: int | None = None,
        at_once: Callable[[], int] = lambda: 1,
    ) -> None:
        self._networks, self._fingerprint, self._best, self._threads = networks, fingerprint, best, count
        self._wanted_at_once = at_once
        self._device: str = ""
        self._running: dict[int, tuple[Batch, LocalRunner]] = {}
        self._pool: ThreadPoolExecutor | None = None

    @property
    def free(self) -> bool:
        """Whether it takes another batch."""
        if not self._running:
            return True
        one_thread = thread_count(self._threads) == 1
        alone = any(not batch.draft and not one_thread for batch, _ in self._running.values())
        return not alone and len(self._running) < self._at_once()

    @property
    def progress(self) -> float:
        """Fraction of the steps made of the batches in flight, on average; 0 where there are none."""
        if not self._running:
            return 0.0
        return sum(runner.progress for _, runner in self._running.values()) / len(self._running)

    def submit(self, batch: Batch) -> None:
        """Accept a batch to draw."""
        number = next(n for n in range(len(self._running) + 1) if n not in self._running)
        network = self._networks(number)
        self._device = network.model_copy.device.type
        count = 1 if batch.draft or number > 0 else self._threads
        runner = LocalRunner(lambda: network, self._fingerprint, self._best, count)
        runner.submit(batch)
        self._running[number] = batch, runner

    def work(self, seconds: float) -> list[BatchResult]:
        """Make at least one step, and as many as fit in this time, of as many batches as may be drawn at once."""
        working = [runner for _, runner in self._running.values()][: self._at_once()]
        first, *others = working
        if others and self._pool is None:
            self._pool = ThreadPoolExecutor(_MOST_AT_ONCE - 1, thread_name_prefix="peek_widget.drawing")
        futures = [self._pool.submit(runner.work, seconds) for runner in others] if self._pool is not None else []
        try:
            results = first.work(seconds)
        finally:
            wait(futures)
        for future in futures:
            results += future.result()
        self._running = {n: (batch, runner) for n, (batch, runner) in self._running.items() if not runner.free}
        return results

    def close(self) -> None:
        """Cancel the batches."""
        if self._pool is not None:
            self._pool.shutdown()  # a batch that is being drawn can't be canceled
            self._pool = None
        for _, runner in self._running.values():
            runner.close()
        self._running.clear()

    def _at_once(self) -> int:
        return max(1, min(self._wanted_at_once(), _MOST_AT_ONCE)) if self._device == "cpu" else 1

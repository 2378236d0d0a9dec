"""A pass over a dataset in the workers of an executor: processes of this machine, or of a Dask cluster."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from peek_widget._threads import computing_on
from peek_widget.errors import DatasetError, EvidenceStoreError, PeekError
from peek_widget.evidence.evidence import EvidenceError
from peek_widget.evidence.loading import LoaderOptions
from peek_widget.evidence.passes import EvidencePass
from peek_widget.evidence.progress import Progress
from peek_widget.evidence.shards import Indices, split, undividable
from peek_widget.evidence.source import Item, SerialSource, Source, UnreadableError, WrappedSource
from peek_widget.evidence.store import index_bytes, index_of_bytes
from peek_widget.evidence.value_range import Range
from peek_widget.network import Network
from peek_widget.network.precision import Precision
from peek_widget.network.serialize import Received
from peek_widget.network.workers import Dispatcher, ExecutorLostError, Outcome, check_executor

__all__ = ["ClusterPass"]

_SHARDS = 64  # a dataset is divided into so many, or more: with fewer a lost worker, or the last one, costs much time
_LARGEST_SHARD = 4096  # images
_IN_FLIGHT = 256  # shards
_WAIT = 0.25  # seconds until it is looked at whether to stop
_SAVE_SHARE = 0.05  # of the time may be spent on saving
_AGAIN = 60.0  # seconds until it is tried again where it was not possible
_LOSSES = 2  # of workers that had a shard without the images that killed others, before the pass ends


@dataclass(frozen=True)
class _Settings:
    """The settings that all shards share."""

    source: Source
    layers: tuple[str, ...]
    k: int
    per_image: bool
    groups: Mapping[str, Any] | None
    loader: LoaderOptions
    precision: Precision
    threads: int
    fingerprint: str | None
    ranges: Mapping[str, Range]


@dataclass(frozen=True)
class _Shard:
    """A worker's task.

    Attributes:
        indices: the images.
        passed_over: reasons why some of them are not to be touched, by index.
        trial: whether it is only tried if the worker survives them.
        losses: how often workers were lost that had it, since images are passed over.
    """

    indices: Indices
    passed_over: Mapping[int, str] = field(default_factory=dict)
    trial: bool = False
    losses: int = 0


@dataclass(frozen=True)
class _Found:
    """A worker's result: the evidence as file content, and why it can't go on, if it can't."""

    data: bytes
    problem: str = ""


class _ShardPass(EvidencePass):
    """A pass in a worker: the network is the calling thread's already, and is not read again for each shard."""

    @staticmethod
    def _own_network(model: Any, *_: Any) -> Network:
        return model


def gather(received: Received, shard: _Shard) -> _Found:
    """Run a pass over a shard in a worker. A function of the module, so that any executor can find it."""
    settings: _Settings = received.dataset
    work = _ShardPass(
        received.network,
        settings.layers,
        _Shown(settings.source, shard.passed_over),
        settings.k,
        per_image=settings.per_image,
        groups=settings.groups,
        loader=settings.loader,
        precision=settings.precision,
        fingerprint=settings.fingerprint,
    )
    work.example_index.preparer.ranges.chosen.update(settings.ranges)
    problem = ""
    with computing_on(settings.threads):
        try:
            work.gather(shard.indices)
        except EvidenceError as error:  # it can't be pickled, since it holds the evidence
            problem = error.why
    return _Found(b"" if shard.trial else index_bytes(work.example_index), problem)


class _Shown(WrappedSource):
    """A dataset with some images left untouched.

    Args:
        source: the dataset.
        passed_over: reasons why images are not touched, by index.
    """

    def __init__(self, source: Source, passed_over: Mapping[int, str]) -> None:
        super().__init__(source)
        self._passed_over = passed_over

    def item(self, index: int, needed: int | None = None) -> Item:
        """Load an image, unless it is to be left untouched."""
        if index in self._passed_over:
            raise UnreadableError(self._passed_over[index])
        return super().item(index, needed)


@dataclass
class _Suspects:
    """A batch that killed workers, while its images are tried one by one."""

    shard: _Shard
    cause: BaseException
    waiting: set[int]
    fatal: list[int] = field(default_factory=list)


def _has_problem(outcome: Outcome[_Shard]) -> bool:
    """Return whether an outcome may end the pass; the others are handled first."""
    return outcome.error is not None or bool(outcome.result.problem)


class ClusterPass(EvidencePass):
    """A pass whose shards are processed by the workers of an executor, and merged here as they come.

    The result is that of an :class:`EvidencePass` with as many threads (one, unless said otherwise) on the same kind of
    processor, bit for bit: shards consist of whole batches, and merging does not depend on the order. What a lost
    worker had is given to another. A batch that workers die of is tried image by image: an image that each worker dies
    of is skipped, and named. What a worker finds is in the evidence when its whole shard is done; ``yield_to`` and
    ``duty`` have no effect, since the processor that is shared is not the workers'.

    Args:
        args, options: those of :class:`EvidencePass`; ``loader.processes`` must be 0.
        executor: any ``concurrent.futures.Executor``; of a Dask client ``client.get_executor()``. It stays its owner's,
            who shuts it down.

    Attributes:
        transfers: name of each worker that the model was sent to in the last run, and number of its bytes.

    Raises:
        DatasetError: if the dataset is a stream, which can't be divided; or as :class:`EvidencePass` does.
        EvidenceStoreError: if the evidence to resume from was gathered in another way.
        PeekError: if the executor is none, or ``loader`` starts processes of its own; or as :class:`EvidencePass` does.
    """

    def __init__(self, *args: Any, executor: Executor, **options: Any) -> None:
        check_executor(executor)
        super().__init__(*args, **options)
        if self.source.endless:
            raise DatasetError(undividable(self.source))
        if self._loader.processes:
            raise PeekError(
                "processes= starts processes that load images, and executor= has workers that do: give one of the two."
            )
        self._executor = executor
        self._suspects: dict[Indices, _Suspects] = {}
        self._again: deque[_Shard] = deque()
        self.transfers: list[tuple[str, int]] = []

    def _run(self, on_progress: Callable[[Progress], None] | None) -> None:
        size = self._loader.batch_size
        batches = min(max(1, -(-len(self.indices) // size) // _SHARDS), max(1, _LARGEST_SHARD // size))
        shards = split(self._unprocessed(), batches * size)
        self._suspects.clear()
        self._again.clear()
        dispatcher = Dispatcher(self._executor, gather, Received(self.network, self._settings()))
        saved = time.monotonic()
        cost = 0.0  # of saving, in seconds
        more = True
        try:
            while not self._stop.is_set():
                while more and len(dispatcher) < _IN_FLIGHT:
                    shard = self._again.popleft() if self._again else self._next(shards)
                    if shard is None:
                        more = False
                        break
                    dispatcher.submit(shard)
                if not len(dispatcher):
                    break
                for outcome in sorted(dispatcher.wait(_WAIT), key=_has_problem):
                    self._take(outcome)
                    more = True
                    if on_progress is not None:
                        on_progress(self.progress)
                now = time.monotonic()
                if self._store is not None and self.example_index.count and now - saved > cost / _SAVE_SHARE:
                    done = self._save(self._store)
                    saved = time.monotonic()
                    cost = saved - now if done else _AGAIN * _SAVE_SHARE
        except ExecutorLostError as error:
            raise self._broken(str(error).rstrip(".")) from error
        finally:
            self.transfers = dispatcher.transfers
            dispatcher.close()
        self._check_found()

    def _settings(self) -> _Settings:
        ranges = self.example_index.preparer.ranges
        ranges.choose()  # here, for all
        index = next(iter(self.example_index.layers.values()))
        loader = self._loader
        in_threads = isinstance(self._executor, ThreadPoolExecutor) and not self.source.concurrent
        return _Settings(
            SerialSource(self.source) if in_threads else self.source,
            self.layers,
            index.k,
            index.per_image,
            self._groups,
            replace(loader, workers=1 if loader.workers is None else loader.workers),
            self._precision,
            1 if self._threads is None else self._threads,
            self.example_index.fingerprint,
            dict(ranges.chosen),
        )

    @staticmethod
    def _next(shards: Iterator[Indices]) -> _Shard | None:
        indices = next(shards, None)
        return None if indices is None else _Shard(indices)

    def _take(self, outcome: Outcome[_Shard]) -> None:
        """Merge a worker's result, or find out what killed it.

        Raises:
            EvidenceError: if the pass can't go on.
        """
        shard, error = outcome.task, outcome.error
        if isinstance(error, PeekError):
            raise self._broken(error) from error
        if shard.trial:
            self._tried(shard, error)
        elif error is not None:
            self._divide(shard, error)
        else:
            found: _Found = outcome.result
            part = index_of_bytes(found.data)
            self._check_ranges(part.preparer.ranges.chosen)
            self.example_index.merge(part)
            self._done_now += len(part.processed)
            if found.problem:
                raise self._broken(found.problem)

    def _check_ranges(self, chosen: Mapping[str, Range]) -> None:
        ours = self.example_index.preparer.ranges.chosen
        for kind, range_ in chosen.items():
            if ours.get(kind, range_) != range_:
                raise EvidenceStoreError(
                    f"The worker processes took different values as black and white for images with numbers of {kind}, "
                    "because each saw too few of them to tell: say which values are black and white with "
                    "value_range=(black, white), e.g. (0, 4095)."
                )

    def _divide(self, shard: _Shard, error: BaseException) -> None:
        """Redistribute a shard that killed workers in smaller pieces, down to single images."""
        size = self._loader.batch_size
        if len(shard.indices) > size:
            self._again.extend(_Shard(indices) for indices in split(shard.indices, size))
        elif shard.passed_over and shard.losses < _LOSSES:
            # a worker that dies for another reason takes its tasks with it
            self._again.append(replace(shard, losses=shard.losses + 1))
        elif shard.passed_over or (len(shard.indices) == 1 and not self.example_index.processed):
            self._give_up(shard, error)
        elif len(shard.indices) == 1:
            # the other images were survived, so it is this one
            self._again.append(_Shard(shard.indices, {shard.indices[0]: _fatal(error)}))
        else:
            self._suspects[shard.indices] = _Suspects(shard, error, set(shard.indices))
            self._again.extend(_Shard(range(index, index + 1), trial=True) for index in shard.indices)

    def _tried(self, shard: _Shard, error: BaseException | None) -> None:
        """Record whether a worker survived an image, and process its batch again once all images are tried."""
        index = shard.indices[0]
        key, batch = next((key, batch) for key, batch in self._suspects.items() if index in batch.waiting)
        batch.waiting.discard(index)
        if error is not None:
            batch.fatal.append(index)
        if batch.waiting:
            return
        del self._suspects[key]
        if not batch.fatal or len(batch.fatal) == len(batch.shard.indices):
            self._give_up(batch.shard, batch.cause)
        self._again.append(_Shard(batch.shard.indices, dict.fromkeys(sorted(batch.fatal), _fatal(batch.cause))))

    def _give_up(self, shard: _Shard, error: BaseException) -> None:
        first, last = (self.source.name(shard.indices[at]) for at in (0, -1))
        which = first if len(shard.indices) == 1 else f"the {len(shard.indices)} images from {first} to {last}"
        raise self._broken(
            f"each worker that was given {which} was lost, the last by {type(error).__name__}: {error}; if they ran "
            "out of memory, give a smaller batch_size"
        ) from error


def _fatal(error: BaseException) -> str:
    """Return the reason for skipping an image that killed workers."""
    return f"it killed each worker that loaded it ({type(error).__name__}: {error})"

"""A pass over a dataset: the images that excite each unit most and least, and how often it is active.

:class:`EvidencePass` is one idea, and takes the arguments of each of its parts: of the network (``device``,
``input_size``, ``preprocess``), of the dataset (``labels``, ``loader``, ``shard``), of what is kept (``k``,
``per_image``), of resuming (``store``, ``resume``, ``fingerprint``) and of sharing the processor (``threads``,
``yield_to``, ``duty``).
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from peek_widget._size import SizeLike
from peek_widget._threads import computing_on
from peek_widget.errors import EvidenceStoreError, PeekError
from peek_widget.evidence.activations import layer_names, own_network
from peek_widget.evidence.dataset import DatasetLike, Labels, Source, read_source
from peek_widget.evidence.ended import check_found, ended_early
from peek_widget.evidence.evidence import Evidence, EvidenceError, LayerEvidence, UnitEvidence, load_evidence
from peek_widget.evidence.example_index import ExampleIndex
from peek_widget.evidence.forwards import Computed, Forwards, NoMemoryError
from peek_widget.evidence.groups import Groups, read_groups
from peek_widget.evidence.layer_index import LayerIndex
from peek_widget.evidence.loading import Batch, Loaded, LoaderOptions, load_batches
from peek_widget.evidence.merge import difference
from peek_widget.evidence.prefetch import prefetched
from peek_widget.evidence.prepare import Preparer, on_a_ramp, resize_of
from peek_widget.evidence.progress import Progress
from peek_widget.evidence.shards import Shard, resumed_shards, shard_of
from peek_widget.evidence.store import store_path
from peek_widget.evidence.value_range import ValueRanges
from peek_widget.network import ModelCopy, Network, Preprocess, PreprocessFunction
from peek_widget.network.fingerprint import fingerprint as fingerprint_of
from peek_widget.network.memory import device_error
from peek_widget.network.precision import Precision, check_precision
from peek_widget.network.receptive_field.field_map import field_map

__all__ = ["EvidencePass"]

log: logging.Logger = logging.getLogger("peek_widget")

_MAX_FAILURES = 50  # unreadable images in a row, which mean a missing disk rather than damaged files
_SAVE_INTERVAL = 60.0  # seconds
_MOST_CROPS = 10_000


def _preparer_of(network: Network, source: Source, loader: LoaderOptions) -> Preparer:
    """Return the preparer of a pass's images; PeekError for an invalid ``resize``."""
    preprocess = network.preprocess
    return Preparer(
        network.channels,
        network.size,
        resize_of(network, loader.resize),
        loader.prepared,
        preprocess,
        ValueRanges(loader.value_range, source.sample),
        preprocess.show,
        preprocess.interpolation,
        loader.decoding,
    )


class EvidencePass:
    """A pass over a dataset that runs in the foreground or background, and can be watched, stopped and resumed.

    >>> work = EvidencePass(model, ["features.12"], "photos")
    >>> work.start()                                  # in a thread; or work.run()
    >>> work.for_unit("features.12", 17).top[0].image
    >>> work.progress, work.stop()

    Args:
        model: a Module, or a :class:`~peek_widget.network.Network` to read it in the same way. The pass runs a copy of
            its own, so that an ascent may run at the same time.
        layers: one layer or several, by name or as modules of the model; one forward computes them all.
        dataset: a folder, a torch Dataset, a frame, a stream, or a list of images; see
            :func:`~peek_widget.evidence.dataset.read_source`.
        k: number of highest, and of lowest, activations to keep for each unit.
        labels: labels of the images; see :func:`~peek_widget.evidence.dataset.read_source`.
        per_image: keep one position of an image at most.
        groups: groups of labels of which a histogram of each image's highest activation is kept (64 bins for each unit
            and group), for scores over all images; see :func:`~peek_widget.evidence.survey`. Left out, each label is
            one, as long as there are at most 64.
        loader: how images are resized, batched and loaded.
        shard: (number, count) for one of so many parts of the dataset, numbered from 0; parts that were gathered in the
            same way are merged by :func:`~peek_widget.evidence.merge_evidence`. Left out, all of it.
        precision: ``"bf16"`` computes the network's convolutions and matrix products in bfloat16, where the device has
            units for it.
        threads: number of CPU threads to compute on; left out, one for each core, or ``PEEK_THREADS``. Each computes
            batches of its own, so that with up to four what is found is the same, bit for bit, as with one; with more
            than four, and where a forward may depend on those before it, or ``yield_to`` is given, some compute
            together.
        device, input_size, preprocess: see :func:`peek_widget.network.read`.
        store: a file to resume from if it exists, which is written every minute and at the end. Images of a folder are
            identified by their file names, those of a list or Dataset by their index: give the same one, or a longer
            one that begins with the same images.
        resume: evidence to resume from, in place of a file.
        fingerprint: fingerprint of the model (any text); evidence with another one is not resumed from. Left out, it is
            :func:`peek_widget.fingerprint` with a store or with resume.
        yield_to: function that is called after every batch; while it returns True (an ascent is running, say), the
            pass takes only the share ``duty`` of the time.
        duty: share of the time, above 0 and up to 1.

    Attributes:
        source: the dataset.
        network: the network that the pass runs.
        layers: names of the layers.
        indices: indices of the images that the pass is over; of a stream, which has none, nothing.
        evidence: what has been gathered so far.
        error: the error that ended the last run; None if there was none.

    Raises:
        DatasetError: if the dataset or the labels are not possible.
        EvidenceStoreError: if the evidence to resume from was gathered in another way.
        PeekError: if model, layers or an option is not possible.
    """

    def __init__(
        self,
        model: nn.Module | ModelCopy | Network,
        layers: str | nn.Module | Iterable[str | nn.Module],
        dataset: DatasetLike,
        k: int = 9,
        *,
        labels: Labels = None,
        per_image: bool = True,
        groups: Groups = None,
        loader: LoaderOptions | None = None,
        shard: tuple[int, int] | None = None,
        precision: Precision = "float32",
        threads: int | None = None,
        device: str | torch.device | None = None,
        input_size: SizeLike | None = None,
        preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
        store: str | Path | None = None,
        resume: Evidence | LayerEvidence | None = None,
        fingerprint: str | None = None,
        yield_to: Callable[[], bool] | None = None,
        duty: float = 0.25,
    ) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= _MOST_CROPS:
            raise PeekError(f"k={k!r}: give a whole number from 1 to {_MOST_CROPS}.")
        if not 0.0 < duty <= 1.0:
            raise PeekError(f"duty={duty!r}: give the share of the time that the pass may take, above 0 and up to 1.")
        self.source: Source = read_source(dataset, labels).for_pass()
        self.network: Network = self._own_network(model, input_size, preprocess, device)
        self.layers: tuple[str, ...] = layer_names(self.network, layers)
        self._loader = loader or LoaderOptions()
        self.indices: Sequence[int] = shard_of(self.source, shard, self._loader.batch_size)
        self._shard = Shard.of(self.source, *map(int, shard), len(self.indices)) if shard and shard[1] > 1 else None
        self._threads = threads
        kind = check_precision(precision, self.network.model_copy.device)
        self._precision: Precision = precision
        self._yield_to, self._duty = yield_to, duty
        self._store = None if store is None else store_path(store)
        self._groups = read_groups(groups)
        preparer = _preparer_of(self.network, self.source, self._loader)
        self._forwards = Forwards(self.network, self.layers, kind, preparer.prepared, self._loader.batch_size)
        earlier = resume.evidence if isinstance(resume, LayerEvidence) else resume
        if earlier is not None and not isinstance(earlier, Evidence):
            file = f"; for a file store={resume!r}" * isinstance(resume, (str, Path))
            raise PeekError(f"resume is a {type(resume).__name__}: give what top_crops(...) returned{file}.")
        if earlier is None and self._store is not None and self._store.exists():
            earlier = load_evidence(self._store)
        if fingerprint is None and (self._store is not None or earlier is not None):
            # Evidence belongs to one set of weights: after further training a model needs its own.
            fingerprint = fingerprint_of(self.network)
        self.example_index: ExampleIndex
        if earlier is None:
            self.example_index = self._new_index(k, per_image, preparer, fingerprint)
        else:
            self.example_index = self._resumed_index(earlier.example_index, k, per_image, preparer, fingerprint)
        self.example_index.focuses.use(self.network)
        self.evidence: Evidence = Evidence(self.example_index)
        self.error: BaseException | None = None
        self._stop = threading.Event()
        # An event, because after an interrupt Thread.join may report a running thread as ended (Python < 3.13).
        self._ended = threading.Event()
        self._ended.set()
        self._began: float | None = None
        self._seconds = 0.0
        self._done_now = 0
        self._running = False
        self._stream_ended = False
        # Whether images were read elsewhere, so that those lost at the beginning mean a lost disk.
        self._earlier = False

    _own_network = staticmethod(own_network)

    def _new_index(self, k: int, per_image: bool, preparer: Preparer, fingerprint: str | None) -> ExampleIndex:
        """Make an empty index of the examples of all layers."""
        indices, fields = {}, {}
        for name in self.layers:
            layer = self.network.layer(name)
            indices[name] = LayerIndex(layer.channels, layer.size, k, per_image, self.network.model_copy.device)
            # Without the network, which evidence does not keep: a crop's field is measured on its own image.
            fields[name] = replace(field_map(self.network, layer), measure=None)
        source = self.source
        said = source.described, fingerprint, source.class_names, source
        found = ExampleIndex(indices, fields, preparer, *said, self._groups, self._precision)
        found.shards = () if self._shard is None else (self._shard,)
        found.on_a_ramp = () if preparer.prepared else on_a_ramp(self.network)
        return found

    def _resumed_index(
        self, earlier: ExampleIndex, k: int, per_image: bool, preparer: Preparer, fingerprint: str | None
    ) -> ExampleIndex:
        """Return the index of earlier evidence, bound to this pass; EvidenceStoreError if it was made differently."""

        new = self._new_index(k, per_image, preparer, fingerprint)
        found = difference(earlier, new)
        if found is not None:
            raise EvidenceStoreError(
                f"The evidence to resume from was gathered with {found.what} {found.was}, now it is {found.now}: give "
                "the same, or start again without resume= (or with another store=)."
            )
        if new.grouping is not None and new.grouping.named and earlier.grouping is None and earlier.processed:
            raise EvidenceStoreError(
                "The evidence to resume from keeps nothing about groups, and its images are not looked at again: start "
                "again without resume= (or with another store=), or leave groups out."
            )
        renamed = earlier.renamed(self.source)
        if renamed is not None:
            number, was, now = renamed
            raise EvidenceStoreError(
                f"The evidence to resume from is of other images: its number {number:,} is {was!r}, and that of the "
                f"dataset is {now!r}. Give the same images in the same order (more may follow), or start again without "
                "resume= (or with another store=)."
            )
        preparer.ranges.chosen.update(earlier.preparer.ranges.chosen)
        if earlier.grouping is not None and new.grouping is not None:
            earlier.grouping.use(new.grouping)
        if earlier.shards or not earlier.processed:  # otherwise it covers the whole dataset
            done = len(earlier.processed)
            earlier.shards = () if self._shard is None else resumed_shards(earlier.shards, self._shard, done)
        earlier.fingerprint = fingerprint or earlier.fingerprint
        earlier.on_a_ramp = earlier.on_a_ramp or new.on_a_ramp
        earlier.source, earlier.preparer = self.source, preparer
        earlier.described = self.source.described
        earlier.class_names = self.source.class_names or earlier.class_names
        for index in earlier.layers.values():
            index.to(self.network.model_copy.device)
        return earlier

    @property
    def progress(self) -> Progress:
        """How far the pass is; may be read at any time and from any thread."""
        example_index, began = self.example_index, self._began
        seconds = self._seconds if began is None else time.perf_counter() - began
        rate = self._done_now / seconds if seconds > 0 else 0.0
        done = len(example_index.processed)
        endless = self.source.endless
        return Progress(
            done if endless else min(done, len(self.indices)),
            (done if self._stream_ended else None) if endless else len(self.indices),
            example_index.skipped,
            seconds,
            rate,
            self._running,
        )

    def for_unit(self, layer: str | nn.Module, unit: int) -> UnitEvidence:
        """Return what has been found for a unit so far; at any time and from any thread."""
        return self.evidence[layer if isinstance(layer, str) else self.network.layer(layer).name][unit]

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> Evidence:
        """Run to the end of the dataset, or until :meth:`stop`; what has been found stays in ``evidence``.

        An interrupt from the keyboard ends the pass after the current batch, and is then raised.

        Args:
            on_progress: function that is called after every batch, in the pass's own thread.

        Raises:
            EvidenceError: if the pass can't continue; ``error.found`` is what it had found.
            DatasetError: if not one image of the dataset could be read.
        """
        # In a thread, so that an interrupt can't separate the layers of a batch.
        self.start(on_progress)
        try:
            while not self.wait(0.2):
                pass
        except BaseException:
            self.stop(wait=True)
            raise
        if self.error is not None:
            raise self.error
        return self.evidence

    def gather(self, indices: Sequence[int]) -> None:
        """Process the images with these indices in the calling thread; for a worker, which does a part of a pass.

        Raises:
            EvidenceError: if it can't continue.
        """
        self.indices, self._earlier = indices, True
        for _ in self._batches():
            pass

    def _unprocessed(self) -> Iterator[int]:
        """Iterate over the indices of the images that are not processed yet."""
        source, processed = self.source, self.example_index.processed
        numbers = itertools.count() if source.endless else self.indices
        return (i for i in numbers if source.identity(i) not in processed)

    def _run(self, on_progress: Callable[[Progress], None] | None) -> None:
        saved = time.monotonic()
        for began in self._batches():
            if on_progress is not None:
                on_progress(self.progress)
            if self._store is not None and time.monotonic() - saved > _SAVE_INTERVAL and self.example_index.count:
                self._save(self._store)
                saved = time.monotonic()
            if self._yield_to is not None and self._yield_to():
                self._stop.wait((time.perf_counter() - began) * (1.0 / self._duty - 1.0))
        self._check_found()

    def _save(self, store: Path) -> bool:
        """Save on the way, and return whether that was possible: a disk that is full may not be by the end."""
        try:
            self.evidence.save(store)
        except EvidenceStoreError as error:
            log.warning("%s The pass goes on, and tries again.", error)
            return False
        return True

    def _threads_each(self) -> int | None:
        """Return the number of threads to compute on, and share them out where batches may be computed at once."""
        if self._yield_to is not None:  # what it yields to may want the other cores
            return self._threads
        left = None if self.source.endless else len(self.indices) - len(self.example_index.processed)
        return self._forwards.divide(self._threads, left if left is None else -(-left // self._loader.batch_size))

    def _batches(self) -> Iterator[float]:
        """Process batch after batch, and give the time at which each was begun.

        Raises:
            EvidenceError: if the pass can't continue.
        """
        example_index, source, loader = self.example_index, self.source, self._loader
        args = (self._unprocessed(), loader.batch_size, loader.workers, loader.processes)
        loaded = load_batches(source, example_index.preparer, *args)
        batches = self._forwards.run(prefetched(loaded, self.network.model_copy.device))
        failed_in_a_row = 0
        row: list[Loaded] = []  # failures in a row
        try:
            while not self._stop.is_set():
                began = time.perf_counter()
                try:
                    found = next(batches, None)
                    if found is None:
                        break
                    batch, computed = found
                    self._take_in(batch, computed)
                    self._stream_ended = batch.ended
                except NoMemoryError as error:
                    raise self._broken(str(error)) from error.__cause__
                except Exception as error:
                    raise self._broken(error) from error
                lost = sum(not one.foreign for one in batch.skipped)
                failed_in_a_row = 0 if batch.items else failed_in_a_row + lost
                row = [*([] if batch.items else row), *(one for one in batch.skipped if not one.foreign)]
                # If nothing was ever read, the end of the dataset reports it; a stream may have no end.
                some = example_index.count or self._earlier or source.endless
                if lost and failed_in_a_row >= _MAX_FAILURES and some:
                    reason = row[-1]
                    if not source.endless:
                        # The dataset itself is gone, so these images may be back when the pass is resumed.
                        example_index.forget_skipped(row, [source.identity(one.index) for one in row])
                    raise self._broken(
                        f"{failed_in_a_row} images in a row could not be read, the last "
                        f"({reason.name}) because {reason.reason}"
                    )
                yield began
        finally:
            batches.close()

    def _check_found(self) -> None:
        check_found(self.example_index, self.source, self._stream_ended, self._stop.is_set())

    def _broken(self, cause: BaseException | str) -> EvidenceError:
        """Return the error of a pass that can't continue, with what it had found."""
        images = None if self.source.endless else len(self.indices)
        return ended_early(cause, self.evidence, images, self.network.model_copy.device, self._store)

    def _take_in(self, batch: Batch, computed: Iterable[Computed]) -> None:
        example_index, source = self.example_index, self.source
        for item in batch.skipped:
            example_index.add_skipped(item, source.identity(item.index))
        for values, items in computed:
            example_index.add(values, items, [source.identity(item.index) for item in items])
        if source.endless and (batch.items or batch.skipped):
            last = max(one.index for one in (*batch.items, *batch.skipped))
            source.settle(example_index.images_with_crops(), last)
        self._done_now += len(batch.items) + len(batch.skipped)

    def start(self, on_progress: Callable[[Progress], None] | None = None) -> EvidencePass:
        """Run in a thread; an exception there ends the pass and is kept in ``error``. Returns itself."""
        if not self._ended.is_set():
            raise PeekError("The pass is running already: wait() for it, or stop() it first.")
        self.error = None
        self._stop.clear()
        self._running, self._began, self._done_now = True, time.perf_counter(), 0
        self._ended.clear()
        threading.Thread(target=self._work, args=(on_progress,), name="peek-evidence", daemon=True).start()
        return self

    def _work(self, on_progress: Callable[[Progress], None] | None) -> None:
        try:
            with computing_on(self._threads_each()):
                self._run(on_progress)
        except BaseException as error:
            # (of a save, say: in a batch it is one already)
            gone = not isinstance(error, PeekError) and device_error(error) is not None
            self.error = self._broken(error) if gone else error
        try:
            # An empty part is written too, so that a missing file means a missing part.
            empty = self._shard is not None and not self.example_index.skipped
            if self._store is not None and (self.example_index.count or empty):
                self.evidence.save(self._store)
        except BaseException as error:
            if self.error is not None:  # checked first: nothing can be read from a lost device
                log.warning("The evidence can't be saved to %s: %s", self._store, error)
            unwritten = isinstance(error, EvidenceStoreError)
            self.error = self.error or (self._broken(str(error).rstrip(".")) if unwritten else error)
        finally:
            self._seconds, self._began = time.perf_counter() - (self._began or 0.0), None
            self._running = False
            self._ended.set()

    def stop(self, wait: bool = False) -> None:
        """End the pass after the current batch; :meth:`start` resumes it."""
        self._stop.set()
        if wait:
            self.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a started pass to end, and return whether it has. An error is in ``error``, and not raised."""
        return self._ended.wait(timeout)

    def __repr__(self) -> str:
        return f"EvidencePass({', '.join(map(repr, self.layers))}; {self.progress})"

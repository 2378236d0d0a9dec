"""One pass over the images: what excites each unit most, what least, and how often."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from peek_widget._progress import duration
from peek_widget.errors import DatasetError, EvidenceStoreError, PeekError
from peek_widget.evidence.crops import Evidence, EvidenceError, LayerEvidence, UnitEvidence
from peek_widget.evidence.dataset import Source, read_source
from peek_widget.evidence.example_index import ExampleIndex
from peek_widget.evidence.index import LayerIndex
from peek_widget.evidence.loading import Batch, load_batches
from peek_widget.evidence.prepare import Preparer
from peek_widget.evidence.store import load_evidence
from peek_widget.network import ModelCopy, Network, read
from peek_widget.network.fingerprint import fingerprint as fingerprint_of
from peek_widget.network.receptive_field.field_map import field_map

__all__ = ["EvidencePass", "Progress", "top_crops"]

_GIVEN_UP = 50  # images in a row that can't be read: a disk that is gone, not a damaged file
_SAVED_EVERY = 60.0
_LARGEST_RESIZE = 8  # times the network's input, of which no more than the middle is seen
_MOST_CROPS = 10_000


@dataclass(frozen=True)
class Progress:
    """How far a pass is.

    Attributes:
        done: images dealt with, those of earlier passes included.
        total: images of the dataset.
        passed_over: of them, that could not be read.
        seconds: that this pass has run.
        rate: images a second, 0 before the first batch.
        running: whether it goes on.
    """

    done: int
    total: int
    skipped: int
    seconds: float
    rate: float
    running: bool

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take at this rate; None while that is not known."""
        if self.done >= self.total:
            return 0.0
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def __str__(self) -> str:
        text = f"{self.done:,} of {self.total:,} images"
        if self.skipped:
            text += f", {self.skipped:,} passed over"
        if self.running and self.left is not None:
            text += f", {self.rate:.3g} a second, {duration(self.left)} left"
        return text


class EvidencePass:
    """A pass over a dataset that can be run here or in the background, watched, stopped and taken up again.

    >>> work = EvidencePass(model, ["features.12"], "photos")
    >>> work.start()                                  # in a thread; or work.run()
    >>> work.for_unit("features.12", 17).top[0].image()
    >>> work.progress, work.stop()

    Args:
        model: a Module, or a :class:`~peek_widget.network.Network` to read it as that one was read; a ghost of
            its own is run, so that an ascent may go on beside it.
        layers: one layer or several, by name or as modules of the model; one forward computes them all.
        dataset: a folder, a torch Dataset, or a list of images; see
            :func:`~peek_widget.evidence.dataset.read_source`.
        k: how many of the highest, and of the lowest, to keep for each unit.
        labels: one for each image; see :func:`~peek_widget.evidence.dataset.read_source`.
        per_image: keep one place of an image at most.
        resize: what an image's shorter side is resized to before its middle is cut out; left out: the
            network's input size (torchvision's own ImageNet protocol is 256 for 224).
        prepared: the dataset gives tensors that already are what the network takes.
        batch_size: images in a forward.
        workers, processes: see :func:`~peek_widget.evidence.loading.load_batches`.
        threads: CPU threads to compute on; left out, torch's own number.
        device, input_size, preprocess: see :func:`peek_widget.network.read`.
        store: a file that is taken up if it is there, and written every minute and at the end. Images of a folder
            are known again by their names in it, those of a list or Dataset by their index: give the same one, or
            a longer one that begins with the same images.
        resume: evidence to go on from, in place of a file.
        fingerprint: of the model, any text; evidence of another one is not gone on with. Left out, with a store or
            with resume: :func:`peek_widget.fingerprint`.
        yield_to: asked after every batch; while it returns True (an ascent is running, say), the pass takes
            only ``duty`` of the time.
        duty: share of the time, above 0 and up to 1.
    """

    def __init__(
        self,
        model: nn.Module | ModelCopy | Network,
        layers: str | nn.Module | Iterable[str | nn.Module],
        dataset: Any,
        k: int = 9,
        *,
        labels: Any = None,
        per_image: bool = True,
        resize: int | None = None,
        prepared: bool = False,
        batch_size: int = 32,
        workers: int | None = None,
        processes: int = 0,
        threads: int | None = None,
        device: str | torch.device | None = None,
        input_size: int | None = None,
        preprocess: Any = None,
        store: str | Path | None = None,
        resume: Evidence | LayerEvidence | None = None,
        fingerprint: str | None = None,
        yield_to: Callable[[], bool] | None = None,
        duty: float = 0.25,
    ) -> None:
        for name, value, least, most in (
            ("k", k, 1, _MOST_CROPS),
            ("batch_size", batch_size, 1, 65_536),
            ("processes", processes, 0, 1024),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise PeekError(f"{name}={value!r}: give a whole number from {least} to {most}.")
        if not 0.0 < duty <= 1.0:
            raise PeekError(f"duty={duty!r}: give the share of the time that the pass may take, above 0 and up to 1.")
        self.source: Source = read_source(dataset, labels)
        self.network: Network = _own(model, input_size, preprocess, device)
        given = [layers] if isinstance(layers, (str, nn.Module)) else list(layers)
        if not given:
            raise PeekError("layers is empty: name at least one that layers(model) lists.")
        # A name stays as it was given, since it is the key of the result; a module gets the name of its layer.
        names = [one if isinstance(one, str) else self.network.layer(one).name for one in given]
        for name in names:
            self.network.layer(name)  # raises where there is none
        self.layers: tuple[str, ...] = tuple(dict.fromkeys(names))
        self._batch_size, self._workers, self._processes, self._threads = batch_size, workers, processes, threads
        self._yield_to, self._duty = yield_to, duty
        self._store = None if store is None else Path(store)
        side = self.network.input_size
        most = _LARGEST_RESIZE * side
        whole = isinstance(resize, int) and not isinstance(resize, bool)
        if resize is not None and not (whole and side <= resize <= most):
            raise PeekError(
                f"resize={resize!r}: give the shorter side in pixels, from the network's input size ({side}) to {most}."
            )
        preparer = Preparer(self.network.channels, side, resize or side, prepared, self.network.preprocess)
        earlier = resume if isinstance(resume, Evidence) else None
        if isinstance(resume, LayerEvidence):
            earlier = Evidence(resume._example_index)
        if earlier is None and self._store is not None and self._store.exists():
            earlier = load_evidence(self._store)
        if fingerprint is None and (self._store is not None or earlier is not None):
            # What is gone on with must be of the same weights; a model trained on is another one.
            fingerprint = fingerprint_of(self.network)
        self.example_index: ExampleIndex
        if earlier is None:
            self.example_index = self._begin(k, per_image, preparer, fingerprint)
        else:
            self.example_index = self._go_on(earlier.example_index, k, per_image, preparer, fingerprint)
        self.evidence: Evidence = Evidence(self.example_index)
        self.error: BaseException | None = None
        self._stop = threading.Event()
        # Not Thread.join: interrupted from the keyboard, it takes a thread that runs on for ended (Python < 3.13).
        self._ended = threading.Event()
        self._ended.set()
        self._began: float | None = None
        self._seconds = 0.0
        self._done_now = 0
        self._running = False

    def _begin(self, k: int, per_image: bool, preparer: Preparer, fingerprint: str | None) -> ExampleIndex:
        indices, fields = {}, {}
        for name in self.layers:
            layer = self.network.layer(name)
            indices[name] = LayerIndex(layer.channels, layer.size, k, per_image, self.network.model_copy.device)
            fields[name] = field_map(self.network, layer)
        source = self.source
        return ExampleIndex(indices, fields, preparer, source.described, fingerprint, source.class_names, source)

    def _go_on(
        self, earlier: ExampleIndex, k: int, per_image: bool, preparer: Preparer, fingerprint: str | None
    ) -> ExampleIndex:
        def differs(what: str, was: Any, now: Any) -> EvidenceStoreError:
            return EvidenceStoreError(
                f"The evidence to go on from was gathered with {what} {was}, now it is {now}: give the same, or "
                "begin anew without resume= (or with another store=)."
            )

        if tuple(earlier.indices) != self.layers:
            raise differs("layers", ", ".join(earlier.indices), ", ".join(self.layers))
        for name, index in earlier.indices.items():
            layer = self.network.layer(name)
            if (index.units, index.size) != (layer.channels, layer.size):
                raise differs(f"{name!r} of units and map", (index.units, *index.size), (layer.channels, *layer.size))
            if index.k != k or index.per_image != per_image:
                raise differs("k and per_image", (index.k, index.per_image), (k, per_image))
        was = earlier.preparer
        mine, theirs = ((p.channels, p.size, p.resize, p.prepared) for p in (preparer, was))
        if mine != theirs:
            raise differs("(channels, input size, resize, prepared)", theirs, mine)
        if None not in (fingerprint, earlier.fingerprint) and fingerprint != earlier.fingerprint:
            raise differs("the model of fingerprint", earlier.fingerprint, fingerprint)
        earlier.fingerprint = fingerprint or earlier.fingerprint
        earlier.source, earlier.preparer = self.source, preparer
        earlier.described = self.source.described
        earlier.class_names = self.source.class_names or earlier.class_names
        for index in earlier.indices.values():
            index.to(self.network.model_copy.device)
        return earlier

    @property
    def progress(self) -> Progress:
        """How far it is, at any time and from any thread."""
        example_index, began = self.example_index, self._began
        seconds = self._seconds if began is None else time.perf_counter() - began
        rate = self._done_now / seconds if seconds > 0 else 0.0
        return Progress(
            min(len(example_index.seen), len(self.source)),
            len(self.source),
            example_index.skipped,
            seconds,
            rate,
            self._running,
        )

    def for_unit(self, layer: str, unit: int) -> UnitEvidence:
        """What has been found for a unit so far; at any time and from any thread."""
        return self.evidence[layer][unit]

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> Evidence:
        """Run to the end of the dataset, or until :meth:`stop`; what was found so far stays in ``evidence``.

        An interrupt from the keyboard ends it after the batch in hand, and is then raised.

        Args:
            on_progress: called after every batch, in the pass's own thread.

        Raises:
            EvidenceError: if the pass can't go on; ``error.found`` is what it had found.
            DatasetError: if not one image of the dataset could be read.
        """
        # In a thread, so that an interrupt can't fall between two layers of the same batch.
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

    def _run(self, on_progress: Callable[[Progress], None] | None) -> None:
        example_index, source = self.example_index, self.source
        indices = [i for i in range(len(source)) if source.identity(i) not in example_index.seen]
        batches = load_batches(
            source, example_index.preparer, indices, self._batch_size, self._workers, self._processes
        )
        failed_in_a_row, saved = 0, time.monotonic()
        threads = torch.get_num_threads()
        try:
            if self._threads is not None:
                torch.set_num_threads(self._threads)
            while not self._stop.is_set():
                began = time.perf_counter()
                try:
                    batch = next(batches, None)
                    if batch is None:
                        break
                    self._take(batch)
                except Exception as error:
                    raise self._broken(error) from error
                # In the order of the dataset, a long run of unreadable images is a disk that is gone.
                failed_in_a_row = 0 if batch.items else failed_in_a_row + len(batch.skipped)
                if failed_in_a_row >= _GIVEN_UP and example_index.count:
                    reason = batch.skipped[-1]
                    raise self._broken(
                        f"{failed_in_a_row} images in a row could not be read, the last "
                        f"({reason.name}) because {reason.reason}"
                    )
                if on_progress is not None:
                    on_progress(self.progress)
                if self._store is not None and time.monotonic() - saved > _SAVED_EVERY and example_index.count:
                    self.evidence.save(self._store)
                    saved = time.monotonic()
                if self._yield_to is not None and self._yield_to():
                    self._stop.wait((time.perf_counter() - began) * (1.0 / self._duty - 1.0))
        finally:
            batches.close()
            torch.set_num_threads(threads)
        if not example_index.count and example_index.skipped and not self._stop.is_set():
            name, reason = next(iter(example_index.reasons.items()))
            raise DatasetError(
                f"None of the {example_index.skipped:,} items of {source.described} could be read as an image; the "
                f"first ({name}) because {reason}."
            )

    def _broken(self, cause: Exception | str) -> EvidenceError:
        seen = self.example_index.count
        text = cause if isinstance(cause, str) else f"{type(cause).__name__}: {cause}"
        ended = f"The pass ended after {seen:,} of {len(self.source):,} images: {text}."
        return EvidenceError(
            f"{ended} What it found in them is kept, as the error's .found; with resume=error.found another pass goes "
            "on from there.",
            self.evidence,
            ended,
        )

    def _take(self, batch: Batch) -> None:
        example_index, source, network = self.example_index, self.source, self.network
        for item in batch.skipped:
            example_index.note(item, source.identity(item.index))
        if batch.images is not None:
            with torch.inference_mode():
                images = batch.images.to(network.model_copy.device, non_blocking=True)
                images = images.float().div_(255.0) if images.dtype == torch.uint8 else images
                prepared = images if example_index.preparer.prepared else network.preprocess(images)
                values = network.run(prepared, self.layers)
            example_index.take(values, batch.items, [source.identity(item.index) for item in batch.items])
        self._done_now += len(batch.items) + len(batch.skipped)

    def start(self, on_progress: Callable[[Progress], None] | None = None) -> EvidencePass:
        """Run in a thread; what goes wrong there is kept in ``error``. Returns itself."""
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
            try:
                self._run(on_progress)
            finally:
                if self._store is not None and self.example_index.count:
                    self.evidence.save(self._store)
        except BaseException as error:
            self.error = error
        finally:
            self._seconds, self._began = time.perf_counter() - (self._began or 0.0), None
            self._running = False
            self._ended.set()

    def stop(self, wait: bool = False) -> None:
        """End it after the batch in hand; what was found stays, and :meth:`start` goes on from there."""
        self._stop.set()
        if wait:
            self.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a started pass to end; returns whether it has. Its error is in ``error``, not raised."""
        return self._ended.wait(timeout)

    def __repr__(self) -> str:
        return f"EvidencePass({', '.join(map(repr, self.layers))}; {self.progress})"


def _own(
    model: nn.Module | ModelCopy | Network, input_size: int | None, preprocess: Any, device: str | torch.device | None
) -> Network:
    """Return a network for the pass alone, so that an ascent may run the given one meanwhile."""
    if isinstance(model, Network):
        return model.replica(input_size=input_size, preprocess=preprocess, device=device)
    return read(model.original if isinstance(model, ModelCopy) else model, input_size, preprocess, device)


class _Line:
    """Progress in one line of the terminal or the notebook's cell."""

    def __init__(self) -> None:
        self._shown, self._next = 0, time.monotonic() + 1.0  # nothing of what is done at once

    def show(self, progress: Progress) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.5
            self._print(str(progress))

    def end(self, progress: Progress) -> None:
        if self._shown:
            self._print(str(progress))
            print(file=sys.stderr)

    def _print(self, text: str) -> None:
        print("\r" + text.ljust(self._shown), end="", file=sys.stderr, flush=True)
        self._shown = len(text)


def top_crops(
    model: nn.Module | ModelCopy | Network,
    layer: str | nn.Module | Iterable[str | nn.Module],
    dataset: Any,
    k: int = 9,
    *,
    progress: bool | Callable[[Progress], None] = True,
    **options: Any,
) -> LayerEvidence | Evidence:
    """The real images that excite each unit of a layer most, and least, by one pass over a dataset.

    >>> crops = top_crops(model, "features.12", "photos")
    >>> crops[17].top[0].image()

    Activations are before the layer's last ReLU, over all places of its map. Stopped with the keyboard (in a
    notebook: interrupt the kernel) it returns what it has found so far.

    Args:
        model: any Module; a copy of its structure is run, see :func:`peek_widget.network.read`.
        layer: a layer by name or as a module of the model, or several.
        dataset: a folder of images, a torch Dataset, or a list of PIL images, arrays, tensors or file names.
        k: how many of the highest, and of the lowest, to keep for each unit.
        progress: show how far it is; or a function that is given a :class:`Progress` after every batch.
        **options: all others of :class:`EvidencePass`: labels, per_image, resize, prepared, batch_size, workers,
            processes, threads, device, input_size, preprocess, store, resume, fingerprint.

    Returns:
        a :class:`~peek_widget.evidence.crops.LayerEvidence`, a sequence over units; of several layers a dict.

    Raises:
        DatasetError: if the dataset holds no image that can be read, or labels do not fit.
        EvidenceError: if the pass can't go on; ``error.found`` is what it had found.
        PeekError: if model, layer or an option is not possible.
    """
    if options.get("fingerprint") is None:
        # Kept with what is found, so that it is never taken for another model's.
        options["fingerprint"] = fingerprint_of(model.original if isinstance(model, ModelCopy) else model)
    work = EvidencePass(model, layer, dataset, k, **options)
    before = work.example_index.skipped
    line = _Line() if progress is True else None
    work.start(progress if callable(progress) else None)
    try:
        while not work.wait(0.2):
            if line is not None:
                line.show(work.progress)
    except KeyboardInterrupt:
        # The user's own wish, and the most natural way to say it: nothing found is lost.
        work.stop(wait=True)
        print(f"\nStopped: {work.progress}; what was found is kept.", file=sys.stderr)
    if line is not None:
        line.end(work.progress)
    if work.error is not None:
        raise work.error
    _tell(work, before)
    return work.evidence[work.layers[0]] if isinstance(layer, (str, nn.Module)) else work.evidence


def _tell(work: EvidencePass, before: int) -> None:
    """Say which images were passed over, once and in one sentence."""
    count = work.example_index.skipped - before
    if count:
        named = list(work.example_index.reasons.items())[-min(count, 3) :]
        shown = "; ".join(f"{name}: {reason}" for name, reason in named)
        more = f"; and {count - len(named):,} more, see .passed_over" if count > len(named) else ""
        warnings.warn(f"{count:,} of {len(work.source):,} images were passed over ({shown}{more}).", stacklevel=3)

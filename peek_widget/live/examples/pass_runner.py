"""The passes over the dataset of an explorer: one for each layer that was shown, and their progress."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peek_widget._progress import Rate, duration
from peek_widget.errors import PeekError, PhotoError
from peek_widget.evidence import (
    Evidence,
    EvidenceError,
    EvidencePass,
    LayerEvidence,
    LoaderOptions,
    Progress,
    load_evidence,
)
from peek_widget.evidence.dataset import read_source
from peek_widget.evidence.source import SerialSource, Source, UnreadableError
from peek_widget.network import Network

__all__ = ["LayerPass", "PassRunner"]

log: logging.Logger = logging.getLogger("peek_widget")

DUTY_CYCLE = 0.15
"""Share of the time that a pass takes while the main run draws."""

BATCH = 4
"""Number of images per forward: the main run waits at most for one of these for memory bandwidth."""

FIRST_PICTURE = 5.0
"""Maximum wait of the first pass in seconds, so that a new explorer shows its first picture soon."""

RATE_WINDOW = 12.0
"""Seconds over which the speed of a pass is measured."""


@dataclass
class LayerPass:
    """The evidence on one layer, and the pass that gathers it.

    Attributes:
        evidence: the evidence so far.
        work: the pass; None for given evidence, and once every image was processed: a pass holds a copy of the
            model, on another device with its own weights.
        total: number of images of the dataset, known once all were processed (also of a stream).
        problem: why the pass has ended early, in a sentence; "" otherwise.
        rate: recent speed in images per second.
        weights: version of the model's weights when the pass began; None for given evidence.
    """

    evidence: LayerEvidence
    work: EvidencePass | None = None
    total: int | None = None
    problem: str = ""
    rate: Rate = field(default_factory=lambda: Rate(RATE_WINDOW))
    weights: int | None = None

    @property
    def running(self) -> bool:
        """Whether the pass is running."""
        return self.work is not None and self.work.progress.running

    @property
    def complete(self) -> bool:
        """Whether every image has been processed, as far as the evidence shows."""
        return self.work is None or _is_complete(self.work.progress)


class PassRunner:
    """A runner that opens the dataset and runs the pass of the layer shown.

    All methods except :meth:`stop`, :meth:`wait`, :meth:`forget_problem` and :meth:`any_image` are for one thread.

    Args:
        dataset: images as `peek_widget.top_crops` takes them, or evidence already gathered: an `Evidence`, a
            `LayerEvidence`, or the name of a file of it.
        labels, value_range: see `peek_widget.top_crops`.
        network: returns the current network.
        drawing: returns whether the main run is drawing; the pass then takes a small share of the time.
        k: number of examples kept for each unit.
        clock: returns monotonic time in seconds.

    Attributes:
        layers: passes by layer.
        enabled: whether passes may run; the Stop button of the page turns this off.
        problem: why the dataset can't be opened, in a sentence; "" if it can.

    Raises:
        PeekError: if ``value_range`` is not possible.
    """

    def __init__(
        self,
        dataset: Any,
        labels: Any,
        *,
        value_range: tuple[float, float] | None = None,
        network: Callable[[], Network],
        drawing: Callable[[], bool],
        k: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dataset, self._labels = dataset, labels
        self._network, self._drawing = network, drawing
        self._loader = LoaderOptions(batch_size=BATCH, workers=1, value_range=value_range)
        self._k, self._clock = k, clock
        self._source: Source | None = None
        self._opened = False
        self._began = clock()
        self.layers: dict[str, LayerPass] = {}
        self.enabled: bool = True
        self.problem: str = ""

    def open(self) -> None:
        """Open the dataset, once; a folder of a million files takes a while.

        Raises:
            PeekError: if it is not a dataset, or is evidence on another model.
        """
        if self._opened:
            return
        self._opened = True
        try:
            self._open()
        except Exception as error:
            self.problem = _explain(error)
            raise

    def _open(self) -> None:
        dataset = self._dataset
        if isinstance(dataset, str | Path) and Path(dataset).expanduser().is_file():
            dataset = load_evidence(Path(dataset).expanduser())
        if isinstance(dataset, LayerEvidence):
            dataset = dataset.evidence
        if isinstance(dataset, Evidence):
            for layer in dataset.values():
                layer.check_model(self._network())
            self.layers = {name: LayerPass(layer) for name, layer in dataset.items()}
            self._source = dataset.example_index.source
            return
        self._source = SerialSource(read_source(dataset, self._labels))

    @property
    def can_scan(self) -> bool:
        """Whether there are images to process; from any thread."""
        return self._source is not None

    @property
    def endless(self) -> bool:
        """Whether the images are a stream, whose length is unknown until its end; from any thread."""
        return self._source is not None and self._source.endless

    def forget_problem(self, layer: str) -> None:
        """Clear the problem that ended the pass of a layer, so that it may be tried again; from any thread."""
        found = self.layers.get(layer)
        if found is not None:
            found.problem = ""

    def running(self, layer: str) -> bool:
        """Return whether the pass of a layer is running."""
        found = self.layers.get(layer)
        return found is not None and found.running

    def yields_to_first_picture(self, has_picture: bool) -> bool:
        """Return whether a first pass should wait until the explorer shows its first picture.

        Args:
            has_picture: whether there is a picture already.
        """
        return (
            self._source is not None
            and not has_picture
            and self._drawing()
            and self._clock() - self._began < FIRST_PICTURE
        )

    def set_enabled(self, enabled: bool, layer: str | None) -> None:
        """Stop passes, or let them run; the pass of `layer` is then tried again if an error had ended it."""
        self.enabled = enabled
        if enabled and layer is not None:
            self.forget_problem(layer)

    def advance(self, layer: str, *, watched: bool, has_picture: bool, shown: bool = True) -> None:
        """Start the pass of a layer if it should run, and stop it otherwise. Passes of other layers are stopped.

        Args:
            layer: name of the layer.
            watched: whether a visible page shows the explorer.
            has_picture: whether the explorer has shown its first picture.
            shown: whether it is the layer shown, whose error ends all passes; otherwise others go on.
        """
        for name, other in self.layers.items():
            if name != layer and other.running:
                assert other.work is not None
                other.work.stop()
        wanted = watched and self.enabled
        found = self.layers.get(layer)
        if found is None:
            if self._source is None or not wanted or self.yields_to_first_picture(has_picture):
                return
            found = self.layers[layer] = self._new_pass(layer, self._source)
        work = found.work
        if work is None:
            return
        progress = work.progress
        if progress.running:
            if not wanted:
                work.stop()
            found.rate.add(self._clock(), progress.done)
            return
        found.rate.clear()
        if work.error is not None:
            found.problem = _explain(work.error)
            log.warning("The pass over the dataset ended: %s", found.problem)
            work.error = None
            self.enabled = self.enabled and not shown
        elif work.wait(0):
            if _is_complete(progress) and found.evidence.images:
                found.total, found.work = progress.total, None
            elif wanted and not found.problem:
                if _is_complete(progress) and self._source is not None:
                    # no image could be read: try again from the first
                    found = self.layers[layer] = self._new_pass(layer, self._source)
                if found.work is not None:
                    found.work.start()

    def _new_pass(self, layer: str, source: Source) -> LayerPass:
        network = self._network()
        weights = network.model_copy.version()
        work = EvidencePass(
            network,
            layer,
            source,
            self._k,
            loader=self._loader,
            threads=1,
            yield_to=self._drawing,
            duty=DUTY_CYCLE,
        )
        return LayerPass(work.evidence[layer], work, weights=weights)

    def any_image(self) -> Any:
        """Return a random image of the dataset; from any thread.

        Raises:
            PeekError: if no image could be read.
        """
        source = self._source
        if source is None or source.endless or not len(source):
            raise PhotoError(
                "There is no dataset of which an image could be taken: evidence from a file comes without its images, "
                "and a stream is read once. Give a photo."
            )
        # Python's global generator is left alone, since its state is the user's
        index = random.SystemRandom().randrange(len(source))
        try:
            return source.load(index)[0]
        except UnreadableError as error:
            raise PhotoError(f"{source.name(index)!r} can't be read: {error}. Take another one.") from error

    def stop(self, *, wait: bool = False) -> None:
        """Stop every pass after its current batch; from any thread.

        Args:
            wait: whether to wait until they have ended.
        """
        for work in self._works():
            work.stop(wait=wait)

    def wait(self, timeout: float) -> bool:
        """Wait for stopped passes, up to `timeout` seconds each; return whether all have ended."""
        return all(work.wait(timeout) for work in self._works())

    def _works(self) -> list[EvidencePass]:
        return [found.work for found in list(self.layers.values()) if found.work is not None]

    def describe(self, layer: str, problem: str) -> dict[str, Any]:
        """Describe the progress of a layer's pass.

        Args:
            layer: name of the layer.
            problem: another problem, in a sentence, or "".

        Returns:
            `state`, `text`, `problem`, `images` (processed) and `total`, see the explorer's evidence status.
        """
        found = self.layers.get(layer)
        if found is None:
            state, text = self._describe_no_pass(problem)
            return {"state": state, "text": text, "problem": problem, "images": 0, "total": 0}
        images, work = found.evidence.images, found.work
        if work is None and found.total is not None:
            state, text, total = "done", _describe_end(images, found.total), found.total
        elif work is None:
            state, text, total = "given", f"From {images:,} images.", images
        else:
            (state, text), total = self._describe_pass(found, work), work.progress.total or work.progress.done
        return {
            "state": state,
            "text": " ".join(filter(None, (text, _describe_skipped(found.evidence), *found.evidence.remarks))),
            "problem": found.problem or problem,
            "images": images,
            "total": total,
        }

    def _describe_no_pass(self, problem: str) -> tuple[str, str]:
        if problem:
            return "error", ""
        if self._opened and self._source is None and self.layers:
            names = ", ".join(name or "the output" for name in list(self.layers)[:4])
            return "given", f"The given evidence is for {names}, not for this layer, and comes without images to scan."
        if not self.enabled:
            return "stopped", "Stopped before the first image."
        return "waiting", "Preparing the dataset ..."

    def _describe_pass(self, found: LayerPass, work: EvidencePass) -> tuple[str, str]:
        progress = work.progress
        of = f"{progress.done:,} images so far"
        if progress.total is not None:
            of = f"{progress.done:,} of {progress.total:,} images"
        if progress.running and self.enabled:
            rest = None if progress.total is None else progress.total - progress.done
            left = None if rest is None else found.rate.time_left(rest, at_least=1.0)
            return "running", f"Scanning the dataset: {of}{'' if left is None else f', {duration(left)} left'}."
        if _is_complete(progress) and found.evidence.images:
            return "done", _describe_end(found.evidence.images, progress.total or progress.done)
        if found.problem:
            return "error", f"Ended by an error after {of}."
        if not self.enabled:
            return "stopped", f"Stopped after {of}."
        # no visible page shows it, or it is about to begin
        return "waiting", f"{of} processed so far."


def _is_complete(progress: Progress) -> bool:
    return progress.total is not None and progress.done >= progress.total


def _describe_end(images: int, total: int) -> str:
    """Describe how many images a finished pass has processed."""
    return f"All {total:,} images processed." if images == total else f"{images:,} of {total:,} images processed."


def _describe_skipped(evidence: LayerEvidence) -> str:
    count = evidence.skipped_count
    if not count:
        return ""
    name, reason = next(iter(evidence.skipped.items()), ("", ""))
    named = f" ({name}: {reason}{', and others' if count > 1 else ''})" if name else ""
    return f"{count:,} could not be read{named}."


def _explain(error: BaseException) -> str:
    """Explain why a pass ended to a user of the page, who has buttons and no Python."""
    if isinstance(error, EvidenceError):
        return f"{error.plain} The results so far are shown. Fix the problem, then press Resume to continue."
    return str(error) if isinstance(error, PeekError) else f"{type(error).__name__}: {error}"

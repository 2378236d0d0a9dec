"""Dataset examples in one call: a pass over a dataset with a progress bar."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from peek_widget._progress import progress_bar
from peek_widget._size import SizeLike
from peek_widget.errors import DatasetWarning, warn
from peek_widget.evidence.cluster import ClusterPass
from peek_widget.evidence.dataset import DatasetLike, Labels
from peek_widget.evidence.evidence import Evidence, LayerEvidence
from peek_widget.evidence.groups import Groups
from peek_widget.evidence.loading import LoaderOptions
from peek_widget.evidence.passes import EvidencePass
from peek_widget.evidence.prepare import Decoding
from peek_widget.evidence.progress import Progress
from peek_widget.network import ModelCopy, Network, Preprocess, PreprocessFunction
from peek_widget.network.fingerprint import fingerprint as fingerprint_of
from peek_widget.network.precision import Precision

__all__ = ["top_crops"]


def top_crops(
    model: nn.Module | ModelCopy | Network,
    layer: str | nn.Module | Iterable[str | nn.Module],
    dataset: DatasetLike,
    k: int = 9,
    *,
    labels: Labels = None,
    per_image: bool = True,
    groups: Groups = None,
    resize: int | None = None,
    prepared: bool = False,
    batch_size: int = 32,
    workers: int | None = None,
    processes: int = 0,
    value_range: tuple[float, float] | None = None,
    decoding: Decoding = "exact",
    precision: Precision = "float32",
    threads: int | None = None,
    shard: tuple[int, int] | None = None,
    executor: Executor | None = None,
    device: str | torch.device | None = None,
    input_size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    store: str | Path | None = None,
    resume: Evidence | LayerEvidence | None = None,
    fingerprint: str | None = None,
    progress: bool | Callable[[Progress], object] | None = None,
) -> LayerEvidence | Evidence:
    """Find the dataset examples of every unit of a layer, by one pass over a dataset.

    Dataset examples (also "top activating images") are the real images, and the patches in them, that excite a unit
    most, and least. Activations are taken before the layer's last ReLU, at every position of its feature map.
    Interrupted from the keyboard (in a notebook: interrupt the kernel) it returns what it has found so far.

    >>> crops = top_crops(model, "features.12", "photos")
    >>> crops[17].top[0].image

    Args:
        model: any Module; a copy of its structure is run, see :func:`peek_widget.network.read`.
        layer: a layer by name or as a module of the model, or several.
        dataset: a folder of images, a torch or Hugging Face Dataset, a frame with a column of file names, a stream, or
            a list of PIL images, arrays, tensors or file names; see
            :func:`~peek_widget.evidence.dataset.read_source`.
        k: number of highest, and of lowest, activations to keep for each unit.
        labels: labels of the images: a list, a mapping or function of the file name (of the index, for a list), or the
            name of a frame's column.
        per_image: keep one position of an image at most.
        groups: groups of labels to keep histograms of, for the scores over all images of :func:`survey`: labels by
            name, or ``"imagenet"``. Left out, each label is one, as long as there are at most 64.
        resize, prepared, batch_size, workers, processes, value_range, decoding: see
            :class:`~peek_widget.evidence.loading.LoaderOptions`.
        precision, threads, shard, store, resume, fingerprint: see :class:`EvidencePass`.
        executor: where to process the images: any ``concurrent.futures.Executor``, such as a ``ProcessPoolExecutor`` or
            Dask's ``Client.get_executor()``. What is found is the same, bit for bit, as here with as many threads (each
            worker has one, unless ``threads`` says otherwise). Left out, here.
        device, input_size, preprocess: see :func:`peek_widget.network.read`.
        progress: None shows a progress bar for what takes more than two seconds, True at once, False never; or a
            function that is called with a :class:`Progress` after every batch.

    Returns:
        A :class:`~peek_widget.evidence.LayerEvidence`, a sequence over units; for several layers an
        :class:`~peek_widget.evidence.Evidence`, a dict of these by layer name.

    Raises:
        DatasetError: if the dataset has no image that can be read, or the labels do not fit.
        EvidenceError: if the pass can't continue; ``error.found`` is what it had found.
        PeekError: if model, layer or an option is not possible.

    Warns:
        DatasetWarning: of images that were skipped, labels that are not classes, what was left out, and which range of
            values was assumed; once, in one sentence for each.
    """
    if fingerprint is None:
        # Saved with the evidence, so that it is not used for another model by mistake.
        fingerprint = fingerprint_of(model.original if isinstance(model, ModelCopy) else model)
    make = EvidencePass if executor is None else functools.partial(ClusterPass, executor=executor)
    work = make(
        model,
        layer,
        dataset,
        k,
        labels=labels,
        per_image=per_image,
        groups=groups,
        loader=LoaderOptions(resize, prepared, batch_size, workers, processes, value_range, decoding),
        precision=precision,
        shard=shard,
        threads=threads,
        device=device,
        input_size=input_size,
        preprocess=preprocess,
        store=store,
        resume=resume,
        fingerprint=fingerprint,
    )
    skipped = work.example_index.skipped
    _run_with_bar(work, progress)
    if work.error is not None:
        raise work.error
    _warn(work, skipped)
    return work.evidence[work.layers[0]] if isinstance(layer, (str, nn.Module)) else work.evidence


def _run_with_bar(work: EvidencePass, progress: bool | Callable[[Progress], object] | None) -> None:
    """Run a pass until it has ended or is interrupted from the keyboard, which ends it without an error."""
    called = progress if callable(progress) else None
    shown = False if callable(progress) else progress
    with progress_bar(work.progress.total, "Dataset", shown, unit="image") as bar:
        bar.initial = bar.n = work.progress.done  # images that an earlier pass processed
        work.start(called)
        try:
            ended = False
            while not ended:
                ended = work.wait(0.2)
                now = work.progress
                if now.skipped:
                    bar.set_postfix(skipped=now.skipped, refresh=False)
                bar.update(now.done - bar.n)
        except KeyboardInterrupt:
            # The user asked for it, so it is not an error: the results so far are returned.
            work.stop(wait=True)
            print(f"\nStopped: {work.progress}; what was found is kept.", file=sys.stderr)


def _warn(work: EvidencePass, before: int) -> None:
    """Warn of what the dataset was found to be, and of images skipped beyond the ``before`` of earlier passes."""
    said = []
    count = work.example_index.skipped - before
    if count:
        named = list(work.example_index.reasons.items())[-min(count, 3) :]
        shown = "; ".join(f"{name}: {reason}" for name, reason in named)
        more = f"; and {count - len(named):,} more, see .skipped" if count > len(named) else ""
        said.append(f"{count:,} of {len(work.indices) or len(work.source):,} images were skipped ({shown}{more}).")
    said += work.example_index.remarks()
    if said:
        warn(" ".join(said), DatasetWarning)

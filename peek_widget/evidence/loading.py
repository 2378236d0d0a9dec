"""Loading of image batches in threads or processes, ahead of their use."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, get_args

import torch
from torch import Tensor

from peek_widget.errors import PeekError
from peek_widget.evidence.files import decoding_quickly
from peek_widget.evidence.labels import Label
from peek_widget.evidence.prepare import Decoding, Preparer
from peek_widget.evidence.source import EndOfStreamError, NoImageError, Source, UnreadableError
from peek_widget.evidence.value_range import check_range

__all__ = ["Batch", "Loaded", "LoaderOptions", "default_workers", "load_batches", "load_one"]

_LARGEST_BATCH = 65_536
_MOST_PROCESSES = 1024


@dataclass(frozen=True)
class LoaderOptions:
    """How images are brought to the network's input size, and loaded.

    Attributes:
        resize: length in pixels that an image's shorter side is resized to before its center is cut out; None for what
            the preprocessing says, else the network's input size (torchvision's own ImageNet protocol is 256 for 224).
        prepared: whether the dataset gives tensors that already are the network's input.
        batch_size: number of images in a forward.
        workers: number of threads that load, each one batch at a time; 0 loads in the calling thread. None for
            :func:`default_workers` with files and lists, 1 with a Dataset of the user's own, which may not be safe to
            call from several threads.
        processes: number of processes that load instead, for a Dataset that computes in Python: those of torch's
            DataLoader (the dataset must be picklable where processes are spawned). A stream is loaded by one thread.
        decoding: ``"exact"``, or ``"fast"`` for JPEGs that are decoded as quickly as can be, see
            :func:`~peek_widget.evidence.files.decoding_quickly`.
        value_range: the numbers that are black and white in images of more than 8 bits, such as ``(0, 4095)`` or
            ``(-1, 1)``; None for those of :class:`~peek_widget.evidence.value_range.ValueRanges`.

    Raises:
        PeekError: if ``batch_size``, ``workers``, ``processes``, ``decoding`` or ``value_range`` is not possible.
    """

    resize: int | None = None
    prepared: bool = False
    batch_size: int = 32
    workers: int | None = None
    processes: int = 0
    value_range: tuple[float, float] | None = None
    decoding: Decoding = "exact"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value_range", check_range(self.value_range))  # frozen: set in construction
        if self.decoding not in get_args(Decoding):
            raise PeekError(f"decoding={self.decoding!r}: choose {' or '.join(map(repr, get_args(Decoding)))}.")
        limits = {"batch_size": (1, _LARGEST_BATCH), "workers": (0, _MOST_PROCESSES), "processes": (0, _MOST_PROCESSES)}
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if name == "workers" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise PeekError(f"{name}={value!r}: give a whole number from {least} to {most}.")


@dataclass(frozen=True)
class Loaded:
    """One image as loaded, or the reason why it could not be.

    Attributes:
        index: index of the image in the dataset.
        name: name of the image.
        pixels: the network's input ``[C, H, W]``; None where the image could not be loaded, and in a :class:`Batch`.
        size: (width, height) of the image as it is stored.
        label: label of the image.
        reason: why the image could not be loaded; "" where it was.
        foreign: whether the reason is that the network can't take it, and not that it could not be read.
        odd: what the dataset has in place of a label; "" where the label is a label, or there is none.
        assumed: the interpretation of an ambiguous image, as the end of a sentence; or "".
    """

    index: int
    name: str
    pixels: Tensor | None = None
    size: tuple[int, int] = (0, 0)
    label: Label = None
    reason: str = ""
    foreign: bool = False
    odd: str = ""
    assumed: str = ""


@dataclass(frozen=True)
class Batch:
    """A batch of n images.

    Attributes:
        images: ``[n, C, H, W]`` (uint8, or float32 in [0, 1]); None where no image could be loaded.
        items: the n images, without their pixels.
        skipped: the images that could not be loaded.
        ended: whether a stream has ended after them.
    """

    images: Tensor | None
    items: tuple[Loaded, ...]
    skipped: tuple[Loaded, ...]
    ended: bool = False


def default_workers() -> int:
    """Return the number of threads that decode images: as many as there are cores, 8 at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores))


def load_one(source: Source, preparer: Preparer, index: int) -> Loaded:
    """Load and prepare one image; an error becomes the reason for skipping it.

    Raises:
        EndOfStreamError: if a stream ends before it.
    """
    try:
        with decoding_quickly(preparer.decoding == "fast"):
            item = source.item(index, preparer.needed)
        pixels, size = preparer(item.image)
        assumed = preparer.assumed(item.image)
    except UnreadableError as error:
        return Loaded(index, source.name(index), reason=str(error), foreign=isinstance(error, NoImageError))
    except EndOfStreamError:
        raise
    # No error of a single image may end the pass.
    except Exception as error:
        return Loaded(index, source.name(index), reason=f"{type(error).__name__}: {error}")
    return Loaded(index, source.name(index), pixels, item.size or size, item.label, "", False, item.odd, assumed)


def _collect(loaded: Sequence[Loaded], ended: bool = False) -> Batch:
    good = tuple(one for one in loaded if one.pixels is not None)
    pixels: list[Any] = [one.pixels for one in good]
    if not all(p.dtype == torch.uint8 for p in pixels):
        pixels = [p.float().div(255.0) if p.dtype == torch.uint8 else p for p in pixels]
    # Stacked with the channels last, as they come out of a file: on a CPU convolutions are faster in this format.
    images = torch.stack([p.permute(1, 2, 0) for p in pixels]).permute(0, 3, 1, 2) if pixels else None
    items = tuple(replace(one, pixels=None) for one in good)
    return Batch(images, items, tuple(one for one in loaded if one.pixels is None), ended)


def _load_batch(source: Source, preparer: Preparer, indices: Sequence[int], stopped: threading.Event) -> Batch:
    loaded: list[Loaded] = []
    for index in indices:
        if stopped.is_set():
            break
        try:
            loaded.append(load_one(source, preparer, index))
        except EndOfStreamError:
            return _collect(loaded, ended=True)
    return _collect(loaded)


def load_batches(
    source: Source,
    preparer: Preparer,
    indices: Iterable[int],
    batch_size: int,
    workers: int | None = None,
    processes: int = 0,
) -> Generator[Batch, None, None]:
    """Iterate over batches of the images with these indices, in order, loaded ahead of their use.

    Args:
        source: the dataset.
        preparer: converts each image to the network's input.
        indices: indices of the images; of a stream without an end, since the last batch is marked.
        batch_size, workers, processes: see :class:`LoaderOptions`.
    """
    numbers = iter(indices)
    chunks = iter(lambda: list(itertools.islice(numbers, batch_size)), [])
    if processes > 0 and not source.endless:
        yield from _by_processes(source, preparer, list(chunks), processes)
        return
    workers = (default_workers() if source.concurrent else 1) if workers is None else workers
    workers = min(workers, 1) if source.endless else workers
    stopped = threading.Event()
    if workers == 0:
        for chunk in chunks:
            batch = _load_batch(source, preparer, chunk, stopped)
            yield batch
            if batch.ended:
                return
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="peek-load")
    waiting: deque[Future[Batch]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_load_batch, source, preparer, chunk, stopped))
            if len(waiting) > workers:
                batch = waiting.popleft().result()
                yield batch
                if batch.ended:
                    return
        while waiting:
            yield waiting.popleft().result()
    finally:
        # A caller that stops early waits for no more than the images that are being loaded.
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)


class _Chunks(torch.utils.data.Dataset):
    """Batches by number, for torch's DataLoader."""

    def __init__(self, source: Source, preparer: Preparer, chunks: Sequence[Sequence[int]]) -> None:
        self.source, self.preparer, self.chunks = source, preparer, chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, number: int) -> Batch:
        return _load_batch(self.source, self.preparer, self.chunks[number], threading.Event())


def _by_processes(
    source: Source, preparer: Preparer, chunks: Sequence[Sequence[int]], processes: int
) -> Iterator[Batch]:
    preparer.ranges.choose()  # chosen here for all processes, and to be reported
    yield from torch.utils.data.DataLoader(
        _Chunks(source, preparer, chunks),
        batch_size=None,
        num_workers=processes,
        prefetch_factor=2,
        generator=torch.Generator(),  # so that its workers' seeds are not drawn from the caller's random state
    )

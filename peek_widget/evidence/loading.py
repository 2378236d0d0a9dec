"""Loading the next images while the network looks at these."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peek_widget.evidence.dataset import Label, Source, UnreadableError
from peek_widget.evidence.prepare import Preparer

__all__ = ["Batch", "Loaded", "load_batches", "usual_workers"]


@dataclass(frozen=True)
class Loaded:
    """One image as loaded: the network's input, or the reason why there is none."""

    index: int
    name: str
    pixels: Tensor | None = None
    size: tuple[int, int] = (0, 0)
    label: Label = None
    reason: str = ""


@dataclass(frozen=True)
class Batch:
    """Images ``[n, C, H, W]`` (uint8, or float32 in [0, 1]) with what is known of each; and those passed over."""

    images: Tensor | None
    items: tuple[Loaded, ...]
    skipped: tuple[Loaded, ...]


def usual_workers() -> int:
    """Threads that decode images: as many as there are cores, 8 at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores))


def load_one(source: Source, preparer: Preparer, index: int) -> Loaded:
    """Load and prepare one image; what goes wrong with it becomes the reason why it is passed over."""
    name = source.name(index)
    try:
        image, full, label = source.load(index, preparer.needed)
        pixels, size = preparer(image)
    except UnreadableError as error:
        return Loaded(index, name, reason=str(error))
    return Loaded(index, name, pixels, full or size, label)


def _collect(loaded: Sequence[Loaded]) -> Batch:
    good = tuple(one for one in loaded if one.pixels is not None)
    pixels: list[Any] = [one.pixels for one in good]
    if not all(p.dtype == torch.uint8 for p in pixels):
        pixels = [p.float().div(255.0) if p.dtype == torch.uint8 else p for p in pixels]
    # Stacked with the colors last, as they come out of a file: the layout that convolutions like on a CPU.
    images = torch.stack([p.permute(1, 2, 0) for p in pixels]).permute(0, 3, 1, 2) if pixels else None
    items = tuple(Loaded(one.index, one.name, None, one.size, one.label) for one in good)
    return Batch(images, items, tuple(one for one in loaded if one.pixels is None))


def _load_batch(source: Source, preparer: Preparer, indices: Sequence[int], stopped: threading.Event) -> Batch:
    loaded = []
    for index in indices:
        if stopped.is_set():
            break
        loaded.append(load_one(source, preparer, index))
    return _collect(loaded)


def load_batches(
    source: Source,
    preparer: Preparer,
    indices: Sequence[int],
    batch_size: int,
    workers: int | None = None,
    processes: int = 0,
) -> Iterator[Batch]:
    """Batches of the images with these indices, in order, loaded ahead of their use.

    Args:
        source: where they come from.
        preparer: what makes the network's input of them.
        indices: which, in order.
        batch_size: images in each.
        workers: threads that load, each a batch; 0 loads when asked for. Left out: :func:`usual_workers` for
            files and lists, 1 for somebody's own Dataset, which may not bear several at once.
        processes: instead of threads, for a Dataset that computes in Python: as many worker processes, by torch's
            DataLoader (the dataset must be picklable where processes are spawned).
    """
    chunks = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
    if processes > 0:
        yield from _by_processes(source, preparer, chunks, processes)
        return
    workers = (usual_workers() if source.concurrent else 1) if workers is None else workers
    stopped = threading.Event()
    if workers == 0:
        for chunk in chunks:
            yield _load_batch(source, preparer, chunk, stopped)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="peek-load")
    waiting: deque[Future[Batch]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_load_batch, source, preparer, chunk, stopped))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Whoever stops does not wait for more than the images in hand.
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)


class _Chunks(torch.utils.data.Dataset):
    def __init__(self, source: Source, preparer: Preparer, chunks: Sequence[Sequence[int]]) -> None:
        self.source, self.preparer, self.chunks = source, preparer, chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, number: int) -> Batch:
        return _load_batch(self.source, self.preparer, self.chunks[number], threading.Event())


def _by_processes(
    source: Source, preparer: Preparer, chunks: Sequence[Sequence[int]], processes: int
) -> Iterator[Batch]:
    yield from torch.utils.data.DataLoader(
        _Chunks(source, preparer, chunks), batch_size=None, num_workers=processes, prefetch_factor=2
    )

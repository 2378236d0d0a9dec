"""The forwards of a pass: batch after batch, or several batches at once, each by a thread with a network of its own."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue

import torch
from torch import Tensor

from peek_widget._threads import divided_threads, set_threads
from peek_widget.evidence.activations import run_batch
from peek_widget.evidence.loading import Batch, Loaded
from peek_widget.network import Network
from peek_widget.network.memory import memory_error, release

__all__ = ["Computed", "Forwards", "NoMemoryError"]

log: logging.Logger = logging.getLogger("peek_widget")

_MOST_AT_ONCE = 4  # each needs the memory of a batch's maps

Computed = tuple[dict[str, Tensor], Sequence[Loaded]]
"""Activations of each layer by name, ``[N, C, H, W]`` or ``[N, C]``, and the N images."""


class NoMemoryError(Exception):
    """Memory ran out with a single image; the text is the end of a sentence."""


class Forwards:
    """The forwards of a pass over images.

    Args:
        network: the network, which nothing else runs meanwhile.
        layers: names of the layers.
        kind: type to compute in; None for the network's own.
        prepared: whether the images have already been preprocessed.
        most: largest number of images in a forward; it shrinks once memory has run out.
    """

    def __init__(
        self, network: Network, layers: Iterable[str], kind: torch.dtype | None, prepared: bool, most: int
    ) -> None:
        self._network, self._layers, self._kind, self._prepared = network, tuple(layers), kind, prepared
        self._most = most
        self._at_once, self._each = 1, 1

    def divide(self, threads: int | None, batches: int | None) -> int | None:
        """Compute several batches at once from now on, where that is possible, and gives the same.

        One forward on several threads waits at every operation for the slowest of them, which forwards of one thread
        each do not. It is possible on a CPU, where no forward depends on those before it.

        Args:
            threads: number of CPU threads, as the user gives it.
            batches: number of batches; None if it is not known.

        Returns:
            the number of threads that a forward is to be computed on, for :func:`~peek_widget._threads.computing_on`.

        Raises:
            PeekError: if ``threads`` is not a number of threads.
        """
        model_copy = self._network.model_copy
        # A function of the user's own is not copied with the network.
        apart = model_copy.repeats and (self._prepared or self._network.preprocess.function is None)
        if model_copy.device.type != "cpu" or not apart:
            self._at_once = 1
            return threads
        self._at_once, self._each = divided_threads(threads, _MOST_AT_ONCE)
        if batches is not None:
            self._at_once = max(1, min(self._at_once, batches))
        return self._each

    def run(self, batches: Generator[Batch, None, None]) -> Generator[tuple[Batch, Iterable[Computed]], None, None]:
        """Iterate over batches, in their order, each with what was computed of its images; it closes the batches.

        Raises:
            NoMemoryError: if memory runs out with a single image.
        """
        with contextlib.closing(batches):
            if self._at_once > 1:
                yield from self._several(batches)
                return
            for batch in batches:
                yield batch, self._computed(batch, self._network)

    def _several(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Iterable[Computed]]]:
        free: SimpleQueue[Network] = SimpleQueue()
        free.put(self._network)

        def computed(batch: Batch) -> list[Computed]:
            try:
                network = free.get_nowait()
            except Empty:
                network = self._network.replica()
            try:
                return list(self._computed(batch, network))
            finally:
                free.put(network)

        pool = ThreadPoolExecutor(self._at_once, "peek-forward", initializer=set_threads, initargs=(self._each,))
        waiting: deque[tuple[Batch, Future[list[Computed]]]] = deque()
        failed: Exception | None = None
        more = True
        try:
            while more or waiting:
                # One waits, so that no thread does.
                while more and len(waiting) <= self._at_once and not (waiting and waiting[0][1].done()):
                    batch = None
                    try:
                        batch = next(batches, None)
                    except Exception as error:  # raised once all that was loaded before it is taken in
                        failed = error
                    more = batch is not None
                    if batch is not None:
                        waiting.append((batch, pool.submit(computed, batch)))
                if waiting:
                    batch, future = waiting.popleft()
                    yield batch, future.result()
            if failed is not None:
                raise failed
        finally:
            pool.shutdown(cancel_futures=True)

    def _computed(self, batch: Batch, network: Network) -> Iterator[Computed]:
        """Compute the activations of a batch, in as many forwards as memory makes necessary."""
        done = 0
        while batch.images is not None and done < len(batch.items):
            part = slice(done, done + self._most)
            values = self._forward(batch.images[part], network)
            if values is not None:
                items = batch.items[part]
                yield values, items
                done += len(items)

    def _forward(self, images: Tensor, network: Network) -> dict[str, Tensor] | None:
        """Compute the layers' activations; None if memory ran out, so that smaller batches are tried."""
        device = network.model_copy.device
        try:
            with network.model_copy.computing_in(self._kind):
                return run_batch(network, images, self._layers, prepared=self._prepared)
        except Exception as error:
            words = memory_error(error)
            if words is None:
                raise
            if len(images) == 1:
                way_out = "close other programs and notebooks"
                if device.type != "cpu":
                    way_out = (
                        f"free some memory of {device}, which other programs and notebooks may be using, or give "
                        "device='cpu'"
                    )
                raise NoMemoryError(
                    f"memory ran out ({words.rstrip('.')}) with a single image: {way_out}, or give a smaller input_size"
                ) from error
        # Not in the except clause: there the error's traceback still holds the tensors of the failed forward.
        release(device)
        self._most = min(self._most, max(1, len(images) // 2))
        log.warning("Memory ran out with %d images on %s: the pass goes on with %d.", len(images), device, self._most)
        return None

"""Prefetch: the next batch of images is copied to the device while that computes the one before.

On a GPU the copy is made on a stream of its own, from pinned memory, so that it neither waits for the kernels of the
present batch nor delays them. The CPU needs no copies.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator
from dataclasses import replace

import torch
from torch import Tensor

from peek_widget.evidence.loading import Batch
from peek_widget.network.memory import memory_error
from peek_widget.network.transfer import upload

__all__ = ["Copy", "copier", "prefetched"]

log: logging.Logger = logging.getLogger("peek_widget")

Copy = Callable[[Tensor], tuple[Tensor, Callable[[], None]]]
"""Begins to copy images ``[N, C, H, W]`` from the CPU to a device, and does not wait for it.

Returns the copy, and a function that lets what the calling thread asks the device for from then on wait for it.
"""


def copier(device: torch.device) -> Copy | None:
    """Return what copies images to a device meanwhile; None for the CPU, and for MPS, whose copies wait."""
    if device.type in ("cpu", "mps"):
        return None
    if device.type == "cuda":
        return _on_a_stream(torch.cuda.Stream(device))
    return lambda images: (upload(images, device), lambda: None)


def _on_a_stream(stream: torch.cuda.Stream) -> Copy:
    def copy(images: Tensor) -> tuple[Tensor, Callable[[], None]]:
        with torch.cuda.stream(stream):
            copied = images.pin_memory().to(stream.device, non_blocking=True)
            done = stream.record_event()

        def wait() -> None:
            current = torch.cuda.current_stream(stream.device)
            current.wait_event(done)
            # Or its memory is given to a later copy once nothing here refers to it, while kernels still read it.
            copied.record_stream(current)

        return copied, wait

    return copy


def prefetched(
    batches: Generator[Batch, None, None], device: torch.device, copy: Copy | None = None
) -> Generator[Batch, None, None]:
    """Give batches with their images on a device, the copy of the next one begun before each is given.

    Where the device has no memory for a second batch, this one and the others are given as they were loaded, and a
    warning says so. An error in loading is raised after the batches before it were given.

    Args:
        batches: the batches, in order; closed when this is.
        device: where the images are needed.
        copy: what copies; left out, the device's :func:`copier`. Without one the batches are given as they are.
    """
    copy = copier(device) if copy is None else copy
    with contextlib.closing(batches):
        if copy is None:
            yield from batches
            return
        waiting: tuple[Batch, Callable[[], None]] | None = None
        raised: Exception | None = None
        while True:
            following: tuple[Batch, Callable[[], None]] | None = None
            try:
                batch = next(batches, None)
                if batch is not None:
                    following = (batch, lambda: None)
                    if copy is not None and batch.images is not None:
                        images, wait = copy(batch.images)
                        following = (replace(batch, images=images), wait)
            except Exception as error:
                words = None if following is None else memory_error(error)
                if words is None:
                    raised = error
                else:
                    copy = None
                    log.warning("%s has no memory for two batches (%s): none is copied ahead any more.", device, words)
            if waiting is not None:
                ready, wait = waiting
                wait()
                yield ready
            if raised is not None:
                raise raised
            if following is None:
                return
            waiting = following

"""Work as a CUDA graph: its hundreds of kernels are started by one call.

A step on a GPU is often bound by how quickly Python asks for kernels, not by the kernels. What a step computes, from
the picture to the next one, is recorded as a graph, which reads the random views and the recipe's numbers from memory
that is written before each replay, so that a moved slider needs no other graph. :mod:`~peek_widget.ascent.step` decides
what is recorded, and when.

It has never run on a GPU: none was available. So it is off unless ``PEEK_CUDA_GRAPH=1`` is set in the environment.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from peek_widget.ascent.view_draws import Drawn

__all__ = ["Graph", "Record", "Recorded", "Work", "apart", "copies", "put_back", "record_cuda", "shapes", "wanted"]

Work = Callable[[], tuple[Tensor, ...]]
"""Computes from memory that stays where it is; what it returns may be new memory."""

Record = Callable[[Work], tuple[tuple[Tensor, ...], Callable[[], None]]]
"""Records work; returns its results, and a function that does it again, into the same memory from the same memory."""

Recorded = Callable[[Sequence[Drawn], Sequence[Tensor]], tuple[Tensor, ...]]
"""What is recorded: computes from what was drawn for the views, and from numbers ``[]`` on the device."""


def wanted(device: torch.device) -> bool:
    """Return whether steps on a device are to be recorded."""
    return device.type == "cuda" and os.environ.get("PEEK_CUDA_GRAPH") == "1"


def record_cuda(work: Work) -> tuple[tuple[Tensor, ...], Callable[[], None]]:
    """Record work on the current GPU as a CUDA graph, after a warm-up on a stream of its own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # A Jupyter kernel has other threads that may allocate memory meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        found = work()
    return found, graph.replay


class Graph:
    """One recorded graph, and the memory that it reads and writes.

    Args:
        work: what is recorded.
        record: how it is recorded.
        state: tensors that the work changes in place; after the recording they are as before it.
        drawn: what was drawn for the views of a step.
        values: numbers of that step.
        device: where the work computes.
    """

    def __init__(
        self,
        work: Recorded,
        record: Record,
        state: Sequence[Tensor],
        drawn: Sequence[Drawn],
        values: Sequence[float],
        device: torch.device,
    ) -> None:
        self._device = device
        self._drawn = [
            replace(one, theta=_copy(one.theta), noise=_copy(one.noise), weights=_copy(one.weights)) for one in drawn
        ]
        # In double precision, as Python's: what is computed of them is then rounded as it is of those.
        self._values = torch.zeros(len(values), dtype=torch.float64, device=device)
        self._fill(drawn, values)
        before, views, numbers = copies(state), self._drawn, self._values.unbind()
        with self._on_device():
            self._found, self._replay = record(lambda: work(views, numbers))  # (without a reference to itself)
        put_back(state, before)

    def replay(self, drawn: Sequence[Drawn], values: Sequence[float]) -> tuple[Tensor, ...]:
        """Do the work again for other views of the same shapes and other numbers.

        Returns:
            the results, in memory that the next replay writes into.
        """
        self._fill(drawn, values)
        with self._on_device():
            self._replay()
        return self._found

    @torch.no_grad()
    def _fill(self, drawn: Sequence[Drawn], values: Sequence[float]) -> None:
        given = torch.tensor(values, dtype=torch.float64, device="cpu")
        if self._device.type == "cuda":
            given = given.pin_memory()  # or the copy would begin when all that was asked for before is done
        self._values.copy_(given, non_blocking=True)
        for mine, one in zip(self._drawn, drawn, strict=True):
            for there, new in (
                (mine.theta, one.theta),
                (mine.noise, one.noise),
                (mine.weights, one.weights),
            ):
                if there is not None and new is not None:
                    there.copy_(new)

    def _on_device(self) -> contextlib.AbstractContextManager[object]:
        return torch.cuda.device(self._device) if self._device.type == "cuda" else contextlib.nullcontext()


def shapes(drawn: Sequence[Drawn]) -> tuple[object, ...]:
    """Return what has to be the same for two steps' views to be computed by one graph."""
    return tuple((one.members, one.coarser, _shape(one.theta), _shape(one.noise), _shape(one.weights)) for one in drawn)


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return copies of tensors, without a graph."""
    return [one.detach().clone() for one in tensors]


@torch.no_grad()
def put_back(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Write values into tensors, which stay where they are."""
    for one, value in zip(tensors, values, strict=True):
        one.copy_(value)


@torch.no_grad()
def apart(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Return the largest difference of any two tensors of the same place, as a share of the largest number in them."""
    pairs = zip(some, others, strict=True)
    found = [float((a - b).abs().max() / b.abs().max().clamp(min=1e-12)) for a, b in pairs]
    return math.inf if any(math.isnan(one) for one in found) else max(found)


def _shape(values: Tensor | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values.shape)


def _copy(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.clone()

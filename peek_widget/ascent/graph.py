"""An evaluation as a CUDA graph: its hundreds of kernels are started by one call.

A step on a GPU is often bound by how quickly Python asks for kernels, not by the kernels. Once views, network and
gradient have been computed a few times from pictures of one shape, they are recorded as a graph, which is then replayed
with other pictures and other random views as its inputs; the recipe's other numbers act outside of it, so that a
moved slider needs no other graph.

It has never run on a GPU: none was at hand. So it is off unless ``PEEK_CUDA_GRAPH=1`` is set in the environment, and
then unless it was recorded and its first replay gave what the step gave without it; else everything goes on as before,
and :attr:`Replayed.said` says why.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from peek_widget.ascent.view_draws import Drawn

__all__ = ["Computed", "Replayed", "record_cuda", "wanted"]

log: logging.Logger = logging.getLogger("peek_widget")

WARM = 8
"""Evaluations of one shape before a graph is recorded: a short run would not make up for the recording."""

MOST = 4
"""Graphs of a run at most, one for each octave, say."""

_NOT_YET = "Not recorded yet."

_TOLERANCE = 1e-3  # of the largest number: kernels may add in another order


@dataclass(frozen=True)
class Computed:
    """What views, network and gradient give.

    Attributes:
        gradient: gradient of the objectives by the pictures, ``[N, C, H, W]``.
        values: value of each objective, ``[N]``.
        terms: for each objective, the value of each of its terms by its name, ``[]``.
    """

    gradient: Tensor
    values: Tensor
    terms: tuple[Mapping[str, Tensor], ...]


Compute = Callable[[Tensor, Sequence[Drawn]], Computed]
"""Computes from pictures ``[N, C, H, W]`` and from what was drawn for the views of each batch of them."""

Work = Callable[[], tuple[Tensor, Tensor]]
"""Returns the gradient, and all values in a row."""

Record = Callable[[Work], tuple[tuple[Tensor, Tensor], Callable[[], None]]]
"""Records work; returns its results, and a function that does it again, into the same memory from the same memory."""


def wanted(device: torch.device) -> bool:
    """Return whether evaluations on a device are to be recorded."""
    return device.type == "cuda" and os.environ.get("PEEK_CUDA_GRAPH") == "1"


def record_cuda(work: Work) -> tuple[tuple[Tensor, Tensor], Callable[[], None]]:
    """Record work on the current GPU as a CUDA graph, after a warm-up on a stream of its own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # A kernel has other threads, which may allocate memory meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        found = work()
    return found, graph.replay


class Replayed:
    """Computes evaluations, and replays them once they were recorded.

    Args:
        compute: what is computed; the same for the same inputs, without a look at values.
        record: how it is recorded.

    Attributes:
        said: a sentence on whether it is recorded, and why not.
    """

    def __init__(self, compute: Compute, record: Record = record_cuda) -> None:
        self._compute, self._record = compute, record
        self.said: str = _NOT_YET
        self._key: Any = None
        self._seen = self._recorded = 0
        self._given_up = False
        self._graph: _Graph | None = None

    def __call__(self, pictures: Tensor, drawn: Sequence[Drawn]) -> Computed:
        """Compute an evaluation, by the graph if there is one for these shapes."""
        if self._given_up:
            return self._compute(pictures, drawn)
        key = (pictures.shape, *((one.members, one.coarser, _shape(one.theta), _shape(one.noise)) for one in drawn))
        if key != self._key:
            self._key, self._seen, self._graph, self.said = key, 0, None, _NOT_YET
        if self._graph is not None:
            return self._graph.replay(pictures, drawn)
        found = self._compute(pictures, drawn)
        self._seen += 1
        if self._seen > WARM:
            self._try(pictures, drawn, found)
        return found

    def _try(self, pictures: Tensor, drawn: Sequence[Drawn], expected: Computed) -> None:
        """Record a graph, and keep it if it gives what was computed without it."""
        if self._recorded == MOST:
            self._give_up(f"the shapes have changed {MOST} times")
            return
        self._recorded += 1
        try:
            graph = _Graph(self._compute, self._record, pictures, drawn)
            apart = _apart(graph.replay(pictures, drawn), expected)
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")
            return
        if not apart <= _TOLERANCE:
            self._give_up(f"its first replay gave other numbers, {apart:.1g} of the largest apart")
            return
        self._graph, self.said = graph, "Steps are replayed as a CUDA graph."
        log.info("%s", self.said)

    def _give_up(self, why: str) -> None:
        self._given_up, self._graph = True, None
        self.said = f"Steps are not replayed as a CUDA graph: {why}."
        log.warning("%s They are made as always.", self.said)


class _Graph:
    """One recorded graph, and the memory that it reads and writes."""

    def __init__(self, compute: Compute, record: Record, pictures: Tensor, drawn: Sequence[Drawn]) -> None:
        self._pictures = pictures.detach().clone()
        self._drawn = [replace(one, theta=_copy(one.theta), noise=_copy(one.noise)) for one in drawn]
        self._names: list[list[str]] = []

        def work() -> tuple[Tensor, Tensor]:
            found = compute(self._pictures, self._drawn)
            self._names = [list(terms) for terms in found.terms]
            return found.gradient, _row(found)

        (self._gradient, self._row), self._replay = record(work)

    def replay(self, pictures: Tensor, drawn: Sequence[Drawn]) -> Computed:
        """Compute from other pictures and views of the same shapes."""
        with torch.no_grad():
            self._pictures.copy_(pictures)
            for mine, given in zip(self._drawn, drawn, strict=True):
                for there, new in ((mine.theta, given.theta), (mine.noise, given.noise)):
                    if there is not None and new is not None:
                        there.copy_(new)
        self._replay()
        # Copies: the next replay writes into the same memory.
        row, count = self._row.clone(), len(self._names)
        values = iter(row[count:].unbind())
        terms = tuple({name: next(values) for name in names} for names in self._names)
        return Computed(self._gradient.clone(), row[:count], terms)


def _row(found: Computed) -> Tensor:
    """Return the values of all objectives, and then of all terms, ``[N + T]``."""
    terms = [value.float() for one in found.terms for value in one.values()]
    return torch.cat([found.values, torch.stack(terms)]) if terms else found.values


def _shape(values: Tensor | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values.shape)


def _copy(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.clone()


def _apart(one: Computed, other: Computed) -> float:
    """Return the largest difference, as a share of the largest number, of gradients and of values."""
    pairs = ((one.gradient, other.gradient), (_row(one), _row(other)))
    return float(torch.stack([(a - b).abs().max() / b.abs().max().clamp(min=1e-12) for a, b in pairs]).max())

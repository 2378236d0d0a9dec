"""One step of a run: evaluate, penalize, update, post-process, render; or all of it replayed as a CUDA graph.

A step is recorded once a few of its kind have been made, and from then on replayed, see
:mod:`~peek_widget.ascent.graph`. A graph is kept only if its first replay gave what the step gave without it: gradient,
activations, pictures and what the optimizer holds; else the steps are made as always, and :attr:`StepMaker.said` says
why.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peek_widget.ascent import graph
from peek_widget.ascent.evaluate import Computed, Evaluation, Evaluator
from peek_widget.ascent.graph import Graph, Record
from peek_widget.ascent.knobs import NUMBERS
from peek_widget.ascent.param import Fourier, Maco
from peek_widget.ascent.update import Updater
from peek_widget.ascent.view_draws import Drawn

__all__ = ["MOST", "WARM", "Made", "StepMaker"]

log: logging.Logger = logging.getLogger("peek_widget")

WARM = 8
"""Steps of one kind before a graph is recorded: a short run would not make up for the recording."""

MOST = 4
"""Graphs of a run at most, one for each octave, say."""

_TOLERANCE = 1e-3  # relative to the largest number: kernels may add in another order

_NOT_YET = "Not recorded yet."
_REPLAYED = "Steps are replayed as a CUDA graph."

# Numbers that a graph reads from memory: the sliders, which do nothing at 0, ...
_ALWAYS = ("total_variation", "decay", "blur")
# ... and these, where they do something.
_IF_ABOVE_0 = ("l1", "contrast_floor", "contrast_cap")
# By these the host decides what is computed.
_OF_PIXELS = ("blur", "bilateral", "clip_norm_percentile", "clip_contribution_percentile")


@dataclass(frozen=True)
class Made:
    """What a step has made.

    Attributes:
        evaluation: what was found before the pictures were changed.
        pictures: the pictures after it, ``[N, C, H, W]``; with their graph unless the step was replayed.
    """

    evaluation: Evaluation
    pictures: Tensor


class StepMaker:
    """Makes the steps of a run.

    Args:
        evaluator: evaluates the objectives.
        updater: updates the pictures.
        device: where they are.
        blur_every: number of steps from blur to blur.

    Attributes:
        said: whether steps are replayed as a CUDA graph, and why not, in a sentence; "" where that was not asked for.
    """

    def __init__(self, evaluator: Evaluator, updater: Updater, device: torch.device, blur_every: int) -> None:
        self._evaluator, self._updater, self._device = evaluator, updater, device
        self._blur_every = blur_every
        self.said: str = ""
        self._record: Record | None = None
        self._key: Any = None
        self._seen = self._recorded = 0
        self._graph: Graph | None = None
        self._names: list[list[str]] = []  # of the terms of each objective, in the graph's results
        if graph.wanted(device):
            self.replay()

    def replay(self, record: Record = graph.record_cuda) -> None:
        """Record steps once a few of their kind have been made, and replay them; not where they may differ.

        Args:
            record: how they are recorded.
        """
        why = self._evaluator.unrepeatable() or self._updater.unrepeatable()
        self.said = f"Steps are not replayed as a CUDA graph: {why}." if why else _NOT_YET
        self._record = None if why else record
        self._evaluator.looks_once = True

    def make(self, step: int, drawn: Sequence[Drawn], numbers: Mapping[str, float], pictures: Tensor | None) -> Made:
        """Make a step.

        Args:
            step: number of the step, from 0.
            drawn: what is random in its views.
            numbers: the recipe's NUMBERS as it uses them.
            pictures: the present pictures, ``[N, C, H, W]``, if they are rendered already.

        Raises:
            AscentError: if at the first step nothing changes an objective, or a number is not finite.
            ModelError: if the model's forward raises; the cause is chained.
        """
        if self._record is None or not self._evaluator.settled(step):
            return self._make(step, drawn, numbers, pictures)
        values = self._values(step, numbers)
        if isinstance(values, str):
            self._key, self._graph, self.said = None, None, f"Steps are not replayed as a CUDA graph: {values}."
            return self._make(step, drawn, numbers, pictures)
        key = (
            self._evaluator.per_sample(step),
            tuple(values),
            tuple((one.data_ptr(), one.shape) for one in self._updater.state()),
            graph.shapes(drawn),
        )
        if key != self._key:
            self._key, self._seen, self._graph, self.said = key, 0, None, _NOT_YET
        if self._graph is not None:
            rates = self._updater.rates(numbers["step_size"])
            return self._found(step, drawn, self._graph.replay(drawn, [*values.values(), *rates]))
        self._seen += 1
        if self._seen <= WARM:
            return self._make(step, drawn, numbers, pictures)
        return self._try(self._record, step, drawn, numbers, values, pictures)

    def _make(self, step: int, drawn: Sequence[Drawn], numbers: Mapping[str, float], pictures: Tensor | None) -> Made:
        """Make a step by calling what it consists of."""
        evaluator, updater = self._evaluator, self._updater
        # Those of a replayed step have no graph.
        if pictures is None or pictures.grad_fn is None:
            pictures = updater.image.render(one_by_one=evaluator.per_sample(step))
        found = evaluator.evaluate(pictures, step, drawn)
        gradient = updater.penalized(found, numbers)
        updater.update(pictures, gradient, found.windows, numbers["step_size"])
        updater.post_process(found.gradient, found.windows, numbers, step)
        return Made(found, updater.image.render(one_by_one=evaluator.per_sample(step + 1)))

    def _values(self, step: int, numbers: Mapping[str, float]) -> dict[str, float] | str:
        """Return the numbers that a graph reads from memory, by name; or why there can be none."""
        image = self._updater.image
        by_host = () if isinstance(image, Fourier) else ("blur",) if isinstance(image, Maco) else _OF_PIXELS
        for name in by_host:
            if numbers[name] > 0.0:
                return f"with {NUMBERS[name].label} above 0 these pictures are changed in another way by each value"
        given = [name for name in _ALWAYS if name not in by_host]
        given += [name for name in _IF_ABOVE_0 if numbers[name] > 0.0]
        blurs = step % self._blur_every == 0
        return {name: numbers[name] if blurs or name != "blur" else 0.0 for name in given}

    def _try(
        self,
        record: Record,
        step: int,
        drawn: Sequence[Drawn],
        numbers: Mapping[str, float],
        values: Mapping[str, float],
        pictures: Tensor | None,
    ) -> Made:
        """Make a step, record it, and keep the graph if it gives what was computed without it."""
        updater, names = self._updater, tuple(values)
        state = updater.state()
        before = graph.copies(state)
        made = self._make(step, drawn, numbers, pictures)
        made = Made(made.evaluation, made.pictures.detach())  # what they were rendered from is written into below
        if self._recorded == MOST:
            self._give_up(f"what is computed in a step has changed {MOST} times")
            return made
        self._recorded += 1
        after = graph.copies(state)
        graph.put_back(state, before)
        terms: list[list[str]] = []
        recorded = _Work(self._evaluator, updater, names, self._key[0], terms)
        try:
            all_values = [*values.values(), *updater.rates(numbers["step_size"])]
            tried = Graph(recorded, record, state, drawn, all_values, self._device)
            found = tried.replay(drawn, all_values)
            evaluation = made.evaluation
            row = _row(Computed(evaluation.gradient, evaluation.activations, evaluation.terms))
            expected = (evaluation.gradient, evaluation.pictures, row, made.pictures)
            off = graph.apart([*found, *state], [*expected, *after])
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")
            return made
        finally:
            graph.put_back(state, after)
        if not off <= _TOLERANCE:
            self._give_up(f"its first replay gave other numbers, {off:.1g} of the largest apart")
            return made
        self._graph, self._names, self.said = tried, terms, _REPLAYED
        log.info("%s", self.said)
        return made

    def _found(self, step: int, drawn: Sequence[Drawn], found: Sequence[Tensor]) -> Made:
        """Return what a replay has found."""
        gradient, before, row, pictures = found
        # Copies of what is kept: the next replay writes into the same memory.
        row, count = row.clone(), len(self._names)
        values = iter(row[count:].unbind())
        terms = tuple({name: next(values) for name in names} for names in self._names)
        self._evaluator.watch.gradient(gradient, row[:count], step)
        windows = self._evaluator.windows(drawn)
        return Made(Evaluation(before, gradient, row[:count], terms, windows), pictures.clone())

    def _give_up(self, why: str) -> None:
        self._record = self._graph = None
        self.said = f"Steps are not replayed as a CUDA graph: {why}."
        log.warning("%s They are made as always.", self.said)


@dataclass(frozen=True)
class _Work:
    """What a graph computes: a step, from the memory of the parameter and of the optimizer into the same.

    Attributes:
        evaluator, updater: the parts of a step.
        names: the numbers that are given, in order; after them come the optimizer's rates. All others are 0.
        one_by_one: whether the pictures are rendered one by one.
        terms: filled with the names of each objective's terms.
    """

    evaluator: Evaluator
    updater: Updater
    names: tuple[str, ...]
    one_by_one: bool
    terms: list[list[str]]

    def __call__(self, drawn: Sequence[Drawn], values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        numbers: dict[str, float | Tensor] = dict.fromkeys(NUMBERS, 0.0)
        numbers |= zip(self.names, values, strict=False)
        # An image of its own, on the same memory: what takes the gradient belongs to the graph.
        image = copy.copy(self.updater.image)
        image.parameter = image.parameter.detach().requires_grad_()
        updater = self.updater.of(image)
        pictures = image.render(self.one_by_one)
        computed = self.evaluator.compute(pictures, drawn)
        windows = self.evaluator.windows(drawn)
        found = Evaluation(pictures.detach(), computed.gradient, computed.values, computed.terms, windows)
        updater.update(pictures, updater.penalized(found, numbers), windows, values[len(self.names) :])
        updater.post_process(computed.gradient, windows, numbers, 0)
        self.terms[:] = [list(one) for one in computed.terms]
        with torch.no_grad():
            return computed.gradient, found.pictures, _row(computed), image.render(self.one_by_one)


def _row(found: Computed) -> Tensor:
    """Return the values of all objectives, and then of all terms, ``[N + T]``."""
    terms = [value.float() for one in found.terms for value in one.values()]
    return torch.cat([found.values, torch.stack(terms)]) if terms else found.values

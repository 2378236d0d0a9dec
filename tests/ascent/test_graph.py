"""Replaying an evaluation, with a recorder for the CPU in place of CUDA's: the same work into the same memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from peek_widget import Channel, Logit, Neuron, Objective, Recipe
from peek_widget.ascent import Ascent, graph
from peek_widget.ascent.graph import Work
from tests.networks import tiny

TWO = [Neuron("forms", 1), 2 * Channel("forms", 3) - Logit(1)]
SHORT = Recipe.preset("peek").replace(steps=graph.WARM + 8)


class Recorder:
    """Does the work again at each replay, and counts."""

    def __init__(self, wrong: bool = False) -> None:
        self.recorded = self.replayed = 0
        self.wrong = wrong

    def __call__(self, work: Work) -> tuple[tuple[Tensor, Tensor], Callable[[], None]]:
        self.recorded += 1
        found = work()

        def replay() -> None:
            self.replayed += 1
            for there, new in zip(found, work(), strict=True):
                there.copy_(new * 2.0 if self.wrong else new)

        return found, replay


def run(recorder: Any = None, objective: Any = TWO, recipe: Any = SHORT, **options: Any) -> tuple[list[Any], Ascent]:
    ascent = Ascent(tiny(), objective, recipe, **{"seed": 1, "size": 32, **options})
    if recorder is not None:
        ascent._evaluator.replay(recorder)
    found = []
    for number in range(ascent.steps):
        if number == graph.WARM + 6:
            ascent.override(jitter=0.3, step_size=0.02)
        step = ascent.step()
        found.append((step.images, step.activations, step.terms))
    return found, ascent


def assert_equal(one: list[Any], other: list[Any]) -> None:
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        assert torch.equal(a[0], b[0]), number
        assert torch.equal(a[1], b[1]), number
        assert a[2] == b[2], number


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_replayed_run_is_the_same_also_after_a_knob_was_moved(noise: float) -> None:
    recorder, recipe = Recorder(), SHORT.replace(noise=noise)
    replayed, ascent = run(recorder, recipe=recipe)
    assert_equal(replayed, run(recipe=recipe)[0])
    assert recorder.recorded == 1
    # After three steps one by one, the warm ones and the recorded one; and the check of the recording itself.
    assert recorder.replayed == SHORT.steps - 3 - graph.WARM
    assert ascent.cuda_graph == "Steps are replayed as a CUDA graph."


def test_pictures_of_an_earlier_step_stay_as_they_were() -> None:
    ascent = Ascent(tiny(), TWO, SHORT, seed=1, size=32)
    ascent._evaluator.replay(Recorder())
    steps = list(ascent)
    read_late = [(one.images, one.activations, one.terms) for one in steps]
    ascent = Ascent(tiny(), TWO, SHORT, seed=1, size=32)
    assert_equal(read_late, [(one.images, one.activations, one.terms) for one in ascent])


def test_another_size_is_recorded_anew() -> None:
    octaves = Recipe.preset("lucid-2017").replace(octaves=((graph.WARM + 5, 1.0), (graph.WARM + 3, 1.25)))
    recorder = Recorder()
    replayed, _ = run(recorder, objective=TWO[0], recipe=octaves)
    assert_equal(replayed, run(objective=TWO[0], recipe=octaves)[0])
    assert recorder.recorded == 2
    ascent = Ascent(tiny(), TWO[0], octaves, seed=1, size=32)
    ascent._evaluator.replay(Recorder())
    said = [ascent.cuda_graph for _ in ascent]
    replays = "Steps are replayed as a CUDA graph."
    assert [one for one, _ in itertools.groupby(said)] == ["Not recorded yet.", replays, "Not recorded yet.", replays]


def test_what_replays_other_numbers_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(wrong=True)
    found, ascent = run(recorder)
    assert_equal(found, run()[0])
    assert (recorder.recorded, recorder.replayed) == (1, 1)
    assert "its first replay gave other numbers" in ascent.cuda_graph
    assert [one.message for one in caplog.records] == [f"{ascent.cuda_graph} They are made as always."]


def test_what_can_not_be_recorded_is_made_as_always() -> None:
    def fail(work: Work) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    found, ascent = run(fail)
    assert_equal(found, run()[0])
    assert "RuntimeError: operation not permitted" in ascent.cuda_graph


@pytest.mark.parametrize(
    ("objective", "options", "why"),
    [
        (Objective(lambda a: a["forms"][:, 1].mean(dim=(1, 2)), ["forms"]), {}, "an objective is a function"),
        (Neuron("forms", 1), {"preprocess": lambda images: images - 0.5}, "the preprocessing is a function"),
        (Neuron("forms", 1), {"recipe": Recipe.preset("oygard-2016").replace(steps=14)}, "cut out"),
    ],
)
def test_what_may_differ_from_step_to_step_is_not_recorded(objective: Any, options: Any, why: str) -> None:
    recorder = Recorder()
    _, ascent = run(recorder, objective=objective, **options)
    assert recorder.replayed == 0
    assert why in ascent.cuda_graph


def test_it_is_off_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEEK_CUDA_GRAPH", raising=False)
    assert not graph.wanted(torch.device("cuda"))
    monkeypatch.setenv("PEEK_CUDA_GRAPH", "1")
    assert graph.wanted(torch.device("cuda"))
    assert not graph.wanted(torch.device("cpu"))
    assert run(recipe=SHORT.replace(steps=3))[1].cuda_graph == ""

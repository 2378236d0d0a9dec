"""Replaying a step, with a recorder for the CPU in place of CUDA's: the same work into the same memory."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from peek_widget import Channel, Logit, Neuron, Objective, Recipe
from peek_widget.ascent import Ascent, graph
from peek_widget.ascent import step as step_module
from peek_widget.ascent.graph import Work
from peek_widget.ascent.step import WARM
from tests.networks import tiny

TWO = [Neuron("forms", 1), 2 * Channel("forms", 3) - Logit(1)]
ALONE = 4  # steps that go one by one, or are rendered so
SHORT = Recipe.preset("peek").replace(steps=WARM + 10)
REPLAYED = "Steps are replayed as a CUDA graph."


class Recorder:
    """Does the work again at each replay, and counts; ``wrong`` doubles the result with that number."""

    def __init__(self, wrong: int | None = None) -> None:
        self.recorded = self.replayed = 0
        self.wrong = wrong

    def __call__(self, work: Work) -> tuple[tuple[Tensor, ...], Callable[[], None]]:
        self.recorded += 1
        found = work()

        def replay() -> None:
            self.replayed += 1
            for number, (there, new) in enumerate(zip(found, work(), strict=True)):
                there.copy_(new * 2.0 if self.wrong == number else new)

        return found, replay


def run(
    recorder: Any = None, objective: Any = TWO, recipe: Any = SHORT, knobs: Any = None, **options: Any
) -> tuple[list[Any], Ascent]:
    """Draw to the end, with knobs moved after some replayed steps."""
    ascent = Ascent(tiny(), objective, recipe, **{"seed": 1, "size": 32, **options})
    # As on a GPU, where a run does not look at each gradient.
    ascent._evaluator.looks_once = True
    if recorder is not None:
        ascent._maker.replay(recorder)
    found = []
    for number in range(ascent.steps):
        if number == WARM + ALONE + 3:
            ascent.override(**({"jitter": 0.3, "step_size": 0.02} if knobs is None else knobs))
        step = ascent.step()
        found.append((step.images, step.activations, step.terms))
    return found, ascent


def assert_equal(one: list[Any], other: list[Any]) -> None:
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        assert torch.equal(a[0], b[0]), number
        assert torch.equal(a[1], b[1]), number
        assert a[2] == b[2], number


def assert_same_state(one: Ascent, other: Ascent) -> None:
    """The optimizer and the generators are where they would be, so that a resumed run goes on alike."""
    a, b = one.state().tensors, other.state().tensors
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


SLIDERS = {"blur": 0.4, "decay": 0.02, "total_variation": 0.3, "step_size": 0.02, "jitter": 0.3}
RECIPES = {
    "peek": (SHORT, SLIDERS),
    "peek-fast": (Recipe.preset("peek-fast").replace(steps=WARM + 10, noise=0.1), SLIDERS),
    "lucid-2017": (Recipe.preset("lucid-2017").replace(steps=WARM + 10), SLIDERS),
    "every fourth blurred, its L1": (SHORT.replace(blur=0.5, blur_every=4, l1=0.1, alpha=True), SLIDERS),
    "maco-2023": (
        Recipe.preset("maco-2023").replace(steps=WARM + 10, n_views=3, total_variation=0.05),
        {"step_size": 0.3, "total_variation": 0.2},
    ),
    "pixels": (
        SHORT.replace(
            param="pixels", optimizer="plain", grad_norm="mean", step_size=3.0, decay=0.01, init_std=8.0,
            contrast_cap=0.0, contrast_floor=0.0, return_best=True,
        ),
        {"step_size": 1.0, "decay": 0.0, "total_variation": 0.3},
    ),
    "a spectrum by plain steps": (SHORT.replace(optimizer="plain", step_size=20.0), {"step_size": 5.0}),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_replayed_run_is_the_same_also_after_knobs_were_moved(name: str) -> None:
    recipe, knobs = RECIPES[name]
    recorder = Recorder()
    replayed, ascent = run(recorder, recipe=recipe, knobs=knobs)
    made, other = run(recipe=recipe, knobs=knobs)
    assert_equal(replayed, made)
    assert_same_state(ascent, other)
    assert torch.equal(ascent.best, other.best)
    assert (ascent.alpha is None) == (other.alpha is None)
    assert ascent.alpha is None or torch.equal(ascent.alpha, other.alpha)  # type: ignore[arg-type]
    assert ascent.cuda_graph == REPLAYED
    assert recorder.recorded == 1, "a knob needs no other graph"
    # After the first ones, the warm ones and the recorded one; and the check of the recording itself.
    assert recorder.replayed == recipe.steps - ALONE - WARM


def test_a_replayed_step_has_noise_of_its_own_on_the_weights() -> None:
    recorder, recipe = Recorder(), SHORT.replace(weight_noise=0.2)
    replayed, ascent = run(recorder, Logit(1), recipe)
    made, other = run(None, Logit(1), recipe)
    assert_equal(replayed, made)
    assert_same_state(ascent, other)
    assert ascent.cuda_graph == REPLAYED
    assert recorder.replayed > 3


def test_it_goes_on_from_replayed_steps_with_another_objective_and_from_a_state() -> None:
    ascents = [Ascent(tiny(), TWO[0], SHORT, seed=1, size=32) for _ in range(2)]
    ascents[0]._maker.replay(Recorder())
    for ascent in ascents:
        ascent._evaluator.looks_once = True
        for _ in range(WARM + ALONE + 2):
            ascent.step()
    assert ascents[0].cuda_graph == REPLAYED
    resumed = [Ascent.resume(tiny(), one.state()) for one in ascents]
    for pair in (ascents, resumed):
        for ascent in pair:
            ascent.change(objective=Logit(2))
            ascent.step()
        assert torch.equal(pair[0].images, pair[1].images)
        assert_same_state(*pair)


def test_pictures_of_an_earlier_step_stay_as_they_were() -> None:
    ascent = Ascent(tiny(), TWO, SHORT, seed=1, size=32)
    ascent._maker.replay(Recorder())
    steps = list(ascent)
    read_late = [(one.images, one.activations, one.terms) for one in steps]
    ascent = Ascent(tiny(), TWO, SHORT, seed=1, size=32)
    ascent._evaluator.looks_once = True
    assert_equal(read_late, [(one.images, one.activations, one.terms) for one in ascent])


def test_another_size_is_recorded_anew() -> None:
    octaves = Recipe.preset("lucid-2017").replace(octaves=((WARM + ALONE + 3, 1.0), (WARM + 3, 1.25)))
    recorder = Recorder()
    replayed, ascent = run(recorder, objective=TWO[0], recipe=octaves, knobs={})
    assert_equal(replayed, run(objective=TWO[0], recipe=octaves, knobs={})[0])
    assert recorder.recorded == 2
    ascent = Ascent(tiny(), TWO[0], octaves, seed=1, size=32)
    ascent._maker.replay(Recorder())
    said = [ascent.cuda_graph for _ in ascent]
    assert [one for one, _ in itertools.groupby(said)] == ["Not recorded yet.", REPLAYED, "Not recorded yet.", REPLAYED]


def test_a_regularizer_that_begins_to_act_is_recorded_anew_and_few_times_at_most() -> None:
    recorder = Recorder()
    ascent = Ascent(tiny(), TWO[0], SHORT.replace(steps=200), seed=1, size=32)
    ascent._maker.replay(recorder)
    for number in range(step_module.MOST + 1):
        ascent.override(l1=0.1 if number % 2 else 0.0)
        for _ in range(WARM + ALONE + 2):
            ascent.step()
    assert recorder.recorded == step_module.MOST
    assert "has changed 4 times" in ascent.cuda_graph


@pytest.mark.parametrize("wrong", range(4), ids=["gradient", "picture before", "activations", "picture"])
def test_what_replays_other_numbers_is_given_up(wrong: int, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(wrong)
    found, ascent = run(recorder)
    made, other = run()
    assert_equal(found, made)
    assert_same_state(ascent, other)
    assert (recorder.recorded, recorder.replayed) == (1, 1)
    assert "its first replay gave other numbers" in ascent.cuda_graph
    assert [one.message for one in caplog.records] == [f"{ascent.cuda_graph} They are made as always."]


@pytest.mark.parametrize("name", ["parameter", "exp_avg", "exp_avg_sq"])
def test_a_replay_that_leaves_other_moments_or_another_spectrum_is_given_up(name: str) -> None:
    class Forgetful(Recorder):
        def __call__(self, work: Work) -> tuple[tuple[Tensor, ...], Callable[[], None]]:
            found, replay = super().__call__(work)

            def wrong() -> None:
                replay()
                with torch.no_grad():
                    held = {"parameter": ascent._image.parameter, **ascent._updater._optimizer.state}  # type: ignore[union-attr]
                    held[name].mul_(1.1)

            return found, wrong

    ascent = Ascent(tiny(), TWO, SHORT, seed=1, size=32)
    ascent._maker.replay(Forgetful())
    other = Ascent(tiny(), TWO, SHORT, seed=1, size=32)
    other._evaluator.looks_once = True
    for one in (ascent, other):
        one.run(progress=False)
    assert "its first replay gave other numbers" in ascent.cuda_graph
    assert_same_state(ascent, other)


@pytest.mark.parametrize("when", ["at once", "midway"])
def test_what_can_not_be_recorded_is_made_as_always(when: str) -> None:
    def fail(work: Work) -> Any:
        if when == "midway":
            work()  # as the warm-up does
        raise RuntimeError("operation not permitted when stream is capturing")

    found, ascent = run(fail)
    made, other = run()
    assert_equal(found, made)
    assert_same_state(ascent, other)
    assert "RuntimeError: operation not permitted" in ascent.cuda_graph


@pytest.mark.parametrize(
    ("objective", "options", "why"),
    [
        (Objective(lambda a: a["forms"][:, 1].mean(dim=(1, 2)), ["forms"]), {}, "an objective is a function"),
        (Neuron("forms", 1), {"preprocess": lambda images: images - 0.5}, "the preprocessing is a function"),
        (Neuron("forms", 1), {"recipe": Recipe.preset("oygard-2016").replace(steps=14)}, "cut out"),
        (Neuron("forms", 1), {"recipe": Recipe.preset("yosinski-2015-1").replace(sampling="crop", steps=14)}, "mean"),
        (
            Neuron("forms", 1),
            {"recipe": SHORT.replace(param="pixels", blur=1.0, contrast_cap=0.0, contrast_floor=0.0, init_std=8.0)},
            "with blur above 0",
        ),
    ],
)
def test_what_may_differ_from_step_to_step_is_not_recorded(objective: Any, options: Any, why: str) -> None:
    recorder = Recorder()
    _, ascent = run(recorder, objective=objective, knobs={}, **options)
    assert recorder.recorded == 0
    assert why in ascent.cuda_graph


def test_steps_whose_relus_are_opened_are_made_as_always() -> None:
    recorder = Recorder()
    ascent = Ascent(tiny(), TWO, SHORT.replace(steps=40), seed=1, size=32)
    ascent._maker.replay(recorder)
    ascent._evaluator._first_shut = [0]
    for _ in range(16):
        ascent.step()
    assert (recorder.recorded, ascent.cuda_graph) == (0, "Not recorded yet.")
    for _ in range(WARM + 2):
        ascent.step()
    assert recorder.recorded == 1


def test_a_run_gives_its_memory_back_by_itself() -> None:
    ascent = Ascent(tiny(), TWO[0], SHORT, seed=1, size=32)
    ascent._maker.replay(Recorder())
    ascent.run(progress=False)
    assert ascent.cuda_graph == REPLAYED
    held = [weakref.ref(ascent._image.parameter), weakref.ref(ascent._maker._graph)]
    gc.collect()
    gc.disable()
    try:
        del ascent
        assert [one() for one in held] == [None, None]
    finally:
        gc.enable()


def test_it_is_off_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEEK_CUDA_GRAPH", raising=False)
    assert not graph.wanted(torch.device("cuda"))
    monkeypatch.setenv("PEEK_CUDA_GRAPH", "1")
    assert graph.wanted(torch.device("cuda"))
    assert not graph.wanted(torch.device("cpu"))
    assert run(recipe=SHORT.replace(steps=3))[1].cuda_graph == ""

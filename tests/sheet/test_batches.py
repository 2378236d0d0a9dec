"""A plan follows from the call alone, and a picture does not depend on the batch that it is drawn in."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peek_widget._size import Size
from peek_widget.ascent import Ascent, Logit, Recipe, render
from peek_widget.ascent.still import resized
from peek_widget.errors import PeekError, RecipeError, UnitError
from peek_widget.network import read
from peek_widget.network.memory import memory_error
from peek_widget.sheet import batches
from peek_widget.sheet.batches import Batch, draw, finish, plan
from peek_widget.sheet.seeds import unit_seed
from tests.networks import Planted, tiny

QUICK = Recipe.preset("peek").replace(steps=6, size=32, n_views=1)
LARGE = QUICK.replace(steps=5, size=112)


@pytest.fixture(scope="module")
def network():
    return read(tiny(), input_size=32)


@pytest.fixture(scope="module")
def large():
    """Its views are of 128 px: on a CPU they go through the network one at a time."""
    return read(tiny(), input_size=112)


def pictures(network, batch: Batch) -> dict[int, bytes]:
    finished, failed = finish(draw(network, batch, fingerprint="0" * 16))
    assert not failed
    return {one.unit: one.png for one in finished}


@pytest.mark.slow
def test_a_units_seed_is_its_own_and_the_same_in_every_process():
    code = "from peek_widget.sheet.seeds import unit_seed; print(unit_seed(3, 'features.12', 17))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(told) == unit_seed(3, "features.12", 17) == 1343552619
    seeds = {unit_seed(s, layer, unit) for s in range(4) for layer in ("a", "a1", "") for unit in range(200)}
    assert len(seeds) == 4 * 3 * 200
    assert all(0 <= seed < 2**31 for seed in seeds)


@settings(max_examples=60, deadline=None)
@given(units=st.lists(st.integers(0, 7), max_size=20), length=st.integers(1, 16), seed=st.integers(0, 2**40))
def test_a_plan_has_every_unit_once_in_order_and_no_batch_too_large(network, units, length, seed):
    made = plan(network, "forms", QUICK, units, seed=seed, batch=length)
    assert [u for batch in made for u in batch.units] == list(dict.fromkeys(units))
    assert all(0 < len(batch.units) <= length for batch in made)
    assert [batch.number for batch in made] == list(range(len(made)))
    assert made == plan(network, "forms", QUICK, units, seed=seed, batch=length)


def test_on_a_cpu_a_batch_has_16_units_at_most(network):
    wide = read(torch.nn.Conv2d(3, 100, 3), input_size=32)
    assert max(len(batch.units) for batch in plan(wide, "", QUICK)) == 16
    with pytest.raises(PeekError, match="from 1 to 16"):
        plan(network, "forms", QUICK, batch=17)


def test_on_a_cpu_a_batch_of_a_recipe_with_many_views_is_small():
    lengths = [batches._length("cpu", Size(64, 64), views, True) for views in (1, 4, 32, 100)]
    assert lengths == [16, 16, 2, 1]


def test_on_a_gpu_the_length_of_a_batch_follows_from_the_pixels_of_its_views():
    lengths = [
        batches._length("cuda", Size(side, side), views, True)
        for side, views in ((32, 1), (224, 1), (224, 32), (512, 64))
    ]
    assert lengths == [128, 64, 2, 1]


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"units": [8]}, UnitError, "numbered 0 to 7"),
        ({"units": [-1]}, UnitError, "numbered 0 to 7"),
        ({"units": "all"}, UnitError, "a list or a range"),
        ({"units": 3}, UnitError, "a list or a range"),
        ({"seed": -1}, PeekError, "whole number"),
        ({"seed": 1.5}, PeekError, "whole number"),
        ({"objective": "layer"}, PeekError, "'neuron'"),
        ({"size": 4}, RecipeError, "from 8 to"),
        ({"batch": 0}, PeekError, "from 1 to 16"),
    ],
)
def test_an_impossible_plan_is_refused_in_a_sentence(network, wrong, error, words):
    with pytest.raises(error, match=words):
        plan(network, "forms", QUICK, **wrong)


def test_large_views_on_a_cpu_give_the_same_bytes_in_any_batch(large):
    (four,) = plan(large, "", LARGE, range(4), batch=4)
    assert not four.together
    whole = pictures(large, four)
    for company in ((0,), (2, 1), (3, 0, 2)):
        part = pictures(large, dataclasses.replace(four, units=company, wanted=company))
        assert part == {unit: whole[unit] for unit in company}
    # and the same as the engine's own
    alone = render(large, Logit(2), LARGE, seed=unit_seed(0, "", 2))
    one = next(one for one in finish(draw(large, four))[0] if one.unit == 2)
    assert one.drawing.seed == unit_seed(0, "", 2)
    assert one.image.tobytes() == alone.pil().tobytes()


def test_missing_units_of_small_views_come_out_as_in_the_whole_batch(network):
    (batch,) = plan(network, "forms", QUICK)
    assert batch.together
    whole = pictures(network, batch)
    rest = batch.missing([0, 1, 3])
    assert rest.units == batch.units
    assert rest.wanted == (2, 4, 5, 6, 7)
    assert pictures(network, rest) == {unit: whole[unit] for unit in rest.wanted}
    assert batch.missing(range(8)) is None


class Greedy(torch.nn.Module):
    """Runs out of memory on more than a few images."""

    def __init__(self, most: int, error: type[Exception] | Exception) -> None:
        super().__init__()
        self.inner, self.most, self.error, self.sizes = tiny(), most, error, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        if len(x) > self.most and torch.is_grad_enabled():
            raise self.error
        return self.inner(x)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_batch_is_halved_when_memory_runs_out(error, caplog):
    network = read(Greedy(3, error), input_size=32)
    (batch,) = plan(network, "inner.forms", QUICK)
    finished, failed = finish(draw(network, batch))
    assert not failed
    assert sorted(one.unit for one in finished) == list(range(8))
    assert {one.drawn_with for one in finished} == {(0, 1), (2, 3), (4, 5), (6, 7)}  # what it was, not what was planned
    assert "halves" in caplog.text


def test_an_allocation_that_fails_is_recognized(network):
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert memory_error(caught.value) is not None


def test_no_memory_for_one_picture_is_an_error_with_advice():
    class Starved(Greedy):
        least = 100

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.most = type(self).least
            return super().forward(x)

    network = read(Starved(100, MemoryError()), input_size=32)
    Starved.least = 0
    with pytest.raises(PeekError, match=r"not enough memory to draw a single unit.*smaller size"):
        finish(draw(network, Batch(0, "inner.forms", (0, 1), QUICK)))


def test_an_error_of_the_model_is_not_taken_for_one_of_memory():
    network = read(Greedy(1, TypeError("a bug of the model's")), input_size=32)
    with pytest.raises(PeekError, match="a bug of the model's"):
        finish(draw(network, Batch(0, "inner.forms", tuple(range(8)), QUICK)))


def test_a_dead_unit_does_not_keep_the_others_from_being_drawn():
    model = Planted()
    with torch.no_grad():
        model.conv.weight[1] = 0.0
    network = read(model, input_size=32)
    finished, failed = finish(draw(network, Batch(0, "conv", (0, 1), QUICK)))
    assert [one.unit for one in finished] == [0]
    assert set(failed) == {1}
    assert "dead" in failed[1]


def test_drawing_yields_after_every_step(network):
    (batch,) = plan(network, "forms", QUICK)
    steps = list(draw(network, batch))
    assert [one.step for one in steps] == list(range(1, 7))
    assert not any(one.finished for one in steps[:-1])
    assert len(steps[-1].finished) == 8


def test_a_preview_is_the_beginning_of_the_finished_pictures_own_run(large):
    """With its contrast raised, and small."""
    recipe = Recipe.preset("peek").replace(steps=64)
    (draft,) = plan(large, "", recipe, [2, 4], size=160, draft=True)
    assert (draft.draft, draft.steps, draft.recipe) == (True, 16, recipe)
    runs = list(draw(large, draft, fingerprint="0" * 16))
    assert [one.steps for one in runs] == [draft.steps] * draft.steps
    for one in runs[-1].finished:
        run = Ascent(large, Logit(one.unit), recipe, seed=unit_seed(0, "", one.unit), size=160)
        for _ in range(draft.steps):
            run.step()
        small = resized(run.preview(), batches.DRAFT_SIZE)[0]
        assert one.draft
        assert torch.equal(one.tensor, (small * 255.0).round() / 255.0)
        assert one.tensor.std() > resized(run.images, batches.DRAFT_SIZE).std()


def test_a_preview_makes_more_steps_of_small_views_and_never_more_than_the_recipe(network):
    steps = {
        recipe.steps: plan(network, "forms", recipe, [0], draft=True)[0].steps
        for recipe in (QUICK, QUICK.replace(steps=30), QUICK.replace(steps=400))
    }
    assert steps[6] == 6
    assert steps[30] == batches.DRAFT_STEPS
    assert steps[400] == 2 * batches.DRAFT_STEPS


@pytest.mark.parametrize("preset", ["oygard-2016", "maco-2023"])
def test_a_recipe_whose_first_steps_show_nothing_is_previewed_by_peek(network, preset):
    (draft,) = plan(network, "forms", preset, [0], size=None if preset == "maco-2023" else 48, draft=True)
    assert draft.recipe == Recipe.preset("peek")
    assert draft.size == (128 if preset == "maco-2023" else 48)
    finished, failed = finish(draw(network, draft, fingerprint="0" * 16))
    assert not failed
    assert max(finished[0].image.size) == draft.size

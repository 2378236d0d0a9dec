"""Viewing an earlier step of a run and going on from there: it is the same run, to the pixel."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from peek_widget import Recipe
from peek_widget.errors import PeekError
from peek_widget.live.history import unpack
from peek_widget.live.snapshot import Target

from .fakes import Bench
from .test_explorer import LONG, SHORT, eventually, explore, recording, tiny

__all__ = ["explore", "recording"]  # fixtures


@pytest.fixture
def bench():
    made = []

    def make(**options):
        made.append(Bench(**options))
        return made[-1]

    yield make
    for each in made:
        assert each.session.close()


def steps_of(update):
    return tuple(point.step for point in unpack(update.history))


def views(explorer):
    """What the curve says of the random views; when the pictures were measured depends on the machine."""
    return [(point.step, point.lowest, point.highest) for point in explorer.history]


def test_seeking_shows_that_step_and_leaves_the_run_where_it_is(bench):
    b = bench(steps=20)
    b.session.wait(5)
    b.session.seek(7)
    assert b.session.wait(5) == "paused"
    assert (b.last.step, b.last.status["step"], b.last.status["viewing"]) == (7, 7, True)
    assert b.last.snapshot.image[0, 0, 0] == np.float32(0.007)
    assert b.last.activation == 7.0
    assert b.last.lossless
    assert b.last.fresh
    assert "step 7 of 20" in b.last.status["text"]
    assert "The run is at step 20." in b.last.status["text"]
    assert b.made[0].index == 20
    assert len(b.made) == 1
    assert steps_of(b.last)[-1] == 20
    # one step on is the next checkpoint, and past the last one is the run itself
    b.session.step_once()
    b.session.wait(5)
    assert b.last.step == 8
    b.session.seek(10**6)
    assert b.session.wait(5) == "done"
    assert (b.last.step, b.last.status["viewing"]) == (20, False)
    assert b.last.snapshot.image[0, 0, 0] == np.float32(0.020)


def test_playing_while_an_earlier_step_is_viewed_goes_on_with_the_run_itself(bench):
    b = bench(steps=10_000, seconds=0.002)
    b.until(lambda u: u.step > 9)
    b.session.seek(3)
    b.session.wait(5)
    stands = b.made[0].index
    b.session.set_playing(True)
    b.until(lambda u: u.step > stands + 2 and not u.status["viewing"])
    assert len(b.made) == 1


def test_resuming_goes_on_from_an_earlier_step_with_the_curve_cut(bench):
    b = bench(steps=20)
    b.session.wait(5)
    run = b.last.status["run"]
    b.session.resume_from(7)
    assert b.session.wait(5) == "done"
    assert b.last.step == b.last.status["total"] == 20
    assert b.last.status["run"] == run + 1
    assert len(b.made) == 2
    assert b.made[1].index == 20
    assert "Resumed from step 7." in b.last.status["text"]
    assert steps_of(b.last) == tuple(range(1, 21))


def test_a_resumed_run_takes_the_current_settings(bench):
    b = bench(steps=20)
    b.session.wait(5)
    b.session.set_playing(False)
    b.session.set_knobs(blur=2.5)
    b.session.resume_from(7)
    b.session.wait(5)
    assert b.made[1].overrides["blur"] == 2.5
    assert "with the current settings" in b.last.status["text"]


def test_another_target_ends_the_viewing_and_its_run_has_its_own_checkpoints(bench):
    b = bench(steps=20)
    b.session.wait(5)
    b.session.seek(7)
    b.session.wait(5)
    b.session.set_target(Target("conv", 5))
    b.session.wait(5)
    assert not b.last.status["viewing"]
    assert b.session.checkpoint_steps == [1]


def test_after_an_error_an_earlier_step_can_be_viewed_and_resumed(bench):
    b = bench(steps=20, fail_at=12)
    b.until_state("error")
    b.session.seek(5)
    b.session.wait(5)
    assert (b.last.step, b.last.status["viewing"]) == (5, True)
    assert len(b.made) == 1
    b.ascent["fail_at"] = None
    b.session.resume_from(5)
    b.made[0].fail_at = None
    assert b.session.wait(5) == "done"
    assert b.last.step == 20


# -- the real one


@pytest.mark.parametrize("recipe", ["peek", "oygard-2016", "maco-2023"])
def test_a_resumed_run_has_the_same_pixels_as_one_that_was_not_interrupted(explore, recipe):
    short = Recipe.preset(recipe).replace(steps=24, size=32)
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, recipe=short)
    explorer.wait(60)
    whole, curve = np.asarray(explorer.image), views(explorer)
    for step in (explorer.checkpoint_steps[0], explorer.checkpoint_steps[len(explorer.checkpoint_steps) // 2]):
        explorer.resume_from(step)
        assert explorer.playing
        assert explorer.wait(60) == "done"
        assert explorer.step == 24
        assert np.array_equal(np.asarray(explorer.image), whole)
        assert views(explorer) == curve


def test_a_step_that_the_run_has_not_made_is_refused(explore):
    explorer = explore(recipe=SHORT.replace(steps=5), layer="conv2")
    explorer.wait(30)
    for go in (explorer.seek, explorer.resume_from):
        with pytest.raises(PeekError, match=r"has made 5 steps, and step 999 was asked for: give one up to that"):
            go(999)
    explorer.seek(5)
    # the slider of a page may still be that of a longer run
    explorer.comm.receive({"method": "custom", "content": {"kind": "seek", "step": 999}})
    explorer.wait(30)
    assert explorer.step == 5


def test_the_viewed_picture_is_exactly_that_of_its_step(explore):
    seen = {}
    explorer = explore(recipe=SHORT.replace(steps=200), playing=False, layer="conv2")
    while explorer.step < 12:
        explorer.step_once()
        explorer.wait(30)
        seen[explorer.step] = np.asarray(explorer.image), explorer.activation
    for step in explorer.checkpoint_steps:
        explorer.seek(step)
        explorer.wait(30)
        assert explorer.step == step
        assert not explorer.playing
        assert np.array_equal(np.asarray(explorer.image), seen[step][0])
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(explorer.frame))), seen[step][0])
        assert explorer.activation == seen[step][1]
    assert 1 not in np.diff(explorer.checkpoint_steps[:2])
    between = explorer.checkpoint_steps[1] + 1
    explorer.seek(between)
    explorer.wait(30)
    assert f"step {between - 1} of 200 (nearest checkpoint to {between})" in explorer.status["text"]


def test_the_page_seeks_and_resumes(explore):
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 20)
    explorer.comm.receive({"method": "custom", "content": {"kind": "seek", "step": 4}})
    explorer.wait(30)
    stands, run = explorer.checkpoint_steps[-1], explorer.status["run"]
    assert explorer.status["viewing"]
    assert explorer.step == min(explorer.checkpoint_steps, key=lambda step: abs(step - 4))
    assert explorer.playing is False
    assert stands > 20
    explorer.comm.receive({"method": "custom", "content": {"kind": "resume", "step": 4}})
    eventually(lambda: explorer.status["run"] == run + 1 and explorer.status["state"] == "running")
    assert explorer.playing is True


@pytest.mark.parametrize("step", [-1, 1.5, "3", None, True])
def test_an_impossible_step_is_refused_in_a_sentence(explore, step):
    explorer = explore(playing=False)
    with pytest.raises(PeekError, match="whole number from 0"):
        explorer.seek(step)
    with pytest.raises(PeekError, match="no step to show yet"):
        explorer.resume_from(3)


def test_the_checkpoints_of_a_real_run_are_bounded(explore):
    explorer = explore(recipe=SHORT.replace(steps=200), layer="conv2")
    explorer.wait(120)
    kept = explorer._parts.run._worker.run.checkpoints
    assert 24 <= len(kept.steps) <= 48
    one = kept.nearest(100)
    parts = [one.snapshot.image, *one.state.tensors.values()]
    assert one.bytes == sum(part.numel() * part.element_size() for part in parts if torch.is_tensor(part))


def test_another_unit_is_drawn_on_after_a_look_back(explore):
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 10)
    explorer.comm.receive({"method": "custom", "content": {"kind": "seek", "step": 4}})
    eventually(lambda: explorer.status["viewing"])
    explorer.unit += 1
    assert explorer.playing is True
    eventually(lambda: explorer.status["unit"] == explorer.unit and explorer.step > 2)


def test_a_run_that_was_paused_stays_so_after_a_look_back(explore):
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 10)
    explorer.pause()
    explorer.seek(4)
    explorer.unit += 1
    assert explorer.playing is False
    assert explorer.wait(30) == "paused"

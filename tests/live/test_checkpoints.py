"""The checkpoints of a run: which steps are kept, and in how much memory."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from peek_widget.ascent import Step
from peek_widget.live.checkpoints import Checkpoint, Checkpoints
from peek_widget.live.history import History
from peek_widget.live.snapshot import Snapshot, Target


class State:
    def __init__(self, size):
        self.tensors = {"parameter": np.zeros(size, np.uint8)}


def point(step, size=80):
    made = Step(step, torch.zeros(1, 20, dtype=torch.uint8), torch.zeros(1))
    snapshot = Snapshot(
        Target("conv", 3), None, made, float(step), 1, step, 20, {}, {}, edited=False, done=False, seeds=(0,)
    )
    return Checkpoint(snapshot, State(size))


@given(
    st.integers(2, 12),
    st.integers(50, 3000),
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 900)), max_size=120),
    st.integers(1, 4),
)
def test_checkpoints_stay_within_their_bounds_and_thin_out_evenly(most, budget, run, stride):
    kept, step, given_steps = Checkpoints(most, budget, stride), 0, []
    for ahead, size in run:
        step += ahead
        if kept.wants(step):
            kept.add(point(step, size))
            given_steps.append(step)
        assert len(kept.steps) <= most
        assert kept.bytes <= budget
        assert kept.bytes == sum(one.bytes for one in kept._points)
    assert kept.steps == sorted(set(kept.steps))
    assert set(kept.steps) <= set(given_steps)
    if kept.steps:
        nearest = kept.nearest(step // 2).step
        assert abs(nearest - step // 2) == min(abs(one - step // 2) for one in kept.steps)


def test_a_long_run_is_covered_from_its_first_step_to_its_end():
    kept = Checkpoints()
    for step in range(1, 20_001):
        if kept.wants(step):
            kept.add(point(step))
    gaps = np.diff([*kept.steps, 20_000])
    assert kept.steps[0] == 1
    assert 24 <= len(kept.steps) <= 48
    assert gaps.max() <= 2 * gaps[:-1].min()


def test_a_picture_too_large_for_one_checkpoint_is_not_kept_and_not_asked_for_at_each_step():
    kept, asked = Checkpoints(budget=50), 0
    for step in range(1, 1001):
        if kept.wants(step):
            asked += 1
            kept.add(point(step))
    assert kept.steps == []
    assert asked < 12


def test_cutting_forgets_what_came_after_the_step():
    kept, history = Checkpoints(), History(8)
    for step in range(1, 31):
        history.add(step, float(step))
        if kept.wants(step):
            kept.add(point(step))
    kept.cut(10)
    history.cut(10)
    assert kept.steps == list(range(1, 11))
    assert kept.wants(11)
    assert not kept.wants(10)
    assert all(point.step <= 10 for point in history.points())
    history.cut(0)
    assert history.points() == []
    assert history.packed() == b""

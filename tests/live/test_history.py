import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peek_widget.live.history import History


@given(steps=st.integers(1, 3000), capacity=st.sampled_from([4, 5, 16, 256]))
def test_a_run_of_any_length_fits(steps, capacity):
    history = History(capacity)
    for step in range(1, steps + 1):
        history.add(step, step * 0.5)
    points = history.points()
    assert len(points) <= capacity
    assert points[0] == (1, 0.5)
    assert points[-1] == (steps, steps * 0.5)
    assert all(value == step * 0.5 for step, value in points)
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(points[:-1])]
    assert len(set(gaps)) <= 1
    if steps <= capacity - 1:
        assert len(points) == steps


def test_packed_is_little_endian_float32_pairs():
    history = History()
    history.add(1, -2.5)
    history.add(2, 3.0)
    assert struct.unpack("<4f", history.packed()) == (1.0, -2.5, 2.0, 3.0)
    assert History().packed() == b""


def test_too_small_a_history_is_refused():
    with pytest.raises(ValueError, match="at least 4"):
        History(3)

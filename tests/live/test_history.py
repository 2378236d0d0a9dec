import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peek_widget.live.history import History, HistoryPoint, unpack


def value(step):
    """Rises and swings."""
    return step * 0.5 + (-1) ** step


@given(steps=st.integers(1, 3000), capacity=st.sampled_from([4, 5, 16, 256]))
def test_a_run_of_any_length_fits_and_loses_no_extreme(steps, capacity):
    history = History(capacity)
    for step in range(1, steps + 1):
        history.add(step, value(step))
    points = history.points()
    assert len(points) <= capacity
    assert points[-1].step == steps
    first = 1
    for point in points:
        values = [value(step) for step in range(first, point.step + 1)]
        assert (point.lowest, point.highest) == (min(values), max(values))
        first = point.step + 1
    if steps <= capacity:
        assert [point.step for point in points] == list(range(1, steps + 1))
    else:
        assert len(points) >= capacity // 2


@given(steps=st.integers(1, 600), every=st.integers(1, 50))
def test_the_newest_measurement_of_a_points_steps_is_its_activation(steps, every):
    history = History(16)
    for step in range(1, steps + 1):
        history.add(step, value(step))
        if step % every == 0:
            history.measured(step, 1000.0 + step)
    first = 1
    for point in history.points():
        measured = [step for step in range(first, point.step + 1) if step % every == 0]
        assert point.activation == 1000.0 + measured[-1] if measured else math.isnan(point.activation)
        first = point.step + 1


def test_an_earlier_step_can_be_measured_later():
    history = History()
    history.measured(1, 5.0)
    assert history.points() == []
    for step in range(1, 5):
        history.add(step, 0.0)
    history.measured(2, 7.0)
    assert [point.activation for point in history.points()][1] == 7.0


@given(steps=st.integers(1, 100), at=st.integers(0, 100))
def test_a_cut_leaves_nothing_after_it_and_the_curve_goes_on(steps, at):
    history = History(16)
    for step in range(1, steps + 1):
        history.add(step, value(step))
    history.cut(at)
    assert all(point.step <= at for point in history.points())
    for step in range(at + 1, at + 40):
        history.add(step, value(step))
    points = history.points()
    assert points[-1].step == at + 39
    assert len(points) <= 16
    assert [point.step for point in points] == sorted({point.step for point in points})


def test_packed_has_rows_of_four_float32():
    history = History()
    history.add(1, -2.5)
    history.add(2, 3.0)
    history.measured(2, 4.5)
    assert len(history.packed()) == 2 * 16
    first, second = unpack(history.packed())
    assert (first.step, first.lowest, first.highest) == (1, -2.5, -2.5)
    assert math.isnan(first.activation)
    assert second == HistoryPoint(2, 4.5, 3.0, 3.0)
    assert unpack(History().packed()) == []


def test_too_small_a_history_is_refused():
    with pytest.raises(ValueError, match="at least 4"):
        History(3)

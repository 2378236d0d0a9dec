"""When a picture is measured: with a clock of the test's own."""

import math

import pytest

from peek_widget.live.still_meter import SHARE, SHORTEST_REST, StillMeter

from .test_checkpoints import point


class Bench:
    """A meter whose measurements take `cost` seconds, and to prepare one `before`."""

    def __init__(self, cost=0.0, before=0.0):
        self.now, self.cost, self.before, self.error = 100.0, cost, before, None
        self.meter = StillMeter(self.measurement, lambda: self.now)

    def measurement(self, snapshot):
        self.now += self.before
        return self.measure

    def measure(self):
        self.now += self.cost
        if self.error is not None:
            raise self.error
        return 7.0

    def take(self, run=1):
        return self.meter.measured(point(1).snapshot, run)


def test_the_first_picture_of_each_run_is_measured_at_once():
    bench = Bench()
    assert bench.meter.due(1)
    assert bench.take().activation == 7.0
    assert not bench.meter.due(1)
    assert bench.meter.due(2)


def test_measurements_rest_and_take_a_small_share_of_the_time():
    bench = Bench(cost=0.001)
    bench.take()
    bench.take()
    bench.now += SHORTEST_REST - 0.001
    assert not bench.meter.due(1)
    bench.now += 0.002
    assert bench.meter.due(1)
    bench.cost = 0.3
    bench.take()
    bench.now += 0.3 / SHARE - 0.1
    assert not bench.meter.due(1)
    bench.now += 0.2
    assert bench.meter.due(1)


def test_what_is_prepared_does_not_count():
    bench = Bench(before=5.0)
    bench.take()
    bench.now += SHORTEST_REST
    assert bench.meter.due(1)


@pytest.mark.parametrize("error", [RuntimeError("no memory"), ZeroDivisionError("an objective of somebody's own")])
def test_what_cannot_be_measured_is_nan_and_said_once(error, caplog):
    bench = Bench()
    bench.error = error
    assert math.isnan(bench.take().activation)
    assert math.isnan(bench.take().activation)
    assert bench.meter.problem == f"The picture's activation can't be measured: {error}"
    assert len(caplog.records) == 1
    bench.error = None
    assert bench.take().activation == 7.0
    assert bench.meter.problem == ""

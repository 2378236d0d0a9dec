"""Beside a training: the worker rests while the weights change, and no longer."""

import itertools

from peek_widget.live import run as rules
from peek_widget.live.run import RunService
from peek_widget.live.snapshot import Target

from .fakes import Bench


class Trained(Bench):
    """A bench whose model's weights stand at a number."""

    def __init__(self, weights, **ascent):
        self.weights = weights
        super().__init__(start=False, **ascent)
        self.session = RunService(
            self.make, self.publish, target=Target("conv", 3), rate=60.0, clock=self.clock, weights=weights
        )
        self.session.start()


def rests(monkeypatch):
    """Every rest's length, without the rest."""
    made = []
    waits = RunService._give_way

    def give_way(self, seconds):
        before, self._changed = self._changed, Waits(self._changed, made)
        waits(self, seconds)
        self._changed = before

    monkeypatch.setattr(RunService, "_give_way", give_way)
    return made


class Waits:
    def __init__(self, condition, made):
        self._condition, self._made = condition, made

    def __enter__(self):
        return self._condition.__enter__()

    def __exit__(self, *error):
        return self._condition.__exit__(*error)

    def wait(self, seconds):
        self._made.append(seconds)


def test_weights_that_stand_still_cost_no_rest(monkeypatch):
    made = rests(monkeypatch)
    bench = Trained(lambda: 7, steps=10)
    assert bench.session.wait(10) == "done"
    assert made == []
    assert rules.WEIGHTS_CHANGED not in bench.last.status["text"]
    bench.session.close()


def test_weights_that_change_make_it_rest_and_say_so(monkeypatch):
    made = rests(monkeypatch)
    numbers = itertools.count()
    bench = Trained(lambda: next(numbers), steps=10)
    assert bench.session.wait(10) == "done"
    assert len(made) == 10
    assert all(0 < seconds <= rules.LONGEST_REST for seconds in made)
    assert rules.WEIGHTS_CHANGED in bench.last.status["text"]
    bench.session.close()


def test_a_new_run_begins_without_the_note(monkeypatch):
    rests(monkeypatch)
    weights = [1]
    bench = Trained(lambda: weights[0], steps=6)
    bench.session.wait(10)
    weights[0] = 2
    bench.session.restart()
    assert bench.session.wait(10) == "done"
    assert rules.WEIGHTS_CHANGED not in bench.last.status["text"]
    bench.session.close()

"""While the model is trained: the worker rests while the weights change, and no longer."""

import itertools

from peek_widget.live import protocol, run, worker
from peek_widget.live.run_service import RunService
from peek_widget.live.snapshot import Target

from .fakes import Bench


class Trained(Bench):
    """A worker whose model's weights have a version."""

    def __init__(self, weights, **ascent):
        self.weights = weights
        super().__init__(start=False, **ascent)
        self.session = RunService(
            self.make, self.publish, None, target=Target("conv", 3), rate=60.0, clock=self.clock, weights=weights
        )
        self.session.start()


def rests(monkeypatch):
    """Record how long each rest would be, without resting."""
    made = []
    monkeypatch.setattr(RunService, "_rest", lambda self, seconds: made.append(seconds))
    return made


def test_the_worker_does_not_rest_while_the_weights_stay(monkeypatch):
    made = rests(monkeypatch)
    bench = Trained(lambda: 7, steps=10)
    assert bench.session.wait(10) == "done"
    assert made == []
    assert run.WEIGHTS_CHANGED not in bench.last.status["text"]
    bench.session.close()


def test_the_worker_rests_while_the_weights_change_and_says_so(monkeypatch):
    made = rests(monkeypatch)
    numbers = itertools.count()
    bench = Trained(lambda: next(numbers), steps=10)
    assert bench.session.wait(10) == "done"
    assert len(made) == 10
    assert all(0 < seconds <= worker.MAX_TRAINING_REST for seconds in made)
    assert run.WEIGHTS_CHANGED in bench.last.status["text"]
    bench.session.close()


def test_no_step_is_made_while_somebody_waits_for_something_else_but_not_for_long(monkeypatch):
    made = rests(monkeypatch)
    bench = Trained(lambda: 7, steps=3)
    bench.session.wait(10)
    asked = iter([True, True, False, False])
    bench.session.give_way(lambda: next(asked, True))
    bench.session.restart()
    assert bench.session.wait(10) == "done"
    # two looks before the first step, none before the second, and before the third it waits as long as it may
    assert made == [worker.WAY] * (2 + round(worker.LONGEST_WAY / worker.WAY))
    bench.session.close()


def test_a_new_run_has_no_note_on_changed_weights(monkeypatch):
    rests(monkeypatch)
    weights = [1]
    bench = Trained(lambda: weights[0], steps=6)
    bench.session.wait(10)
    weights[0] = 2
    bench.session.restart()
    assert bench.session.wait(10) == "done"
    assert run.WEIGHTS_CHANGED not in bench.last.status["text"]
    bench.session.close()


def test_weights_that_change_after_the_end_are_said(monkeypatch):
    weights = [1]
    bench = Trained(lambda: weights[0], steps=3)
    bench.session.receive(protocol.Visible(on=True))
    assert bench.session.wait(10) == "done"
    assert not bench.last.status["weights_changed"]
    weights[0] = 2
    changed = bench.until(lambda update: update.status["weights_changed"])
    assert changed.status["state"] == "done"
    assert run.WEIGHTS_CHANGED in changed.status["text"]
    assert len(bench.made) == 1, "nobody asked for another picture"
    bench.session.close()


def test_a_finished_run_begins_again_while_the_model_is_trained(monkeypatch):
    rests(monkeypatch)
    weights = [1]
    bench = Trained(lambda: weights[0], steps=3)
    bench.session.receive(protocol.Visible(on=True))
    bench.session.set_redraw(True)
    assert bench.session.wait(10) == "done"
    first = bench.last.status["run"]
    weights[0] = 2
    again = bench.until(lambda update: update.status["state"] == "done" and update.status["run"] > first)
    assert not again.status["weights_changed"]
    bench.session.set_redraw(False)
    weights[0] = 3
    bench.until(lambda update: update.status["weights_changed"])
    assert len(bench.made) == 2
    bench.session.close()

"""When the picture of a run is measured and scored: with numbers of the test's own, without a model."""

from types import SimpleNamespace

import pytest
import torch

from peek_widget.ascent import Direction, Recipe, Step
from peek_widget.evidence.measures import PictureScore
from peek_widget.live.examples import gauge_monitor
from peek_widget.live.examples.gauge_monitor import ENOUGH_IMAGES, GaugeMonitor
from peek_widget.live.snapshot import Snapshot, Target

UNIT = SimpleNamespace(
    layer="conv",
    unit=3,
    images=250,
    image_quantiles={0.0: -1.0, 0.5: 1.0, 0.99: 2.0, 1.0: 4.0},
    top=(SimpleNamespace(activation=4.0),),
)


class Layer:
    """The evidence on a layer of 16 units."""

    def __init__(self, images):
        self.name, self.images = "conv", images

    def __len__(self):
        return 16

    def statistics(self):
        return None


def picture(step=1, *, done=False, run=1, unit=3, **target):
    return Snapshot(
        target=Target("conv", unit, **target),
        recipe=Recipe.preset("peek"),
        made=Step(step, torch.zeros(1, 3, 8, 8), torch.zeros(1)),
        view_activation=0.0,
        run=run,
        step=step,
        total=100,
        overrides={},
        values={},
        edited=False,
        done=done,
        seeds=(0,),
    )


@pytest.fixture
def calls(monkeypatch):
    """Scores, in order."""
    made = []
    network = SimpleNamespace(model_copy=SimpleNamespace(refresh=lambda: None))

    def score(*_):
        made.append("score")
        return [PictureScore(12.0, 4.0, 3.0, True, 0.8, 1, "")]

    monkeypatch.setattr(gauge_monitor.measures, "score", score)
    monkeypatch.setattr(gauge_monitor, "objective_of", lambda *_: None)
    return SimpleNamespace(made=made, monitor=GaugeMonitor(lambda: network))


def test_a_picture_is_compared_by_the_activation_that_is_shown_with_it(calls):
    calls.monitor.show_picture(picture(), 12.0)
    value = calls.monitor.value(UNIT)
    assert (value["activation"], value["activation_ratio"], value["score"]) == (12.0, 3.0, None)
    assert value["text"] == "3.0× the activation of the top real image (of 250)."
    calls.monitor.show_picture(picture(2), 8.0)
    assert calls.monitor.value(UNIT)["activation_ratio"] == 2.0


def test_before_the_first_measurement_nothing_is_said(calls):
    calls.monitor.show_picture(picture(), None)
    value = calls.monitor.value(UNIT)
    assert (value["activation"], value["text"]) == (None, "")


@pytest.mark.parametrize("target", [{"negative": True}, {"unit": 4}, {"objective": Direction("conv", [1.0, 2.0])}])
def test_a_picture_that_is_of_something_else_is_not_compared(calls, target):
    calls.monitor.show_picture(picture(done=True, **target), 12.0)
    assert not calls.monitor.score_due(UNIT, Layer(250), pass_running=False)
    assert calls.monitor.value(UNIT)["activation"] is None
    text = calls.monitor.value(UNIT)["text"]
    assert ("Negative objective" in text) == ("negative" in target)
    assert ("Custom objective" in text) == ("objective" in target)


def test_a_finished_picture_is_scored_and_again_after_the_pass(calls):
    monitor = calls.monitor
    monitor.show_picture(picture(99), 1.0)
    assert not monitor.score_due(UNIT, Layer(250), pass_running=False)
    monitor.show_picture(picture(100, done=True), 1.0)
    assert not monitor.score_due(UNIT, Layer(ENOUGH_IMAGES - 1), pass_running=True)
    assert monitor.score_due(UNIT, Layer(ENOUGH_IMAGES), pass_running=True)
    monitor.score(UNIT, Layer(ENOUGH_IMAGES))
    assert not monitor.score_due(UNIT, Layer(ENOUGH_IMAGES + 9), pass_running=True)
    assert monitor.score_due(UNIT, Layer(250), pass_running=False)
    monitor.score(UNIT, Layer(250))
    assert not monitor.score_due(UNIT, Layer(250), pass_running=False)
    assert monitor.value(UNIT)["score"]["units"] == 16


def test_a_runs_first_and_last_picture_and_each_new_activation_wake_the_thread(calls):
    show = calls.monitor.show_picture
    shown = [
        (picture(1), 2.0),
        (picture(2), 2.0),
        (picture(3), 2.5),
        (picture(4, done=True), 2.5),
        (picture(1, run=2), 2.5),
    ]
    assert [show(*each) for each in shown] == [True, False, True, True, True]


def test_the_channel_mean_is_named_in_the_text(calls):
    calls.monitor.show_picture(picture(objective="channel"), 12.0)
    assert "Optimized for the channel mean" in calls.monitor.value(UNIT)["text"]

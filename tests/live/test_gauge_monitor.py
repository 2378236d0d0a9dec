"""When the picture of a run is measured and scored: with numbers of the test's own, without a model."""

from types import SimpleNamespace

import pytest
import torch

from peek_widget.ascent import Direction, Recipe
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
        image=torch.zeros(3, 8, 8),
        activation=0.0,
        run=run,
        step=step,
        total=100,
        overrides={},
        values={},
        edited=False,
        done=done,
    )


@pytest.fixture
def calls(monkeypatch):
    """Measurements and scores, in order; a measurement gives 12."""
    made = []
    network = SimpleNamespace(model_copy=SimpleNamespace(refresh=lambda: None))

    def still_activation(*_):
        made.append("measure")
        return 12.0

    def score(*_):
        made.append("score")
        return [PictureScore(12.0, 4.0, 3.0, True, 0.8, 1, "")]

    monkeypatch.setattr(gauge_monitor.measures, "still_activation", still_activation)
    monkeypatch.setattr(gauge_monitor.measures, "score", score)
    monkeypatch.setattr(gauge_monitor, "objective_of", lambda *_: None)
    return SimpleNamespace(made=made, monitor=GaugeMonitor(lambda: network, lambda: 0.0))


def test_a_picture_is_measured_once_and_compared(calls):
    calls.monitor.show_picture(picture())
    calls.monitor.measure(UNIT)
    calls.monitor.measure(UNIT)
    assert calls.made == ["measure"]
    value = calls.monitor.value(UNIT)
    assert (value["activation"], value["activation_ratio"], value["score"]) == (12.0, 3.0, None)
    assert value["text"] == "3.0× the activation of the top real image (of 250)."


def test_the_next_measurement_waits_and_the_last_picture_does_not(calls):
    calls.monitor.show_picture(picture(1))
    calls.monitor.measure(UNIT)
    calls.monitor._cost = 1.0
    calls.monitor.show_picture(picture(2))
    calls.monitor.measure(UNIT)
    assert calls.made == ["measure"]
    assert calls.monitor.value(UNIT)["activation"] == 12.0, "that of an earlier step of the run"
    calls.monitor.show_picture(picture(100, done=True))
    calls.monitor.measure(UNIT)
    assert calls.made == ["measure"] * 2


@pytest.mark.parametrize("target", [{"negative": True}, {"unit": 4}, {"objective": Direction("conv", [1.0, 2.0])}])
def test_a_picture_that_cannot_be_compared_is_not_measured(calls, target):
    calls.monitor.show_picture(picture(done=True, **target))
    calls.monitor.measure(UNIT)
    assert calls.made == []
    assert not calls.monitor.has_work(UNIT, Layer(250), pass_running=False)
    assert calls.monitor.value(UNIT)["activation"] is None
    text = calls.monitor.value(UNIT)["text"]
    assert ("Negative objective" in text) == ("negative" in target)
    assert ("Custom objective" in text) == ("objective" in target)


def test_a_finished_picture_is_scored_and_again_after_the_pass(calls):
    monitor = calls.monitor
    monitor.show_picture(picture(99))
    assert not monitor.score_due(UNIT, Layer(250), pass_running=False)
    monitor.show_picture(picture(100, done=True))
    assert not monitor.score_due(UNIT, Layer(ENOUGH_IMAGES - 1), pass_running=True)
    assert monitor.score_due(UNIT, Layer(ENOUGH_IMAGES), pass_running=True)
    monitor.score(UNIT, Layer(ENOUGH_IMAGES))
    assert not monitor.score_due(UNIT, Layer(ENOUGH_IMAGES + 9), pass_running=True)
    assert monitor.score_due(UNIT, Layer(250), pass_running=False)
    monitor.score(UNIT, Layer(250))
    assert not monitor.score_due(UNIT, Layer(250), pass_running=False)
    assert monitor.value(UNIT)["score"]["units"] == 16


def test_the_first_and_the_last_picture_of_a_run_wake_the_thread(calls):
    show = calls.monitor.show_picture
    assert [show(p) for p in (picture(1), picture(2), picture(3, done=True), picture(1, run=2))] == [
        True,
        False,
        True,
        True,
    ]


def test_the_channel_mean_is_named_in_the_text(calls):
    calls.monitor.show_picture(picture(objective="channel"))
    calls.monitor.measure(UNIT)
    assert "Optimized for the channel mean" in calls.monitor.value(UNIT)["text"]

"""When the focus of the crops on the page is found: on a real network, with a clock of the test's own."""

from types import SimpleNamespace

import pytest
import torch

from peek_widget.errors import EvidenceStoreError
from peek_widget.evidence import top_crops
from peek_widget.live.examples.crop_feed import box_shown
from peek_widget.live.examples.focus_monitor import REST, FocusMonitor
from peek_widget.network import read
from peek_widget.zoo import Images
from tests.networks import tiny


class Gone(Images):
    """Its images can't be read once `gone` is set."""

    gone = False

    def __getitem__(self, index):
        if self.gone:
            raise OSError("the disk was taken out")
        return super().__getitem__(index)


@pytest.fixture
def bench():
    """A monitor whose forward takes a second, and three crops of a class."""
    model, images = tiny(), Gone(6, size=32)
    crops = top_crops(model, "", images, k=3, input_size=32, progress=False)[1].top
    clock = SimpleNamespace(now=0.0, drawing=False)
    network = read(model, 32)

    def slow():
        clock.now += 1.0
        return network

    monitor = FocusMonitor(slow, lambda: clock.drawing, lambda: clock.now)
    return SimpleNamespace(model=model, images=images, crops=crops, clock=clock, monitor=monitor)


def known(crops):
    return [crop.known_focus is not None for crop in crops]


def test_one_focus_at_a_time_the_first_first(bench):
    crops = bench.crops
    assert [box_shown(crop, "focus") for crop in crops] == [None] * 3
    assert bench.monitor.find(crops)
    assert known(crops) == [True, False, False]
    assert box_shown(crops[0], "focus") == crops[0].focus
    assert bench.monitor.find(crops[1:])
    assert known(crops) == [True, True, False]
    assert not bench.monitor.find([])


def test_while_the_run_draws_the_work_takes_a_small_share_of_the_time(bench):
    bench.clock.drawing = True
    assert bench.monitor.find(bench.crops)
    assert not bench.monitor.find(bench.crops[1:])
    bench.clock.now += REST - 0.1
    assert not bench.monitor.find(bench.crops[1:])
    assert known(bench.crops) == [True, False, False]
    bench.clock.now += 0.2
    assert bench.monitor.find(bench.crops[1:])
    bench.clock.drawing = False
    assert bench.monitor.find(bench.crops[2:]), "no rest once nothing else is drawn"


def test_what_fails_is_said_once_and_not_tried_again(bench):
    with torch.no_grad():
        bench.model.classes.weight.mul_(-3.0)
    for _ in bench.crops:
        assert bench.monitor.has_work(bench.crops)
        with pytest.raises(EvidenceStoreError, match="weights"):
            bench.monitor.find(bench.crops)
    assert not bench.monitor.has_work(bench.crops)
    assert not bench.monitor.find(bench.crops)


def test_an_image_that_is_gone_is_left_out(bench):
    bench.images.gone = True
    assert not bench.monitor.find(bench.crops)
    bench.images.gone = False
    assert bench.monitor.find(bench.crops)
    assert known(bench.crops) == [False, True, False]

"""The drawn picture beside the real ones, in numbers and words."""

import math
from types import SimpleNamespace

import pytest

from peek_widget._progress import duration
from peek_widget.evidence.measures import PictureScore
from peek_widget.live.examples.gauge import gauge, say_gauge, say_verdict, suggestion


def seen(best, median=1.0, lowest=-1.0, high=2.0, images=250):
    quantiles = {0.0: lowest, 0.5: median, 0.99: high, 1.0: best}
    return SimpleNamespace(
        layer="conv", unit=3, images=images, image_quantiles=quantiles, top=(SimpleNamespace(activation=best),)
    )


def test_the_ratio_and_the_marks():
    found = gauge(seen(4.0), 12.4)
    assert found["over_best"] == pytest.approx(3.1)
    assert [found[name] for name in ("lowest", "median", "high", "best", "activation")] == [-1.0, 1.0, 2.0, 4.0, 12.4]
    assert found["text"] == "Excites the unit 3.1 times as much as the best of 250 real images."


def test_before_the_first_image_there_is_no_gauge():
    assert gauge(None, 3.0) == {}
    assert gauge(SimpleNamespace(top=()), 3.0) == {}


@pytest.mark.parametrize("activation", [None, math.nan, math.inf])
def test_what_was_not_measured_is_no_number(activation):
    found = gauge(seen(4.0), activation)
    assert (found["activation"], found["over_best"]) == (None, None)


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (4.1, "as much as the best of 250"),
        (3.9, "Excites the unit as much as the best"),
        (2.0, "0.50 times as much as the best"),
        (0.5, "0.12 times as much as the best of 250 real images, and less than half of them do"),
        (1e-4, "less than 0.01 times"),
        (-3.0, "Does not excite the unit"),
        (48.0, "12 times as much"),
        (9999.0, "more than 1,000 times"),
    ],
)
def test_every_ratio_is_said(drawn, words):
    assert words in say_gauge(drawn, 4.0, 1.0, 250)


@pytest.mark.parametrize(
    ("drawn", "best", "word"), [(2.0, -0.4, "above zero, at 2"), (-0.1, -0.4, "higher"), (-1.0, -0.4, "no higher")]
)
def test_no_ratio_where_no_real_image_is_above_zero(drawn, best, word):
    found = gauge(seen(best, median=-2.0, lowest=-3.0, high=-0.5), drawn)
    assert found["over_best"] is None
    assert "times" not in found["text"]
    assert word in found["text"]
    assert "−0.4" in found["text"]


def test_a_weak_picture_is_told_what_would_help():
    helps = suggestion({"blur": 2.0}, past_half=True, done=True)
    assert helps == "more steps (press Play) or less blur"
    text = say_gauge(2.0, 4.0, 1.0, 250, helps)
    assert text == (
        "Weaker than real images, 0.50 times the best of 250 real images: try more steps (press Play) or less blur."
    )
    assert suggestion({"blur": 2.0}, past_half=False, done=False) == ""
    assert suggestion({}, past_half=True, done=False) == "another seed"
    assert "try" not in say_gauge(12.0, 4.0, 1.0, 250, helps)


def test_one_image_is_not_many():
    assert say_gauge(8.0, 4.0, 4.0, 1) == "Excites the unit 2.0 times as much as the one real image."


def verdict(**changes):
    given = {
        "activation": 5.0,
        "best": 2.0,
        "over_best": 2.5,
        "beats": True,
        "robustness": 0.816,
        "rank": 1,
        "flaw": "",
    }
    return PictureScore(**{**given, **changes})


def test_the_verdict_in_words():
    assert say_verdict(verdict(), 512) == (
        "Checked at the end: of the layer's 512 units it excites this unit most; shifted, turned and resized a "
        "little, it keeps 82 % of its effect."
    )
    assert "excites 4 others more" in say_verdict(verdict(rank=5), 512)
    assert "keeps" not in say_verdict(verdict(robustness=math.nan), 512)
    assert "one plain color" in say_verdict(verdict(flaw="gray"), 512)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "a few seconds"),
        (12, "about 15 s"),
        (70, "about a minute"),
        (600, "about 10 minutes"),
        (9000, "about 2 hours"),
    ],
)
def test_durations_are_rough(seconds, words):
    assert duration(seconds) == words

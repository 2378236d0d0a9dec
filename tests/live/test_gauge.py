"""The gauge: numbers and sentences that compare the picture with real images."""

import math
from types import SimpleNamespace

import pytest

from peek_widget._progress import duration
from peek_widget.evidence.measures import PictureScore
from peek_widget.live.examples.gauge import describe_ratio, describe_score, gauge, suggestion


def unit_evidence(best, median=1.0, lowest=-1.0, high=2.0, images=250):
    quantiles = {0.0: lowest, 0.5: median, 0.99: high, 1.0: best}
    return SimpleNamespace(
        layer="conv", unit=3, images=images, image_quantiles=quantiles, top=(SimpleNamespace(activation=best),)
    )


def test_the_gauge_has_the_ratio_and_the_quantiles():
    found = gauge(unit_evidence(4.0), 12.4)
    assert found["activation_ratio"] == pytest.approx(3.1)
    assert [found[name] for name in ("lowest", "median", "high", "best", "activation")] == [-1.0, 1.0, 2.0, 4.0, 12.4]
    assert found["text"] == "3.1× the activation of the top real image (of 250)."


def test_there_is_no_gauge_before_the_first_image():
    assert gauge(None, 3.0) == {}
    assert gauge(SimpleNamespace(top=()), 3.0) == {}


@pytest.mark.parametrize("activation", [None, math.nan, math.inf])
def test_an_activation_that_is_no_number_is_none(activation):
    found = gauge(unit_evidence(4.0), activation)
    assert (found["activation"], found["activation_ratio"]) == (None, None)


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (4.1, "About the activation of the top real image (of 250)."),
        (3.9, "About the activation of the top real image"),
        (2.0, "0.50× the activation of the top real image (of 250)."),
        (0.5, "0.12× the activation of the top real image (of 250) and below the median."),
        (1e-4, "Less than 0.01× the activation"),
        (-3.0, "Does not excite the unit, unlike the top real image"),
        (48.0, "12× the activation"),
        (9999.0, "More than 1,000× the activation"),
    ],
)
def test_every_ratio_has_a_sentence(drawn, words):
    assert words in describe_ratio(drawn, 4.0, 1.0, 250)


@pytest.mark.parametrize(
    ("drawn", "best", "word"), [(2.0, -0.4, "positive, at 2"), (-0.1, -0.4, "higher"), (-1.0, -0.4, "no higher")]
)
def test_there_is_no_ratio_where_no_real_image_is_above_zero(drawn, best, word):
    found = gauge(unit_evidence(best, median=-2.0, lowest=-3.0, high=-0.5), drawn)
    assert found["activation_ratio"] is None
    assert "×" not in found["text"]
    assert word in found["text"]
    assert "−0.4" in found["text"]


def test_a_weak_picture_gets_advice():
    advice = suggestion({"blur": 2.0}, past_half=True, done=True)
    assert advice == "more steps (press Play) or less blur"
    text = describe_ratio(2.0, 4.0, 1.0, 250, advice)
    assert text == "0.50× the activation of the top real image (of 250): try more steps (press Play) or less blur."
    assert suggestion({"blur": 2.0}, past_half=False, done=False) == ""
    assert suggestion({}, past_half=True, done=False) == "another seed"
    assert "try" not in describe_ratio(12.0, 4.0, 1.0, 250, advice)


def test_a_single_image_is_the_only_one():
    assert describe_ratio(8.0, 4.0, 4.0, 1) == "2.0× the activation of the only real image."


def score(**changes):
    given = {
        "activation": 5.0,
        "best": 2.0,
        "activation_ratio": 2.5,
        "exceeds_best": True,
        "robustness": 0.816,
        "rank": 1,
        "flaw": "",
    }
    return PictureScore(**{**given, **changes})


def test_the_score_has_a_sentence():
    assert describe_score(score(), 512) == (
        "Final check: of the layer's 512 units, this one responds most strongly; under small shifts, rotations and "
        "rescaling the picture keeps 82 % of its activation."
    )
    assert "4 other units respond more strongly (of 512)" in describe_score(score(rank=5), 512)
    assert "1 other unit responds more strongly" in describe_score(score(rank=2), 512)
    assert "keeps" not in describe_score(score(robustness=math.nan), 512)
    assert "single flat color" in describe_score(score(flaw="gray"), 512)


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
def test_durations_are_rounded(seconds, words):
    assert duration(seconds) == words

"""The guessing game: who knows the unit wins, who guesses doesn't, and the score has an interval."""

import random

import pytest

from peek_widget import top_crops
from peek_widget.errors import PeekError
from peek_widget.game.rules import REFERENCES, Guessing, Score
from peek_widget.zoo import Images, bundled


@pytest.fixture(scope="module")
def crops():
    return top_crops(bundled(), "conv5", Images(168, seed=5), k=18)


@pytest.fixture
def game(crops):
    return Guessing(bundled(), crops, show="none", seed=1)


def test_answering_by_the_activation_is_always_right(game):
    for _ in range(60):
        one, other = game.question.pair
        assert game.answer(int(other.activation > one.activation))
    assert (game.score.right, game.score.of) == (60, 60)


def test_guessing_is_right_half_of_the_time(game):
    guess = random.Random(0)
    for _ in range(400):
        game.answer(guess.randrange(2))
    low, high = game.score.interval
    assert low < 0.5 < high


def test_the_pair_is_not_among_the_references(crops):
    game = Guessing(bundled(), crops, units=[3, 7], show="real")
    for _ in range(20):
        question = game.question
        assert question.unit in (3, 7)
        assert len(question.references) == REFERENCES
        shown = {crop.name for crop in crops[question.unit].top[:REFERENCES]}
        assert not shown & {crop.name for crop in question.pair}
        game.answer(0)


def test_every_unit_comes_once_before_any_comes_twice(crops):
    game = Guessing(bundled(), crops, units=range(5), show="none")
    seen = []
    for _ in range(5):
        seen.append(game.question.unit)
        game.answer(1)
    assert sorted(seen) == [0, 1, 2, 3, 4]


def test_a_drawn_picture_is_the_one_reference(crops):
    from peek_widget import Neuron, Recipe, render

    short = Recipe.preset("peek-fast").replace(steps=4)
    game = Guessing(bundled(), crops, units=[4], recipe=short, seed=2)
    (picture,) = game.question.references
    assert picture.tobytes() == render(bundled(), Neuron("conv5", 4), short, seed=2).pil().tobytes()


@pytest.mark.parametrize(("right", "of"), [(0, 1), (5, 10), (17, 20), (40, 40)])
def test_the_interval_is_wilsons(right, of):
    import scipy.stats  # 1.5 s, which whoever collects the tests need not wait for

    expected = scipy.stats.binomtest(right, of).proportion_ci(method="wilson")
    assert Score(right, of).interval == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_bad_input_gets_a_sentence(crops):
    few = top_crops(bundled(), "conv5", Images(30), k=9)
    with pytest.raises(PeekError, match="k=18"):
        Guessing(bundled(), few)
    with pytest.raises(PeekError, match="choose 'drawn', 'real' or 'none'"):
        Guessing(bundled(), crops, show="all")
    with pytest.raises(PeekError, match="unit 999"):
        Guessing(bundled(), crops, units=[999], show="none")
    with pytest.raises(PeekError, match="empty"):
        Guessing(bundled(), crops, units=[], show="none")
    with pytest.raises(PeekError, match="0 for the first"):
        Guessing(bundled(), crops, show="none").answer(2)


def test_a_click_on_the_widget_answers(crops):
    from peek_widget.game.page import GuessingGame

    page = GuessingGame(bundled(), crops, show="real", seed=3)
    asked = page.game.question
    before = page._pair[0].value
    page._buttons[asked.answer].click()
    assert page._reply.value.startswith(f"Right: unit {asked.unit}")
    assert page._score.value.startswith("1 of 1 right")
    assert page._pair[0].value != before
    page._buttons[1 - page.game.question.answer].click()
    assert page._reply.value.startswith("No: unit")

"""Progress bars: shown by default for work that takes more than two seconds, silent where told so."""

from __future__ import annotations

import itertools

import pytest
import tqdm.std

from peek_widget import Channel, Recipe, render
from peek_widget._progress import progress_bar
from tests.networks import tiny


@pytest.mark.parametrize(
    ("seconds", "progress", "shown"), [(1.0, None, False), (3.0, None, True), (1.0, True, True), (9.0, False, False)]
)
def test_a_bar_is_shown_where_the_work_takes_more_than_two_seconds(
    seconds: float, progress: bool | None, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    now = itertools.count(1000.0, seconds / 10)  # the clock goes on at every look at it
    monkeypatch.setattr(tqdm.std, "time", lambda: next(now))
    assert list(progress_bar(range(10), "Counting", progress)) == list(range(10))
    assert ("Counting" in capsys.readouterr().err) == shown


def test_render_shows_its_steps_on_request(capsys: pytest.CaptureFixture) -> None:
    recipe = Recipe.preset("peek").replace(steps=3)
    render(tiny(), Channel("forms", 1), recipe, size=24, progress=True)
    assert "3/3" in capsys.readouterr().err
    render(tiny(), Channel("forms", 1), recipe, size=24)
    assert capsys.readouterr().err == ""

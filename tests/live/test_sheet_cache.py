"""How long a sheet will take: measured, and said from its first steps on."""

from __future__ import annotations

import pytest

from peek_widget.ascent import Recipe
from peek_widget.live.sheet_cache import CachedSheet, SheetCache, SheetKey
from peek_widget.network import read
from peek_widget.sheet import Tags
from tests.networks import tiny

LAYER, UNITS = "forms", 8


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cached(recipe: Recipe | str, clock: Clock) -> CachedSheet:
    network = read(tiny(), input_size=32)
    return SheetCache(lambda: network, Tags(), clock=clock).get(SheetKey(LAYER, recipe, size=32), service_thread=True)


def step(sheet: CachedSheet, clock: Clock) -> None:
    """Make a step that takes a second."""
    sheet.scheduler.step()
    clock.now += 1.0
    sheet.note_pace(clock.now)


def test_the_time_is_said_from_the_second_step_on_and_is_right() -> None:
    clock = Clock()
    sheet = cached(Recipe.preset("peek").replace(steps=48), clock)
    assert sheet.seconds_left() == (None, None)
    step(sheet, clock)
    assert sheet.seconds_left() == (None, None)
    step(sheet, clock)
    # all eight units go through the network together: 12 steps for the previews, 48 for the pictures
    steps = 12
    assert sheet.seconds_left() == (pytest.approx(steps - 2), pytest.approx(48))
    for _ in range(3):
        step(sheet, clock)
    assert sheet.seconds_left() == (pytest.approx(steps - 5), pytest.approx(48))
    while sheet.scheduler.previewing:
        step(sheet, clock)
    assert len(sheet.sheet.drafts) == UNITS
    assert sheet.seconds_left() == (None, None)  # nothing of the pictures themselves is measured yet
    for _ in range(4):
        step(sheet, clock)
    assert sheet.seconds_left() == (None, pytest.approx(48 - 4))


def test_a_preview_by_another_recipe_says_nothing_of_the_pictures_time() -> None:
    clock = Clock()
    sheet = cached("oygard-2016", clock)
    for _ in range(3):
        step(sheet, clock)
    previews, pictures = sheet.seconds_left()
    assert previews is not None
    assert pictures is None


def test_there_are_no_previews_where_little_would_be_gained() -> None:
    clock = Clock()
    sheet = cached(Recipe.preset("peek-fast").replace(steps=22), clock)
    step(sheet, clock)
    assert not sheet.scheduler.previewing
    assert sheet.scheduler.units_left == pytest.approx(UNITS * (1 - 1 / 22))

"""A run as it really went, written down as a recipe."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from peek_widget.ascent.knobs import NUMBERS
from peek_widget.ascent.recipe import Recipe

__all__ = ["folded"]


def folded(
    recipe: Recipe, steps: int, overrides: Mapping[str, float], sides: Sequence[int] = ()
) -> tuple[Recipe, list[str]]:
    """The recipe that draws in a run of its own what another has drawn in so many steps.

    Numbers held by hand take the place of the recipe's. A run that was left early becomes a shorter recipe, whose
    schedules end where they stood; a run that was prolonged gets a further octave at its last values.

    Args:
        recipe: of the run.
        steps: made, at least 1.
        overrides: numbers that were held by hand, from the first step on.
        sides: of the picture in each octave of the run, in pixels; left out, they follow from the scales.

    Returns:
        the recipe, and in words what of the run it can't hold, mostly nothing.
    """
    lost = []
    if "jitter" in overrides and recipe.sampling == "whole" and recipe.padding and overrides["jitter"] != recipe.jitter:
        lost.append("by this recipe's jitter the picture is also cut, which a jitter set by hand leaves as it was")
    crops = any(isinstance(getattr(recipe, name)[0], tuple) for name in ("crop", "field_crop"))
    if crops and steps != recipe.steps:
        lost.append("its crops change over the run, which was not drawn to its end")
    lengths = _lengths(recipe, steps)
    scales = _scales(recipe, sides)[: len(lengths)]
    # what was looked at is the newest picture
    changes: dict[str, Any] = {"octaves": tuple(zip(lengths, scales, strict=True)), "return_best": False}
    for name in NUMBERS:
        changes[name] = overrides[name] if name in overrides else _upto(recipe, name, lengths)
    if crops:
        for name in ("crop", "field_crop"):
            pair = getattr(recipe, name)
            if isinstance(pair[0], tuple):
                changes[name] = (pair[0], recipe.shares(name, min(steps, recipe.steps)))
    return recipe.replace(**changes), lost


def _scales(recipe: Recipe, sides: Sequence[int]) -> list[float]:
    """Of the octaves, and of one that a prolonged run goes on in.

    A run's sides are rounded from its last one backwards: begun from an earlier one they can come out a pixel off,
    and then the scales are made of the sides themselves.
    """
    scales = [scale for _, scale in recipe.octaves]
    for last in range(1, len(sides) + 1):
        first = sides[last - 1] / math.prod(scales[:last])
        if [round(first * math.prod(scales[: n + 1])) for n in range(last)] != list(sides[:last]):
            return [1.0, *(two / one for one, two in itertools.pairwise(sides)), 1.0]
    return [*scales, 1.0]


def _lengths(recipe: Recipe, steps: int) -> list[int]:
    """Steps of each octave in a run of so many."""
    lengths, left = [], steps
    for length, _ in recipe.octaves:
        if left > 0:
            lengths.append(min(length, left))
            left -= length
    return [*lengths, left] if left > 0 else lengths


def _upto(recipe: Recipe, name: str, lengths: list[int]) -> Any:
    """A schedule of the recipe over octaves of these lengths, with the values that it had at each step."""
    schedule = getattr(recipe, name)
    steps, whole = sum(lengths), recipe.steps
    if not isinstance(schedule, tuple) or lengths == [length for length, _ in recipe.octaves]:
        return schedule
    if not isinstance(schedule[0], tuple):
        if steps <= whole:
            return (schedule[0], _between(schedule, steps / whole))
        bounds = [sum(length for length, _ in recipe.octaves[:count]) / whole for count in range(len(lengths))]
        pairs = [(_between(schedule, one), _between(schedule, two)) for one, two in itertools.pairwise(bounds)]
    else:
        octaves = zip(schedule, recipe.octaves, lengths, strict=False)
        pairs = [(pair[0], _between(pair, made / length)) for pair, (length, _), made in octaves]
    if steps > whole:
        held = recipe.at(name, whole - 1)
        pairs.append((held, held))
    return tuple(pairs)


def _between(pair: tuple[float, float], share: float) -> float:
    start, end = pair
    # not past the end by a rounding
    return end if share >= 1.0 else start + (end - start) * share

"""Folding the overrides of a run into its recipe, so that the recipe alone reproduces the picture."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from peek_widget.ascent.knobs import NUMBERS
from peek_widget.ascent.recipe import Recipe

__all__ = ["fold_overrides"]


def fold_overrides(
    recipe: Recipe, steps: int, overrides: Mapping[str, float], sides: Sequence[int] = ()
) -> tuple[Recipe, list[str]]:
    """Make the recipe that reproduces a run with overrides, stopped or extended as it was.

    Overrides replace the recipe's numbers. A run that was stopped early becomes a shorter recipe, whose schedules end
    where they were; a run that was extended gets a further octave with its last values.

    Args:
        recipe: recipe of the run.
        steps: number of steps that were made, at least 1.
        overrides: numbers that were overridden from the first step on, by name.
        sides: side of the picture in each octave of the run, in pixels; left out, they follow from the scales.

    Returns:
        The recipe, and a sentence part for each property of the run that no recipe can reproduce; mostly none.
    """
    lost = []
    if "jitter" in overrides and recipe.sampling == "whole" and recipe.padding and overrides["jitter"] != recipe.jitter:
        lost.append("this recipe's jitter also crops the picture, which an overridden jitter does not change")
    crops = any(isinstance(getattr(recipe, name)[0], tuple) for name in ("crop", "field_crop"))
    if crops and steps != recipe.steps:
        lost.append("its crops change over the run, which was not drawn to its end")
    lengths = _lengths(recipe, steps)
    scales = _scales(recipe, sides)[: len(lengths)]
    # since the explorer shows the last picture, not the best one
    changes: dict[str, Any] = {"octaves": tuple(zip(lengths, scales, strict=True)), "return_best": False}
    for name in NUMBERS:
        changes[name] = overrides[name] if name in overrides else _schedule(recipe, name, lengths)
    if crops:
        for name in ("crop", "field_crop"):
            pair = getattr(recipe, name)
            if isinstance(pair[0], tuple):
                changes[name] = (pair[0], recipe.shares(name, min(steps, recipe.steps)))
    return recipe.replace(**changes), lost


def _scales(recipe: Recipe, sides: Sequence[int]) -> list[float]:
    """Return the scales of the octaves, and a scale of 1 for the one that an extended run gets.

    A run computes its sides from the last one backwards; a recipe that ends at an earlier octave can come out a pixel
    off, in which case the scales are computed from the sides themselves.
    """
    scales = [scale for _, scale in recipe.octaves]
    for last in range(1, len(sides) + 1):
        first = sides[last - 1] / math.prod(scales[:last])
        if [round(first * math.prod(scales[: n + 1])) for n in range(last)] != list(sides[:last]):
            return [1.0, *(two / one for one, two in itertools.pairwise(sides)), 1.0]
    return [*scales, 1.0]


def _lengths(recipe: Recipe, steps: int) -> list[int]:
    """Return the number of steps of each octave in a run of ``steps`` steps."""
    lengths, left = [], steps
    for length, _ in recipe.octaves:
        if left > 0:
            lengths.append(min(length, left))
            left -= length
    return [*lengths, left] if left > 0 else lengths


def _schedule(recipe: Recipe, name: str, lengths: list[int]) -> Any:
    """Return a schedule over octaves of these lengths, which has the recipe's value at each step."""
    schedule = getattr(recipe, name)
    steps, whole = sum(lengths), recipe.steps
    if not isinstance(schedule, tuple) or lengths == [length for length, _ in recipe.octaves]:
        return schedule
    if not isinstance(schedule[0], tuple):
        if steps <= whole:
            return (schedule[0], _interpolate(schedule, steps / whole))
        bounds = [sum(length for length, _ in recipe.octaves[:count]) / whole for count in range(len(lengths))]
        pairs = [(_interpolate(schedule, one), _interpolate(schedule, two)) for one, two in itertools.pairwise(bounds)]
    else:
        octaves = zip(schedule, recipe.octaves, lengths, strict=False)
        pairs = [(pair[0], _interpolate(pair, made / length)) for pair, (length, _), made in octaves]
    if steps > whole:
        held = recipe.at(name, whole - 1)
        pairs.append((held, held))
    return tuple(pairs)


def _interpolate(pair: tuple[float, float], share: float) -> float:
    start, end = pair
    # the exact last value at the end, in spite of rounding
    return end if share >= 1.0 else start + (end - start) * share

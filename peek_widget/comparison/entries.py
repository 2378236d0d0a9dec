"""The entries of a comparison: two to six that differ in one thing, with captions and a title."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

from peek_widget.ascent import Logit, Objective, Recipe, unit_objective
from peek_widget.ascent.engine import as_recipe
from peek_widget.errors import PeekError
from peek_widget.network import OUTPUT, Network

__all__ = ["FEWEST", "MOST", "Entry", "entries"]

FEWEST, MOST = 2, 6
"""Number of pictures side by side: fewer are not a comparison, and more are too small to see."""


@dataclass(frozen=True)
class Entry:
    """One of the pictures of a comparison.

    Attributes:
        caption: what sets the picture apart: a recipe's name, `seed 3`, `unit 17`.
        unit: objective of the unit that it shows, by which it is measured.
        objective: objective that is maximized: the unit's own, or its negative.
        recipe: recipe that it is drawn by.
        seed: seed of its start and views.
        start: a picture that it begins from, as `render` takes one, or None for the recipe's own start.
    """

    caption: str
    unit: Objective
    objective: Objective
    recipe: Recipe
    seed: int
    start: Any = field(default=None, compare=False)


def entries(
    network: Network,
    layer: str,
    unit: int | None,
    *,
    recipes: Iterable[Recipe | str] | None = None,
    seeds: Iterable[int] | None = None,
    units: Iterable[int] | None = None,
    recipe: Recipe | str | None = None,
    seed: int = 0,
    class_names: Sequence[str] = (),
    objective: Callable[[int], Objective] | None = None,
    negative: bool = False,
    start: Any = None,
) -> tuple[list[Entry], str]:
    """Make the entries of a comparison and its title; see `compare` for the other arguments and the errors.

    Args:
        class_names: names of the model's classes, where they are known.
        objective: makes the objective of a unit; left out, its center neuron, or the class.
        negative: minimize the objective instead.
        start: a picture to begin from.

    Returns:
        The entries and a title.
    """
    network.layer(layer)
    given = {"recipes": recipes, "seeds": seeds, "units": units}
    chosen = [name for name, values in given.items() if values is not None]
    if len(chosen) != 1:
        got = "none of them was" if not chosen else f"{' and '.join(chosen)} were"
        raise PeekError(f"Compare one thing: recipes=[...], seeds=[...] or units=[...]; {got} given.")
    (what,) = chosen
    values = _several(what, given[what])
    if what == "units":
        numbers = [_unit_of(value) for value in values]
    elif unit is None:
        raise PeekError(f"Which unit? Give its number: compare(model, {layer!r}, 7, {what}=[...]).")
    else:
        numbers = [unit] * len(values)
    chosen_recipes = [as_recipe(value) for value in values] if what == "recipes" else [as_recipe(recipe)] * len(values)
    chosen_seeds = [_seed(value) for value in values] if what == "seeds" else [_seed(seed)] * len(values)
    for number in numbers:
        network.check_unit(layer, number)
    if what == "recipes":
        captions = _recipe_captions(chosen_recipes)
    elif what == "seeds":
        captions = [f"seed {value}" for value in chosen_seeds]
    else:
        captions = [_unit_name(network, layer, value, class_names) for value in numbers]
    made = []
    for caption, number, one_recipe, one_seed in zip(captions, numbers, chosen_recipes, chosen_seeds, strict=True):
        positive = objective(number) if objective is not None else unit_objective(network, layer, number)
        made.append(Entry(caption, positive, -positive if negative else positive, one_recipe, one_seed, start))
    where = f"layer {layer}" if layer else "the output"
    name = _unit_name(network, layer, numbers[0], class_names)
    title = {
        "recipes": f"{name} of {where}, seed {chosen_seeds[0]}",
        "seeds": f"{name} of {where}, {chosen_recipes[0].name}",
        "units": f"{where}, {chosen_recipes[0].name}, seed {chosen_seeds[0]}",
    }[what]
    return made, title[:1].upper() + title[1:]


def _several(what: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise PeekError(f"{what}={values!r}: give a list of {FEWEST} to {MOST}, e.g. {_EXAMPLES[what]}.")
    found = list(values)
    if not FEWEST <= len(found) <= MOST:
        raise PeekError(
            f"{what} has {len(found)}: give {FEWEST} to {MOST}, e.g. {_EXAMPLES[what]}. More than {MOST} pictures are "
            "what render(model, [objectives]) is for."
        )
    if any(one in found[:number] for number, one in enumerate(found)):
        raise PeekError(f"{what}={found!r} has one of them twice: the two pictures would be the same.")
    return found


_EXAMPLES = {"recipes": '["peek", "oygard-2016"]', "seeds": "[0, 1, 2]", "units": "[7, 8, 9]"}


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, SupportsIndex) or not 0 <= int(seed) < 2**63:
        raise PeekError(f"seed={seed!r}: give a whole number from 0 to {2**63 - 1}.")
    return int(seed)


def _unit_of(unit: Any) -> Any:
    # numpy's integers are units too; check_unit refuses anything else, in a sentence
    return int(unit) if isinstance(unit, SupportsIndex) and not isinstance(unit, bool) else unit


def _unit_name(network: Network, layer: str, unit: int, class_names: Sequence[str]) -> str:
    if layer == OUTPUT and unit < len(class_names):
        return class_names[unit]
    return f"class {unit}" if isinstance(unit_objective(network, layer, unit), Logit) else f"unit {unit}"


def _recipe_captions(recipes: Sequence[Recipe]) -> list[str]:
    """Caption recipes by their names, and those that share a name also by the fields in which they differ."""
    captions = []
    for recipe in recipes:
        same = [other for other in recipes if other.name == recipe.name]
        differing = [
            f"{each.name}={_value(getattr(recipe, each.name))}"
            for each in dataclasses.fields(Recipe)
            if len({getattr(other, each.name) for other in same}) > 1
        ]
        captions.append(", ".join([recipe.name, *differing]))
    return captions


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

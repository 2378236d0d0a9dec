"""The controls of an explorer, each described once: its default, and how it is checked, stored and sent.

`Controls` determines the synced traits of `UnitExplorer` (`peek_widget.traits`), the arguments of its constructor, the
JSON of its state, the line of Python that recreates it, and the front end's types (`scripts/generate_protocol.py`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from peek_widget._schema import Check, nullable, number, pair, short, switch, text, whole
from peek_widget._size import SizeLike
from peek_widget.ascent import KNOBS, Objective, Recipe
from peek_widget.ascent.recipe import check_size
from peek_widget.errors import FileError, PeekError
from peek_widget.live.choices import Choices, check_at, check_device, check_objective, check_unit
from peek_widget.live.snapshot import Start, Target
from peek_widget.network import OUTPUT

__all__ = [
    "CONTROLS",
    "CONTROL_NAMES",
    "KNOB_NAMES",
    "LARGEST_SEED",
    "MOST_SEEDS",
    "Control",
    "Controls",
    "check_seed",
    "read_state",
    "recipe_name",
]

FORMAT = 1
"""Version of the format of a state."""

LONGEST_STATE = 1024 * 1024
MOST_SEEDS = 4
"""Maximum number of seeds that an explorer draws at once."""

LARGEST_SEED = 2**53 - 1
"""Largest seed: the front end counts in doubles, which do not represent every larger integer."""

_LARGEST_UNIT = 2**31 - 1
_LARGEST_SIDE = 65_536

Rule = Callable[[Any, "Controls", Choices], Any]
"""Takes a control's proposed value, the other controls and the choices; returns the value to use or raises
PeekError."""


@dataclass(frozen=True)
class Control:
    """The description of one control for the rest of the package.

    Attributes:
        rule: check of a value against the model and the other controls, see `Rule`.
        read: check of a value from the JSON of a state.
        page_type: TypeScript type of the value in the front end.
        label: label of the control in the page; "" if the page has its own (knobs have theirs in `KNOBS`).
        to_page: conversion of the value for the front end.
        new_run: whether another value begins a new run.
        stored: whether the control belongs to the state and to the line of Python; the machine's device does not.
        in_code: whether the line of Python includes the control if it differs from its default.
        apply: name of the method of `RunService` that takes each new value at once, for a control that neither begins a
            new run nor is a knob; "" for none.
        knob: whether the control overrides the number of the same name in the recipe, even during a run.
    """

    rule: Rule
    read: Check
    page_type: str
    to_page: Callable[[Any], Any] = lambda value: value
    new_run: bool = True
    stored: bool = True
    in_code: bool = True
    apply: str = ""
    knob: bool = False
    label: str = ""


def recipe_name(recipe: Recipe | str) -> str:
    """Return the name of a recipe in the front end."""
    return recipe.name if isinstance(recipe, Recipe) else str(recipe)


def _check_recipe(value: Any, now: Controls, choices: Choices) -> Recipe | str:
    recipe = choices.check_recipe(value)
    for name, override in now.overrides.items():
        _check_override(name, override, recipe)
    return recipe


def _check_override(name: str, value: float, recipe: Recipe | str) -> None:
    plain = recipe if isinstance(recipe, Recipe) else Recipe.preset(recipe)
    try:
        plain.check_use(name, value)
    except PeekError as error:
        raise PeekError(f"{name}={value:g} is not possible with the recipe {plain.name!r}: {error}") from error


def _knob(name: str) -> Control:
    def rule(value: Any, now: Controls, choices: Choices) -> float | None:
        if value is None:
            return None
        checked = KNOBS[name].check(value)
        _check_override(name, checked, now.recipe)
        return checked

    return Control(rule, nullable(number()), "number | null", new_run=False, knob=True)


def check_seed(value: Any) -> int:
    """Return a seed that the front end can represent; PeekError if it is not such a seed."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_SEED:
        raise PeekError(f"A seed is a whole number in the explorer from 0 to 2**53 - 1; {value!r} was given.")
    return value


def _seed_rule(value: Any, now: Controls, choices: Choices) -> int:
    return check_seed(value)


def _check_layer(value: Any, now: Controls, choices: Choices) -> str:
    return choices.network().layer(value).name


def _check_size(value: Any, now: Controls, choices: Choices) -> SizeLike | None:
    return None if value is None else check_size(value)


def _read_size(name: str, value: Any) -> SizeLike:
    side = whole(_LARGEST_SIDE)
    return pair(side)(name, value) if isinstance(value, list | tuple) else side(name, value)


def _size_to_page(value: SizeLike | None) -> int | list[int] | None:
    return list(value) if isinstance(value, tuple) else value


def _check_switch(value: Any, now: Controls, choices: Choices) -> bool:
    return bool(value)


def _check_seeds_at_once(value: Any, now: Controls, choices: Choices) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SEEDS:
        raise PeekError(
            f"seeds_at_once={value!r}: give a whole number from 1 to {MOST_SEEDS}, or None for as many as the device "
            "draws in about the time of one."
        )
    return value


def _position_to_page(value: tuple[int, int] | None) -> list[int] | None:
    return None if value is None else list(value)


def _read_recipe(name: str, value: Any) -> Recipe | str:
    if isinstance(value, str):
        return text(200)(name, value)
    if not isinstance(value, dict):
        raise FileError(f"{name} is a {type(value).__name__}: the name of a preset or a recipe's fields are needed.")
    return Recipe.from_json(json.dumps(value))


def _objective_to_page(value: Objective | str) -> str:
    return value if isinstance(value, str) else "custom"


@dataclass(frozen=True, kw_only=True)
class Controls:
    """The values of all controls at one time, in the order in which they are checked.

    Attributes:
        layer: name of the layer, as in `model.named_modules()`; `""` is the model's output.
        unit: number of the unit in its layer, from 0.
        recipe: the name of a preset or a `Recipe`.
        blur: override of the recipe's blur; None, as for the other knobs, keeps the recipe's value.
        jitter: override of the recipe's jitter.
        decay: override of the recipe's decay.
        total_variation: override of the recipe's weight of total variation.
        step_size: override of the recipe's step size.
        seed: seed of the random numbers, 0 to 2**53 - 1.
        size: size of the picture in pixels: the side of a square, or (height, width); None leaves it to the recipe and
            the model.
        objective: what is maximized: "neuron", "channel", "class" or an `Objective`.
        at: position (row, column) of the neuron on the layer's feature map; None is the center.
        negative: whether to minimize the objective.
        device: device to compute on.
        seeds_at_once: number of seeds drawn at once, 1 to 4; None for as many as the device draws in about the time of
            one.
        playing: whether the run goes on.
        redraw: whether a finished run restarts automatically when the model's weights have changed.
    """

    layer: Annotated[str, Control(_check_layer, text(1000), "string", label="Layer")] = OUTPUT
    unit: Annotated[int, Control(check_unit, whole(_LARGEST_UNIT), "number", label="Unit")] = 0
    recipe: Annotated[Recipe | str, Control(_check_recipe, _read_recipe, "string", recipe_name, label="Recipe")] = (
        "peek"
    )
    blur: Annotated[float | None, _knob("blur")] = None
    jitter: Annotated[float | None, _knob("jitter")] = None
    decay: Annotated[float | None, _knob("decay")] = None
    total_variation: Annotated[float | None, _knob("total_variation")] = None
    step_size: Annotated[float | None, _knob("step_size")] = None
    seed: Annotated[int, Control(_seed_rule, whole(LARGEST_SEED), "number", label="Seed")] = 0
    size: Annotated[
        SizeLike | None,
        Control(
            _check_size, nullable(_read_size), "number | readonly [number, number] | null", _size_to_page, label="Size"
        ),
    ] = None
    objective: Annotated[
        Objective | str | None,
        Control(check_objective, nullable(text(20)), "ObjectiveKind", _objective_to_page, label="Objective"),
    ] = None
    at: Annotated[
        tuple[int, int] | None,
        Control(check_at, nullable(pair(whole(_LARGEST_SIDE))), "readonly [number, number] | null", _position_to_page),
    ] = None
    negative: Annotated[bool, Control(_check_switch, switch, "boolean", label="minimize")] = False
    device: Annotated[str, Control(check_device, text(100), "string", stored=False)] = "cpu"
    seeds_at_once: Annotated[
        int | None,
        Control(_check_seeds_at_once, nullable(whole(MOST_SEEDS, 1)), "number | null", label="Seeds at once"),
    ] = None
    playing: Annotated[bool, Control(_check_switch, switch, "boolean", new_run=False, in_code=False)] = True
    redraw: Annotated[
        bool,
        Control(_check_switch, switch, "boolean", new_run=False, apply="set_redraw"),
    ] = False

    @classmethod
    def of(cls, source: Any) -> Controls:
        """Return the controls that an object, such as an explorer, has as attributes."""
        return cls(**{name: getattr(source, name) for name in CONTROL_NAMES})

    def checked(self, choices: Choices) -> Controls:
        """Return the controls, checked in the order of the fields; see `Control.rule`."""
        now = self
        for name, control in CONTROLS.items():
            now = dataclasses.replace(now, **{name: control.rule(getattr(now, name), now, choices)})
        return now

    def values(self) -> dict[str, Any]:
        """Return the controls by name."""
        return {name: getattr(self, name) for name in CONTROL_NAMES}

    @property
    def overrides(self) -> dict[str, float]:
        """The knobs that override the recipe, by name."""
        return {name: value for name in KNOB_NAMES if (value := getattr(self, name)) is not None}

    def knobs(self) -> dict[str, float | None]:
        """Return all knobs by name, None for those left to the recipe."""
        return {name: getattr(self, name) for name in KNOB_NAMES}

    def effective_recipe(self) -> Recipe:
        """Return the recipe with the overrides applied, named after both."""
        recipe = self.recipe if isinstance(self.recipe, Recipe) else Recipe.preset(self.recipe)
        held = self.overrides
        if not held:
            return recipe
        words = ", ".join([recipe.name, *(f"{name}={value:g}" for name, value in held.items())])
        return recipe.replace(**held, name=words[:200])

    def target(self, *, start: Start | None = None, name: str = "", device: str | None = None) -> Target:
        """Return what to draw.

        Args:
            start: initial image; None for the recipe's own start.
            name: name of the unit; "" if it has no name.
            device: device to compute on; None for the model's.
        """
        known = {field.name for field in dataclasses.fields(Target)} & set(CONTROL_NAMES) - {"device"}
        return Target(**{each: getattr(self, each) for each in known}, start=start, name=name, device=device)

    def state(self) -> str:
        """Return the stored controls as JSON, for `read_state`."""
        values = {name: getattr(self, name) for name, control in CONTROLS.items() if control.stored}
        if isinstance(values["objective"], Objective):
            raise PeekError("An Objective can't be part of a state, which is text: set objective to a name first.")
        if isinstance(values["recipe"], Recipe):
            values["recipe"] = json.loads(values["recipe"].to_json())
        return json.dumps({"format": FORMAT, **values})


_HINTS = get_type_hints(Controls, include_extras=True)
CONTROLS: dict[str, Control] = {
    field.name: _HINTS[field.name].__metadata__[0] for field in dataclasses.fields(Controls)
}
"""The description of each control, by name."""

CONTROL_NAMES: tuple[str, ...] = tuple(CONTROLS)
KNOB_NAMES: tuple[str, ...] = tuple(name for name, control in CONTROLS.items() if control.knob)


def _read_format(name: str, value: Any) -> int:
    if type(value) is int and value > FORMAT:
        raise FileError("The state was written by a newer peek_widget, in a way that this one can't read: update it.")
    if type(value) is not int or value != FORMAT:
        raise FileError(f"{name} is {short(value)}; the only format of a state so far is {FORMAT}.")
    return value


def read_state(given: str | bytes | Mapping[str, Any]) -> dict[str, Any]:
    """Return the controls that `Controls.state` wrote, by name.

    Only the type and the size of each value are checked here; `Controls.checked` checks whether the model can have it.

    Args:
        given: the JSON, or the equivalent dict.

    Raises:
        FileError: if it is not a JSON object, has an unknown field, or has a field of the wrong type.
        RecipeError: for a recipe that is not possible.
    """
    if isinstance(given, str | bytes):
        if len(given) > LONGEST_STATE:
            raise FileError(f"The state has {len(given)} characters: none that an explorer wrote has over a million.")
        try:
            given = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise FileError(f"A state is JSON, as explorer.state has it, and this is not: {error}.") from error
    if not isinstance(given, Mapping):
        raise FileError(f"A state is a JSON object, as explorer.state has it; this is a {type(given).__name__}.")
    if "format" in given:
        _read_format("format", given["format"])
    fields = {name: control.read for name, control in CONTROLS.items() if control.stored}
    for name in given:
        if name not in fields and name != "format":
            raise FileError(f"A state has no field {str(name)[:60]!r}; it has format, {', '.join(fields)}.")
    # a missing field keeps its default: earlier versions wrote fewer fields
    return {name: fields[name](name, value) for name, value in given.items() if name != "format"}

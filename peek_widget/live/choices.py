"""The choices for a model: objectives, positions, recipes and devices, and the checks of a choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch

from peek_widget.ascent import Objective, Recipe, position, presets, unit_objective
from peek_widget.errors import PeekError, RecipeError, UnitError
from peek_widget.live.snapshot import Target
from peek_widget.network import OUTPUT, Layer, Network

__all__ = [
    "Choices",
    "Selection",
    "check_at",
    "check_device",
    "check_kind",
    "check_objective",
    "check_position",
    "check_unit",
    "devices",
    "kinds",
    "named_device",
    "objective_of",
    "usual_kind",
]


class Selection(Protocol):
    """The controls that determine the other choices: an explorer's or a `Controls`."""

    @property
    def layer(self) -> Any:
        """The layer's name."""

    @property
    def unit(self) -> int:
        """The unit's number."""


class Choices:
    """The choices that an explorer offers.

    Args:
        network: returns the current network.
        recipes: names of the presets that are offered, the default first; None offers all.

    Raises:
        RecipeError: for a name that is not a preset, or for no names.
    """

    def __init__(self, network: Callable[[], Network], recipes: Iterable[str] | None = None) -> None:
        self.network = network
        names = tuple(presets()) if recipes is None else (recipes,) if isinstance(recipes, str) else tuple(recipes)
        if not names:
            raise RecipeError(
                f"recipes= is empty: name at least one of {', '.join(presets())}, or leave it out for all."
            )
        for name in names:
            Recipe.preset(name)
        self.recipes: tuple[str, ...] = names

    def check_recipe(self, recipe: Any) -> Recipe | str:
        """Return a `Recipe`, or the name of a preset that is offered.

        Raises:
            RecipeError: for anything else.
        """
        if isinstance(recipe, Recipe):
            return recipe
        if isinstance(recipe, str):
            Recipe.preset(recipe)
            if recipe not in self.recipes:
                raise RecipeError(f"The recipe {recipe!r} is not offered: choose one of {', '.join(self.recipes)}.")
            return recipe
        raise RecipeError(
            f"A recipe is the name of a preset ({', '.join(Recipe.presets())}) or a Recipe, "
            f"not a {type(recipe).__name__}."
        )


def kinds(layer: Layer) -> tuple[str, ...]:
    """Return the objectives that a layer's units can be drawn for, the default one first.

    "neuron" is the unit at one position of its map, "channel" its mean over the map, "class" the model's logit.
    """
    if layer.name != OUTPUT:
        return ("neuron", "channel")
    return ("neuron", "channel", "class") if layer.spatial else ("class",)


def usual_kind(layer: Layer) -> str:
    """Return the default objective of a layer's units: the center neuron, or the class."""
    return kinds(layer)[0]


def check_kind(layer: Layer, kind: Any) -> str:
    """Return the name of an objective; PeekError if the layer's units can't be drawn for it."""
    possible = kinds(layer)
    if isinstance(kind, str) and kind in possible:
        return kind
    what = "the output" if layer.name == OUTPUT else f"layer {layer.name}"
    why = ""
    if kind == "class":
        why = ": only the model's output has classes"
    elif kind in ("neuron", "channel"):
        why = ": its output has no map"
    raise PeekError(
        f"objective={kind!r} is not available for {what}{why}. Choose one of {', '.join(map(repr, possible))}."
    )


def check_position(layer: Layer, at: Any) -> tuple[int, int] | None:
    """Return a position (row, column) on the layer's map, None for its center; UnitError if it is not a position."""
    if at is None:
        return None
    if not layer.spatial:
        what = "the output" if layer.name == OUTPUT else f"layer {layer.name}"
        raise UnitError(f"at={at!r}: {what} has no map to choose a position on; leave at as None.")
    found = position.as_position(at)
    position.check_position(found, layer.name, layer)
    return found


def check_unit(unit: Any, now: Selection, choices: Choices) -> int:
    """Return the number of a unit of the chosen layer; UnitError if the layer has no such unit."""
    choices.network().check_unit(now.layer, unit)
    return unit


def check_objective(objective: Any, now: Selection, choices: Choices) -> Objective | str:
    """Return the objective: the layer's default for None, an `Objective` unchanged, or a possible name."""
    network = choices.network()
    layer = network.layer(now.layer)
    if objective is None:
        return usual_kind(layer)
    if isinstance(objective, Objective):
        for name in objective.layers:
            network.layer(name)
        return objective
    return check_kind(layer, objective)


def check_at(at: Any, now: Selection, choices: Choices) -> tuple[int, int] | None:
    """Return a position on the map of the chosen layer, see `check_position`."""
    return check_position(choices.network().layer(now.layer), at)


def check_device(device: Any, now: Selection, choices: Choices) -> str:
    """Return a device's full name, see `named_device`; the model's current device is always possible."""
    if device == str(choices.network().model_copy.device):
        return device
    return named_device(device)


def objective_of(network: Network, target: Target) -> Objective:
    """Return the objective of a target, before `negative` changes its sign."""
    if isinstance(target.objective, Objective):
        return target.objective
    return unit_objective(network, target.layer, target.unit, target.objective, target.at)


def devices() -> list[str]:
    """Return the names of the devices of this machine, as `device` accepts them."""
    found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    # there is at most one other kind, such as "xpu"; torch before 2.6 does not report it
    accelerator = getattr(torch, "accelerator", None)
    other = None if accelerator is None else accelerator.current_accelerator()
    if other is not None and other.type not in ("cuda", "mps"):
        found += [f"{other.type}:{number}" for number in range(accelerator.device_count())]
    return found


def named_device(device: Any) -> str:
    """Return a device's full name, "cuda:0" for "cuda"; PeekError if this machine does not have it."""
    here = devices()
    try:
        name = str(torch.device(device))
    except (RuntimeError, TypeError):
        name = ""
    if name.partition(":")[0] in ("cpu", "mps"):
        name = {"mps:0": "mps", "cpu:0": "cpu"}.get(name, name)
    elif name and ":" not in name:
        name = f"{name}:0"
    if name not in here:
        raise PeekError(
            f"device={device!r}: this machine can compute on {', '.join(map(repr, here))}; choose one of these."
        )
    return name

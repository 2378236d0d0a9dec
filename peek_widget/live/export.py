"""What of an explorer can be taken away: its picture with its recipe, its state as JSON, a line of Python."""

from __future__ import annotations

import collections
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from peek_widget.ascent import KNOBS, Drawing, Objective, Recipe, fingerprint
from peek_widget.ascent.fold_overrides import folded
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.serialization import text, whole
from peek_widget.errors import FileError
from peek_widget.live.protocol import KNOB_NAMES
from peek_widget.live.snapshot import Snapshot
from peek_widget.network import Network

__all__ = ["JobQueue", "code", "drawing_of", "file_name", "read_state", "state_json"]

log: logging.Logger = logging.getLogger("peek_widget")

FORMAT = 1
LONGEST_STATE = 1024 * 1024
LARGEST_SEED = 2**31 - 1


class JobQueue:
    """Small jobs that the worker does between two steps, so that no handler of a message has to wait for them."""

    blocking = False

    def __init__(self) -> None:
        self._jobs: collections.deque[Callable[[], None]] = collections.deque()

    def add(self, job: Callable[[], None]) -> None:
        """Have that done soon."""
        self._jobs.append(job)

    def ready(self, watched: bool) -> bool:
        """Whether there is one."""
        return bool(self._jobs)

    def run_once(self) -> None:
        """Do the one that waits longest."""
        job = self._jobs.popleft()
        try:
            job()
        except Exception as error:
            log.error("What the page asked for failed: %s", error, exc_info=error)


def drawing_of(snapshot: Snapshot, network: Network, objective: Objective) -> tuple[Drawing, str]:
    """What a picture was drawn from, such that drawing it gives this picture again.

    Settings made by hand are folded into the recipe, and a run that was left early or prolonged becomes a recipe of
    that length.

    Returns:
        the drawing, and a sentence on what of the picture it can't give back, "" where it gives all of it.
    """
    target, recipe = snapshot.target, snapshot.recipe
    sides = Geometry(network, recipe, target.size).sides
    written, lost = folded(recipe, snapshot.step, snapshot.overrides, sides)
    if snapshot.edited:
        lost.append("a setting was changed while it drew, and only the last values are kept")
    if target.start is not None:
        lost.append(f"it was begun from {target.start.name}, which is not kept")
    drawing = Drawing(objective, written, target.seed, int(snapshot.image.shape[-1]), fingerprint(network))
    return drawing, f"Its recipe draws a somewhat different picture: {'; '.join(lost)}." if lost else ""


def file_name(snapshot: Snapshot, ending: str) -> str:
    """A name for a file, of letters that every system takes: `features.12-unit-10-peek-seed-0.png`."""
    target = snapshot.target
    words = f"{target.layer or 'output'}-unit-{target.unit}-{snapshot.recipe.name}-seed-{target.seed}"
    return f"{re.sub(r'[^A-Za-z0-9._=-]+', '_', words).strip('._')[:120] or 'picture'}{ending}"


# The state


def state_json(values: Mapping[str, Any]) -> str:
    """The controls as JSON, for `read_state`."""
    return json.dumps({"format": FORMAT, **{name: _written(value) for name, value in values.items()}})


def read_state(given: Any, known: Mapping[str, Callable[[str, Any], Any]] | None = None) -> dict[str, Any]:
    """The controls that `state_json` wrote, as arguments of an explorer.

    What a control may be is checked as if it had been given in Python; here only its kind and its size.

    Args:
        given: the JSON, or the dict that it stands for.
        known: further fields, and what checks them.

    Raises:
        FileError: if it is no JSON object, or has a field that no explorer has, or one of a wrong kind.
        RecipeError: for a recipe that can't be.
    """
    if isinstance(given, str | bytes):
        if len(given) > LONGEST_STATE:
            raise FileError(f"The state has {len(given)} characters: none that an explorer wrote has over a million.")
        try:
            given = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise FileError(f"A state is JSON, as explorer.state_json() gives it, and this is not: {error}.") from error
    if not isinstance(given, Mapping):
        raise FileError(
            f"A state is a JSON object, as explorer.state_json() gives it; this is a {type(given).__name__}."
        )
    fields = {**_FIELDS, **(known or {})}
    if type(given.get("format")) is int and given["format"] > FORMAT:
        raise FileError("The state was written by a newer peek_widget, in a way that this one can't read: update it.")
    for name in given:
        if name not in fields:
            raise FileError(f"A state has no field {str(name)[:60]!r}; it has {', '.join(fields)}.")
    # what is left out stays as it is by itself: earlier versions have written fewer fields
    found = {name: fields[name](name, value) for name, value in given.items()}
    found.pop("format", None)
    return found


def _written(value: Any) -> Any:
    return json.loads(value.to_json()) if isinstance(value, Recipe) else value


def _format(name: str, value: Any) -> int:
    if type(value) is not int or value != FORMAT:
        raise FileError(f"{name} is not {FORMAT}, the only way of writing a state down that there has been.")
    return value


def _recipe(name: str, value: Any) -> Recipe | str:
    if isinstance(value, str):
        return text(200)(name, value)
    if not isinstance(value, dict):
        raise FileError(f"{name} is a {type(value).__name__}: the name of a preset or a recipe's fields are needed.")
    return Recipe.from_json(json.dumps(value))


def _number(name: str, value: Any) -> float | None:
    if value is not None and type(value) not in (int, float):
        raise FileError(f"{name} is a {type(value).__name__}: a number is needed, or null for what the recipe says.")
    return value


def _size(name: str, value: Any) -> int | None:
    return None if value is None else whole(65_536)(name, value)


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise FileError(f"{name} is a {type(value).__name__}: true or false is needed.")
    return value


def _objective(name: str, value: Any) -> str | None:
    return None if value is None else text(20)(name, value)


def _place(name: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise FileError(f"{name} is not a place: [row, column] is needed, or null for the middle.")
    row, column = (whole(65_536)(name, one) for one in value)
    return row, column


_FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "format": _format,
    "layer": text(1000),
    "unit": whole(LARGEST_SEED),
    "recipe": _recipe,
    **dict.fromkeys(KNOB_NAMES, _number),
    "seed": whole(LARGEST_SEED),
    "size": _size,
    "objective": _objective,
    "at": _place,
    "negative": _switch,
    "playing": _switch,
}


# A line of Python


def code(model: Any, values: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The call that makes an explorer with these controls; what it would be by itself is left out.

    Args:
        model: as it was given: None for the bundled network, a name, or a model, which goes by the name `model`.
        values: the controls.
        given: further arguments that were given. Those that can't be written as a literal go by their own names.
    """
    arguments = [] if model is None else [repr(model) if isinstance(model, str) else "model"]
    arguments += [f"{name}={_literal(name, value)}" for name, value in given.items() if value is not None]
    arguments += [
        f"{name}={_literal(name, value)}"
        for name, value in values.items()
        if name != "playing" and (name not in _USUAL or value != _USUAL[name])
    ]
    return f"UnitExplorer({', '.join(arguments)})"


_USUAL: dict[str, Any] = {
    "unit": 0,
    "recipe": "peek",
    "seed": 0,
    "size": None,
    "objective": None,
    "at": None,
    "negative": False,
    **dict.fromkeys(KNOBS),
}


def _literal(name: str, value: Any) -> str:
    if isinstance(value, Recipe):
        return recipe_code(value)
    return repr(value) if isinstance(value, str | int | float | tuple) else name


def recipe_code(recipe: Recipe) -> str:
    """The recipe in Python: its preset and what differs from it, or all that differs from a plain `Recipe()`."""
    base, called = Recipe(), "Recipe("
    if recipe.name in Recipe.presets():
        base = Recipe.preset(recipe.name)
        called = f"Recipe.preset({recipe.name!r})"
        if recipe == base:
            return called
        called += ".replace("
    differing = {name: value for name, value in vars(recipe).items() if value != getattr(base, name)}
    return f"{called}{', '.join(f'{name}={value!r}' for name, value in differing.items())})"

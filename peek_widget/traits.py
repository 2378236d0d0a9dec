"""The kinds of traits that `UnitExplorer` has: controls, descriptions, and what its threads publish.

Each belongs to an explorer: an object with the attributes `_closed`, `_sync` (`ControlSync`) and `_parts` (`Assembly`).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import traitlets
from torch import nn
from traitlets import TraitError

from peek_widget._size import SizeLike
from peek_widget.ascent import KNOBS, Objective, Recipe
from peek_widget.ascent.recipe import check_size
from peek_widget.errors import PeekError
from peek_widget.live.controls import CONTROLS, Controls

__all__ = [
    "CLOSED",
    "ControlTrait",
    "DictTrait",
    "IntTrait",
    "KnobTrait",
    "LayerTrait",
    "ListTrait",
    "ObjectiveTrait",
    "PositionTrait",
    "ReadOnlyTrait",
    "RecipeTrait",
    "SizeTrait",
    "StreamTrait",
    "SwitchTrait",
    "TagTrait",
    "TextTrait",
    "check_attribute",
]

CLOSED = "This explorer is closed: make a new one with UnitExplorer(model, ...)."

_Got = TypeVar("_Got")
_Set = TypeVar("_Set")
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Controls)}

if TYPE_CHECKING:
    _Dict = traitlets.Dict[str, Any]
else:
    _Dict = traitlets.Dict  # generic for type checkers only


def check_attribute(kind: type, name: str, arguments: Collection[str]) -> None:
    """Refuse an attribute of an explorer that would have no effect.

    Users may set attributes of their own, as on every widget; a name close to a control's is taken for a typo.

    Args:
        kind: class of the explorer.
        name: name of the attribute that is set.
        arguments: names of what the class is made with.

    Raises:
        AttributeError: for a name near that of a control, and for what only the constructor takes.
    """
    if name.startswith("_") or hasattr(kind, name):
        return
    if name in arguments:
        raise AttributeError(
            f"{name} is given when an explorer is made and cannot be set later: make another one, "
            f"UnitExplorer(model, {name}=...)."
            if name != "model"
            else "An explorer shows the model that it was made with: make another one, UnitExplorer(model, ...)."
        )
    possible = (*CONTROLS, "tags", "tag_keys", "layout")
    near = difflib.get_close_matches(name.lower(), possible, n=1, cutoff=0.75)
    if near:
        raise AttributeError(
            f"An explorer has no {name!r}: did you mean {near[0]!r}? What can be set is {', '.join(possible)}."
        )


class ControlTrait(traitlets.TraitType[_Got, _Set]):
    """A control, described by the field of `Controls` with this name; one thread at a time sets it.

    traitlets swaps methods of the widget while it takes a message of the front end (which may come on
    a sub-shell's thread); a value set by another thread meanwhile would be rolled back or never sent.
    """

    def __init__(self, name: str) -> None:
        control = CONTROLS[name]
        super().__init__(_DEFAULTS[name], allow_none=_DEFAULTS[name] is None)
        self.tag(sync=True, to_json=lambda value, _: control.to_page(value))

    def set(self, obj: Any, value: Any) -> None:
        """Set the value, unless the explorer is closed."""
        if obj._closed:
            raise TraitError(CLOSED)
        with obj._sync.lock:
            super().set(obj, value)


class ReadOnlyTrait(traitlets.TraitType[_Got, _Got]):
    """A description of the explorer for the front end, set by its own code only."""

    def set(self, obj: Any, value: Any) -> None:
        """Set the value while the explorer describes itself."""
        if not obj._sync.describing:
            raise TraitError(
                f"{self.name} describes the explorer and cannot be set: it follows the model and the controls. "
                "Names for the output's units are given as UnitExplorer(model, class_names=[...])."
            )
        super().set(obj, value)


class StreamTrait(traitlets.TraitType[_Got, _Got]):
    """What the explorer's own threads publish: read, observed and linked like a trait, written by them only.

    Its value lies in the explorer's `FrontEnd`.
    """

    def __init__(self, default: _Got) -> None:
        super().__init__(default)
        self.tag(sync=True)

    def get(self, obj: Any, cls: Any = None) -> Any:
        """Return what was published last."""
        return obj._parts.front_end[self.name]

    def set(self, obj: Any, value: Any) -> None:
        """Raise TraitError: only the explorer's threads set it."""
        raise TraitError(
            f"{self.name} shows what the explorer does and cannot be set; set layer, unit, recipe, a knob, seed or "
            "size, or call play(), pause(), restart(), step_once(), seek(), resume_from() or start_from()."
        )


class TagTrait(StreamTrait[_Got]):
    """A stream trait that Python may set; the explorer's tag book decides what it then is."""

    def set(self, obj: Any, value: Any) -> None:
        """Hand the value to the tag book."""
        try:
            obj._parts.tags.assign(self.name, value)
        except PeekError as error:
            raise TraitError(str(error)) from error


class TextTrait(ControlTrait[str, str | bytes], traitlets.Unicode[str, str | bytes]):
    """A control that is a text."""


class SwitchTrait(ControlTrait[bool, bool | int], traitlets.Bool[bool, bool | int]):
    """A control that is true or false."""


class LayerTrait(ControlTrait[str, str | nn.Module]):
    """The name of a layer; a module of the model is set as its name."""

    def validate(self, obj: Any, value: Any) -> Any:
        """Refuse what is neither a name nor a module; whether the model has it is checked afterwards."""
        if not isinstance(value, str | nn.Module):
            raise TraitError(
                f"layer must be the name of a layer or a module of the model, not a {type(value).__name__}."
            )
        return value


class ObjectiveTrait(ControlTrait[str | Objective, str | Objective]):
    """The name of an objective, or an `Objective`; "custom" in the front end."""


class IntTrait(ControlTrait[_Got, _Got], traitlets.Int[_Got, _Got]):
    """A control that is a whole number."""

    def validate(self, obj: Any, value: Any) -> Any:
        """Refuse a bool, which traitlets would take for a number."""
        if isinstance(value, bool):
            # checked here: traitlets compares False and 0 as equal, and would not report a change
            raise TraitError(f"{self.name} must be a whole number; {value!r} was given.")
        return super().validate(obj, value)


class SizeTrait(ControlTrait[SizeLike | None, Sequence[int] | int | None]):
    """A size: the side of a square, (height, width), or None for the recipe's; a number or a list in the front end."""

    def validate(self, obj: Any, value: Any) -> Any:
        """Return the size, if it is one."""
        try:
            return check_size(value, self.name or "size")
        except PeekError as error:
            raise TraitError(str(error)) from error


class PositionTrait(ControlTrait[tuple[int, int] | None, Sequence[int] | None]):
    """A position (row, column) on the layer's map, or None for its middle; a list in the front end."""


class KnobTrait(ControlTrait[float | None, float | None], traitlets.Float[float | None, float | None]):
    """A knob: a number in the range that `KNOBS` gives, or None for what the recipe has."""

    def validate(self, obj: Any, value: Any) -> float:
        """Return the value as a float within its range; what the recipe says of it is checked afterwards."""
        try:
            return KNOBS[self.name].check(value)
        except PeekError as error:
            raise TraitError(str(error)) from error


class RecipeTrait(ControlTrait[Recipe | str, Recipe | str]):
    """The name of a preset, or a `Recipe`; its name in the front end."""

    def validate(self, obj: Any, value: Any) -> Any:
        """Return the recipe, if it is one and offered; whether the overrides fit it is checked afterwards."""
        try:
            return obj._parts.choices.check_recipe(value)
        except PeekError as error:
            raise TraitError(str(error)) from error


class ListTrait(ReadOnlyTrait[list[_Got]], traitlets.List[_Got]):
    """A list that describes the explorer."""


class DictTrait(ReadOnlyTrait[dict[str, Any]], _Dict):
    """A dict that describes the explorer."""

"""Messages about tags: a page sends edits, never all tags, so that two pages that tag at once lose nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from peek_widget._schema import short
from peek_widget.errors import FileError

from ._message import Switch, Text, ToKernel, ToPage, Units, Words

__all__ = ["Tag", "TagCounts", "TagKey", "TagReviewed", "TagSuggestions", "TagUndo"]


def _letter(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) != 1 or not "a" <= value <= "z":
        raise FileError(f"{name} is {short(value)}: a letter from a to z is needed.")
    return value


@dataclass(frozen=True)
class Tag(ToKernel, kind="tag"):
    """Add `words` to `units` of `layer` (`on`), or remove them."""

    layer: Text
    units: Units
    words: Words
    on: Switch


@dataclass(frozen=True)
class TagReviewed(ToKernel, kind="tag_reviewed"):
    """Mark `units` of `layer` as reviewed without a tag (`on`), or as not reviewed."""

    layer: Text
    units: Units
    on: Switch


@dataclass(frozen=True)
class TagUndo(ToKernel, kind="undo"):
    """Undo the last edit of the tags, or (`again`) redo the last one undone."""

    again: Switch


@dataclass(frozen=True)
class TagKey(ToKernel, kind="key"):
    """Bind the letter `key` to the tag `word`; an empty word unbinds it."""

    key: Annotated[str, _letter]
    word: Text


@dataclass(frozen=True)
class TagCounts(ToPage, kind="counts"):
    """How many units of a layer have each tag.

    Attributes:
        layer: name of the layer.
        rows: tag, number of units, and both in words, with an interval where only some units were reviewed.
        looked: number of units reviewed.
        total: number of units.
        undo: whether there is an edit to undo.
        redo: whether there is an edit to redo.
        problem: description of what went wrong, or "".
    """

    layer: str
    rows: list[tuple[str, int, str]]
    looked: int
    total: int
    undo: bool
    redo: bool
    problem: str


@dataclass(frozen=True)
class TagSuggestions(ToPage, kind="suggestions"):
    """Tags suggested for units of a layer.

    Attributes:
        layer: name of the layer.
        rows: unit, tag and the reason, the most certain first.
        problem: description of what went wrong, or "".
    """

    layer: str
    rows: list[tuple[int, str, str]]
    problem: str

"""Messages about the contact sheet of the whole layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ._message import MessageNumber, Switch, ToKernel, ToPage, Units

__all__ = [
    "SHEET_STATES",
    "SheetAck",
    "SheetDraw",
    "SheetInfo",
    "SheetOpen",
    "SheetOrder",
    "SheetSimilarity",
    "SheetThumbs",
    "SheetView",
]

SheetState = Literal["waiting", "running", "stopped", "done", "error"]
SHEET_STATES: tuple[str, ...] = get_args(SheetState)
"""The states of a sheet: `waiting` until a visible page shows it, `running`, `stopped` by the user, `done`, `error`."""


@dataclass(frozen=True)
class SheetOpen(ToKernel, kind="sheet"):
    """The panel of the sheet was opened (`on`) or closed; nothing is drawn while it is closed."""

    on: Switch


@dataclass(frozen=True)
class SheetDraw(ToKernel, kind="draw"):
    """Continue drawing the sheet (`on`), or stop."""

    on: Switch


@dataclass(frozen=True)
class SheetView(ToKernel, kind="view"):
    """The units in the viewport, the one under the pointer first: they are drawn first."""

    units: Units


@dataclass(frozen=True)
class SheetAck(ToKernel, kind="sheetack"):
    """Every message of the sheet up to number `n` has been received."""

    n: MessageNumber


@dataclass(frozen=True)
class SheetSimilarity(ToKernel, kind="similarity"):
    """Send the order in which similar pictures are neighbors."""


@dataclass(frozen=True)
class SheetInfo(ToPage, kind="sheet"):
    """Progress of the sheet.

    Attributes:
        sheet: number of the sheet: each layer, recipe, seed and size has its own.
        n: number of the message, to be acknowledged by `SheetAck`.
        layer: name of the layer.
        total: number of units.
        open: whether the panel is open.
        state: state of the sheet.
        text: state of the sheet, in a sentence.
        problem: description of what went wrong, or "".
    """

    sheet: int
    n: int
    layer: str
    total: int
    open: bool
    state: SheetState
    text: str
    problem: str


@dataclass(frozen=True)
class SheetThumbs(ToPage, kind="thumbs"):
    """Pictures of units, one JPEG for each row that has no problem.

    Attributes:
        sheet: number of the sheet.
        n: number of the message, to be acknowledged by `SheetAck`.
        units: rows of unit, activation, whether it is a preview, and the reason why there is no picture, or "".
    """

    sheet: int
    n: int
    units: list[tuple[int, float | None, bool, str]]


@dataclass(frozen=True)
class SheetOrder(ToPage, kind="similarity"):
    """Answers `SheetSimilarity`.

    Attributes:
        sheet: number of the sheet.
        n: number of the message, to be acknowledged by `SheetAck`.
        units: all units that have a picture, ordered so that similar ones are neighbors.
        problem: reason why there is no such order, or "".
    """

    sheet: int
    n: int
    units: list[int]
    problem: str

"""The messages between the kernel and the front end, in one place.

`js/src/protocol.ts` holds the same names; a test compares the two. Nothing here sends, receives or
keeps anything, so that both sides can be checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "COMPARED",
    "CONTROL_TRAITS",
    "DESCRIPTION_TRAITS",
    "EVIDENCE_TRAITS",
    "INBOUND_KINDS",
    "KEPT",
    "KNOB_NAMES",
    "LIVE_TRAITS",
    "OUTBOUND_KINDS",
    "SHEET_STATES",
    "STATES",
    "TAG_TRAITS",
    "Ack",
    "Compare",
    "CompareAck",
    "Hello",
    "LoadModule",
    "Message",
    "OpenCrop",
    "Ping",
    "Play",
    "ProtocolError",
    "Restart",
    "Resume",
    "RunPass",
    "Save",
    "Seek",
    "SetCropView",
    "SheetAck",
    "SheetDraw",
    "SheetOpen",
    "SheetSimilarity",
    "SheetView",
    "StartFromCrop",
    "StepOnce",
    "Tag",
    "TagKey",
    "TagReviewed",
    "TagUndo",
    "Visible",
    "parse",
]

KNOB_NAMES = ("blur", "jitter", "decay", "total_variation", "step_size")

CONTROL_TRAITS = (
    "layer",
    "unit",
    "recipe",
    *KNOB_NAMES,
    "seed",
    "size",
    "objective",
    "at",
    "negative",
    "device",
    "playing",
)
"""Synced, written by either side."""

DESCRIPTION_TRAITS = ("_layer_list", "_recipe_list", "_knobs", "class_names", "_about")
"""Synced, written by Python only."""

LIVE_TRAITS = ("frame", "activation", "step", "_history", "status")
"""Synced, written by the running ascent only, sent together as one update."""

EVIDENCE_TRAITS = ("evidence_status", "gauge")
"""Synced, written only by the thread that looks at real images."""

TAG_TRAITS = ("tags", "tag_keys")
"""Synced, written by Python, for the front end by its messages `tag`, `tag_reviewed`, `undo` and `key`: so two
pages that tag at once lose nothing."""

STATES = ("starting", "running", "paused", "done", "error", "idle", "closed")
"""What `status["state"]` can be; `idle` is a run that paused itself because nobody looked, `closed`
an explorer that was closed."""

INBOUND_KINDS = (
    "hello",
    "ack",
    "visible",
    "ping",
    "play",
    "restart",
    "step",
    "crop_view",
    "open_crop",
    "start_from_crop",
    "run_pass",
    "compare",
    "compare_ack",
    "save",
    "seek",
    "resume",
    "load_module",
    "sheet",
    "draw",
    "view",
    "sheetack",
    "similarity",
    "tag",
    "tag_reviewed",
    "undo",
    "key",
)

COMPARED = ("recipes", "seeds", "units")
"""What the pictures of a comparison can differ in."""

KEPT = ("picture", "figure", "code")
"""What a page can ask for to save or copy."""

OUTBOUND_KINDS = (
    "crops",
    "large",
    "compare",
    "saved",
    "module",
    "sheet",
    "thumbs",
    "similarity",
    "counts",
    "suggestions",
    "pong",
)
"""Custom messages to the front end, with images as binary buffers: a set of crops, one crop large, and an answer.

`pong`: answers a ping. It is sent at once, before the kernel reports the ping as handled: a front end that hears
of the one and not of the other knows that its explorer is gone.

`crops`: `layer`, `unit`, `bottom`, `cut` and a list `crops` of at most nine, best first: `id` (a number, for
`open_crop` and `start_from_crop`), `key` (of its picture), `activation`, `name`, `label`, `clipped`, `box` (what
the unit sees: left, top, right, bottom as shares of the image), `size` (width, height of what is shown), `image`
(number of its JPEG among the buffers; -1: as last sent for this key) and `problem` (why there is no picture, or "").

`large`: `id`, `layer`, `unit`, `name`, `label`, `activation`, `clipped`, `box`, `size`, `problem`; `map` ((h, w), or
empty) and `area` (where the map lies, as `box`). The first buffer is the whole image as JPEG, the second the map,
one byte a place.

`compare`: the pictures of a comparison, as JPEGs, in order (none where only words changed): `n` (to be acknowledged by
`compare_ack`), `state` ("" none, "starting", "drawing", "done", "error"), `title`, `text`, `problem`, and a list
`items`: `caption`, `note`, `activation` (or null), `bar` (its two ends in percent of the scale) and `controls` (that
draw it).

`saved`: the answer to `save`: `what`, `name` (of a file), `text` (code to copy), `note` (on the picture), and
`problem` (why there is none, or ""). The buffer is the file.

`module`: the answer to `load_module`; the buffers are the script and the style sheet of the panels that come later.

Of the contact sheet, each with `sheet` (the number of the sheet: another layer, recipe, seed or size has another) and
`n` (to be acknowledged by `sheetack`):

- `sheet`: how far it is: `layer`, `total` (units), `open`, `state` (one of `SHEET_STATES`), `text`, `problem`.
- `thumbs`: `units`, rows of (unit, activation, draft, problem); one JPEG a row, none where `problem` says why.
- `similarity`: `units`, all that have a picture, so that similar ones lie together; `problem` where that can't be said.

And of its tags: `counts` of a `layer`: `rows` of (word, units, in words), `looked` (units looked at), `total`, `undo`
and `redo` (whether there is an edit to take back, to make again), `problem`; `suggestions` for a `layer`: `rows` of
(unit, word, in words), surest first, and `problem`.
"""

SHEET_STATES = ("waiting", "running", "stopped", "done", "error")
"""What a sheet can be: `waiting` for somebody to look, `running`, `stopped` by hand, `done`, `error`."""

_MOST_UNITS = 65_536
_MOST_WORDS = 1000
_LONGEST_TEXT = 512

# A front end counts in doubles: past this a frame number could not be told from its neighbor.
_LARGEST_FRAME_NUMBER = 2**53 - 1
_MOST_COMPARED = 6


class ProtocolError(ValueError):
    """A message from the front end that is none of ours."""


@dataclass(frozen=True)
class Hello:
    """A front end has (re)connected and knows nothing yet."""


@dataclass(frozen=True)
class Ack:
    """Every frame up to number `n` has been drawn or passed over; said `at` this many ms of the page's clock."""

    n: int
    at: int


@dataclass(frozen=True)
class Visible:
    """Some view can be seen (`on`), or none can any more."""

    on: bool


@dataclass(frozen=True)
class Ping:
    """The front end has heard nothing for a while and asks for the newest frame."""


@dataclass(frozen=True)
class Play:
    """Go on, also past the end of the schedule or after an error."""


@dataclass(frozen=True)
class Restart:
    """Begin again with the same seed."""


@dataclass(frozen=True)
class StepOnce:
    """One step of a paused run."""


@dataclass(frozen=True)
class SetCropView:
    """Which crops to show: those that excite the unit least, or most; what the unit sees (`cut`), or all of it."""

    bottom: bool
    cut: bool


@dataclass(frozen=True)
class OpenCrop:
    """Show crop number `id` large, with the unit's map; 0 puts it away."""

    id: int


@dataclass(frozen=True)
class StartFromCrop:
    """Draw from crop number `id` on; 0: from the recipe's own start again."""

    id: int


@dataclass(frozen=True)
class RunPass:
    """Go on looking through the real images, or stop."""

    on: bool


@dataclass(frozen=True)
class Compare:
    """Draw pictures side by side that differ in `what`, one of `COMPARED`; no values puts them away."""

    what: str
    values: tuple[str | int, ...]


@dataclass(frozen=True)
class CompareAck:
    """The sets of compared pictures up to number `n` have been drawn."""

    n: int


@dataclass(frozen=True)
class LoadModule:
    """The page wants the part of the front end that not everybody opens; saved notebooks go without."""


@dataclass(frozen=True)
class SheetOpen:
    """The sheet of the layer is looked at (`on`), or was put away: nothing is drawn for it then."""

    on: bool


@dataclass(frozen=True)
class SheetDraw:
    """Go on drawing the sheet, or stop."""

    on: bool


@dataclass(frozen=True)
class SheetView:
    """The units that can be seen, the one under the eye first: they are drawn first."""

    units: tuple[int, ...]


@dataclass(frozen=True)
class SheetAck:
    """Every message of the sheet up to number `n` has been taken."""

    n: int


@dataclass(frozen=True)
class Save:
    """Send one of `KEPT`, to be saved or copied."""

    what: str


@dataclass(frozen=True)
class Seek:
    """Pause, and show the picture of the kept step nearest to this one."""

    step: int


@dataclass(frozen=True)
class Resume:
    """Go on drawing from the kept step nearest to this one."""

    step: int


@dataclass(frozen=True)
class SheetSimilarity:
    """Say in which order similar pictures lie together."""


@dataclass(frozen=True)
class Tag:
    """Put `words` on `units` of `layer` (`on`), or take them off."""

    layer: str
    units: tuple[int, ...]
    words: tuple[str, ...]
    on: bool


@dataclass(frozen=True)
class TagReviewed:
    """`units` of `layer` were looked at and nothing was found (`on`), or were not."""

    layer: str
    units: tuple[int, ...]
    on: bool


@dataclass(frozen=True)
class TagUndo:
    """Take the last edit of the tags back, or (`again`) make the last one taken back again."""

    again: bool


@dataclass(frozen=True)
class TagKey:
    """The letter `key` gives `word` from now on; none with an empty one."""

    key: str
    word: str


SheetMessage = LoadModule | SheetOpen | SheetDraw | SheetView | SheetAck | SheetSimilarity
TagMessage = Tag | TagReviewed | TagUndo | TagKey

Message = (
    Hello
    | Ack
    | Visible
    | Ping
    | Play
    | Restart
    | StepOnce
    | SetCropView
    | OpenCrop
    | StartFromCrop
    | RunPass
    | Compare
    | CompareAck
    | Save
    | Seek
    | Resume
    | SheetMessage
    | TagMessage
)

_PLAIN: dict[str, Message] = {
    "hello": Hello(),
    "ping": Ping(),
    "play": Play(),
    "restart": Restart(),
    "step": StepOnce(),
    "similarity": SheetSimilarity(),
    "load_module": LoadModule(),
}
_FIELDS = {
    "ack": ("n", "at"),
    "visible": ("on",),
    "crop_view": ("bottom", "cut"),
    "open_crop": ("id",),
    "start_from_crop": ("id",),
    "run_pass": ("on",),
    "compare": ("what", "values"),
    "compare_ack": ("n",),
    "save": ("what",),
    "seek": ("step",),
    "resume": ("step",),
    "sheet": ("on",),
    "draw": ("on",),
    "view": ("units",),
    "sheetack": ("n",),
    "undo": ("again",),
    "tag": ("layer", "units", "words", "on"),
    "tag_reviewed": ("layer", "units", "on"),
    "key": ("key", "word"),
}


def parse(content: Any, buffers: Any = None) -> Message:
    """Read a custom message of the front end.

    Args:
        content: what came over the wire: `{"kind": ...}` and the fields of that kind, no others.
        buffers: the message's binary buffers; none of our messages has any.

    Raises:
        ProtocolError: with a sentence, for anything that is not exactly one of our messages.
    """
    if not isinstance(content, dict):
        raise ProtocolError(f"A message must be an object with a kind, not {_short(content)}.")
    if buffers:
        raise ProtocolError(f"A message must come without binary buffers; this one has {len(buffers)}.")
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in INBOUND_KINDS:
        raise ProtocolError(f"A message's kind must be one of {', '.join(INBOUND_KINDS)}, not {_short(kind)}.")
    wanted = {"kind", *_FIELDS.get(kind, ())}
    if set(content) != wanted:
        raise ProtocolError(
            f"A message of kind {kind} has the fields {', '.join(sorted(wanted))}, "
            f"not {_short(sorted(map(str, content)))}."
        )
    match kind:
        case "ack":
            return Ack(_number(content["n"], "An ack names a frame"), _number(content["at"], "An ack names a time"))
        case "open_crop":
            return OpenCrop(_number(content["id"], "open_crop names a crop"))
        case "start_from_crop":
            return StartFromCrop(_number(content["id"], "start_from_crop names a crop"))
        case "seek":
            return Seek(_number(content["step"], "seek names a step"))
        case "resume":
            return Resume(_number(content["step"], "resume names a step"))
        case "visible":
            return Visible(_switch(content["on"], kind))
        case "run_pass":
            return RunPass(_switch(content["on"], kind))
        case "crop_view":
            return SetCropView(_switch(content["bottom"], kind), _switch(content["cut"], kind))
        case "compare_ack":
            return CompareAck(_number(content["n"], "compare_ack names a set"))
        case "save":
            return Save(_one_of(KEPT, content["what"], kind))
        case "compare":
            what = _one_of(COMPARED, content["what"], kind)
            return Compare(what, _values(what, content["values"]))
        case "sheet":
            return SheetOpen(_switch(content["on"], kind))
        case "draw":
            return SheetDraw(_switch(content["on"], kind))
        case "view":
            return SheetView(_units(content["units"], kind))
        case "sheetack":
            return SheetAck(_number(content["n"], "A sheetack names a message"))
        case "undo":
            return TagUndo(_switch(content["again"], kind))
        case "tag":
            return Tag(
                _text(content["layer"], kind),
                _units(content["units"], kind),
                _words(content["words"]),
                _switch(content["on"], kind),
            )
        case "tag_reviewed":
            return TagReviewed(
                _text(content["layer"], kind), _units(content["units"], kind), _switch(content["on"], kind)
            )
        case "key":
            return TagKey(_letter(content["key"]), _text(content["word"], kind))
    return _PLAIN[kind]


def _one_of(possible: tuple[str, ...], value: Any, kind: str) -> str:
    if not isinstance(value, str) or value not in possible:
        raise ProtocolError(f"{kind} says one of {', '.join(possible)}, not {_short(value)}.")
    return value


def _values(what: str, values: Any) -> tuple[str | int, ...]:
    if not isinstance(values, list) or len(values) > _MOST_COMPARED:
        raise ProtocolError(f"compare has a list of at most {_MOST_COMPARED} values, not {_short(values)}.")
    if what != "recipes":
        return tuple(_number(value, f"compare names {what}") for value in values)
    for value in values:
        if not isinstance(value, str) or len(value) > 200:
            raise ProtocolError(f"compare names recipes by text of at most 200 characters, not {_short(value)}.")
    return tuple(values)


def _number(value: Any, what: str) -> int:
    # bool is an int to Python, but not to the protocol
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_FRAME_NUMBER:
        raise ProtocolError(f"{what} by a whole number from 0 to 2**53 - 1, not {_short(value)}.")
    return value


def _switch(value: Any, kind: str) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f"{kind} says true or false, not {_short(value)}.")
    return value


def _units(value: Any, kind: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > _MOST_UNITS:
        raise ProtocolError(f"{kind} lists at most {_MOST_UNITS} units, not {_short(value)}.")
    return tuple(_number(unit, f"{kind} names a unit") for unit in value)


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MOST_WORDS:
        raise ProtocolError(f"A tag message lists at most {_MOST_WORDS} words, not {_short(value)}.")
    return tuple(_text(word, "tag") for word in value)


def _text(value: Any, kind: str) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ProtocolError(f"{kind} has texts of at most {_LONGEST_TEXT} characters, not {_short(value)}.")
    return value


def _letter(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 1 or not "a" <= value <= "z":
        raise ProtocolError(f"A key of the sheet is a letter from a to z, not {_short(value)}.")
    return value


def _short(value: Any) -> str:
    """A repr that cannot flood a log."""
    # slicing first: the repr of a message of some megabytes would itself be the flood
    if isinstance(value, str | bytes | list):
        value = value[:8] if isinstance(value, list) else value[:60]
    text = repr(value) if not isinstance(value, dict) else f"an object with {len(value)} fields"
    return text if len(text) <= 80 else text[:77] + "..."

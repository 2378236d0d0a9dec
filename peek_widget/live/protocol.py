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
    "STATES",
    "Ack",
    "Arrange",
    "Compare",
    "Compared",
    "Enlarge",
    "Hello",
    "Keep",
    "Look",
    "Message",
    "Play",
    "Poll",
    "ProtocolError",
    "Restart",
    "Resume",
    "Scrub",
    "StartFrom",
    "StepOnce",
    "Visible",
    "parse",
]

KNOB_NAMES = ("blur", "jitter", "decay", "total_variation", "step_size")

CONTROL_TRAITS = (
    "layer", "unit", "recipe", *KNOB_NAMES, "seed", "size", "objective", "at", "negative", "device", "playing",
)  # fmt: skip
"""Synced, written by either side."""

DESCRIPTION_TRAITS = ("layer_list", "recipe_list", "knobs", "class_names", "about")
"""Synced, written by Python only."""

LIVE_TRAITS = ("frame", "activation", "step", "history", "status")
"""Synced, written by the running ascent only, sent together as one update."""

EVIDENCE_TRAITS = ("evidence", "gauge")
"""Synced, written only by the thread that looks at real images."""

STATES = ("starting", "running", "paused", "done", "error", "idle", "closed")
"""What `status["state"]` can be; `idle` is a run that paused itself because nobody looked, `closed`
an explorer that was closed."""

INBOUND_KINDS = (
    "hello", "ack", "visible", "poll", "play", "restart", "step", "crops", "enlarge", "start", "look",
    "compare", "compared", "keep", "scrub", "resume",
)  # fmt: skip

COMPARED = ("recipes", "seeds", "units")
"""What the pictures of a comparison can differ in."""

KEPT = ("picture", "figure", "animation", "code", "state")
"""What a page can ask for to save or copy."""

OUTBOUND_KINDS = ("crops", "large", "compare", "kept")
"""Custom messages to the front end, with images as binary buffers: a set of crops, and one crop large.

`crops`: `layer`, `unit`, `least`, `cut` and a list `crops` of at most nine, best first: `id` (a number, for
`enlarge` and `start`), `key` (of its picture), `activation`, `name`, `label`, `clipped`, `box` (what the unit
sees: left, top, right, bottom as shares of the image), `size` (width, height of what is shown), `image` (number of
its JPEG among the buffers; -1: as last sent for this key) and `problem` (why there is no picture, or "").

`large`: `id`, `layer`, `unit`, `name`, `label`, `activation`, `clipped`, `box`, `size`, `problem`; `map` ((h, w), or
empty) and `area` (where the map lies, as `box`). The first buffer is the whole image as JPEG, the second the map,
one byte a place.

`compare`: the pictures of a comparison, as JPEGs, in order (none where only words changed): `n` (to be acknowledged by
`compared`), `state` ("" none, "starting", "drawing", "done", "error"), `title`, `text`, `problem`, and a list `items`:
`caption`, `note`, `activation` (or null), `bar` (its two ends in percent of the scale) and `controls` (that draw it).

`kept`: the answer to `keep`: `what`, `name` (of a file), `text` (code or state to copy), `note` (on the picture), and
`problem` (why there is none, or ""). The buffer is the file.
"""

# A front end counts in doubles: past this a frame number could not be told from its neighbour.
_LARGEST_FRAME_NUMBER = 2**53 - 1
_MOST_COMPARED = 6


class ProtocolError(ValueError):
    """A message from the front end that is none of ours."""


@dataclass(frozen=True)
class Hello:
    """A front end has (re)connected and knows nothing yet."""


@dataclass(frozen=True)
class Ack:
    """Every frame up to number `n` has been drawn or passed over."""

    n: int


@dataclass(frozen=True)
class Visible:
    """Some view can be seen (`on`), or none can any more."""

    on: bool


@dataclass(frozen=True)
class Poll:
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
class Arrange:
    """Which crops to show: those that excite the unit least, or most; what the unit sees (`cut`), or all of it."""

    least: bool
    cut: bool


@dataclass(frozen=True)
class Enlarge:
    """Show crop number `id` large, with the unit's map; 0 puts it away."""

    id: int


@dataclass(frozen=True)
class StartFrom:
    """Draw from crop number `id` on; 0: from the recipe's own start again."""

    id: int


@dataclass(frozen=True)
class Look:
    """Go on looking through the real images, or stop."""

    on: bool


@dataclass(frozen=True)
class Compare:
    """Draw pictures side by side that differ in `what`, one of `COMPARED`; no values puts them away."""

    what: str
    values: tuple[str | int, ...]


@dataclass(frozen=True)
class Compared:
    """The sets of compared pictures up to number `n` have been drawn."""

    n: int


@dataclass(frozen=True)
class Keep:
    """Send one of `KEPT`, to be saved or copied."""

    what: str


@dataclass(frozen=True)
class Scrub:
    """Pause, and show the picture of the kept step nearest to this one."""

    step: int


@dataclass(frozen=True)
class Resume:
    """Go on drawing from the kept step nearest to this one."""

    step: int


Message = (
    Hello | Ack | Visible | Poll | Play | Restart | StepOnce
    | Arrange | Enlarge | StartFrom | Look
    | Compare | Compared | Keep | Scrub | Resume
)  # fmt: skip

_PLAIN: dict[str, Message] = {
    "hello": Hello(),
    "poll": Poll(),
    "play": Play(),
    "restart": Restart(),
    "step": StepOnce(),
}
_FIELDS = {
    "ack": ("n",), "visible": ("on",), "crops": ("least", "cut"), "enlarge": ("id",), "start": ("id",), "look": ("on",),
    "compare": ("what", "values"), "compared": ("n",), "keep": ("what",), "scrub": ("step",), "resume": ("step",),
}  # fmt: skip


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
            return Ack(_number(content["n"], "An ack names a frame"))
        case "enlarge":
            return Enlarge(_number(content["id"], "enlarge names a crop"))
        case "start":
            return StartFrom(_number(content["id"], "start names a crop"))
        case "scrub":
            return Scrub(_number(content["step"], "scrub names a step"))
        case "resume":
            return Resume(_number(content["step"], "resume names a step"))
        case "visible":
            return Visible(_switch(content["on"], kind))
        case "look":
            return Look(_switch(content["on"], kind))
        case "crops":
            return Arrange(_switch(content["least"], kind), _switch(content["cut"], kind))
        case "compared":
            return Compared(_number(content["n"], "compared names a set"))
        case "keep":
            return Keep(_one_of(KEPT, content["what"], kind))
        case "compare":
            what = _one_of(COMPARED, content["what"], kind)
            return Compare(what, _values(what, content["values"]))
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


def _short(value: Any) -> str:
    """A repr that cannot flood a log."""
    # slicing first: the repr of a message of some megabytes would itself be the flood
    if isinstance(value, str | bytes | list):
        value = value[:8] if isinstance(value, list) else value[:60]
    text = repr(value) if not isinstance(value, dict) else f"an object with {len(value)} fields"
    return text if len(text) <= 80 else text[:77] + "..."

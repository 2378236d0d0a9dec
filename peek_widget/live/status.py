"""What a run is doing, in a sentence that a reader of the page understands."""

from __future__ import annotations

from peek_widget.errors import PeekError

__all__ = ["say", "say_look"]


HELP = {
    "layer": "A layer is one stage of the network. Early ones see a few pixels and like edges and colors; late ones "
    "see much of the image and like parts of things. Another layer gives another unit, drawn anew.",
    "unit": "A unit is one of a layer's channels: one thing that the layer looks for, everywhere in the image. In the "
    "output a unit is a class. Each has a picture of its own.",
    "objective": "What is asked of the picture: to excite the unit at one place of its map, which gives one clear "
    "thing; or over the whole map, which fills the picture; or the opposite of what the unit likes.",
    "recipe": "How the picture is drawn: where it begins, how far each step goes, and what holds it together. Another "
    "recipe gives another picture of the same unit.",
    "activation": "How strongly the picture excites the unit, as it was at each step, before any ReLU. It should rise; "
    "where it jumps up and down, the network was shown another part of the picture at each step.",
    "images": "The images that were given, those first that excite the unit most. If they don't look like the drawn "
    "picture, don't trust it. In the frame is all that the unit sees of the image.",
}
"""What a control is, and what it does to the picture, for the question marks of the page; the knobs have their own."""


def say(
    state: str,
    what: str,
    *,
    step: int,
    total: int,
    error: BaseException | None,
    note: str = "",
    why: str = "nobody is looking. It goes on when somebody does",
) -> str:
    """Say what goes on.

    Args:
        state: one of the protocol's states.
        what: what is drawn, as part of a sentence.
        step: steps done; `total`: steps of the whole run, 0 where there is no run yet.
        error: what went wrong, in the state "error".
        note: a further sentence.
        why: it rests, in the state "idle".
    """
    at = f"step {step} of {total}" if total else ""
    match state:
        case "starting":
            text = f"Getting ready to draw {what}."
        case "running":
            text = f"Drawing {what}."
        case "paused":
            text = f"Paused at {at}: {what}." if at else f"Paused before the first step: {what}."
        case "done":
            text = f"Finished {what} after {step} steps."
        case "closed":
            text = "Closed: make a new UnitExplorer to go on."
        case "idle":
            text = f"Resting{' at ' + at if at else ''}: {why}."
        case _:
            text = f"Stopped while drawing {what}: {_in_words(error)}"
    return f"{text} {note}".strip()


def say_look(what: str, *, step: int, total: int, end: int, asked: int) -> str:
    """Say which earlier picture is looked at.

    Args:
        what: what is drawn, as part of a sentence.
        step: of the picture; `total`: steps of the whole run, 0 where it is not known.
        end: the step that the run itself stands at.
        asked: the step that somebody wanted to see.
    """
    nearest = "" if asked == step else f", the nearest kept to step {asked}"
    of = f" of {total}" if total else ""
    return f"Looking back at step {step}{of}{nearest}: {what}. The run itself stands at step {end}."


def _in_words(error: BaseException | None) -> str:
    if error is None:
        return "nobody knows why."
    text = str(error).strip() or "it gave no reason."
    # our own errors are sentences already; others need their type to make sense
    return text if isinstance(error, PeekError) else f"{type(error).__name__}: {text}"

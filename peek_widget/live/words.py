"""What a run is doing, in a sentence that a reader of the page understands."""

from __future__ import annotations

from peek_widget.errors import PeekError

__all__ = ["say", "say_look"]


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

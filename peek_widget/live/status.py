"""The status of a run, as the dict of the protocol and in sentences for a reader of the page."""

from __future__ import annotations

from typing import Any

from peek_widget.errors import PeekError
from peek_widget.live.playback import Playback
from peek_widget.live.run import Run
from peek_widget.live.snapshot import Target
from peek_widget.network.memory import device_error, memory_error

__all__ = ["HELP", "MADE_SMALLER", "ONE_SEED", "SIZE_NEEDED", "describe_state", "describe_viewing", "status_of"]

HELP = {
    "layer": "A layer is one stage of the network. Early ones see a few pixels and respond to edges and colors; late "
    "ones see much of the image and respond to parts of things. Changing the layer starts a new run.",
    "unit": "A unit is one channel of a layer: one feature that the layer looks for, everywhere in the image. In the "
    "output a unit is a class. Each has a picture of its own.",
    "objective": "What is maximized: the unit's activation at one position of its feature map, which gives one clear "
    "motif; its mean over the map, which fills the picture; or the negative of either.",
    "recipe": "How the picture is drawn: initialization, step size, regularization. Another recipe gives another "
    "picture of the same unit.",
    "activation": "Number and line: the unit's activation for the picture itself, pre-ReLU, measured a few times a "
    "second; the gauge compares it with real images. Band: what the network made of the random views at each step "
    "(crops, shifts, rotations), which is what is maximized. Both should rise. The number is the highest on the "
    "feature map, also where the objective, and with it the band, is the mean over the map.",
    "images": "The images that were given, those with the highest activation first. If they don't look like the drawn "
    "picture, don't trust it. The outline is the unit's receptive field; where that is most of the image, it is its "
    "focus, the box with 95 % of the gradient's energy.",
}
"""Help texts on each control and its effect on the picture, for the page; the knobs have their own."""

SIZE_NEEDED = "This machine is slow at {size} px, and the layer needs that size."

MADE_SMALLER = (
    "At {size} px this machine made {rate:.1f} steps a second, so the picture was made smaller ({smaller} px); "
    "set size to choose it yourself."
)

ONE_SEED = "Memory ran out for several seeds at once, so this one is drawn alone."

NO_MEMORY = (
    "memory ran out ({words}). Other programs and notebooks may share it. Choose a smaller size, fewer seeds at once "
    "or a recipe with fewer views; or where it is a GPU's memory, the CPU: in the list beside Size, or "
    "explorer.device = 'cpu'."
)

NO_DEVICE = (
    "the device does not answer any more ({words}). Restart the kernel: what was saved is kept. If that does not help, "
    "choose the CPU: in the list beside Size, or explorer.device = 'cpu'."
)

NOT_VISIBLE = "not visible. Resumes when visible"
COMPARING = "a comparison is being drawn. Resumes after it"


def status_of(
    state: str,
    run: Run,
    playback: Playback,
    target: Target,
    *,
    number: int,
    error: BaseException | None,
    blocked: bool,
) -> dict[str, Any]:
    """Return the status as the protocol describes it.

    Args:
        state: one of the protocol's states.
        run: the current run.
        playback: the checkpoint of the run that is viewed.
        target: what is drawn.
        number: number of the newest published picture.
        error: what went wrong, in the state "error".
        blocked: whether the run waits until other work of the worker is done.
    """
    viewing, facts, what = playback.viewing, run.facts(), target.describe()
    if viewing is None or state == "closed":
        why = COMPARING if blocked else NOT_VISIBLE
        text = describe_state(state, what, step=run.step, total=run.steps, error=error, note=run.notes, why=why)
    else:
        text = describe_viewing(what, step=viewing.step, total=facts["total"], end=run.step, asked=playback.asked)
    return {
        "n": number,
        "run": run.number,
        "state": state,
        "text": text,
        "error": None if error is None else f"{type(error).__name__}: {error}",
        "rate": round(run.speed.rate, 2),
        "step": run.step if viewing is None else viewing.step,
        "checkpoints": run.checkpoint_steps,
        "viewing": viewing is not None,
        "weights_changed": run.weights_changed,
        "comparing": blocked and state == "idle",
        "unit": target.unit,
        "layer": target.layer,
        "start": "" if target.start is None else target.start.name,
        **facts,
        "activation_before_relu": True,
    }


def describe_state(
    state: str,
    what: str,
    *,
    step: int,
    total: int,
    error: BaseException | None,
    note: str = "",
    why: str = NOT_VISIBLE,
) -> str:
    """Describe what the run is doing.

    Args:
        state: one of the protocol's states.
        what: what is drawn, as part of a sentence.
        step: number of steps made.
        total: number of steps of the whole run; 0 if there is no run yet.
        error: what went wrong, in the state "error".
        note: a further sentence.
        why: why the run is paused, in the state "idle".
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
            text = f"Paused{' at ' + at if at else ''}: {why}."
        case _:
            text = f"Stopped while drawing {what}: {_describe_error(error)}"
    return f"{text} {note}".strip()


def describe_viewing(what: str, *, step: int, total: int, end: int, asked: int) -> str:
    """Describe which earlier step is viewed.

    Args:
        what: what is drawn, as part of a sentence.
        step: number of the viewed step.
        total: number of steps of the whole run; 0 if it is not known.
        end: number of the run's newest step.
        asked: number of the requested step.
    """
    nearest = "" if asked == step else f" (nearest checkpoint to {asked})"
    of = f" of {total}" if total else ""
    return f"Viewing step {step}{of}{nearest}: {what}. The run is at step {end}."


def _describe_error(error: BaseException | None) -> str:
    if error is None:
        return "unknown error."
    words = memory_error(error)
    if words is not None:
        return NO_MEMORY.format(words=words.rstrip("."))
    words = device_error(error)
    if words is not None:
        return NO_DEVICE.format(words=words.rstrip("."))
    text = str(error).strip() or "no message."
    # PeekErrors are sentences already; other errors need their type to make sense
    return text if isinstance(error, PeekError) else f"{type(error).__name__}: {text}"

"""Messages about the run: its pictures, its steps, comparisons, and what the page saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from peek_widget._schema import choice, sequence, short, text, whole
from peek_widget.errors import FileError
from peek_widget.live.controls import LARGEST_SEED

from ._message import MessageNumber, StepNumber, Switch, ToKernel, ToPage

__all__ = [
    "COMPARED",
    "SAVED",
    "Ack",
    "Compare",
    "CompareAck",
    "ComparedPicture",
    "ComparisonSet",
    "Hello",
    "LoadModule",
    "Module",
    "Ping",
    "Play",
    "Pong",
    "Present",
    "Restart",
    "Resume",
    "Save",
    "SavedFile",
    "SeedPictures",
    "Seek",
    "StepOnce",
    "Visible",
]

Compared = Literal["recipes", "seeds", "units"]
COMPARED: tuple[Compared, ...] = ("recipes", "seeds", "units")
"""The ways in which the pictures of a comparison can differ."""

Saved = Literal["picture", "figure", "code"]
SAVED: tuple[Saved, ...] = ("picture", "figure", "code")
"""The things that a page can save or copy."""

_MOST_COMPARED = 6
_recipe, _number = text(200), whole(LARGEST_SEED)


def _compared_value(name: str, value: Any) -> str | int:
    if not isinstance(value, str | int):
        raise FileError(f"{name} is {short(value)}: a recipe's name or a whole number is needed.")
    return value


@dataclass(frozen=True)
class Hello(ToKernel, kind="hello"):
    """A front end has (re)connected and has no state yet."""


@dataclass(frozen=True)
class Ack(ToKernel, kind="ack"):
    """Every frame up to number `n` has been drawn or skipped; sent `at` this many ms of the page's clock."""

    n: MessageNumber
    at: MessageNumber


@dataclass(frozen=True)
class Visible(ToKernel, kind="visible"):
    """A view has become visible (`on`), or no view is visible any more."""

    on: Switch


@dataclass(frozen=True)
class Ping(ToKernel, kind="ping"):
    """The front end has received nothing for a while and asks for the newest frame; answered by `Pong`."""


@dataclass(frozen=True)
class Present(ToKernel, kind="present"):
    """The front end is active: it has received a unit's picture, of a photo or of a circuit."""


@dataclass(frozen=True)
class Play(ToKernel, kind="play"):
    """Continue the run, even past the end of the schedule or after an error."""


@dataclass(frozen=True)
class Restart(ToKernel, kind="restart"):
    """Restart the run with the same seed."""


@dataclass(frozen=True)
class StepOnce(ToKernel, kind="step"):
    """Make one step of a paused run."""


@dataclass(frozen=True)
class Seek(ToKernel, kind="seek"):
    """Pause, and show the picture of the checkpoint nearest to this step."""

    step: StepNumber


@dataclass(frozen=True)
class Resume(ToKernel, kind="resume"):
    """Continue drawing from the checkpoint nearest to this step."""

    step: StepNumber


@dataclass(frozen=True)
class Compare(ToKernel, kind="compare"):
    """Draw pictures side by side that differ in `what`; no values end the comparison."""

    what: Annotated[Compared, choice(COMPARED)]
    values: Annotated[tuple[str | int, ...], sequence(_compared_value, _MOST_COMPARED)]

    def __post_init__(self) -> None:
        for value in self.values:
            (_recipe if self.what == "recipes" else _number)(f"An item of {self.what}", value)


@dataclass(frozen=True)
class CompareAck(ToKernel, kind="compare_ack"):
    """The sets of compared pictures up to number `n` have been drawn."""

    n: MessageNumber


@dataclass(frozen=True)
class Save(ToKernel, kind="save"):
    """Send a picture, the figure of the comparison or the line of Python, to be saved or copied."""

    what: Annotated[Saved, choice(SAVED)]


@dataclass(frozen=True)
class LoadModule(ToKernel, kind="load_module"):
    """Send the part of the front end that is loaded on demand and is not part of saved notebooks."""


@dataclass(frozen=True)
class Pong(ToPage, kind="pong"):
    """Answers a ping.

    It is sent at once, before the kernel reports the ping as handled: a front end that receives the report but
    not the pong knows that its explorer is gone.
    """


@dataclass(frozen=True)
class ComparedPicture:
    """One picture of a comparison; the message's buffer of the same number is its JPEG.

    Attributes:
        caption: name of the unit, recipe or seed.
        note: number of steps made, in words.
        activation: still activation of the picture; None until it is measured.
        bar: both ends of the bar of its activation, in percent of a scale that all pictures share.
        controls: controls to set to show this picture in the main view; empty if the page can't.
    """

    caption: str
    note: str
    activation: float | None
    bar: tuple[float, float]
    controls: Annotated[dict[str, Any], "ControlValues"]


@dataclass(frozen=True)
class ComparisonSet(ToPage, kind="compare"):
    """The pictures of a comparison, as JPEGs in order; no buffers where only words have changed.

    Attributes:
        n: number of the message, to be acknowledged by `CompareAck`.
        state: state of the comparison; "" without one.
        title: title of the comparison.
        text: progress of the comparison, in a sentence.
        problem: description of what went wrong, or "".
        items: the pictures.
    """

    n: int
    state: Literal["", "starting", "drawing", "done", "error"]
    title: str
    text: str
    problem: str
    items: list[ComparedPicture]


@dataclass(frozen=True)
class SeedPictures(ToPage, kind="seeds"):
    """The pictures of all seeds that the run draws at once, as small JPEGs in order; none where it draws one.

    Attributes:
        seeds: the seeds, ascending; the picture shown large is one of them.
    """

    seeds: list[int]


@dataclass(frozen=True)
class SavedFile(ToPage, kind="saved"):
    """Answers `Save`; the buffer is the file.

    Attributes:
        what: as in the request.
        name: name of the file.
        text: code to copy.
        note: a sentence on what the picture's recipe can't reproduce, or "".
        problem: reason why there is no file, or "".
    """

    what: Saved
    name: str
    text: str
    note: str
    problem: str


@dataclass(frozen=True)
class Module(ToPage, kind="module"):
    """Answers `LoadModule`; the buffers are the script and the style sheet."""

"""The records that pass between the worker and its users: what to draw, what draws it, the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from peek_widget._size import SizeLike
from peek_widget.ascent import Objective, Recipe
from peek_widget.ascent.position import describe_position

__all__ = ["BackgroundTask", "Made", "Publish", "RunningAscent", "Snapshot", "Start", "Target", "Update"]


@dataclass(frozen=True, eq=False)
class Start:
    """A picture to begin from; equal to itself only.

    Attributes:
        name: what the picture is called.
        picture: gives the picture, which may have to be read first.
    """

    name: str
    picture: Callable[[], Any]


@dataclass(frozen=True)
class Target:
    """What to draw. A change of any field means a new run.

    Attributes:
        layer: name of the layer.
        unit: number of the unit in that layer, from 0.
        recipe: a recipe or the name of a preset; handed through to the ascent.
        seed: seed of the random numbers, from 0.
        size: size of the picture in pixels: the side of a square, or (height, width); None leaves it to
            the recipe and the model.
        start: a picture to begin from; None for the recipe's own initialization.
        objective: "neuron" (one position), "channel" (mean over the map) or "class", see `live.choices`; or an
            `Objective` of one's own.
        at: position (row, column) of a neuron on the feature map; None for the center.
        negative: whether the objective is minimized.
        device: where to compute; None for where the model is.
        name: name of the unit (of a class, say); "" where it has none.
    """

    layer: str
    unit: int
    recipe: Any = None
    seed: int = 0
    size: SizeLike | None = None
    start: Start | None = None
    objective: Objective | str = "neuron"
    at: tuple[int, int] | None = None
    negative: bool = False
    device: str | None = None
    name: str = ""

    def describe(self) -> str:
        """Return the target as part of a sentence."""
        # the model itself has no name in named_modules()
        what = f"unit {self.unit} of {f'layer {self.layer}' if self.layer else 'the output'}"
        if self.name:
            what = f"{what} ({self.name})"
        if isinstance(self.objective, Objective):
            what = str(self.objective)
        elif self.objective == "channel":
            what = f"{what}, mean over the map"
        elif self.objective == "neuron" and self.at is not None:
            what = f"{what}, {describe_position(self.at)}"
        if self.negative:
            what = f"{what}, minimized"
        return what if self.start is None else f"{what}, starting from {self.start.name}"


class Made(Protocol):
    """The part of `peek_widget.ascent.Step` that a run uses."""

    @property
    def tensor(self) -> Tensor:
        """The first picture, on the CPU."""

    @property
    def nbytes(self) -> int:
        """Bytes of the pictures."""

    @property
    def unread_activation(self) -> float | Tensor:
        """The first objective's value, or where it is on a device a tensor `[]` that is still to be read."""

    def read_with(self, numbers: Sequence[Tensor]) -> list[float]:
        """Read the pictures together with numbers of the same device, and return those."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A picture of a run and how it was made: the one record of both that leaves the worker.

    Attributes:
        target: what is drawn, with the size that was taken for it.
        recipe: the run's recipe, without the overrides.
        made: what the step gave; its picture is read from the device when it is asked for.
        view_activation: the unit's activation before the ReLU, mean over the random views of that step, which were
            taken of the picture before it; a tensor `[]` where it is still to be read from a device.
        run: number of the run, from 1.
        step: number of steps made.
        total: number of steps of the whole run.
        overrides: knobs that override the recipe's values, by name.
        values: all knobs as the next step will use them, by name.
        edited: whether an override was changed during the run.
        done: whether this is the last picture of a run that has ended.
        activation: still activation of the picture, see `peek_widget.ascent.still`; NaN where it can't be measured,
            None where it was not.
    """

    target: Target
    recipe: Recipe
    made: Made
    view_activation: float | Tensor
    run: int
    step: int
    total: int
    overrides: Mapping[str, float]
    values: Mapping[str, float]
    edited: bool
    done: bool
    activation: float | None = None

    @property
    def image(self) -> Tensor:
        """The picture, float32 `[C, S, S]` in [0, 1] on the CPU."""
        return self.made.tensor


@dataclass(frozen=True)
class Update:
    """What the worker publishes at once.

    Attributes:
        snapshot: the picture to show, None where only the status has changed.
        lossless: whether the run stands still, so that the picture deserves to be exact.
        fresh: whether the picture is a new one; False when the newest is sent again to a page that asks for it.
        step: number of steps made; while an earlier step is viewed, the number of that step.
        activation: the run's newest still activation, while it stands still that of the picture shown; None before
            the first was measured.
        history: the curve of the whole run, see `History.packed`.
        status: the status dict that the protocol describes.
    """

    snapshot: Snapshot | None
    lossless: bool
    fresh: bool
    step: int
    activation: float | None
    history: bytes
    status: dict[str, Any]


Publish = Callable[[Update], None]


class RunningAscent(Protocol):
    """The part of `peek_widget.ascent.Ascent` that a run uses."""

    index: int
    steps: int
    done: bool
    size: SizeLike
    recipe: Any

    def step(self) -> Made:
        """Make one step."""

    def override(self, **knobs: float | None) -> None:
        """Override knobs from the next step on; None gives one back to the recipe."""

    def extend(self, n: int) -> None:
        """Allow `n` further steps."""

    def state(self, *, on_host: bool = True) -> Any:
        """Return all that another ascent needs to go on from here, copied to the CPU or left on the run's device."""

    def values(self) -> Mapping[str, float]:
        """Return the knobs as the next step will use them, by name."""

    def recipe_values(self) -> Mapping[str, float]:
        """Return what the recipe says for the knobs that it uses, whatever overrides them."""


class BackgroundTask(Protocol):
    """Work that the worker's thread does beside its own run, a piece after each step."""

    @property
    def blocking(self) -> bool:
        """Whether the run stands still until this is done."""

    def ready(self, watched: bool) -> bool:
        """Return whether there is something to do now. Called with the worker's lock held, so it must not wait."""

    def run_once(self) -> None:
        """Do one piece of the work, and report what goes wrong without raising."""

"""The records exchanged between the worker and its users: what to draw, what draws it, the picture."""

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
    """An initial image; equal only to itself.

    Attributes:
        name: name of the image.
        picture: returns the image, which may have to be read first.
    """

    name: str
    picture: Callable[[], Any]


@dataclass(frozen=True)
class Target:
    """What to draw. A change of any field means a new run.

    Attributes:
        layer: name of the layer.
        unit: number of the unit in that layer, from 0.
        recipe: a recipe or the name of a preset; passed on to the ascent.
        seed: seed of the random numbers, from 0.
        size: size of the picture in pixels: the side of a square, or (height, width); None leaves it to
            the recipe and the model.
        start: an initial image; None for the recipe's own start.
        objective: "neuron" (one position), "channel" (mean over the map) or "class", see `live.choices`; or a
            custom `Objective`.
        at: position (row, column) of a neuron on the feature map; None for the center.
        negative: whether the objective is minimized.
        device: device to compute on; None for the model's.
        seeds_at_once: number of seeds drawn at once, this one and its neighbors; None for as many as the device draws
            in about the time of one.
        name: name of the unit (of a class, for example); "" if it has no name.
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
    seeds_at_once: int | None = None
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
    def images(self) -> Tensor:
        """All pictures, `[N, C, S, S]` on the CPU."""

    @property
    def nbytes(self) -> int:
        """Number of bytes of the pictures."""

    @property
    def unread_activation(self) -> float | Tensor:
        """The first objective's value, or a tensor `[]` on a device that is still to be read."""

    def read_with(self, numbers: Sequence[Tensor]) -> list[float]:
        """Read the pictures together with numbers on the same device, and return the numbers."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A picture of a run and how it was made: the only record of both that leaves the worker.

    Attributes:
        target: what is drawn, with the size that was chosen for it.
        recipe: the run's recipe, without the overrides.
        made: the result of the step; its picture is read from the device on first use.
        view_activation: the unit's pre-ReLU activation, mean over the random views of that step, which show
            the picture before it; a tensor `[]` if it is still to be read from a device.
        run: number of the run, from 1.
        step: number of steps made.
        total: number of steps of the whole run.
        overrides: knobs that override the recipe's values, by name.
        values: all knobs as used by the next step, by name.
        edited: whether an override was changed during the run.
        done: whether this is the last picture of a run that has ended.
        seeds: the seeds drawn at once, of one picture each; the target's is the first.
        activation: still activation of the picture, see `peek_widget.ascent.still`; NaN if it can't be measured,
            None if it was not.
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
    seeds: tuple[int, ...]
    activation: float | None = None

    @property
    def image(self) -> Tensor:
        """The picture, float32 `[C, S, S]` in [0, 1] on the CPU."""
        return self.made.tensor

    @property
    def images_by_seed(self) -> dict[int, Tensor]:
        """The pictures of all seeds drawn at once, by seed in ascending order; each as `image`."""
        return dict(sorted(zip(self.seeds, self.made.images, strict=True), key=lambda pair: pair[0]))


@dataclass(frozen=True)
class Update:
    """The values that the worker publishes together.

    Attributes:
        snapshot: the picture to show; None if only the status has changed.
        lossless: whether the picture is sent exactly, because the run stands still.
        fresh: whether the picture is new; False if the newest is sent again to a page that asks for it.
        step: number of steps made; while an earlier step is viewed, the number of that step.
        activation: the run's newest still activation or, while it stands still, that of the picture shown; None
            before the first measurement.
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
    seeds: tuple[int, ...]

    def step(self) -> Made:
        """Make one step."""

    def override(self, **knobs: float | None) -> None:
        """Override knobs from the next step on; None restores the recipe's value."""

    def extend(self, n: int) -> None:
        """Allow `n` further steps."""

    def state(self, *, on_host: bool = True) -> Any:
        """Return all that another ascent needs to resume from here, copied to the CPU or left on the run's device."""

    def values(self) -> Mapping[str, float]:
        """Return the knobs as used by the next step, by name."""

    def recipe_values(self) -> Mapping[str, float]:
        """Return the recipe's own values of the knobs that it uses, without overrides."""


class BackgroundTask(Protocol):
    """Work that the worker's thread does in addition to its run, one piece after each step."""

    @property
    def blocking(self) -> bool:
        """Whether the run waits until this is done."""

    def ready(self, watched: bool) -> bool:
        """Return whether there is work now. Called with the worker's lock held, so it must not block."""

    def run_once(self) -> None:
        """Do one piece of the work, and report errors without raising."""

"""The traits that only Python writes: their names and their contents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

__all__ = [
    "DESCRIPTION_TRAITS",
    "EVIDENCE_TRAITS",
    "LIVE_TRAITS",
    "STATES",
    "TAG_TRAITS",
    "TRAIT_TYPES",
    "About",
    "EvidenceStatus",
    "Gauge",
    "KnobInfo",
    "LayerInfo",
    "RecipeInfo",
    "Status",
]

State = Literal["starting", "running", "paused", "done", "error", "idle", "closed"]
STATES: tuple[str, ...] = get_args(State)
"""The values of `status["state"]`; `idle` is a run that paused itself because no visible page showed it,
`closed` an explorer that was closed."""

OBJECTIVE_KINDS = ("neuron", "channel", "class", "custom")
"""The objectives as the page names them; `custom` is an `Objective` that was given in Python."""

# the string in an Annotated is the type in TypeScript
ObjectiveKind = Annotated[str, "ObjectiveKind"]
KnobName = Annotated[str, "KnobName"]

DESCRIPTION_TRAITS = ("_layer_list", "_recipe_list", "_knobs", "class_names", "_about")
"""The synced traits that the explorer writes in the kernel's thread."""

LIVE_TRAITS = ("frame", "activation", "step", "_history", "status")
"""The synced traits that the run writes, sent together as one update."""

EVIDENCE_TRAITS = ("evidence_status", "gauge")
"""The synced traits that the thread of the examples writes."""

TAG_TRAITS = ("tags", "tag_keys")
"""The synced traits that Python writes; the front end edits them by the messages `tag`, `tag_reviewed`, `undo` and
`key`, so that two pages that tag at once lose nothing."""


@dataclass(frozen=True)
class LayerInfo:
    """A layer. Names come from somebody's model: text to show, never markup.

    Attributes:
        name: name of the layer, as in `named_modules()`.
        kind: name of the module's class.
        channels: number of units.
        size: rows and columns of the feature map.
        receptive_field: height and width of the receptive field in pixels.
        stride: vertical and horizontal stride in pixels; below 1 where the map is larger than the image.
        rectified: whether the output has passed a ReLU.
        objectives: possible objectives of the units, the default first.
        named: whether the units are the classes of `class_names`.
    """

    name: str
    kind: str
    channels: int
    size: list[int]
    receptive_field: list[int] | None
    stride: list[float] | None
    rectified: bool
    objectives: list[ObjectiveKind]
    named: bool


@dataclass(frozen=True)
class RecipeInfo:
    """A recipe that can be chosen."""

    name: str
    summary: str
    source: str


@dataclass(frozen=True)
class KnobInfo:
    """A knob, as `peek_widget.ascent.KNOBS` has it."""

    name: KnobName
    label: str
    minimum: float
    maximum: float
    scale: Literal["linear", "log"]
    unit: str
    help: str


@dataclass(frozen=True)
class About:
    """The model, the machine and the version.

    Attributes:
        model: name of the model's class.
        preprocess: description of the preprocessing of its input.
        device: device that computes, and whether in bfloat16.
        devices: all devices of this machine.
        version: version of peek_widget.
        help: explanation of each control, by its short name.
    """

    model: str
    preprocess: str
    device: str
    devices: list[str]
    version: str
    help: dict[str, str]


@dataclass(frozen=True)
class Status:
    """The state of the run.

    Attributes:
        n: number of the frame; it grows as long as the kernel lives.
        run: number of the run; a restart counts too.
        state: state of the run.
        text: state of the run, in a sentence.
        error: type and text of the error, or None.
        rate: number of steps per second.
        step: number of steps of the picture shown.
        total: number of steps of the whole run.
        checkpoints: steps that can be sought; the last is the run's newest.
        viewing: whether the picture shown is an earlier checkpoint and not the run's newest picture.
        weights_changed: whether the model's weights have changed since the run began.
        comparing: whether the run waits until a comparison is drawn.
        unit: number of the unit.
        layer: name of the layer.
        size: size of the picture in pixels: the side of a square, else its height and width.
        start: name of the initial image; "" for the recipe's own start.
        values: the knobs in force, from recipe and overrides.
        recipe_values: the recipe's knobs without the overrides; a knob that has no effect in the recipe is left out.
        activation_before_relu: whether the activation is pre-ReLU, which it always is.
    """

    n: int
    run: int
    state: State
    text: str
    error: str | None
    rate: float
    step: int
    total: int
    checkpoints: list[int]
    viewing: bool
    weights_changed: bool
    comparing: bool
    unit: int
    layer: str
    size: int | tuple[int, int]
    start: str
    values: Annotated[dict[str, float], "Partial<Record<KnobName, number>>"]
    recipe_values: Annotated[dict[str, float], "Partial<Record<KnobName, number>>"]
    activation_before_relu: bool


@dataclass(frozen=True)
class EvidenceStatus:
    """Progress of the pass over the dataset; an empty object without a dataset.

    Attributes:
        state: state of the pass.
        text: state of the pass, in a sentence.
        problem: description of what went wrong, or "".
        layer: name of the layer.
        unit: number of the unit.
        images: number of images processed.
        total: number of images of the dataset.
        k: number of examples of a unit.
    """

    state: Literal["waiting", "running", "stopped", "done", "given", "error"]
    text: str
    problem: str
    layer: str
    unit: int
    images: int
    total: int
    k: int


@dataclass(frozen=True)
class PictureScoreText:
    """The score of a finished picture.

    Attributes:
        text: the score in words.
        rank: rank of the unit among those of its layer, by their activations of its picture.
        units: number of units of the layer.
        robustness: robustness of the picture; None if it is not known.
        activation_ratio: activation ratio of the picture; None if it is not known.
    """

    text: str
    rank: int | None
    units: int
    robustness: float | None
    activation_ratio: float | None


@dataclass(frozen=True)
class Gauge:
    """Activations pre-ReLU, at the position with the highest one: of the images, and of the optimized picture."""

    layer: str
    unit: int
    images: int
    lowest: float
    median: float
    high: float
    best: float
    activation: float | None
    activation_ratio: float | None
    text: str
    score: PictureScoreText | None


TRAIT_TYPES: dict[str, Any] = {
    "_layer_list": list[LayerInfo],
    "_recipe_list": list[RecipeInfo],
    "_knobs": list[KnobInfo],
    "class_names": list[str],
    "_about": Annotated[About, "Partial<About>"],
    "frame": bytes,
    "activation": float,
    "step": int,
    "_history": bytes,
    "status": Annotated[Status, "Partial<Status>"],
    "evidence_status": Annotated[EvidenceStatus, "Partial<EvidenceStatus>"],
    "gauge": Annotated[Gauge, "Partial<Gauge>"],
    "tags": dict[str, dict[str, list[str]]],
    "tag_keys": dict[str, str],
}
"""The type of each trait that only Python writes."""

"""Messages about a photo of the user's own: the page sends it and the changes to make in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from peek_widget._schema import choice, number, sequence, text
from peek_widget.photo.edits import EDITS, Edit

from ._message import MessageNumber, Switch, Text, ToKernel, ToPage

__all__ = [
    "PhotoAccentuate",
    "PhotoClass",
    "PhotoClose",
    "PhotoEdit",
    "PhotoLayer",
    "PhotoLayers",
    "PhotoOverview",
    "PhotoPicture",
    "PhotoPlace",
    "PhotoSample",
    "PhotoSeen",
    "PhotoStep",
    "PhotoUnit",
    "SetPhoto",
]

LONGEST_PHOTO = 700_000
"""Maximum number of characters of a photo in base64: half a megabyte of JPEG, more than the page's 300 kB."""

_MOST_NUMBERS = 3 * 2000
_share = number(0.0, 1.0)


@dataclass(frozen=True)
class SetPhoto(ToKernel, kind="photo"):
    """Look at a photo, an image file in base64 (`data`); a newer photo replaces it."""

    data: Annotated[str, text(LONGEST_PHOTO)]


@dataclass(frozen=True)
class PhotoEdit(ToKernel, kind="photo_edit"):
    """Look at the photo with a part of it changed.

    `strokes` are the brush's circles as a flat sequence of y, x and radius, in shares of the photo's height, width and
    longer side. Without strokes nothing is changed, unless `whole` is set, which changes all of the photo.
    """

    how: Annotated[Edit, choice(EDITS)]
    whole: Switch
    strokes: Annotated[tuple[float, ...], sequence(_share, _MOST_NUMBERS)]


@dataclass(frozen=True)
class PhotoPlace(ToKernel, kind="photo_place"):
    """List the units that fire at a place, in shares of the photo (`on`), or those of the whole photo again."""

    y: Annotated[float, _share]
    x: Annotated[float, _share]
    on: Switch


@dataclass(frozen=True)
class PhotoClose(ToKernel, kind="photo_close"):
    """Forget the photo."""


@dataclass(frozen=True)
class PhotoSample(ToKernel, kind="photo_sample"):
    """Look at a random image of the dataset."""


@dataclass(frozen=True)
class PhotoOverview(ToKernel, kind="photo_overview"):
    """Send the most unusual units of all layers too, each time they change (`on`), or stop sending them."""

    on: Switch


@dataclass(frozen=True)
class PhotoAccentuate(ToKernel, kind="photo_accentuate"):
    """Accentuate a unit of the layer in the photo, or reduce it (`less`), or stop. See `peek_widget.Accentuate`."""

    unit: MessageNumber
    less: Switch
    strength: Annotated[float, number(0.0, 100.0)]
    on: Switch


@dataclass(frozen=True)
class PhotoClass:
    """One class: its probability on the photo as it is, and with a part of it changed (None where nothing is)."""

    name: str
    before: float
    after: float | None


@dataclass(frozen=True)
class PhotoUnit:
    """A unit that fires on the photo; the message's buffer of the same number is where: a gray PNG over the photo.

    Attributes:
        unit: number of the unit.
        activation: its highest activation on the photo, or that at the place.
        percentile: percentile of that activation, 0 to 100.
        label: name of its class, or else the label of its best real image, or "".
        tags: its tags, separated by commas, or "".
        map: whether there is a map.
    """

    unit: int
    activation: float
    percentile: float
    label: str
    tags: str
    map: bool


@dataclass(frozen=True)
class PhotoSeen(ToPage, kind="photo"):
    """What the network sees in the photo.

    The first buffer is the photo as a JPEG where `picture` says so; then one for each unit with a `map`.

    Attributes:
        n: number of the photo, from 1; 0 without a photo.
        state: state of the work.
        problem: why the photo can't be looked at, or "".
        text: basis of the percentiles, in a sentence.
        width: width of the photo in pixels.
        height: height of the photo in pixels.
        shown: part of the photo that the network sees, as shares of it: left, top, right, bottom.
        classes: the five classes with the highest scores.
        note: a sentence on the model's output in place of classes, or on their scores; or "".
        layer: the layer of the units.
        units: the most unusual units of the layer.
        place: whether these units are those of a place.
        changed: whether a part of the photo is changed.
        picture: whether the picture is among the buffers.
    """

    n: int
    state: Literal["", "looking", "done", "error"]
    problem: str
    text: str
    width: int
    height: int
    shown: Annotated[list[float], "Box"]
    classes: list[PhotoClass]
    note: str
    layer: Text
    units: list[PhotoUnit]
    place: bool
    changed: bool
    picture: bool


@dataclass(frozen=True)
class PhotoPicture(ToPage, kind="photo_picture"):
    """A picture of a listed unit, a JPEG in the buffer; without a buffer there is none, and `problem` says why.

    Attributes:
        layer: layer of the unit.
        unit: number of the unit.
        of: `drawn`, or the best real `crop`.
        problem: why there is no picture, or "".
    """

    layer: Text
    unit: int
    of: Literal["drawn", "crop"]
    problem: str


@dataclass(frozen=True)
class PhotoLayer:
    """The most unusual units of one layer; `real` says whether they are compared with real images."""

    layer: str
    real: bool
    units: list[PhotoUnit]


@dataclass(frozen=True)
class PhotoLayers(ToPage, kind="photo_layers"):
    """The most unusual units of all layers; one buffer for each unit with a `map`, as of `PhotoSeen`.

    Attributes:
        n: number of the photo.
        layers: the layers, in their order.
    """

    n: int
    layers: list[PhotoLayer]


@dataclass(frozen=True)
class PhotoStep(ToPage, kind="photo_step"):
    """A step of the accentuated photo: a JPEG in the buffer of the part that the network sees.

    Attributes:
        n: number of the photo.
        run: number of the accentuation, from 1.
        layer: layer of the unit.
        unit: number of the unit.
        less: whether the unit is reduced.
        strength: weight of the penalty that preserves the photo.
        step: number of steps made; 0 is the photo as it is.
        total: number of steps of the whole run.
        activation: highest activation of the unit.
        mean: mean of its activation over the map, the objective of the run.
        percentile: percentile of the highest activation, 0 to 100.
        classes: the classes on the photo, and now.
        problem: why the run has ended early, or "".
    """

    n: int
    run: int
    layer: Text
    unit: int
    less: bool
    strength: float
    step: int
    total: int
    activation: float
    mean: float
    percentile: float
    classes: list[PhotoClass]
    problem: str

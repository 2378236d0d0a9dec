"""Messages about the dataset examples of the unit shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from peek_widget._schema import choice

from ._message import CropNumber, Switch, ToKernel, ToPage

__all__ = ["CropInfo", "CropSet", "CropView", "LargeCrop", "OpenCrop", "RunPass", "SetCropView", "StartFromCrop"]

Box = Annotated[tuple[float, float, float, float], "Box"]
"""Left, top, right and bottom, as shares of the image."""


CropView = Literal["whole", "field", "focus"]
"""The part of an example that is shown: the whole image, the receptive field, or the focus."""


@dataclass(frozen=True)
class SetCropView(ToKernel, kind="crop_view"):
    """Choose the examples to show, the bottom or the top ones, and the part shown of each."""

    bottom: Switch
    view: Annotated[CropView, choice(get_args(CropView))]


@dataclass(frozen=True)
class OpenCrop(ToKernel, kind="open_crop"):
    """Show crop number `id` enlarged, with the unit's activation map; 0 closes it."""

    id: CropNumber


@dataclass(frozen=True)
class StartFromCrop(ToKernel, kind="start_from_crop"):
    """Use crop number `id` as the initial image; 0 restores the recipe's own start."""

    id: CropNumber


@dataclass(frozen=True)
class RunPass(ToKernel, kind="run_pass"):
    """Continue the pass over the dataset (`on`), or stop it."""

    on: Switch


@dataclass(frozen=True)
class CropInfo:
    """One example.

    Attributes:
        id: number of the crop, for `OpenCrop` and `StartFromCrop`.
        key: name of its picture among those sent.
        activation: activation of the unit, pre-ReLU.
        name: name of the image.
        label: label of the image, or "".
        clipped: whether the receptive field extends beyond the image.
        box: what is outlined on the image: the receptive field, or its focus where the field is wide.
        size: width and height of what is shown, in pixels.
        image: index of its JPEG among the message's buffers; -1 for the JPEG last sent for this key.
        problem: reason why there is no picture, or "".
    """

    id: int
    key: str
    activation: float
    name: str
    label: str
    clipped: bool
    box: Box
    size: tuple[int, int]
    image: int
    problem: str


@dataclass(frozen=True)
class CropSet(ToPage, kind="crops"):
    """The examples of a unit, at most nine, best first, with their JPEGs as buffers."""

    layer: str
    unit: int
    bottom: bool
    view: CropView
    crops: list[CropInfo]


@dataclass(frozen=True)
class LargeCrop(ToPage, kind="large"):
    """One example large: the first buffer is the whole image as JPEG, the second the map, one byte a position.

    Attributes:
        id: number of the crop.
        layer: name of the layer.
        unit: number of the unit.
        name: name of the image.
        label: label of the image, or "".
        activation: activation of the unit, pre-ReLU.
        clipped: whether the receptive field extends beyond the image.
        box: what is outlined on the image: the receptive field, or its focus where the field is wide.
        size: width and height of the image shown, in pixels.
        map: rows and columns of the activation map; empty if there is no map.
        area: area of the image that the map covers, a box; empty if there is no map.
        problem: reason why there is no picture, or "".
    """

    id: int
    layer: str
    unit: int
    name: str
    label: str
    activation: float
    clipped: bool
    box: Box
    size: tuple[int, int]
    map: list[int]
    area: Annotated[list[float], "Box"]
    problem: str

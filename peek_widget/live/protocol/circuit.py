"""Messages about the circuit of the unit shown: the units that it reads, and those that read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ._message import CropNumber, Switch, Text, ToKernel, ToPage

__all__ = [
    "CircuitCrop",
    "CircuitCrops",
    "CircuitOpen",
    "CircuitPicture",
    "CircuitRow",
    "CircuitSeen",
    "CircuitTarget",
    "CircuitWithout",
    "GetCircuitCrops",
    "SetCircuitWithout",
]


@dataclass(frozen=True)
class CircuitOpen(ToKernel, kind="circuit_open"):
    """The panel of the circuit was opened, or closed."""

    on: Switch


@dataclass(frozen=True)
class GetCircuitCrops(ToKernel, kind="circuit_get_crops"):
    """Send dataset examples of a unit of the circuit, if there are any; with `find`, look for examples of its layer."""

    layer: Text
    unit: CropNumber
    find: Switch


@dataclass(frozen=True)
class SetCircuitWithout(ToKernel, kind="circuit_set_without"):
    """Draw the unit shown with that unit held at its median (`on`), or stop."""

    layer: Text
    unit: CropNumber
    on: Switch


@dataclass(frozen=True)
class CircuitRow:
    """A unit that the unit shown reads.

    Attributes:
        layer: name of its layer.
        unit: number of the unit.
        weight: norm of the kernel between the two, signed, times the lower unit's standard deviation.
        contribution: its contribution, by the gradient.
        effect: its effect, measured; None until it is measured.
    """

    layer: str
    unit: int
    weight: float
    contribution: float
    effect: float | None


@dataclass(frozen=True)
class CircuitTarget:
    """A unit of a next layer, or a class, and what it loses when the unit shown is held.

    Attributes:
        layer: name of its layer.
        unit: number of the unit.
        name: name of a class, or "".
        effect: the loss, measured.
        guess: the loss to first order; None if it can't be computed.
    """

    layer: str
    unit: int
    name: str
    effect: float
    guess: float | None


@dataclass(frozen=True)
class CircuitSeen(ToPage, kind="circuit"):
    """What is known of the circuit of the unit shown; the kernels of `inputs` come as PNGs, one for each.

    Attributes:
        layer: name of the unit's layer.
        unit: number of the unit.
        state: state of the work; "none" if the unit has no circuit.
        problem: why there is no circuit, or what went wrong, or "".
        text: progress, and the images that it is computed on.
        remarks: remarks on the circuit.
        inputs: the units that excite or inhibit it most, at most eight each.
        outputs: what reads it: units of the next layers, then classes.
        filter: whether the last buffer is the filter of a unit that reads the image itself.
    """

    layer: str
    unit: int
    state: Literal["", "reading", "measuring", "drawing", "done", "none", "error"]
    problem: str
    text: str
    remarks: list[str]
    inputs: list[CircuitRow]
    outputs: list[CircuitTarget]
    filter: bool


@dataclass(frozen=True)
class CircuitPicture(ToPage, kind="circuit_picture"):
    """The drawn picture of a unit of the circuit, a JPEG; or why there is none.

    Attributes:
        layer: name of its layer.
        unit: number of the unit.
        draft: whether it is still being drawn.
        problem: why it can't be drawn, or "".
    """

    layer: str
    unit: int
    draft: bool
    problem: str


@dataclass(frozen=True)
class CircuitCrop:
    """A dataset example of a unit of the circuit."""

    activation: float
    label: str


@dataclass(frozen=True)
class CircuitCrops(ToPage, kind="circuit_crops"):
    """Dataset examples of a unit of the circuit, best first, a JPEG each; or a sentence why there are none.

    Attributes:
        layer: name of its layer.
        unit: number of the unit.
        crops: the examples.
        problem: why there are none, or "".
        can_find: whether they can be looked for.
    """

    layer: str
    unit: int
    crops: list[CircuitCrop]
    problem: str
    can_find: bool


@dataclass(frozen=True)
class CircuitWithout(ToPage, kind="circuit_without"):
    """The unit shown as it is, and with one input held at its median: two JPEGs.

    Attributes:
        layer: layer of the input that is held.
        unit: number of the input.
        state: state of the drawing; "" if no input is held.
        text: progress, or both activations.
        problem: what went wrong, or "".
    """

    layer: str
    unit: int
    state: Literal["", "drawing", "done", "error"]
    text: str
    problem: str

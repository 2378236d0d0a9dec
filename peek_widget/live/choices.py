"""What of a unit is drawn, by the names that the explorer's controls have for it."""

from __future__ import annotations

from typing import Any

import torch

from peek_widget.ascent import Objective, unit_objective
from peek_widget.ascent.position import as_place, check_place
from peek_widget.errors import PeekError, UnitError
from peek_widget.live.snapshot import Target
from peek_widget.network import OUTPUT, Layer, Network

__all__ = ["check_at", "check_device", "check_kind", "devices", "kinds", "objective_of", "usual_kind"]


def kinds(layer: Layer) -> tuple[str, ...]:
    """The objectives that a layer's units can be drawn for, the usual one first.

    "neuron" is the unit at one place of its map, "channel" the mean over the map, "class" the model's own score.
    """
    if layer.name != OUTPUT:
        return ("neuron", "channel")
    return ("neuron", "channel", "class") if layer.spatial else ("class",)


def usual_kind(layer: Layer) -> str:
    """What is drawn where nothing is said: the middle neuron, or the class."""
    return kinds(layer)[0]


def check_kind(layer: Layer, kind: Any) -> str:
    """The objective's name; PeekError if the layer's units can't be drawn for it."""
    possible = kinds(layer)
    if isinstance(kind, str) and kind in possible:
        return kind
    what = "the output" if layer.name == OUTPUT else f"layer {layer.name}"
    why = ""
    if kind == "class":
        why = ": only the model's output has classes"
    elif kind in ("neuron", "channel"):
        why = ": its output has no map"
    raise PeekError(
        f"objective={kind!r} is not possible for {what}{why}. Possible there: {', '.join(map(repr, possible))}."
    )


def check_at(layer: Layer, at: Any) -> tuple[int, int] | None:
    """The place (row, column) on the layer's map, None for its middle; UnitError if it is none."""
    if at is None:
        return None
    if not layer.spatial:
        what = "the output" if layer.name == OUTPUT else f"layer {layer.name}"
        raise UnitError(f"at={at!r}: {what} has no map to choose a place on; leave at as None.")
    place = as_place(at)
    check_place(place, layer.name, layer)
    return place


def objective_of(network: Network, target: Target) -> Objective:
    """The objective of a target, whichever its sign."""
    return unit_objective(network, target.layer, target.unit, target.objective, target.at)


def devices() -> list[str]:
    """Where this machine can compute, as `device` takes it."""
    found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def check_device(device: Any) -> str:
    """A device's full name, "cuda:0" for "cuda"; PeekError if this machine has it not."""
    here = devices()
    try:
        name = str(torch.device(device))
    except (RuntimeError, TypeError):
        name = ""
    name = {"cuda": "cuda:0", "mps:0": "mps", "cpu:0": "cpu"}.get(name, name)
    if name not in here:
        raise PeekError(
            f"device={device!r}: this machine can compute on {', '.join(map(repr, here))}; choose of these."
        )
    return name

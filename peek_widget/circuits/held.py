"""A network in which one unit is held at its median, to draw the pictures of others on."""

from __future__ import annotations

import copy
from collections.abc import MutableMapping
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from torch import Tensor, nn

from peek_widget.circuits.measure import statistics_of
from peek_widget.circuits.reads import Read, activation_value, check_layer
from peek_widget.circuits.shown import Examples, Shown
from peek_widget.errors import LayerError, PeekError
from peek_widget.network import Network
from peek_widget.network.outputs import as_tensor, attributes_of

__all__ = ["HeldNetwork", "held_at_median"]


@dataclass(frozen=True)
class HeldNetwork(Network):
    """A network in which one unit is held at its median: for runs in one thread, since a replica would not be held."""

    def replica(self, **_: Any) -> NoReturn:
        """Raise PeekError: whatever needs its own copy (a sheet, a pass over images) would not hold the unit."""
        raise PeekError(
            "A network with a unit held at its median works only with render, ascend and Ascent. Contact sheets, "
            "passes over images and circuits make a copy, in which the unit is no longer held: give them the model "
            "itself."
        )


def held_at_median(network: Network, name: str, unit: int, examples: Examples | None, shown: Shown) -> HeldNetwork:
    """Return a replica of a network whose forward always has one unit at its median.

    What the layer's module returns is held, so that everything that reads it gets the median, on whatever path. After a
    monotone activation function it is the median there, too.

    Args:
        network: the model; it stays as it is.
        name, unit: the unit that is held.
        examples: what its median is taken over.
        shown: the images that it is taken over where there are no examples.

    Raises:
        LayerError, UnitError: if there is no such unit, the layer has no circuit, or its module's output can't be
            replaced.
    """
    layer = check_layer(network, name)
    network.check_unit(layer.name, unit)
    read = Read(layer.name, activation_value(network, layer.name))
    median = float(statistics_of(network, [read], examples, shown)[read.value][0][unit])
    replica = network.replica()
    dim = layer.layout.order[1]
    module, _, call = layer.output.partition("@")
    wanted = int(call or 1)
    count = 0

    def begin(_module: nn.Module, _inputs: Any) -> None:
        nonlocal count
        count = 0

    def hold(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal count
        count += 1
        if count != wanted:
            return None
        free = as_tensor(output, layer.name)
        held = free.clone()  # a later function may still need the original
        held.select(dim, unit).fill_(median)
        found = _replaced(output, free, held)
        if found is output:
            raise LayerError(
                f"Unit {unit} of {layer.name!r} can't be held: its module returns a {type(output).__name__}, of which "
                "no changed copy can be made. Have it return a tensor, a tuple, a dict or a plain object."
            )
        return found

    every = dict(replica.model_copy.module.named_modules())
    replica.model_copy.module.register_forward_pre_hook(begin)
    every[module].register_forward_hook(hold)
    return HeldNetwork(**{one.name: getattr(replica, one.name) for one in fields(replica) if one.init})


def _replaced(output: Any, old: Tensor, new: Tensor) -> Any:
    """Return a copy of a module's output with one tensor replaced; the output itself where that tensor is not in it.

    The tensor may be in tuples (named ones too), lists and mappings, nested or not, and in attributes of an object.
    """
    if isinstance(output, Tensor):
        return new if output is old else output
    if isinstance(output, (tuple, list, MutableMapping)):
        keys = list(output) if isinstance(output, MutableMapping) else range(len(output))
        changed = {key: found for key in keys if (found := _replaced(output[key], old, new)) is not output[key]}
        if not changed:
            return output
        if isinstance(output, tuple):
            items = [changed.get(number, item) for number, item in enumerate(output)]
            return type(output)(*items) if hasattr(output, "_fields") else tuple(items)
        copied = copy.copy(output)
        for key, found in changed.items():
            copied[key] = found
        return copied
    names = [name for name, value in attributes_of(output).items() if value is old]
    if not names:
        return output
    copied = copy.copy(output)
    for name in names:
        object.__setattr__(copied, name, new)  # also where it is a frozen dataclass
    return copied

"""Modules that only pad their input: their map is that of the layer before, so they are not layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

__all__ = ["only_pads"]

# Autograd nodes of padding; circular padding is made of copies, and is recognized by its class.
_PADS = ("ConstantPadNd", "ReflectionPad2D", "ReplicationPad2D")


def only_pads(module: nn.Module, name: str, inputs: Sequence[Any], output: Tensor) -> Tensor | None:
    """Return the map that a module has padded and done nothing else with; None if it is not such a module.

    That is found by what the module did, so that one of the user's own counts too, as does an identity in the place of
    a padding (its name has "pad" in it) where the sizes happen to need none.

    Args:
        module: the module.
        name: its name in the model.
        inputs: what it was given in this call.
        output: what it returned, with its graph.
    """
    source = inputs[0] if inputs else None
    if not isinstance(source, Tensor) or source.ndim != 4 or output.shape[:2] != source.shape[:2]:
        return None  # only maps count; and padding the channels would renumber the units
    if isinstance(module, nn.CircularPad2d):
        return source
    if output is source:
        return source if "pad" in name.rpartition(".")[2].lower() else None
    node, padded = output.grad_fn, False
    while node is not None and node is not source.grad_fn and node.name().startswith(_PADS):
        padded = True
        (node, _), *_ = node.next_functions
    return source if padded and node is source.grad_fn else None

"""What a unit feeds: the units of the next layers and the classes that change when it is held at its median."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from peek_widget.circuits.measure import Steps, finished, hold, statistics_step_by_step
from peek_widget.circuits.program import Part, Tape
from peek_widget.circuits.reads import Read, activation_value, readers_of
from peek_widget.circuits.shown import Examples, Shown
from peek_widget.network import OUTPUT, Network
from peek_widget.network.context import undisturbed

__all__ = ["CircuitOutput", "feeds", "feeds_step_by_step"]

_AT_ONCE = 2  # images per step: each step runs the whole network once forward and three times backward

_SAME = 1e-5  # relative difference of a number that is computed twice, one of them after an addition


@dataclass(frozen=True)
class CircuitOutput:
    """A unit that reads another, or a class, and what it loses when the other unit is held at its median.

    Attributes:
        layer, unit: the upper unit; a class is a unit of the output.
        name: name of a class, where the model has ``class_names``; else "".
        effect: the activation less the one with the unit held, mean over images, where the layer changes most.
        guess: the effect to first order, from the derivative in the direction of the change; NaN where torch can't
            compute it.
    """

    layer: str
    unit: int
    name: str
    effect: float
    guess: float


def feeds(
    network: Network, layer: str, unit: int, shown: Shown, examples: Examples | None, count: int = 12
) -> list[CircuitOutput]:
    """Measure what :func:`feeds_step_by_step` returns."""
    return finished(feeds_step_by_step(network, layer, unit, shown, examples, count))


def feeds_step_by_step(
    network: Network, layer: str, unit: int, shown: Shown, examples: Examples | None, count: int = 12
) -> Steps[list[CircuitOutput]]:
    """Measure what changes in the layers that read a unit, and in the classes, when it is held at its median.

    The change of a unit of another layer is taken, in each image, at the position where that layer changes most;
    everything in between changes with it.

    Args:
        network: the model.
        layer, unit: the unit that is held.
        shown: the images.
        examples: dataset examples that its median is taken over.
        count: number of units of the next layers, and number of classes, that are listed.

    Returns:
        the units of the next layers, largest absolute effect first; then the classes.

    Raises:
        LayerError: if the layer is the model's output, or nothing reads it.
    """
    found = readers_of(network, layer)
    values = {value for _, value in found}
    read = Read(layer, values.pop() if len(values) == 1 else activation_value(network, layer))
    names = list(dict.fromkeys([name for name, _ in found] + [OUTPUT]))
    part = Part(network, [read.value], names)
    statistics = yield from statistics_step_by_step(network, [read], examples, shown)
    medians = statistics[read.value][0]
    effects: list[list[Tensor]] = [[] for _ in names]
    guesses: list[list[Tensor]] = [[] for _ in names]
    for piece in shown.inputs.split(1 if network.one_at_a_time else _AT_ONCE):
        tape = part.tape(piece)
        kept = tape.kept[read.value]
        held = hold(network, read, kept, unit, medians)
        with undisturbed(network.model_copy.device), torch.no_grad():
            changes = [a - b for a, b in zip(tape({}), tape({read.value: held}), strict=True)]
            slopes = _slopes(tape, read.value, kept, held - kept, changes)
        for number, (change, slope) in enumerate(zip(changes, slopes, strict=True)):
            effects[number].append(_where_most(change, change))
            guesses[number].append(_where_most(slope, change))
        yield
    rows = []
    for number, name in enumerate(names):
        effect, guess = torch.cat(effects[number]).mean(0), torch.cat(guesses[number]).mean(0)
        order = effect.abs().argsort(descending=True, stable=True)[:count].tolist()
        rows += [
            CircuitOutput(name, one, class_name(network, name, one), float(effect[one]), float(guess[one]))
            for one in order
            if float(effect[one]) != 0.0
        ]
    upper = sorted((row for row in rows if row.layer != OUTPUT), key=lambda row: -abs(row.effect))
    return [*_each_once(upper)[:count], *(row for row in rows if row.layer == OUTPUT)]


def _each_once(rows: Sequence[CircuitOutput]) -> list[CircuitOutput]:
    """Return the rows without a block's units that only repeat a unit inside it, joined or added to others."""

    def same(one: float, other: float) -> bool:
        return math.isclose(one, other, rel_tol=_SAME) or (math.isnan(one) and math.isnan(other))

    return [
        row
        for row in rows
        if not any(
            one.layer.startswith(f"{row.layer}.") and same(one.effect, row.effect) and same(one.guess, row.guess)
            for one in rows
        )
    ]


def _slopes(tape: Tape, value: int, kept: Tensor, step: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Compute the first-order loss of each layer: the derivative in the direction of -step."""
    try:
        with torch.enable_grad():
            given = kept.detach().clone().requires_grad_()
            out = tape({value: given})
            # The gradient is linear in the outputs' weights: its own gradient with respect to those is the one wanted.
            weights = [torch.zeros_like(one, requires_grad=True) for one in out]
            used = [number for number, one in enumerate(out) if one.requires_grad]
            parts = [out[number] for number in used], [weights[number] for number in used]
            (backward,) = torch.autograd.grad(parts[0], given, parts[1], create_graph=True)
            found = torch.autograd.grad(backward, weights, -step, allow_unused=True)
        return [torch.zeros_like(a) if one is None else one for one, a in zip(found, like, strict=True)]
    except RuntimeError:  # a function that can't be differentiated twice
        return [torch.full_like(one, math.nan) for one in like]


def _where_most(values: Tensor, change: Tensor) -> Tensor:
    """Return ``values [N, C, ...]`` at the position where all units together change most, ``[N, C]``."""
    if values.ndim == 2:
        return values
    flat, moved = values.flatten(2), change.flatten(2)
    place = moved.abs().sum(1).argmax(1)
    return flat.gather(2, place[:, None, None].expand(-1, flat.shape[1], 1))[:, :, 0]


def class_name(network: Network, layer: str, unit: int) -> str:
    """Return the name of a class, where the layer is the output and the model has ``class_names``; else ""."""
    names = getattr(network.model_copy.original, "class_names", None)
    known = layer == OUTPUT and isinstance(names, (list, tuple)) and unit < len(names)
    return str(names[unit]) if known and names is not None else ""

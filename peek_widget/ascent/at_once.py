"""How many pictures a device draws at once in about the time of one: found by making steps."""

from __future__ import annotations

import math
import statistics
from time import perf_counter
from typing import Unpack

from torch import nn

from peek_widget.ascent.arguments import AscentOptions, Objectives, as_objectives, as_seeds, with_options
from peek_widget.ascent.engine import Ascent
from peek_widget.ascent.recipe import Recipe
from peek_widget.errors import PeekError
from peek_widget.network import ModelCopy, Network, read
from peek_widget.network.memory import memory_error, release
from peek_widget.network.timed import wait_for

__all__ = ["seeds_at_once"]

_BUSY = ("cpu",)  # with one picture all cores are busy: several take several times as long, and nothing is tried
_BEFORE = 6  # steps before those that count: the first four go picture by picture, the next choose their kernels
_STEPS = 5


@with_options
def seeds_at_once(
    model: nn.Module | ModelCopy | Network,
    objective: Objectives,
    recipe: Recipe | str | None = None,
    *,
    most: int = 4,
    cost: float = 1.3,
    slowest: float = math.inf,
    **options: Unpack[AscentOptions],
) -> int:
    """Find how many seeds of one picture can be drawn at once in about the time of one.

    A large GPU is idle most of the time while it draws one small picture: then several in a batch, each from a seed of
    its own, take little longer. Tried are the largest number, half of it, and so on, by five warm steps each that take
    turns with five of one picture; medians count.

    >>> count = seeds_at_once(model, "features.12:33", device="cuda")
    >>> render(model, ["features.12:33"] * count, seed=list(range(count)), device="cuda")

    Args:
        model: a model, or a network already read; the model is neither run nor changed.
        objective: what is drawn: one Objective, or ``"layer:unit"``.
        recipe: a Recipe or the name of a preset; left out, ``"peek"``.
        most: largest number of seeds that is tried, from 1 to 64.
        cost: how many times as long as that of one picture a step may take, 1 or more.
        slowest: seconds of a step of one picture from which on the device counts as busy, and nothing more is tried.

    Returns:
        The largest number tried whose step takes at most ``cost`` times as long as that of one picture. On a
        CPU it is 1, and nothing is tried: one picture keeps it busy. Where memory runs out with a number, it is less.

    Raises:
        PeekError: if an argument is not possible, in a sentence; as :class:`Ascent`.
    """
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= 64:
        raise PeekError(f"most={most!r}: give a whole number from 1 to 64.")
    if isinstance(cost, bool) or not isinstance(cost, (int, float)) or not 1.0 <= cost < math.inf:
        raise PeekError(f"cost={cost!r}: give a number from 1, e.g. 1.3 for steps that take up to 1.3 times as long.")
    if isinstance(slowest, bool) or not isinstance(slowest, (int, float)) or not slowest > 0.0:
        raise PeekError(f"slowest={slowest!r}: give seconds above 0, e.g. 0.05.")
    given = (options["input_size"], options["preprocess"], options["device"])
    network = model if isinstance(model, Network) else read(model, *given)
    found = as_objectives(network, objective)
    if len(found) != 1:
        raise PeekError(
            f"objective is a list of {len(found)}: give the one objective that is drawn from several seeds."
        )
    (first,) = as_seeds(options["seed"], 1)
    if network.model_copy.device.type in _BUSY:
        return 1

    def begin(count: int) -> Ascent:
        ascent = Ascent(network, list(found) * count, recipe, **{**options, "seed": [first + n for n in range(count)]})
        ascent.extend(_BEFORE + 4 * _STEPS * most.bit_length())  # more than are ever made
        for _ in range(_BEFORE):
            ascent.step()
        return ascent

    one = begin(1) if most > 1 else None
    if one is None or _seconds(one)[0] >= slowest:
        return 1
    count = most
    while count > 1:
        try:
            several, alone = _seconds(begin(count), one)
            if several <= cost * max(alone, 1e-9):
                return count
        except Exception as error:
            if memory_error(error) is None:
                raise
            release(network.model_copy.device, error)
        count = count // 2 if count > 3 else count - 1
    return 1


def _seconds(*ascents: Ascent) -> list[float]:
    """Return how long a step of each ascent takes, in seconds: the median of warm steps that take turns."""
    spent: list[list[float]] = [[] for _ in ascents]
    for _ in range(_STEPS):
        for ascent, seconds in zip(ascents, spent, strict=True):
            wait_for(ascent.device)
            began = perf_counter()
            ascent.step()
            wait_for(ascent.device)
            seconds.append(perf_counter() - began)
    return [statistics.median(seconds) for seconds in spent]

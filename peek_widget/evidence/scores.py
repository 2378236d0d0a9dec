"""The quality table: what the drawn pictures of a layer's units are worth, unit by unit, on one's own model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from peek_widget._optional import optional_import
from peek_widget.ascent import Recipe, render, unit_objective
from peek_widget.errors import PeekError
from peek_widget.evidence.crops import LayerEvidence
from peek_widget.evidence.measures import verdict
from peek_widget.network import ModelCopy, Network, read

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["score_pictures"]

_BATCH = 8


def score_pictures(
    model: nn.Module | ModelCopy | Network,
    evidence: LayerEvidence,
    recipe: Recipe | str | None = None,
    *,
    units: Iterable[int] | None = None,
    seeds: tuple[int, int] = (0, 1),
    size: int | None = None,
    progress: Callable[[int, int], Any] | None = None,
    **reading: Any,
) -> pd.DataFrame:
    """Draw units twice and hold the pictures against the real images: a row for each unit.

    A unit is drawn as its center ``Neuron``, a class as its ``Logit``. By which rule an activation is taken, of a
    picture as of an image, is said in :mod:`peek_widget.evidence.measures`.

    Args:
        model: that the evidence was gathered with.
        evidence: of one layer, as ``top_crops(model, layer, dataset)`` gives it.
        recipe: a Recipe or a preset's name; left out, ``"peek"``.
        units: their numbers; left out, all of the layer.
        seeds: of the two drawings, whose agreement is told.
        size: side of the pictures in pixels.
        progress: called with the units done and all.
        **reading: ``input_size``, ``preprocess`` and ``device``, as the pass had them.

    Returns:
        a DataFrame with the unit as index and the columns ``activation`` (of the picture), ``best`` (of the real
        images), ``over_best`` (the one by the other), ``beats`` (whether it is more), ``robustness`` (what is left
        under small shifts, turns and changes of size; 1 is all), ``rank`` (of the unit in its layer on its own
        picture, 1 the first), ``flaw`` (empty, or what is wrong with the picture) and ``agreement`` (of the two
        seeds, from -1 to 1).

    Raises:
        PeekError: if pandas is not installed, or the units or seeds are not possible.
        EvidenceStoreError: if the evidence was gathered with other weights.
        UnitError: if the layer has no such unit.
    """
    pandas = optional_import("pandas")
    if not isinstance(evidence, LayerEvidence):
        raise PeekError(
            f"score_pictures takes the evidence of one layer, as top_crops(model, layer, dataset) returns it; a "
            f"{type(evidence).__name__} was given (of several layers take one: crops[layer])."
        )
    if len(set(seeds)) != 2:
        raise PeekError(f"seeds={seeds!r}: give two different numbers, of the two drawings that are compared.")
    network = model if isinstance(model, Network) else read(model, **reading)
    evidence.check_model(network)
    recipe = Recipe.preset(recipe) if isinstance(recipe, str) else recipe or Recipe.preset("peek")
    layer = network.layer(evidence.name)
    numbers = list(range(layer.channels) if units is None else units)
    for unit in numbers:
        network.check_unit(layer.name, unit)
    natural = {layer.name: evidence.natural()}
    rows = []
    for first in range(0, len(numbers), _BATCH):
        part = numbers[first : first + _BATCH]
        objectives = [unit_objective(network, layer.name, unit) for unit in part]
        drawn, again = (
            render(network, objectives, recipe, seed=seed, size=size, progress=False).images for seed in seeds
        )
        with torch.no_grad():
            rows += map(asdict, verdict(network, objectives, drawn, natural, recipe, others=again))
        if progress is not None:
            progress(len(rows), len(numbers))
    columns = ("activation", "best", "over_best", "beats", "robustness", "rank", "flaw", "agreement")
    return pandas.DataFrame(rows, columns=columns, index=pandas.Index(numbers, name="unit"))

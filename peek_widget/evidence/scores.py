"""Evaluation of the pictures of a layer's units against real images, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from peek_widget._optional import optional_import
from peek_widget._progress import progress_bar
from peek_widget._size import SizeLike
from peek_widget.ascent import Recipe, render, unit_objective
from peek_widget.errors import PeekError
from peek_widget.evidence.evidence import LayerEvidence
from peek_widget.evidence.measures import PictureScore, score
from peek_widget.network import ModelCopy, Network, Preprocess, PreprocessFunction, read

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
    size: SizeLike | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
    input_size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    device: str | torch.device | None = None,
) -> pd.DataFrame:
    """Draw units with two seeds each and compare the pictures with the real images: a row for each unit.

    A unit is drawn as its center ``Neuron``, a class as its ``Logit``. :mod:`peek_widget.evidence.measures` says by
    which rule the activation of a picture, and of an image, is taken.

    Args:
        model: the model that the evidence was gathered with.
        evidence: evidence of one layer, as ``top_crops(model, layer, dataset)`` returns it.
        recipe: a Recipe or a preset's name; left out, ``"peek"``.
        units: numbers of the units; left out, all of the layer.
        seeds: seeds of the two pictures of each unit, whose agreement is computed.
        size: side of the pictures in pixels.
        progress: None shows a progress bar for what takes more than two seconds, True at once, False never; or a
            function that is called with the number of units done and of all.
        input_size, preprocess, device: see :func:`~peek_widget.network.read`; as the pass had them.

    Returns:
        a DataFrame with the unit as index and the columns ``activation`` (on the picture), ``best`` (highest on the
        real images), ``activation_ratio`` (the first by the second), ``exceeds_best`` (whether it is higher),
        ``robustness`` (share of the activation that is left under small shifts, rotations and changes of scale),
        ``rank`` (of the unit in its layer on its own picture, from 1), ``flaw`` (empty, or what is wrong with the
        picture) and ``agreement`` (of the two seeds, from -1 to 1).

    Raises:
        PeekError: if pandas is not installed, or the units or seeds are not possible.
        EvidenceStoreError: if the evidence was gathered with other weights.
        UnitError: if the layer has no such unit.
    """
    pandas = optional_import("pandas")
    if not isinstance(evidence, LayerEvidence):
        raise PeekError(
            f"score_pictures takes the evidence of one layer, as top_crops(model, layer, dataset) returns it; a "
            f"{type(evidence).__name__} was given (of several layers take one: evidence[layer])."
        )
    if len(set(seeds)) != 2:
        raise PeekError(f"seeds={seeds!r}: give two different numbers, of the two drawings that are compared.")
    network = model if isinstance(model, Network) else read(model, input_size, preprocess, device)
    evidence.check_model(network)
    recipe = Recipe.preset(recipe) if isinstance(recipe, str) else recipe or Recipe.preset("peek")
    layer = network.layer(evidence.name)
    numbers = list(range(layer.channels) if units is None else units)
    for unit in numbers:
        network.check_unit(layer.name, unit)
    statistics = {layer.name: evidence.statistics()}
    rows: list[PictureScore] = []
    called = progress if callable(progress) else None
    with progress_bar(len(numbers), "Scoring", False if callable(progress) else progress, unit="unit") as bar:
        for first in range(0, len(numbers), _BATCH):
            part = numbers[first : first + _BATCH]
            objectives = [unit_objective(network, layer.name, unit) for unit in part]
            drawn, again = (
                render(network, objectives, recipe, seed=seed, size=size, progress=False).images for seed in seeds
            )
            with torch.no_grad():
                rows += score(network, objectives, drawn, statistics, recipe, others=again)
            bar.update(len(part))
            if called is not None:
                called(len(rows), len(numbers))
    columns = [field.name for field in fields(PictureScore)]
    return pandas.DataFrame(map(asdict, rows), columns=columns, index=pandas.Index(numbers, name="unit"))

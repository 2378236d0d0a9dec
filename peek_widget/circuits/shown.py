"""The images of a circuit: the unit's top crops, one image or the drawn picture; and real images in general."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from peek_widget.ascent import Result, render, unit_objective
from peek_widget.ascent.recipe import as_recipe
from peek_widget.ascent.still import STILL_VIEW, StillActivation
from peek_widget.errors import DatasetError, PeekError
from peek_widget.evidence import Crop, Evidence, LayerEvidence, UnitEvidence, top_crops
from peek_widget.evidence.dataset import read_source
from peek_widget.evidence.example_index import ExampleIndex
from peek_widget.evidence.loading import load_batches
from peek_widget.evidence.prepare import Preparer, resize_of
from peek_widget.evidence.source import Source, UnreadableError
from peek_widget.evidence.value_range import ValueRanges
from peek_widget.network import Network
from peek_widget.network.context import undisturbed

__all__ = ["Examples", "Photos", "Shown", "drawn", "examples_of", "image_of", "still"]

_BATCH = 4  # a forward of more images at once is slower on a CPU, and a circuit can be canceled only between two
# Medians and deviations, by the number of images that they were taken over.
_STATISTICS: weakref.WeakKeyDictionary[ExampleIndex, dict[int, dict[Any, tuple[Tensor, Tensor]]]] = (
    weakref.WeakKeyDictionary()
)


@dataclass(frozen=True)
class Photos:
    """Real images, as a network gets them: what the median and the spread of a unit are taken over.

    Attributes:
        source: the dataset.
        preparer: how an image becomes the network's input.
        count: number of images that are taken, evenly spread over the dataset.
    """

    source: Source
    preparer: Preparer
    count: int = 64

    def batches(self, network: Network) -> Iterator[Tensor]:
        """Load the images, preprocessed, on the network's device, ``[N, C, H, W]``; unreadable ones are left out."""
        total = len(self.source)
        indices = sorted({number * total // self.count for number in range(min(self.count, total))})
        for batch in load_batches(self.source, self.preparer, indices, _BATCH):
            if batch.images is not None and len(batch.images):
                yield prepared(network, batch.images, self.preparer.prepared)


@dataclass(frozen=True)
class Shown:
    """Images on which a circuit is computed.

    Attributes:
        inputs: the network's input, preprocessed, ``[N, C, H, W]`` on its device.
        positions: for each the (row, column) on the unit's map; None to take the unit at its highest.
        crops: the dataset examples that the images are; empty for other images.
        kind: what the images are, as part of a sentence.
    """

    inputs: Tensor
    positions: tuple[tuple[int, int] | None, ...]
    crops: tuple[Crop, ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class Examples:
    """Dataset examples of some layers, and the dataset that they are from.

    Attributes:
        layers: evidence of each layer, by name.
        photos: real images of the dataset; None where they are not available.
        statistics: medians and spreads that were taken over them.
    """

    layers: dict[str, LayerEvidence] = field(default_factory=dict)
    photos: Photos | None = None
    statistics: dict[Any, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def of(self, network: Network, layer: str, unit: int, k: int) -> Shown | None:
        """Return a unit's top crops, highest first, as the network gets them; None where there are none."""
        evidence = self.layers.get(layer)
        crops = evidence[unit].top[:k] if evidence is not None else ()
        if not crops:
            return None
        given = torch.stack([crop.input() for crop in crops])
        done = crops[0]._example_index.preparer.prepared
        spatial = network.layer(layer).spatial
        positions = tuple(crop.position if spatial else None for crop in crops)
        kind = "its top crop" if len(crops) == 1 else f"its {len(crops)} top crops"
        return Shown(prepared(network, given, done), positions, crops, kind)

    def with_layers(self, network: Network, layers: list[str], k: int, progress: bool | None) -> Examples:
        """Return these examples with evidence of more layers, by one pass over the dataset for those that they lack."""
        missing = [name for name in layers if name not in self.layers]
        if not missing or self.photos is None:
            return self
        found = top_crops(
            network, missing, self.photos.source, k, prepared=self.photos.preparer.prepared, progress=progress
        )
        assert isinstance(found, Evidence)
        return replace(self, layers={**self.layers, **found})


def examples_of(network: Network, given: Any, images: int = 64, check: bool = True) -> Examples | None:
    """Read the argument ``examples``: evidence of a pass, or a dataset, over which no pass is made yet.

    Args:
        network: the model.
        given: :class:`LayerEvidence`, :class:`Evidence`, :class:`UnitEvidence`, a dataset, or None.
        images: number of images that medians and spreads are taken over.
        check: whether evidence must be of the model's current weights, which takes a hash of all of them.

    Raises:
        DatasetError, EvidenceStoreError: if the images can't be read, or the evidence is another model's.
    """
    if given is None or isinstance(given, Examples):
        return given
    if isinstance(given, UnitEvidence):
        if not given.top:
            raise PeekError(
                f"examples= is the evidence of unit {given.unit} of {given.layer!r}, which has no crop (no image has "
                "been read yet, or its activation was not finite on any): give the whole layer's evidence, as "
                "top_crops(model, layer, images) returns it."
            )
        given = Evidence(given.top[0]._example_index)
    if isinstance(given, (Evidence, LayerEvidence)):
        evidence = given if isinstance(given, Evidence) else given.evidence
        for one in list(evidence.values())[: 1 if check else 0]:
            one.check_model(network)
        source, index = evidence.source, evidence.example_index
        photos = None if source is None or source.endless else Photos(source, index.preparer, images)
        return Examples(dict(evidence), photos, _STATISTICS.setdefault(index, {}).setdefault(images, {}))
    source = read_source(given)
    if source.endless:
        raise DatasetError(
            "examples= is a stream, whose images can be read only once: make a pass with top_crops, and give what it "
            "returns; or give a folder or a list."
        )
    ranges = ValueRanges(None, source.sample)
    preparer = Preparer(network.channels, network.size, resize_of(network), False, network.preprocess, ranges)
    return Examples({}, Photos(source, preparer, images))


def image_of(network: Network, layer: str, unit: int, given: Any) -> Shown:
    """Return one image as the network gets it.

    Args:
        network, layer, unit: what it is shown to.
        given: a photo of any kind (PIL, array, tensor ``[C, H, W]`` in [0, 1], a file's name), whose central square is
            taken; a :class:`Crop`, at its position; a drawn picture (a :class:`~peek_widget.Result`), without random
            views.

    Raises:
        DatasetError: if it is not an image that the network can take.
    """
    if isinstance(given, Crop):
        done = given._example_index.preparer.prepared
        at = given.position if given.layer == layer and network.layer(layer).spatial else None
        return Shown(prepared(network, given.input()[None], done), (at,), (given,), "one crop")
    if isinstance(given, Result):
        recipe = None if given.origin is None else given.origin.recipe
        return still(network, layer, unit, given.tensor, recipe)
    if isinstance(given, (str, Path, Image.Image, Tensor, np.ndarray)):
        source = read_source([given])
        ranges = ValueRanges(None, source.sample)
        preparer = Preparer(network.channels, network.size, resize_of(network), False, network.preprocess, ranges)
        try:
            pixels, _ = preparer(source.load(0, preparer.needed)[0])
        except UnreadableError as error:
            raise DatasetError(f"The image can't be read: {error}.") from error
        return Shown(prepared(network, pixels[None], False), (None,), (), "this image")
    raise DatasetError(
        f"image= is a {type(given).__name__}: give a PIL image, an array, a tensor [C, H, W] in [0, 1], a file's name, "
        "a crop or what render returned."
    )


def drawn(network: Network, layer: str, unit: int, recipe: Any, progress: bool | None) -> tuple[Shown, Result]:
    """Draw a unit's picture, and return it as the network is shown it, and as it was drawn."""
    how = as_recipe(recipe)
    result = render(network, unit_objective(network, layer, unit), how, progress=progress)
    return still(network, layer, unit, result.tensor, how), result


def still(network: Network, layer: str, unit: int, picture: Tensor, recipe: Any) -> Shown:
    """Return a drawn picture ``[C, H, W]`` of a unit as the network is shown it, without random views."""
    view = StillActivation(network, unit_objective(network, layer, unit), recipe).shown(picture)
    return Shown(prepared(network, view(STILL_VIEW), False), (None,), (), "its drawn picture")


def prepared(network: Network, images: Tensor, done: bool) -> Tensor:
    """Return the network's input for images ``[N, C, H, W]``, bytes or in [0, 1]; unchanged if ``done``."""
    device = network.model_copy.device
    images = images.to(device)
    images = images.float().div(255.0) if images.dtype == torch.uint8 else images.float()
    with undisturbed(device), torch.no_grad():
        return images if done else network.preprocess(images)

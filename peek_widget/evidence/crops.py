"""The images and places that excite a unit most, as a reader of them wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from peek_widget.errors import DatasetError, EvidenceStoreError, PeekError, UnitError
from peek_widget.evidence.dataset import Label, UnreadableError, read_source
from peek_widget.evidence.example_index import Detail, ExampleIndex
from peek_widget.evidence.index import Histogram
from peek_widget.evidence.measures import DatasetStatistics
from peek_widget.evidence.prepare import to_picture
from peek_widget.network import Network
from peek_widget.network.fingerprint import fingerprint
from peek_widget.network.receptive_field.field_map import FieldMap

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SHARES", "Crop", "Evidence", "EvidenceError", "LayerEvidence", "UnitEvidence", "activation_map"]

SHARES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)
"""The quantiles that a unit's evidence lists."""


@dataclass(frozen=True)
class Crop:
    """One place in one image, and how much it excites the unit.

    Attributes:
        layer, unit: whose.
        index: of the image in the dataset; None if the dataset at hand doesn't hold it.
        activation: before the ReLU.
        label: of the image, a whole number or a text; None where there is none.
        name: of the image: a file's name relative to its folder, or "image 17".
        place: (row, column) in the layer's map.
        box: (left, top, right, bottom) in pixels of the image as it is stored: what the unit sees there.
        input_box: the same in pixels of the network's input, not rounded.
        clipped: whether the unit sees past the border of the input there (zeros, mostly).
        field: ``"exact"``, ``"measured"`` or ``"whole"``, see ``FieldMap``.
        size: (width, height) of the image as it is stored.
    """

    layer: str
    unit: int
    index: int | None
    activation: float
    label: Label
    name: str
    place: tuple[int, int]
    box: tuple[int, int, int, int]
    input_box: tuple[float, float, float, float]
    clipped: bool
    field: str
    size: tuple[int, int]
    _example_index: ExampleIndex = field(repr=False, compare=False)

    @property
    def label_name(self) -> str | None:
        """The label in words, where the dataset says what its numbers mean; else as text."""
        names = self._example_index.class_names
        if isinstance(self.label, int) and 0 <= self.label < len(names):
            return names[self.label]
        return None if self.label is None else str(self.label)

    def _load(self, needed: int | None = None) -> tuple[Any, tuple[int, int] | None]:
        source = self._example_index.source
        if source is None:
            raise DatasetError(
                f"The evidence was loaded from a file, which holds no images (it was {self._example_index.described}): "
                "say where they are with load_evidence(path, dataset=...) or evidence.attach(dataset)."
            )
        if self.index is None:
            raise DatasetError(
                f"{self.name!r} is not in {source.described}, so it can't be shown: give the dataset "
                "that the pass was made over."
            )
        try:
            image, full, _ = source.load(self.index, needed)
        except UnreadableError as error:
            raise DatasetError(f"{self.name!r} could be read during the pass, but no more: {error}.") from error
        return image, full

    def whole(self) -> Image.Image:
        """The image in full, as it is stored (RGB, or L for one channel).

        Raises:
            DatasetError: if it can't be had any more.
        """
        image, _ = self._load()
        try:
            return to_picture(image, self._example_index.preparer)
        except UnreadableError as error:
            raise DatasetError(f"{self.name!r} can't be shown: {error}.") from error

    def image(self, size: int | None = None) -> Image.Image:
        """What the unit sees there, cut from the image in its own resolution.

        Args:
            size: longer side in pixels to resize to; left out: as it is.

        Raises:
            DatasetError: if the image can't be had any more.
        """
        return _resized(self.whole().crop(self.box), size)

    def boxed(self, size: int | None = None, color: str = "#ff3b30") -> Image.Image:
        """The whole image with what the unit sees framed.

        Args:
            size: longer side in pixels to resize to; left out: as it is.
            color: of the frame, any that Pillow knows.
        """
        image = self.whole().convert("RGB")
        full = image.size
        image = _resized(image, size)
        x, y = image.width / full[0], image.height / full[1]
        left, top, right, bottom = self.box
        width = max(1, round(max(image.size) / 100))
        draw = ImageDraw.Draw(image)
        corners = [left * x, top * y, max(left * x, right * x - 1), max(top * y, bottom * y - 1)]
        draw.rectangle(corners, outline=color, width=width)
        return image

    def input(self) -> Tensor:
        """The image as the network got it, float32 ``[C, H, W]`` in [0, 1] (of ``prepared`` data: as it is)."""
        preparer = self._example_index.preparer
        image, _ = self._load(preparer.needed)
        try:
            pixels, _ = preparer(image)
        except UnreadableError as error:
            raise DatasetError(f"{self.name!r} can't be shown: {error}.") from error
        return pixels.float().div(255.0) if pixels.dtype == torch.uint8 else pixels


def _resized(image: Image.Image, size: int | None) -> Image.Image:
    if size is None or max(image.size) == size:
        return image
    scale = size / max(image.size)
    target = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # A field of a few pixels is enlarged to be seen as pixels, not as a blur.
    how = Image.Resampling.NEAREST if max(image.size) < 24 else Image.Resampling.BICUBIC
    return image.resize(target, how)


@dataclass(frozen=True)
class UnitEvidence:
    """What the images say about one unit, as it stood when asked for.

    Attributes:
        layer, unit: whose.
        top: crops of the highest activation, best first; ``k`` of them, fewer if fewer images were seen.
        bottom: crops of the lowest activation, lowest first.
        quantiles: activation (before the ReLU) by share of the places of all images: 0.5 is the median place's,
            0.99 that which one place in a hundred exceeds, 0 and 1 the lowest and highest. From a histogram
            with bins at most 6 % wide and of 32 places an image, 0 and 1 exactly.
        image_quantiles: the same of each image's best place: 0.5 is what every other image reaches somewhere.
        active_share: share of all places with an activation above 0.
        images: how many images were seen.
    """

    layer: str
    unit: int
    top: tuple[Crop, ...]
    bottom: tuple[Crop, ...]
    quantiles: Mapping[float, float]
    image_quantiles: Mapping[float, float]
    active_share: float
    images: int
    _places: Histogram = field(repr=False, compare=False)

    def share_below(self, activation: float) -> float:
        """The share of places (0 to 1) that excite the unit less than ``activation``; NaN without an image."""
        return self._places.share_below(0, activation, self.quantiles[0.0], self.quantiles[1.0])


class LayerEvidence(Sequence[UnitEvidence]):
    """What the images say about the units of a layer: ``evidence[17].top[0].image()``.

    It shows what has been found so far, so that it may be read while the pass goes on; each item is a
    snapshot.
    """

    def __init__(self, name: str, example_index: ExampleIndex) -> None:
        self.name: str = name
        self._example_index = example_index
        self._index = example_index.indices[name]

    def __len__(self) -> int:
        return self._index.units

    @overload
    def __getitem__(self, unit: SupportsIndex) -> UnitEvidence: ...
    @overload
    def __getitem__(self, unit: slice) -> list[UnitEvidence]: ...
    def __getitem__(self, unit: SupportsIndex | slice) -> UnitEvidence | list[UnitEvidence]:
        if isinstance(unit, slice):
            return [self[i] for i in range(*unit.indices(len(self)))]
        if isinstance(unit, bool) or not isinstance(unit, SupportsIndex):
            raise UnitError(f"A unit is a whole number from 0 to {len(self) - 1}; {unit!r} was given.")
        number = unit.__index__()
        if not -len(self) <= number < len(self):
            raise NoUnitError(
                f"Layer {self.name!r} has {len(self)} units, numbered 0 to {len(self) - 1}; unit {number} was asked "
                "for."
            )
        return self._unit(number % len(self))

    def _unit(self, unit: int) -> UnitEvidence:
        index, example_index = self._index, self._example_index
        with example_index.lock:
            rows = [
                (e.value[unit].tolist(), e.image[unit].tolist(), e.place[unit].tolist())
                for e in (index.top, index.bottom)
            ]
            details = {i: example_index.details[i] for _, images, _ in rows for i in images if i >= 0}
            low, high = rows[1][0][0], rows[0][0][0]
            shares = torch.tensor(SHARES)
            quantiles = index.places.quantiles(unit, shares, low, high).tolist()
            image_quantiles = index.best.quantiles(unit, shares, None, high).tolist()
            counted = int(index.counted[unit])
            active = int(index.active[unit]) / counted if counted else float("nan")
            images = example_index.count
            places = Histogram(1)
            places.count = index.places.count[unit : unit + 1].cpu().clone()
        field_map = example_index.fields[self.name]
        top, bottom = (
            tuple(
                self._crop(unit, value, image, place, details[image], field_map)
                for value, image, place in zip(*row, strict=True)
                if image >= 0
            )
            for row in rows
        )
        return UnitEvidence(
            self.name,
            unit,
            top,
            bottom,
            dict(zip(SHARES, quantiles, strict=True)),
            dict(zip(SHARES, image_quantiles, strict=True)),
            active,
            images,
            places,
        )

    def _crop(self, unit: int, value: float, image: int, place: int, detail: Detail, field_map: FieldMap) -> Crop:
        example_index = self._example_index
        seen = field_map.seen(place)
        box = example_index.preparer.frame(detail.size).box(seen.box, detail.size)
        index = None if example_index.source is None else example_index.source.find(image)
        return Crop(
            self.name,
            unit,
            index,
            value,
            detail.label,
            detail.name,
            divmod(place, self._index.size[1]),
            box,
            seen.box,
            seen.clipped,
            field_map.kind,
            detail.size,
            example_index,
        )

    @property
    def k(self) -> int:
        """How many of the highest, and of the lowest, are kept."""
        return self._index.k

    @property
    def images(self) -> int:
        """How many images were seen."""
        return self._example_index.count

    @property
    def fingerprint(self) -> str | None:
        """Of the model that it was gathered with, where that is known."""
        return self._example_index.fingerprint

    def check_model(self, model: nn.Module | Network) -> None:
        """Raise EvidenceStoreError for a model of other weights than it was gathered with, where these are known."""
        if self.fingerprint is None:
            return
        now = fingerprint(model)
        if now != self.fingerprint:
            raise EvidenceStoreError(
                f"The evidence was gathered with the model of fingerprint {self.fingerprint}, and this one's is {now}: "
                "its weights have changed, or it is another. Gather it anew with top_crops."
            )

    @property
    def label_counts(self) -> dict[Label, int]:
        """How many images of each label were seen."""
        with self._example_index.lock:
            return dict(self._example_index.label_counts)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What whole-number labels mean, where the dataset says so."""
        return self._example_index.class_names

    @property
    def skipped(self) -> dict[str, str]:
        """Images that could not be read, by name, with the reason; the first 100 of ``passed_over_count``."""
        with self._example_index.lock:
            return dict(self._example_index.reasons)

    @property
    def skipped_count(self) -> int:
        """How many images could not be read."""
        return self._example_index.skipped

    def natural(self) -> DatasetStatistics:
        """What the images seen so far do to all units, for :mod:`~peek_widget.evidence.measures`.

        Mean and deviation are those of a histogram's middles, see :class:`~peek_widget.evidence.index.Histogram`.
        """
        with self._example_index.lock:
            places, seen = self._index.places, self._example_index.count
            count, best = places.count.cpu().double(), self._index.top.value[:, 0].cpu().clone()
        edges = places.edges().cpu().double()
        middle = (edges[:-1] + edges[1:]) / 2.0
        total = count.sum(1).clamp(min=1.0)
        mean = count @ middle / total
        deviation = (count @ middle.square() / total - mean.square()).clamp(min=0.0).sqrt()
        return DatasetStatistics(seen, best, mean.float(), deviation.float())

    def top_labels(self) -> list[list[Label]]:
        """The labels of the images of each unit's top crops, each image once, best first."""
        with self._example_index.lock:
            details = self._example_index.details
            rows = self._index.top.image.tolist()
            return [[details[image].label for image in dict.fromkeys(row) if image >= 0] for row in rows]

    def tops(self) -> Tensor:
        """The highest activations of all units, ``[units, k]`` float32, best first; -inf where there is none."""
        with self._example_index.lock:
            return self._index.top.value.cpu().clone()

    def active_shares(self) -> Tensor:
        """The share of active places of all units, ``[units]`` float32; NaN where none was finite."""
        with self._example_index.lock:
            return (self._index.active.cpu().double() / self._index.counted.cpu()).float()

    def save(self, path: str | Path) -> None:
        """Save the pass's evidence of all its layers; see :func:`~peek_widget.evidence.store.save`."""
        Evidence(self._example_index).save(path)

    def __repr__(self) -> str:
        return f"LayerEvidence({self.name!r}: {len(self)} units, {self.images:,} images, k={self.k})"


class NoUnitError(UnitError, IndexError):
    """As UnitError; and the IndexError that ends a loop over a sequence."""


class Evidence(dict[str, LayerEvidence]):
    """What one pass found, by layer."""

    def __init__(self, example_index: ExampleIndex) -> None:
        super().__init__({name: LayerEvidence(name, example_index) for name in example_index.indices})
        self.example_index = example_index

    def __missing__(self, name: str) -> LayerEvidence:
        raise NoLayerError(f"The pass did not cover the layer {name!r}; it covered {', '.join(map(repr, self))}.")

    def attach(self, dataset: Any) -> Evidence:
        """Say where the images are, after loading from a file. Returns itself."""
        self.example_index.source = read_source(dataset)
        return self

    def save(self, path: str | Path) -> None:
        """Save to one file; see :func:`~peek_widget.evidence.store.save`."""
        from peek_widget.evidence.store import save

        save(self, path)


class NoLayerError(PeekError, KeyError):
    """As PeekError; and the KeyError that a dict raises."""

    def __str__(self) -> str:  # a KeyError shows its argument quoted
        return str(self.args[0])


@torch.inference_mode()
def activation_map(network: Network, crop: Crop) -> Tensor:
    """How much each place of the crop's image excites the unit, ``[h, w]`` float32 on the CPU.

    Args:
        network: of the model that the pass was made with, as ``peek_widget.network.read`` gives it.
        crop: whose layer, unit and image; its own activation is ``map[crop.place]``.
    """
    image = crop.input()[None].to(network.model_copy.device)
    image = image if crop._example_index.preparer.prepared else network.preprocess(image)
    values = network.run(image, [crop.layer])[crop.layer]
    return (values[0, crop.unit] if values.ndim == 4 else values[0, crop.unit][None, None]).float().cpu()


class EvidenceError(PeekError):
    """A pass had to end before its time; ``found`` is what it had until then (a dict by layer, never None).

    ``plain`` is the same for somebody who looks at a page and writes no Python: what happened, without what to call.
    """

    def __init__(self, message: str, found: Evidence, plain: str = "") -> None:
        super().__init__(message)
        self.found = found
        self.plain: str = plain or message

"""What a pass over a dataset gathered about units: their dataset examples, quantiles and share of active positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, SupportsIndex, overload

import torch
from torch import Tensor, nn

from peek_widget.errors import DatasetWarning, EvidenceStoreError, PeekError, UnitError, warn
from peek_widget.evidence.crops import Crop
from peek_widget.evidence.dataset import DatasetLike, Label, Source, read_source
from peek_widget.evidence.example_index import Detail, ExampleIndex
from peek_widget.evidence.group_histogram import Scores, scores, summed
from peek_widget.evidence.layer_index import Histogram
from peek_widget.evidence.measures import DatasetStatistics
from peek_widget.evidence.store import read_index, write_index
from peek_widget.network import ModelCopy, Network, read
from peek_widget.network.fingerprint import fingerprint
from peek_widget.network.receptive_field.field_map import FieldMap

__all__ = ["SHARES", "Evidence", "EvidenceError", "LayerEvidence", "UnitEvidence", "load_evidence"]

SHARES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)
"""The quantiles in a unit's evidence."""


@dataclass(frozen=True)
class UnitEvidence:
    """What the images so far show about one unit.

    Attributes:
        layer: name of the unit's layer.
        unit: number of the unit.
        top: crops with the highest activations, highest first; ``k`` of them, fewer after fewer images.
        bottom: crops with the lowest activations, lowest first.
        quantiles: quantiles of the activation (before the ReLU) over all positions of all images, by share: 0.5 is
            the median, 0.99 the activation that one position in a hundred exceeds, 0 and 1 the lowest and highest.
            From a histogram with bins at most 6 % wide and of 32 positions of each image; 0 and 1 are exact.
        image_quantiles: quantiles of each image's highest activation: 0.5 is the one that every other image reaches.
        active_share: share of all positions with an activation above 0.
        images: number of images.
    """

    layer: str
    unit: int
    top: tuple[Crop, ...]
    bottom: tuple[Crop, ...]
    quantiles: Mapping[float, float]
    image_quantiles: Mapping[float, float]
    active_share: float
    images: int
    _positions: Histogram = field(repr=False, compare=False)

    def share_below(self, activation: float) -> float:
        """Return the share of positions (0 to 1) with a lower activation than this one; NaN without an image."""
        return self._positions.share_below(0, activation, self.quantiles[0.0], self.quantiles[1.0])


class LayerEvidence(Sequence[UnitEvidence]):
    """The evidence of a layer's units: ``evidence[17].top[0].image``.

    It may be read while the pass is running; each item is a snapshot of what has been found until then.

    Attributes:
        name: name of the layer.
    """

    def __init__(self, name: str, example_index: ExampleIndex) -> None:
        self.name: str = name
        self._example_index = example_index
        self._index = example_index.layers[name]

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
            raise _NoUnitError(
                f"Layer {self.name!r} has {len(self)} units, numbered 0 to {len(self) - 1}; unit {number} was asked "
                "for."
            )
        return self._unit(number % len(self))

    def _unit(self, unit: int) -> UnitEvidence:
        index, example_index = self._index, self._example_index
        with example_index.lock:
            rows = [
                (e.value[unit].tolist(), e.image[unit].tolist(), e.position[unit].tolist())
                for e in (index.top, index.bottom)
            ]
            details = {i: example_index.details[i] for _, images, _ in rows for i in images if i >= 0}
            low, high = rows[1][0][0], rows[0][0][0]
            shares = torch.tensor(SHARES)
            quantiles = index.positions.quantiles(unit, shares, low, high).tolist()
            image_quantiles = index.best.quantiles(unit, shares, None, high).tolist()
            counted = int(index.counted[unit])
            active = int(index.active[unit]) / counted if counted else float("nan")
            images = example_index.count
            positions = Histogram(1)
            positions.count = index.positions.count[unit : unit + 1].cpu().clone()
        field_map = example_index.fields[self.name]
        top, bottom = (
            tuple(
                self._crop(unit, value, image, position, details[image], field_map)
                for value, image, position in zip(*row, strict=True)
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
            positions,
        )

    def _crop(self, unit: int, value: float, image: int, position: int, detail: Detail, field_map: FieldMap) -> Crop:
        example_index = self._example_index
        # Measured on the crop's own image when it is asked for, where nothing is known of it before.
        field_box = None if field_map.by_position else field_map.field_box(position)
        index = None if example_index.source is None else example_index.source.find(image)
        return Crop(
            self.name,
            unit,
            index,
            value,
            detail.label,
            detail.name,
            divmod(position, self._index.size[1]),
            field_map.kind,
            detail.size,
            field_box,
            example_index,
        )

    @property
    def evidence(self) -> Evidence:
        """The evidence of all layers of the same pass."""
        return Evidence(self._example_index)

    @property
    def k(self) -> int:
        """Number of highest, and of lowest, activations that are kept for each unit."""
        return self._index.k

    @property
    def images(self) -> int:
        """Number of images that the pass has taken in."""
        return self._example_index.count

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the model that the evidence was gathered with, where it is known."""
        return self._example_index.fingerprint

    def check_model(self, model: nn.Module | Network) -> None:
        """Raise EvidenceStoreError for a model with other weights than the evidence was gathered with, if known."""
        if self.fingerprint is None:
            return
        now = fingerprint(model)
        if now != self.fingerprint:
            raise EvidenceStoreError(
                f"The evidence was gathered with the model of fingerprint {self.fingerprint}, and this one's is {now}: "
                "its weights have changed, or it is another model. Gather the evidence again with top_crops."
            )

    @property
    def label_counts(self) -> dict[Label, int]:
        """Number of images of each label."""
        with self._example_index.lock:
            return dict(self._example_index.label_counts)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that whole-number labels stand for, where the dataset has them."""
        return self._example_index.class_names

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks about the images, as sentences: what was left out, what was assumed, which labels are not labels."""
        return self._example_index.remarks()

    @property
    def skipped(self) -> dict[str, str]:
        """Names of images that could not be read, with the reasons; the first 100 of ``skipped_count``."""
        with self._example_index.lock:
            return dict(self._example_index.reasons)

    @property
    def skipped_count(self) -> int:
        """Number of images that could not be read."""
        return self._example_index.skipped

    def statistics(self) -> DatasetStatistics:
        """Return highest, mean and standard deviation of all units, for :mod:`~peek_widget.evidence.measures`.

        Mean and deviation are computed from the centers of the bins of a
        :class:`~peek_widget.evidence.layer_index.Histogram`.
        """
        with self._example_index.lock:
            positions, images = self._index.positions, self._example_index.count
            count, best = positions.count.cpu().double(), self._index.top.value[:, 0].cpu().clone()
        edges = positions.edges().cpu().double()
        center = (edges[:-1] + edges[1:]) / 2.0
        total = count.sum(1).clamp(min=1.0)
        mean = count @ center / total
        deviation = (count @ center.square() / total - mean.square()).clamp(min=0.0).sqrt()
        return DatasetStatistics(images, best, mean.float(), deviation.float())

    def shares_below(self, activations: Tensor, of: Literal["places", "images"] = "places") -> Tensor:
        """Return for each unit the share of places, or of images, with a lower activation than a given one.

        Args:
            activations: one for each unit, ``[units]``, before the ReLU.
            of: ``"places"`` compares with the activations at all positions of all images, ``"images"`` with the highest
                activation of each image.

        Returns:
            ``[units]`` float64 from 0 to 1, on the CPU; NaN without an image.
        """
        with self._example_index.lock:
            index = self._index
            high = index.top.value[:, 0]
            if of == "images":
                return index.best.shares_below(activations, None, high)
            return index.positions.shares_below(activations, index.bottom.value[:, 0], high)

    def group_scores(self, groups: Mapping[str, set[Label]]) -> dict[str, Scores]:
        """Return how well the units tell each group of images from all others, over all images of the pass.

        Args:
            groups: labels of each group, by its name.

        Returns:
            by name; without the groups of which the pass has kept no histogram.
        """
        with self._example_index.lock:
            grouping, histogram = self._example_index.grouping, self._index.groups
            if grouping is None or histogram is None:
                return {}
            count = histogram.parts()[0]
            rows = {name: grouping.rows_of(name, labels) for name, labels in groups.items()}
            known = {
                name: [row for row in found if row < histogram.rows]
                for name, found in rows.items()
                if found is not None
            }
            return {name: scores(count[:, 0], summed(count, found)) for name, found in known.items()}

    @property
    def groups(self) -> dict[str, set[Label]] | None:
        """Labels that occurred in each of the groups that the pass was given; None if it was given none."""
        with self._example_index.lock:
            grouping = self._example_index.grouping
            if grouping is None or not grouping.named:
                return None
            return {str(name): set(labels) for name, labels in zip(grouping.names, grouping.members, strict=True)}

    def top_labels(self) -> list[list[Label]]:
        """Return for each unit the labels of the images of its top crops, each image once, highest first."""
        with self._example_index.lock:
            details = self._example_index.details
            rows = self._index.top.image.tolist()
            return [[details[image].label for image in dict.fromkeys(row) if image >= 0] for row in rows]

    def tops(self) -> Tensor:
        """Return the highest activations of all units, ``[units, k]`` float32, highest first; -inf for none."""
        with self._example_index.lock:
            return self._index.top.value.cpu().clone()

    def active_shares(self) -> Tensor:
        """Return the share of active positions of all units, ``[units]`` float32; NaN where none was finite."""
        with self._example_index.lock:
            return (self._index.active.cpu().double() / self._index.counted.cpu()).float()

    def save(self, path: str | Path) -> None:
        """Save the evidence of all layers of the pass, see :meth:`Evidence.save`."""
        self.evidence.save(path)

    def __repr__(self) -> str:
        return f"LayerEvidence({self.name!r}: {len(self)} units, {self.images:,} images, k={self.k})"


class Evidence(dict[str, LayerEvidence]):
    """The results of one pass, by layer name."""

    def __init__(self, example_index: ExampleIndex) -> None:
        super().__init__({name: LayerEvidence(name, example_index) for name in example_index.layers})
        self.example_index = example_index

    def __missing__(self, name: str) -> LayerEvidence:
        raise _NoLayerError(f"The pass did not cover the layer {name!r}; it covered {', '.join(map(repr, self))}.")

    @property
    def source(self) -> Source | None:
        """Dataset that the images of crops are read from; None after loading from a file without one."""
        return self.example_index.source

    def attach(
        self, dataset: DatasetLike | None = None, *, model: nn.Module | ModelCopy | Network | None = None
    ) -> Evidence:
        """Say where the images are, or which model it is, after loading from a file. Returns itself.

        Args:
            dataset: where the images are.
            model: the model that the evidence was gathered with, which a crop's ``focus`` needs; a Network where it was
                gathered with a preprocessing or on a device that are not the model's own.

        Raises:
            DatasetError: if the dataset can't be read.
            EvidenceStoreError: if the evidence was gathered with other weights.

        Warns:
            DatasetWarning: if the files of a list have other names than those of the pass.
        """
        if dataset is not None:
            source = read_source(dataset)
            renamed = self.example_index.renamed(source)
            if renamed is not None:
                number, was, now = renamed
                warn(
                    f"The evidence is of other images than the dataset: its number {number:,} is {was!r}, and that of "
                    f"the dataset is {now!r}, so that crops are cut from the wrong images. Give them in the order "
                    "of the pass.",
                    DatasetWarning,
                )
            self.example_index.use_source(source)
        if model is not None:
            for layer in list(self.values())[:1]:
                layer.check_model(model.original if isinstance(model, ModelCopy) else model)
            network = model if isinstance(model, Network) else read(model, self.example_index.preparer.size.plain)
            self.example_index.focuses.use(network)
        return self

    def save(self, path: str | Path) -> None:
        """Save to one safetensors file, see :mod:`peek_widget.evidence.store`; a file that is there is replaced.

        Raises:
            EvidenceStoreError: if the file can't be written; what was there before is then unchanged.
        """
        write_index(self.example_index, path)

    @classmethod
    def load(
        cls,
        path: str | Path,
        dataset: DatasetLike | None = None,
        *,
        model: nn.Module | ModelCopy | Network | None = None,
    ) -> Evidence:
        """Load evidence from a file that :meth:`save` wrote.

        Args:
            path: the file.
            dataset: where the images are; without it there is everything but the images themselves.
            model: the model that it was gathered with; see :meth:`attach`.

        Raises:
            EvidenceStoreError: if the file is missing, damaged, or holds something else; or if the model has other
                weights.
            DatasetError: if the dataset can't be read.
        """
        return cls(read_index(path)).attach(dataset, model=model)


def load_evidence(
    path: str | Path,
    dataset: DatasetLike | None = None,
    *,
    model: nn.Module | ModelCopy | Network | None = None,
) -> Evidence:
    """Load evidence from a file that :meth:`Evidence.save` wrote; the same as :meth:`Evidence.load`.

    Args:
        path: the file.
        dataset: where the images are; without it there is everything but the images themselves.
        model: the model that it was gathered with, which a crop's ``focus`` needs; see :meth:`Evidence.attach`.

    Raises:
        EvidenceStoreError: if the file is missing, damaged, or holds something else; or the model has other weights.
        DatasetError: if the dataset can't be read.
    """
    return Evidence.load(path, dataset, model=model)


class EvidenceError(PeekError):
    """A pass had to end early.

    Attributes:
        found: what the pass had gathered until then, by layer.
        plain: what happened, for somebody who looks at a page and writes no Python: without what to call.
        why: the reason alone.
    """

    def __init__(self, message: str, found: Evidence, plain: str = "", why: str = "") -> None:
        super().__init__(message)
        self.why: str = why or plain or message
        self.found: Evidence = found
        self.plain: str = plain or message


class _NoUnitError(UnitError, IndexError):
    """A UnitError that is also the IndexError by which a loop over a sequence ends."""


class _NoLayerError(PeekError, KeyError):
    """A PeekError that is also the KeyError that a dict raises."""

    def __str__(self) -> str:  # a KeyError shows its argument in quotes
        return str(self.args[0])

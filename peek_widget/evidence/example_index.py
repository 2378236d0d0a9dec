"""Everything a pass gathers: written by the pass, read for crops, and saved to a file.

:class:`ExampleIndex` has more than 20 attributes because each is a part of such a file.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor

from peek_widget.evidence.focuses import Focuses
from peek_widget.evidence.groups import Grouping
from peek_widget.evidence.labels import Label
from peek_widget.evidence.layer_index import LayerIndex
from peek_widget.evidence.loading import Loaded
from peek_widget.evidence.prepare import Preparer
from peek_widget.evidence.shards import Shard, missing_shards
from peek_widget.evidence.source import Source
from peek_widget.evidence.value_range import ValueRanges
from peek_widget.network.receptive_field.field_map import FieldMap
from peek_widget.network.transfer import upload

__all__ = ["MAX_REASONS", "Detail", "ExampleIndex", "ImageSet"]

MAX_REASONS = 100
"""Number of skipped images whose names and reasons are kept; further ones are only counted."""


_LOOKED_AT = 64  # images that tell a dataset from another

_PRUNE_AT = 1000
"""Number of images whose details are kept, beyond those with crops, before they are looked through."""


class ImageSet:
    """A set of image numbers that is small where they are consecutive: all below a number, and single ones beyond.

    Attributes:
        upto: all images with a lower number are in the set.
        others: the further images in the set.
    """

    def __init__(self, upto: int = 0, others: Iterable[int] = ()) -> None:
        self.upto: int = upto
        self.others: set[int] = set(others)
        self._advance()

    def __contains__(self, identity: int) -> bool:
        return identity < self.upto or identity in self.others

    def __len__(self) -> int:
        return self.upto + len(self.others)

    def add(self, identity: int) -> None:
        """Put an image into the set."""
        if identity not in self:
            self.others.add(identity)
            self._advance()

    def discard(self, identity: int) -> None:
        """Take an image out of the set."""
        if identity < self.upto:
            self.others.update(range(identity + 1, self.upto))
            self.upto = identity
        self.others.discard(identity)

    def common(self, other: ImageSet) -> int | None:
        """Return an image that is in both sets; None if there is none."""
        if min(self.upto, other.upto) > 0:
            return 0
        shared = self.others & other.others
        shared |= {image for image in self.others if image < other.upto}
        shared |= {image for image in other.others if image < self.upto}
        return min(shared, default=None)

    def merge(self, other: ImageSet) -> None:
        """Put all images of another set into this one."""
        self.upto = max(self.upto, other.upto)
        self.others = {image for image in self.others | other.others if image >= self.upto}
        self._advance()

    def _advance(self) -> None:
        while self.upto in self.others:
            self.others.remove(self.upto)
            self.upto += 1


@dataclass(frozen=True)
class Detail:
    """The stored details of an image that has a crop.

    Attributes:
        name: name of the image.
        label: its label.
        size: (width, height) as it is stored.
    """

    name: str
    label: Label
    size: tuple[int, int]


class ExampleIndex:
    """The indices of several layers over the same images. Every access goes through ``lock``.

    Args:
        layers: index of each layer, by name.
        fields: receptive fields of each layer, by name.
        preparer: how an image becomes the network's input.
        described: a phrase that describes the dataset.
        fingerprint: fingerprint of the model, where known; compared when a pass is resumed.
        class_names: names of the classes that whole-number labels stand for.
        source: where the images of crops are read from; None when loaded from a file without a dataset.
        groups: groups of labels, see :func:`~peek_widget.evidence.groups.read_groups`; None for one of each label.
        precision: what the network computed in.

    Attributes:
        on_a_ramp: mean and standard deviation of each channel of what the preprocessing makes of one image, see
            :func:`~peek_widget.evidence.prepare.on_a_ramp`; () where it is not known, or none is applied.
        shards: the parts of the dataset, or of several, that it is of; () where of all of it.
        processed: the images that were taken in or skipped.
        count: number of images taken in.
        skipped: number of images that could not be read.
        reasons: why, by name, for the first :data:`MAX_REASONS` of these.
        reason_indices: index of each of those in the dataset, by name, where it is known.
        label_counts: number of images of each label taken in.
        odd_labels: number of images of each thing that is there in place of a label.
        assumed: number of images by how they were taken that may be taken otherwise.
        details: what is kept of each image that has a crop, by its number.
        grouping: which groups images belong to; None where no histogram of groups is kept.
        focuses: effective fields of crops that were asked for, and the model that gives them.
    """

    def __init__(
        self,
        layers: dict[str, LayerIndex],
        fields: dict[str, FieldMap],
        preparer: Preparer,
        described: str = "",
        fingerprint: str | None = None,
        class_names: Sequence[str] = (),
        source: Source | None = None,
        groups: Mapping[str, Any] | None = None,
        precision: str = "float32",
    ) -> None:
        self.precision: str = precision
        self.on_a_ramp: tuple[tuple[float, float], ...] = ()
        self.grouping: Grouping | None = Grouping(groups, class_names)
        self.layers: dict[str, LayerIndex] = layers
        self.fields: dict[str, FieldMap] = fields
        self.preparer: Preparer = preparer
        self.described: str = described
        self.fingerprint: str | None = fingerprint
        self.source: Source | None = source
        self.class_names: tuple[str, ...] = tuple(class_names)
        self.lock: threading.RLock = threading.RLock()
        self.shards: tuple[Shard, ...] = ()
        self.processed: ImageSet = ImageSet()
        self.count: int = 0
        self.skipped: int = 0
        self.reasons: dict[str, str] = {}
        self.reason_indices: dict[str, int] = {}
        self.label_counts: Counter[Label] = Counter()
        self.odd_labels: Counter[str] = Counter()
        self.assumed: Counter[str] = Counter()
        self.details: dict[int, Detail] = {}
        self.focuses: Focuses = Focuses()
        self._prune_above = _PRUNE_AT

    def add_skipped(self, item: Loaded, identity: int) -> None:
        """Record an image that could not be read, with its reason."""
        with self.lock:
            self.processed.add(identity)
            self.skipped += 1
            if len(self.reasons) < MAX_REASONS:
                self.reasons[item.name] = item.reason
                self.reason_indices[item.name] = item.index

    def forget_skipped(self, items: Iterable[Loaded], identities: Iterable[int]) -> None:
        """Leave images that could not be read to a later pass, since the dataset itself was gone."""
        with self.lock:
            for item, identity in zip(items, identities, strict=True):
                if identity in self.processed:
                    self.processed.discard(identity)
                    self.skipped -= 1
                    self.reasons.pop(item.name, None)
                    self.reason_indices.pop(item.name, None)

    def add(self, values: Mapping[str, Tensor], items: Sequence[Loaded], identities: Sequence[int]) -> None:
        """Add a batch of N images.

        Args:
            values: activations of each layer, ``[N, C, H, W]`` or ``[N, C]``, by name.
            items: the images as they were loaded.
            identities: numbers of the images.
        """
        device = next(iter(values.values())).device
        numbers = upload(torch.tensor(identities, dtype=torch.int64, device="cpu"), device)
        with self.lock:
            rows = None if self.grouping is None else [self.grouping.rows(item.label) for item in items]
            if self.grouping is not None and self.grouping.too_many:
                self.without_groups()
                rows = None
            entered = [index.update(values[name], numbers, rows) for name, index in self.layers.items()]
            # Read once for all layers.
            for item, identity, has_crop in zip(items, identities, torch.stack(entered).any(0).tolist(), strict=True):
                self.processed.add(identity)
                self.label_counts[item.label] += 1
                if item.odd:
                    self.odd_labels[item.odd] += 1
                if item.assumed:
                    self.assumed[item.assumed] += 1
                if has_crop:
                    self.details[identity] = Detail(item.name, item.label, item.size)
            self.count += len(items)
            if len(self.details) > self._prune_above:
                self.prune()

    def without_groups(self) -> None:
        """Drop the histograms of groups."""
        self.grouping = None
        for index in self.layers.values():
            index.groups = None

    def merge(self, other: ExampleIndex) -> None:
        """Merge what was gathered in the same way from other images.

        The rule is associative and commutative: shards of a dataset give what one pass over it gives, bit for bit,
        however they are cut and in whatever order they are merged. Skipped images are named in the dataset's order.
        """
        with self.lock:
            rows = None
            if self.grouping is not None and other.grouping is not None:
                rows = self.grouping.merge(other.grouping)
            for name, index in self.layers.items():
                index.merge(other.layers[name], rows)
            if rows is None or (self.grouping is not None and self.grouping.too_many):
                self.without_groups()
            self.processed.merge(other.processed)
            self.shards = tuple(sorted({*self.shards, *other.shards}))
            if not missing_shards(self.shards) and len(self.processed) >= sum(one.images for one in self.shards):
                self.shards = ()
            self.count += other.count
            self.skipped += other.skipped
            for mine, theirs in (
                (self.label_counts, other.label_counts),
                (self.odd_labels, other.odd_labels),
                (self.assumed, other.assumed),
            ):
                mine.update(theirs)  # type: ignore[arg-type]
            reasons, at = self.reasons | other.reasons, self.reason_indices | other.reason_indices
            first = sorted(reasons, key=lambda name: at.get(name, -1))[:MAX_REASONS]
            self.reasons = {name: reasons[name] for name in first}
            self.reason_indices = {name: at[name] for name in first if name in at}
            self.details.update(other.details)
            self.preparer.ranges.chosen.update(other.preparer.ranges.chosen)
            if len(self.details) > self._prune_above:
                self.prune()

    def use_source(self, source: Source) -> None:
        """Read the images of crops from this dataset."""
        ranges = self.preparer.ranges
        self.source = source
        self.preparer = replace(self.preparer, ranges=ValueRanges(ranges.given, source.sample, ranges.chosen))

    def renamed(self, source: Source) -> tuple[int, str, str] | None:
        """Return an image that is another one in a dataset whose images are known by their index; None for none.

        Returns:
            its index, and the names of its file here and there; their folders may differ.
        """
        if not source.by_index:
            return None
        with self.lock:
            details = [*itertools.islice(self.details.items(), _LOOKED_AT)]
        for identity, detail in details:
            index = source.find(identity)
            names = detail.name, detail.name if index is None else source.name(index)
            was, now = (PurePath(name).name for name in names)
            if was != now and f"image {index}" not in names:  # which is what one without a name is called
                return identity, was, now
        return None

    def remarks(self) -> tuple[str, ...]:
        """Return remarks about the images, as sentences: what was left out, what was assumed, which labels are none."""
        with self.lock:
            said = list(() if self.source is None else self.source.remarks)
            said += self.preparer.ranges.remarks
            said += [f"{count:,} images {what}." for what, count in self.assumed.items()]
            if self.odd_labels:
                count = self.odd_labels.total()
                named = ", ".join(what for what, _ in self.odd_labels.most_common(3))
                said.append(
                    f"{count:,} of {self.count:,} images have no class as their label but {named}: they were used, and "
                    "their label is None. labels= gives them others, a whole number or a text for each."
                )
            return tuple(said)

    def prune(self) -> None:
        """Forget the details of images that have no crop any more."""
        with self.lock:
            images = self.images_with_crops()
            self.details = {identity: self.details[identity] for identity in images if identity in self.details}
            self._prune_above = 2 * len(self.details) + _PRUNE_AT

    def images_with_crops(self) -> set[int]:
        """Return the numbers of the images that are among the highest or lowest of some unit."""
        images = [one.image.flatten() for index in self.layers.values() for one in (index.top, index.bottom)]
        found = set(torch.cat(images).cpu().unique().tolist())
        found.discard(-1)
        return found

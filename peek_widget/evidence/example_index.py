"""What a pass writes to, crops are read from and a file keeps: all that is known so far."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from peek_widget.evidence.dataset import Label, Source
from peek_widget.evidence.index import LayerIndex
from peek_widget.evidence.loading import Loaded
from peek_widget.evidence.prepare import Preparer
from peek_widget.network.receptive_field.field_map import FieldMap

__all__ = ["KEPT_REASONS", "Detail", "ExampleIndex", "Seen"]

KEPT_REASONS = 100
"""Images passed over that are remembered by name; beyond that they are only counted."""


class Seen:
    """Which images have been seen: all below a number, and single ones beyond."""

    def __init__(self, upto: int = 0, others: Iterable[int] = ()) -> None:
        self.upto: int = upto
        self.others: set[int] = set(others)
        self._settle()

    def __contains__(self, identity: int) -> bool:
        return identity < self.upto or identity in self.others

    def __len__(self) -> int:
        return self.upto + len(self.others)

    def add(self, identity: int) -> None:
        """Note an image."""
        if identity not in self:
            self.others.add(identity)
            self._settle()

    def _settle(self) -> None:
        while self.upto in self.others:
            self.others.remove(self.upto)
            self.upto += 1


@dataclass(frozen=True)
class Detail:
    """What is kept of an image that is among the crops: its name, label and full (width, height)."""

    name: str
    label: Label
    size: tuple[int, int]


class ExampleIndex:
    """The indices of several layers over the same images. Every access goes through ``lock``.

    Args:
        indices: by layer.
        fields: by layer.
        preparer: how images became the network's input.
        described: the dataset, in words.
        fingerprint: of the model, where known; compared when a pass is resumed.

    Attributes:
        seen: the images taken in or passed over.
        count: the images taken in.
        passed_over: how many could not be read; the first :data:`KEPT_REASONS` are in ``reasons`` by name.
        label_counts: how many images of each label were taken in.
        details: by image, for those among the crops.
        source: where crops are fetched from; None when loaded from a file without a dataset.
    """

    def __init__(
        self,
        indices: dict[str, LayerIndex],
        fields: dict[str, FieldMap],
        preparer: Preparer,
        described: str = "",
        fingerprint: str | None = None,
        class_names: Sequence[str] = (),
        source: Source | None = None,
    ) -> None:
        self.indices: dict[str, LayerIndex] = indices
        self.fields: dict[str, FieldMap] = fields
        self.preparer: Preparer = preparer
        self.described: str = described
        self.fingerprint: str | None = fingerprint
        self.source: Source | None = source
        self.class_names: tuple[str, ...] = tuple(class_names)
        self.lock: threading.RLock = threading.RLock()
        self.seen: Seen = Seen()
        self.count: int = 0
        self.skipped: int = 0
        self.reasons: dict[str, str] = {}
        self.label_counts: Counter[Label] = Counter()
        self.details: dict[int, Detail] = {}
        self._room = 0

    def note(self, item: Loaded, identity: int) -> None:
        """Note an image that was passed over, with its reason."""
        with self.lock:
            self.seen.add(identity)
            self.skipped += 1
            if len(self.reasons) < KEPT_REASONS:
                self.reasons[item.name] = item.reason

    def take(self, values: dict[str, Tensor], items: Sequence[Loaded], identities: Sequence[int]) -> None:
        """Take in the activations of a batch, by layer."""
        numbers = torch.tensor(identities, dtype=torch.int64)
        with self.lock:
            entered = torch.zeros(len(items), dtype=torch.bool)
            for name, index in self.indices.items():
                entered |= index.update(values[name], numbers)
            for item, identity, among in zip(items, identities, entered.tolist(), strict=True):
                self.seen.add(identity)
                self.label_counts[item.label] += 1
                if among:
                    self.details[identity] = Detail(item.name, item.label, item.size)
            self.count += len(items)
            if len(self.details) > self._room:
                self.prune()

    def prune(self) -> None:
        """Forget the details of images that are among the crops no more."""
        with self.lock:
            among = self.among()
            self.details = {identity: self.details[identity] for identity in among if identity in self.details}
            self._room = 2 * len(self.details) + 1000

    def among(self) -> set[int]:
        """The images that are among the highest or lowest of some unit."""
        kept: set[int] = set()
        for index in self.indices.values():
            for extremes in (index.top, index.bottom):
                kept.update(extremes.image.unique().tolist())
        kept.discard(-1)
        return kept

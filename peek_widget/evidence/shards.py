"""Parts of a dataset for several processes: each of whole batches, so that the network computes the same in each."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from numbers import Integral
from typing import NamedTuple

from peek_widget.errors import DatasetError, EvidenceStoreError, PeekError
from peek_widget.evidence.source import Source

__all__ = ["Indices", "Shard", "missing_shards", "resumed_shards", "shard_of", "split"]

_LOOKED_AT = 16  # number of images whose identities tell datasets apart

Indices = range | tuple[int, ...]
"""Indices of images, in ascending order; consecutive ones take no memory."""


def shard_of(source: Source, shard: tuple[int, int] | None, batch_size: int) -> Sequence[int]:
    """Return the indices of one of several parts of a dataset.

    Args:
        source: the dataset.
        shard: (number, count), of the part and of all; None for the whole dataset.
        batch_size: number of images in a forward. The last bits of an activation depend on what else is in its batch,
            so that parts begin where a pass over the whole dataset begins a batch.

    Raises:
        PeekError: if ``shard`` is not possible.
        DatasetError: if the dataset is a stream, which has no parts.
    """
    if shard is None:
        return range(0) if source.endless else range(len(source))
    whole = isinstance(shard, tuple | list) and len(shard) == 2
    number, count = shard if whole else (0, 0)
    if not all(isinstance(one, Integral) and not isinstance(one, bool) for one in (number, count)) or not (
        0 <= number < count
    ):
        raise PeekError(f"shard={shard!r}: give (number, count), the number from 0 to count - 1, such as (0, 16).")
    if source.endless:
        raise DatasetError(undividable(source))
    batches = -(-len(source) // batch_size)
    first, last = (batches * one // count * batch_size for one in (number, number + 1))
    return range(first, min(last, len(source)))


class Shard(NamedTuple):
    """One of several parts of a dataset, which its evidence remembers until all of them are there.

    Attributes:
        number: its number, from 0.
        count: number of parts that the dataset is divided into.
        images: number of images in it.
        total: number of images in the dataset; 0 where it is not known, as in files of earlier versions.
        digest: what tells the dataset from others of this length, a hash of which images it has; "" likewise.
    """

    number: int
    count: int
    images: int
    total: int = 0
    digest: str = ""

    @classmethod
    def of(cls, source: Source, number: int, count: int, images: int) -> Shard:
        """Return a part of a dataset."""
        total = len(source)
        # A few are enough: what is added or taken away changes the length, and other datasets have other names.
        looked_at = sorted({at * total // _LOOKED_AT for at in range(_LOOKED_AT)} if total else ())
        marks = ",".join(f"{source.identity(index)}{source.mark(index)}" for index in looked_at)
        digest = hashlib.blake2b(marks.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        return cls(number, count, images, total, digest)

    @property
    def span(self) -> tuple[Fraction, Fraction]:
        """Its begin and end in the dataset, from 0 to 1."""
        return Fraction(self.number, self.count), Fraction(self.number + 1, self.count)

    def within(self, other: Shard) -> bool:
        """Return whether it lies within another shard, or equals it."""
        (begin, end), (first, last) = self.span, other.span
        return first <= begin and end <= last

    def overlaps(self, other: Shard) -> bool:
        """Return whether it shares images with another shard."""
        (begin, end), (first, last) = self.span, other.span
        return first < end and begin < last

    def __str__(self) -> str:
        return f"shard=({self.number}, {self.count})"


def resumed_shards(earlier: Sequence[Shard], new: Shard, done: int) -> tuple[Shard, ...]:
    """Return which parts evidence is of when a pass over another part goes on from it.

    Args:
        earlier: the parts that it was of.
        new: the part that the pass is over.
        done: number of images that it has.

    Raises:
        EvidenceStoreError: if the new part has some images of an earlier one, and each has others.
    """
    beside = [one for one in earlier if not one.within(new)]
    around = [one for one in beside if new.within(one)]
    crossed = next((one for one in beside if one.overlaps(new) and one not in around), None)
    if crossed is not None:
        raise EvidenceStoreError(
            f"The evidence to resume from is of {crossed}, and {new} has some of these images and others: give "
            f"{crossed}, or start again without resume= (or with another store=)."
        )
    complete = done >= sum(one.images for one in earlier)
    if complete and any(one.digest in ("", new.digest) for one in around):
        return tuple(earlier)
    return tuple(sorted((*(one for one in beside if one not in around), new)))


def missing_shards(shards: Iterable[Shard]) -> list[str]:
    """Return which parts of their datasets are missing beside these; [] for no shards.

    Returns:
        each as ``"shard=(3, 16)"``, with the number of images in the dataset where they are of several.
    """
    every = set(shards)
    known = all(one.digest for one in every)  # else all are taken to be of the same dataset
    datasets: dict[tuple[int, str], list[Shard]] = {}
    for one in every:
        which = (one.total, one.digest) if known else (0, "")
        datasets.setdefault(which, []).append(one)
    found = []
    for (total, _), parts in sorted(datasets.items()):
        of = f" of the dataset of {total:,} images" if len(datasets) > 1 else ""
        found += [f"{name}{of}" for name in _missing(parts)]
    return found


def _missing(shards: Iterable[Shard]) -> list[str]:
    """Return which parts of a single dataset are missing."""
    ordered = sorted(shards, key=lambda one: one.span)
    most = max(one.count for one in ordered)
    upto, found = Fraction(0), []
    for begin, end in (*(one.span for one in ordered), (Fraction(1), Fraction(1))):
        if begin > upto:
            first, last = upto * most, begin * most
            found += [f"shard=({number}, {most})" for number in range(math.floor(first), math.ceil(last))]
        upto = max(upto, end)
    return found


def undividable(source: Source) -> str:
    """Return the error for a stream that can't be divided."""
    return (
        f"The dataset is {source.described}, which can only be read in order, so it can't be divided among several "
        "processes: give what has its images by number, such as a folder, a list, or the address of a tar file "
        "(dataset='s3://bucket/shard-000.tar')."
    )


def split(indices: Iterable[int], size: int) -> Iterator[Indices]:
    """Split indices, in ascending order, into parts of a size."""
    numbers = iter(indices)
    while part := tuple(islice(numbers, size)):
        consecutive = part[-1] - part[0] == len(part) - 1
        yield range(part[0], part[-1] + 1) if consecutive else part

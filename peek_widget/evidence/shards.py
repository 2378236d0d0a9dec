"""Parts of a dataset for several processes: each of whole batches, so that the network computes the same in each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from peek_widget.errors import DatasetError, PeekError
from peek_widget.evidence.source import Source

__all__ = ["Indices", "Shard", "missing_shards", "shard_of", "split"]

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
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in (number, count)) or not (
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
    """

    number: int
    count: int
    images: int

    @property
    def span(self) -> tuple[Fraction, Fraction]:
        """Where it begins and ends in the dataset, from 0 to 1."""
        return Fraction(self.number, self.count), Fraction(self.number + 1, self.count)


def missing_shards(shards: Iterable[Shard]) -> list[str]:
    """Return which parts of the dataset are missing beside these, each as ``"shard=(3, 16)"``; [] for no shards."""
    ordered = sorted(set(shards), key=lambda one: one.span)
    if not ordered:
        return []
    most = max(one.count for one in ordered)
    upto, found = Fraction(0), []
    for begin, end in (*(one.span for one in ordered), (Fraction(1), Fraction(1))):
        if begin > upto:
            first, last = upto * most, begin * most
            found += [f"shard=({number}, {most})" for number in range(math.floor(first), math.ceil(last))]
        upto = max(upto, end)
    return found


def undividable(source: Source) -> str:
    """Return why a stream can't be divided, as a sentence."""
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

"""Parts of a dataset for several processes: each of whole batches, so that the network computes the same in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from peek_widget.errors import DatasetError, PeekError
from peek_widget.evidence.source import Source

__all__ = ["Indices", "shard_of", "split"]

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

"""The interface of a dataset for a pass: numbered images, with or without labels."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from peek_widget.evidence.labels import Label, read_label

__all__ = [
    "EndOfStreamError",
    "Item",
    "NoImageError",
    "SerialSource",
    "Source",
    "UnreadableError",
    "WrappedSource",
]

_SAMPLE = 16


class UnreadableError(Exception):
    """Raised when one image can't be read; the text is the reason, as the end of a sentence."""


class NoImageError(UnreadableError):
    """Raised for something that is not an image, or not one that the network can take; the disk is fine."""


class EndOfStreamError(Exception):
    """Raised when a stream has no image with this index, nor with a higher one."""


@dataclass(frozen=True)
class Item:
    """An image of a dataset as it was loaded.

    Attributes:
        image: a PIL image, an array, a tensor or a :class:`~peek_widget.evidence.files.Pages`.
        size: its full (width, height) where it may have been reduced; None for its own.
        label: its label.
        odd: what the dataset has in place of a label, e.g. ``"a dict"``; "" where the label is one, or there is none.
    """

    image: Any
    size: tuple[int, int] | None = None
    label: Label = None
    odd: str = ""


class Source(ABC):
    """A dataset of numbered images. Each has an ``identity`` that it keeps when images are added to the dataset.

    Attributes:
        described: a phrase that describes the dataset, for messages and in a saved file.
        concurrent: whether several threads may load images at once.
        class_names: names of the classes that whole-number labels stand for, where known.
        remarks: sentences on what was left out or assumed when the dataset was opened.
        endless: whether it is a stream, which has no length and whose images can be loaded once, in order.
        by_index: whether images are known by their index alone, which other datasets have too.
    """

    described: str
    concurrent: bool = True
    class_names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    endless: bool = False
    by_index: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def identity(self, index: int) -> int:
        """Return a lasting number of the image, from 0 to 2**63 - 1."""

    @abstractmethod
    def find(self, identity: int) -> int | None:
        """Return the index of the image with this identity; None if the dataset does not have it."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return the name of the image, for messages."""

    @abstractmethod
    def load(self, index: int, needed: int | None = None) -> tuple[Any, tuple[int, int] | None, Label]:
        """Load an image.

        Args:
            index: index of the image.
            needed: number of pixels that its shorter side must keep, see
                :func:`~peek_widget.evidence.files.open_image`.

        Returns:
            the image (PIL, array or tensor), its full (width, height) where it may have been reduced, and its label.

        Raises:
            UnreadableError: if it can't be loaded.
            EndOfStreamError: if a stream ends before it.
        """

    def mark(self, index: int) -> str:
        """Return what tells the image from one of another dataset with the same identity; "" where nothing does."""
        return ""

    def item(self, index: int, needed: int | None = None) -> Item:
        """Load an image as :meth:`load` does, with what is said about its label."""
        image, size, label = self.load(index, needed)
        return Item(image, size, *read_label(label))

    def sample(self) -> Iterator[Any]:
        """Load at most 16 images, evenly spread over the dataset, to see what their numbers mean."""
        count = len(self)
        for index in sorted({position * count // _SAMPLE for position in range(_SAMPLE)} if count else ()):
            try:
                yield self.load(index)[0]
            except UnreadableError:
                continue

    def for_pass(self) -> Source:
        """Return the source that one pass reads: itself, or for a stream its beginning."""
        return self

    def settle(self, kept: set[int], upto: int) -> None:
        """Keep the images with these identities of those up to the index ``upto``, for crops; for streams alone."""
        return


class WrappedSource(Source):
    """A wrapper of another source; base class of wrappers that change something.

    Args:
        source: the source to load from.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.described: str = source.described
        self.concurrent: bool = source.concurrent
        self.class_names: tuple[str, ...] = source.class_names
        self.remarks: tuple[str, ...] = source.remarks
        self.endless: bool = source.endless
        self.by_index: bool = source.by_index

    def __len__(self) -> int:
        return len(self._source)

    def identity(self, index: int) -> int:
        """Return the number that the source knows an image by."""
        return self._source.identity(index)

    def find(self, identity: int) -> int | None:
        """Return the index of the image that the source knows by this number."""
        return self._source.find(identity)

    def name(self, index: int) -> str:
        """Return the name of an image."""
        return self._source.name(index)

    def mark(self, index: int) -> str:
        """Return what tells an image from one of another dataset."""
        return self._source.mark(index)

    def load(self, index: int, needed: int | None = None) -> Any:
        """Load an image; see :class:`Source`."""
        return self._source.load(index, needed)

    def item(self, index: int, needed: int | None = None) -> Item:
        """Load an image, with what is said about its label."""
        return self._source.item(index, needed)

    def sample(self) -> Iterator[Any]:
        """Load a few images, to see what their numbers mean."""
        return self._source.sample()

    def settle(self, kept: set[int], upto: int) -> None:
        """Keep images of a stream, for crops."""
        self._source.settle(kept, upto)


class SerialSource(WrappedSource):
    """A source that loads one image at a time, although several threads ask it.

    A Dataset or an open file may not be thread-safe.

    Args:
        source: the source to load from.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._lock = threading.Lock()

    def load(self, index: int, needed: int | None = None) -> Any:
        """Load an image once no other thread loads one."""
        with self._lock:
            return super().load(index, needed)

    def item(self, index: int, needed: int | None = None) -> Item:
        """Load an image, with what is said about its label, once no other thread loads one."""
        with self._lock:
            return super().item(index, needed)

    def sample(self) -> Iterator[Any]:
        """Load a few images, to see what their numbers mean."""
        with self._lock:
            return iter(list(super().sample()))

    def for_pass(self) -> Source:
        """Return the source that one pass reads: itself, or for a stream its beginning."""
        source = self._source.for_pass()
        return self if source is self._source else SerialSource(source)

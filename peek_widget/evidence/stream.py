"""Streams: datasets that are iterated once, in order, and have no length and no items by number."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from peek_widget import _pillow
from peek_widget.errors import DatasetError
from peek_widget.evidence.files import Pages
from peek_widget.evidence.items import ItemReader
from peek_widget.evidence.labels import Label, Labels, read_label
from peek_widget.evidence.source import EndOfStreamError, Item, Source, UnreadableError

__all__ = ["Stream", "StreamLabels", "is_stream"]

_AHEAD = 16  # items read ahead, to see what their numbers mean
_FADING = 16  # batches after which an image that has no crop any more is deleted
_LARGEST = 2  # times the network's input: a larger image is kept at this size


def is_stream(dataset: Any) -> bool:
    """Return whether a dataset can be iterated, and has no items by number."""
    if isinstance(dataset, torch.utils.data.IterableDataset):
        return True
    if not hasattr(dataset, "__iter__") or isinstance(dataset, (str, bytes, AbstractSet)):
        return False
    return not hasattr(dataset, "__getitem__")


class Stream(Source):
    """An ``IterableDataset``, a webdataset, or any iterator of images: read once, in order.

    What has gone by can't be fetched again, so that images with crops are kept in a temporary folder until the stream
    is forgotten: as they came, but at most twice as large as the network's input. An image's number is its place in the
    stream.

    Args:
        items: the stream; see :class:`~peek_widget.evidence.items.ItemReader` for its items.
        labels: a function or mapping of the place in the stream, or labels in order; left out, those of the items.
        number: number of the pass, from 1; a stream that is shuffled gives other images in each.
    """

    endless = True
    concurrent = False

    def __init__(self, items: Iterable[Any], labels: Labels | StreamLabels = None, number: int = 1) -> None:
        self._items, self._number = items, number
        self._labels = labels if labels is None or isinstance(labels, StreamLabels) else StreamLabels(labels)
        self._reader = ItemReader(items, self._labels, self._few)
        self.class_names: tuple[str, ...] = self._reader.class_names
        self.described: str = f"a stream ({type(items).__name__})"
        self.remarks: tuple[str, ...] = (
            f"The dataset is a stream ({type(items).__name__}): it is read once, in order, and only the images with "
            f"crops are kept, at most {_LARGEST} times as large as the network's input and as long as this evidence is "
            "in memory.",
        )
        self._lock = threading.RLock()
        self._iterator: Iterator[Any] | None = None
        self._passes = 0
        self._ahead: list[Any] = []
        self._next = 0
        self._recent: dict[int, Item] = {}
        self._names: dict[int, str] = {}  # of recent items; a kept image has its name stored
        self._kept: dict[int, str | Pages] = {}
        # Recently shown crops may be requested again.
        self._fading: deque[dict[int, str | Pages]] = deque([{} for _ in range(_FADING)])
        self._folder: Path | None = None

    def __len__(self) -> int:
        """Return how many images have been read so far."""
        return self._next

    def identity(self, index: int) -> int:
        """Return the index itself."""
        return index

    def find(self, identity: int) -> int | None:
        """Return the index of an image that was kept."""
        return identity if identity in self._kept or identity in self._recent else None

    def name(self, index: int) -> str:
        """Return "image 17", its place in the stream, with the name of its file; of a later pass, with that."""
        own = self._names.get(index)
        return f"image {index}{f' of pass {self._number}' if self._number > 1 else ''}{f' ({own})' if own else ''}"

    def for_pass(self) -> Source:
        """Return the stream from its beginning, for another pass.

        Raises:
            DatasetError: if it is an iterator that another pass has used up.
        """
        if hasattr(self._items, "__next__") and self._passes:
            raise DatasetError(
                f"The dataset is a {type(self._items).__name__}, which another pass has read, and it can't be read "
                "from its beginning again: give an object whose iter() starts over (a torch IterableDataset), a list, "
                "or all layers in one call."
            )
        self._passes += 1
        return Stream(self._items, self._labels, self._passes)

    def load(self, index: int, needed: int | None = None) -> tuple[Any, tuple[int, int] | None, Any]:
        """Load the next image, or one that was kept; see :class:`Source`."""
        item = self.item(index, needed)
        return item.image, item.size, item.label

    def item(self, index: int, needed: int | None = None) -> Item:
        """Load the next image, or one that was kept, with what is said about its label."""
        with self._lock:
            if index in self._recent:
                return self._recent[index]
            for files in (self._kept, *self._fading):
                if index in files:
                    return Item(_read(files[index]))
            if index < self._next:
                raise UnreadableError("it has gone by in the stream and was not kept")
            while self._next < index:  # already processed by an earlier pass
                self._draw()
            raw = self._draw()
            self._names[index] = self._reader.name(raw)
            item = self._reader.read(raw, index, needed)
            item = Item(_smaller(item.image, needed), None, item.label, item.odd)
            self._recent[index] = item
            return item

    def sample(self) -> Iterator[Any]:
        """Read at most 16 images ahead, to see what their numbers mean."""
        with self._lock:
            self._few()
            items = [item.image for item in self._recent.values()]
            for raw in self._ahead:
                try:
                    items.append(self._reader.read(raw, 0).image)
                except UnreadableError:
                    continue
        yield from items

    def settle(self, kept: set[int], upto: int) -> None:
        """Keep the images with these identities of those up to ``upto``, and forget the others."""
        with self._lock:
            for index in [index for index in self._recent if index <= upto]:
                if index in kept:
                    self._kept[index] = self._written(index, self._recent[index].image)
                del self._recent[index]
            for index in [index for index in self._names if index <= upto]:
                del self._names[index]
            fading = [index for index in self._kept if index <= upto and index not in kept]
            self._fading.append({index: self._kept.pop(index) for index in fading})
            for gone in self._fading.popleft().values():
                if isinstance(gone, str):
                    Path(gone).unlink(missing_ok=True)

    def _few(self) -> list[Any]:
        """Read at most 16 items ahead, and return them."""
        while len(self._ahead) < _AHEAD:
            try:
                self._ahead.append(self._drawn())
            except EndOfStreamError:
                break
        return self._ahead

    def _draw(self) -> Any:
        """Return the next item as the stream gives it."""
        found = self._ahead.pop(0) if self._ahead else self._drawn()
        self._next += 1
        return found

    def _drawn(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._items)
        try:
            return next(self._iterator)
        except StopIteration:
            raise EndOfStreamError from None

    def _written(self, index: int, image: Any) -> str | Pages:
        """Write an image to the temporary folder, without loss, and return the file's name; a file's pages are kept."""
        if isinstance(image, Pages):
            return image
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="peek-stream-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = str(self._folder / str(index))
        image = _pillow.unpacked(image) if isinstance(image, Image.Image) else image
        if isinstance(image, Image.Image):
            image = image if image.mode in ("1", "L", "LA", "RGB", "RGBA") else _pillow.converted(image, "RGB")
            image.save(f"{path}.png", compress_level=1)
            return f"{path}.png"
        if isinstance(image, Tensor):
            torch.save(image.detach().cpu().clone(), f"{path}.pt")
            return f"{path}.pt"
        np.save(f"{path}.npy", image, allow_pickle=False)
        return f"{path}.npy"


def _read(path: str | Pages) -> Any:
    if isinstance(path, Pages):
        return path
    try:
        if path.endswith(".pt"):
            return torch.load(path, weights_only=True)
        if path.endswith(".npy"):
            return np.load(path, allow_pickle=False)
        with Image.open(path) as image:
            image.load()
            return image
    except Exception as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def _smaller(image: Any, needed: int | None) -> Any:
    """Shrink an 8-bit image so that its shorter side is at most twice what is needed; return any other unchanged."""
    if not isinstance(image, Image.Image) or not isinstance(_pillow.unpacked(image), Image.Image):
        return image
    if needed is None or min(image.size) <= _LARGEST * needed:
        return image
    scale = _LARGEST * needed / min(image.size)
    plain = image if image.mode in ("L", "RGB", "RGBA", "LA") else _pillow.converted(image, "RGB")
    return plain.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)


class StreamLabels:
    """Labels by the place in a stream whose length is not known.

    Args:
        labels: a function or mapping of the place, or labels in order.

    Raises:
        DatasetError: if they are neither.
    """

    def __init__(self, labels: Any) -> None:
        if isinstance(labels, (str, bytes, set, frozenset)) or not (callable(labels) or hasattr(labels, "__iter__")):
            raise DatasetError(
                f"labels is a {type(labels).__name__}: for a stream give a function of the place in it, or a list in "
                "order."
            )
        self._function = labels.get if isinstance(labels, Mapping) else labels if callable(labels) else self._in_order
        self._rest: Iterator[Any] = iter(()) if callable(labels) else iter(labels)
        self._values: list[Any] = []

    def __call__(self, index: int) -> tuple[Label, str]:
        """Return the label at this place, and what is there in its place."""
        try:
            return read_label(self._function(index))
        except IndexError:
            return None, "nothing, as labels has ended"
        except Exception as error:
            return None, f"an error, as labels raised {type(error).__name__}: {error}"

    def _in_order(self, index: int) -> Any:
        # The labels may be endless, too.
        self._values.extend(itertools.islice(self._rest, max(0, index + 1 - len(self._values))))
        return self._values[index]

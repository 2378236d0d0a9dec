"""Datasets: a folder, a torch Dataset, a list of pictures, arrays or file names, read as numbered images."""

from __future__ import annotations

import hashlib
import numbers
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from peek_widget.errors import DatasetError

__all__ = [
    "MAX_PIXELS",
    "DatasetLike",
    "Folder",
    "IndexedImages",
    "Items",
    "Label",
    "Labels",
    "Source",
    "UnreadableError",
    "open_image",
    "read_source",
]

MAX_PIXELS = 64_000_000
"""An image file with more pixels than this is skipped, not decoded (a JPEG after it was reduced in size)."""

Label = int | str | None
"""Label of an image: the number of a class, a text, or None."""

Labels = Sequence[Label] | Mapping[Any, Label] | Callable[[Any], Label] | None
"""Labels of a dataset: one for each image in order; or a mapping or function of the file name (of the index, for a
list); or None for the dataset's own."""


class IndexedImages(Protocol):
    """Anything with a length and items by index: a list, an array, a tensor, a torch ``Dataset``."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


_LABELS = "give a list with one label for each image, a mapping or function from the {what}, or leave labels out"


class UnreadableError(Exception):
    """One image can't be read; the text is the reason, as the end of a sentence."""


def open_image(path: str | Path, needed: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """Open an image file, upright.

    Args:
        path: any file that Pillow reads; of an animation the first picture is taken, and the orientation that a camera
            recorded is applied.
        needed: number of pixels that the shorter side must keep. A JPEG at least four times as large is decoded at a
            reduced size (a half, a quarter, an eighth), which bounds time and memory.

    Returns:
        the image, and the (width, height) that it has in full.

    Raises:
        UnreadableError: if it is missing, truncated, no image, or has more than :data:`MAX_PIXELS`.
    """
    try:
        with Image.open(path) as image:
            full = image.size
            if needed is not None and min(full) >= 4 * needed:
                image.draft(image.mode, (2 * needed, 2 * needed))
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableError(
                    f"it is {full[0]} x {full[1]} px, more than {MAX_PIXELS / 1e6:.0f} million pixels"
                )
            image.load()
            sideways = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # the EXIF orientation
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return ImageOps.exif_transpose(image), full[::-1] if sideways else full
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError("it is not an image that can be read") from None
    # Pillow's decoders raise nearly any exception on a broken file.
    except Exception as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


class Source(ABC):
    """A dataset of numbered images. Each has an ``identity`` that it keeps when images are added to the dataset.

    Attributes:
        described: a phrase that describes the dataset, for messages and in a saved file.
        concurrent: whether several threads may load images at once.
        class_names: names of the classes that whole-number labels stand for, where known.
    """

    described: str
    concurrent: bool = True
    class_names: tuple[str, ...] = ()

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
            needed: number of pixels that its shorter side must keep, see :func:`open_image`.

        Returns:
            the image (PIL, array or tensor), its full (width, height) where it may have been reduced, and its label.

        Raises:
            UnreadableError: if it can't be loaded.
        """


DatasetLike = str | os.PathLike[str] | IndexedImages | Source
"""What is accepted as a dataset, see :func:`read_source`."""


class Folder(Source):
    """All files in a folder and its sub-folders, in the order of their names.

    Without ``labels``, the label of an image is the name of its sub-folder if all images lie in sub-folders. Files
    whose name begins with a dot are left out.

    Args:
        path: the folder.
        labels: labels by file name (relative to the folder, with ``/``), or in the order of the sorted file names.

    Raises:
        DatasetError: if there is no such folder, no file in it, or the labels do not fit.
    """

    def __init__(self, path: str | Path, labels: Labels = None) -> None:
        self.path: Path = Path(path).expanduser()
        if not self.path.is_dir():
            what = "a file" if self.path.exists() else "not there"
            raise DatasetError(
                f"dataset={str(path)!r} is {what}: give a folder of images, a torch Dataset or a list of images."
            )
        self._files = sorted(_walk(self.path))
        if not self._files:
            raise DatasetError(
                f"The folder {str(path)!r} is empty: there is no file in it or in its sub-folders. Give one that "
                "holds images (any that Pillow reads, such as JPEG, PNG or WebP)."
            )
        self.described: str = f"the folder {self.path}"
        classes = sorted({name.split("/")[0] for name in self._files})
        if labels is None and all("/" in name for name in self._files):
            self.class_names: tuple[str, ...] = tuple(classes)
            self._label: Callable[[int], Any] = lambda index: self._files[index].split("/")[0]
        else:
            self._label = _label_function(labels, len(self._files), self.name, "file name")
        self._by_identity: dict[int, int] | None = None

    def __len__(self) -> int:
        return len(self._files)

    def identity(self, index: int) -> int:
        """Return a hash of the file's name."""
        digest = hashlib.blake2b(self._files[index].encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1

    def find(self, identity: int) -> int | None:
        """Return the index of the file with that hash."""
        if self._by_identity is None:
            self._by_identity = {self.identity(index): index for index in range(len(self))}
        return self._by_identity.get(identity)

    def name(self, index: int) -> str:
        """Return the file's name, relative to the folder."""
        return self._files[index]

    def load(self, index: int, needed: int | None = None) -> tuple[Any, tuple[int, int] | None, Label]:
        """Open the file; see :class:`Source`."""
        path = self.path / self._files[index]
        if path.exists() and not path.is_file():
            raise UnreadableError("it is no regular file")  # reading a pipe would never end
        image, size = open_image(path, needed)
        return image, size, as_label(self._label(index))


def _walk(root: Path) -> Iterator[str]:
    visited: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # a link to a folder above
            below.clear()
            continue
        visited.add(real)
        below[:] = [name for name in below if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield Path(folder, name).relative_to(root).as_posix()


class Items(Source):
    """A list, array or torch Dataset: anything with ``len()`` and ``[index]``.

    An item is an image, ``(image, label)``, or a mapping with ``image`` (or ``pixel_values``) and ``label`` (or
    ``labels``). An image is a PIL image, the name of a file, an array ``[H, W]`` or ``[H, W, C]``, or a tensor
    ``[C, H, W]``; integers range from 0 to 255, floating-point numbers from 0 to 1.

    Args:
        items: the list, array or Dataset.
        labels: labels by index; left out, those of the items.

    Raises:
        DatasetError: if it has no length, no items by index or no items, or the labels do not fit.
    """

    def __init__(self, items: IndexedImages, labels: Labels = None) -> None:
        try:
            count = len(items)
        except Exception as error:
            raise DatasetError(
                f"The dataset is a {type(items).__name__} that doesn't say how many images it has ({error}), so a "
                "crop could not be fetched from it again: give a folder, a list, or a torch Dataset with "
                "__len__ and __getitem__ (of a DataLoader, its .dataset)."
            ) from error
        if not hasattr(items, "__getitem__"):
            raise DatasetError(
                f"The dataset is a {type(items).__name__}, which has no items by number: give a folder, a list, or "
                "a torch Dataset with __len__ and __getitem__ (of a DataLoader, its .dataset)."
            )
        if count == 0:
            raise DatasetError(f"The dataset ({type(items).__name__}) is empty: give one with at least one image.")
        self.items: Any = items
        self._count = count
        self.described: str = f"a {type(items).__name__} of {count:,} images"
        # A Dataset of the user's own may not be safe to call from two threads at once.
        self.concurrent: bool = isinstance(items, (list, tuple, np.ndarray, Tensor))
        names = getattr(items, "classes", None) or getattr(items, "class_names", None)
        if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(n, str) for n in names):
            self.class_names: tuple[str, ...] = tuple(names)
        self._label = None if labels is None else _label_function(labels, count, int, "index")

    def __len__(self) -> int:
        return self._count

    def identity(self, index: int) -> int:
        """Return the index itself."""
        return index

    def find(self, identity: int) -> int | None:
        """Return the index itself."""
        return identity if 0 <= identity < self._count else None

    def name(self, index: int) -> str:
        """Return the name of the file where there is one, else "image 17"."""
        item = self.items[index] if isinstance(self.items, (list, tuple)) else None
        image = item[0] if isinstance(item, tuple) and item else item
        if isinstance(image, (str, os.PathLike)):
            return os.fspath(image)
        return getattr(image, "filename", "") or f"image {index}"

    def load(self, index: int, needed: int | None = None) -> tuple[Any, tuple[int, int] | None, Label]:
        """Load the image and label of an item; see :class:`Source`."""
        try:
            item = self.items[index]
        except Exception as error:
            raise UnreadableError(f"the dataset raised {type(error).__name__}: {error}") from error
        label: Any = None
        if isinstance(item, Mapping):
            label = item.get("label", item.get("labels"))
            found = [key for key in ("image", "img", "pixel_values") if key in item]
            if not found:
                raise UnreadableError(f"its item has no 'image' but {', '.join(map(str, list(item)[:5]))}")
            item = item[found[0]]
        elif isinstance(item, (tuple, list)) and item:
            item, label = item[0], item[1] if len(item) > 1 else None
        if self._label is not None:
            label = self._label(index)
        size = None
        if isinstance(item, (str, os.PathLike)):
            item, size = open_image(os.fspath(item), needed)
        return item, size, as_label(label)


def as_label(value: Any) -> Label:
    """Return a label as a whole number, a text or None.

    Raises:
        UnreadableError: if it is anything else (a one-hot vector, say).
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (Tensor, np.ndarray, np.generic)) and np.prod(value.shape) == 1:
        value = value.item()
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
    raise UnreadableError(f"its label is a {type(value).__name__}{shape}, not a whole number or a text")


def _label_function(labels: Any, count: int, argument: Callable[[int], Any], what: str) -> Callable[[int], Any]:
    """Return a function from an image's index to its label.

    Args:
        labels: what the user gave.
        count: number of images.
        argument: function from the index to the key of a mapping, or the argument of a function.
        what: name of that argument, for errors.
    """
    if labels is None:
        return lambda index: None
    if isinstance(labels, Mapping):
        return lambda index: labels.get(argument(index))
    if callable(labels):

        def label(index: int) -> Any:
            try:
                return labels(argument(index))
            except Exception as error:
                raise UnreadableError(f"labels raised {type(error).__name__}: {error}") from error

        return label
    if isinstance(labels, str) or not hasattr(labels, "__len__") or not hasattr(labels, "__getitem__"):
        raise DatasetError(f"labels is a {type(labels).__name__}: {_LABELS.format(what=what)}.")
    if len(labels) != count:
        raise DatasetError(
            f"labels has {len(labels):,} entries for {count:,} images: {_LABELS.format(what=what)} "
            "(for a folder, in the order of the sorted file names)."
        )
    return lambda index: labels[index]


def read_source(dataset: DatasetLike, labels: Labels = None) -> Source:
    """Return the dataset as a :class:`Source`.

    Args:
        dataset: path of a folder, a torch Dataset, a list of PIL images, arrays, tensors or file names, an array
            ``[N, H, W, C]`` or a tensor ``[N, C, H, W]``; see :class:`Folder` and :class:`Items`.
        labels: a list with one label (whole number or text) for each image; or a mapping or a function of the file
            name (relative to the folder, with ``/``) or of the index. Left out, the dataset's own.

    Raises:
        DatasetError: if it is none of these, is empty, or the labels do not fit.
    """
    if isinstance(dataset, Source):
        return dataset
    if isinstance(dataset, (str, os.PathLike)):
        if not os.fspath(dataset):
            raise DatasetError("The dataset is an empty name: give a folder of images, e.g. dataset='photos'.")
        return Folder(os.fspath(dataset), labels)
    if isinstance(dataset, (Mapping, Image.Image)):
        raise DatasetError(
            f"The dataset is a {type(dataset).__name__}: give a folder, a torch Dataset or a list of images, e.g. "
            "dataset=[image]."
        )
    return Items(dataset, labels)

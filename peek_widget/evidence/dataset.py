"""Where real images come from: a folder, a torch Dataset, a list of pictures, arrays or file names."""

from __future__ import annotations

import hashlib
import numbers
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from peek_widget.errors import DatasetError

__all__ = ["MAX_PIXELS", "Folder", "Items", "Label", "Source", "UnreadableError", "open_image", "read_source"]

MAX_PIXELS = 64_000_000
"""An image file that is still larger than this after a JPEG's cheap reduction is passed over, not decoded."""

Label = int | str | None

_LABELS = "give a list with one label for each image, a mapping or function from the {what}, or leave labels out"


class UnreadableError(Exception):
    """One image that can't be had; its text is the reason."""


def open_image(path: str | Path, needed: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """An image file as it is to be looked at, and the (width, height) it has in full.

    Args:
        path: any file that Pillow reads; of an animation the first picture is taken, a camera's note on how it
            was held is obeyed.
        needed: pixels that the shorter side must keep. A JPEG at least four times as large is decoded at a
            reduced size (a half, a quarter, an eighth), which bounds time and memory.

    Raises:
        UnreadableError: if it is missing, truncated, no image, or larger than :data:`MAX_PIXELS`.
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
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # lying on its side
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return ImageOps.exif_transpose(image), full[::-1] if turned else full
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError("it is not an image that can be read") from None
    # Pillow's decoders raise nearly anything on a broken file.
    except Exception as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


class Source(ABC):
    """Numbered images. Each has an ``identity`` that it keeps when images are added to the dataset."""

    #: What it is, in words, for messages and in a saved file.
    described: str
    #: Whether several threads may load at once.
    concurrent: bool = True
    #: Names of the classes that whole-number labels count, where known.
    class_names: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def identity(self, index: int) -> int:
        """A number of the image that stays, from 0 to 2**63 - 1."""

    @abstractmethod
    def find(self, identity: int) -> int | None:
        """The index of an image in this dataset, if it is there."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What to call the image in a sentence."""

    @abstractmethod
    def load(self, index: int, needed: int | None = None) -> tuple[Any, tuple[int, int] | None, Label]:
        """The image (PIL, array or tensor), its full (width, height) if it was reduced, and its label.

        Raises:
            UnreadableError: with the reason.
        """


class Folder(Source):
    """All files in a folder and its sub-folders, in the order of their names.

    Without ``labels``, the images of a folder that holds sub-folders and no image of its own are labeled by
    the name of their sub-folder. Files whose name begins with a dot are left out.
    """

    def __init__(self, path: str | Path, labels: Any = None) -> None:
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
            self._label = _labeller(labels, len(self._files), self.name, "file name")
        self._by_identity: dict[int, int] | None = None

    def __len__(self) -> int:
        return len(self._files)

    def identity(self, index: int) -> int:
        """A hash of the file's name."""
        digest = hashlib.blake2b(self._files[index].encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1

    def find(self, identity: int) -> int | None:
        """The index of the file with that hash."""
        if self._by_identity is None:
            self._by_identity = {self.identity(index): index for index in range(len(self))}
        return self._by_identity.get(identity)

    def name(self, index: int) -> str:
        """The file's name, relative to the folder."""
        return self._files[index]

    def load(self, index: int, needed: int | None = None) -> tuple[Any, tuple[int, int] | None, Label]:
        """Open the file; see :class:`Source`."""
        path = self.path / self._files[index]
        if path.exists() and not path.is_file():
            raise UnreadableError("it is no regular file")  # a pipe would be waited for without end
        image, size = open_image(path, needed)
        return image, size, as_label(self._label(index))


def _walk(root: Path) -> Iterator[str]:
    seen: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            below.clear()
            continue
        seen.add(real)
        below[:] = [name for name in below if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield Path(folder, name).relative_to(root).as_posix()


class Items(Source):
    """A list, array or torch Dataset: anything with ``len()`` and ``[index]``.

    An item is an image, ``(image, label)``, or a mapping with ``image`` (or ``pixel_values``) and ``label``
    (or ``labels``). An image is a PIL image, the name of a file, an array ``[H, W]`` or ``[H, W, C]``, or a
    tensor ``[C, H, W]``; whole numbers count 0 to 255, others 0 to 1.
    """

    def __init__(self, items: Any, labels: Any = None) -> None:
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
        # What somebody's own Dataset does in two threads at once, nobody knows.
        self.concurrent: bool = isinstance(items, (list, tuple, np.ndarray, Tensor))
        names = getattr(items, "classes", None) or getattr(items, "class_names", None)
        if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(n, str) for n in names):
            self.class_names: tuple[str, ...] = tuple(names)
        self._label = None if labels is None else _labeller(labels, count, int, "index")

    def __len__(self) -> int:
        return self._count

    def identity(self, index: int) -> int:
        """The index itself."""
        return index

    def find(self, identity: int) -> int | None:
        """The index itself."""
        return identity if 0 <= identity < self._count else None

    def name(self, index: int) -> str:
        """The file's name where it has one, else "image 17"."""
        item = self.items[index] if isinstance(self.items, (list, tuple)) else None
        image = item[0] if isinstance(item, tuple) and item else item
        if isinstance(image, (str, os.PathLike)):
            return os.fspath(image)
        return getattr(image, "filename", "") or f"image {index}"

    def load(self, index: int, needed: int | None = None) -> tuple[Any, tuple[int, int] | None, Label]:
        """Take the item apart; see :class:`Source`."""
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
    """A label as whole number, text or None.

    Raises:
        UnreadableError: if it is none of these (a one-hot vector, say).
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


def _labeller(labels: Any, count: int, argument: Callable[[int], Any], what: str) -> Callable[[int], Any]:
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


def read_source(dataset: Any, labels: Any = None) -> Source:
    """The dataset as a :class:`Source`.

    Args:
        dataset: a folder's name, a torch Dataset, a list of PIL images, arrays, tensors or file names, or an
            array ``[N, H, W, C]`` or tensor ``[N, C, H, W]``; see :class:`Folder` and :class:`Items`.
        labels: a list with one label (whole number or text) for each image, a mapping or a function of the file
            name (folder: relative to it, with ``/``) or of the index; left out, what the dataset itself says.

    Raises:
        DatasetError: if it is none of these, is empty, or labels do not fit.
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

"""Datasets with items: which part of an item is the image, and which its label."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from peek_widget import _pillow
from peek_widget.errors import DatasetError
from peek_widget.evidence.files import open_image
from peek_widget.evidence.labels import (
    DECIMALS,
    LabelFunction,
    Labels,
    class_names_of,
    has_decimals,
    is_floating,
    label_function,
    read_label,
)
from peek_widget.evidence.source import Item, NoImageError, Source, UnreadableError

__all__ = ["IndexedImages", "ItemReader", "Items"]

_SAMPLE = 16  # items that are looked at to see what their labels are

IMAGE_KEYS = (
    "image", "img", "pixel_values", "images", "picture", "photo", "input", "inputs", "x", "jpg", "jpeg", "png", "webp",
    "tif", "tiff", "npy", "ppm", "pgm", "pbm", "pnm", "bmp", "gif", "jpeg2000", "jp2", "image_path", "img_path",
    "file_name", "filename", "filepath", "file_path", "path", "file", "image_file", "bytes",
)  # fmt: skip
"""Names under which an item has its image, the likeliest first."""

LABEL_KEYS = (
    "label", "labels", "cls", "class", "class_label", "class_id", "class_name", "category", "category_id", "target",
    "y", "fine_label", "species",
)  # fmt: skip
"""Names under which an item has its label, the likeliest first."""


class IndexedImages(Protocol):
    """Anything with a length and items by index: a list, an array, a tensor, a torch ``Dataset``."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


class ItemReader:
    """Reads image and label of an item.

    An item is an image, ``(image, label)``, or a mapping with ``image`` (or ``pixel_values``, ``jpg``, ``path``, ...)
    and ``label`` (or ``labels``, ``cls``, ...). An image is a PIL image, the name of a file, the bytes of one, an array
    ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]``, or a tensor ``[C, H, W]`` or ``[H, W, C]``.

    Args:
        dataset: what the items are from; the columns of a Hugging Face dataset are found by their types.
        labels: gives the label of an image by its index; None for the items' own.
        sample: gives a few of the items.
    """

    def __init__(
        self,
        dataset: Any,
        labels: LabelFunction | None = None,
        sample: Callable[[], Iterable[Any]] = tuple,
    ) -> None:
        self._sample, self._has_decimals = sample, False
        self._looked = False
        self._image_key, self._label_key = _typed_columns(dataset)
        self._labels = labels
        self.class_names: tuple[str, ...] = class_names_of(dataset, self._label_key)
        # Hugging Face's test splits have -1 for "not known".
        self._unknown = -1 if self._label_key is not None else None

    def read(self, item: Any, index: int, needed: int | None = None) -> Item:
        """Read an item.

        Raises:
            UnreadableError: if it has no image that can be read.
        """
        image, raw = self._parts(item)
        if self._labels is not None:
            label, odd = self._labels(index)
        else:
            label, odd = (None, DECIMALS) if is_floating(raw) and self._measured() else read_label(raw)
            label = None if label == self._unknown else label
        image, size = _opened(image, needed)
        return Item(image, size, label, odd)

    def name(self, item: Any) -> str:
        """Return the name that an item gives its image: that of a file, or webdataset's key; "" for none."""
        if isinstance(item, Mapping) and "__key__" in item:
            return str(item["__key__"])
        try:
            image, _ = self._parts(item)
        except UnreadableError:
            return ""
        return os.fspath(image) if isinstance(image, (str, os.PathLike)) else getattr(image, "filename", "") or ""

    def mark(self, item: Any) -> str:
        """Return what tells an item's image from others: its file's name and size, or a hash of what is in memory."""
        image, _ = self._parts(item)
        if isinstance(image, Mapping) and set(image) <= {"bytes", "path"}:
            image = image.get("bytes") or image.get("path")
        file = image if isinstance(image, (str, os.PathLike)) else getattr(image, "filename", "")
        if file:
            size = os.path.getsize(file) if os.path.isfile(file) else ""
            return f"{os.path.basename(os.fspath(file))}:{size}"
        if isinstance(image, Tensor):
            image = image.detach().cpu().contiguous().view(torch.uint8).numpy()
        data = image if isinstance(image, (bytes, bytearray, memoryview)) else np.asarray(image).tobytes()
        return hashlib.blake2b(data, digest_size=8).hexdigest()

    def _measured(self) -> bool:
        """Return whether the items' floating-point labels are measurements; then even a whole one is not a class."""
        if not self._looked:
            self._looked = True
            self._has_decimals = has_decimals(label for _, label in self._parts_of(self._sample()))
        return self._has_decimals

    def _parts_of(self, items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for item in items:
            try:
                yield self._parts(item)
            except UnreadableError:
                continue

    def _parts(self, item: Any) -> tuple[Any, Any]:
        """Return an item's image, unconverted, and its label."""
        if not isinstance(item, (Mapping, tuple, list, str, bytes)) and not _is_image(item):
            # An object with the parts as attributes, such as a user's dataclass.
            named = getattr(item, "image", None)
            return (item, None) if named is None else (named, getattr(item, "label", None))
        if isinstance(item, tuple) and hasattr(item, "_fields"):
            item = item._asdict()
        if isinstance(item, Mapping):
            return self._of_mapping(item)
        if isinstance(item, (tuple, list)) and len(item) and not _is_numbers(item):
            place = next((place for place, part in enumerate(item) if _is_image(part)), None)
            # (image, label), (key, image, label); (label, image) is possible too
            if place is None:
                names = [place for place, part in enumerate(item) if isinstance(part, (str, os.PathLike))]
                endings = [place for place in names if os.path.splitext(os.fspath(item[place]))[1]]
                place = (endings or names or [0])[0]
            rest = item[place + 1 :] or item[:place]
            return item[place], rest[0] if len(rest) else None
        return item, None

    def _of_mapping(self, item: Mapping[Any, Any]) -> tuple[Any, Any]:
        if not self._image_key and set(item) <= {"bytes", "path"}:  # an undecoded Hugging Face image
            return item, None
        names = {str(key).lower(): key for key in item}
        key = self._image_key if self._image_key in item else None
        if key is None:
            known = [names[name] for name in IMAGE_KEYS if name in names and _may_be_image(item[names[name]])]
            # A file name beside the image names it.
            key = next((name for name in known if not isinstance(item[name], str)), known[0] if known else None)
        if key is None:
            # webdataset's names may be composed: left.jpg
            dotted = [name for name in item if "." in str(name) and _may_be_image(item[name])]
            key = next((name for name in dotted if name.lower().rsplit(".", 1)[-1] in IMAGE_KEYS), None)
        if key is None:
            key = next((name for name, part in item.items() if _is_image(part) and not isinstance(part, bytes)), None)
        if key is None:
            raise NoImageError(f"its item has no 'image' but {', '.join(map(str, list(item)[:5]))}")
        label_key = self._label_key if self._label_key in item else None
        if label_key is None:
            label_key = next((names[name] for name in LABEL_KEYS if name in names and names[name] != key), None)
        return item[key], None if label_key is None else item[label_key]


def _typed_columns(dataset: Any) -> tuple[Any, Any]:
    """Return the columns of a Hugging Face dataset that hold the image and the label; None where it does not say."""
    for _ in range(8):
        features = getattr(dataset, "features", None)
        if isinstance(features, Mapping):
            kinds = {name: type(feature).__name__ for name, feature in features.items()}
            images = [name for name, kind in kinds.items() if kind == "Image"]
            labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
            return _first(images, IMAGE_KEYS), _first(labels, LABEL_KEYS)
        if getattr(dataset, "dataset", None) is None:
            break
        dataset = dataset.dataset
    return None, None


def _first(names: Sequence[Any], known: Sequence[str]) -> Any:
    """Return the likeliest of several names."""
    ordered = sorted(names, key=lambda name: known.index(name.lower()) if name.lower() in known else len(known))
    return ordered[0] if ordered else None


def _may_be_image(value: Any) -> bool:
    return value is not None and not isinstance(value, (int, float))


def _is_image(value: Any) -> bool:
    """Return whether a value is an image, and not a label, a name or an index."""
    if isinstance(value, (Image.Image, bytes, bytearray, memoryview)):
        return True
    shape = getattr(value, "shape", None)
    return shape is not None and len(shape) >= 2 and not hasattr(value, "iloc")


def _is_named_tiff(image: Image.Image) -> bool:
    """Return whether an image is a TIFF that Pillow would map into memory, and then not turn upright."""
    mapped = image.format == "TIFF" and getattr(image, "tile", None) and os.path.isfile(getattr(image, "filename", ""))
    return bool(mapped) and _pillow.is_turned(image)


def _is_numbers(value: Any) -> bool:
    """Return whether a list is an image as lists of lists of numbers, as datasets without a format have it."""
    depth = 0
    while isinstance(value, list) and value:
        value, depth = value[0], depth + 1
    return depth >= 2 and isinstance(value, (int, float))


def _opened(image: Any, needed: int | None) -> tuple[Any, tuple[int, int] | None]:
    """Return an image as PIL image, Pages, array or tensor, and its full (width, height) where it may be reduced."""
    if isinstance(image, Mapping) and set(image) <= {"bytes", "path"}:
        image = image.get("bytes") or image.get("path")
    if isinstance(image, Image.Image):
        if _is_named_tiff(image):
            return open_image(image.filename, needed)
        try:
            image.load()
        except Exception as error:
            raise UnreadableError(f"{type(error).__name__}: {error}") from error
        return _pillow.upright(image), None
    if isinstance(image, (Tensor, np.ndarray)):
        return image, None
    if isinstance(image, (str, os.PathLike)):
        return open_image(os.fspath(image), needed)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return open_image(io.BytesIO(bytes(image)), needed)
    if hasattr(image, "read") and hasattr(image, "seek"):
        return open_image(image, needed)
    if _is_numbers(image):
        return np.asarray(image), None
    if hasattr(image, "__array__"):  # tensorflow, jax, xarray, zarr
        return np.asarray(image), None
    if isinstance(image, float) and image != image:
        raise NoImageError("its file name is NaN")
    raise NoImageError(f"it is not an image but of type {type(image).__name__}")


class Items(Source):
    """A list, array or torch Dataset: anything with ``len()`` and ``[index]``. See :class:`ItemReader` for its items.

    Args:
        items: the list, array or Dataset; something of pandas is read by position.
        labels: labels by index (or, of file names, by these); left out, those of the items.

    Raises:
        DatasetError: if it has no length, no items by index or no items, or the labels do not fit.
    """

    by_index: bool = True

    def __init__(self, items: IndexedImages, labels: Labels = None) -> None:
        count = _count(items)
        self.items: Any = items
        self._at: Callable[[int], Any] = items.iloc.__getitem__ if hasattr(items, "iloc") else items.__getitem__
        self._count = count
        self.described: str = f"a {type(items).__name__} of {count:,} images"
        # A Dataset of the user's own may not be safe to call from two threads at once.
        self.concurrent: bool = isinstance(items, (list, tuple, np.ndarray, Tensor))
        function = None
        if labels is not None:
            names: Sequence[Any] = range(count)
            what = "index"
            if isinstance(labels, Mapping) and any(isinstance(key, (str, os.PathLike)) for key in labels):
                names, what = [self.name(index) for index in range(count)], "name"
            function, remarks = label_function(labels, names, what)
            self.remarks: tuple[str, ...] = remarks
        self._reader = ItemReader(items, function, self._few)
        self.class_names: tuple[str, ...] = self._reader.class_names

    def _few(self) -> Iterator[Any]:
        for index in range(0, self._count, -(-self._count // _SAMPLE)):
            with contextlib.suppress(Exception):  # the item itself will report it
                yield self._at(index)

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
        item = self._at(index) if isinstance(self.items, (list, tuple)) or hasattr(self.items, "iloc") else None
        image = item[0] if isinstance(item, tuple) and item else item
        if isinstance(image, (str, os.PathLike)):
            return os.fspath(image)
        return getattr(image, "filename", "") or f"image {index}"

    def mark(self, index: int) -> str:
        """Return the file's name and size, or a hash of an image in memory.

        Not its folder, which may be another on each machine. Of a Dataset, which may give something else each time or
        take long, nothing.
        """
        if isinstance(self.items, (list, tuple, np.ndarray, Tensor)) or hasattr(self.items, "iloc"):
            with contextlib.suppress(Exception):  # it will be said when the image is loaded
                return self._reader.mark(self._at(index))
        return ""

    def load(self, index: int, needed: int | None = None) -> tuple[Any, tuple[int, int] | None, Any]:
        """Load the image and label of an item; see :class:`Source`."""
        item = self.item(index, needed)
        return item.image, item.size, item.label

    def item(self, index: int, needed: int | None = None) -> Item:
        """Load an item, with what is said about its label."""
        try:
            item = self._at(index)
        except Exception as error:
            raise UnreadableError(f"the dataset raised {type(error).__name__}: {error}") from error
        return self._reader.read(item, index, needed)


def _count(items: Any) -> int:
    """Return the number of items; DatasetError where there is none, or what is given is not a sequence of images."""
    kind = type(items).__name__
    how = "give a folder, a list, or a torch Dataset with __len__ and __getitem__"
    try:
        count = len(items)
    except Exception as error:
        raise DatasetError(
            f"The dataset is a {kind} that doesn't say how many images it has ({error}): {how}."
        ) from error
    if not hasattr(items, "__getitem__"):
        raise DatasetError(f"The dataset is a {kind}, which has no items by index: {how}.")
    if count == 0:
        raise DatasetError(f"The dataset ({kind}) is empty: give one with at least one image.")
    if isinstance(items, (np.ndarray, Tensor)):
        _check_array(items)
    return count


def _check_array(items: np.ndarray[Any, Any] | Tensor) -> None:
    """Refuse a single image as an array, whose rows or channels would be taken for images."""
    shape = tuple(items.shape)
    tensor = isinstance(items, Tensor)
    wanted = "[N, C, H, W]" if tensor else "[N, H, W, C]"
    strings = isinstance(items, np.ndarray) and items.dtype.kind in "OUS"
    if strings or len(shape) == 4:
        return
    name = f"The dataset is a {type(items).__name__} of shape {shape}"
    if len(shape) != 3:
        raise DatasetError(f"{name}: give {wanted}, or [N, H, W] for gray images.")
    if (tensor and shape[0] in (1, 3, 4)) or (not tensor and shape[2] in (1, 3, 4)):
        raise DatasetError(
            f"{name}, which may be one image: give dataset=[image] for one image, and {wanted} for many (of {shape[0]} "
            f"gray ones, {'images[:, None]' if tensor else 'images[..., None]'})."
        )

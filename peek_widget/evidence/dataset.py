"""Datasets: a folder, a torch Dataset, a table, a stream, a list of pictures, arrays or file names."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, ValuesView
from typing import Any

import torch
from PIL import Image

from peek_widget.errors import DatasetError
from peek_widget.evidence.addresses import AddressFolder, is_address
from peek_widget.evidence.files import MAX_PIXELS, Pages, open_image
from peek_widget.evidence.folder import Folder
from peek_widget.evidence.items import IMAGE_KEYS, LABEL_KEYS, IndexedImages, Items
from peek_widget.evidence.labels import Label, Labels, read_label
from peek_widget.evidence.source import EndOfStreamError, Item, NoImageError, Source, UnreadableError
from peek_widget.evidence.stream import Stream, is_stream
from peek_widget.evidence.tables import columns_of, read_table

__all__ = [
    "MAX_PIXELS",
    "AddressFolder",
    "DatasetLike",
    "EndOfStreamError",
    "Folder",
    "IndexedImages",
    "Item",
    "Items",
    "Label",
    "Labels",
    "NoImageError",
    "Pages",
    "Source",
    "Stream",
    "UnreadableError",
    "open_image",
    "read_label",
    "read_source",
]

DatasetLike = str | os.PathLike[str] | IndexedImages | Iterable[Any] | Source
"""What is accepted as a dataset, see :func:`read_source`."""


def read_source(dataset: DatasetLike, labels: Labels = None) -> Source:
    """Return the dataset as a :class:`Source`.

    Args:
        dataset: path of a folder, or its address (``s3://``, ``gs://``, ``hf://``: any that fsspec knows); a tar file,
            or several (``shard-{000..015}.tar``), here or at an address; a torch or Hugging Face Dataset; a frame of
            pandas or polars with a column of file names; a stream (an ``IterableDataset``, a webdataset, iterator); a
            list of PIL images, arrays, tensors or file names; an array ``[N, H, W, C]`` or a tensor ``[N, C, H, W]``.
            See :class:`Folder`, :class:`~peek_widget.evidence.addresses.AddressFolder`, :class:`Items`,
            :func:`~peek_widget.evidence.tables.read_table` and :class:`Stream`.
        labels: one label (whole number or text) for each image, in order; or a mapping or a function of the file
            name (relative to the folder, with ``/``) or of the index; or the name of a frame's column. Left out, the
            dataset's own.

    Raises:
        DatasetError: if it is none of these, is empty, or the labels do not fit.
    """
    if isinstance(dataset, Source):
        if labels is not None:
            raise DatasetError("labels= belongs where the dataset is read: read_source(images, labels).")
        return dataset
    if isinstance(dataset, (str, os.PathLike)):
        if not os.fspath(dataset):
            raise DatasetError("The dataset is an empty name: give a folder of images, e.g. dataset='photos'.")
        name = os.fspath(dataset)
        return AddressFolder(name, labels) if is_address(name) else Folder(name, labels)
    if inspect.isclass(dataset):
        raise DatasetError(
            f"The dataset is the class {dataset.__name__} itself: give an instance, {dataset.__name__}(...)."
        )
    if inspect.isroutine(dataset):
        name = getattr(dataset, "__name__", "function")
        named = "given" if name == "<lambda>" else name
        raise DatasetError(f"The dataset is a function, {name}: give what it returns, dataset={named}().")
    kind = type(dataset).__name__
    if isinstance(dataset, Mapping):
        raise DatasetError(_mapping(dataset, kind))
    if isinstance(dataset, Image.Image):
        raise DatasetError(
            f"The dataset is a {kind}: give a folder, a torch Dataset or a list of images, e.g. dataset=[image]."
        )
    if isinstance(dataset, torch.utils.data.DataLoader) or hasattr(dataset, "collate_fn"):
        raise DatasetError(
            f"The dataset is a {kind}, which gives batches: give the images themselves, a folder, a list or a torch "
            "Dataset (of a DataLoader, its .dataset)."
        )
    if isinstance(dataset, (list, tuple)) and len(dataset) == 2 and _length(dataset[0]) is not None:
        images, given = dataset
        array = not isinstance(images, (list, tuple)) and len(images.shape) == 4
        if array and _flat(given) and _length(given) == len(images) != 2:
            raise DatasetError(
                f"The dataset is a {kind} of {len(images):,} images and as many labels: give dataset=images, "
                "labels=labels."
            )
    if isinstance(dataset, ValuesView):  # of a dict
        dataset = list(dataset)
    columns = columns_of(dataset)
    if columns is not None:
        return read_table(dataset, columns, labels)
    if is_stream(dataset):
        return Stream(dataset, labels)  # type: ignore[arg-type]
    return Items(dataset, labels)  # type: ignore[arg-type]


def _mapping(dataset: Mapping[Any, Any], kind: str) -> str:
    keys = ", ".join(repr(key) for key in list(dataset)[:4])
    parts = [key for key, part in dataset.items() if hasattr(part, "__len__") and hasattr(part, "__getitem__")]
    if parts and all(hasattr(dataset[key], "features") for key in parts):  # Hugging Face's splits
        return f"The dataset is a {kind} of {keys}: give one of them, dataset=datasets[{parts[0]!r}]."
    lists = [key for key, part in dataset.items() if _length(part) is not None]
    if lists and len(lists) == len(dataset):
        lengths = {_length(part) for part in dataset.values()}
        images, labels = (
            [key for key in lists if {str(key).lower(), str(key).lower().removesuffix("s")} & set(known)]
            for known in (IMAGE_KEYS, LABEL_KEYS)
        )
        if len(images) == 1 and len(lengths) == 1 and len(labels) == len(lists) - 1 <= 1:
            more = f", labels=given[{labels[0]!r}]" if labels else ""
            return f"The dataset is a {kind} of columns ({keys}): give dataset=given[{images[0]!r}]{more}."
        return (
            f"The dataset is a {kind} of lists ({keys}): give the images in one, dataset=[image for images in "
            "given.values() for image in images], labels=[name for name, images in given.items() for image in images]."
        )
    return (
        f"The dataset is a {kind} ({keys}): give a folder, a torch Dataset or a list of images, e.g. "
        "dataset=list(images.values()), with their labels as labels=."
    )


def _flat(given: Any) -> bool:
    """Return whether something is a row of numbers, as labels are, and not images."""
    return getattr(given, "ndim", 1) == 1


def _length(part: Any) -> int | None:
    """Return the number of images of what may be a list or array of them; None for one image, or a file's name."""
    if isinstance(part, (list, tuple)):
        return len(part)
    shape = getattr(part, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) in (1, 4) else None

"""Labels of images: whole numbers and texts, and how other values are treated."""

from __future__ import annotations

import enum
import functools
import itertools
import math
import numbers
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from torch import Tensor

from peek_widget.errors import DatasetError

__all__ = [
    "DECIMALS",
    "Label",
    "LabelFunction",
    "Labels",
    "class_names_of",
    "has_decimals",
    "is_floating",
    "label_function",
    "read_label",
]

Label = int | str | None
"""Label of an image: the number of a class, a text, or None."""

Labels = Sequence[Label] | Mapping[Any, Label] | Callable[[Any], Label] | Iterable[Label] | str | None
"""Labels of a dataset: one for each image in order; or a mapping or function of the file name (of the index, for a
list); or the name of a table's column; or None for the dataset's own."""

LabelFunction = Callable[[int], tuple[Label, str]]
"""A function from an image's index to its label and a phrase, as :func:`read_label` returns them."""

DECIMALS = "a number with decimals"
"""What :func:`read_label` says of a measurement, the target of a regression."""

_HUGE = 2**63
_HOW = "give a list with one label for each image, a mapping or function from the {what}, or leave labels out"
_LOOKED_AT = 1000  # labels, to see whether they are measurements
_NAMED = 3  # keys named in an error
_LONGEST = 120  # characters of a class's name: the longest of ImageNet has 121 with its synonyms, most below 60
_SENTENCE = 4  # words from which on a text that begins with an article, or ends with a full stop, is a caption
_WORDS = 9  # words without a comma from which on a text is one


def read_label(value: Any) -> tuple[Label, str]:
    """Return a label as a whole number, a text or None; and, where it is none of these, what it is.

    An image whose label is not a class (boxes of a detection dataset, a mask, a one-hot vector, a number with decimals,
    a caption) is kept, with the label None.

    Returns:
        the label; and "" or a phrase such as "a dict", for a count of these.
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas' missing values
        return None, ""
    if isinstance(value, str):
        return (None, "a caption") if _is_caption(value) else (str(value), "")
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace").strip()  # as webdataset has it in a .cls file
        return read_label(int(text) if text.isascii() and text.isdigit() else text)
    if isinstance(value, numbers.Integral):
        return (int(value), "") if abs(int(value)) < _HUGE else (None, "a huge number")
    if isinstance(value, enum.Enum):
        return value.name, ""
    if isinstance(value, float):
        if math.isnan(value):
            return None, ""
        return read_label(int(value)) if value.is_integer() else (None, DECIMALS)
    single = _single(value)
    return read_label(single) if single is not None else (None, _a(type(value).__name__))


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"


def _single(value: Any) -> Any:
    """Return the single element of an array, tensor or scalar; None for anything else."""
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        found = value.item() if math.prod(value.shape) == 1 else None
        return found if isinstance(found, (str, bytes, int, float)) else None
    if hasattr(value, "as_py"):  # pyarrow
        return value.as_py()
    if hasattr(value, "__array__") and getattr(value, "shape", None) == ():  # jax, tensorflow
        return np.asarray(value).item()
    return None


def _is_caption(text: str) -> bool:
    """Return whether a text is a sentence about an image, and not the name of a class."""
    words = text.split()
    if "\n" in text.strip() or len(text) > _LONGEST or (len(words) >= _WORDS and "," not in text):
        return True
    ends = text.rstrip()[-1:] in (".", "!", "?")
    return len(words) >= _SENTENCE and (ends or words[0].lower() in ("a", "an", "the"))


def label_function(labels: Any, names: Sequence[Any], what: str) -> tuple[LabelFunction, tuple[str, ...]]:
    """Return a function from an image's index to its label, of what the user gave.

    Args:
        labels: a sequence, mapping or function.
        names: of each image, the key of a mapping and the argument of a function: a file name, or the index.
        what: what these are, for errors.

    Returns:
        the function, and remarks: sentences on images without a label.

    Raises:
        DatasetError: if the labels do not fit the images.
    """
    if isinstance(labels, Mapping):
        return _from_mapping(labels, names, what)
    # partial functions of the module, and no closures: plain pickle sends them to other processes
    if callable(labels):
        return functools.partial(_called, labels, names), ()
    found = _in_order(labels, names, what)
    return functools.partial(_looked_up, found, None, _measured(found)), ()


def _called(labels: Callable[[Any], Any], names: Sequence[Any], index: int) -> tuple[Label, str]:
    try:
        return read_label(labels(names[index]))
    except Exception as error:
        return None, f"an error, as labels raised {type(error).__name__}: {error}"


def _looked_up(labels: Any, names: Sequence[Any] | None, measured: bool, index: int) -> tuple[Label, str]:
    """Look up a label by the image's name, or by its number; among measurements a whole one is not a class."""
    label = labels[index] if names is None else labels.get(names[index])
    return (None, DECIMALS) if measured and is_floating(label) else read_label(label)


def _measured(sample: Iterable[Any]) -> bool:
    return has_decimals(itertools.islice(sample, _LOOKED_AT))


def has_decimals(labels: Iterable[Any]) -> bool:
    """Return whether some of these labels are measurements, the targets of a regression."""
    return any(read_label(label)[1] == DECIMALS for label in labels)


def is_floating(label: Any) -> bool:
    """Return whether a label is one floating-point number."""
    label = _single(label) if not isinstance(label, float) else label
    return isinstance(label, float)


def _from_mapping(labels: Mapping[Any, Any], names: Sequence[Any], what: str) -> tuple[LabelFunction, tuple[str, ...]]:
    if any(isinstance(key, os.PathLike) for key in labels):
        labels = {os.fspath(key) if isinstance(key, os.PathLike) else key: label for key, label in labels.items()}
    without = [name for name in names if name not in labels]
    if without and not hasattr(labels, "__missing__"):
        known = set(names)
        unused = [key for key in labels if key not in known]
        if unused:
            raise DatasetError(
                f"labels has {_some(unused, 'key')} that match{'es' * (len(unused) == 1)} no image, and "
                f"{_some(without, 'image')} {'has' if len(without) == 1 else 'have'} no label in it. Its keys are each "
                f"image's {what}, such as {names[0]!r}: give keys of that kind, or a function from the {what}, such as "
                "labels=mapping.get, which gives None where there is none."
            )
    remarks = ()
    if without:
        remarks = (f"{len(without):,} of {len(names):,} images have no label in labels, such as {without[0]!r}.",)
    return functools.partial(_looked_up, labels, names, _measured(labels.values())), remarks


def _some(values: Sequence[Any], noun: str) -> str:
    shown = ", ".join(repr(value) for value in values[:_NAMED])
    return f"{len(values):,} {noun}{'s' * (len(values) != 1)} ({shown}{', ...' if len(values) > _NAMED else ''})"


def _in_order(labels: Any, names: Sequence[Any], what: str) -> Sequence[Any]:
    """Return labels by position, of anything that has an order."""
    kind = type(labels).__name__
    if hasattr(labels, "iloc"):  # pandas: [i] would take the row that is *called* i
        labels = _of_pandas(labels, names, what)
    elif isinstance(labels, (str, bytes, AbstractSet)) or not hasattr(labels, "__iter__"):
        raise DatasetError(f"labels is a {kind}: {_HOW.format(what=what)}.")
    count = len(names)
    if not hasattr(labels, "__len__") or not hasattr(labels, "__getitem__"):
        labels = list(itertools.islice(labels, count + 1))  # an iterator may be endless
        more = "more than " * (len(labels) > count)
    else:
        more = ""
    if len(labels) != count:
        raise DatasetError(
            f"labels has {more}{min(len(labels), count) if more else len(labels):,} entries for {count:,} images: "
            f"{_HOW.format(what=what)} (for a folder, in the order of the sorted names of its images)."
        )
    return labels


def _of_pandas(labels: Any, names: Sequence[Any], what: str) -> list[Any]:
    if getattr(labels, "ndim", 1) != 1:
        if labels.shape[1] != 1:
            columns = ", ".join(map(str, list(labels.columns)[:6]))
            raise DatasetError(
                f"labels is a {type(labels).__name__} with the columns {columns}: give one of them, e.g. "
                f"labels=frame[{str(labels.columns[0])!r}]."
            )
        labels = labels.iloc[:, 0]
    index = list(labels.index)
    if names and isinstance(names[0], str) and index != list(names) and set(index) & set(names):
        raise DatasetError(
            f"labels is a {type(labels).__name__} whose index holds {what}s, in another order than the images (its "
            f"first is {index[0]!r}, the first image is {names[0]!r}): give labels=series.to_dict() to match them by "
            f"{what}, or labels=list(series) for the order in which they stand."
        )
    return list(labels)


def class_names_of(dataset: Any, label_key: str | None = None) -> tuple[str, ...]:
    """Return the class names of a dataset, or of the dataset that it wraps.

    Looked for are ``features`` with a ``ClassLabel`` (Hugging Face), ``classes``, ``class_names``, ``categories`` and
    ``class_to_idx`` (torchvision); of a ``Subset`` in its ``dataset``, of a ``ConcatDataset`` in all of its parts.
    """
    for _ in range(8):
        features = getattr(dataset, "features", None)
        if isinstance(features, Mapping):
            named = features.get(label_key) if label_key else None
            names = _names(getattr(named, "names", None))
            if names:
                return names
        for attribute in ("classes", "class_names", "categories", "class_to_idx"):
            names = _names(getattr(dataset, attribute, None))
            if names:
                return names
        parts = getattr(dataset, "datasets", None)
        if isinstance(parts, (list, tuple)) and parts:
            found = {class_names_of(part, label_key) for part in parts}
            return found.pop() if len(found) == 1 else ()
        if getattr(dataset, "dataset", None) is None:
            break
        dataset = dataset.dataset
    return ()


def _names(given: Any) -> tuple[str, ...]:
    """Return the names of classes of a list of names (or of synonyms), a dict by number, or a dict of numbers."""
    if isinstance(given, Mapping):
        if given and all(isinstance(value, numbers.Integral) for value in given.values()):
            given = {number: name for name, number in given.items()}
        if set(given) != set(range(len(given))):
            return ()
        given = [given[number] for number in range(len(given))]
    elif hasattr(given, "tolist"):
        given = given.tolist()
    if not isinstance(given, Sequence) or isinstance(given, (str, bytes)):
        return ()
    names = tuple(
        ", ".join(map(str, name)) if isinstance(name, (tuple, list)) else str(name) for name in given
    )  # fmt: skip
    return names if all(isinstance(name, (str, int, tuple, list, np.integer)) for name in given) else ()

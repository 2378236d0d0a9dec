"""Tables of images: frames of pandas and polars, and Arrow tables, with a column of file names or of images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from peek_widget.errors import DatasetError
from peek_widget.evidence.files import is_image
from peek_widget.evidence.items import IMAGE_KEYS, LABEL_KEYS, Items
from peek_widget.evidence.labels import Labels, class_names_of, read_label

__all__ = ["columns_of", "read_table"]


def columns_of(dataset: Any) -> tuple[str, ...] | None:
    """Return the names of a table's columns; None for what is not a table."""
    if hasattr(dataset, "features"):  # Hugging Face datasets have columns too, with known roles
        return None
    if hasattr(dataset, "iloc") or hasattr(dataset, "get_columns"):  # pandas, polars
        names = getattr(dataset, "columns", None)
    elif hasattr(dataset, "column_names") and hasattr(dataset, "schema"):  # Arrow
        names = dataset.column_names
    else:
        return None
    return None if names is None else tuple(names)


def read_table(table: Any, names: Sequence[Any], labels: Labels = None) -> Items:
    """Return the images that a table lists, in the order of its rows.

    Args:
        table: a frame of pandas or polars, or an Arrow table.
        names: names of its columns.
        labels: name of the column that holds the labels; or labels as for a list. Left out, the column that is called
            ``label`` (``labels``, ``class``, ``category``, ``target``, ...), if there is one.

    Raises:
        DatasetError: if it is empty, no column or several hold images, or there is no such column of labels.
    """
    kind = type(table).__name__
    rows = {name: _values(table, name) for name in names}
    count = len(next(iter(rows.values()), ()))
    if not count:
        raise DatasetError(f"The dataset ({kind}) is empty: give one with at least one image.")
    column = _image_column(kind, rows)
    label_column = None
    if isinstance(labels, str):
        if labels not in rows:
            raise DatasetError(f"labels={labels!r} is not a column of the {kind}: it has {_listed(names)}.")
        label_column, labels = labels, rows[labels]
    elif labels is None:
        known = {str(name).lower(): name for name in rows if name != column}
        label_column = next((known[key] for key in LABEL_KEYS if key in known), None)
        labels = None if label_column is None else rows[label_column]
    if isinstance(labels, Mapping) and isinstance(rows[column][0], str):
        unnamed = [path for path in rows[column] if not isinstance(path, str)]
        labels = labels if not unnamed else [labels.get(path) for path in rows[column]]
    source = Items(rows[column], labels)
    source.described = f"a {kind} of {count:,} images (its column {str(column)!r})"
    if label_column is not None:
        dtype = getattr(getattr(table, "dtypes", {}), "get", lambda _: None)(label_column)
        categories = getattr(dtype, "categories", None)
        whole = all(isinstance(read_label(value)[0], (int, type(None))) for value in rows[label_column][:100])
        source.class_names = class_names_of(_Named(categories)) if categories is not None and whole else ()
        source.described += f", labels from {str(label_column)!r}"
    return source


class _Named:
    def __init__(self, names: Any) -> None:
        self.classes = names


def _values(table: Any, name: Any) -> list[Any]:
    column = table[name]
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, method):
            return list(getattr(column, method)())
    return list(column)


def _image_column(kind: str, rows: Mapping[Any, list[Any]]) -> Any:
    """Return the column that holds images or names of image files."""
    firsts = {name: next((value for value in values if _is_given(value)), None) for name, values in rows.items()}
    images = [name for name, value in firsts.items() if _holds_image(value)]
    known = {str(name).lower(): name for name in images}
    named = [known[key] for key in IMAGE_KEYS if key in known]
    if not images:
        # A file name without an ending, in a column named like images.
        plain = {str(name).lower(): name for name, value in firsts.items() if isinstance(value, (str, os.PathLike))}
        named = [plain[key] for key in IMAGE_KEYS if key in plain]
    if named or len(images) == 1:
        return (named or images)[0]
    example = next(iter(rows), "path")
    if images:
        raise DatasetError(
            f"The {kind} has several columns that may be the images: {_listed(images)}. Give one of them, "
            f"dataset=frame[{str(images[0])!r}], and the labels as labels=frame[...]."
        )
    raise DatasetError(
        f"No column of the {kind} holds images or names of image files: it has {_listed(list(rows))}. Give a list of "
        f"names, e.g. dataset=[f'photos/{{one}}.jpg' for one in frame[{str(example)!r}]]."
    )


def _is_given(value: Any) -> bool:
    return value is not None and value == value if not hasattr(value, "shape") else True


def _holds_image(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and set(value) <= {"bytes", "path"}
    if isinstance(value, (str, os.PathLike)):
        return is_image(os.fspath(value))
    return isinstance(value, (Image.Image, bytes)) or len(getattr(value, "shape", ())) >= 2


def _listed(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:8])
    return shown + (", ..." if len(names) > 8 else "")

"""The table of a sheet's units, and its Parquet file in the store: derived from the pictures, rewritten if in doubt."""

from __future__ import annotations

import importlib
import io
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from peek_widget.errors import PeekError
from peek_widget.sheet.store import Store
from peek_widget.sheet.tags import Tags
from peek_widget.sheet.unit import SheetUnit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame", "rows", "save"]

log: logging.Logger = logging.getLogger("peek_widget")


def rows(layer: str, units: Iterable[SheetUnit], recipe: str, tags: Tags) -> list[dict[str, Any]]:
    """Return one row for each unit."""
    return [
        {
            "unit": one.unit,
            "activation": one.activation,
            "gauge": one.gauge,
            "seed": one.seed,
            "recipe": recipe,
            "tags": list(tags.of(layer, one.unit)),
        }
        for one in units
    ]


def frame(layer: str, units: Iterable[SheetUnit], recipe: str, tags: Tags) -> pd.DataFrame:
    """Return the rows as a DataFrame.

    Raises:
        PeekError: if pandas is not installed, with the command that installs it.
    """
    return _frame(rows(layer, units, recipe, tags))


def save(store: Store, name: str, layer: str, units: Iterable[SheetUnit], recipe: str, tags: Tags) -> None:
    """Write the table to the store, unless the stored one is equal."""
    ours = rows(layer, units, recipe, tags)
    try:
        table = _frame(ours)
        importlib.import_module("pyarrow")
    except (PeekError, ImportError):
        log.info("Without pandas and pyarrow the store has no index: pip install 'peek_widget[sheet]'.")
        return
    there = store.read(name)
    if (there is None and not ours) or (there is not None and _same(there, ours)):
        return
    buffer = io.BytesIO()
    table.to_parquet(buffer, engine="pyarrow", index=False)
    store.write(name, buffer.getvalue())


def _frame(found: list[dict[str, Any]]) -> pd.DataFrame:
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise PeekError(
            "A table needs pandas, which is not installed: pip install 'peek_widget[sheet]' (pandas, and pyarrow for "
            "the store's index)."
        ) from error
    table = pandas.DataFrame(found, columns=["unit", "activation", "gauge", "seed", "recipe", "tags"])
    return table.astype({"unit": "int64", "activation": "float64", "gauge": "float64", "seed": "int64"})


def _same(there: bytes, ours: list[dict[str, Any]]) -> bool:
    """Return whether a Parquet file has these rows; False for one that is corrupt, or has other columns."""
    import pyarrow
    from pyarrow import parquet

    # In Arrow's own memory: a thread of Arrow's reads ahead and may release the file only as the interpreter ends, when
    # Python's memory can no longer be released (apache/arrow#34314: "Aborted")
    file = pyarrow.BufferOutputStream()
    file.write(there)
    try:
        return parquet.read_table(pyarrow.BufferReader(file.getvalue())).to_pylist() == ours
    except (pyarrow.ArrowException, OSError, ValueError):
        return False

"""Libraries that only the survey and the table of score_pictures need."""

from __future__ import annotations

import importlib
from typing import Any

from peek_widget.errors import PeekError

__all__ = ["optional_import"]


def optional_import(name: str) -> Any:
    """Import a module by name; PeekError with the command that installs it if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PeekError(
            f"This needs {name.split('.')[0]}, which is not installed: pip install 'peek_widget[survey]' (scipy for "
            "the tests, pandas for the tables, matplotlib for the chart, pypdf for a poster)."
        ) from error

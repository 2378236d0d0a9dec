"""For all tests: one thread, no test that fails because the machine is busy, and FLAKY at the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from .flaky import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

LONG = (
    "test_notebooks.py",
    "zoo/test_reference.py",
    "zoo/test_network.py",
    "sheet/test_store.py",
    "test_batch.py",
    "browser/test_for_everyone.py",
    "browser/test_life.py",
    "browser/test_dashboard.py",
    "browser/test_compare_and_keep.py",
    "browser/test_sheet.py",
)
"""Files that take minutes, the longest first; begun last, they would keep one process waiting for the other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the long files first."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        name = item.path.relative_to(here).as_posix() if here in item.path.parents else ""
        return LONG.index(name) if name in LONG else len(LONG)

    items.sort(key=rank)


# Small networks gain nothing from more, and beside a busy process two threads are ten times slower than one.
torch.set_num_threads(1)

settings.register_profile("peek", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples every time where nobody is there to look at a new one.
settings.register_profile("ci", settings.get_profile("peek"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "peek")

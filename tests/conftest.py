"""For all tests: one thread, no test that fails because the machine is busy, and FLAKY at the end."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from .flaky import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

LONG = (
    "live/test_explorer.py",
    "live/test_example_service.py",
    "live/test_sheet_service.py",
    "zoo/test_images.py",
    "zoo/test_network.py",
    "zoo/test_reference.py",
    "ascent/test_engine.py",
    "test_notebooks.py",
    "test_real_networks.py",
    "network/test_families.py",
    "sheet/test_store.py",
    "sheet/test_runners.py",
)
"""Files that take long, fast tests first; begun last, they would keep one process waiting for the other."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Don't import the tests that the marks leave out: with those in a browser, or that are slow, it takes 15 s."""
    marks, here = config.option.markexpr, Path(__file__).parent
    if here not in collection_path.parents or " or " in marks:
        return None
    wanted = marks.split(" and ")
    in_browser = collection_path.relative_to(here).parts[0] == "browser"
    if ("not browser" if in_browser else "browser") in wanted:
        return True
    slow = "not slow" in wanted and collection_path.suffix == ".py" and _slow_as_a_whole(collection_path)
    return True if slow else None


def _slow_as_a_whole(path: Path) -> bool:
    return re.search(r"^pytestmark = \[?pytest\.mark\.slow\b", path.read_text(), re.MULTILINE) is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the long files first."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        name = item.path.relative_to(here).as_posix() if here in item.path.parents else ""
        return LONG.index(name) if name in LONG else len(LONG)

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Leave what there is before the first test out of garbage collections: a tenth of the processor's time."""
    gc.collect()
    gc.freeze()


# Small networks gain nothing from more, and beside a busy process two threads are ten times slower than one.
torch.set_num_threads(1)

settings.register_profile("peek", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples every time where nobody is there to look at a new one.
settings.register_profile("ci", settings.get_profile("peek"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "peek")

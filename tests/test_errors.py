"""The errors of the package: one base, and one kind of store error."""

from __future__ import annotations

import inspect

import pytest

from peek_widget import errors, load_evidence
from peek_widget.errors import EvidenceStoreError, FileError, PeekError, PeekWarning, SheetStoreError, StoreError, warn
from peek_widget.sheet.store import Store


def test_every_error_is_a_peek_error_and_every_warning_a_peek_warning() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    assert len(kinds) > 10
    assert all(issubclass(kind, PeekError if kind.__name__.endswith("Error") else PeekWarning) for kind in kinds)
    assert sorted([*(kind.__name__ for kind in kinds), "warn"]) == sorted(errors.__all__)


def test_a_warning_is_shown_at_the_line_of_the_caller() -> None:
    with pytest.warns(PeekWarning, match="a sentence") as found:
        warn("a sentence", PeekWarning)
    assert found[0].filename == __file__


def test_one_except_catches_what_any_store_raises(tmp_path) -> None:
    assert issubclass(StoreError, FileError)
    file = tmp_path / "a-file"
    file.write_text("no folder")
    with pytest.raises(StoreError) as of_a_sheet:
        Store(file)
    assert type(of_a_sheet.value) is SheetStoreError
    with pytest.raises(StoreError) as of_evidence:
        load_evidence(tmp_path / "none.safetensors")
    assert type(of_evidence.value) is EvidenceStoreError

"""The errors of the package: one base, and one kind of store error."""

from __future__ import annotations

import inspect

import pytest

from peek_widget import errors, load_evidence
from peek_widget.errors import EvidenceStoreError, FileError, PeekError, SheetStoreError, StoreError
from peek_widget.sheet.store import Store


def test_every_error_is_a_peek_error() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    assert len(kinds) > 10
    assert all(issubclass(kind, PeekError) for kind in kinds)
    assert sorted(kind.__name__ for kind in kinds) == sorted(errors.__all__)


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

"""Where a sheet is kept: a folder at any fsspec address, whole at every moment.

::

    sheet.json            what the sheet is of: model, layer, recipe, seed, size
    unit-00017.png        a unit: the picture, its recipe, its activation. These are the truth
    index.parquet         a table of them, derived; made anew when it does not say what they say
    tags.json             the user's words
    unit-00017.png.foreign    what somebody had put in a unit's place
    in-progress/*.zip     a finished batch on its way to single PNGs
    in-progress/*.claim   who draws which batch now

Nothing is locked, and nothing is renamed but on a local disk, where a file is written beside and put in its place in
one move; elsewhere an object is written whole or not at all. A batch is first written as one file and then unpacked,
so that a process may be killed between any two instructions: no picture is lost that was drawn, none is drawn twice.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from peek_widget._schema import read_json
from peek_widget.ascent.provenance import whole_png
from peek_widget.errors import FileError, SheetStoreError
from peek_widget.sheet.unit import KEYWORD, SheetUnit

__all__ = ["HEADER", "INDEX", "TAGS", "Store", "name_of"]

log: logging.Logger = logging.getLogger("peek_widget")

HEADER, INDEX, TAGS = "sheet.json", "index.parquet", "tags.json"
WORK = "in-progress"
FORMAT = 1

_PART = ".part"
_PART_AGE = 600.0
"""Seconds after which a file that was being written when its process was killed is cleared away."""

_AT_ONCE = 64
_LONGEST_HEADER = 1_000_000
_UNIT = re.compile(r"unit-(\d{5,9})\.png")


def name_of(unit: int) -> str:
    """The name of a unit's file."""
    return f"unit-{unit:05d}.png"


class Store:
    """A folder at an fsspec address (``"sheets/conv5"``, ``"s3://bucket/conv5"``, ``"memory://conv5"``).

    Args:
        address: a path or an fsspec address; the folder is made where there is none.

    Raises:
        SheetStoreError: if the address means nothing, or can't be reached.
    """

    def __init__(self, address: str | Path) -> None:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.address: str = str(address)
        if not self.address.strip():
            raise SheetStoreError("store='' names no place: give the path of a folder for the sheet, '.' for this one.")
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError, OSError) as error:
            raise SheetStoreError(
                f"store={self.address!r} can't be opened ({error}): give the path of a folder, or an address that "
                "fsspec knows (https://filesystem-spec.readthedocs.io)."
            ) from error
        self._root = self._root.rstrip("/")
        self._local = isinstance(self._fs, LocalFileSystem)
        if self._local and Path(self._root).exists() and not Path(self._root).is_dir():
            raise SheetStoreError(f"store={self.address!r} is a file: a sheet is kept in a folder of its own.")

    def __repr__(self) -> str:
        return f"Store({self.address!r})"

    # Files

    def names(self, folder: str = "") -> set[str]:
        """The names of the files in the folder, as they are now."""
        place = self._path(folder) if folder else self._root
        try:
            if self._local:
                return {entry.name for entry in os.scandir(place)}
            self._fs.invalidate_cache()
            return {str(path).rstrip("/").rpartition("/")[2] for path in self._fs.ls(place, detail=False)}
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except Exception as error:
            raise SheetStoreError(f"The store {self.address!r} can't be read ({_words(error)}).") from error

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None if there is none."""
        try:
            return self._fs.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise SheetStoreError(f"{name} in the store {self.address!r} can't be read ({_words(error)}).") from error

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
        """The bytes of several files, some at a time; None for one that is gone."""
        ordered = list(names)
        for start in range(0, len(ordered), _AT_ONCE):
            part = ordered[start : start + _AT_ONCE]
            if self._local:
                yield from ((name, self.read(name)) for name in part)
                continue
            # An object store answers many questions at once, and each slowly.
            found = self._fs.cat([self._path(name) for name in part], on_error="return")
            for name in part:
                value = found.get(self._path(name)) if isinstance(found, dict) else found
                yield name, value if isinstance(value, bytes) else self.read(name)

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            SheetStoreError: if it can't be written, with what to do.
        """
        try:
            if self._local:
                self._put(name, data, os.replace)
            else:
                self._fs.pipe_file(self._path(name), data)
        except Exception as error:
            raise SheetStoreError(
                f"{name} can't be written to the store {self.address!r} ({_words(error)}): make room there or allow "
                "writing, or give another store."
            ) from error

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that is not there yet; whether it was this call that wrote it.

        Exact on a local disk and wherever the address can say "only if it is new"; elsewhere two at the same instant
        may both believe it.
        """
        try:
            if self._local:
                self._put(name, data, _link)
                return True
            with contextlib.suppress(NotImplementedError, TypeError, ValueError):
                self._fs.pipe_file(self._path(name), data, mode="create")
                return True
            if self.read(name) is not None:
                return False
            self._fs.pipe_file(self._path(name), data)
            return self.read(name) == data
        except FileExistsError:
            return False
        except SheetStoreError:
            raise
        except Exception as error:
            raise SheetStoreError(
                f"{name} can't be written to the store {self.address!r} ({_words(error)}): make room there or allow "
                "writing, or give another store."
            ) from error

    def remove(self, name: str) -> None:
        """Take a file away; no matter if it is gone already."""
        try:
            self._fs.rm_file(self._path(name))
        except FileNotFoundError:
            pass
        except Exception as error:
            raise SheetStoreError(
                f"{name} in the store {self.address!r} can't be removed ({_words(error)})."
            ) from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _put(self, name: str, data: bytes, place: Callable[[str, Path], None]) -> None:
        """Write a file beside, on the disk for good, and put it in its place in one move."""
        path = Path(self._path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # else a power cut may leave the name and not the bytes
            if os.name == "posix":
                os.chmod(beside, 0o666 & ~_umask())  # mkstemp's are for the owner alone
            place(beside, path)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(beside)

    # The sheet

    def open(self, header: Mapping[str, Any], difference: Callable[[Mapping[str, Any]], str | None]) -> None:
        """Make sure that the store is of this sheet; an empty one becomes it.

        Args:
            header: header of the sheet, for JSON.
            difference: describes how a store's header differs from it, as part of a sentence; None where it does not.

        Raises:
            SheetStoreError: if it is another sheet's, holds pictures of something else, or can't be written.
        """
        self._clear_parts()
        written = self.read(HEADER)
        if written is None:
            if strangers := self.invalid():
                raise SheetStoreError(
                    f"The store {self.address!r} holds pictures that are none of a sheet's ({strangers[0]}"
                    f"{f' and {len(strangers) - 1} more' if len(strangers) > 1 else ''}): give an empty folder, or a "
                    "new one."
                )
            if self.create(HEADER, _as_bytes(header)):
                return
            written = self.read(HEADER) or b""  # another process's, of this very moment
        there = _header(written)
        if there is None:
            log.warning("%s in %r can't be read; it is written anew.", HEADER, self.address)
            self.write(HEADER, _as_bytes(header))
            return
        if there.get("format") != FORMAT:
            raise SheetStoreError(
                f"The store {self.address!r} was written by another version of peek_widget: give another folder."
            )
        if (why := difference(there)) is not None:
            raise SheetStoreError(
                f"The store {self.address!r} holds another sheet: {why}. Give this one another folder, or make the "
                "call that the store was made with."
            )

    def units(self) -> set[int]:
        """The numbers of the units whose files are there, unchecked."""
        return {int(found[1]) for name in self.names() if (found := _UNIT.fullmatch(name))}

    def invalid(self) -> list[str]:
        """Names of pictures that are no unit's."""
        return sorted(n for n in self.names() if n.lower().endswith(".png") and not _UNIT.fullmatch(n))

    def load(
        self, units: Iterable[int], check: Callable[[bytes, str], SheetUnit]
    ) -> Iterator[tuple[int, SheetUnit | FileError]]:
        """The units that are there, each checked; for one that is torn or foreign, why."""
        there = self.units()
        for name, data in self.read_many(name_of(unit) for unit in units if unit in there):
            if data is None:
                continue
            unit = int(_UNIT.fullmatch(name)[1])  # type: ignore[index]
            try:
                yield unit, check(data, name)
            except FileError as error:
                yield unit, error

    def quarantine(self, name: str) -> str | None:
        """Keep a whole picture of somebody's from being written over, under a name that it gives; None if torn."""
        data = self.read(name)
        try:
            whole_png(data or b"", name, KEYWORD)
        except FileError:
            return None
        self.write(f"{name}.foreign", data or b"")
        return f"{name}.foreign"

    def save(self, key: str, units: Iterable[SheetUnit]) -> None:
        """Keep finished units, all or none of them, whatever happens meanwhile.

        Args:
            key: of their batch; a part of a file's name.
            units: finished.

        Raises:
            SheetStoreError: if not all could be written; those that could, are.
        """
        todo = list(units)
        journal = f"{WORK}/{key}.zip"
        if len(todo) > 1:
            with contextlib.suppress(SheetStoreError):  # too large for what room is left: one by one some may still fit
                self.write(journal, _packed(todo))
        problem: SheetStoreError | None = None
        for one in todo:
            try:
                self.write(name_of(one.unit), one.png)
            except SheetStoreError as error:
                problem = error
        if problem is not None:
            raise problem
        if len(todo) > 1:
            self.remove(journal)

    def unpack(self, check: Callable[[bytes, str], SheetUnit]) -> None:
        """Put in their places what finished batches left when their process was killed."""
        for name in sorted(n for n in self.names(WORK) if n.endswith(".zip")):
            data = self.read(f"{WORK}/{name}")
            if data is None:
                continue  # its own process was quicker
            try:
                there = self.units()
                for unit, png in _unpacked(data):
                    if unit not in there:
                        check(png, f"unit {unit} of {name}")
                        self.write(name_of(unit), png)
            except (zipfile.BadZipFile, FileError, ValueError) as error:
                if isinstance(error, SheetStoreError):
                    raise
                log.warning("%s/%s in %r is torn or another's (%s); it is left out.", WORK, name, self.address, error)
            self.remove(f"{WORK}/{name}")

    def _clear_parts(self) -> None:
        if not self._local:
            return
        for folder in (Path(self._root), Path(self._path(WORK))):
            for path in folder.glob(f".*{_PART}"):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > _PART_AGE:
                        path.unlink()


def _link(beside: str, path: Path) -> None:
    """Put a file in its place if there is none yet; FileExistsError if there is."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with path.open("xb") as file:
            file.write(Path(beside).read_bytes())


def _packed(units: Iterable[SheetUnit]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:  # stored: PNGs do not shrink
        for one in units:
            file.writestr(name_of(one.unit), one.png)
    return buffer.getvalue()


def _unpacked(data: bytes) -> Iterator[tuple[int, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        for name in file.namelist():
            found = _UNIT.fullmatch(name)
            if found is None:
                raise FileError(f"it holds {name[:60]!r}")
            yield int(found[1]), file.read(name)  # read() compares the checksum


def _as_bytes(header: Mapping[str, Any]) -> bytes:
    return json.dumps({"format": FORMAT, **header}, indent=1).encode()


def _header(data: bytes) -> dict[str, Any] | None:
    try:
        found = read_json(data, HEADER, _LONGEST_HEADER)
    except FileError:
        return None
    return found if "format" in found else None


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""The store of a sheet: a folder at any fsspec address, consistent at every moment.

::

    sheet.json            header: model, layer, recipe, seed, size
    unit-00017.png        a unit: the picture, its recipe, its activation. The other files follow from these
    index.parquet         table of the units, derived; written again when it differs from the pictures
    tags.json             the user's tags
    unit-00017.png.foreign    a valid picture of something else that had a unit's name
    in-progress/*.zip     journal: a finished batch that is being written as single PNGs
    in-progress/*.claim   lease: which process draws which batch now

Nothing is locked, and nothing is renamed except on a local disk, where a file is written under another name and moved
to its own in one step; elsewhere an object is written whole or not at all. A batch is first written as one journal and
then as single files, so that a process may be killed between any two instructions: no picture that was drawn is lost,
none is drawn twice.
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
from peek_widget.ascent.png import whole_png
from peek_widget.errors import FileError, SheetStoreError
from peek_widget.sheet.unit import KEYWORD, SheetUnit

__all__ = ["HEADER", "INDEX", "TAGS", "Store", "name_of"]

log: logging.Logger = logging.getLogger("peek_widget")

HEADER, INDEX, TAGS = "sheet.json", "index.parquet", "tags.json"
WORK = "in-progress"
FORMAT = 1

_PART = ".part"
_PART_AGE = 600.0
"""Seconds after which a file that was being written when its process was killed is removed."""

_AT_ONCE = 64
"""Number of files that are read from an object store in one request."""

_LONGEST_HEADER = 1_000_000
_UNIT = re.compile(r"unit-(\d{5,9})\.png")


def name_of(unit: int) -> str:
    """Return the name of a unit's file."""
    return f"unit-{unit:05d}.png"


class Store:
    """A folder at an fsspec address (``"sheets/conv5"``, ``"s3://bucket/conv5"``, ``"memory://conv5"``).

    Args:
        address: a path or an fsspec address; the folder is made where there is none.

    Raises:
        SheetStoreError: if the address is invalid, or can't be reached.
    """

    def __init__(self, address: str | Path) -> None:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.address: str = str(address)
        if not self.address.strip():
            raise SheetStoreError("store='' is not an address: give a folder for the sheet, '.' for this one.")
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
        """Return the names of the files in a folder of the store, as they are now."""
        path = self._path(folder) if folder else self._root
        try:
            if self._local:
                return {entry.name for entry in os.scandir(path)}
            self._fs.invalidate_cache()
            return {str(found).rstrip("/").rpartition("/")[2] for found in self._fs.ls(path, detail=False)}
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except Exception as error:
            raise SheetStoreError(f"The store {self.address!r} can't be read ({_words(error)}).") from error

    def read(self, name: str) -> bytes | None:
        """Read a file; None if there is none."""
        try:
            return self._fs.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise SheetStoreError(f"{name} in the store {self.address!r} can't be read ({_words(error)}).") from error

    def read_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
        """Read several files; None for one that is gone."""
        ordered = list(names)
        for start in range(0, len(ordered), _AT_ONCE):
            part = ordered[start : start + _AT_ONCE]
            if self._local:
                yield from ((name, self.read(name)) for name in part)
                continue
            # An object store answers many requests at once, but each slowly.
            found = self._fs.cat([self._path(name) for name in part], on_error="return")
            for name in part:
                value = found.get(self._path(name)) if isinstance(found, dict) else found
                yield name, value if isinstance(value, bytes) else self.read(name)

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically.

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
        """Write a file that does not exist yet; return whether this call wrote it.

        Exact on a local disk and wherever the address can create a file only if it is new; elsewhere two processes at
        the same instant may both get True.
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
        """Remove a file if it is there."""
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

    def _put(self, name: str, data: bytes, move: Callable[[str, Path], None]) -> None:
        """Write a file under another name, flush it to the disk, and move it to its own name in one step."""
        path = Path(self._path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # else a power cut may leave the name without the bytes
            if os.name == "posix":
                os.chmod(beside, 0o666 & ~_umask())  # mkstemp makes files that only their owner may read
            move(beside, path)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(beside)

    # The sheet

    def open(self, header: Mapping[str, Any], difference: Callable[[Mapping[str, Any]], str | None]) -> None:
        """Make sure that the store is this sheet's; an empty one gets its header.

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
                    f"The store {self.address!r} holds pictures that belong to no sheet ({strangers[0]}"
                    f"{f' and {len(strangers) - 1} more' if len(strangers) > 1 else ''}): give an empty folder, or a "
                    "new one."
                )
            if self.create(HEADER, _as_bytes(header)):
                return
            written = self.read(HEADER) or b""  # written by another process at this very moment
        there = _header(written)
        if there is None:
            log.warning("%s in %r can't be read; it is written again.", HEADER, self.address)
            self.write(HEADER, _as_bytes(header))
            return
        self._check_format(there)
        if (why := difference(there)) is not None:
            raise SheetStoreError(
                f"The store {self.address!r} holds another sheet: {why}. Give this one another folder, or make the "
                "call that the store was made with."
            )

    def _check_format(self, header: Mapping[str, Any]) -> None:
        if header.get("format") != FORMAT:
            raise SheetStoreError(
                f"The store {self.address!r} was written by another version of peek_widget, in a format that this one "
                "can't read: use that version (if it is newer, update), or give another folder."
            )

    def header(self) -> dict[str, Any]:
        """Read the header of the sheet that the store holds.

        Raises:
            SheetStoreError: if there is none, it is corrupt, or it is of another version.
        """
        found = _header(self.read(HEADER) or b"")
        if found is None:
            raise SheetStoreError(f"The store {self.address!r} holds no sheet: {HEADER} is missing or can't be read.")
        self._check_format(found)
        return found

    def units(self) -> set[int]:
        """Return the numbers of the units whose files are there, unchecked."""
        return {int(found[1]) for name in self.names() if (found := _UNIT.fullmatch(name))}

    def invalid(self) -> list[str]:
        """Return the names of pictures that are not named as a unit's."""
        return sorted(n for n in self.names() if n.lower().endswith(".png") and not _UNIT.fullmatch(n))

    def load(
        self, units: Iterable[int], check: Callable[[bytes, str], SheetUnit]
    ) -> Iterator[tuple[int, SheetUnit | FileError]]:
        """Load and check units that are there; yield each picture, or the error of an invalid one."""
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
        """Copy a valid picture that would be written over, and return the copy's name; None if it is corrupt."""
        data = self.read(name)
        try:
            whole_png(data or b"", name, KEYWORD)
        except FileError:
            return None
        self.write(f"{name}.foreign", data or b"")
        return f"{name}.foreign"

    def save(self, key: str, units: Iterable[SheetUnit]) -> None:
        """Write finished units, all or none of them if the process is killed meanwhile.

        Args:
            key: name of their batch, which becomes part of a file's name.
            units: finished units.

        Raises:
            SheetStoreError: if not all could be written; those that could be are.
        """
        todo = list(units)
        journal = f"{WORK}/{key}.zip"
        if len(todo) > 1:
            with contextlib.suppress(SheetStoreError):  # no room for the journal: single files may still fit
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
        """Write the single files of journals whose process was killed."""
        for name in sorted(n for n in self.names(WORK) if n.endswith(".zip")):
            data = self.read(f"{WORK}/{name}")
            if data is None:
                continue  # its own process has finished it
            try:
                there = self.units()
                for unit, png in _unpacked(data):
                    if unit not in there:
                        check(png, f"unit {unit} of {name}")
                        self.write(name_of(unit), png)
            except (zipfile.BadZipFile, FileError, ValueError) as error:
                if isinstance(error, SheetStoreError):
                    raise
                log.warning("%s/%s in %r is invalid (%s); it is left out.", WORK, name, self.address, error)
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
    """Give a file a second name that does not exist yet; FileExistsError if it does."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with path.open("xb") as file:
            file.write(Path(beside).read_bytes())


def _packed(units: Iterable[SheetUnit]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:  # uncompressed: PNGs do not shrink
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

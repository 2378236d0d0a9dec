"""Images elsewhere: a folder at an address, and the files in tar archives (webdataset's shards), here or there."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import re
import tarfile
from pathlib import PurePosixPath
from typing import Any

import fsspec

from peek_widget.errors import DatasetError
from peek_widget.evidence.files import is_other, open_image
from peek_widget.evidence.folder import Folder
from peek_widget.evidence.labels import Labels, read_label
from peek_widget.evidence.source import Item, UnreadableError

__all__ = ["AddressFolder", "is_address"]

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_ARCHIVES = 100_000
_BESIDE = (".cls", ".json", ".txt")
"""Endings of what webdataset has beside an image; ``.cls`` is its label."""

_MOST_LINKS = 40  # symbolic links followed for one name at most, as in Linux
_NAMED = 4

_Span = tuple[int, int]
"""Byte range of a file in an archive."""


def is_address(name: str) -> bool:
    """Return whether a dataset's name is an address, or that of a tar archive, and not of a folder."""
    return "://" in name or (name.endswith(".tar") and not os.path.isdir(name))


class AddressFolder(Folder):
    """The images in a folder at an address, or in tar archives, in the order of their names.

    Any address that fsspec knows (``s3://`` with s3fs, ``gs://`` with gcsfs, ``hf://`` with its hub). Only names
    are listed when it is opened, and of an archive where each file begins; an image is fetched when needed, by a
    request of its own, and nothing stays open. Of an archive the label of ``a.jpg`` is in
    ``a.cls`` where there is such a file (webdataset). All else as for :class:`Folder`.

    Args:
        address: address of the folder; or name or address of a tar archive, or of several
            (``s3://bucket/shard-{000..015}.tar``).
        labels: labels by file name, or in the order of the sorted file names.

    Raises:
        DatasetError: if nothing is there, it can't be reached, or has no image; or the labels do not fit.
    """

    def __init__(self, address: str, labels: Labels = None) -> None:
        self._archive: bool = address.endswith(".tar")
        self._addresses: tuple[str, ...] = _expanded(address)
        self._systems: dict[int, tuple[Any, str]] = {}
        found: dict[str, tuple[int, str, _Span | None]] = {}
        left_out: list[str] = []
        for number, one in enumerate(self._addresses):
            try:
                system, root = self._system(number)
                spans, without = _members(system, root) if self._archive else (dict.fromkeys(system.find(root)), [])
            except Exception as error:  # each file system has its own errors
                raise DatasetError(
                    f"The images at {one!r} can't be listed ({type(error).__name__}: {error}): check the address, and "
                    "whether you may read it."
                ) from error
            for name, span in spans.items():
                inner = name if self._archive else name[len(root) :].lstrip("/")
                if not _hidden(inner):
                    key = f"{PurePosixPath(one).name}/{inner}" if len(self._addresses) > 1 else inner
                    if key in found:
                        raise DatasetError(
                            f"Two of the addresses {address!r} end alike and both have {key!r}, so their images could "
                            "not be told apart: give the folder above them, or one pass for each."
                        )
                    found[key] = number, inner, span
            left_out += [name for name in without if not _hidden(name) and not is_other(name)]
        if left_out and not found:
            raise DatasetError(f"There is no image in {address!r}: {_without_content(left_out)}.")
        self._where = found
        self._labels_beside: bool = labels is None and self._archive
        every = [name for name in sorted(found) if not name.endswith(_BESIDE)]
        self._list(address, f"the {'archive' if self._archive else 'folder'} {address}", every, labels)
        if self._labels_beside and len(self._addresses) > 1:
            # The archive of an image takes the place of its folder.
            self.class_names: tuple[str, ...] = ()
            self._label = _without_label
        if left_out:
            self.remarks: tuple[str, ...] = (*self.remarks, f"Left out of {address!r}: {_without_content(left_out)}.")

    def identity(self, index: int) -> int:
        """Return a hash of the file's name, and of its archive's."""
        number, inner, _ = self._where[self._files[index]]
        several = self._archive or len(self._addresses) > 1
        archive = f"{PurePosixPath(self._addresses[number]).name}/" if several else ""
        digest = hashlib.blake2b(f"{archive}{inner}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1

    def item(self, index: int, needed: int | None = None) -> Item:
        """Fetch the file, with what is said about its label."""
        name = self._files[index]
        image, size = open_image(io.BytesIO(self._fetched(name)), needed, name)
        if self._labels_beside:
            folder, slash, inner = name.rpartition("/")
            # In webdataset what ``a.left.jpg`` and ``a.right.jpg`` belong to goes up to the first dot.
            for key in (inner.rpartition(".")[0], inner.partition(".")[0]):
                beside = f"{folder}{slash}{key}.cls"
                if beside in self._where:
                    return Item(image, size, *read_label(self._fetched(beside)))
        return Item(image, size, *self._label(index))

    def _fetched(self, name: str) -> bytes:
        number, inner, span = self._where[name]
        try:
            system, root = self._system(number)
            if span is not None:
                if span[0] == span[1]:
                    return b""
                return system.cat_file(root, start=span[0], end=span[1])
            return system.cat_file(f"{root.rstrip('/')}/{inner}" if root else inner)
        except Exception as error:
            raise UnreadableError(f"{type(error).__name__}: {error}") from error

    def _system(self, number: int) -> tuple[Any, str]:
        """Return the file system of an address, and the path of the folder, or archive, there."""
        if number not in self._systems:
            self._systems[number] = fsspec.url_to_fs(self._addresses[number])
        return self._systems[number]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_systems"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _systems={})


def _members(system: Any, path: str) -> tuple[dict[str, _Span], list[str]]:
    """List a tar archive, and close it.

    Returns:
        where the content of each of its files is, by name, links to files among them; and the names of what is neither
        a folder nor a file whose bytes lie together in it.
    """
    found: dict[str, _Span] = {}
    links: dict[str, str] = {}
    others: dict[str, None] = {}
    with system.open(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            name = PurePosixPath(member.name).as_posix()
            for earlier in (found, links, others):
                earlier.pop(name, None)  # of two files with one name the last counts
            target = PurePosixPath(member.linkname).as_posix()
            if member.islnk() and target in found:  # a hard link
                found[name] = found[target]
            elif member.islnk():
                links[name] = target
            elif member.issym():
                links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            elif member.isreg() and not member.issparse():
                found[name] = member.offset_data, member.offset_data + member.size
            elif not member.isdir():
                others[name] = None
    for name, target in links.items():
        for _ in range(_MOST_LINKS):
            target = links.get(target, target)
        if target in found:
            found[name] = found[target]
        else:
            others[name] = None
    return found, list(others)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _without_content(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    what = "names have" if len(names) != 1 else "name has"
    return (
        f"{len(names):,} {what} no content in the archive (links to what is not in it, sparse files, devices): {shown}"
    )


def _without_label(_: int) -> tuple[None, str]:
    return None, ""


def _expanded(address: str) -> tuple[str, ...]:
    """Return the addresses that one with ``{000..015}`` stands for."""
    found = _RANGE.search(address)
    if found is None:
        return (address,)
    first, last = int(found[1]), int(found[2])
    if not first <= last < first + _MOST_ARCHIVES:
        raise DatasetError(f"dataset={address!r}: {found[0]} must go up, by less than {_MOST_ARCHIVES:,}.")
    width = len(found[1])
    return tuple(
        address[: found.start()] + str(number).zfill(width) + address[found.end() :]
        for number in range(first, last + 1)
    )

"""Reading the chunks of a PNG (https://www.w3.org/TR/png-3/): its texts, and whether it is complete.

Pillow does not read them, because files need not be trusted: here no pixel is decoded, and the text that is read or
decompressed is limited.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from peek_widget.errors import FileError

__all__ = ["LARGEST_TEXT", "MOST_CHUNKS", "texts", "whole_png"]

LARGEST_TEXT = 2 * 1024 * 1024
"""Largest size in bytes of a text that is read."""

MOST_CHUNKS = 100_000
"""Largest number of chunks before a file is refused."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def texts(file: BinaryIO, name: str, keyword: str) -> list[bytes]:
    """Read the texts of a PNG under a keyword, and skip everything else unread.

    Args:
        file: the PNG, at its beginning.
        name: what errors call the file.
        keyword: keyword of the text chunks.

    Raises:
        FileError: if it is not a PNG, is truncated or damaged, or such a text is too large.
    """
    key = keyword.encode() + b"\0"
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        raise FileError(f"{name} is not a PNG: give a picture that peek_widget saved as .png.")
    found = []
    for kind, length in _headers(file, name):
        start = file.read(min(length, len(key))) if kind in (b"tEXt", b"zTXt", b"iTXt") else b""
        if start != key:
            file.seek(length - len(start) + 4, io.SEEK_CUR)
            continue
        if length > LARGEST_TEXT:
            raise FileError(f"{name} contains a recipe of {length} bytes: at most {LARGEST_TEXT} are read.")
        rest = file.read(length - len(start) + 4)
        data, checksum = rest[:-4], rest[-4:]
        if len(rest) < length - len(start) + 4:
            raise FileError(f"{name} is cut off within its recipe. Copy or load it again.")
        if struct.pack(">I", zlib.crc32(kind + start + data)) != checksum:
            raise FileError(f"{name} is damaged: the checksum of its recipe is wrong. Copy or load it again.")
        found.append(_text(kind, data))
    return found


def whole_png(png: bytes, name: str, keyword: str) -> str | None:
    """Check every byte of a PNG, and return its text under a keyword; None if there is none.

    Args:
        png: the bytes of the file.
        name: what errors call the file.
        keyword: keyword of the text chunk.

    Raises:
        FileError: if it is not a PNG, is truncated, has a wrong checksum, or bytes after its end.
    """
    key, found = keyword.encode() + b"\0", None
    file = io.BytesIO(png)
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        raise FileError(f"{name} is not a PNG.")
    cut_off = FileError(f"{name} is cut off after {len(png)} bytes. Copy or load it again.")
    while True:
        header = file.read(8)
        length, kind = struct.unpack(">I4s", header) if len(header) == 8 else (0, b"")
        body = file.read(length + 4)
        if len(header) < 8 or len(body) < length + 4:
            raise cut_off
        data, checksum = body[:-4], body[-4:]
        if struct.pack(">I", zlib.crc32(kind + data)) != checksum:
            raise FileError(f"{name} is damaged: a checksum in it is wrong. Copy or load it again.")
        if kind == b"tEXt" and data.startswith(key):
            found = data[len(key) :].decode("latin-1")
        if kind == b"IEND":
            after = len(png) - file.tell()
            if after:
                raise FileError(f"{name} has {after} bytes after the picture's end.")
            return found


def _headers(file: BinaryIO, name: str) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of every chunk before the end; the caller moves the file to the next chunk."""
    for number in range(MOST_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            raise FileError(f"{name} is cut off: it ends before its last chunk. Copy or load it again.")
        length, kind = struct.unpack(">I4s", header)
        if (number == 0) != (kind == b"IHDR") or length > 2**31 - 1:
            raise FileError(f"{name} is damaged: its chunks are not those of a PNG.")
        if kind == b"IEND":
            return
        yield kind, length
    raise FileError(f"{name} has more than {MOST_CHUNKS} chunks: no picture that peek_widget saved has so many.")


def _text(kind: bytes, data: bytes) -> bytes:
    """Return the text of a chunk after its keyword, which other programs may have compressed or marked as UTF-8."""
    compressed = kind == b"zTXt"
    if compressed:
        data = data[1:]  # skipping the compression method, of which there is only one
    elif kind == b"iTXt":
        compressed = data[:1] == b"\1"
        parts = data[2:].split(b"\0", 2)  # language, translated keyword, text
        data = parts[2] if len(parts) == 3 else b""
    if not compressed:
        return data
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(data, LARGEST_TEXT)
    except zlib.error as error:
        raise FileError(f"The recipe in the picture can't be decompressed: {error}.") from error
    if not decompressor.eof:
        raise FileError(f"The recipe in the picture is compressed, and truncated or larger than {LARGEST_TEXT} bytes.")
    return text

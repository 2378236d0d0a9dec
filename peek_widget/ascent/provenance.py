"""Pictures in files, and what they were drawn from, which a PNG carries along and gives back."""

from __future__ import annotations

import io
import json
import math
import operator
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image as PILImage
from PIL import PngImagePlugin
from torch import Tensor

from peek_widget._schema import read_fields, text, whole
from peek_widget._version import __version__
from peek_widget.ascent.base import LONGEST_WORDS, Objective
from peek_widget.ascent.pictures import as_picture, to_pil
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.serialization import objective_from_dict
from peek_widget.errors import FileError, PeekError
from peek_widget.network.fingerprint import DIGITS, fingerprint

__all__ = ["Drawing", "drawing_in", "encode", "fingerprint", "load_recipe", "save", "whole_png"]

KEYWORD = "peek_widget"
"""Of the PNG's text chunk that holds the JSON."""

FORMAT = 1
LARGEST_SIDE = 65_536
LARGEST_TEXT = 2 * 1024 * 1024
MOST_CHUNKS = 100_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Drawing:
    """What a picture was drawn from.

    Attributes:
        objective: what was made larger; None, read back, for one that can't be written down (a function of the
            user's own, a style).
        recipe: the numbers of the ascent.
        seed: of its start and views.
        size: side of the picture in pixels.
        fingerprint: of the model, see :func:`fingerprint`.
        words: the objective as part of a sentence; left out, its own.
        version: of peek_widget that wrote it.
    """

    objective: Objective | None
    recipe: Recipe
    seed: int
    size: int
    fingerprint: str
    words: str = field(default="", compare=False)
    version: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.objective is not None:
            object.__setattr__(self, "words", self.objective.words())  # frozen; this is its construction


def save(path: str | Path, image: Tensor, drawing: Drawing | None = None, alpha: Tensor | None = None) -> None:
    """Write a picture; the name's ending says in which format.

    A PNG is lossless and carries the drawing as JSON, which :func:`load_recipe` reads back. Other formats
    carry the picture alone.

    Args:
        path: of the file, which is written only when all of it is ready.
        image: ``[C, H, W]`` in [0, 1].
        drawing: what it was drawn from.
        alpha: its opacity, ``[1, H, W]`` in [0, 1].

    Raises:
        FileError: if the ending names no format that can be written, or the format has no transparency, or the
            drawing is larger than :func:`load_recipe` would read.
        OSError: if the file can't be written.
    """
    path = Path(path)
    endings = PILImage.registered_extensions()
    kind = endings.get(path.suffix.lower())
    if kind not in PILImage.SAVE:
        raise FileError(
            f"{path.name!r} has no ending that names a format for pictures: .png keeps the recipe too; .jpg, .webp and "
            ".tif hold the picture alone."
        )
    path.write_bytes(_encoded(image, kind, drawing, alpha, {}))


def encode(
    image: Tensor, drawing: Drawing, alpha: Tensor | None = None, notes: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of the PNG that :func:`save` writes.

    Args:
        image: ``[C, H, W]`` in [0, 1].
        drawing: what it was drawn from.
        alpha: its opacity, ``[1, H, W]`` in [0, 1].
        notes: further texts to carry, by their chunk's keyword (1 to 79 Latin letters, unlike :data:`KEYWORD`).

    Raises:
        FileError: if the drawing is larger than :func:`load_recipe` would read.
    """
    return _encoded(image, "PNG", drawing, alpha, notes or {})


def _encoded(
    image: Tensor, kind: str, drawing: Drawing | None, alpha: Tensor | None, notes: Mapping[str, str]
) -> bytes:
    options: dict[str, Any] = {"quality": 95}
    if kind == "PNG":
        info = PngImagePlugin.PngInfo() if drawing is None else _info(drawing)
        for keyword, words in notes.items():
            info.add_text(keyword, words)
        options = {"pnginfo": info}
    buffer = io.BytesIO()
    try:
        to_pil(as_picture(image), alpha).save(buffer, kind, **options)
    except (OSError, ValueError) as error:
        if isinstance(error, PeekError):
            raise
        raise FileError(f"The picture can't be written as {kind} ({error}): give a name that ends in .png.") from error
    return buffer.getvalue()


def load_recipe(path: str | Path) -> Drawing:
    """What the picture in a PNG was drawn from, as :func:`save` (or ``Result.save``) wrote it.

    The file may come from anybody: nothing in it is run, no pixel is decoded, and no more than 2 MiB of text is
    read.

    Raises:
        FileError: if it is not a PNG, is cut off or damaged, or carries no drawing, more than one, or one that is
            too large, no JSON, or has an unknown field, a missing one or an impossible value. RecipeError and
            UnitError likewise, for the recipe and for a direction in it.
        OSError: if the file can't be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        return _only([_text(kind, data) for kind, data in _chunks(file, path.name)], path.name)


def drawing_in(png: bytes, name: str) -> Drawing:
    """What :func:`load_recipe` gives, of a PNG's bytes; ``name`` is what errors call them."""
    return _only([_text(kind, data) for kind, data in _chunks(io.BytesIO(png), name)], name)


def whole_png(png: bytes, name: str, keyword: str) -> str | None:
    """Check every byte of a PNG, and give the text that it carries under a keyword; None if it carries none.

    Raises:
        FileError: if it is no PNG, is cut off, has a byte that is not as it was written, or something behind its end.
    """
    key, found = keyword.encode() + b"\0", None
    if not png.startswith(_SIGNATURE):
        raise FileError(f"{name} is not a PNG.")
    place = len(_SIGNATURE)
    while True:
        if place + 12 > len(png):
            raise FileError(f"{name} is cut off after {len(png)} bytes.")
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        end = place + 12 + length
        if end > len(png):
            raise FileError(f"{name} is cut off after {len(png)} bytes.")
        if zlib.crc32(png[place + 4 : end - 4]) != int.from_bytes(png[end - 4 : end], "big"):
            raise FileError(f"{name} is damaged: a checksum in it is wrong.")
        data = png[place + 8 : end - 4]
        if kind == b"tEXt" and data.startswith(key):
            found = data[len(key) :].decode("latin-1")
        if kind == b"IEND":
            if end != len(png):
                raise FileError(f"{name} has {len(png) - end} bytes behind the picture's end.")
            return found
        place = end


def _only(found: list[bytes], name: str) -> Drawing:
    if not found:
        raise FileError(
            f"{name} carries no recipe: only a PNG that peek_widget saved does, and programs that rewrite "
            "pictures often drop it."
        )
    if len(found) > 1:
        raise FileError(f"{name} carries {len(found)} recipes, and there is no telling which is its own.")
    return _read(found[0])


# What is kept


def _info(drawing: Drawing) -> PngImagePlugin.PngInfo:

    described = {
        "format": FORMAT,
        "objective": None if drawing.objective is None else drawing.objective.to_dict(),
        "words": drawing.words[:LONGEST_WORDS],
        "recipe": json.loads(drawing.recipe.to_json()),
        "seed": operator.index(drawing.seed),
        "size": operator.index(drawing.size),
        "fingerprint": drawing.fingerprint,
        "version": __version__,
    }
    written = json.dumps(described)
    try:
        if len(written) > LARGEST_TEXT:
            raise FileError(f"it takes {len(written)} characters, and {LARGEST_TEXT} are read back.")
        _read(written.encode())
    except PeekError as error:
        raise FileError(
            f"What this picture was drawn from can't be kept in a PNG: {error} Save the picture alone, with "
            "result.pil().save(...)."
        ) from error
    info = PngImagePlugin.PngInfo()
    info.add_text(KEYWORD, written)
    return info


def _read(written: bytes) -> Drawing:
    try:
        values = json.loads(
            written.decode(),
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
            object_pairs_hook=_without_repeats,
        )
    except FileError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileError(f"What the picture was drawn from should be JSON, and this is not: {error}.") from error
    if not isinstance(values, dict):
        raise FileError(f"What the picture was drawn from should be a JSON object; this is a {type(values).__name__}.")
    if type(values.get("format")) is int and values["format"] > FORMAT:
        raise FileError("The picture was saved by a newer peek_widget, in a way that this one can't read: update it.")
    values = read_fields(values, _FIELDS, "A drawing")
    del values["format"]
    return Drawing(**values)


def _whole(digits: str) -> int:
    if len(digits) > 20:
        raise FileError(f"A number of {len(digits)} digits is in it: no number that is kept has so many.")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise FileError(f"The number {digits[:40]} is in it: only finite numbers are kept.")
    return number


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise FileError("It has a field twice, and there is no telling which is meant.")
    return values


def _format(name: str, value: Any) -> int:
    if type(value) is not int or value != FORMAT:
        raise FileError(f"{name} is not {FORMAT}, the only way of writing a drawing down that there has been.")
    return value


def _objective(_name: str, value: Any) -> Objective | None:
    return None if value is None else objective_from_dict(value)


def _recipe(_name: str, value: Any) -> Recipe:
    if not isinstance(value, dict):
        raise FileError(f"A recipe is kept as a JSON object; this is a {type(value).__name__}.")
    return Recipe.from_json(json.dumps(value))


def _fingerprint(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) != DIGITS or set(value) - set("0123456789abcdef"):
        raise FileError(f"{name} is not one: it has {DIGITS} digits from 0 to f.")
    return value


_FIELDS = {
    "format": _format,
    "objective": _objective,
    "words": text(LONGEST_WORDS),
    "recipe": _recipe,
    "seed": whole(2**63 - 1),
    "size": whole(LARGEST_SIDE),
    "fingerprint": _fingerprint,
    "version": text(100),
}


# The PNG (https://www.w3.org/TR/png-3/): chunks of length, kind, data and checksum


def _chunks(file: BinaryIO, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of every chunk of text with our keyword; the others' data is skipped unread."""
    if file.read(8) != _SIGNATURE:
        raise FileError(f"{name} is not a PNG: give a picture that peek_widget saved as .png.")
    key = KEYWORD.encode() + b"\0"
    for number in range(MOST_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            raise FileError(f"{name} is cut off: it ends before its last chunk. Copy or load it anew.")
        length, kind = struct.unpack(">I4s", header)
        if (number == 0) != (kind == b"IHDR") or length > 2**31 - 1:
            raise FileError(f"{name} is damaged: its chunks are not those of a PNG.")
        if kind == b"IEND":
            return
        start = file.read(min(length, len(key))) if kind in (b"tEXt", b"zTXt", b"iTXt") else b""
        if start != key:
            file.seek(length - len(start) + 4, io.SEEK_CUR)
            continue
        if length > LARGEST_TEXT:
            raise FileError(f"{name} carries a recipe of {length} bytes: no more than {LARGEST_TEXT} are read.")
        rest = file.read(length - len(start) + 4)
        data, checksum = rest[:-4], rest[-4:]
        if len(rest) < length - len(start) + 4:
            raise FileError(f"{name} is cut off within its recipe. Copy or load it anew.")
        if struct.pack(">I", zlib.crc32(kind + start + data)) != checksum:
            raise FileError(f"{name} is damaged: the checksum of its recipe is wrong. Copy or load it anew.")
        yield kind, data
    raise FileError(f"{name} has more than {MOST_CHUNKS} chunks: no picture that peek_widget saved has so many.")


def _text(kind: bytes, data: bytes) -> bytes:
    """The text of a chunk after its keyword: plain as we write it, or as a program that rewrote the PNG may."""
    packed = kind == b"zTXt"
    if packed:
        data = data[1:]  # the method, of which there is one
    elif kind == b"iTXt":
        packed = data[:1] == b"\1"
        parts = data[2:].split(b"\0", 2)  # language, translated keyword, text
        data = parts[2] if len(parts) == 3 else b""
    if not packed:
        return data
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, LARGEST_TEXT)
    except zlib.error as error:
        raise FileError(f"The recipe in the picture is packed, and can't be unpacked: {error}.") from error
    if not unpacker.eof:
        raise FileError(f"The recipe in the picture is packed, and is cut off or larger than {LARGEST_TEXT} bytes.")
    return unpacked

"""Provenance: what a picture was drawn from, which a PNG carries along and gives back."""

from __future__ import annotations

import functools
import io
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image as PILImage
from PIL import PngImagePlugin
from torch import Tensor

from peek_widget._schema import nullable, read_fields, read_json, text, whole
from peek_widget._version import __version__
from peek_widget.ascent.base import LONGEST_WORDS, Objective
from peek_widget.ascent.pictures import as_picture, to_pil
from peek_widget.ascent.png import LARGEST_TEXT, texts
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.serialization import check_objective, check_recipe
from peek_widget.errors import FileError, PeekError
from peek_widget.network import Network
from peek_widget.network.fingerprint import DIGITS, fingerprint

__all__ = ["Drawing", "Origin", "drawing_in", "encode", "fingerprint", "load_recipe", "save"]

KEYWORD = "peek_widget"
"""Of the PNG's text chunk that holds the JSON."""

FORMAT = 1
LARGEST_SIDE = 65_536


@dataclass(frozen=True)
class Drawing:
    """What a picture was drawn from.

    Attributes:
        objective: what was maximized; None, read back, for one that can't be written down (a function of the user's
            own, a style).
        recipe: the numbers of the ascent.
        seed: seed of the initial noise and of the views.
        size: side of the picture in pixels.
        fingerprint: fingerprint of the model's weights, see :func:`fingerprint`.
        words: the objective as part of a sentence; left out, its own.
        version: version of peek_widget that wrote the file.
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

    @classmethod
    def load(cls, path: str | Path) -> Drawing:
        """Read what the picture in a PNG was drawn from; the same as :func:`load_recipe`."""
        return load_recipe(path)


@dataclass(frozen=True)
class Origin:
    """What the pictures of a run are drawn from; the :class:`Drawing` of each follows from it.

    The model's weights are read for their fingerprint only when a picture is saved.
    """

    network: Network
    objectives: tuple[Objective, ...]
    recipe: Recipe
    seeds: tuple[int, ...]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the model as it is when first asked for."""
        return fingerprint(self.network)

    def drawing(self, index: int, size: int) -> Drawing:
        """Return what one of the pictures was drawn from; ``size`` is its side in pixels."""
        return Drawing(self.objectives[index], self.recipe, self.seeds[index], size, self.fingerprint)


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
        return _only(texts(file, path.name, KEYWORD), path.name)


def drawing_in(png: bytes, name: str) -> Drawing:
    """Return what :func:`load_recipe` returns, for a PNG's bytes; ``name`` is what errors call them."""
    return _only(texts(io.BytesIO(png), name, KEYWORD), name)


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
    values = read_json(written, "What the picture was drawn from", LARGEST_TEXT)
    if type(values.get("format")) is int and values["format"] > FORMAT:
        raise FileError("The picture was saved by a newer peek_widget, in a way that this one can't read: update it.")
    values = read_fields(values, _FIELDS, "A drawing")
    del values["format"]
    return Drawing(**values)


def _format(name: str, value: Any) -> int:
    if type(value) is not int or value != FORMAT:
        raise FileError(f"{name} is not {FORMAT}, the only way of writing a drawing down that there has been.")
    return value


def _fingerprint(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) != DIGITS or set(value) - set("0123456789abcdef"):
        raise FileError(f"{name} is not one: it has {DIGITS} digits from 0 to f.")
    return value


_FIELDS = {
    "format": _format,
    "objective": nullable(check_objective),
    "words": text(LONGEST_WORDS),
    "recipe": check_recipe,
    "seed": whole(2**63 - 1),
    "size": whole(LARGEST_SIDE),
    "fingerprint": _fingerprint,
    "version": text(100),
}

"""Provenance: what a picture was drawn from, written into its PNG and read back."""

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

from peek_widget._schema import nullable, pair, read_fields, read_json, text, whole
from peek_widget._size import Size, SizeLike
from peek_widget._version import __version__
from peek_widget.ascent.objective_base import LONGEST_DESCRIPTION, Objective
from peek_widget.ascent.pictures import as_picture, to_pil
from peek_widget.ascent.png import LARGEST_TEXT, texts
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.serialization import check_objective, check_recipe
from peek_widget.errors import FileError, PeekError
from peek_widget.network import Network
from peek_widget.network.fingerprint import DIGITS, fingerprint

__all__ = ["Drawing", "Origin", "drawing_in", "encode", "fingerprint", "load_recipe", "save"]

KEYWORD = "peek_widget"
"""Keyword of the PNG's text chunk that contains the JSON."""

FORMAT = 1
LARGEST_SIDE = 65_536


@dataclass(frozen=True)
class Drawing:
    """What a picture was drawn from.

    Attributes:
        objective: what was maximized; None in a drawing read from a file that can't contain it (a function of the
            user's, a style).
        recipe: the numbers of the ascent.
        seed: seed of the initial noise and of the views.
        size: size of the picture in pixels: the side of a square, else (height, width).
        fingerprint: hash of the model's weights, see :func:`fingerprint`.
        words: description of the objective, as part of a sentence; left out, the objective's own.
        version: version of peek_widget that wrote the file.
    """

    objective: Objective | None
    recipe: Recipe
    seed: int
    size: SizeLike
    fingerprint: str
    words: str = field(default="", compare=False)
    version: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", Size.of(self.size).plain)
        if self.objective is not None:
            object.__setattr__(self, "words", self.objective.describe())  # frozen; this is its construction

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
        """Fingerprint of the model, computed at the first access."""
        return fingerprint(self.network)

    def drawing(self, index: int, size: SizeLike) -> Drawing:
        """Return what one of the pictures was drawn from; ``size`` is its own in pixels."""
        return Drawing(self.objectives[index], self.recipe, self.seeds[index], size, self.fingerprint)


def save(path: str | Path, image: Tensor, drawing: Drawing | None = None, alpha: Tensor | None = None) -> None:
    """Write a picture to a file.

    A PNG is lossless and contains the drawing as JSON, which :func:`load_recipe` reads back. Other formats contain the
    picture only.

    Args:
        path: path of the file; its ending determines the format. It is written only once all of it is encoded.
        image: the picture, ``[C, H, W]`` in [0, 1].
        drawing: what it was drawn from.
        alpha: opacity, ``[1, H, W]`` in [0, 1].

    Raises:
        FileError: if the ending stands for no format that Pillow can write, the format has no transparency, or the
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
    path.write_bytes(_encode(image, kind, drawing, alpha, {}))


def encode(
    image: Tensor, drawing: Drawing, alpha: Tensor | None = None, notes: Mapping[str, str] | None = None
) -> bytes:
    """Return the bytes of the PNG that :func:`save` would write.

    Args:
        image: the picture, ``[C, H, W]`` in [0, 1].
        drawing: what it was drawn from.
        alpha: opacity, ``[1, H, W]`` in [0, 1].
        notes: further text chunks, by keyword (1 to 79 Latin letters, not :data:`KEYWORD`).

    Raises:
        FileError: if the drawing is larger than :func:`load_recipe` would read.
    """
    return _encode(image, "PNG", drawing, alpha, notes or {})


def _encode(image: Tensor, kind: str, drawing: Drawing | None, alpha: Tensor | None, notes: Mapping[str, str]) -> bytes:
    options: dict[str, Any] = {"quality": 95}
    if kind == "PNG":
        info = PngImagePlugin.PngInfo() if drawing is None else _info(drawing)
        for keyword, note in notes.items():
            info.add_text(keyword, note)
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
    """Read what the picture in a PNG was drawn from, as :func:`save` (or ``Result.save``) wrote it.

    The file need not be trusted: nothing in it is executed, no pixel is decoded, and at most 2 MiB of text are read.

    Raises:
        FileError: if it is not a PNG, is truncated or damaged, or contains no drawing or more than one, or one that is
            too large, not JSON, or has an unknown field, a missing one or an impossible value.
        RecipeError: for an impossible value in the recipe.
        UnitError: for an impossible vector of a ``Direction``.
        OSError: if the file can't be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        return _the_only(texts(file, path.name, KEYWORD), path.name)


def drawing_in(png: bytes, name: str) -> Drawing:
    """Read the drawing in the bytes of a PNG, like :func:`load_recipe`; ``name`` is what errors call the file."""
    return _the_only(texts(io.BytesIO(png), name, KEYWORD), name)


def _the_only(found: list[bytes], name: str) -> Drawing:
    """Read the one drawing among the texts of a PNG; FileError if there is none, or more than one."""
    if not found:
        raise FileError(
            f"{name} contains no recipe: only a PNG saved by peek_widget does, and programs that rewrite "
            "pictures often drop it."
        )
    if len(found) > 1:
        raise FileError(f"{name} contains {len(found)} recipes, and it is unclear which is the picture's.")
    return _read(found[0])


# The JSON of a drawing


def _info(drawing: Drawing) -> PngImagePlugin.PngInfo:
    """Make the text chunk of a drawing; FileError if it could not be read back."""
    described = {
        "format": FORMAT,
        "objective": None if drawing.objective is None else drawing.objective.to_dict(),
        "words": drawing.words[:LONGEST_DESCRIPTION],
        "recipe": json.loads(drawing.recipe.to_json()),
        "seed": operator.index(drawing.seed),
        "size": drawing.size,
        "fingerprint": drawing.fingerprint,
        "version": __version__,
    }
    written = json.dumps(described)
    try:
        if len(written) > LARGEST_TEXT:
            raise FileError(f"It has {len(written)} characters, and at most {LARGEST_TEXT} are read back.")
        _read(written.encode())
    except PeekError as error:
        raise FileError(
            f"What this picture was drawn from can't be saved in a PNG: {error} Save only the picture, with "
            "result.pil().save(...)."
        ) from error
    info = PngImagePlugin.PngInfo()
    info.add_text(KEYWORD, written)
    return info


def _read(written: bytes) -> Drawing:
    values = read_json(written, "What the picture was drawn from", LARGEST_TEXT)
    if type(values.get("format")) is int and values["format"] > FORMAT:
        raise FileError(
            "The picture was saved by a newer version of peek_widget, in a format that this one can't read: update it."
        )
    values = read_fields(values, _FIELDS, "A drawing")
    del values["format"]
    return Drawing(**values)


def _format(name: str, value: Any) -> int:
    if type(value) is not int or value != FORMAT:
        raise FileError(f"{name} is not {FORMAT}, the only known format of drawings.")
    return value


def _fingerprint(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) != DIGITS or set(value) - set("0123456789abcdef"):
        raise FileError(f"{name} is not a fingerprint: one has {DIGITS} hexadecimal digits.")
    return value


def _size(name: str, value: Any) -> SizeLike:
    side = whole(LARGEST_SIDE)
    return pair(side)(name, value) if isinstance(value, list) else side(name, value)


_FIELDS = {
    "format": _format,
    "objective": nullable(check_objective),
    "words": text(LONGEST_DESCRIPTION),
    "recipe": check_recipe,
    "seed": whole(2**63 - 1),
    "size": _size,
    "fingerprint": _fingerprint,
    "version": text(100),
}

"""A unit of a sheet: its picture as a PNG, which carries what it was drawn from and what was measured of it."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor

from peek_widget._schema import Check, nullable, number, read_json, sequence, switch, whole
from peek_widget.ascent.png import whole_png
from peek_widget.ascent.provenance import Drawing, drawing_in, encode
from peek_widget.errors import FileError, PeekError

__all__ = ["KEYWORD", "SheetUnit", "from_png", "to_png"]

KEYWORD = "peek_widget.sheet"
"""Keyword of the PNG's text chunk with the sheet's note on the unit; its recipe is in another."""

FORMAT = 1

_LONGEST_NOTE = 1_000_000

_NOTE: dict[str, Check] = {
    "unit": whole(2**31 - 1),
    "activation": number(),
    "gauge": nullable(number()),
    "draft": switch,
    "drawn_with": sequence(whole(2**31 - 1), 2**20),
}
"""Checks of the fields of the note; further fields are about the machine that the unit was drawn on."""


@dataclass(frozen=True)
class SheetUnit:
    """A unit of a layer as it was drawn.

    Attributes:
        unit: number of the unit in its layer, from 0.
        png: bytes of the picture's file; it carries objective, recipe and seed, see ``load_recipe``.
        activation: still activation of the finished picture: the unit's highest value over its map, before the ReLU,
            of the picture shown to the network once without random views; as for the gauge.
        seed: seed of its start and its views.
        gauge: activation over that of the best dataset image; None where no evidence was given, or where no image
            excites the unit.
        draft: whether it is a quick preview.
        drawn_with: units that went through the network together, including this one.
    """

    unit: int
    png: bytes
    activation: float
    seed: int
    gauge: float | None = None
    draft: bool = False
    drawn_with: tuple[int, ...] = ()

    @functools.cached_property
    def image(self) -> PILImage.Image:
        """The picture as a Pillow image, decoded on first use."""
        image = PILImage.open(io.BytesIO(self.png))
        image.load()
        return image

    @property
    def tensor(self) -> Tensor:
        """The picture as float32 ``[C, S, S]`` in [0, 1], without opacity: C is 3, or 1 for a gray one."""
        image = self.image.convert("L" if self.image.mode in ("L", "LA") else "RGB")
        levels = torch.from_numpy(np.array(image)).reshape(image.height, image.width, -1)
        return levels.permute(2, 0, 1).to(torch.float32) / 255.0

    @property
    def drawing(self) -> Drawing:
        """Objective, recipe, seed and size that it was drawn from, as ``load_recipe`` gives them."""
        return drawing_in(self.png, f"The picture of unit {self.unit}")

    def __repr__(self) -> str:
        gauge = "" if self.gauge is None else f", gauge={self.gauge:.2f}"
        return (
            f"SheetUnit({self.unit}, activation={self.activation:.4g}{gauge}{', draft' * self.draft}, "
            f"{len(self.png)} bytes)"
        )


def to_png(
    drawing: Drawing,
    image: Tensor,
    alpha: Tensor | None,
    *,
    unit: int,
    activation: float,
    gauge: float | None,
    draft: bool,
    drawn_with: tuple[int, ...],
    how: Mapping[str, Any],
) -> SheetUnit:
    """Make a unit whose PNG carries what it was drawn from and what was measured of it.

    Args:
        drawing: what it was drawn from.
        image: picture ``[C, S, S]`` in [0, 1].
        alpha: opacity ``[1, S, S]`` in [0, 1], or None.
        unit, activation, gauge, draft, drawn_with: see :class:`SheetUnit`.
        how: what it was drawn on (device, threads, version of torch): the same there gives the same pixels.
    """
    note = {
        "format": FORMAT,
        "unit": unit,
        "activation": activation,
        "gauge": gauge,
        "draft": draft,
        "drawn_with": list(drawn_with),
        **how,
    }
    png = encode(image, drawing, alpha, {KEYWORD: json.dumps(note)})
    return SheetUnit(unit, png, activation, drawing.seed, gauge, draft, drawn_with)


def from_png(png: bytes, name: str) -> tuple[SheetUnit, Drawing]:
    """Read a unit from its PNG and check every byte, since anybody may have made the file.

    Args:
        png: bytes of the file.
        name: name of the file, to begin a sentence with.

    Raises:
        FileError: if the PNG is corrupt, or was not made by a sheet.
    """
    note = whole_png(png, name, KEYWORD)
    if note is None:
        raise FileError(f"{name} is a picture, but none of a contact sheet.")
    try:
        drawing = drawing_in(png, name)
        values = read_json(note, f"The note in {name}", _LONGEST_NOTE)
        if values.get("format") != FORMAT:
            raise FileError(
                f"{name} was written by another version of peek_widget, in a format that this one can't read: use that "
                "version (if it is newer, update), or draw the sheet again."
            )
        read = {key: check(key, values.get(key)) for key, check in _NOTE.items()}
    except FileError:
        raise
    except (PeekError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise FileError(f"{name} carries a note that can't be read ({type(error).__name__}: {error}).") from error
    return SheetUnit(png=png, seed=drawing.seed, **read), drawing

"""One unit of a sheet: its picture as a PNG, and what is known of it. The PNG carries both."""

from __future__ import annotations

import functools
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image as PILImage
from torch import Tensor

from peek_widget.ascent.provenance import Drawing, drawing_in, encode, whole_png
from peek_widget.errors import FileError, PeekError

__all__ = ["KEYWORD", "SheetUnit", "from_png", "to_png"]

KEYWORD = "peek_widget.sheet"
"""Of the PNG's text chunk that holds what the sheet knows of the unit, beside the one with its recipe."""

FORMAT = 1


@dataclass(frozen=True)
class SheetUnit:
    """A unit of a layer as it was drawn.

    Attributes:
        unit: its number in the layer, from 0.
        png: the picture, a file's bytes; it carries its objective, recipe and seed, see ``load_recipe``.
        activation: of the finished picture, before the ReLU, by the gauge's rule: laid before the network as it was
            drawn, without random views, at the place where the unit is largest.
        seed: of its start and its views.
        gauge: the activation over that of the best real image; None where no real images were given, or where none
            excites the unit.
        draft: whether it is a quick first version.
        drawn_with: the units of the batch that it was drawn in, itself among them.
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
        """The picture, decoded when first asked for."""
        image = PILImage.open(io.BytesIO(self.png))
        image.load()
        return image

    @property
    def drawing(self) -> Drawing:
        """What it was drawn from, as ``load_recipe`` gives it."""
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
    """A unit whose PNG carries what it was drawn from and what is known of it.

    Args:
        drawing: what it was drawn from.
        image: ``[C, S, S]`` in [0, 1].
        alpha: ``[1, S, S]`` in [0, 1], or None.
        unit, activation, gauge, draft, drawn_with: see :class:`SheetUnit`.
        how: on what it was drawn (device, threads, version of torch): the same there gives the same pixels.
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
    """A unit from its PNG, every byte checked; the file may have been made by anybody.

    Raises:
        FileError: if the PNG is torn, or was not made by a sheet.
    """
    note = whole_png(png, name, KEYWORD)
    if note is None:
        raise FileError(f"{name} is a picture, but none of a contact sheet.")
    try:
        drawing = drawing_in(png, name)
        values = json.loads(note)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise FileError(f"{name} was written by another version of peek_widget, in a way that this one can't read.")
        unit, activation, gauge = _whole(values["unit"]), _number(values["activation"]), values["gauge"]
        found = SheetUnit(
            unit,
            png,
            activation,
            drawing.seed,
            None if gauge is None else _number(gauge),
            bool(values["draft"]),
            tuple(_whole(v) for v in values["drawn_with"]),
        )
    except FileError:
        raise
    except (PeekError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise FileError(f"{name} carries a note that can't be read ({type(error).__name__}: {error}).") from error
    return found, drawing


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(f"{value!r} is no number of a unit")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)

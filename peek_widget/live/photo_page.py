"""Conversion of a look at a photo to rows and pictures for the page, and of what the page sends."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from peek_widget._encode import jpeg_bytes, png_bytes
from peek_widget.ascent import to_pil
from peek_widget.errors import LayerError, PhotoError
from peek_widget.evidence import LayerEvidence
from peek_widget.live import protocol
from peek_widget.network import Preprocess
from peek_widget.photo import Firing, Look
from peek_widget.photo.unit_map import without_what_is_cut_off

__all__ = [
    "MAP_SIDE",
    "basis",
    "class_rows",
    "given_image",
    "layer_row",
    "listed",
    "mask_of",
    "photo_jpeg",
    "pixels_jpeg",
    "seen_message",
    "step_message",
    "unit_rows",
]

LISTED_OF_EACH = 4
"""Number of units listed for each layer in the overview."""

SIDE = 512
"""Longer side in pixels of the photo on the page."""

MAP_SIDE = 128
"""Longer side in pixels of a unit's map on the page, which the page enlarges smoothly."""

SMALL_MAP_SIDE = 64
"""Longer side in pixels of a unit's map in the overview of all layers."""

_MASK_SIDE = 256


def given_image(given: Any) -> Any:
    """Return a photo sent by a page as the bytes of a file; anything else as it is.

    Raises:
        PhotoError: if the photo is not in base64.
    """
    if not isinstance(given, protocol.SetPhoto):
        return given
    try:
        return base64.b64decode(given.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PhotoError(f"The photo did not arrive whole: {error}. Give it again.") from error


def mask_of(strokes: Sequence[float], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Return a mask over a photo of (width, height), True in the circles given by y, x and radius in shares of it."""
    width, height = size
    scale = _MASK_SIDE / max(size)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    ys, xs = (np.arange(rows) + 0.5)[:, None], (np.arange(columns) + 0.5)[None]
    mask = np.zeros((rows, columns), bool)
    for y, x, radius in zip(strokes[::3], strokes[1::3], strokes[2::3], strict=False):
        reach, down, across = radius * _MASK_SIDE, y * rows, x * columns
        # change only the part around the circle: a long stroke has thousands of them
        part = (
            slice(max(0, int(down - reach)), int(down + reach) + 1),
            slice(max(0, int(across - reach)), int(across + reach) + 1),
        )
        mask[part] |= (ys[part[0]] - down) ** 2 + (xs[:, part[1]] - across) ** 2 <= reach**2
    return mask


def photo_jpeg(look: Look) -> bytes:
    """Return the photo as a JPEG, with the part that the network does not see darkened."""
    return jpeg_bytes(without_what_is_cut_off(look.image, look.size, look.shown, SIDE), 88)


def pixels_jpeg(pixels: Tensor, preprocess: Preprocess) -> bytes:
    """Return a picture ``[C, S, S]`` in [0, 1] as a JPEG; of more than three channels, only those that are shown."""
    return jpeg_bytes(to_pil(preprocess.visible(pixels)), 92)


def listed(look: Look, layer: str, place: tuple[float, float] | None) -> tuple[list[Firing], str]:
    """Return the most unusual units of a layer, at a place in shares of the photo or on all of it; or why none."""
    width, height = look.size
    try:
        if place is None:
            return look.unusual(layer), ""
        return look.at(layer, place[0] * height, place[1] * width), ""
    except (LayerError, PhotoError) as error:
        return [], str(error)


def unit_rows(look: Look, units: Sequence[Firing], side: int = MAP_SIDE) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Return the units as rows of `PhotoUnit`, and their maps over the photo as gray PNGs."""
    rows, maps = [], []
    for one in units:
        drawn = _drawn_map(look, one, side)
        maps += [] if drawn is None else [drawn]
        row = {
            "unit": one.unit,
            "activation": one.activation,
            "percentile": one.percentile,
            "label": one.label,
            "tags": ", ".join(one.tags),
            "map": drawn is not None,
        }
        rows.append(row)
    return rows, maps


def layer_row(look: Look, name: str) -> tuple[dict[str, Any], list[bytes]]:
    """Return a layer as a row of `PhotoLayer`, and the maps of its units."""
    units = [one for one in look.unusual(name, LISTED_OF_EACH) if one.activation > 0]
    rows, maps = unit_rows(look, units, SMALL_MAP_SIDE)
    return {"layer": name, "real": bool(units) and units[0].basis == "evidence", "units": rows}, maps


def class_rows(before: Look, after: Look | None) -> list[dict[str, Any]]:
    """Return the highest classes of both looks as rows of `PhotoClass`, those of `before` first."""
    rows = [
        {
            "name": one.name,
            "before": one.score,
            "after": None if after is None else after.predictions.of(one.unit).score,
        }
        for one in before.predictions
    ]
    known = {one.unit for one in before.predictions}
    return rows + [
        {"name": one.name, "before": before.predictions.of(one.unit).score, "after": one.score}
        for one in (() if after is None else after.predictions)
        if one.unit not in known
    ]


def _drawn_map(look: Look, one: Firing, side: int) -> bytes | None:
    """Return where a unit fires as a gray PNG over the photo; None if its map can't be laid over the photo."""
    width, height = look.size
    scale = side / max(look.size)
    found = look.map(one.layer, one.unit)
    if found.values.numel() == 1:
        return None
    try:
        strength = found.strength(max(1, round(width * scale)), max(1, round(height * scale)))
    except PhotoError:
        return None
    return png_bytes(Image.fromarray((255 * strength).round().astype(np.uint8)), compress_level=1)


def basis(units: Sequence[Firing], place: bool, evidence: LayerEvidence | None) -> str:
    """Return a sentence on the basis of the percentiles."""
    if any(one.basis == "evidence" for one in units) and evidence is not None:
        of = "the places of " if place else ""
        return f"Percent of {of}{evidence.images:,} real images where the unit fires less."
    if place:
        return "Percent of the photo's places where the unit fires less: there are no real images to compare with."
    return "Percent of the layer's units that stand out less: there are no real images to compare with."


def seen_message(**fields: Any) -> dict[str, Any]:
    """Return a `PhotoSeen`; omitted fields have the values for no photo."""
    empty: dict[str, Any] = {
        "kind": protocol.PhotoSeen.kind,
        "problem": "",
        "text": "",
        "width": 0,
        "height": 0,
        "shown": [0.0, 0.0, 1.0, 1.0],
        "classes": [],
        "note": "",
        "units": [],
        "changed": False,
        "picture": False,
    }
    return {**empty, **fields}


def step_message(**fields: Any) -> dict[str, Any]:
    """Return a `PhotoStep`; omitted fields have the values for a run before its first step."""
    empty: dict[str, Any] = {
        "kind": protocol.PhotoStep.kind,
        "step": 0,
        "total": 0,
        "activation": 0.0,
        "mean": 0.0,
        "percentile": 0.0,
        "classes": [],
        "problem": "",
    }
    return {**empty, **fields}

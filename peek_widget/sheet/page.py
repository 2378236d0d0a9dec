"""A contact sheet as one HTML file: it needs no kernel and no internet, and opens from disk.

Text that people wrote (tags, the title, names of layers and of images) goes into the page as JSON data, in which
nothing can be markup, and from there to the screen as text alone. A content security policy allows the page's own
script and style, by their hashes, and nothing else: no other script, no request.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from peek_widget._encode import webp_bytes
from peek_widget._files import write_atomic
from peek_widget._size import Size, SizeLike
from peek_widget.ascent import unit_objective
from peek_widget.errors import DatasetError, FileError, PeekError
from peek_widget.sheet import similarity
from peek_widget.sheet.examples import layer_evidence
from peek_widget.sheet.tags import Tags

if TYPE_CHECKING:
    from peek_widget.ascent import Recipe
    from peek_widget.evidence import Evidence, LayerEvidence
    from peek_widget.sheet.unit import SheetUnit

__all__ = ["SheetLike", "layer_of", "to_html", "total_of"]

log: logging.Logger = logging.getLogger("peek_widget")

STATIC = Path(__file__).resolve().parents[1] / "static"
CROP = 96
"""Longer side in pixels of a dataset example on the page."""
CROP_QUALITY = 70
"""Highest WebP quality of a dataset example: each is shown small, and a unit has several."""


class SheetLike(Protocol):
    """The part of a contact sheet's interface that a page or a poster uses."""

    layer: str
    units: tuple[int, ...]
    recipe: Recipe
    seed: int
    size: SizeLike
    model_name: str
    done: Mapping[int, SheetUnit]
    tags: Tags


def to_html(
    sheet: SheetLike,
    path: str | os.PathLike[str],
    evidence: LayerEvidence | Evidence | None = None,
    *,
    tags: Tags | None = None,
    title: str | None = None,
    picture: int = 160,
    quality: int = 88,
    examples: int = 4,
) -> Path:
    """Write the units that are drawn as one page, with zoom, search, sorting, counts and dataset examples.

    512 units of 160 px take some MB; nine examples of each take 6 to 9 MB more.

    Args:
        sheet: contact sheet; units that are not drawn are left out, and the page says so.
        path: path of the file, which is written atomically.
        evidence: dataset examples of the layer (of :func:`~peek_widget.top_crops`), shown beside each unit.
        tags: tags to show; left out, the sheet's own.
        title: title of the page; left out, the layer and the model.
        picture: longer side in pixels of the pictures on the page; smaller ones stay as they are.
        quality: WebP quality of the pictures, 1 to 100; the examples have 70 at most.
        examples: number of dataset examples of each unit.

    Returns:
        The path.

    Raises:
        PeekError: if nothing is drawn yet, or the evidence is another layer's.
        FileError: if the file can't be written.
    """
    if not sheet.done:
        raise PeekError("Nothing of this sheet is drawn yet: call sheet.draw() first.")
    if not 16 <= picture <= 2048 or not 1 <= quality <= 100 or examples < 0:
        raise PeekError(
            f"picture={picture!r}, quality={quality!r}, examples={examples!r}: give 16 to 2048 pixels, a quality of 1 "
            "to 100 and a number of examples from 0."
        )
    tags = sheet.tags if tags is None else tags
    evidence = layer_evidence(evidence, sheet.layer)
    counts = tags.count(sheet.layer, total_of(sheet, tags))
    reviewed = set(tags.reviewed(sheet.layer))
    images = [_at_most(one.image, picture) for one in sheet.done.values()]
    crops = _Crops(evidence, examples, quality)
    units = [
        {
            "u": unit,
            "p": _encoded(image, quality),
            "a": one.activation,
            "g": one.gauge,
            "s": one.seed,
            "t": tags.of(sheet.layer, unit),
            "l": unit in reviewed,
            "c": crops.of(unit),
            "o": _objective(sheet, unit),
        }
        for (unit, one), image in zip(sheet.done.items(), images, strict=True)
    ]
    crops.report()
    name = title or f"{layer_of(sheet)} of {sheet.model_name}"
    data = {
        "title": name,
        "about": _about(sheet, evidence),
        "kind": "image/webp",
        "name": re.sub(r"[^\w.-]+", "-", sheet.layer or "output"),
        "size": list(Size.of(sheet.size)),
        "total": total_of(sheet, tags),
        "seen": len(reviewed),
        "counts": [{"word": count.word, "units": count.units, "text": str(count)} for count in counts],
        "recipe": sheet.recipe.to_json(),
        "units": units,
        "likeness": _similarity_order(images),
    }
    try:
        write_atomic(path, _page(name, data).encode("utf-8", "replace"))  # a file name may be invalid in every encoding
    except OSError as error:
        raise FileError(f"The page can't be written to {str(path)!r}: {error.strerror or error}.") from error
    return Path(path)


def layer_of(sheet: SheetLike) -> str:
    """Return the layer's name, as part of a sentence."""
    return sheet.layer or "the output"


def total_of(sheet: SheetLike, tags: Tags) -> int:
    """Return the number of units of the layer, as far as it is known: a sheet may be of a few of them."""
    network = getattr(sheet, "network", None)
    if network is not None:
        return network.layer(sheet.layer).channels
    return max((unit + 1 for unit in (*sheet.units, *tags.reviewed(sheet.layer))), default=0)


def _objective(sheet: SheetLike, unit: int) -> str:
    """Return the objective of a unit as Python code."""
    kind = getattr(sheet, "objective", "neuron")
    network = getattr(sheet, "network", None)
    if network is not None:
        kind = type(unit_objective(network, sheet.layer, unit, kind)).__name__.lower()
    elif not sheet.layer:
        kind = "logit"
    return f"Logit({unit})" if kind == "logit" else f"{kind.capitalize()}({json.dumps(sheet.layer)}, {unit})"


def _about(sheet: SheetLike, evidence: LayerEvidence | None) -> list[str]:
    drawn, wanted = len(sheet.done), len(sheet.units)
    about = [
        f"{drawn} units" if drawn == wanted else f"{drawn} of {wanted} units drawn",
        f"recipe {sheet.recipe.name}",
        f"seed {sheet.seed}",
        " × ".join(map(str, Size.of(sheet.size))) + " px",
    ]
    if evidence is not None:
        about.append(f"examples from {evidence.images:,} images")
    return about


class _Crops:
    """The dataset examples of units, as far as their images can still be read."""

    def __init__(self, evidence: LayerEvidence | None, count: int, quality: int) -> None:
        self._evidence, self._count, self._quality = evidence, count, min(quality, CROP_QUALITY)
        self._shown, self._errors = 0, []

    def of(self, unit: int) -> list[dict[str, str]]:
        if self._evidence is None:
            return []
        found = []
        for crop in self._evidence[unit].top[: self._count]:
            try:
                image = crop.resized(CROP)
            except DatasetError as error:
                self._errors.append(error)
                continue
            words = crop.label_name or crop.name
            found.append({"p": _encoded(image, self._quality), "l": words, "a": f"activation {crop.activation:.3g}"})
        self._shown += len(found)
        return found

    def report(self) -> None:
        """Raise if no image could be read, and warn if some could not."""
        if self._errors and not self._shown:
            raise self._errors[0]
        if self._errors:
            log.warning("%d examples can't be shown on the page, the first: %s", len(self._errors), self._errors[0])


def _similarity_order(images: Sequence[Image.Image]) -> list[int] | None:
    try:
        return similarity.order(images)
    except PeekError as error:
        log.warning("The page can't be sorted by similarity. %s", error)
        return None


def _at_most(image: Image.Image, side: int) -> Image.Image:
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if max(image.size) <= side:
        return image
    shape = Size(image.height, image.width).within(Size(side, side))
    return image.resize((shape.width, shape.height), Image.Resampling.LANCZOS)


def _encoded(image: Image.Image, quality: int) -> str:
    return base64.b64encode(webp_bytes(image, quality)).decode("ascii")


def _page(title: str, data: Mapping[str, Any]) -> str:
    script, style = (_static(name) for name in ("page.js", "page.css"))
    # Inside <script> only </script> and <!-- mean something to HTML; in JSON a < can only be inside a string.
    given = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    given = given.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        "<noscript>This page shows its pictures with a script of its own, which this browser doesn't run.</noscript>\n"
        f'<script type="application/json" id="sheet">{given}</script>\n<script type="module">{script}</script>\n'
        "</body>\n</html>\n"
    )


def _static(name: str) -> str:
    try:
        text = (STATIC / name).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise FileError(
            f"The page's {name} is missing from this installation: reinstall peek_widget, or, in a checkout, run "
            "`npm ci && node build.mjs` in js/."
        ) from error
    # The parser takes these for the end of the element, or for a comment, wherever they occur.
    if re.search(r"</(script|style)|<!--", text, re.IGNORECASE):
        raise FileError(f"{name} can't be put into a page: it contains an end tag.")
    return text


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")

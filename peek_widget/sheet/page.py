"""A contact sheet as one HTML file: no kernel, no network, opens from disk, fit for a course page.

What people wrote (tags, the title, names of layers and of images) goes into the page as JSON data, in which nothing can
be markup, and from there to the screen as text alone. A content security policy allows the page's own script and
style, by their hashes, and nothing else: no other script, no request.
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
from peek_widget.errors import DatasetError, FileError, PeekError
from peek_widget.sheet import similarity as likeness
from peek_widget.sheet.tags import Tags

if TYPE_CHECKING:
    from peek_widget.ascent import Recipe
    from peek_widget.evidence.crops import Evidence, LayerEvidence
    from peek_widget.sheet.unit import SheetUnit

__all__ = ["SheetLike", "layer_of", "to_html", "total_of"]

log: logging.Logger = logging.getLogger("peek_widget")

STATIC = Path(__file__).resolve().parents[1] / "static"
CROP = 96
"""Longer side in pixels of a real image on the page."""
CROP_QUALITY = 70
"""Of a real image at most: it is shown small, and there are several to a unit."""


class SheetLike(Protocol):
    """What a page or a poster needs of a sheet; a ContactSheet is one."""

    layer: str
    units: tuple[int, ...]
    recipe: Recipe
    seed: int
    size: int
    model_name: str
    done: Mapping[int, SheetUnit]
    tags: Tags


def to_html(
    sheet: SheetLike,
    path: str | os.PathLike[str],
    crops: LayerEvidence | Evidence | None = None,
    *,
    tags: Tags | None = None,
    title: str | None = None,
    picture: int = 160,
    quality: int = 88,
    most: int = 4,
) -> Path:
    """Write the units that are drawn as one page, with zoom, search, orders, counts and real images.

    Args:
        sheet: a contact sheet; those of its units that are not drawn are left out, and the page says so.
        path: of the file, which is written only when all of it is ready.
        crops: real images of the layer (of :func:`~peek_widget.top_crops`), shown beside a unit.
        tags: left out, the sheet's own.
        title: left out, the layer and the model.
        picture: side in pixels of the pictures on the page; smaller ones stay as they are.
        quality: of the pictures, WebP, 1 to 100; real images have 70 at most.
        most: real images of a unit. 512 units of 160 px take some MB, nine real images of each 6 to 9 MB more.

    Returns:
        The path.

    Raises:
        PeekError: nothing is drawn yet, or the crops are another layer's. FileError: the file can't be written.
    """
    if not sheet.done:
        raise PeekError("Nothing of this sheet is drawn yet: call sheet.draw() first.")
    if not 16 <= picture <= 2048 or not 1 <= quality <= 100 or most < 0:
        raise PeekError(
            f"picture={picture!r}, quality={quality!r}, most={most!r}: give 16 to 2048 pixels, a quality of 1 "
            "to 100 and a number of real images from 0."
        )
    tags = sheet.tags if tags is None else tags
    evidence = _evidence(crops, sheet.layer)
    counts = tags.count(sheet.layer, total_of(sheet, tags))
    seen = set(tags.reviewed(sheet.layer))
    images = [_shrunk(one.image, picture) for one in sheet.done.values()]
    shown = _Crops(evidence, most, quality)
    units = [
        {
            "u": unit,
            "p": _encoded(image, quality),
            "a": one.activation,
            "g": one.gauge,
            "s": one.seed,
            "t": tags.of(sheet.layer, unit),
            "l": unit in seen,
            "c": shown.of(unit),
            "o": _objective(sheet, unit),
        }
        for (unit, one), image in zip(sheet.done.items(), images, strict=True)
    ]
    shown.tell()
    name = title or f"{layer_of(sheet)} of {sheet.model_name}"
    data = {
        "title": name,
        "about": _about(sheet, evidence),
        "kind": "image/webp",
        "name": re.sub(r"[^\w.-]+", "-", sheet.layer or "output"),
        "side": sheet.size,
        "total": total_of(sheet, tags),
        "seen": len(seen),
        "counts": [{"word": count.word, "units": count.units, "text": str(count)} for count in counts],
        "recipe": sheet.recipe.to_json(),
        "units": units,
        "likeness": _likeness(images),
    }
    return _write(_page(name, data), Path(path))


def layer_of(sheet: SheetLike) -> str:
    """The layer in words."""
    return sheet.layer or "the output"


def total_of(sheet: SheetLike, tags: Tags) -> int:
    """How many units the layer has, as far as the sheet knows: a sheet may be of a few of them."""
    network = getattr(sheet, "network", None)
    if network is not None:
        return network.layer(sheet.layer).channels
    return max((unit + 1 for unit in (*sheet.units, *tags.reviewed(sheet.layer))), default=0)


def _objective(sheet: SheetLike, unit: int) -> str:
    if not sheet.layer:
        return f"Logit({unit})"
    kind = "Channel" if getattr(sheet, "objective", "neuron") == "channel" else "Neuron"
    return f"{kind}({json.dumps(sheet.layer)}, {unit})"


def _about(sheet: SheetLike, evidence: LayerEvidence | None) -> list[str]:
    drawn, wanted = len(sheet.done), len(sheet.units)
    about = [
        f"{drawn} units" if drawn == wanted else f"{drawn} of {wanted} units drawn",
        f"recipe {sheet.recipe.name}",
        f"seed {sheet.seed}",
        f"{sheet.size} × {sheet.size} px",
    ]
    if evidence is not None:
        about.append(f"beside {evidence.images:,} real images")
    return about


def _evidence(crops: Any, layer: str) -> LayerEvidence | None:
    from peek_widget.evidence.crops import LayerEvidence

    if isinstance(crops, Mapping):
        crops = crops[layer]
    if crops is None:
        return None
    if not isinstance(crops, LayerEvidence):
        raise PeekError(f"crops is a {type(crops).__name__}: give what top_crops(model, {layer!r}, images) gives.")
    if crops.name != layer:
        raise PeekError(f"The crops are of layer {crops.name!r}, and the sheet is of {layer!r}: give crops of it.")
    return crops


class _Crops:
    """The real images of units, those that can still be had."""

    def __init__(self, evidence: LayerEvidence | None, most: int, quality: int) -> None:
        self._evidence, self._most, self._quality = evidence, most, min(quality, CROP_QUALITY)
        self._shown, self._errors = 0, []

    def of(self, unit: int) -> list[dict[str, str]]:
        if self._evidence is None:
            return []
        found = []
        for crop in self._evidence[unit].top[: self._most]:
            try:
                image = crop.image(CROP)
            except DatasetError as error:
                self._errors.append(error)
                continue
            words = crop.label_name or crop.name
            found.append({"p": _encoded(image, self._quality), "l": words, "a": f"activation {crop.activation:.3g}"})
        self._shown += len(found)
        return found

    def tell(self) -> None:
        if self._errors and not self._shown:
            raise self._errors[0]
        if self._errors:
            log.warning("%d real images can't be shown on the page, the first: %s", len(self._errors), self._errors[0])


def _likeness(images: Sequence[Image.Image]) -> list[int] | None:
    try:
        return likeness.order(images)
    except PeekError as error:
        log.warning("The page can't be put in the order of likeness. %s", error)
        return None


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.resize((side, side), Image.Resampling.LANCZOS) if max(image.size) > side else image


def _encoded(image: Image.Image, quality: int) -> str:
    return base64.b64encode(webp_bytes(image, quality)).decode("ascii")


def _page(title: str, data: Mapping[str, Any]) -> str:
    script, style = (_static(name) for name in ("page.js", "page.css"))
    # Inside <script>, </script> and <!-- are all that HTML sees; < occurs in JSON's strings alone.
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
            f"The page's {name} is missing from this installation: install peek_widget anew, or, in a checkout, run "
            "`npm ci && node build.mjs` in js/."
        ) from error
    # The parser takes these for the end of the element, or for a comment, wherever they are.
    if re.search(r"</(script|style)|<!--", text, re.IGNORECASE):
        raise FileError(f"{name} can't be put into a page: it contains an end tag.")
    return text


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _write(page: str, path: Path) -> Path:
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(page.encode("utf-8", "replace"))  # a file may be named in no encoding at all
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise FileError(f"The page can't be written to {str(path)!r}: {error.strerror or error}.") from error
    return path

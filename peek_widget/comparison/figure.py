"""The figure of a comparison: pictures side by side on one panel, for a lecture or a paper."""

from __future__ import annotations

import functools
import importlib.util
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

__all__ = ["figure"]

_LIGHT = {"paper": "#ffffff", "ink": "#1b1b1f", "soft": "#6a6a73", "rule": "#dcdce2", "bar": "#3567c9"}
_DARK = {"paper": "#16161a", "ink": "#f0f0f3", "soft": "#a3a3ad", "rule": "#3a3a42", "bar": "#7ea6f8"}

_LEGEND = "Numbers and bars: activation of the unit by each picture, before any ReLU, on one scale."
_IN_A_ROW = 4
_SUBSTITUTES = {"\u2212": "-", "\u00d7": "x", "\u00d8": "O", "\u00f8": "o", "\u00a0": " "}


def figure(
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    activations: Sequence[float],
    notes: Sequence[str] = (),
    title: str = "",
    *,
    side: int = 320,
    dark: bool = False,
) -> Image.Image:
    """Draw a labeled panel: each picture at the same size, and under it a caption, a bar, the activation and a note.

    Args:
        pictures: pictures of any sizes; each is shown as large as fits into the same square, in its own shape.
        captions: a caption for each; cut where it is too long.
        activations: a number for each, drawn as bars from zero on one scale; NaN is left out.
        notes: a small line for each, or none.
        title: heading of the panel, or "".
        side: longer side of each picture on the panel in pixels.
        dark: use light text on a dark background.

    Returns:
        An RGB picture; up to four pictures stand in a row, five and six in rows of three.
    """
    colors = _DARK if dark else _LIGHT
    count = len(pictures)
    columns = count if count <= _IN_A_ROW else math.ceil(count / 2)
    rows = math.ceil(count / columns)
    gap, text = max(8, side // 16), max(11, side // 18)
    small = max(10, round(0.8 * text))
    line, thin, bar = round(1.45 * text), round(1.45 * small), max(3, text // 4)
    under = round(0.5 * text) + line + bar + round(0.3 * text) + thin
    head = round(2.2 * text) if title else 0
    width = columns * side + (columns + 1) * gap
    shown = [_fitted(picture, side) for picture in pictures]
    tall = max(picture.height for picture in shown)
    height = head + gap + rows * (tall + under + gap)
    panel = Image.new("RGB", (width, height + thin), colors["paper"])
    draw = ImageDraw.Draw(panel)
    if title:
        _write(draw, (gap, gap), title, round(1.15 * text), colors["ink"], width - 2 * gap)
    _write(draw, (gap, height - gap // 4), _LEGEND, small, colors["soft"], width - 2 * gap)
    finite = [value for value in activations if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    span = (high - low) or 1.0
    for number, (picture, caption, value) in enumerate(zip(shown, captions, activations, strict=True)):
        left = gap + number % columns * (side + gap)
        top = head + gap + number // columns * (tall + under + gap)
        panel.paste(picture, (left + (side - picture.width) // 2, top + (tall - picture.height) // 2))
        y = top + tall + round(0.5 * text)
        number_text = _number(value)
        used = _width(number_text, text)
        _write(draw, (left + side - used, y), number_text, text, colors["ink"], used + 1)
        _write(draw, (left, y), caption, text, colors["ink"], side - used - text)
        y += line
        zero = left + round(-low / span * (side - 1))
        draw.rectangle((left, y, left + side - 1, y + bar - 1), fill=colors["rule"])
        if math.isfinite(value):
            end = left + round((value - low) / span * (side - 1))
            draw.rectangle((min(zero, end), y, max(zero, end), y + bar - 1), fill=colors["bar"])
        if notes:
            _write(draw, (left, y + bar + round(0.3 * text)), notes[number], small, colors["soft"], side)
    return panel


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture resized to ``side`` pixels on its longer side."""
    scale = side / max(picture.size)
    resampling = Image.Resampling.BICUBIC if scale > 1.0 else Image.Resampling.LANCZOS
    size = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
    return picture.convert("RGB").resize(size, resampling)


def _number(value: float) -> str:
    """Write a number with about three significant digits."""
    if not math.isfinite(value):
        return ""
    digits = 0 if value == 0.0 else max(0, min(6, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:.{digits}f}"


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, color: str, width: int) -> None:
    font = _font(text, size)
    text = _drawable(text, font)
    if font.getlength(text) > width:
        while text and font.getlength(f"{text}...") > width:
            text = text[:-1]
        text = f"{text.rstrip()}..."
    draw.text(at, text, font=font, fill=color)


def _width(text: str, size: int) -> int:
    font = _font(text, size)
    return math.ceil(font.getlength(_drawable(text, font)))


def _font(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own typeface, or matplotlib's, where that is installed, for letters that Pillow's lacks."""
    if _printable(text).isascii() or _rich_typeface() is None:
        return ImageFont.load_default(size)
    return ImageFont.truetype(_rich_typeface(), size)


def _printable(text: str) -> str:
    return "".join(_SUBSTITUTES.get(letter, letter) for letter in text if letter.isprintable())


def _drawable(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Replace letters that the font lacks: by letters without accents, else by question marks."""
    text = _printable(text)
    if text.isascii() or font.getname()[0] != ImageFont.load_default(10).getname()[0]:
        return text
    plain = unicodedata.normalize("NFKD", text)
    return "".join(letter if letter.isascii() else "?" for letter in plain if not unicodedata.combining(letter))


@functools.cache
def _rich_typeface() -> str | None:
    # found without importing matplotlib, which would take a second
    found = importlib.util.find_spec("matplotlib")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return str(path)
    return None

"""A contact sheet as a poster: every unit with its number and its tags, as PDF, PNG or SVG on A4 to A0."""

from __future__ import annotations

import io
import math
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from peek_widget._encode import jpeg_bytes
from peek_widget._files import write_atomic
from peek_widget._optional import optional_import
from peek_widget._size import Size
from peek_widget.errors import FileError, PeekError
from peek_widget.sheet.page import SheetLike, layer_of, total_of
from peek_widget.sheet.tags import Tags

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PAPERS", "draw", "poster"]

PAPERS = {"A4": (210, 297), "A3": (297, 420), "A2": (420, 594), "A1": (594, 841), "A0": (841, 1189)}
"""Width and height in mm, in portrait orientation."""

CELL = 16.0
"""Smallest side of a picture in mm for which the paper is chosen: a caption of 5 points still fits."""
MARGIN, GAP = 10.0, 1.6
"""Margin of the page and gap between two pictures, in mm."""
POINT = 25.4 / 72
"""A typographic point in mm."""
SMALLEST = 4.0
"""Smallest size of a caption in points; where the paper leaves less, there are no captions."""
QUALITY = 90
"""JPEG quality of the pictures in a PDF, with the color at full resolution."""

_TAG_LINES = 3
"""Largest number of lines of tags below a picture."""
_LETTER_WIDTH = 0.56
"""Mean width of a letter of DejaVu Sans, as a fraction of the font size."""

Paper = Literal["A4", "A3", "A2", "A1", "A0"]


def poster(
    sheet: SheetLike,
    path: str | os.PathLike[str],
    *,
    tags: Tags | None = None,
    title: str | None = None,
    paper: Paper | None = None,
    landscape: bool = False,
    dpi: int = 200,
) -> Path:
    """Write the units that are drawn as one page to print: a .pdf, a .png or a .svg, by the file's extension.

    In a PDF and an SVG the words are text, which can be searched for and is sharp at any size, and all pictures are
    one image: a JPEG in the PDF, lossless in the SVG, which is large. Matplotlib lays out the page, for its fonts;
    pypdf embeds the JPEG, which matplotlib can't.

    Args:
        sheet: contact sheet.
        path: path of the file, which is written atomically.
        tags: tags to show; left out, the sheet's own.
        title: heading of the page; left out, the layer and the model.
        paper: size of the paper; left out, the smallest on which each unit has 16 mm: up to a hundred units fit on A4,
            512 on A2.
        landscape: use landscape orientation.
        dpi: pixels per inch, of a PNG and of the pictures in the other two.

    Returns:
        The path.

    Raises:
        PeekError: if nothing is drawn yet, there is no such paper, or matplotlib or pypdf is not installed.
        FileError: if the file can't be written.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("pdf", "png", "svg"):
        raise FileError(f"A poster is a .pdf, a .png or a .svg; {path.name!r} was given.")
    figure = draw(sheet, tags=tags, title=title, paper=paper, landscape=landscape, dpi=dpi)
    with optional_import("matplotlib").rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}):
        data = _pdf(figure) if kind == "pdf" else _saved(figure, kind, dpi)
    try:
        write_atomic(path, data)
    except OSError as error:
        raise FileError(f"The poster can't be written to {str(path)!r}: {error.strerror or error}.") from error
    return path


def draw(
    sheet: SheetLike,
    *,
    tags: Tags | None = None,
    title: str | None = None,
    paper: Paper | None = None,
    landscape: bool = False,
    dpi: int = 200,
) -> Figure:
    """Draw the poster as a matplotlib Figure of the paper's size; see :func:`poster`."""
    done = sheet.done
    if not done:
        raise PeekError("Nothing of this sheet is drawn yet: call sheet.draw() first.")
    if paper is not None and paper not in PAPERS:
        raise PeekError(f"There is no paper size {paper!r}: choose one of {', '.join(PAPERS)}.")
    tags = sheet.tags if tags is None else tags
    size = Size.of(sheet.size)
    shape = size.height / size.width
    width, height, head = _page(paper, landscape, len(done), shape)
    room = (width - 2 * MARGIN, height - 2 * MARGIN - head)
    columns, side, points = _grid(len(done), *room, shape)
    tall = side * shape
    line = points * POINT * 1.25
    across, down = side + GAP, tall + _caption(side) + GAP
    # The height that the rows leave over goes between them, up to a fifth of a picture, and the rest above and below.
    rows = math.ceil(len(done) / columns)
    left_over = max(0.0, room[1] - rows * down + GAP)
    spread = min(left_over / max(1, rows - 1), 0.2 * tall)
    lines = min(_TAG_LINES, 1 + int(spread / line))
    left = MARGIN + (room[0] - columns * across + GAP) / 2
    top = MARGIN + head + (left_over - (rows - 1) * spread) / 2

    figure = optional_import("matplotlib.figure").Figure(figsize=(width / 25.4, height / 25.4), dpi=dpi)
    mosaic = Image.new("RGB", tuple(map(int, figure.bbox.size)), "white")
    dot = dpi / 25.4
    pixels = (max(1, round(side * dot)), max(1, round(tall * dot)))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()

    def write(x: float, y: float, words: str, size: float, **style: Any) -> None:
        # parse_math=False: a tag with two $ in it is not a formula.
        axes.text(x, y, words, fontsize=size, va="top", parse_math=False, **style)

    scale = _scale(width, height)
    name = title or f"{layer_of(sheet)} of {sheet.model_name}"
    write(MARGIN, MARGIN, _cut(name, room[0], 15 * scale), 15 * scale, weight="bold")
    for number, words in enumerate((_about(sheet), _counted(sheet, tags, room[0], 8 * scale))):
        write(MARGIN, MARGIN + (7.5 + 4.2 * number) * scale, _cut(words, room[0], 8 * scale), 8 * scale, color="#444")
    for at, (unit, one) in enumerate(done.items()):
        x, y = left + at % columns * across, top + at // columns * (down + spread)
        image = one.image.convert("RGBA").resize(pixels)
        mosaic.paste(image, (round(x * dot), round(y * dot)), image)
        if points < SMALLEST:
            continue
        write(x, y + tall + 0.4, str(unit), points, weight="bold")
        for number, words in enumerate(_wrapped(", ".join(tags.of(sheet.layer, unit)), side, points, lines), 1):
            write(x, y + tall + 0.4 + number * line, words, points)
    axes.imshow(mosaic, extent=(0, width, height, 0), interpolation="none", aspect="auto", zorder=0)
    axes.set(xlim=(0, width), ylim=(height, 0))  # imshow changes them
    return figure


def _saved(figure: Figure, kind: str, dpi: int | None = None) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, **({"dpi": dpi} if dpi else {}))
    return file.getvalue()


def _pdf(figure: Figure) -> bytes:
    """Write the figure as a PDF with its image as a JPEG; matplotlib has only lossless images, ten times as large."""
    pypdf = optional_import("pypdf")
    name = pypdf.generic.NameObject
    (shown,) = figure.axes[0].images
    mosaic = Image.fromarray(shown.get_array())
    shown.set_data(np.array([[[0, 0, 0], [255, 0, 0]]], np.uint8))  # a placeholder
    file = io.BytesIO(_saved(figure, "pdf"))
    # matplotlib's images in a PDF begin with the last row
    jpeg = jpeg_bytes(mosaic.transpose(Image.Transpose.FLIP_TOP_BOTTOM), QUALITY, full_color=True)
    writer = pypdf.PdfWriter(clone_from=file)
    images = [one.get_object() for one in writer.pages[0]["/Resources"]["/XObject"].values()]
    (placed,) = (one for one in images if one["/Subtype"] == "/Image")
    pypdf.generic.StreamObject.set_data(placed, jpeg)  # the base class's: placed.set_data would compress it again
    placed.pop("/DecodeParms", None)
    for key, value in {"/ColorSpace": "/DeviceRGB", "/Filter": "/DCTDecode"}.items():
        placed[name(key)] = name(value)
    for key, number in {"/Width": mosaic.width, "/Height": mosaic.height, "/BitsPerComponent": 8}.items():
        placed[name(key)] = pypdf.generic.NumberObject(number)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def _scale(width: float, height: float) -> float:
    """Return the factor of the heading's size: 1 on A4, growing with the square root of the paper's width."""
    return math.sqrt(min(width, height) / 210)


def _page(paper: Paper | None, landscape: bool, units: int, shape: float = 1.0) -> tuple[float, float, float]:
    """Return the page's width and height and the height of its heading, in mm; ``shape`` as in :func:`_grid`."""
    for name in (paper,) if paper else PAPERS:
        width, height = sorted(PAPERS[name], reverse=landscape)
        head = 18.0 * _scale(width, height)
        side = _grid(units, width - 2 * MARGIN, height - 2 * MARGIN - head, shape)[1]
        if side >= CELL:
            break
    return width, height, head


def _grid(units: int, width: float, height: float, shape: float = 1.0) -> tuple[int, float, float]:
    """Return the columns for which the pictures are largest, their width in mm, and the captions' size in points.

    Args:
        units: number of pictures.
        width, height: room for them in mm.
        shape: height of a picture divided by its width.
    """
    best = (1, 0.0)
    for columns in range(1, units + 1):
        rows = math.ceil(units / columns)
        low, side = 0.0, max(0.0, (width + GAP) / columns - GAP)
        if side <= best[1]:
            break
        if rows * (shape * side + _caption(side) + GAP) - GAP > height:
            for _ in range(20):
                middle = (low + side) / 2
                fits = rows * (shape * middle + _caption(middle) + GAP) - GAP <= height
                low, side = (middle, side) if fits else (low, middle)
            side = low
        if side > best[1]:
            best = (columns, side)
    return *best, _points(best[1])


def _points(side: float) -> float:
    """Return the size of the captions in points, for pictures of this side in mm."""
    return min(side / 17.0 * 5.5, 11.0)


def _caption(side: float) -> float:
    """Return the height in mm of two lines below a picture of this side; 0 where there are none."""
    return 0.4 + 2 * 1.25 * _points(side) * POINT if _points(side) >= SMALLEST else 0.0


def _cut(words: str, width: float, points: float) -> str:
    """Cut a text to the length that fits into ``width`` mm."""
    letters = max(2, int(width / (_LETTER_WIDTH * points * POINT)))
    return words if len(words) <= letters else words[: letters - 1].rstrip() + "…"


def _wrapped(words: str, width: float, points: float, lines: int) -> list[str]:
    """Break a text into lines of ``width`` mm; the last one is cut."""
    letters = max(2, int(width / (_LETTER_WIDTH * points * POINT)))
    return textwrap.wrap(words, letters, max_lines=lines, placeholder="…")


def _about(sheet: SheetLike) -> str:
    drawn, wanted = len(sheet.done), len(sheet.units)
    many = f"{drawn} units" if drawn == wanted else f"{drawn} of {wanted} units"
    size = " × ".join(map(str, Size.of(sheet.size)))
    return f"{many}  ·  recipe {sheet.recipe.name}  ·  seed {sheet.seed}  ·  {size} px"


def _counted(sheet: SheetLike, tags: Tags, width: float, points: float) -> str:
    """Write as many of the counts as fit on one line."""
    line = ""
    for count in tags.count(sheet.layer, total_of(sheet, tags)):
        longer = f"{line}{'  ·  ' if line else ''}{count.word}: {count}"
        if line and len(longer) * _LETTER_WIDTH * points * POINT > width:
            break
        line = longer
    return line

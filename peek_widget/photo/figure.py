"""A figure of what a network sees in a photo, for a talk or a report."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from peek_widget._optional import optional_import
from peek_widget.errors import PhotoError
from peek_widget.photo.firing import Firing

if TYPE_CHECKING:
    from peek_widget.photo.look import Look

__all__ = ["figure"]

_ORANGE = "#ff6a00"


def figure(look: Look, units: Sequence[Firing]) -> Image.Image:
    """Draw a photo with its predictions, and units with their maps on it; see :meth:`Look.figure`."""
    columns = 4
    rows = math.ceil(len(units) / columns)
    made = optional_import("matplotlib.figure").Figure(figsize=(11, 3.4 + 2.9 * rows), layout="constrained", dpi=110)
    above, below = made.subfigures(2, 1, height_ratios=[3.2, max(2.9 * rows, 0.1)])
    photo, bars = above.subplots(1, 2, width_ratios=[1, 1.4])
    photo.imshow(look.picture)
    photo.axis("off")
    cut = " (dark: cut off)" if look.size[0] != look.size[1] else ""
    photo.set_title(f"{look.size[0]} x {look.size[1]} px{cut}", fontsize=9)
    _predictions(look, bars)
    for axes, one in zip(below.subplots(max(rows, 1), columns, squeeze=False).flat, units, strict=False):
        try:
            axes.imshow(look.map(one.layer, one.unit).overlay(320))
        except PhotoError:  # a map that can't be laid over it
            axes.imshow(look.picture)
        known = ", ".join(one.tags) or one.label
        title = f"{one.layer or 'output'}:{one.unit}{'  ' + known if known else ''}"
        axes.set_title(f"{title:.44}\n{one.activation:.4g}, above {one.percentile:.1f} %", fontsize=8)
    for axes in below.axes:
        axes.axis("off")
    real = {one.basis for one in units} == {"evidence"}
    of = "share of real images that it exceeds" if real else "share of the layer's units that stand out less"
    below.suptitle(f"Units that fire unusually: activation before the ReLU, and {of}", fontsize=10)
    buffer = io.BytesIO()
    made.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


def _predictions(look: Look, axes: Any) -> None:
    top = list(look.predictions)[::-1]
    if not top:
        axes.axis("off")
        axes.text(0.0, 0.5, str(look.predictions), wrap=True, fontsize=9)
        return
    drawn = axes.barh(range(len(top)), [100 * one.score for one in top], color=_ORANGE)
    axes.bar_label(drawn, [f"{100 * one.score:.3g} %" for one in top], padding=3, fontsize=9)
    axes.set_yticks(range(len(top)), [f"{one.name:.40}" for one in top])
    axes.set_xlim(0, 115)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)

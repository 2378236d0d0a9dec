"""Lay pictures out side by side on one page."""

from __future__ import annotations

import torch
from PIL import Image

from peek_widget.ascent import to_pil

__all__ = ["GAP", "tile"]

GAP = 3
"""Distance between two pictures in pixels."""


def tile(pictures: torch.Tensor, columns: int, side: int) -> Image.Image:
    """Lay pictures ``[N, 3, H, W]`` in [0, 1] out in rows, each ``side`` px wide."""
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * (side + GAP) + GAP, rows * (side + GAP) + GAP), "white")
    for i, picture in enumerate(pictures):
        tile = to_pil(picture).resize((side, side), Image.Resampling.BICUBIC)
        page.paste(tile, (GAP + i % columns * (side + GAP), GAP + i // columns * (side + GAP)))
    return page

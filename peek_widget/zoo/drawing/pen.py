"""A pen that draws in the coordinates of the subject, whatever the size of the image.

A subject is drawn in a square of side 2 around the origin: x to the right and y down, both from -1 to 1. The pen maps
that square to the image (position, size, rotation), so a drawing function describes only a form. Inks are
small integers. Their colors are chosen later, at random and independently of the class, so that color does not tell
the classes apart.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

__all__ = ["PAPER", "Pen", "arc", "ellipse", "mirrored", "spline"]

#: Ink number of the background.
PAPER = 0
#: Supersampling factor of the antialiasing, along each side of a pixel.
FINE = 4


def arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, n: int = 24) -> np.ndarray:
    """Return points ``[n, 2]`` on an ellipse between two angles in degrees (0 is to the right, 90 is down)."""
    t = np.radians(np.linspace(start, stop, n))
    return np.stack([cx + rx * np.cos(t), cy + ry * np.sin(t)], axis=1)


def ellipse(cx: float, cy: float, rx: float, ry: float, turn: float = 0.0) -> np.ndarray:
    """Return points ``[36, 2]`` on a whole ellipse whose first axis is rotated by ``turn`` degrees."""
    t = np.linspace(0, 2 * math.pi, 36, endpoint=False)
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    x, y = rx * np.cos(t), ry * np.sin(t)
    return np.stack([cx + c * x - s * y, cy + s * x + c * y], axis=1)


def spline(points: list[tuple[float, float]], n: int = 12) -> np.ndarray:
    """Return a closed smooth curve (Catmull-Rom) through ``points``, with ``n`` points per segment."""
    p = np.asarray(points, float)
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = np.linspace(0, 1, n, endpoint=False)[None, :, None]
    p, before, after, beyond = p[:, None], before[:, None], after[:, None], beyond[:, None]
    curve = 0.5 * (
        2 * p
        + (after - before) * t
        + (2 * before - 5 * p + 4 * after - beyond) * t**2
        + (3 * p - before - 3 * after + beyond) * t**3
    )
    return curve.reshape(-1, 2)


def mirrored(half: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a left-right symmetric outline, given its right half from the top down."""
    left = [(-x, y) for x, y in reversed(half) if x != 0]
    return half + left


class Pen:
    """Draws filled forms and strokes by ink number on a canvas of ``size`` x ``size`` pixels.

    ``matrix`` (``[2, 2]``) and ``shift`` (``[2]``) map the subject's coordinates to image coordinates, where the
    image is the square from -1 to 1. Widths of strokes are in the subject's units.
    """

    def __init__(self, size: int, matrix: np.ndarray | None = None, shift: np.ndarray | None = None):
        self.size = size
        self.matrix: np.ndarray = np.eye(2) if matrix is None else matrix
        self.shift: np.ndarray = np.zeros(2) if shift is None else shift
        self._fine = Image.new("P", (size * FINE, size * FINE), PAPER)
        self._draw = ImageDraw.Draw(self._fine)
        # By the determinant: a stroke keeps its width when the form is squeezed along one axis.
        self._scale = math.sqrt(abs(np.linalg.det(self.matrix))) * size * FINE / 2

    def moved(self, matrix: np.ndarray, shift: np.ndarray) -> Pen:
        """Return a pen on the same canvas whose coordinates are transformed by a further matrix and shift."""
        other = Pen.__new__(Pen)
        other.size, other._fine, other._draw = self.size, self._fine, self._draw
        other.matrix = self.matrix @ matrix
        other.shift = self.shift + self.matrix @ shift
        other._scale = self._scale * math.sqrt(abs(np.linalg.det(matrix)))
        return other

    def _pixels(self, points: ArrayLike) -> list[tuple[float, float]]:
        p = np.asarray(points, float) @ self.matrix.T + self.shift
        return list(map(tuple, ((p + 1) * (self.size * FINE / 2)).tolist()))

    def fill(self, points: ArrayLike, ink: int) -> None:
        """Fill the polygon through ``points`` (``[n, 2]``)."""
        self._draw.polygon(self._pixels(points), fill=ink)

    def disc(self, cx: float, cy: float, r: float, ink: int) -> None:
        """Fill a round spot."""
        self.fill(ellipse(cx, cy, r, r), ink)

    def line(self, points: ArrayLike, width: float, ink: int, closed: bool = False) -> None:
        """Stroke a line through ``points`` with round ends and corners."""
        dots = self._pixels(points)
        if closed:
            dots.append(dots[0])
        thick = max(FINE * 0.8, width * self._scale)
        self._draw.line(dots, fill=ink, width=round(thick))
        r = thick / 2
        # Pillow leaves notches at the corners of thick lines; a spot on each closes them.
        if len(dots) > 40 and thick < 3 * FINE:
            dots = dots[:: max(1, len(dots) // 20)]
        for x, y in dots:
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)

    def cover(self, ink: int) -> np.ndarray:
        """Return the share of each pixel that has this ink, float32 [H, W] in [0, 1]."""
        mask = Image.fromarray((np.asarray(self._fine) == ink).astype(np.uint8) * 255)
        return np.asarray(mask.reduce(FINE), np.float32) / 255

    def colored(self, palette: np.ndarray) -> np.ndarray:
        """Return the canvas with ink k in color ``palette[k]`` (``[inks, 3]`` in [0, 1]) as float32 [H, W, 3]."""
        flat = np.clip(palette * 255 + 0.5, 0, 255).astype(np.uint8)
        self._fine.putpalette(flat.tobytes())
        return np.asarray(self._fine.convert("RGB").reduce(FINE), np.float32) / 255

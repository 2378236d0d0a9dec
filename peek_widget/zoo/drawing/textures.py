"""The textures: periodic patterns, as signed distances to an edge.

Each function takes the coordinates in units of the pattern's period (``u`` and ``v``, ``[H, W]``) and returns a signed
distance field: positive where there is ink, with a slope of one per period across an edge, so that the scene can draw
the edge antialiased at any size. ``duty`` (about 0.3 to 0.7) is the share of the pattern that is ink. The center of a
pattern that has one (rings, spirals) is at the origin.
"""

from __future__ import annotations

import numpy as np

from peek_widget.zoo.drawing.subject import Subject, subject

__all__ = ["TEXTURES"]

TEXTURES: dict[str, Subject] = {}


def _texture(*variants: str, period: tuple[float, float], turn: float = 180):
    return subject(TEXTURES, "texture", variants, period=period, turn=turn)


def _wrap(x: np.ndarray) -> np.ndarray:
    """Return the signed distance from the nearest integer, -0.5 to 0.5."""
    return x - np.round(x)


def _band(x: np.ndarray, duty: float) -> np.ndarray:
    """Return the field of stripes of width ``duty`` around each integer of ``x``."""
    return duty / 2 - np.abs(_wrap(x))


def _noise(rng: np.random.Generator, *cells: np.ndarray) -> np.ndarray:
    """Return a hash in [0, 1) of each cell of a grid, which depends on the cell alone."""
    a, b = rng.uniform(11, 99, 2)
    x = cells[0] * 12.9898 + (cells[1] * 78.233 if len(cells) > 1 else 0) + a
    return np.modf(np.abs(np.sin(x) * 43758.5453 + b))[0]


@_texture("even", "thin and thick", "graded", "dashed", "pairs", period=(0.28, 0.55))
def stripes(rng: np.random.Generator, variant: str, u: np.ndarray, v: np.ndarray, duty: float) -> np.ndarray:
    """Straight parallel lines."""
    if variant == "even":
        return _band(u, duty)
    if variant == "thin and thick":
        thin = 0.35 * duty
        return np.maximum(duty * 0.45 - np.abs(_wrap(u)), thin * 0.6 - np.abs(_wrap(u + 0.5)))
    if variant == "graded":
        width = 0.15 + 0.7 * _noise(rng, np.round(u))
        return width / 2 - np.abs(_wrap(u))
    if variant == "dashed":
        row = np.round(u)
        along = v / 2.2 + 0.5 * (row % 2)
        return np.minimum(_band(u, duty), 2.2 * _band(along, 0.8))
    return np.maximum(duty / 4 - np.abs(_wrap(u) - 0.2), duty / 4 - np.abs(_wrap(u) + 0.2))


@_texture("chessboard", "gingham", "lozenges", "windows", period=(0.42, 0.75))
def checks(rng: np.random.Generator, variant: str, u: np.ndarray, v: np.ndarray, duty: float) -> np.ndarray:
    """Squares of two tones in turn."""
    if variant == "lozenges":
        v = v * 0.6
    if variant == "chessboard" or variant == "lozenges":
        a, b = 0.25 - np.abs(_wrap(u)), 0.25 - np.abs(_wrap(v))
        return np.where(a * b > 0, 1, -1) * np.minimum(np.abs(a), np.abs(b))
    a, b = 0.25 - np.abs(_wrap(u)), 0.25 - np.abs(_wrap(v))
    if variant == "gingham":
        # Two woven bands: the edge value, half the ink, where only one of them lies.
        both, either = np.minimum(a, b), np.maximum(a, b)
        return np.where(both > 0, both, np.minimum(either, 0))
    inner = 0.1 - np.maximum(np.abs(_wrap(u)), np.abs(_wrap(v)))
    chess = np.where(a * b > 0, 1, -1) * np.minimum(np.abs(a), np.abs(b))
    return np.where((a > 0) & (b > 0), np.minimum(chess, -inner), chess)


@_texture("square grid", "packed", "two sizes", "circles", "scattered", period=(0.32, 0.6))
def dots(rng: np.random.Generator, variant: str, u: np.ndarray, v: np.ndarray, duty: float) -> np.ndarray:
    """Round spots, apart from each other."""
    r = 0.22 + 0.2 * duty
    if variant == "packed":
        v = v / 0.866
        u = u + 0.5 * (np.round(v) % 2)
        return r - np.hypot(_wrap(u), _wrap(v) * 0.866)
    if variant == "two sizes":
        r = np.where((np.round(u) + np.round(v)) % 2 == 0, 0.4, 0.18 + 0.12 * duty)
    elif variant == "scattered":
        i, j = np.round(u), np.round(v)
        r = 0.2 + 0.12 * _noise(rng, i, j)
        return r - np.hypot(u - i - 0.3 * (_noise(rng, i, j) - 0.5), v - j - 0.3 * (_noise(rng, i, j) - 0.5))
    d = np.hypot(_wrap(u), _wrap(v))
    if variant == "circles":
        return 0.1 + 0.03 * duty - np.abs(d - 0.3)
    return r - d


@_texture("even", "thin", "widening", "oval", "target", period=(0.3, 0.5))
def rings(rng: np.random.Generator, variant: str, u: np.ndarray, v: np.ndarray, duty: float) -> np.ndarray:
    """Closed circles, one round the other."""
    if variant == "oval":
        v = v * rng.uniform(1.3, 1.8)
    r = np.hypot(u, v)
    if variant == "thin":
        return _band(r, 0.3)
    if variant == "widening":
        return _band(1.9 * np.sqrt(r + 0.05), duty) / 1.2
    if variant == "target":
        return np.maximum(_band(r, 0.35), 0.45 - r)
    return _band(r + rng.uniform(0, 1), duty)


@_texture("one arm", "two arms", "growing", "square", "thin", period=(0.34, 0.6), turn=180)
def spiral(rng: np.random.Generator, variant: str, u: np.ndarray, v: np.ndarray, duty: float) -> np.ndarray:
    """A line that winds out from a middle and never closes."""
    hand = 1 if rng.random() < 0.5 else -1
    angle = hand * np.arctan2(v, u) / (2 * np.pi)
    r = np.hypot(u, v)
    if variant == "two arms":
        return _band(0.8 * r + 2 * angle, duty)
    if variant == "growing":
        return _band(2.0 * np.log(r + 0.15) + 2 * angle, duty) * np.clip(r / 2, 0.15, 2)
    if variant == "square":
        return _band(np.maximum(np.abs(u), np.abs(v)) + angle, duty)
    return _band(r + angle, 0.28 if variant == "thin" else duty)


@_texture("running", "third", "long and short", "herringbone", "stones", period=(0.3, 0.5), turn=180)
def bricks(rng: np.random.Generator, variant: str, u: np.ndarray, v: np.ndarray, duty: float) -> np.ndarray:
    """Oblong blocks laid in bond, with mortar between."""
    gap = 0.08 + 0.08 * duty
    row = np.floor(v)
    up = 0.5 - np.abs(v - row - 0.5) - gap
    if variant == "herringbone":
        # Blocks of 1 x 2, lying and standing by turns along a diagonal of steps.
        k = np.mod(np.floor(u) - row, 4)
        fu, fv = u - np.floor(u), v - row
        lying = k < 2
        across = np.where(lying, fv, fu)
        start = np.where(lying, fu + np.where(k == 1, 1, 0), fv + np.where(k == 2, 1, 0))
        return np.minimum(0.5 - np.abs(across - 0.5), 1 - np.abs(start - 1)) - gap
    length = 2.0
    if variant == "running":
        x = u / length + 0.5 * (row % 2)
    elif variant == "third":
        x = u / length + row / 3
    elif variant == "stones":
        x = u / length + 0.37 * row + 0.25 * np.sin(row * 5 + 1)
    else:
        x = u / length + 0.25 * (row % 2)
        cell = np.mod(x, 1)
        edge = np.minimum(np.abs(cell - 0.67), np.minimum(cell, 1 - cell))
        return np.minimum(up, length * edge - gap)
    side = length * np.abs(_wrap(x)) - gap
    return np.minimum(up, side)


@_texture("outlined", "two tones", "pointed", "ridged", "filled", period=(0.48, 0.8), turn=180)
def scales(rng: np.random.Generator, variant: str, u: np.ndarray, v: np.ndarray, duty: float) -> np.ndarray:
    """Rounded plates that overlap, row on row, as on a fish or a roof."""
    step, reach = 0.5, 0.52
    first = np.floor(v / step) - 1
    r = np.full_like(u, reach)
    tone = np.ones_like(u)
    free = np.ones(u.shape, bool)
    # A row lies on top of the next one below it, so the first row that reaches a point has it.
    for k in range(4):
        row = first + k
        x, y = np.abs(_wrap(u + 0.5 * (row % 2))), v - row * step
        here = np.hypot(x + 0.3, y) - 0.3 if variant == "pointed" else np.hypot(x, y)
        taken = free & (here < reach)
        r = np.where(taken, here, r)
        tone = np.where(taken, 1 - 2 * (row % 2), tone)
        free &= ~taken
    rim = reach - r
    if variant == "two tones":
        return tone * np.minimum(rim, 0.2)
    if variant == "ridged":
        return np.maximum(0.1 - rim, 0.06 - np.abs(r - 0.24))
    if variant == "filled":
        return rim - 0.1 - 0.06 * duty
    return 0.06 + 0.1 * duty - rim


@_texture("sharp", "steep", "flat", "pairs", "thin", period=(0.38, 0.65))
def zigzag(rng: np.random.Generator, variant: str, u: np.ndarray, v: np.ndarray, duty: float) -> np.ndarray:
    """Lines that turn in sharp corners, to and fro."""
    slope = {"steep": 1.9, "flat": 0.85}.get(variant, 1.3)
    x = u + slope * np.abs(_wrap(v / 1.5)) * 1.5 / 1.2
    lean = 1 / np.hypot(1, slope / 1.2)
    if variant == "pairs":
        return lean * np.maximum(0.12 - np.abs(_wrap(x) - 0.2), 0.07 - np.abs(_wrap(x) + 0.2))
    return lean * _band(x, 0.28 if variant == "thin" else duty)


@_texture("even", "high", "thin", "ripples", "pairs", period=(0.38, 0.65))
def waves(rng: np.random.Generator, variant: str, u: np.ndarray, v: np.ndarray, duty: float) -> np.ndarray:
    """Lines that swing softly, to and fro."""
    height = {"high": 0.42, "ripples": 0.22}.get(variant, 0.33)
    length = {"ripples": 1.4}.get(variant, 2.0)
    x = u + height * np.sin(2 * np.pi * v / length)
    lean = 1 / np.hypot(1, 0.7 * height * 2 * np.pi / length * np.cos(2 * np.pi * v / length))
    if variant == "pairs":
        return lean * np.maximum(0.12 - np.abs(_wrap(x) - 0.2), 0.07 - np.abs(_wrap(x) + 0.2))
    return lean * _band(x, 0.28 if variant == "thin" else duty)


@_texture("walls", "cells", "drawn out", "filled", "double walls", period=(0.42, 0.7))
def honeycomb(rng: np.random.Generator, variant: str, u: np.ndarray, v: np.ndarray, duty: float) -> np.ndarray:
    """Six-sided cells without a gap."""
    if variant == "drawn out":
        v = v * 0.72
    h = 0.8660254
    # The two lattices whose nearer point is the cell's center.
    ax, ay = _wrap(u), _wrap(v / (2 * h)) * 2 * h
    bx, by = _wrap(u + 0.5), _wrap(v / (2 * h) + 0.5) * 2 * h
    near = np.hypot(ax, ay) < np.hypot(bx, by)
    x, y = np.abs(np.where(near, ax, bx)), np.abs(np.where(near, ay, by))
    edge = 0.5 - np.maximum(x, 0.5 * x + h * y)
    if variant == "cells":
        return edge - 0.1 - 0.06 * duty
    if variant == "filled":
        return np.maximum(0.05 - edge, edge - 0.28)
    if variant == "double walls":
        return np.maximum(0.045 - edge, 0.045 - np.abs(edge - 0.19))
    return 0.06 + 0.09 * duty - edge

"""The shapes: single outlines, filled, outlined, bordered or nested.

A shape is an outline (``[n, 2]`` points in the pen's coordinates). How it is filled is chosen at random from the same
styles for all of them, so that the filling does not tell shapes apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from peek_widget.zoo.drawing.pen import PAPER, Pen, arc, mirrored
from peek_widget.zoo.drawing.subject import Subject, subject

__all__ = ["SHAPES"]

SHAPES: dict[str, Subject] = {}

_Outline = Callable[[np.random.Generator, str], ArrayLike]


def _shape(*variants: str, turn: float) -> Callable[[_Outline], _Outline]:
    def enter(outline: _Outline) -> _Outline:
        def draw(rng: np.random.Generator, variant: str, pen: Pen) -> None:
            _ink(rng, pen, np.asarray(outline(rng, variant), float))

        draw.__name__, draw.__doc__ = outline.__name__, outline.__doc__
        subject(SHAPES, "shape", variants, turn=turn)(draw)
        return outline

    return enter


def _ink(rng: np.random.Generator, pen: Pen, outline: np.ndarray) -> None:
    """Fill, outline, border or nest the shape."""
    style = rng.choice(["filled", "filled", "outlined", "bordered", "nested"])
    width = rng.uniform(0.12, 0.26)
    if style == "outlined":
        pen.fill(outline, PAPER)
        pen.line(outline, width, 1, closed=True)
        return
    pen.fill(outline, 1)
    if style == "bordered":
        pen.line(outline, width * 0.8, 2, closed=True)
    elif style == "nested":
        middle = (outline.min(0) + outline.max(0)) / 2 if rng.random() < 0.5 else outline.mean(0)
        pen.fill(middle + (outline - middle) * rng.uniform(0.4, 0.6), 2)


def _fan(n: int, radii, start: float = -90) -> np.ndarray:
    """Return points at even angles, with the given radii in turn."""
    t = np.radians(start + 360 * np.arange(n) / n)
    r = np.resize(np.asarray(radii, float), n)
    return np.stack([r * np.cos(t), r * np.sin(t)], axis=1)


@_shape("five points", "fat five", "six points", "four points", "eight points", turn=180)
def star(rng: np.random.Generator, variant: str) -> ArrayLike:
    """Points that stand out all round."""
    n, inner = {
        "five points": (5, 0.4),
        "fat five": (5, 0.56),
        "six points": (6, 0.5),
        "four points": (4, 0.34),
        "eight points": (8, 0.55),
    }[variant]
    return _fan(2 * n, [1, inner * rng.uniform(0.9, 1.1)])


@_shape("round", "long", "wide", "straight-sided", turn=35)
def heart(rng: np.random.Generator, variant: str) -> ArrayLike:
    """Two lobes above, one point below."""
    if variant == "straight-sided":
        left, right = arc(-0.45, -0.3, 0.46, 0.46, 140, 360, 20), arc(0.45, -0.3, 0.46, 0.46, 180, 400, 20)
        return np.concatenate([left, right, [(0, 0.9)]])
    t = np.linspace(0, 2 * math.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) - 2.5
    sx, sy = {"round": (1, 1), "long": (0.82, 1.1), "wide": (1.12, 0.85)}[variant]
    return np.stack([x * sx, y * sy], axis=1) / 16


@_shape("thin", "thick", "half moon", "long horns", turn=180)
def crescent(rng: np.random.Generator, variant: str) -> ArrayLike:
    """A moon: a disc with a bite from the side."""
    # The bite is a second circle; the angles are where the two cross.
    bite, off = {
        "thin": (0.86, 0.36),
        "thick": (0.8, 0.62),
        "half moon": (1.2, 1.0),
        "long horns": (0.74, 0.3),
    }[variant]
    x = (off**2 + 1 - bite**2) / (2 * off)
    x = min(max(x, -0.95), 0.95)
    y = math.sqrt(1 - x * x)
    outer = math.degrees(math.atan2(y, x))
    inner = math.degrees(math.atan2(y, x - off))
    back = arc(0, 0, 1, 1, outer, 360 - outer, 40)
    belly = arc(off, 0, bite, bite, 360 - inner, inner, 30)
    return np.concatenate([back, belly]) + np.array([0.15, 0])


@_shape("thick", "thin", "long foot", "flared", "rounded", turn=180)
def cross(rng: np.random.Generator, variant: str) -> ArrayLike:
    """Four arms at right angles."""
    if variant == "flared":
        a, b = rng.uniform(0.12, 0.2), rng.uniform(0.42, 0.55)
        quarter = [(a, -a), (b, -1), (-b, -1), (-a, -a)]
        points = []
        for k in range(4):
            c, s = math.cos(-k * math.pi / 2), math.sin(-k * math.pi / 2)
            points += [(c * x - s * y, s * x + c * y) for x, y in quarter]
        return points
    w = {"thin": 0.17, "thick": 0.34}.get(variant, 0.24)
    low, bar = (1.0, -0.3) if variant == "long foot" else (1.0, 0.0)
    reach = 0.72 if variant == "long foot" else 1.0
    if variant == "rounded":
        w = 0.28
        ends = [arc(0, -0.75, w, w, 180, 360, 9), arc(0.75, 0, w, w, -90, 90, 9)]
        ends += [arc(0, 0.75, w, w, 0, 180, 9), arc(-0.75, 0, w, w, 90, 270, 9)]
        corners = [(w, -w), (w, w), (-w, w), (-w, -w)]
        return np.concatenate([np.vstack([e, c]) for e, c in zip(ends, corners, strict=True)])
    right = [(w, -1), (w, bar - w), (reach, bar - w), (reach, bar + w), (w, bar + w), (w, low)]
    return mirrored(right)


@_shape("block", "long", "barbed", "two heads", "feathered", turn=180)
def arrow(rng: np.random.Generator, variant: str) -> ArrayLike:
    """A shaft with a pointed head."""
    w = rng.uniform(0.16, 0.26)
    if variant == "two heads":
        return mirrored([(0, -1), (0.62, -0.35), (w, -0.35), (w, 0.35), (0.62, 0.35), (0, 1)])
    if variant == "barbed":
        return mirrored([(0, -1), (0.75, 0.1), (w, -0.2), (w, 1)])
    if variant == "feathered":
        return mirrored([(0, -1), (0.6, -0.3), (w, -0.3), (w, 0.35), (0.5, 0.6), (0.5, 1), (0, 0.75)])
    head, wing = (-0.4, 0.52) if variant == "long" else (0.05, 0.85)
    return mirrored(
        [
            (0, -1),
            (wing, head),
            (w if variant == "long" else 1.5 * w, head),
            (w if variant == "long" else 1.5 * w, 1),
        ]
    )


@_shape("equal sides", "tall", "right-angled", "rounded", turn=180)
def triangle(rng: np.random.Generator, variant: str) -> ArrayLike:
    """Three corners."""
    if variant == "equal sides":
        return _fan(3, [1])
    if variant == "tall":
        return [(0, -1), (0.55, 0.8), (-0.55, 0.8)]
    if variant == "right-angled":
        return [(-0.75, -0.9), (0.85, 0.75), (-0.75, 0.75)]
    corners = _fan(3, [0.72])
    starts = (-150, -30, 90)
    return np.concatenate([arc(x, y, 0.24, 0.24, a, a + 120, 8) for (x, y), a in zip(corners, starts, strict=True)])


@_shape("classic", "three bends", "narrow", "wide", turn=40)
def bolt(rng: np.random.Generator, variant: str) -> ArrayLike:
    """Lightning: a bent flash that ends in a point."""
    if variant == "three bends":
        points = [
            (0.35, -1),
            (-0.55, -0.4),
            (-0.05, -0.35),
            (-0.5, 0.15),
            (0.0, 0.2),
            (-0.35, 1.0),
            (0.6, -0.02),
            (0.15, -0.1),
            (0.62, -0.5),
            (0.22, -0.55),
            (0.75, -1),
        ]
    else:
        points = [(0.25, -1), (-0.6, 0.12), (-0.08, 0.12), (-0.3, 1), (0.6, -0.25), (0.08, -0.25), (0.62, -1)]
    stretch = {"narrow": 0.75, "wide": 1.25}.get(variant, 1.0)
    hand = 1 if rng.random() < 0.5 else -1
    return np.asarray(points) * (hand * stretch, 1)


@_shape("round", "slender", "flowing", "sharp", turn=40)
def drop(rng: np.random.Generator, variant: str) -> ArrayLike:
    """A drop of water: round below, a point above."""
    if variant == "sharp":
        return np.concatenate([[(0, -1)], arc(0, 0.32, 0.62, 0.62, -28, 208, 30)])
    t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    power = {"round": 1.2, "slender": 1.7, "flowing": 2.4}[variant]
    wide = {"round": 0.85, "slender": 0.75, "flowing": 1.1}[variant]
    return np.stack([wide * np.sin(t) * np.sin(t / 2) ** power, -np.cos(t)], axis=1)

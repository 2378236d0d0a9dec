"""The composed objects: forms made of parts that have to be in the right positions.

Inks 1 to 4 are four colors that differ from each other and from the paper; `scene` chooses them.
"""

from __future__ import annotations

import math

import numpy as np

from peek_widget.zoo.drawing.pen import Pen, arc, ellipse, mirrored, spline
from peek_widget.zoo.drawing.subject import Subject, subject

__all__ = ["COMPOSED"]

COMPOSED: dict[str, Subject] = {}


def _thing(*variants: str, turn: float):
    return subject(COMPOSED, "composed", variants, turn=turn)


def _box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


@_thing("almond", "wide open", "lashes", "slit pupil", "lidded", turn=25)
def eye(rng: np.random.Generator, variant: str, pen: Pen) -> None:
    """An opening of two arcs with an iris and a pupil in it."""
    high = {"wide open": 0.66, "lidded": 0.48}.get(variant, 0.52) * rng.uniform(0.92, 1.1)
    t = np.linspace(-1, 1, 25)
    lid = high * (1 - t**2)
    outline = np.concatenate([np.stack([t, -lid], 1), np.stack([t[::-1], lid[::-1]], 1)[1:-1]])
    iris = high * rng.uniform(0.72, 0.9)
    if variant == "lashes":
        for x in (-0.75, -0.4, 0.0, 0.4, 0.75):
            y = -high * (1 - x**2)
            pen.line([(x, y), (1.22 * x, y - 0.34)], 0.1, 4)
    pen.fill(outline, 1)
    pen.disc(0, 0, iris, 2)
    if variant == "slit pupil":
        pen.fill(ellipse(0, 0, 0.13, iris * 0.9), 3)
    else:
        pen.disc(0, 0, iris * rng.uniform(0.42, 0.58), 3)
    if variant == "lidded":
        upper = np.stack([t, -lid], 1)
        pen.fill(np.concatenate([upper, np.stack([t, -lid * 0.35], 1)[::-1]]), 4)
    pen.line(outline, rng.uniform(0.08, 0.14), 4, closed=True)


@_thing("smile", "open mouth", "frown", "nose", "square head", turn=25)
def face(rng: np.random.Generator, variant: str, pen: Pen) -> None:
    """A head with two eyes above a mouth."""
    if variant == "square head":
        half = [(0, -0.9), (0.8, -0.85), (0.85, 0), (0.8, 0.85), (0, 0.9)]
        head = spline(mirrored(half))
    else:
        head = ellipse(0, 0, rng.uniform(0.75, 0.95), 0.95)
    pen.fill(head, 1)
    apart, high, r = rng.uniform(0.3, 0.4), rng.uniform(-0.4, -0.22), rng.uniform(0.12, 0.19)
    for side in (-1, 1):
        pen.fill(ellipse(side * apart, high, r, r * rng.uniform(1, 1.4)), 2)
    wide = rng.uniform(0.36, 0.5)
    if variant == "open mouth":
        pen.fill(ellipse(0, 0.45, wide * 0.75, 0.24), 2)
    elif variant == "frown":
        pen.line(arc(0, 0.68, wide, 0.3, 200, 340), 0.12, 2)
    else:
        pen.line(arc(0, 0.25, wide, 0.36, 15, 165), rng.uniform(0.1, 0.16), 2)
    if variant == "nose":
        pen.line([(0, -0.15), (0.1, 0.15), (-0.06, 0.17)], 0.1, 2)
    if rng.random() < 0.4:
        pen.line(head, 0.1, 3, closed=True)


@_thing("five petals", "daisy", "on a stem", "pointed petals", "two rounds", turn=30)
def flower(rng: np.random.Generator, variant: str, pen: Pen) -> None:
    """Petals round a middle."""
    n = {"daisy": 10, "pointed petals": 8, "two rounds": 7}.get(variant, int(rng.integers(5, 7)))
    cy, r = 0.0, 1.0
    if variant == "on a stem":
        cy, r = -0.38, 0.62
        pen.line([(0, -0.3), (0.05, 1)], 0.13, 4)
        pen.fill(ellipse(0.3, 0.55, 0.3, 0.12, -35), 4)
    start = rng.uniform(0, 360)
    wide = {"daisy": 0.17, "pointed petals": 0.28}.get(variant, 1.55 / n)
    for ring, ink in ((1.0, 1), (0.62, 2)) if variant == "two rounds" else ((1.0, 1),):
        for k in range(n):
            a = start + 360 * k / n + (180 / n if ring < 1 else 0)
            c, s = math.cos(math.radians(a)), math.sin(math.radians(a))
            if variant == "pointed petals":
                at = np.array([(0.2, 0.0), (0.55, wide), (1.0, 0.0), (0.55, -wide)]) * r
                petal = at @ np.array([[c, s], [-s, c]]) + (0, cy)
            else:
                out, long, broad = 0.62 * ring * r, 0.38 * ring * r, wide * ring * r
                petal = ellipse(out * c, cy + out * s, long, broad, a)
            pen.fill(petal, ink)
    pen.disc(0, cy, r * rng.uniform(0.22, 0.32), 3)


@_thing("spokes", "cart wheel", "tyre", "steering wheel", turn=180)
def wheel(rng: np.random.Generator, variant: str, pen: Pen) -> None:
    """A rim, a hub and spokes between them."""
    spokes = {"spokes": 8, "cart wheel": 6, "tyre": 5, "steering wheel": 3}[variant] + int(rng.integers(0, 2))
    rim = {"spokes": 0.12, "cart wheel": 0.22, "tyre": 0.34, "steering wheel": 0.2}[variant]
    thin = {"spokes": 0.07, "cart wheel": 0.14, "tyre": 0.15, "steering wheel": 0.2}[variant]
    start = rng.uniform(0, 360)
    if rng.random() < 0.5:
        pen.disc(0, 0, 0.9, 2)
    for k in range(spokes):
        a = math.radians(start + 360 * k / spokes)
        pen.line([(0, 0), (0.9 * math.cos(a), 0.9 * math.sin(a))], thin, 1)
    pen.line(ellipse(0, 0, 1 - rim / 2, 1 - rim / 2), rim, 1 if variant != "tyre" else 4, closed=True)
    pen.disc(0, 0, rng.uniform(0.18, 0.28), 3 if rng.random() < 0.5 else 1)


@_thing("gable", "hipped", "chimney", "two floors", "barn", turn=20)
def house(rng: np.random.Generator, variant: str, pen: Pen) -> None:
    """Walls under a roof, with a door or windows."""
    w = rng.uniform(0.62, 0.78)
    eaves = -0.3 if variant == "two floors" else rng.uniform(-0.15, 0.0)
    if variant == "chimney":
        pen.fill(_box(0.3, -0.9, 0.52, eaves), 4)
    pen.fill(_box(-w, eaves, w, 0.95), 1)
    over = w + rng.uniform(0.08, 0.2)
    roof = {
        "hipped": [(-over, eaves), (-0.4, -0.8), (0.4, -0.8), (over, eaves)],
        "barn": [(-over, eaves), (-over * 0.75, -0.55), (0, -0.95), (over * 0.75, -0.55), (over, eaves)],
    }.get(variant, [(-over, eaves), (0, -0.98), (over, eaves)])
    pen.fill(roof, 2)
    door = rng.uniform(-0.12, 0.12) if variant != "two floors" else 0
    pen.fill(_box(door - 0.16, 0.45, door + 0.16, 0.95), 3)
    rows = [(-0.08, 0.2), (0.42, 0.7)] if variant == "two floors" else [(0.15, 0.45)]
    for top, low in rows:
        for x in (-0.45, 0.45):
            pen.fill(_box(x - 0.14, top, x + 0.14, low), 3)


@_thing("fir", "round crown", "cloud crown", "bare", "poplar", turn=18)
def tree(rng: np.random.Generator, variant: str, pen: Pen) -> None:
    """A trunk below a crown."""
    trunk = rng.uniform(0.11, 0.17)
    if variant == "bare":
        pen.line([(0, 1), (0, -0.3)], 2 * trunk, 1)
        for y, side, long in ((0.25, 1, 0.6), (0.05, -1, 0.7), (-0.2, 1, 0.6), (-0.3, -1, 0.5)):
            tip = (side * long, y - 0.62)
            pen.line([(0, y), tip], 0.13, 1)
            pen.line([(side * long * 0.55, y - 0.34), (side * long * 0.5, y - 0.78)], 0.09, 1)
        pen.line([(0, -0.3), (0.05, -1)], 0.11, 1)
        return
    pen.fill(_box(-trunk, 0.1, trunk, 1), 1)
    if variant == "fir":
        for top, low, wide in ((-0.15, 0.62, 0.8), (-0.58, 0.18, 0.62), (-1, -0.25, 0.45)):
            pen.fill([(0, top), (wide, low), (-wide, low)], 2)
    elif variant == "round crown":
        pen.disc(0, -0.32, 0.68, 2)
    elif variant == "poplar":
        pen.fill(ellipse(0, -0.28, 0.42, 0.75), 2)
    else:
        pen.disc(0, -0.3, 0.45, 2)
        for x, y in ((-0.42, -0.1), (0.42, -0.1), (-0.25, -0.55), (0.28, -0.55)):
            pen.disc(x, y, 0.4, 2)


@_thing("oval", "lens", "striped", "finned", "round", turn=25)
def fish(rng: np.random.Generator, variant: str, pen: Pen) -> None:
    """A body that ends in a tail fin, with an eye at the other end."""
    hand = 1 if rng.random() < 0.5 else -1
    pen = pen.moved(np.diag([hand, 1.0]), np.zeros(2))
    high = {"round": 0.62, "lens": 0.42}.get(variant, 0.48)
    pen.fill([(0.35, 0), (0.98, -0.48), (0.82, 0), (0.98, 0.48)], 2)
    if variant == "finned":
        pen.fill([(-0.35, -0.3), (0.25, -0.85), (0.3, -0.2)], 2)
        pen.fill([(-0.2, 0.3), (0.2, 0.8), (0.3, 0.2)], 2)
    if variant == "lens":
        t = np.linspace(-1, 1, 25)
        y = high * (1 - t**2)
        body = np.concatenate([np.stack([0.8 * t - 0.2, -y], 1), np.stack([0.8 * t - 0.2, y], 1)[::-1]])
    else:
        body = ellipse(-0.22, 0, 0.72, high)
    pen.fill(body, 1)
    if variant == "striped":
        for x in (-0.25, 0.02, 0.29):
            y = high * 0.9 * math.sqrt(max(0.0, 1 - ((x + 0.22) / 0.72) ** 2))
            pen.line([(x, -y), (x, y)], 0.11, 2)
    elif variant != "lens":
        pen.fill([(-0.15, 0.0), (0.2, 0.22), (0.2, -0.1)], 2)
    pen.disc(-0.6, -0.1, 0.12, 3)


@_thing("rounded", "pointed", "spotted", "swallowtail", turn=40)
def butterfly(rng: np.random.Generator, variant: str, pen: Pen) -> None:
    """Two pairs of wings, mirrored about a thin body."""
    up, out = rng.uniform(0.5, 0.62), rng.uniform(0.48, 0.55)
    for side in (-1, 1):
        if variant in ("pointed", "swallowtail"):
            pen.fill(np.array([(0, 0.1), (0.55, -0.85), (1, -0.9), (0.92, -0.25)]) * (side, 1), 1)
            low = [(0, 0), (0.8, 0.05), (0.72, 0.6), (0.35, 0.95 if variant == "swallowtail" else 0.7)]
            pen.fill(np.array(low) * (side, 1), 2)
        else:
            pen.fill(ellipse(side * out, -0.38, 0.58, 0.42, side * -up * 60), 1)
            pen.fill(ellipse(side * 0.4, 0.45, 0.44, 0.34, side * 35), 2)
        if variant == "spotted":
            pen.disc(side * 0.6, -0.42, 0.17, 3)
            pen.disc(side * 0.42, 0.46, 0.13, 3)
        pen.line([(0, -0.55), (side * 0.28, -0.98)], 0.07, 4)
    pen.fill(ellipse(0, 0.02, 0.11, 0.68), 4)


@_thing("one sail", "two sails", "square sail", "pennant", turn=20)
def boat(rng: np.random.Generator, variant: str, pen: Pen) -> None:
    """A hull under sail."""
    deck = rng.uniform(0.38, 0.5)
    pen.fill([(-0.95, deck), (0.95, deck), (0.6, 0.95), (-0.6, 0.95)], 1)
    pen.line([(0, deck), (0, -0.98)], 0.09, 4)
    hand = 1 if rng.random() < 0.5 else -1
    if variant == "square sail":
        pen.fill([(-0.6, -0.7), (0.6, -0.7), (0.7, 0.2), (-0.7, 0.2)], 2)
    else:
        pen.fill([(hand * 0.08, -0.92), (hand * 0.8, deck - 0.14), (hand * 0.08, deck - 0.14)], 2)
        if variant in ("two sails", "pennant"):
            pen.fill([(-hand * 0.1, -0.7), (-hand * 0.65, deck - 0.14), (-hand * 0.1, deck - 0.14)], 3)
        if variant == "pennant":
            pen.fill([(0, -1), (-hand * 0.4, -0.88), (0, -0.74)], 3)


@_thing("round cap", "pointed cap", "flat cap", "spotted", turn=22)
def mushroom(rng: np.random.Generator, variant: str, pen: Pen) -> None:
    """A cap on a stalk."""
    w = rng.uniform(0.17, 0.25)
    pen.fill([(-w, 0), (w, 0), (w * 1.4, 0.95), (-w * 1.4, 0.95)], 1)
    if variant == "pointed cap":
        pen.fill(spline([(0, -1), (0.45, -0.4), (0.82, 0.12), (0, 0.2), (-0.82, 0.12), (-0.45, -0.4)]), 2)
    elif variant == "flat cap":
        pen.fill(np.concatenate([arc(0, 0.05, 0.95, 0.6, 180, 360), [(0.5, 0.2), (-0.5, 0.2)]]), 2)
    else:
        pen.fill(np.concatenate([arc(0, 0.08, 0.88, 1.0, 180, 360), arc(0, 0.08, 0.88, 0.16, 0, 180)]), 2)
    if variant == "spotted":
        for x, y, r in ((-0.4, -0.28, 0.17), (0.15, -0.55, 0.18), (0.45, -0.12, 0.15)):
            pen.disc(x, y, r, 3)

"""Paint a subject as an image: position, color, clutter, lighting, exposure and noise.

All of these have the same distributions for every class, and the exposure is set last, to a brightness and a contrast
that don't depend on the image. So only structure tells the classes apart, not color or brightness.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from peek_widget.zoo.drawing.pen import PAPER, Pen, spline
from peek_widget.zoo.drawing.subject import Subject

__all__ = ["paint"]

#: Ink numbers of the clutter; 1 to 4 are the subject's.
CLUTTER = (5, 6)


def _palette(rng: np.random.Generator) -> np.ndarray:
    """Choose seven colors ``[7, 3]``: the inks differ from the paper, and the first ones from each other."""
    tries = rng.random((64, 3))
    chosen = [tries[0]]
    for least in (0.55, 0.4, 0.4, 0.4, 0.3, 0.3):
        far = np.min([np.abs(tries - c).max(axis=1) for c in chosen[:4]], axis=0)
        fit = np.flatnonzero(far > least)
        # The farthest color where no color is far enough.
        chosen.append(tries[fit[0]] if len(fit) else tries[far.argmax()])
    return np.array(chosen)


def _turned(degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s], [s, c]])


def _scrap(rng: np.random.Generator, pen: Pen, ink: int) -> None:
    """Draw a piece of clutter: a small stroke, spot or chip."""
    at, long = rng.uniform(-0.95, 0.95, 2), rng.uniform(0.08, 0.3)
    away = _turned(rng.uniform(0, 360)) @ (long, 0)
    kind = rng.integers(3)
    if kind == 0:
        pen.line([at, at + away + rng.uniform(-0.08, 0.08, 2), at + 1.8 * away], rng.uniform(0.03, 0.08), ink)
    elif kind == 1:
        pen.disc(*at, 0.45 * long, ink)
    else:
        pen.fill(at + long * 0.6 * rng.uniform(-1, 1, (4, 2)), ink)


def _blob(rng: np.random.Generator) -> np.ndarray:
    """Return a round, uneven outline that covers most of the image."""
    t = np.linspace(0, 2 * math.pi, 9, endpoint=False)
    r = rng.uniform(0.7, 1.15, 9)
    return spline(np.stack([r * np.cos(t), r * np.sin(t)], 1) + rng.uniform(-0.2, 0.2, 2))


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    at = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    return np.broadcast_to(at[None, :], (size, size)), np.broadcast_to(at[:, None], (size, size))


def _light(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return the lighting as a factor ``[H, W, 1]``: a gradient across the image, with soft blotches."""
    x, y = _grid(size)
    lean = rng.uniform(0, 0.3)
    a = rng.uniform(0, 2 * math.pi)
    coarse = Image.fromarray(rng.normal(size=(5, 5)).astype(np.float32), "F")
    blotches = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    return (1 + lean * (math.cos(a) * x + math.sin(a) * y) + rng.uniform(0, 0.08) * blotches)[..., None]


def _expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Set each channel to a random mean and standard deviation that don't depend on the image."""
    spread = rng.uniform(0.1, 0.2) * rng.uniform(0.7, 1.3, 3)
    level = 0.5 + rng.uniform(-0.16, 0.16) + rng.uniform(-0.1, 0.1, 3)
    mean, deviation = image.mean((0, 1)), image.std((0, 1))
    return (image - mean) * (spread / np.maximum(deviation, 0.08)) + level


def _texture(rng: np.random.Generator, subject: Subject, variant: str, size: int, palette: np.ndarray):
    turn = _turned(rng.uniform(-subject.turn, subject.turn))
    period = rng.uniform(*subject.period)
    squeeze = math.exp(rng.uniform(-0.12, 0.12))
    center = rng.uniform(-0.45, 0.45, 2)
    x, y = _grid(size)
    x, y = x - np.float32(center[0]), y - np.float32(center[1])
    u = (turn[0, 0] * x + turn[0, 1] * y) / (period * squeeze)
    v = (turn[1, 0] * x + turn[1, 1] * y) / (period / squeeze)
    field = subject.draw(rng, variant, u, v, rng.uniform(0.32, 0.68))
    ink = np.clip(field * (period * size / 2) + 0.5, 0, 1)[..., None]

    pen = Pen(size)
    for k in range(rng.integers(0, 4)):
        _scrap(rng, pen, CLUTTER[k % 2])
    region = rng.random() < 0.45
    outline = _blob(rng) if region else [(-2, -2), (2, -2), (2, 2), (-2, 2)]
    pen.fill(outline, 1)
    for k in range(rng.integers(0, 3)):
        _scrap(rng, pen, CLUTTER[k % 2])
    ground, mark = palette[2 if region else PAPER].copy(), palette[1].copy()
    palette[1] = ground
    return pen.colored(palette) + pen.cover(1)[..., None] * ink * (mark - ground).astype(np.float32)


def _form(rng: np.random.Generator, subject: Subject, variant: str, size: int, palette: np.ndarray):
    pen = Pen(size)
    for k in range(rng.integers(0, 4)):
        _scrap(rng, pen, CLUTTER[k % 2])
    radius = rng.uniform(0.56, 0.88)
    squeeze = math.exp(rng.uniform(-0.12, 0.12))
    matrix = _turned(rng.uniform(-subject.turn, subject.turn)) @ np.diag([radius * squeeze, radius / squeeze])
    slack = 1.0 - radius
    subject.draw(rng, variant, pen.moved(matrix, rng.uniform(-slack, slack, 2)))
    for k in range(rng.integers(0, 3)):
        _scrap(rng, pen, CLUTTER[k % 2])
    return pen.colored(palette)


def paint(rng: np.random.Generator, subject: Subject, variant: str, size: int) -> np.ndarray:
    """Paint one image of the subject, float32 ``[size, size, 3]`` in [0, 1].

    The noise is sampled last, so the same generator state paints the same scene at every size.
    """
    palette = _palette(rng)
    draw = _texture if subject.kind == "texture" else _form
    image = draw(rng, subject, variant, size, palette)
    image = _expose(rng, image * _light(rng, size))
    image += rng.uniform(0, 0.05) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 1, out=image).astype(np.float32, copy=False)

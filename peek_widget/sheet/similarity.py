"""An order of pictures that puts similar ones side by side."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from peek_widget._optional import optional_import

__all__ = ["features", "order"]

Picture = Image.Image | np.ndarray | bytes

SIDE = 32
"""Side in pixels to which a picture is scaled before its features are computed."""
CELLS = 4
"""Number of cells per side in which edges and layout are averaged."""
BINS = 6
"""Number of directions of edges."""
WEIGHTS = {"color": 1.0, "edges": 1.2, "layout": 0.6}
"""Standard deviation of each part of the features. Found on SqueezeNet's sheets: color is what the eye sees first, the
direction of edges tells apart the units of early layers, the layout those of late ones."""


def order(pictures: Iterable[Picture]) -> list[int]:
    """Compute a permutation that puts similar pictures side by side.

    Ward's hierarchical clustering of features (see :func:`features`); where two groups are joined, each is reversed
    where that brings their most similar ends together (Gruvaeus & Wainer 1972). A tree keeps groups whole, which an
    order along one axis of the features (a spectral one) does not: it mixes pictures that have only their position on
    that axis in common. (SciPy's optimal leaf order was not better on 240 units of SqueezeNet, and takes minutes for
    2,048.) The result is deterministic.

    Args:
        pictures: Pillow images, arrays ``[H, W, 3]`` (uint8, or floats in [0, 1]), or a file's bytes.

    Returns:
        Indices into ``pictures``, each once.

    Raises:
        PeekError: with the command that installs it, if scipy is not installed.
    """
    described = features(pictures)
    if len(described) < 3:
        return list(range(len(described)))
    tree = optional_import("scipy.cluster.hierarchy").linkage(described, "ward")
    return _leaf_order(tree, described)


def _leaf_order(tree: np.ndarray, described: np.ndarray) -> list[int]:
    """Return the leaves of a tree (as scipy's linkage gives it), each branch reversed where that joins similar ends."""
    branches: list[list[int]] = [[leaf] for leaf in range(len(described))]
    for one, other in tree[:, :2].astype(int):
        left, right = branches[one], branches[other]
        ends = described[[left[0], left[-1]]][:, None] - described[[right[0], right[-1]]][None]
        at = int(np.square(ends).sum(-1).argmin())
        left = left[::-1] if at < 2 else left  # its first leaf goes beside the other branch
        right = right[::-1] if at % 2 else right
        branches.append(left + right)
    return branches[-1]


def features(pictures: Iterable[Picture]) -> np.ndarray:
    """Compute features of pictures, ``[N, D]`` float32, to be compared by Euclidean distance.

    They have three parts, weighted by :data:`WEIGHTS`: the color (mean, standard deviation and a coarse histogram of
    opponent channels), the edges (strength by direction, in 4 x 4 cells and overall, at two scales) and the layout
    (lightness and opponent colors in 4 x 4 cells).
    """
    given = [_small(picture) for picture in pictures]
    if not given:
        return np.zeros((0, 1), np.float32)
    small = np.stack(given)
    light, red, green, blue = small.mean(-1), small[..., 0], small[..., 1], small[..., 2]
    channels = np.stack([light, red - green, (red + green) / 2 - blue], -1)
    halved = (light[:, ::2, ::2] + light[:, 1::2, ::2] + light[:, ::2, 1::2] + light[:, 1::2, 1::2]) / 4
    parts = {
        "color": np.concatenate([channels.mean((1, 2)), channels.std((1, 2)), _histogram(channels)], -1),
        "edges": np.concatenate([_edges(light), _edges(halved)], -1),
        "layout": _cells(channels).reshape(len(small), -1),
    }
    return np.concatenate([_scaled(part) * WEIGHTS[name] for name, part in parts.items()], -1).astype(np.float32)


def _small(picture: Picture) -> np.ndarray:
    """Return a picture as ``[SIDE, SIDE, 3]`` float32 in [0, 1], on middle gray where it is transparent."""
    if isinstance(picture, bytes):
        picture = Image.open(io.BytesIO(picture))
    elif isinstance(picture, np.ndarray):
        picture = picture if picture.dtype == np.uint8 else (picture * 255.0).round().clip(0, 255).astype(np.uint8)
        picture = Image.fromarray(picture)
    if picture.has_transparency_data:
        ground = Image.new("RGBA", picture.size, (128, 128, 128, 255))
        picture = Image.alpha_composite(ground, picture.convert("RGBA"))
    picture = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(picture, np.float32) / 255.0


def _cells(values: np.ndarray) -> np.ndarray:
    """Average in CELLS x CELLS cells: ``[N, S, S, C]`` to ``[N, CELLS, CELLS, C]``."""
    n, side, _, channels = values.shape
    step = side // CELLS
    return values.reshape(n, CELLS, step, CELLS, step, channels).mean((2, 4))


def _edges(light: np.ndarray) -> np.ndarray:
    """Compute the strength of edges by direction, in each cell and overall; ``[N, S, S]`` to ``[N, D]``."""
    down, right = np.gradient(light, axis=(1, 2))
    strength = np.hypot(down, right)
    angle = np.mod(np.arctan2(down, right) / np.pi, 1.0) * BINS
    # Each edge counts for its two nearest directions, so that a slight rotation changes little.
    low = np.floor(angle).astype(int)
    share = angle - low
    by = np.zeros((*light.shape, BINS), np.float32)
    np.put_along_axis(by, (low % BINS)[..., None], (strength * (1 - share))[..., None], -1)
    other = np.zeros_like(by)
    np.put_along_axis(other, ((low + 1) % BINS)[..., None], (strength * share)[..., None], -1)
    cells = np.sqrt(_cells(by + other))  # the square root keeps a strong edge from hiding the others
    return np.concatenate([cells.reshape(len(light), -1), cells.mean((1, 2)) * CELLS], -1)


def _histogram(channels: np.ndarray) -> np.ndarray:
    """Compute a coarse histogram of the two opponent channels; ``[N, S, S, 3]`` to ``[N, 25]``."""
    edges = np.array([-0.15, -0.05, 0.05, 0.15])
    box = np.digitize(channels[..., 1], edges) * 5 + np.digitize(channels[..., 2], edges)
    return np.sqrt(np.stack([(box == at).mean((1, 2)) for at in range(25)], -1))


def _scaled(part: np.ndarray) -> np.ndarray:
    """Center a part of the features and scale it to a root mean square norm of 1; a constant part becomes 0."""
    part = part - part.mean(0)
    spread = np.sqrt(np.square(part).sum(-1).mean())
    return part / spread if spread > 1e-6 else np.zeros_like(part)

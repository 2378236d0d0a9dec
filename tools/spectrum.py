"""Measure the spectrum of natural images that MACO keeps: ``python -m tools.spectrum FOLDER``.

FOLDER holds photographs (those of ``shared/data/imagenet-samples``, 250 of 256 x 256 px, gave the table in the
package). Of each the magnitudes are those of its periodic component (Moisan 2011, "Periodic plus smooth image
decomposition"): a transform joins opposite borders of a photograph, and the step between them would add a cross of
high frequencies that no photograph contains. They are taken in decorrelated color and averaged over the photographs.

What is kept is smooth, and says nothing about any single photograph: the logarithm of the magnitude by frequency
(every half octave) and orientation (every 15 degrees, left and right taken together), fitted by least squares. The
frequencies above the table's are shaped by how the photographs were made smaller; there the spectrum follows the power
law. Writes ``peek_widget/ascent/spectrum.json``.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from peek_widget._size import Size
from peek_widget.ascent.pictures import as_picture, center_cut
from peek_widget.ascent.spectrum import NATURAL, decorrelate, log_polar

__all__ = ["fit", "main", "mean_magnitude", "periodic"]

SIDE = 256
OCTAVES = [n / 2 for n in range(14)]
"""Knots of the fit by frequency: powers of 2 in cycles a picture, up to 90.5."""

ORIENTATIONS = [15.0 * n for n in range(7)]
"""Knots by orientation, in degrees from horizontal to vertical frequencies."""


def periodic(images: Tensor) -> Tensor:
    """Return the transform of the periodic component of images ``[N, C, S, S]``: complex ``[N, C, S, S // 2 + 1]``."""
    steps = torch.zeros_like(images)
    down, across = images[:, :, -1] - images[:, :, 0], images[..., -1] - images[..., 0]
    steps[:, :, 0] += down
    steps[:, :, -1] -= down
    steps[..., 0] += across
    steps[..., -1] -= across
    rows = torch.fft.fftfreq(images.shape[-2], dtype=torch.float64)
    columns = torch.fft.rfftfreq(images.shape[-1], dtype=torch.float64)
    laplacian = 2.0 * torch.cos(2.0 * math.pi * rows)[:, None] + 2.0 * torch.cos(2.0 * math.pi * columns)[None] - 4.0
    laplacian[0, 0] = 1.0  # the smooth component has no mean
    smooth = torch.fft.rfft2(steps) / laplacian
    smooth[..., 0, 0] = 0.0
    return torch.fft.rfft2(images) - smooth


def mean_magnitude(paths: list[Path], side: int = SIDE) -> Tensor:
    """Return the mean magnitude of every frequency over photographs, ``[3, side, side // 2 + 1]``."""
    total = torch.zeros(3, side, side // 2 + 1, dtype=torch.float64)
    for path in paths:
        with Image.open(path) as image:
            picture = center_cut(as_picture(image.convert("RGB")), Size(side, side))
        total += periodic(decorrelate(picture[None]).double()).abs()[0]
    return total / len(paths)


def _spread(x: Tensor, y: Tensor, x_knots: list[float], y_knots: list[float]) -> Tensor:
    """Return the weights of bilinear interpolation in a table: for points ``[N]``, ``[N, x_knots * y_knots]``.

    The knots are equally spaced, and the points are within them.
    """
    weights = []
    for values, knots in ((x, x_knots), (y, y_knots)):
        places = torch.arange(len(knots), dtype=torch.float64)
        position = (values - knots[0]) / (knots[1] - knots[0])
        weights.append((1.0 - (position[:, None] - places).abs()).clamp(min=0.0))
    return (weights[0][:, :, None] * weights[1][:, None, :]).flatten(1)


def fit(magnitude: Tensor) -> np.ndarray:
    """Fit the table to magnitudes ``[3, S, S // 2 + 1]``: natural logarithms, ``[3, frequencies, orientations]``."""
    octave, degrees = log_polar(magnitude.shape[1])
    held = octave <= OCTAVES[-1]
    held[0, 0] = False  # the mean
    weights = _spread(octave[held], degrees[held], OCTAVES, ORIENTATIONS)
    # One vote for each stretch of log frequency: there are as many more frequencies as they are higher.
    vote = 2.0 ** -octave[held]
    # At the lowest frequencies few orientations exist: what no frequency decides follows its neighbors.
    count = len(ORIENTATIONS)
    bend = torch.zeros(len(OCTAVES), count - 1, len(OCTAVES), count, dtype=torch.float64)
    for row in range(len(OCTAVES)):
        for column in range(count - 1):
            bend[row, column, row, column], bend[row, column, row, column + 1] = 0.05, -0.05
    left = torch.cat([weights * vote[:, None], bend.flatten(2).flatten(0, 1)])
    right = torch.cat([magnitude[:, held].log() * vote, torch.zeros(3, len(bend) * (count - 1))], 1).T
    found = torch.linalg.lstsq(left, right.double()).solution.T
    return found.reshape(3, len(OCTAVES), count).numpy()


def main() -> None:
    """Measure the photographs of a folder, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with photographs as .jpg")
    paths = sorted(parser.parse_args().folder.glob("*.jpg"))
    measured = mean_magnitude(paths)
    table = fit(measured)
    table -= table.max()
    text = {
        "about": f"Mean spectrum of {len(paths)} photographs of {SIDE} px in decorrelated color, as natural logarithms "
        "by channel, frequency and orientation; measured by tools/spectrum.py.",
        "octaves": OCTAVES,
        "orientations": ORIENTATIONS,
        "log_magnitude": [[[round(float(v), 3) for v in row] for row in channel] for channel in table],
    }
    NATURAL.write_text(json.dumps(text, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{len(paths)} photographs, {NATURAL.stat().st_size} bytes: {NATURAL}")


if __name__ == "__main__":
    main()

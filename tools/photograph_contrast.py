"""Measure the contrast of photographs in bands of frequencies, the table in peek_widget/ascent/contrast.py.

python -m tools.photograph_contrast ../shared/data/imagenet-samples
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

from peek_widget._size import Size
from peek_widget.ascent.contrast import Bands
from peek_widget.ascent.param import decorrelated_logits
from peek_widget.ascent.pictures import as_picture, center_cut

SIDE, EDGE = 256, 0.02


def main() -> None:
    """Print the mean energy of each band and the standard deviation of the means, by channel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    paths = sorted(parser.parse_args().folder.glob("*.jpg"))
    for mode, channels in (("RGB", 3), ("L", 1)):
        bands = Bands(SIDE, channels, torch.device("cpu"))
        found, means = [], []
        for path in paths:
            picture = center_cut(as_picture(Image.open(path).convert(mode)), Size(SIDE, SIDE))[None]
            values = decorrelated_logits(picture, EDGE)
            found.append(bands.energies(torch.fft.rfft2(values, norm="ortho"))[0, :, :-1])
            means.append(values.mean(dim=(2, 3))[0])
        print(f"{mode}, {len(paths)} photographs")
        for energies, deviation in zip(torch.stack(found).mean(0), torch.stack(means).std(0), strict=True):
            print("  ", " ".join(f"{e:.3f}" for e in energies.tolist()), "| mean", f"{deviation:.3f}")


if __name__ == "__main__":
    main()

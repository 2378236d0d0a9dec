"""How the tests of this folder read an image: as a pass over a dataset does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from peek_widget.evidence.dataset import Source, read_source
from peek_widget.evidence.loading import Loaded, load_one
from peek_widget.evidence.prepare import Preparer, to_picture
from peek_widget.evidence.value_range import ValueRanges
from peek_widget.network import Preprocess

SIDE = 8


def ramp(low: float, high: float, dtype: Any) -> np.ndarray:
    """Numbers that rise from the lowest to the highest over the pixels of an image."""
    return np.linspace(low, high, SIDE * SIDE).astype(dtype).reshape(SIDE, SIDE)


TRUTH = torch.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE)
"""What such an image is to the network where its lowest number is black and its highest white."""


def colors(seed: int = 0, side: int = SIDE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def opened(source: Any, channels: int = 1, value_range: Any = None, **given: Any) -> tuple[Source, Preparer]:
    source = read_source(source, **given)
    ranges = ValueRanges(value_range, source.sample)
    return source, Preparer(channels, SIDE, SIDE, False, Preprocess(channels=channels), ranges)


def loaded(dataset: Any, channels: int = 1, index: int = 0, **given: Any) -> Loaded:
    source, preparer = opened(dataset, channels, **given)
    return load_one(source, preparer, index)


def pixels(dataset: Any, channels: int = 1, index: int = 0, **given: Any) -> torch.Tensor:
    """The image as the network gets it, ``[C, H, W]`` in [0, 1]."""
    found = loaded(dataset, channels, index, **given)
    assert found.pixels is not None, found.reason
    return found.pixels.float() / 255 if found.pixels.dtype == torch.uint8 else found.pixels


def shown(dataset: Any, channels: int = 1, index: int = 0) -> torch.Tensor:
    """The image as a crop shows it, ``[H, W]`` in [0, 1]."""
    source, preparer = opened(dataset, channels)
    return torch.from_numpy(np.array(to_picture(source.load(index)[0], preparer).convert("L"))) / 255

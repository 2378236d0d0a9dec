"""Testing whether a preprocess function works pixel by pixel, and whether it draws random numbers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from peek_widget._size import Size, SizeLike
from peek_widget.errors import ModelError

__all__ = ["Pixels", "check_pixelwise", "own_random_state", "try_pixels"]

_SIDES = (16, 8, 32)  # sides of further test images, as differences from the network's input in pixels
_SEEDS = 6
# A pixel that changes by less than this share of the changed pixel's change has little of it ...
_LITTLE = 0.05
# ... and below this share, only rounding.
_ROUNDING = 1e-4
_MOST = 96


@dataclass(frozen=True)
class Pixels:
    """What a preprocess function does to pixels.

    Attributes:
        moves: how it moves or blends pixels, so that it can't be used, as the end of a sentence; "" if it does not.
        mixes: whether a little of the pixels around comes into a pixel.
        random: whether it draws random numbers.
        together: whether it makes something else of an image in a batch than of one alone, without being random.
    """

    moves: str = ""
    mixes: bool = False
    random: bool = False
    together: bool = False

    @property
    def alone(self) -> bool:
        """Whether it has to get one image at a time, so that an image gives the same result in every batch."""
        return self.random or self.together


def check_pixelwise(
    function: Callable[[Tensor], Tensor], channels: int, size: SizeLike, device: torch.device
) -> Pixels:
    """Return what a preprocess function does to pixels, see :func:`try_pixels`.

    Raises:
        ModelError: if it resizes, crops, moves or blends them, with what it does and what to give instead.
    """
    found = try_pixels(function, channels, size, device)
    if found.moves:
        raise ModelError(
            f"preprocess {found.moves}. Here it must work pixel by pixel, or it would be unknown which part of a "
            "photograph a unit sees: images are resized, and their centers cut out, when they are loaded. Give what "
            "only changes pixels (a normalization), with Preprocess(..., resize=256) for how images are resized; or "
            "torchvision's own steps (Compose([Resize(256), CenterCrop(224), ToTensor(), Normalize(mean, std)]), "
            "weights.transforms()), which are recognized."
        )
    return found


def try_pixels(function: Callable[[Tensor], Tensor], channels: int, size: SizeLike, device: torch.device) -> Pixels:
    """Find out what a preprocess function does to pixels.

    It is called on noise of some sizes: what it returns must have the same height and width; where one pixel of the
    noise is changed, that pixel of what it returns must change, and no other by more than a twentieth as much. (A
    standardization by the image's own mean and deviation changes every pixel a little, which is no mixing of
    neighbors.) A function that draws random numbers is tried with several seeds; the caller's random states stay as
    they were. What it makes of an image in a batch must be what it makes of the image alone.

    Args:
        function: a function of images ``[N, C, H, W]`` in [0, 1].
        channels: number of channels of the images.
        size: size of the network's input in pixels.
        device: where the images are.
    """
    generator = torch.Generator().manual_seed(0)
    height, width = Size.of(size)

    def noise(height: int, width: int) -> Tensor:
        images = torch.rand(1, channels, height, width, generator=generator, dtype=torch.float32, device="cpu")
        return images.mul(0.5).add(0.25).to(device)

    mixes = draws = False
    with own_random_state(device), torch.no_grad():
        for more in (0, *_SIDES):
            images = noise(height + more, width + more)
            made = _run(function, images, 0)
            if made is not None and made.shape[-2:] != images.shape[-2:]:
                return Pixels(
                    f"made {made.shape[-2]} x {made.shape[-1]} px of an image of {images.shape[-2]} x "
                    f"{images.shape[-1]}: it resizes or crops"
                )
        height, width = min(height, _MOST), min(width, _MOST)
        images = noise(height, width)
        spots = [(height // 3, width // 4), (1, width - 2), (height - 2, width // 2)]
        first: Tensor | None = None
        for seed in range(_SEEDS):
            before = _run(function, images, seed)
            if before is None:
                break
            if first is not None and torch.equal(before, first):
                break  # it draws nothing
            draws = first is not None
            first = before
            for row, column in spots:
                changed = images.clone()
                # Within the range of the other pixels, so that scaling by the image's extremes stays the same.
                changed[..., row, column] = torch.where(changed[..., row, column] < 0.5, 0.7, 0.3)
                after = _run(function, changed, seed)
                if after is None:
                    return Pixels()
                moved = (after.float() - before.float()).abs().flatten(0, 1).amax(0)
                here = float(moved[row, column])
                moved[row, column] = 0.0
                if float(moved.max()) > _LITTLE * here:
                    return Pixels(
                        "changed other pixels than the one that was changed in the image: it moves pixels (crops, "
                        "flips, pads) or blends them (blurs, sharpens)"
                    )
                touched = int((moved > _ROUNDING * here).sum())
                mixes = mixes or 0 < touched < moved.numel() // 2
        if first is None or draws:
            return Pixels("", mixes, draws)
        both = _run(function, torch.cat([images, noise(height, width).sub(0.25).mul(2.0)]), 0)
        together = both is None or not torch.allclose(both[:1], first, rtol=1e-4, atol=1e-5)
    return Pixels("", mixes, draws, together)


def _run(function: Callable[[Tensor], Tensor], images: Tensor, seed: int) -> Tensor | None:
    """Call the function, with random states seeded; None where it raises, which is said elsewhere."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    try:
        made = function(images.clone())
    except Exception:
        return None
    return made if isinstance(made, Tensor) and made.ndim == 4 else None


@contextlib.contextmanager
def own_random_state(device: torch.device) -> Iterator[None]:
    """Save the random states of torch (on the CPU and this device), Python and numpy, and restore them afterwards."""
    pythons, numpys = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)

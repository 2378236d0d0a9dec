"""Check that a preprocess function goes pixel by pixel, so that the pixels of its output are those of the image."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from peek_widget.errors import ModelError

__all__ = ["check_pixelwise", "own_random_state"]

_SIDES = (16, 8, 32)  # pixels by which the images differ from the network's input that are tried besides
_SEEDS = 6
# A pixel that changes by less than this share of what the changed pixel does was touched by a mean over the image.
_LITTLE = 0.05
_MOST = 96


def check_pixelwise(function: Callable[[Tensor], Tensor], channels: int, size: int, device: torch.device) -> None:
    """Raise ModelError if a preprocess function resizes, crops, moves or blends pixels.

    It is called on noise of some sizes: what it returns must have the same height and width; where one pixel of the
    noise is changed, that pixel of what it returns must change, and no other by more than a twentieth as much (a
    standardization by the image's own mean and deviation changes all a little). A function that draws random numbers is
    tried with several seeds; the caller's random states stay as they were.

    Args:
        function: a function of images ``[N, C, H, W]`` in [0, 1].
        channels: number of channels of the images.
        size: side of the network's input in pixels.
        device: where the images are.

    Raises:
        ModelError: if it does, with what it does and what to give instead.
    """
    generator = torch.Generator().manual_seed(0)

    def noise(height: int, width: int) -> Tensor:
        images = torch.rand(1, channels, height, width, generator=generator, dtype=torch.float32, device="cpu")
        return images.mul(0.5).add(0.25).to(device)

    with own_random_state(device), torch.no_grad():
        for more in (0, *_SIDES):
            images = noise(size + more, size + more)
            made = _run(function, images, 0)
            if made is not None and made.shape[-2:] != images.shape[-2:]:
                raise _refusal(
                    f"made {made.shape[-2]} x {made.shape[-1]} px of an image of {images.shape[-2]} x "
                    f"{images.shape[-1]}: it resizes or crops"
                )
        side = min(size, _MOST)
        images = noise(side, side)
        spots = [(side // 3, side // 4), (1, side - 2), (side - 2, side // 2)]
        first: Tensor | None = None
        for seed in range(_SEEDS):
            before = _run(function, images, seed)
            if before is None:
                return
            if first is not None and torch.equal(before, first):
                break  # it draws nothing
            first = before
            for row, column in spots:
                changed = images.clone()
                # Within the range of the others, so that what scales an image by its extremes changes nothing else.
                changed[..., row, column] = torch.where(changed[..., row, column] < 0.5, 0.7, 0.3)
                after = _run(function, changed, seed)
                if after is None:
                    return
                moved = (after.float() - before.float()).abs().flatten(0, 1).amax(0)
                here = float(moved[row, column])
                moved[row, column] = 0.0
                if float(moved.max()) > _LITTLE * here:
                    raise _refusal(
                        "changed other pixels than the one of the image that was changed: it moves pixels (crops, "
                        "flips, pads) or blends them (blurs, sharpens)"
                    )


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


def _refusal(what: str) -> ModelError:
    return ModelError(
        f"preprocess {what}. Here it has to go pixel by pixel, or it would not be known which part of a photograph a "
        "unit sees: images are resized, and their centers cut out, when they are loaded. Give what only changes pixels "
        "(a normalization), with Preprocess(..., resize=256) for how images are resized; or torchvision's own steps "
        "(Compose([Resize(256), CenterCrop(224), ToTensor(), Normalize(mean, std)]), weights.transforms()), which are "
        "recognized."
    )


@contextlib.contextmanager
def own_random_state(device: torch.device) -> Iterator[None]:
    """Let torch (on the CPU and this device), Python and numpy draw what they like; put their states back after."""
    pythons, numpys = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)

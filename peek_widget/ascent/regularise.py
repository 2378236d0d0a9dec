"""Regularisers: what keeps a picture from filling with the fine grain that excites a network and nobody else."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from peek_widget.ascent.image import Fourier, Image, Pixels
from peek_widget.ascent.views import Window

__all__ = ["blur", "decay", "total_variation_gradient"]


def blur(image: Image, sigma: float, windows: Sequence[Window]) -> None:
    """Gaussian blur of the pictures after a step (Yosinski et al. 2015; Øygard 2016).

    Args:
        image: changed in place.
        sigma: standard deviation in pixels of the picture; 0 does nothing.
        windows: of each picture, the rows and columns that are blurred, the others being left as they are; a
            spectrum has none and is blurred as a whole.
    """
    if sigma <= 0.0:
        return
    with torch.no_grad():
        if isinstance(image, Fourier):
            # A blur is a product there: the transform of a Gaussian is a Gaussian.
            transfer = torch.exp(-2.0 * (math.pi * sigma * image.frequency) ** 2)
            image.parameter.mul_(transfer[..., None])
            return
        # Here and not at the top: most runs do without, and importing torchvision takes a second.
        from torchvision.transforms.v2.functional import gaussian_blur

        for picture, (rows, columns) in zip(image.parameter, windows, strict=True):
            part = picture[:, rows, columns]
            radius = min(int(4.0 * sigma + 0.5), min(part.shape[-2:]) - 1)  # as far as scipy's gaussian_filter reaches
            if radius > 0:
                picture[:, rows, columns] = gaussian_blur(part, [2 * radius + 1] * 2, [sigma, sigma])


def decay(image: Image, rate: float, neutral: Tensor) -> None:
    """Draw the picture towards what the network sees as zero, by this share of the way (L2 decay).

    Args:
        image: changed in place.
        rate: share in [0, 1) for each step; 0 does nothing.
        neutral: the colour ``[C]`` in [0, 1] towards which pixels go; a spectrum goes to mid-grey.
    """
    if rate <= 0.0:
        return
    with torch.no_grad():
        if isinstance(image, Pixels):
            target = (255.0 * neutral).to(image.parameter.device).view(1, -1, 1, 1)
            image.parameter.sub_(rate * (image.parameter - target))
        else:
            image.parameter.mul_(1.0 - rate)


def total_variation_gradient(pictures: Tensor) -> Tensor:
    """Gradient of the anisotropic total variation: each pixel's count of neighbours below it, less those above.

    Args:
        pictures: ``[N, C, H, W]``.

    Returns:
        the same shape, each entry from -4 to 4; smooth slopes, where what is above and below balances, give 0.
    """
    gradient = torch.zeros_like(pictures)
    down = torch.sign(pictures[:, :, 1:] - pictures[:, :, :-1])
    across = torch.sign(pictures[:, :, :, 1:] - pictures[:, :, :, :-1])
    gradient[:, :, 1:] += down
    gradient[:, :, :-1] -= down
    gradient[:, :, :, 1:] += across
    gradient[:, :, :, :-1] -= across
    return gradient

"""Regularizers: what keeps a picture from filling with the fine grain that excites a network and nobody else.

Two kinds: pulls, which are added to the objective's gradient (total variation, L1), and filters, which change
the picture after a step (blur, decay, the clipping of weak pixels, the bilateral filter).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget.ascent.param import Fourier, Image, Maco, Pixels
from peek_widget.ascent.views import Window

__all__ = [
    "bilateral",
    "blur",
    "clip_contribution",
    "clip_norm",
    "decay",
    "l1_gradient",
    "total_variation_gradient",
]


def blur(image: Image, sigma: float, windows: Sequence[Window]) -> None:
    """Gaussian blur of the pictures after a step (Yosinski et al. 2015; Øygard 2016).

    Args:
        image: changed in place.
        sigma: standard deviation in pixels of the picture; 0 does nothing.
        windows: of each picture, the rows and columns that are blurred, the others being left as they are; a
            spectrum has none and is blurred as a whole. MACO's fixed spectrum is that of pictures blurred once.
    """
    if isinstance(image, Maco):
        image.blur(sigma)
        return
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
    """Draw the picture toward what the network sees as zero, by this share of the way (L2 decay).

    Args:
        image: changed in place.
        rate: share in [0, 1) for each step; 0 does nothing.
        neutral: the color ``[C]`` in [0, 1] toward which pixels go; a spectrum goes to mid-gray.
    """
    if rate <= 0.0:
        return
    with torch.no_grad():
        if isinstance(image, Pixels):
            image.parameter.sub_(rate * (image.parameter - _levels(neutral, image)))
        else:
            image.parameter.mul_(1.0 - rate)


def total_variation_gradient(pictures: Tensor) -> Tensor:
    """Gradient of the anisotropic total variation: each pixel's count of neighbors below it, less those above.

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


def l1_gradient(pictures: Tensor) -> Tensor:
    """Gradient of the summed distance from mid-gray: the sign of each pixel's (Lucid's ``L1`` with constant 0.5)."""
    return torch.sign(pictures - 0.5)


def clip_norm(image: Pixels, percentile: float, neutral: Tensor) -> None:
    """Set pixels whose color lies nearest to what the network sees as zero to exactly that (Yosinski et al. 2015).

    Args:
        image: changed in place.
        percentile: in [0, 100): so many of a picture's pixels are set.
        neutral: that color, ``[C]`` in [0, 1].
    """
    if percentile <= 0.0:
        return
    with torch.no_grad():
        target = _levels(neutral, image)
        _set_weakest(image.parameter, (image.parameter - target).norm(dim=1), percentile, target)


def clip_contribution(image: Pixels, gradient: Tensor, percentile: float, neutral: Tensor) -> None:
    """Set pixels without which the objective would hardly be less to what the network sees as zero (Yosinski).

    The contribution of a pixel is estimated to first order: ``|sum_c g_c (x_c - neutral_c)|``.

    Args:
        image: changed in place.
        gradient: of the objective by the pictures, ``[N, C, S, S]``.
        percentile: in [0, 100): so many of a picture's pixels are set.
        neutral: that color, ``[C]`` in [0, 1].
    """
    if percentile <= 0.0:
        return
    with torch.no_grad():
        target = _levels(neutral, image)
        _set_weakest(image.parameter, (gradient * (image.parameter - target)).sum(1).abs(), percentile, target)


def _levels(neutral: Tensor, image: Pixels) -> Tensor:
    """A color ``[C]`` in [0, 1] in gray levels, beside the pixels."""
    return (255.0 * neutral).to(image.parameter.device).view(1, -1, 1, 1)


def _set_weakest(pixels: Tensor, strength: Tensor, percentile: float, target: Tensor) -> None:
    # kthvalue and not quantile, which refuses pictures of more than 16 million pixels.
    flat = strength.flatten(1)
    rank = min(int(percentile / 100.0 * flat.shape[1]), flat.shape[1] - 1)
    if rank < 1:
        return
    limit = flat.kthvalue(rank + 1, dim=1).values.view(-1, 1, 1)
    pixels.copy_(torch.where((strength < limit)[:, None], target, pixels))


def bilateral(image: Pixels, sigma: float, color: float) -> None:
    """Bilateral filter after a step: blurs areas and keeps edges (Tomasi & Manduchi 1998; Tyka 2016 for ascent).

    Args:
        image: changed in place.
        sigma: deviation in pixels of the picture; less than 0.1, which reaches no neighbor, does nothing. It
            reaches two deviations far, at most 5 px.
        color: deviation in color, as a share of the range from black to white: neighbors that differ by much
            more than this are not mixed.
    """
    if sigma < 0.1:
        return
    with torch.no_grad():
        pixels = image.parameter
        reach = min(max(1, round(2.0 * sigma)), 5, pixels.shape[-1] - 1)
        side = pixels.shape[-1]
        padded = F.pad(pixels, [reach] * 4, mode="reflect")
        total, weights = torch.zeros_like(pixels), torch.zeros_like(pixels[:, :1])
        for y in range(2 * reach + 1):
            for x in range(2 * reach + 1):
                near = padded[:, :, y : y + side, x : x + side]
                distance = ((y - reach) ** 2 + (x - reach) ** 2) / (2.0 * sigma**2)
                contrast = (near - pixels).square().mean(1, keepdim=True) / (2.0 * (255.0 * color) ** 2)
                weight = torch.exp(-contrast - distance)
                total += weight * near
                weights += weight
        pixels.copy_(total / weights)

"""Regularizers: what keeps a picture from filling with high-frequency noise.

There are two kinds: penalties, whose gradients are added to the objective's (total variation, L1), and filters, which
change the picture after a step (blur, decay, clipping of weak pixels, the bilateral filter).
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
    "is_off",
    "l1_gradient",
    "total_variation_gradient",
]


def is_off(number: float | Tensor) -> bool:
    """Return whether a number makes its regularizer do nothing; False of a tensor, whose value is not looked at."""
    return not isinstance(number, Tensor) and number <= 0.0


def blur(image: Image, sigma: float | Tensor, windows: Sequence[Window]) -> None:
    """Blur the pictures with a Gaussian after a step (Yosinski et al. 2015; Øygard 2016).

    Args:
        image: the pictures, changed in place. For MACO the blur is applied to the fixed magnitudes, once and not
            again at every step.
        sigma: standard deviation in pixels of the picture; 0 does nothing. For a spectrum it may be a tensor.
        windows: the rows and columns of each picture that are blurred (pixels only; a spectrum is blurred as a whole).
    """
    if isinstance(image, Maco):
        image.blur(float(sigma))
        return
    if is_off(sigma):
        return
    with torch.no_grad():
        if isinstance(image, Fourier):
            # Convolution with a Gaussian is a product with a Gaussian in the spectrum.
            transfer = torch.exp(-2.0 * (math.pi * sigma * image.frequency) ** 2)
            image.parameter.mul_(transfer[..., None])
            return
        sigma = float(sigma)
        # Imported here: most runs do not need it, and importing torchvision takes a second.
        from torchvision.transforms.v2.functional import gaussian_blur

        for picture, (rows, columns) in zip(image.parameter, windows, strict=True):
            part = picture[:, rows, columns]
            radius = min(int(4.0 * sigma + 0.5), min(part.shape[-2:]) - 1)  # the radius of scipy's gaussian_filter
            if radius > 0:
                picture[:, rows, columns] = gaussian_blur(part, [2 * radius + 1] * 2, [sigma, sigma])


def decay(image: Image, rate: float | Tensor, neutral: Tensor) -> None:
    """Move the pictures toward the color that the network sees as zero (L2 decay).

    Args:
        image: the pictures, changed in place.
        rate: share of the way that is moved, in [0, 1); 0 does nothing.
        neutral: that color, ``[C]`` in [0, 1]; a spectrum decays to mid-gray.
    """
    if is_off(rate):
        return
    with torch.no_grad():
        if isinstance(image, Pixels):
            image.parameter.sub_(rate * (image.parameter - _gray_levels(neutral, image)))
        else:
            image.parameter.mul_(1.0 - rate)


def total_variation_gradient(pictures: Tensor) -> Tensor:
    """Compute the gradient of the anisotropic total variation (Mahendran & Vedaldi 2015, with exponent 1).

    Args:
        pictures: ``[N, C, H, W]``.

    Returns:
        For each pixel the number of its neighbors that are smaller, minus the number of those that are larger:
        ``[N, C, H, W]``, from -4 to 4. On a smooth slope it is 0.
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
    """Compute the gradient of the L1 distance from mid-gray, the sign of each pixel (Lucid's ``L1``, constant 0.5)."""
    return torch.sign(pictures - 0.5)


def clip_norm(image: Pixels, percentile: float, neutral: Tensor) -> None:
    """Clear the pixels with the smallest norm: set them to what the network sees as zero (Yosinski et al. 2015).

    Args:
        image: the pictures, changed in place.
        percentile: percentage of each picture's pixels that are cleared, in [0, 100).
        neutral: the color that the network sees as zero, ``[C]`` in [0, 1]; the norm is the distance from it.
    """
    if percentile <= 0.0:
        return
    with torch.no_grad():
        target = _gray_levels(neutral, image)
        _set_weakest(image.parameter, (image.parameter - target).norm(dim=1), percentile, target)


def clip_contribution(image: Pixels, gradient: Tensor, percentile: float, neutral: Tensor) -> None:
    """Clear the pixels with the smallest contribution to the objective (Yosinski et al. 2015).

    The contribution of a pixel x is estimated to first order: ``|sum_c g_c (x_c - neutral_c)|``.

    Args:
        image: the pictures, changed in place.
        gradient: gradient g of the objective with respect to the pictures, ``[N, C, H, W]``.
        percentile: percentage of each picture's pixels that are cleared, in [0, 100).
        neutral: the color that the network sees as zero and that cleared pixels get, ``[C]`` in [0, 1].
    """
    if percentile <= 0.0:
        return
    with torch.no_grad():
        target = _gray_levels(neutral, image)
        _set_weakest(image.parameter, (gradient * (image.parameter - target)).sum(1).abs(), percentile, target)


def _gray_levels(neutral: Tensor, image: Pixels) -> Tensor:
    """Return a color ``[C]`` in [0, 1] in gray levels, on the pixels' device, ``[1, C, 1, 1]``."""
    return (255.0 * neutral).to(image.parameter.device).view(1, -1, 1, 1)


def _set_weakest(pixels: Tensor, strength: Tensor, percentile: float, target: Tensor) -> None:
    # kthvalue, because quantile refuses pictures of more than 16 million pixels.
    flat = strength.flatten(1)
    rank = min(int(percentile / 100.0 * flat.shape[1]), flat.shape[1] - 1)
    if rank < 1:
        return
    limit = flat.kthvalue(rank + 1, dim=1).values.view(-1, 1, 1)
    pixels.copy_(torch.where((strength < limit)[:, None], target, pixels))


def bilateral(image: Pixels, sigma: float, color: float) -> None:
    """Smooth areas and keep edges, by a bilateral filter (Tomasi & Manduchi 1998; Tyka 2016 for gradient ascent).

    Args:
        image: the pictures, changed in place.
        sigma: spatial standard deviation in pixels; below 0.1, where no neighbor has weight, nothing is done. The
            filter's radius is two standard deviations, at most 5 px.
        color: standard deviation in color, as a share of the range from black to white: neighbors that differ by much
            more are not mixed.
    """
    if sigma < 0.1:
        return
    with torch.no_grad():
        pixels = image.parameter
        reach = min(max(1, round(2.0 * sigma)), 5, min(pixels.shape[-2:]) - 1)
        height, width = pixels.shape[-2:]
        padded = F.pad(pixels, [reach] * 4, mode="reflect")
        total, weights = torch.zeros_like(pixels), torch.zeros_like(pixels[:, :1])
        for y in range(2 * reach + 1):
            for x in range(2 * reach + 1):
                near = padded[:, :, y : y + height, x : x + width]
                distance = ((y - reach) ** 2 + (x - reach) ** 2) / (2.0 * sigma**2)
                contrast = (near - pixels).square().mean(1, keepdim=True) / (2.0 * (255.0 * color) ** 2)
                weight = torch.exp(-contrast - distance)
                total += weight * near
                weights += weight
        pixels.copy_(total / weights)

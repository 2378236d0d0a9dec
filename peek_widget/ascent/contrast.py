"""The contrast of a picture: the energy of each frequency band, relative to photographs.

An optimizer that may use any contrast drives the lowest frequencies into black and white before it draws anything. MACO
(Fel et al. 2023) fixes the magnitude of every frequency; here only the energy of each octave or so has an upper limit,
and within it the optimizer decides where and how much, so that plain areas remain possible. A unit that asks for little
leaves its picture pale instead: the whole spectrum is then scaled up to a lower limit, which changes no proportion.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peek_widget._size import Size, SizeLike
from peek_widget.ascent.spectrum import frequencies

__all__ = ["BANDS", "Bands"]

# Measured by tools/photograph_contrast.py on 250 photographs of 256 px (one of every fourth class of ImageNet): the
# mean variance that each band contributes to the logits of the pixels (their values through the inverse of the sigmoid,
# clamped to 0.02 .. 0.98), and the standard deviation of the photographs' mean logit. By channel: the three
# decorrelated colors of `param`, and luminance for pictures of any other number of channels.
_COLORS = (
    (1.803, 0.727, 0.861, 0.647, 0.501, 0.375, 0.285, 0.235, 0.200),
    (1.388, 0.624, 0.706, 0.520, 0.414, 0.290, 0.155, 0.089, 0.076),
    (1.067, 0.593, 0.666, 0.509, 0.419, 0.312, 0.242, 0.174, 0.149),
)
_COLOR_MEANS = (1.260, 1.752, 1.761)
_GRAY = (0.575, 0.237, 0.280, 0.211, 0.164, 0.122, 0.092, 0.074, 0.063)
_GRAY_MEAN = 0.701

BANDS: int = 15
"""Number of bands: centered on 1, 1.73, 3, 5.2, 9, ... cycles per picture, each with a triangular weight over the
logarithm of the frequency, so that all weights of a frequency add up to 1. The last is past the largest picture's
highest frequency."""

# Past the measured bands (81 cycles per picture) each has this share of the energy of the one before.
_DECLINE = 0.85

# How far the mean may be from mid-gray, in standard deviations of the photographs' means: without a limit whole
# pictures turn dark; and a unit that looks for one color must be able to show it.
_LUMINANCE, _COLOR = 0.5, 2.0

# Keeps the division by the energy of a plain color finite.
_TINY = 1e-12


class Bands:
    """The bands of frequencies of pictures held as spectra in decorrelated color.

    Args:
        size: (height, width) of the pictures in pixels, or the side of square ones.
        channels: number of channels C.
        device: where the spectra are.
    """

    def __init__(self, size: SizeLike, channels: int, device: torch.device) -> None:
        size = Size.of(size)
        self._pixels = size.height * size.width
        self._weights = _band_weights(size).to(device)
        # A half spectrum has one of each pair of conjugate coefficients.
        counts = torch.full((size.width // 2 + 1,), 2.0, dtype=torch.float32, device="cpu")
        counts[0] = 1.0
        if size.width % 2 == 0:
            counts[-1] = 1.0
        self._counted = (self._weights * counts.to(device) / self._pixels).flatten(1).t().contiguous()
        self.natural: Tensor = _natural(channels).to(device)
        """``[C, BANDS + 1]``, the photographs' energies as :meth:`energies` measures them."""

    def energies(self, spectrum: Tensor) -> Tensor:
        """Measure complex spectra ``[N, C, H, W // 2 + 1]`` (``norm="ortho"``).

        Returns:
            ``[N, C, BANDS + 1]``: the variance that each band contributes to the values of a picture before the
            sigmoid, and last the square of their mean.
        """
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.cat([power.flatten(2) @ self._counted, power[:, :, :1, 0] / self._pixels], dim=2)

    def lift(self, energies: Tensor, share: float | Tensor) -> Tensor:
        """Return the factor for each spectrum by which it has at least a share of the contrast of photographs.

        Contrast is the root of the energy of all bands of the luminance (the first of three decorrelated colors; of
        other numbers of channels, of all): what is colorful, and gray in gray without its color, is pale to the eye.

        Args:
            energies: of the spectra, ``[N, C, BANDS + 1]``.
            share: from 0 to 1.

        Returns:
            ``[N, 1, 1, 1]``, at least 1.
        """
        channels = slice(1 if energies.shape[1] == 3 else None)
        found = energies[:, channels, :-1].sum(dim=(1, 2))
        asked = share**2 * self.natural[channels, :-1].sum().reshape(1)  # (of a float64 tensor [], still float32)
        return (asked / (found + _TINY)).clamp(min=1.0).sqrt().view(-1, 1, 1, 1)

    def gain(self, energies: Tensor, limits: Tensor) -> Tensor:
        """Return the factor for each coefficient by which no band has more energy than its limit.

        Args:
            energies: of the spectra, ``[N, C, BANDS + 1]``.
            limits: ``[N, C, BANDS + 1]``, or a shape that broadcasts to it.

        Returns:
            ``[N, C, H, W // 2 + 1]``, from 0 to 1; 1 where a band is within its limit.
        """
        factors = (limits / (energies + _TINY)).clamp(max=1.0).sqrt()
        gain = (factors[..., :-1] @ self._weights.flatten(1)).unflatten(2, self._weights.shape[1:])
        gain[:, :, 0, 0] = factors[..., -1]
        return gain


def _natural(channels: int) -> Tensor:
    table = _COLORS if channels == 3 else (_GRAY,) * channels
    means = _COLOR_MEANS if channels == 3 else (_GRAY_MEAN,) * channels
    rows = []
    for channel, (known, mean) in enumerate(zip(table, means, strict=True)):
        reach = mean * (_LUMINANCE if channel == 0 or channels != 3 else _COLOR)
        further = [known[-1] * _DECLINE ** (n + 1) for n in range(BANDS - len(known))]
        rows.append([*known, *further, reach**2])
    return torch.tensor(rows, dtype=torch.float32, device="cpu")


def _band_weights(size: Size) -> Tensor:
    """Return each band's weight of each coefficient, ``[BANDS, H, W // 2 + 1]``; frequency 0 is in no band."""
    position = torch.log((size.side * frequencies(size)).clamp(min=1.0)) / (0.5 * math.log(3.0))
    weights = torch.stack([(1.0 - (position - band).abs()).clamp(min=0.0) for band in range(BANDS)])
    weights[:, 0, 0] = 0.0
    return weights.float()

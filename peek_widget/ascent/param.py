"""Parametrizations: the tensor that the optimizer updates, and how a picture is rendered from it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget._size import Size, SizeLike
from peek_widget.ascent.contrast import Bands
from peek_widget.ascent.spectrum import frequencies, recorrelate, resample_spectrum

__all__ = ["Fourier", "Image", "Maco", "Pixels", "decorrelated_logits"]

# Lucid's square root of the color covariance of ImageNet, by its largest column norm.
_COLOR_CORRELATION = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
_COLOR_CORRELATION = _COLOR_CORRELATION / _COLOR_CORRELATION.norm(dim=0).max()

# A sigmoid reaches neither 0 nor 1: the values of a given picture are clamped to this distance from both.
_EDGE = 0.5 / 255.0
_MOST_LIFT = 1.05  # the factor of one step; 84 steps lift sixtyfold


class Image:
    """Base class of the parametrizations: a batch of N pictures of one size under optimization.

    Attributes:
        parameter: the tensor that the optimizer updates; its first dimension is N.
    """

    parameter: Tensor

    def render(self, one_by_one: bool = False) -> Tensor:
        """Render the pictures ``[N, C, H, W]`` in [0, 1], differentiable with respect to ``parameter``.

        Args:
            one_by_one: render each picture by itself, so that its pixels are bit-equal to those of a batch of one;
                a larger batch rounds differently.
        """
        if not one_by_one or len(self.parameter) == 1:
            return self._render(slice(None))
        return torch.cat([self._render(slice(n, n + 1)) for n in range(len(self.parameter))])

    def _render(self, chosen: slice) -> Tensor:
        """Render the pictures of a slice of the batch."""
        raise NotImplementedError

    def resize(self, size: SizeLike) -> None:
        """Resize the pictures to another size in pixels; ``parameter`` is a new tensor afterwards."""
        raise NotImplementedError


class Pixels(Image):
    """Plain pixels, in gray levels from 0 to 255: the unit in which Øygard and Yosinski published their step sizes.

    Args:
        start: the initial pictures, ``[N, C, H, W]`` in gray levels.
    """

    def __init__(self, start: Tensor) -> None:
        self.parameter: Tensor = start.clamp(0.0, 255.0).requires_grad_()

    @classmethod
    def from_pictures(cls, pictures: Tensor) -> Pixels:
        """Begin from given pictures ``[N, C, H, W]`` in [0, 1]."""
        return cls(255.0 * pictures)

    def _render(self, chosen: slice) -> Tensor:
        return self.parameter[chosen] / 255.0

    def resize(self, size: SizeLike) -> None:
        """Resize the pictures by bicubic interpolation."""
        with torch.no_grad():
            larger = F.interpolate(self.parameter, size=tuple(Size.of(size)), mode="bicubic", align_corners=False)
        self.parameter = larger.clamp_(0.0, 255.0).requires_grad_()


class Fourier(Image):
    """Fourier spectrum with decorrelated color, through a sigmoid (Olah et al. 2017, "Feature Visualization"; Lucid).

    Every frequency f is scaled by ``1 / f ** power``, as in natural images, so that a step changes coarse forms more
    than fine detail. Of a picture that is not square, frequencies are counted over the side of the square of its area.
    Colors are decorrelated for pictures of 3 channels only.

    Args:
        noise: the initial unscaled spectrum, real and imaginary parts: ``[N, C, H, W // 2 + 1, 2]``.
        size: (height, width) of the pictures in pixels, or the side of square ones.
        power: exponent of the frequency; 1 in Lucid.
        highest_frequencies: ``[N]``, the highest frequency that each picture may contain, in cycles per picture; None
            for no limit.

    Attributes:
        initial_energies: ``[N, C, BANDS + 1]``, the energy of each band of frequencies in given pictures, which
            :meth:`bound_contrast` leaves them; None for pictures that begin as noise.
    """

    def __init__(self, noise: Tensor, size: SizeLike, power: float, highest_frequencies: Tensor | None = None) -> None:
        self._power = power
        self.initial_energies: Tensor | None = None
        size = Size.of(size)
        unlimited = torch.full((len(noise),), float(max(size)), dtype=torch.float32, device="cpu")
        self._highest = unlimited if highest_frequencies is None else highest_frequencies
        self._set(noise, size)

    @classmethod
    def from_pictures(cls, pictures: Tensor, power: float, highest_frequencies: Tensor | None = None) -> Fourier:
        """Begin from given pictures ``[N, C, H, W]`` in [0, 1]; frequencies above the highest allowed are removed."""
        count, channels, height, width = pictures.shape
        zeros = torch.zeros(count, channels, height, width // 2 + 1, 2, device=pictures.device, dtype=torch.float32)
        image = cls(zeros, (height, width), power, highest_frequencies)
        values = decorrelated_logits(pictures)
        spectrum = torch.fft.rfft2(values, norm="ortho") / image._scale.clamp(min=1e-12) * (image._scale > 0)
        image.parameter = torch.view_as_real(spectrum).contiguous().requires_grad_()
        image.initial_energies = image._bands().energies(image._spectrum())
        return image

    def bound_contrast(self, least: float | Tensor, most: float | Tensor) -> None:
        """Scale the spectra so that no picture has too little contrast, and no band of frequencies too much.

        See :mod:`~peek_widget.ascent.contrast`. A pale picture is scaled up by a twentieth at most, so that a run of a
        few steps does not make its noise visible. A given one is not, since it may be meant to be pale, and its bands
        keep the energy that they began with.

        Args:
            least: share of the contrast of photographs that a picture has at least; 0 for no limit.
            most: energy that a band has at most, in multiples of photographs'; 0 for no limit. A tensor is a limit
                whatever its value is.
        """
        capped = isinstance(most, Tensor) or most > 0.0
        lifted = (isinstance(least, Tensor) or least > 0.0) and self.initial_energies is None
        if not lifted and not capped:
            return
        with torch.no_grad():
            bands, spectrum = self._bands(), self._spectrum()
            limits = (most * bands.natural).expand(len(spectrum), -1, -1)
            if self.initial_energies is not None:
                limits = torch.maximum(limits, self.initial_energies)
            for number in range(len(spectrum)):  # one by one, since a larger batch rounds differently
                one = slice(number, number + 1)
                energies = bands.energies(spectrum[one])
                if lifted:
                    factor = bands.lift(energies, least).clamp(max=_MOST_LIFT)
                    self.parameter[one].mul_(factor[..., None])
                    energies = energies * factor[..., 0].square()
                if capped:
                    self.parameter[one].mul_(bands.gain(energies, limits[one])[..., None])

    def render_raised(self, least: float, most: float) -> Tensor:
        """Render the pictures as they will be when they have more contrast, all frequencies raised by one factor.

        Args:
            least: share of the contrast of photographs that a picture with less gets at once.
            most: energy that a band has at most then, see :meth:`bound_contrast`.

        Returns:
            ``[N, C, H, W]`` in [0, 1], without a graph.
        """
        with torch.no_grad():
            bands, spectrum = self._bands(), self._spectrum()
            energies = bands.energies(spectrum)
            factor = bands.lift(energies, least)
            gain = bands.gain(energies * factor[..., 0].square(), most * bands.natural)
            return self._shown(torch.fft.irfft2(spectrum * factor * gain, s=self._size, norm="ortho"))

    def _spectrum(self) -> Tensor:
        """Return the spectrum of the values before the color matrix and the sigmoid."""
        return torch.view_as_complex(self.parameter.detach()) * self._scale

    def _bands(self) -> Bands:
        if self._known_bands is None:
            self._known_bands = Bands(self._size, self.parameter.shape[1], self.parameter.device)
        return self._known_bands

    @property
    def highest_frequencies(self) -> Tensor:
        """``[N]``, the highest frequency that each picture may contain, in cycles per picture."""
        return self._highest

    def set_highest_frequencies(self, frequencies: Tensor) -> None:
        """Change the highest frequency of each picture, ``[N]`` in cycles per picture."""
        self._highest = frequencies
        self._set(self.parameter.detach(), self._size)

    def _set(self, spectrum: Tensor, size: Size) -> None:
        self._size, side = size, size.side
        self.parameter: Tensor = spectrum.requires_grad_()
        # Computed in double precision and then rounded, so that the table is the same on every machine.
        frequency = frequencies(size)
        # Lucid's factor at the lowest frequency. In cycles per picture: a recipe has the same effect at any size.
        scale = side / (side * frequency).clamp(min=1.0) ** self._power
        # The lowest frequencies are always allowed: without them only pictures of one color would be possible.
        allowed = side * frequency <= self._highest.double().clamp(min=1.5).view(-1, 1, 1, 1)
        # Lucid divides the values by 4. A power of two: here or there, the bits are the same.
        scale = scale * allowed / 4.0
        self.frequency: Tensor = frequency.float().to(spectrum.device)
        self._scale = scale.float().to(spectrum.device)
        self._color = _COLOR_CORRELATION.to(spectrum.device) if spectrum.shape[1] == 3 else None
        self._known_bands: Bands | None = None

    def _render(self, chosen: slice) -> Tensor:
        spectrum = torch.view_as_complex(self.parameter[chosen]) * self._scale[chosen]
        return self._shown(torch.fft.irfft2(spectrum, s=self._size, norm="ortho"))

    def _shown(self, values: Tensor) -> Tensor:
        """Return the pictures of values before the color matrix and the sigmoid."""
        if self._color is not None:
            values = torch.einsum("nchw,dc->ndhw", values, self._color)
        return torch.sigmoid(values)

    def resize(self, size: SizeLike) -> None:
        """Resize the pictures: common frequencies are kept, new ones are zero."""
        old = torch.view_as_complex(self.parameter.detach())
        count, channels = old.shape[:2]
        size = Size.of(size)
        new = torch.zeros(count, channels, size.height, size.width // 2 + 1, dtype=old.dtype, device=old.device)
        # Frequencies 0 .. positive - 1 and -1 .. -negative; the Nyquist frequency of an even side has no sign and is
        # left out.
        positive, across = ((min(one, other) + 1) // 2 for one, other in zip(self._size, size, strict=True))
        negative = positive - 1
        new[:, :, :positive, :across] = old[:, :, :positive, :across]
        if negative:
            new[:, :, -negative:, :across] = old[:, :, -negative:, :across]
        self._set(torch.view_as_real(new).contiguous(), size)


def decorrelated_logits(pictures: Tensor, edge: float = _EDGE) -> Tensor:
    """Return pictures ``[N, C, H, W]`` in [0, 1] as :class:`Fourier` holds them: before the sigmoid and the colors.

    Args:
        pictures: the pictures; those of 3 channels are decorrelated.
        edge: distance from 0 and 1 to which the values are clamped, since a sigmoid reaches neither.
    """
    logits = torch.logit(pictures.clamp(edge, 1.0 - edge))
    if pictures.shape[1] != 3:
        return logits
    return torch.einsum("nchw,dc->ndhw", logits, torch.linalg.inv(_COLOR_CORRELATION.to(pictures.device)))


class Maco(Image):
    """Phases on a fixed magnitude spectrum, that of natural images (MACO, Fel et al. 2023).

    Unconstrained, an optimizer raises high frequencies most; here no picture can have more of them than photographs
    have. The order is that of Xplique's ``maco.py``: standardize the phases, invert the transform, standardize the
    values, recorrelate the colors, apply a sigmoid.

    Args:
        phases: the initial phases in radians, ``[N, C, H, W // 2 + 1]``.
        magnitude: the magnitudes, ``[C, T, T // 2 + 1]`` for any side T, see :mod:`~peek_widget.ascent.spectrum`.
        size: (height, width) of the pictures in pixels, or the side of square ones.

    Attributes:
        blurred: standard deviation in pixels of the blur that the magnitudes have at present.
    """

    def __init__(self, phases: Tensor, magnitude: Tensor, size: SizeLike) -> None:
        self._size = Size.of(size)
        measured = tuple(magnitude.shape[1:]) == (self._size.height, self._size.width // 2 + 1)
        self._magnitude = (magnitude if measured else resample_spectrum(magnitude, size)).to(phases.device)
        self.frequency: Tensor = frequencies(size).float().to(phases.device)
        self._transfer: Tensor | None = None
        self.blurred: float = 0.0
        self.parameter: Tensor = phases.requires_grad_()

    def blur(self, sigma: float) -> None:
        """Set the magnitudes to those of natural images blurred with standard deviation ``sigma`` in pixels."""
        self.blurred = sigma
        self._transfer = torch.exp(-2.0 * (math.pi * sigma * self.frequency) ** 2) if sigma > 0.0 else None

    def _render(self, chosen: slice) -> Tensor:
        phases = _standardize(self.parameter[chosen])
        magnitude = self._magnitude if self._transfer is None else self._magnitude * self._transfer
        spectrum = torch.complex(magnitude * torch.cos(phases), magnitude * torch.sin(phases))
        values = _standardize(torch.fft.irfft2(spectrum, s=self._size))
        return torch.sigmoid(recorrelate(values))

    def resize(self, size: SizeLike) -> None:
        """Raise: new frequencies would have no phases, so recipes with this parametrization have one size."""
        raise AssertionError("Recipe refuses octaves of several sizes for param='maco'")


def _standardize(values: Tensor) -> Tensor:
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    deviation = values.std(dim=(1, 2, 3), keepdim=True, correction=0)
    return (values - mean) / (deviation + 1e-5)

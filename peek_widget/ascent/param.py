"""Parametrizations: what the optimizer moves, and the picture that it stands for."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget.ascent.spectrum import at_side, frequencies, recorrelate

__all__ = ["Fourier", "Image", "Maco", "Pixels"]

# Lucid's square root of the color covariance of ImageNet, by its largest column norm.
_COLOUR = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
_COLOUR = _COLOUR / _COLOUR.norm(dim=0).max()

# A sigmoid reaches neither black nor white: a given picture's extremes are taken this far inside.
_EDGE = 0.5 / 255.0


class Image:
    """A batch of square pictures under optimization.

    Attributes:
        parameter: the tensor that the optimizer moves; its first dimension counts the pictures.
    """

    parameter: Tensor

    def render(self, each: bool = False) -> Tensor:
        """The pictures ``[N, C, S, S]`` in [0, 1], differentiable in ``parameter``.

        Args:
            each: one after the other, to the last bit as each would be alone: together they round differently.
        """
        if not each or len(self.parameter) == 1:
            return self._pictures(slice(None))
        return torch.cat([self._pictures(slice(n, n + 1)) for n in range(len(self.parameter))])

    def _pictures(self, some: slice) -> Tensor:
        """Some of the pictures."""
        raise NotImplementedError

    def resize(self, side: int) -> None:
        """Take the pictures over to another size; ``parameter`` is a new tensor afterwards."""
        raise NotImplementedError


class Pixels(Image):
    """Plain pixels, in gray levels from 0 to 255, the unit in which Øygard's and Yosinski's steps are published.

    Args:
        start: ``[N, C, S, S]`` in gray levels.
    """

    def __init__(self, start: Tensor) -> None:
        self.parameter: Tensor = start.clamp(0.0, 255.0).requires_grad_()

    @classmethod
    def of(cls, pictures: Tensor) -> Pixels:
        """Beginning from given pictures ``[N, C, S, S]`` in [0, 1]."""
        return cls(255.0 * pictures)

    def _pictures(self, some: slice) -> Tensor:
        return self.parameter[some] / 255.0

    def resize(self, side: int) -> None:
        """Bicubic interpolation to another side."""
        with torch.no_grad():
            larger = F.interpolate(self.parameter, size=(side, side), mode="bicubic", align_corners=False)
        self.parameter = larger.clamp_(0.0, 255.0).requires_grad_()


class Fourier(Image):
    """Spectrum with decorrelated color, through a sigmoid (Olah et al. 2017, "Feature Visualization"; Lucid).

    Every frequency is scaled by ``1 / f ** power``, as in natural images, so that a step of equal length moves
    large forms more than fine grain. Colors are decorrelated for 3 channels only.

    Args:
        noise: ``[N, C, S, S // 2 + 1, 2]``, real and imaginary parts of the start's unscaled spectrum.
        side: S, in pixels.
        power: of the frequency; 1 in Lucid.
        bands: ``[N]``, the highest frequency that each picture may hold, in cycles a picture; all where left out.
    """

    def __init__(self, noise: Tensor, side: int, power: float, bands: Tensor | None = None) -> None:
        self._power = power
        everything = torch.full((len(noise),), float(side), dtype=torch.float32, device="cpu")
        self._bands = everything if bands is None else bands
        self._set(noise, side)

    @classmethod
    def of(cls, pictures: Tensor, power: float, bands: Tensor | None = None) -> Fourier:
        """Beginning from given pictures ``[N, C, S, S]`` in [0, 1]; what is finer than their bands is left out."""
        count, channels, side = pictures.shape[:3]
        nothing = torch.zeros(count, channels, side, side // 2 + 1, 2, device=pictures.device, dtype=torch.float32)
        image = cls(nothing, side, power, bands)
        values = 4.0 * torch.logit(pictures.clamp(_EDGE, 1.0 - _EDGE))
        if image._color is not None:
            values = torch.einsum("nchw,dc->ndhw", values, torch.linalg.inv(image._color))
        spectrum = torch.fft.rfft2(values, norm="ortho") / image._scale.clamp(min=1e-12) * (image._scale > 0)
        image.parameter = torch.view_as_real(spectrum).contiguous().requires_grad_()
        return image

    @property
    def bands(self) -> Tensor:
        """``[N]``, the highest frequency that each picture may hold, in cycles a picture."""
        return self._bands

    def set_bands(self, bands: Tensor) -> None:
        """Let the pictures hold other frequencies than before."""
        self._bands = bands
        self._set(self.parameter.detach(), self._side)

    def _set(self, spectrum: Tensor, side: int) -> None:
        self._side = side
        self.parameter: Tensor = spectrum.requires_grad_()
        # In double precision and then rounded: the same table on every machine.
        frequency = frequencies(side)
        # Lucid's at the lowest frequency, and in cycles a picture: the same recipe at any size.
        scale = side / (side * frequency).clamp(min=1.0) ** self._power
        # Never without the lowest ones: a picture of one color would be left.
        held = side * frequency <= self._bands.double().clamp(min=1.5).view(-1, 1, 1, 1)
        scale = scale * held
        self.frequency: Tensor = frequency.float().to(spectrum.device)
        self._scale = scale.float().to(spectrum.device)
        self._color = _COLOUR.to(spectrum.device) if spectrum.shape[1] == 3 else None

    def _pictures(self, some: slice) -> Tensor:
        spectrum = torch.view_as_complex(self.parameter[some]) * self._scale[some]
        values = torch.fft.irfft2(spectrum, s=(self._side, self._side), norm="ortho") / 4.0
        if self._color is not None:
            values = torch.einsum("nchw,dc->ndhw", values, self._color)
        return torch.sigmoid(values)

    def resize(self, side: int) -> None:
        """Keep the common frequencies; new ones start at zero."""
        old = torch.view_as_complex(self.parameter.detach())
        count, channels = old.shape[:2]
        new = torch.zeros(count, channels, side, side // 2 + 1, dtype=old.dtype, device=old.device)
        # Frequencies 0 .. up - 1 and -1 .. -down; the one at half an even side has no sign and is left out.
        up = (min(self._side, side) + 1) // 2
        down = up - 1
        new[:, :, :up, :up] = old[:, :, :up, :up]
        if down:
            new[:, :, -down:, :up] = old[:, :, -down:, :up]
        self._set(torch.view_as_real(new).contiguous(), side)


class Maco(Image):
    """Phases alone are moved; the magnitude of every frequency stays that of natural images (Fel et al. 2023, MACO).

    Without it an optimizer spends itself on high frequencies; with it no picture can have more of them than
    photographs have. As in Xplique's ``maco.py``: phases standardized, inverse transform, standardized values,
    recorrelated color, sigmoid.

    Args:
        phases: ``[N, C, S, S // 2 + 1]``, the start.
        magnitude: ``[C, T, T // 2 + 1]``, of any side T, see :mod:`~peek_widget.ascent.spectrum`.
        side: S, in pixels.

    Attributes:
        blurred: deviation in pixels of the blur that the spectrum has now.
    """

    def __init__(self, phases: Tensor, magnitude: Tensor, side: int) -> None:
        self._side = side
        self._magnitude = at_side(magnitude, side).to(phases.device)
        self.frequency: Tensor = frequencies(side).float().to(phases.device)
        self._transfer: Tensor | None = None
        self.blurred: float = 0.0
        self.parameter: Tensor = phases.requires_grad_()

    def blur(self, sigma: float) -> None:
        """From now on the magnitudes are those of natural images blurred by ``sigma`` pixels."""
        self.blurred = sigma
        self._transfer = torch.exp(-2.0 * (math.pi * sigma * self.frequency) ** 2) if sigma > 0.0 else None

    def _pictures(self, some: slice) -> Tensor:
        phases = _standardized(self.parameter[some])
        magnitude = self._magnitude if self._transfer is None else self._magnitude * self._transfer
        spectrum = torch.complex(magnitude * torch.cos(phases), magnitude * torch.sin(phases))
        values = _standardized(torch.fft.irfft2(spectrum, s=(self._side, self._side)))
        return torch.sigmoid(recorrelate(values))

    def resize(self, side: int) -> None:
        """Not possible: new frequencies have no phase. A recipe with this image has one size."""
        raise AssertionError("Recipe refuses octaves of several sizes for this image")


def _standardized(values: Tensor) -> Tensor:
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    deviation = values.std(dim=(1, 2, 3), keepdim=True, correction=0)
    return (values - mean) / (deviation + 1e-5)

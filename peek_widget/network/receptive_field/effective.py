"""The effective receptive field: where on one image the gradient of a unit at one position lies.

The receptive field is what *can* have influence. Deep networks have theoretical fields larger than the image, and most
of such a field has next to none: the influence of its pixels falls off like a Gaussian from the center, whose width
grows with the square root of the depth (Luo, Li, Urtasun & Zemel 2016, "Understanding the Effective Receptive Field in
Deep Convolutional Neural Networks", arXiv 1701.04128).

Luo et al. average gradients over images, to describe a layer. Here it is one unit on one image: the energy of a pixel
is the squared gradient of the activation by it, summed over the channels, and the effective field is the
smallest box that holds 95 % of the energy:

    argmin over boxes B of area(B)   such that   sum over p in B of |dy/dx_p|^2  >=  0.95 * sum over p of |dy/dx_p|^2
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from peek_widget._size import Size, SizeLike
from peek_widget.errors import PeekError, UnitError
from peek_widget.network.network import Network

__all__ = [
    "SHARE",
    "EffectiveField",
    "central_energy",
    "corner_energies",
    "effective_field",
    "effective_side",
    "gradient_energy",
    "noise",
    "smallest_box",
]

SHARE = 0.95
"""Share of the gradient's energy that lies in an effective field."""

# Boxes have their edges on a grid of so many cells at most in each direction, laid over the part with any gradient: the
# search is then quick beside the backward, and no eye sees a difference.
_CELLS = 64
# (height, width) in values of the noise that a smooth image is enlarged from.
_COARSE = (9, 11)


@dataclass(frozen=True)
class EffectiveField:
    """The effective receptive field of a unit at one position, on one image.

    Attributes:
        box: (left, top, right, bottom) in pixels of the network's input, half-open; None where the gradient is zero
            everywhere (or not finite), which says nothing about where the influence is.
        activation: activation of the unit at the position on this image, before the ReLU.
    """

    box: tuple[float, float, float, float] | None
    activation: float

    @property
    def side(self) -> float | None:
        """Side in pixels of the square with the area of the box; None where there is no box."""
        return _side(self.box)


def effective_field(
    network: Network,
    layer: str,
    unit: int,
    image: Tensor,
    position: tuple[int, int] | None = None,
    *,
    preprocessed: bool = False,
    share: float = SHARE,
) -> EffectiveField:
    """Find the effective receptive field of a unit on an image: one forward and one backward.

    Args:
        network: the model.
        layer: name of the unit's layer. Of a vector (a class), the field is where the whole image has influence.
        unit: number of the unit.
        image: ``[C, H, W]`` in [0, 1], of any size at which the layer can be computed.
        position: (row, column) on the layer's feature map of this image; None for where the unit is most active.
        preprocessed: whether the image already is what the network takes.
        share: share of the gradient's energy that the box holds, above 0 and up to 1.

    Raises:
        LayerError: if there is no such layer.
        UnitError: if there is no such unit or position.
        PeekError: if that is not an image, or the share is out of range.
    """
    energy, activation = gradient_energy(network, layer, unit, image, position, preprocessed=preprocessed)
    return EffectiveField(smallest_box(energy, share), activation)


def effective_side(network: Network, layer: str) -> float | None:
    """Estimate the side in pixels of a layer's effective fields at the center of its map, without any image.

    On noise with the spectrum of photographs, by one forward and one backward: the gradient of a sum of units with
    random signs has on average the energy of all of them together. On EfficientNet-Lite0 the side is within a fifth of
    the median over photographs. Computed once for each layer, and again after the weights have changed in place, so
    that a picture does not depend on what was drawn before a training step.

    Args:
        network: the model.
        layer: name of a layer with a feature map.

    Returns:
        The side; None where no gradient reaches the image.
    """
    known, version = network.effective_sides, network.model_copy.version()
    if layer not in known or known[layer][0] != version:
        known[layer] = version, _side(smallest_box(central_energy(network, layer)))
    return known[layer][1]


def central_energy(network: Network, layer: str) -> Tensor:
    """Compute the energy of the gradient of a layer's units at the center of its map, on noise as in photographs.

    Returns:
        ``[H, W]``, by each pixel of the network's input: that of a sum of all units with random signs.
    """
    draws = torch.Generator().manual_seed(0)
    signs = _signs(network, layer, draws)
    image = noise(network.channels, network.size, draws)
    return _signed_energy(network, layer, image, signs, lambda height, width: ((height - 1) // 2, (width - 1) // 2))


def corner_energies(network: Network, layer: str) -> tuple[Tensor, Tensor]:
    """Compute the energy of the gradient of a layer's units at two opposite corners of its map, on a smooth image.

    Where an image has little structure (sky, what is out of focus) and at its border a unit may have little gradient
    of its own, and what a forward takes from the whole image weighs more than on noise.

    Returns:
        ``[H, W]`` each, as :func:`central_energy`: of the first row's first position, and of the last row's last.
    """
    draws = torch.Generator().manual_seed(0)
    signs = _signs(network, layer, draws)
    coarse = torch.rand(1, network.channels, *_COARSE, generator=draws, dtype=torch.float32, device="cpu")
    image = torch.nn.functional.interpolate(coarse, tuple(network.size), mode="bicubic")[0].clamp(0.0, 1.0)
    return (
        _signed_energy(network, layer, image, signs, lambda height, width: (0, 0)),
        _signed_energy(network, layer, image, signs, lambda height, width: (height - 1, width - 1)),
    )


def _signs(network: Network, layer: str, draws: torch.Generator) -> Tensor:
    return torch.randint(2, (network.layer(layer).channels,), generator=draws, device="cpu") * 2.0 - 1.0


def _signed_energy(
    network: Network, layer: str, image: Tensor, signs: Tensor, position: Callable[[int, int], tuple[int, int]]
) -> Tensor:
    """Compute the energy of the gradient of the sum of a layer's units with these signs.

    Args:
        network, layer, image: see :func:`effective_field`.
        signs: one for each unit, 1 or -1.
        position: returns the (row, column), given the map's height and width.
    """

    def chosen(values: Tensor) -> Tensor:
        row, column = position(*values.shape[1:])
        return (values[:, row, column] * signs.to(values)).sum()

    return _energy(network, layer, image, False, chosen)[0]


def _side(box: tuple[float, float, float, float] | None) -> float | None:
    """Return the side of the square with the area of a box (left, top, right, bottom)."""
    if box is None:
        return None
    left, top, right, bottom = box
    return math.sqrt((right - left) * (bottom - top))


def noise(channels: int, size: SizeLike, draws: torch.Generator) -> Tensor:
    """Return noise ``[C, H, W]`` in [0, 1] whose magnitudes fall with the frequency as in photographs."""
    size = Size.of(size)
    white = torch.randn(channels, *size, generator=draws, dtype=torch.float32, device="cpu")
    rows = torch.fft.fftfreq(size.height, 1.0 / size.side, dtype=torch.float32, device="cpu")
    columns = torch.fft.rfftfreq(size.width, 1.0 / size.side, dtype=torch.float32, device="cpu")
    frequency = torch.hypot(rows[:, None], columns[None, :]).clamp(min=1.0)
    values = torch.fft.irfft2(torch.fft.rfft2(white) / frequency, s=size)
    return torch.sigmoid(values / values.std().clamp(min=1e-6))


def gradient_energy(
    network: Network,
    layer: str,
    unit: int,
    image: Tensor,
    position: tuple[int, int] | None = None,
    *,
    preprocessed: bool = False,
) -> tuple[Tensor, float]:
    """Compute the energy of a unit's gradient by each pixel of an image, and the unit's activation.

    Args:
        network, layer, unit, image, position, preprocessed: see :func:`effective_field`.

    Returns:
        ``[H, W]`` float64 on the CPU, the squared gradient summed over the channels of the network's input; and the
        activation at the position, before the ReLU.

    Raises:
        LayerError, UnitError, PeekError: see :func:`effective_field`.
    """
    network.check_unit(layer, unit)
    if image.ndim != 3 or image.shape[0] != network.channels:
        raise PeekError(f"An image of shape {tuple(image.shape)} was given: it must be [{network.channels}, H, W].")

    def at_position(values: Tensor) -> Tensor:
        values = values[unit]
        if values.ndim == 0:
            return values
        if position is None:
            return values.flatten()[values.detach().argmax()]
        height, width = values.shape
        if not (0 <= position[0] < height and 0 <= position[1] < width):
            raise UnitError(
                f"Layer {layer!r} has a map of {height} x {width} positions on this image; {tuple(position)} is "
                "not one of them."
            )
        return values[position[0], position[1]]

    return _energy(network, layer, image, preprocessed, at_position)


# A tensor made in inference mode takes part in no backward; neither does one that is made of it there.
@torch.inference_mode(False)
def _energy(
    network: Network, layer: str, image: Tensor, preprocessed: bool, chosen: Callable[[Tensor], Tensor]
) -> tuple[Tensor, float]:
    """Compute the energy of a gradient by each pixel, ``[H, W]``, and the value that it is the gradient of.

    Args:
        network, layer, image, preprocessed: see :func:`effective_field`.
        chosen: returns that value, a scalar, of the layer's activations ``[C, H, W]`` or ``[C]``.
    """
    given = image[None].to(network.model_copy.device).float().clone()
    with torch.no_grad():
        given = given if preprocessed else network.preprocess(given)
    with torch.enable_grad():
        given = given.detach().requires_grad_()
        # A clone, because a model may write into its input, and autograd forbids writing into a leaf.
        value = chosen(network.run(given.clone(), [layer])[layer][0])
        gradient = None
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value, given, allow_unused=True)
    if gradient is None:
        return torch.zeros(given.shape[2:], dtype=torch.float64), float(value.detach())
    return gradient[0].double().square().sum(dim=0).cpu(), float(value.detach())


def smallest_box(energy: Tensor, share: float = SHARE) -> tuple[float, float, float, float] | None:
    """Find the smallest box that holds a share of the energy; exactly, on a grid of at most 64 x 64 cells.

    Why the smallest box, and not one about the centroid or between quantiles of rows and columns: a little energy far
    away on one side draws the centroid towards it and moves a quantile, which leaves out as much on every side; the
    smallest box leaves out whichever parts hold least for their area.

    Args:
        energy: ``[H, W]``, not negative.
        share: share of the sum, above 0 and up to 1.

    Returns:
        (left, top, right, bottom), half-open; None where there is no energy, or it is not finite.

    Raises:
        PeekError: if the share is out of range.
    """
    if not 0.0 < share <= 1.0:
        raise PeekError(f"share={share!r}: give the share of the gradient's energy, above 0 and up to 1.")
    energy = energy.double()
    total = float(energy.sum())
    if not total > 0.0 or not math.isfinite(total):
        return None
    rows, columns = energy.any(dim=1).nonzero().flatten(), energy.any(dim=0).nonzero().flatten()
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    part = energy[top:bottom, left:right]
    cell = -(-max(part.shape) // _CELLS)
    edges = [torch.arange(0, side + cell, cell).clamp(max=side).unique() for side in part.shape]
    # sums[i, j]: energy above edge i and left of edge j
    sums = torch.nn.functional.pad(part.cumsum(0).cumsum(1), (1, 0, 1, 0))[edges[0]][:, edges[1]]
    target = share * total * (1.0 - 1e-9)
    best, found = math.inf, (0, 0, 0, 0)
    for high in range(len(edges[0]) - 1):
        # [lower edge, right edge]: energy between this upper edge and the lower one, left of the right one
        strips = (sums[high + 1 :] - sums[high]).contiguous()
        reached = torch.searchsorted(strips, (strips + target).contiguous())
        enough = reached < len(edges[1])
        if not enough.any():
            break
        widths = edges[1][reached.clamp(max=len(edges[1]) - 1)] - edges[1]
        areas = (edges[0][high + 1 :] - edges[0][high])[:, None] * widths
        areas = torch.where(enough, areas.double(), math.inf)
        least = int(areas.argmin())
        if float(areas.flatten()[least]) < best:
            best = float(areas.flatten()[least])
            low, start = divmod(least, len(edges[1]))
            found = (start, high, int(reached[low, start]), high + 1 + low)
    first, high, last, low = found
    return (
        float(left + edges[1][first]),
        float(top + edges[0][high]),
        float(left + edges[1][last]),
        float(top + edges[0][low]),
    )

"""Receptive fields of the positions of a layer's feature map, as boxes in the network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from peek_widget.errors import UnitError
from peek_widget.network import Layer, Network

__all__ = ["FieldBox", "FieldMap", "field_map", "gradient_support", "measured_field"]

_PROBES = 4
# A measured field is where the gradient exceeds this share of its maximum: the effective receptive field of Luo et al.
# 2016 (arXiv 1701.04128), which leaves out what a Gaussian has beyond two standard deviations.
_THRESHOLD = 1 - 0.9545


@dataclass(frozen=True)
class FieldBox:
    """The receptive field of one position, in pixels of the network's input (half-open).

    Attributes:
        left, top, right, bottom: edges of the part that lies within the input.
        clipped: whether the receptive field reaches past the border of the input.
    """

    left: float
    top: float
    right: float
    bottom: float
    clipped: bool

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom)."""
        return self.left, self.top, self.right, self.bottom


@dataclass(frozen=True)
class FieldMap:
    """The receptive fields of all positions of a layer's feature map.

    Attributes:
        kind: ``"exact"`` (propagated through the functions of the forward), ``"measured"`` (where propagation gives no
            bound: the box in which the gradient is at least 4.55 % of its largest) or ``"whole"`` (the whole image).
        size: (height, width) of the receptive field in input pixels.
        stride: input pixels from one position to the next, (down, across).
        start: center (y, x) of the first position's receptive field, in input pixels.
        map: (height, width) of the feature map.
        input_size: side of the input in pixels.
    """

    kind: Literal["exact", "measured", "whole"]
    size: tuple[float, float]
    stride: tuple[float, float]
    start: tuple[float, float]
    map: tuple[int, int]
    input_size: int

    def field_box(self, position: int) -> FieldBox:
        """Return the receptive field of a position, which is given as row * width + column."""
        side = float(self.input_size)
        if self.kind == "whole":
            return FieldBox(0.0, 0.0, side, side, False)
        row, column = divmod(position, self.map[1])
        edges = []
        for number, size, stride, start in zip((row, column), self.size, self.stride, self.start, strict=True):
            low = start + number * stride - (size - 1) / 2
            edges.append((low, low + size))
        (top, bottom), (left, right) = edges
        clipped = min(top, left) < -1e-6 or max(bottom, right) > side + 1e-6
        # A field that lies entirely in the padding still gets the nearest pixel of the input.
        return FieldBox(
            min(max(left, 0.0), side - 1),
            min(max(top, 0.0), side - 1),
            max(min(right, side), 1.0),
            max(min(bottom, side), 1.0),
            clipped,
        )

    @property
    def share(self) -> float:
        """Share of the input's area that the field of a central position covers, from 0 to 1."""
        if self.kind == "whole":
            return 1.0
        height, width = (min(size / self.input_size, 1.0) for size in self.size)
        return height * width

    @property
    def covered(self) -> tuple[float, float, float, float]:
        """Part of the input (left, top, right, bottom) that the map covers, each position one stride of it."""
        if self.kind == "whole":
            return 0.0, 0.0, float(self.input_size), float(self.input_size)
        top, left = (start - stride / 2 + 0.5 for start, stride in zip(self.start, self.stride, strict=True))
        return left, top, left + self.map[1] * self.stride[1], top + self.map[0] * self.stride[0]


def field_map(network: Network, layer: Layer, measure: bool = True) -> FieldMap:
    """Return the receptive fields of a layer: propagated where that gives a bound, else measured.

    Args:
        network: the model.
        layer: one of its layers.
        measure: measure by gradient where propagation gives no bound (a gate or a normalization over the whole image,
            an unknown function); otherwise the field of such a layer is the whole image.
    """
    side = network.input_size
    whole = FieldMap("whole", (side, side), (0.0, 0.0), ((side - 1) / 2,) * 2, layer.size, side)
    if not layer.spatial:
        return whole
    if not layer.global_field:
        return FieldMap("exact", layer.receptive_field, layer.stride, layer.start, layer.size, side)
    if not measure:
        return whole
    height, width = layer.size
    central = ((height - 1) // 2, (width - 1) // 2)
    stride = (side / height, side / width)
    left, top, right, bottom = measured_field(network, layer, central, threshold=_THRESHOLD).box
    size = (bottom - top, right - left)
    if min(size) >= side:
        return whole
    center = ((top + bottom - 1) / 2, (left + right - 1) / 2)
    start = tuple(c - number * s for c, number, s in zip(center, central, stride, strict=True))
    return FieldMap("measured", size, stride, (start[0], start[1]), layer.size, side)


@torch.inference_mode(False)
def gradient_support(network: Network, layer: Layer, position: tuple[int, int], probes: int = _PROBES) -> Tensor:
    """Sum up the absolute gradient of a position's units by each input pixel, over a few probes of seeded noise.

    Args:
        network: the model.
        layer: one of its layers.
        position: (row, column) on its feature map.
        probes: number of probes.

    Returns:
        ``[H, W]``; exactly 0 for a pixel that has no influence on the position.
    """
    generator = torch.Generator().manual_seed(0)
    side, device = network.input_size, network.model_copy.device
    total = torch.zeros(side, side, dtype=torch.float64)
    for _ in range(probes):
        noise = torch.rand(1, network.channels, side, side, generator=generator)
        with torch.enable_grad():
            image = network.preprocess(noise.to(device)).detach().requires_grad_()
            # A clone, because a model may write into its input, and autograd forbids writing into a leaf.
            value = network.run(image.clone(), [layer.name])[layer.name]
            units = value[0, :, position[0], position[1]] if value.ndim == 4 else value[0]
            # Random weights, so that the gradients of two units do not cancel.
            weights = torch.rand(len(units), generator=generator).to(device) + 0.5
            (gradient,) = torch.autograd.grad((units * weights).sum(), image)
        total += gradient[0].abs().sum(dim=0).cpu().double()
    return total


def measured_field(
    network: Network, layer: Layer | str | nn.Module, position: tuple[int, int], threshold: float = 0.0
) -> FieldBox:
    """Measure the receptive field of a position by gradient: the smallest box around the pixels that influence it.

    Args:
        network: the model.
        layer: one of its layers, by name, by module or as a :class:`Layer`.
        position: (row, column) on the layer's feature map.
        threshold: share of the largest gradient that a pixel must exceed to count; 0 for any influence. A little more
            gives the effective receptive field of a unit that a gate lets depend slightly on the whole image.

    Raises:
        LayerError: if there is no such layer.
        UnitError: if there is no such position.
    """
    layer = layer if isinstance(layer, Layer) else network.layer(layer)
    height, width = layer.size
    if not (0 <= position[0] < height and 0 <= position[1] < width):
        raise UnitError(f"Layer {layer.name!r} has a map of {height} x {width} positions; {position} is none of them.")
    support = gradient_support(network, layer, position)
    if not float(support.sum()) > 0 or not math.isfinite(float(support.sum())):
        side = float(network.input_size)
        return FieldBox(0.0, 0.0, side, side, False)
    within = support > threshold * support.max()
    rows, columns = within.any(dim=1).nonzero().flatten(), within.any(dim=0).nonzero().flatten()
    return FieldBox(float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1, False)

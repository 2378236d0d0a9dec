"""From a place in a layer's map to what it sees of the network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from peek_widget.errors import UnitError
from peek_widget.network import Layer, Network

__all__ = ["FieldMap", "SeenBox", "field_map", "measured_field"]

_PROBES = 4
# What Luo et al. 2016 (arXiv 1701.04128) count to the effective receptive field: two standard deviations' worth.
_LEAST = 1 - 0.9545


@dataclass(frozen=True)
class SeenBox:
    """What one place sees, in pixels of the network's input, half-open.

    ``left, top, right, bottom`` lie within the input; ``clipped`` says that the field reaches past the border.
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
    """Which part of the input each place of a layer's map sees.

    Attributes:
        kind: ``"exact"`` (propagated through the functions of the forward), ``"measured"`` (by gradient, where
            propagation knows no bound: where it is at least 4.55 % of its largest) or ``"whole"`` (all of the image).
        size: (h, w) of the field in input pixels.
        stride: (down, across) from one place to the next.
        start: (y, x), the middle of what the first place sees.
        map: (h, w) of the layer's map.
        input_size: side of the input.
    """

    kind: str
    size: tuple[float, float]
    stride: tuple[float, float]
    start: tuple[float, float]
    map: tuple[int, int]
    input_size: int

    def seen(self, place: int) -> SeenBox:
        """What the place sees; places count row by row."""
        side = float(self.input_size)
        if self.kind == "whole":
            return SeenBox(0.0, 0.0, side, side, False)
        row, column = divmod(place, self.map[1])
        edges = []
        for at, size, stride, start in zip((row, column), self.size, self.stride, self.start, strict=True):
            low = start + at * stride - (size - 1) / 2
            edges.append((low, low + size))
        (top, bottom), (left, right) = edges
        clipped = min(top, left) < -1e-6 or max(bottom, right) > side + 1e-6
        # A field that lies in the padding altogether still gets the pixel that is nearest to it.
        return SeenBox(
            min(max(left, 0.0), side - 1),
            min(max(top, 0.0), side - 1),
            max(min(right, side), 1.0),
            max(min(bottom, side), 1.0),
            clipped,
        )


def field_map(network: Network, layer: Layer, measure: bool = True) -> FieldMap:
    """The fields of a layer's places: propagated where that says how far they reach, else measured.

    Args:
        network: as read.
        layer: one of its layers.
        measure: by gradient where propagation gives no bound (a gate or a normalization over the whole image, a
            function that is not known); otherwise such places see the whole image.
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
    middle = ((height - 1) // 2, (width - 1) // 2)
    stride = (side / height, side / width)
    left, top, right, bottom = measured_field(network, layer, middle, least=_LEAST).box
    size = (bottom - top, right - left)
    if min(size) >= side:
        return whole
    center = ((top + bottom - 1) / 2, (left + right - 1) / 2)
    start = tuple(c - m * s for c, m, s in zip(center, middle, stride, strict=True))
    return FieldMap("measured", size, stride, (start[0], start[1]), layer.size, side)


@torch.inference_mode(False)
def gradient_support(network: Network, layer: Layer, place: tuple[int, int], probes: int = _PROBES) -> Tensor:
    """How much each pixel of the input moves the sum of a place's units, ``[H, W]``, added up over the probes.

    The probes are seeded noise. Exactly 0 where a pixel has no way to the place.
    """
    generator = torch.Generator().manual_seed(0)
    side, device = network.input_size, network.model_copy.device
    total = torch.zeros(side, side, dtype=torch.float64)
    for _ in range(probes):
        noise = torch.rand(1, network.channels, side, side, generator=generator)
        with torch.enable_grad():
            image = network.preprocess(noise.to(device)).detach().requires_grad_()
            # A clone, because a model may write into its input, and a leaf can't be written into.
            value = network.run(image.clone(), [layer.name])[layer.name]
            at = value[0, :, place[0], place[1]] if value.ndim == 4 else value[0]
            # Random weights, so that no two units cancel each other out.
            weights = torch.rand(len(at), generator=generator).to(device) + 0.5
            (gradient,) = torch.autograd.grad((at * weights).sum(), image)
        total += gradient[0].abs().sum(dim=0).cpu().double()
    return total


def measured_field(network: Network, layer: Layer | str, place: tuple[int, int], least: float = 0.0) -> SeenBox:
    """What a place of a layer's map sees, by gradient: the smallest upright box round the pixels that move it.

    Args:
        network: as read.
        layer: a layer of it, or its name.
        place: (row, column) in the layer's map.
        least: pixels count whose gradient is above this share of the largest; 0: all that move it at all. A
            little more shows where a place looks that sees a trace of everything, through a gate.

    Raises:
        LayerError: if there is no such layer.
        UnitError: if there is no such place.
    """
    layer = network.layer(layer) if isinstance(layer, str) else layer
    height, width = layer.size
    if not (0 <= place[0] < height and 0 <= place[1] < width):
        raise UnitError(f"Layer {layer.name!r} has a map of {height} x {width} places; {place} is none of them.")
    support = gradient_support(network, layer, place)
    if not float(support.sum()) > 0 or not math.isfinite(float(support.sum())):
        side = float(network.input_size)
        return SeenBox(0.0, 0.0, side, side, False)
    seen = support > least * support.max()
    rows, columns = seen.any(dim=1).nonzero().flatten(), seen.any(dim=0).nonzero().flatten()
    return SeenBox(float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1, False)

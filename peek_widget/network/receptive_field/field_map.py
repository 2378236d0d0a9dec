"""Receptive fields of the positions of a layer's feature map, as boxes in the network's input.

Where the functions of the forward are known, fields follow from them and are exact. Where one lets every position
depend *a little* on the whole image (a squeeze-and-excitation, a group normalization), the field is measured at the
center of the map, and is the same elsewhere, if it holds the gradient of the map's corners on a smooth image too. Where
it does not, it is known where a position looks, but how far is measured for each. Behind a function that is not known
(a flip, attention, a deformable convolution, the user's own) nothing follows for other positions. A field that is
another one at each position is measured at the position that is asked for; that of a dataset example on its own image,
since such functions may look elsewhere on each.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from peek_widget._size import Size
from peek_widget.errors import UnitError
from peek_widget.network.layers import Layer
from peek_widget.network.network import Network
from peek_widget.network.receptive_field.effective import (
    central_energy,
    corner_energies,
    gradient_energy,
    smallest_box,
)
from peek_widget.network.receptive_field.spans import Span

__all__ = [
    "FieldBox",
    "FieldMap",
    "field_map",
    "field_on",
    "gradient_support",
    "measured_field",
    "share_inside",
]

_PROBES = 4
# A measured field is where the gradient exceeds this share of its maximum: the effective receptive field of Luo et al.
# 2016 (arXiv 1701.04128), which leaves out what a Gaussian has beyond two standard deviations.
_THRESHOLD = 1 - 0.9545
# One that is measured position by position holds at least this share of the gradient, too.
_HELD = 0.95

Edges = tuple[tuple[float, float], ...]
"""First and last edge, in input pixels, of the field of each row of a map, or of each column."""


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
            bound: the box in which the gradient is at least 4.55 % of its largest, where that holds 95 % of its energy)
            or ``"whole"`` (the whole image).
        size: (height, width) of the receptive field in input pixels; at the center, where it is not one everywhere.
        stride: input pixels from one position to the next, (down, across); below 1 where the map is larger, 0
            where it is not known.
        start: center (y, x) of the first position's receptive field, in input pixels.
        map: (height, width) of the feature map.
        input_size: (height, width) of the input in pixels.
        rows, columns: edges of the field of each row and each column, where size, stride and start do not say them (the
            map was enlarged, or pooled to a given size); None where they do.
        by_position: whether a position's field is not said by size, stride and start, but measured there; the size is
            then that at the center of the map.
        in_place: whether positions look where they are on the map, and not at its mirror image, say; tried at one.
        measure: measures the field of a position, by its number; None without a model.
    """

    kind: Literal["exact", "measured", "whole"]
    size: tuple[float, float]
    stride: tuple[float, float]
    start: tuple[float, float]
    map: tuple[int, int]
    input_size: Size
    rows: Edges | None = field(default=None, repr=False)
    columns: Edges | None = field(default=None, repr=False)
    by_position: bool = False
    in_place: bool = True
    measure: Callable[[int], FieldBox] | None = field(default=None, repr=False, compare=False)

    def field_box(self, position: int) -> FieldBox:
        """Return the receptive field of a position, which is given as row * width + column.

        One that has to be measured at its position takes a few forwards and backwards, the first time; without a model
        (evidence from a file) it is the whole image.
        """
        if self.by_position and self.measure is not None:
            return self.measure(position)
        if self.kind == "whole" or self.by_position:
            return self.whole
        edges = []
        for axis, number in enumerate(divmod(position, self.map[1])):
            known = (self.rows, self.columns)[axis]
            if known is not None:
                edges.append(known[number])
                continue
            low = self.start[axis] + number * self.stride[axis] - (self.size[axis] - 1) / 2
            edges.append((low, low + self.size[axis]))
        (top, bottom), (left, right) = edges
        height, width = map(float, self.input_size)
        clipped = min(top, left) < -1e-6 or bottom > height + 1e-6 or right > width + 1e-6
        # A field that lies entirely in the padding still gets the nearest pixel of the input.
        return FieldBox(
            min(max(left, 0.0), width - 1),
            min(max(top, 0.0), height - 1),
            max(min(right, width), 1.0),
            max(min(bottom, height), 1.0),
            clipped,
        )

    @property
    def whole(self) -> FieldBox:
        """The box of the whole input."""
        return FieldBox(0.0, 0.0, float(self.input_size.width), float(self.input_size.height), False)

    @property
    def share(self) -> float:
        """Share of the input's area that the field of a central position covers, from 0 to 1."""
        if self.kind == "whole":
            return 1.0
        height, width = (min(size / side, 1.0) for size, side in zip(self.size, self.input_size, strict=True))
        return height * width

    @property
    def covered(self) -> tuple[float, float, float, float]:
        """Part of the input (left, top, right, bottom) that the map covers, each position one stride of it."""
        if min(self.stride) <= 0.0:  # it is unknown where positions look
            return self.whole.box
        top, left = (start - stride / 2 + 0.5 for start, stride in zip(self.start, self.stride, strict=True))
        return left, top, left + self.map[1] * self.stride[1], top + self.map[0] * self.stride[0]


def field_map(network: Network, layer: Layer, measure: bool = True) -> FieldMap:
    """Return the receptive fields of a layer: propagated where that gives a bound, else measured.

    Args:
        network: the model; where positions have to be measured one by one, it is run when a field is asked for.
        layer: one of its layers.
        measure: measure by gradient where propagation gives no bound (a gate or a normalization over the whole image,
            an unknown function); otherwise the field of such a layer is the whole image.
    """
    given = network.size
    middle = ((given.height - 1) / 2, (given.width - 1) / 2)
    whole = FieldMap("whole", (given.height, given.width), (0.0, 0.0), middle, layer.size, given)
    traced = layer.traced
    if not layer.spatial or traced is None:
        return whole
    spans = None if traced.rows is None or traced.columns is None else (traced.rows, traced.columns)
    if spans is not None and (len(spans[0]), len(spans[1])) != layer.size:
        spans = None
    if spans is not None and traced.exact:
        rows, columns = spans
        return FieldMap(
            "exact",
            (rows.size, columns.size),
            (rows.step, columns.step),
            (rows.start, columns.start),
            layer.size,
            given,
            *(None if rows.even and columns.even else _edges(span) for span in spans),
        )
    if spans is not None and not traced.moved and min(spans[0].step, spans[1].step) > 0:
        # The layers tell where a unit looks, but not how far; a measured field that the border cuts has its center
        # elsewhere.
        known = replace(
            whole, stride=(spans[0].step, spans[1].step), start=(float(spans[0].start), float(spans[1].start))
        )
        return _measured_around(network, layer, known) if measure else known
    if not measure:
        return whole
    height, width = layer.size
    central = ((height - 1) // 2, (width - 1) // 2)
    left, top, right, bottom = _measured(network, layer, central).box
    size = (bottom - top, right - left)
    if size[0] >= given.height and size[1] >= given.width:
        return replace(whole, in_place=_is_in_place(network, layer))
    stride = (given.height / height, given.width / width) if spans is None else (spans[0].step, spans[1].step)
    center = ((top + bottom - 1) / 2, (left + right - 1) / 2)
    start = tuple(c - number * s for c, number, s in zip(center, central, stride, strict=True))

    known = replace(whole, stride=stride, start=(start[0], start[1]))
    return replace(_by_position(network, layer, known, size), in_place=_is_in_place(network, layer))


def _by_position(network: Network, layer: Layer, known: FieldMap, size: tuple[float, float]) -> FieldMap:
    """Return a layer's fields, each of which is measured when it is asked for.

    Args:
        network: the model.
        layer: the layer.
        known: its stride and start.
        size: (height, width) of the field at the center of the map.
    """

    @functools.cache
    def at(position: int) -> FieldBox:
        return _measured(network, layer, divmod(position, layer.size[1]))

    return replace(known, kind="measured", size=size, by_position=True, measure=at)


def _measured_around(network: Network, layer: Layer, known: FieldMap) -> FieldMap:
    """Return a layer's fields with their size measured at the center of the map.

    Args:
        network: the model.
        layer: the layer.
        known: the fields as the whole image, with the centers that follow from the layers.
    """
    central = (layer.size[0] - 1) // 2, (layer.size[1] - 1) // 2
    support = gradient_support(network, layer, central)
    left, top, right, bottom = _exceeding(support, network.size)
    whole = bottom - top >= known.input_size.height and right - left >= known.input_size.width
    # On white noise, and on noise as in photographs, where what is normalized over the image may weigh more.
    for squared in (support.square(), central_energy(network, layer.name)):
        # The rest of the image may have a lot of influence together, though each pixel has little; and it stays where
        # it is when the position is another.
        whole = whole or _held(squared, (left, top, right, bottom)) < _HELD
    if whole:
        return known
    middle = [start + n * step + 0.5 for start, n, step in zip(known.start, central, known.stride, strict=True)]
    # The farther of the two edges: the image's border may have cut the other.
    height, width = (
        2 * max(at - low, high - at) for at, low, high in zip(middle, (top, left), (bottom, right), strict=True)
    )
    found = replace(known, kind="measured", size=(height, width))
    corners = (0, layer.size[0] * layer.size[1] - 1)
    energies = corner_energies(network, layer.name)
    shares = [_held(energy, found.field_box(corner).box) for energy, corner in zip(energies, corners, strict=True)]
    return found if min(shares) >= _HELD else _by_position(network, layer, known, found.size)


def _held(energy: Tensor, box: tuple[float, float, float, float]) -> float:
    """Return the share of a gradient's energy ``[H, W]`` that lies in a box; 1 where there is none."""
    left, top, right, bottom = box
    inside = energy[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)]
    total = float(energy.sum())
    return float(inside.sum()) / total if total > 0.0 else 1.0


def _edges(span: Span) -> Edges:
    return tuple(zip(span.low.tolist(), (span.high + 1.0).tolist(), strict=True))


def _measured(network: Network, layer: Layer, position: tuple[int, int]) -> FieldBox:
    """Measure the field of a position on noise."""
    support = gradient_support(network, layer, position)
    return FieldBox(*(_around(support) or _all_of(network.size)), False)


def _all_of(size: Size) -> tuple[float, float, float, float]:
    return 0.0, 0.0, float(size.width), float(size.height)


def _is_in_place(network: Network, layer: Layer) -> bool:
    """Return whether a position beside the center depends on the part of the image where it is on the map."""
    height, width = layer.size
    row, column = height // 5, width // 3  # where neither a mirrored nor a rotated map would have it
    found = _around(gradient_support(network, layer, (row, column), 1))
    if found is None:
        return True
    x, y = (column + 0.5) / width * network.size.width, (row + 0.5) / height * network.size.height
    left, top, right, bottom = found
    return left <= x <= right and top <= y <= bottom


def _around(support: Tensor) -> tuple[float, float, float, float] | None:
    """Return the box around all values above the threshold and around 95 % of the gradient; None if it is zero."""
    if not float(support.sum()) > 0 or not math.isfinite(float(support.sum())):
        return None
    left, top, right, bottom = _bounds(support > _THRESHOLD * support.max())
    held = smallest_box(support, _HELD)
    assert held is not None
    return min(left, held[0]), min(top, held[1]), max(right, held[2]), max(bottom, held[3])


def _bounds(within: Tensor) -> tuple[float, float, float, float]:
    rows, columns = within.any(dim=1).nonzero().flatten(), within.any(dim=0).nonzero().flatten()
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1


def field_on(
    network: Network,
    layer: str,
    unit: int,
    image: Tensor,
    position: tuple[int, int],
    *,
    preprocessed: bool = False,
) -> FieldBox | None:
    """Measure the field of a unit at a position on one image: one forward and one backward.

    Args:
        network, layer, unit, image, position, preprocessed: see
            :func:`~peek_widget.network.receptive_field.effective.effective_field`.

    Returns:
        The box in which its gradient is at least 4.55 % of its largest, and that holds 95 % of it; None where the
        gradient is zero.

    Raises:
        LayerError, UnitError, PeekError: if there is no such layer, unit or position, or that is not an image.
    """
    energy, _ = gradient_energy(network, layer, unit, image, position, preprocessed=preprocessed)
    found = _around(energy.sqrt())
    return None if found is None else FieldBox(*found, False)


def share_inside(
    network: Network, layer: Layer | str, position: tuple[int, int] | None = None, probes: int = 1
) -> float:
    """Check a receptive field: return the share of a position's gradient, on noise, that lies within its box.

    For a probe of a model: 1 up to rounding where the field is exact and right, and less where it is measured (at least
    0.95 where it was measured at that position). It takes one forward and one backward for each probe, and those of the
    measurement where the field is measured.

    Args:
        network: the model.
        layer: one of its layers with a map.
        position: (row, column) on its map; None for one a third from the upper left corner, so that a map that is
            mirrored or turned is noticed.
        probes: number of images of noise.

    Returns:
        The share, from 0 to 1; NaN where the gradient is zero or not finite.

    Raises:
        LayerError: if there is no such layer.
    """
    layer = layer if isinstance(layer, Layer) else network.layer(layer)
    height, width = layer.size
    row, column = (height // 3, width // 3) if position is None else position
    left, top, right, bottom = field_map(network, layer).field_box(row * width + column).box
    support = gradient_support(network, layer, (row, column), probes)
    inside = support[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)]
    total = float(support.sum())
    return float(inside.sum()) / total if total > 0 and math.isfinite(total) else math.nan


@torch.inference_mode(False)
def gradient_support(network: Network, layer: Layer, position: tuple[int, int], probes: int = _PROBES) -> Tensor:
    """Sum the absolute gradient of a position's units for each input pixel, over a few probes of seeded noise.

    Args:
        network: the model.
        layer: one of its layers.
        position: (row, column) on its feature map.
        probes: number of probes.

    Returns:
        ``[H, W]``; exactly 0 for a pixel that has no influence on the position.
    """
    generator = torch.Generator().manual_seed(0)
    device = network.model_copy.device
    total = torch.zeros(*network.size, dtype=torch.float64)
    for _ in range(probes):
        noise = torch.rand(1, network.channels, *network.size, generator=generator)
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
        raise UnitError(f"Layer {layer.name!r} has a map of {height} x {width} positions, without {position}.")
    return FieldBox(*_exceeding(gradient_support(network, layer, position), network.size, threshold), False)


def _exceeding(support: Tensor, size: Size, threshold: float = _THRESHOLD) -> tuple[float, float, float, float]:
    """Return the box around all values above a share of the largest; the whole image if all are zero."""
    if not float(support.sum()) > 0 or not math.isfinite(float(support.sum())):
        return _all_of(size)
    return _bounds(support > threshold * support.max())

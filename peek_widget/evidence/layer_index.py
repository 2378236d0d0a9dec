"""The statistics of a layer's units over the images so far, in memory that does not grow with their number.

For each unit: the ``k`` highest and the ``k`` lowest activations with their images and positions, two histograms (of
all positions, and of each image's highest) and the number of active positions. The results do not depend on the order
or the batches in which the images came.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget.evidence.group_histogram import GroupHistogram

__all__ = ["SAMPLED", "Extremes", "Histogram", "LayerIndex", "by_position"]

SAMPLED = 32
"""Number of positions of each feature map that enter the histogram: evenly spaced, from a start that is derived from
the image's number. Maximum, minimum and share of active positions are over all positions."""

_NONE = -1  # image number for "none yet"
_CACHED = 1 << 16  # numbers that stay in the processor's cache: a quarter of a megabyte


def by_position(values: Tensor) -> Tensor:
    """Return activations ``[N, C, H, W]`` or ``[N, C]`` as ``[N, P, C]``, the P positions row by row; a view."""
    return values[:, None] if values.ndim == 2 else values.flatten(2).transpose(1, 2)


class Extremes:
    """The ``k`` largest activations of each unit, or with ``sign=-1`` the smallest.

    Attributes:
        value: ``[units, k]`` float32, the activations, largest (smallest) first; -inf (+inf) where there is none yet.
        image: ``[units, k]`` int64, numbers of the images, -1 for none. Of equal values the lower number comes first.
        position: ``[units, k]`` int64, row * width + column on the layer's feature map.
    """

    def __init__(self, units: int, k: int, sign: int = 1, device: torch.device | str = "cpu") -> None:
        self.sign = sign
        self.value: Tensor = torch.full((units, k), -sign * torch.inf, device=device)
        self.image: Tensor = torch.full((units, k), _NONE, dtype=torch.int64, device=device)
        self.position: Tensor = torch.full((units, k), _NONE, dtype=torch.int64, device=device)

    def update(self, values: Tensor, best: Tensor, images: Tensor, per_image: bool = True) -> Tensor:
        """Add a batch of N images.

        Args:
            values: ``[N, P, C]``, the activations at P positions.
            best: ``[N, C]``, their maxima over positions (minima for ``sign=-1``); one that is not finite is ignored.
            images: ``[N]`` int64, numbers of the images, none of them given before.
            per_image: keep one position of an image at most.

        Returns:
            ``[N]`` bool, on the values' device: which images are now among the ``k`` of some unit.
        """
        worst = self.value[:, -1]
        ahead = best > worst if self.sign > 0 else best < worst
        # Of equal values the lower image number is kept, so that the order of the images does not matter.
        ahead |= (best == worst) & (images[:, None] < self.image[:, -1])
        ahead &= best.isfinite()
        if per_image and values.device.type != "cpu":
            return self._update_all(values, best, images, ahead)
        units = ahead.any(dim=0).nonzero().flatten()
        if len(units) == 0:
            return ahead.new_zeros(len(images))
        if per_image:
            value = torch.where(ahead[:, units], best[:, units], -self.sign * torch.inf).T
            image = torch.where(ahead[:, units].T, images[None], _NONE)
            # Positions are looked up only of those that stay; until then their column holds the row in the batch, as a
            # number below -1.
            row = torch.arange(len(images), device=images.device)
            kept = self._merge(units, value, image, torch.where(image >= 0, _NONE - 1 - row, _NONE))
            unit, rank = (self.position < _NONE).nonzero(as_tuple=True)
            self.position[unit, rank] = self._look_up(values, _NONE - 1 - self.position[unit, rank], unit)
        else:
            kept = self._merge(units, *self._all_positions(values[..., units], best[:, units], images))
        return torch.isin(images, kept.unique())

    def _update_all(self, values: Tensor, best: Tensor, images: Tensor, ahead: Tensor) -> Tensor:
        """Merge a batch for all units, without waiting for the host to know which units change."""
        at = (values.argmax(dim=1) if self.sign > 0 else values.argmin(dim=1)).T
        value = torch.where(ahead, best, -self.sign * torch.inf).T
        image = torch.where(ahead.T, images[None], _NONE)
        kept = self._merge(slice(None), value, image, torch.where(image >= 0, at, _NONE))
        return (images[:, None] == kept.flatten()).any(dim=1)

    def _look_up(self, values: Tensor, row: Tensor, unit: Tensor) -> Tensor:
        """Return the position of the best activation for each pair of a row of the batch and a unit, ``[pairs]``."""
        best = torch.argmax if self.sign > 0 else torch.argmin
        # Image by image, since units are adjacent in memory and positions are far apart.
        found = torch.empty_like(unit)
        for one in row.unique().tolist():
            of = row == one
            found[of] = best(values[one].index_select(1, unit[of]), dim=0)
        return found

    def _all_positions(self, values: Tensor, best: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count, size, _ = values.shape
        flat = torch.where(best.isfinite()[:, None], values, -self.sign * torch.inf).flatten(0, 1).T
        # A stable sort: of equal values the first in the order of images and positions is kept.
        order = images.argsort()
        flat = flat.unflatten(1, (count, size))[:, order].flatten(1)
        k = min(self.value.shape[1], flat.shape[1])
        at = flat.argsort(dim=1, descending=self.sign > 0, stable=True)[:, :k]
        value = flat.gather(1, at)
        image = torch.where(value.isfinite(), images[order][at // size], _NONE)
        return value, image, at % size

    def _merge(self, units: Tensor | slice, value: Tensor, image: Tensor, position: Tensor) -> Tensor:
        """Merge ``[units, n]`` further activations into those of some units.

        Returns:
            ``[units, k]``, the numbers of the images kept.
        """
        value = torch.cat([self.value[units], value], dim=1)
        image = torch.cat([self.image[units], image], dim=1)
        position = torch.cat([self.position[units], position], dim=1)
        order = position.argsort(dim=1)
        for key, down in ((image, False), (value, self.sign > 0)):
            # Sorted by value, of equal values by image, and within an image by position.
            order = order.gather(1, key.gather(1, order).argsort(dim=1, descending=down, stable=True))
        value, image, position = value.gather(1, order), image.gather(1, order), position.gather(1, order)
        k = self.value.shape[1]
        self.value[units], self.image[units], self.position[units] = value[:, :k], image[:, :k], position[:, :k]
        return image[:, :k]

    def merge(self, other: Extremes) -> None:
        """Merge the extremes of another set of images into these."""
        units = torch.arange(len(self.value), device=self.value.device)
        self._merge(units, *(t.to(self.value.device) for t in (other.value, other.image, other.position)))


class Histogram:
    """Number of times that each unit had an activation, in bins with edges at most 1/16 (6 %) apart.

    The bins are the upper bits of a float32: sign, exponent and four bits of the mantissa, so no logarithm is needed. A
    quantile is interpolated within its bin. A value below ``2**-14`` (6e-5) in size counts as zero, one above ``2**18``
    as ``2**18``. The bins are fixed, so the result does not depend on the order of the values, and histograms can be
    added.
    """

    MANTISSA = 4
    LOWEST, HIGHEST = -14, 18
    HALF = (HIGHEST - LOWEST) << MANTISSA
    BINS = 2 * HALF + 1  # negative ones, zero, positive ones, in ascending order

    def __init__(self, units: int, device: torch.device | str = "cpu") -> None:
        # The last column counts values that are not finite, and is not read.
        self._counted = torch.zeros(units, self.BINS + 1, dtype=torch.int32, device=device)

    @property
    def count(self) -> Tensor:
        """Counts ``[units, bins]``, int32."""
        return self._counted[:, :-1]

    @count.setter
    def count(self, count: Tensor) -> None:
        self._counted = F.pad(count, (0, 1))

    def add(self, values: Tensor) -> None:
        """Count values ``[n, units]``; those that are not finite are left out."""
        values = values.float().contiguous()
        # Sign, exponent and four bits of the mantissa: a code of 13 bits, whose bin is looked up in a table.
        code = (values.view(torch.int32) >> (23 - self.MANTISSA)).bitwise_and_(_CODES - 1)
        at = _bins(values.device)[code.flatten()].view_as(code)
        at += torch.arange(at.shape[1], device=at.device) * (self.BINS + 1)
        one = torch.ones(1, dtype=torch.int32, device=at.device).expand(at.numel())
        self._counted.view(-1).index_add_(0, at.view(-1), one)

    @classmethod
    def edges(cls) -> Tensor:
        """Return the edges of the bins ``[bins + 1]``, float32, ascending; bin i is from edge i to edge i + 1."""
        shift = 23 - cls.MANTISSA
        first = (cls.LOWEST + 127) << cls.MANTISSA
        size = (torch.arange(cls.HALF + 1, dtype=torch.int32) + first << shift).view(torch.float32)
        return torch.cat([-size.flip(0), size])

    def quantiles(self, unit: int, shares: Tensor, low: float | None, high: float) -> Tensor:
        """Compute quantiles of a unit's values.

        Args:
            unit: number of the unit.
            shares: ``[n]``, from 0 to 1.
            low: the exact smallest value; None where it is not known.
            high: the exact largest value.

        Returns:
            ``[n]`` float32; NaN where nothing has been counted yet.
        """
        count = self.count[unit].cpu().double()
        total = count.sum()
        if total == 0:
            return torch.full((len(shares),), torch.nan)
        if low is None:
            low = float(self.edges()[int(count.nonzero()[0])])
        upto = count.cumsum(0)
        wanted = shares.double() * total
        at = torch.searchsorted(upto, wanted.clamp(min=1e-9)).clamp(max=self.BINS - 1)
        edges = self.edges().double()
        inside = ((wanted - (upto[at] - count[at])) / count[at]).clamp(0.0, 1.0)
        # Interpolated within the bin, and never beyond the smallest and largest value.
        left, right = edges[at].clamp(low, high), edges[at + 1].clamp(low, high)
        found = left + inside * (right - left)
        return torch.where(shares <= 0, low, torch.where(shares >= 1, high, found)).float()

    def share_below(self, unit: int, activation: float, low: float, high: float) -> float:
        """Return the share of a unit's values (0 to 1) below an activation, interpolated within its bin.

        Args:
            unit: number of the unit.
            activation: the activation.
            low, high: the exact smallest and largest value.

        Returns:
            NaN where nothing has been counted yet.
        """
        count = self.count[unit].cpu().double()
        if count.sum() == 0:
            return float("nan")
        if not low < activation <= high:
            return float(activation > high)
        edges = self.edges().double().clamp(low, high)
        inside = ((activation - edges[:-1]) / (edges[1:] - edges[:-1]).clamp(min=1e-300)).clamp(0.0, 1.0)
        return float((count * inside).sum() / count.sum())

    def shares_below(self, activations: Tensor, low: Tensor | None, high: Tensor) -> Tensor:
        """Return for each unit the share of its values (0 to 1) below an activation, as :meth:`share_below` does.

        Args:
            activations: one for each unit, ``[units]``.
            low: the exact smallest values, ``[units]``; None where they are not known.
            high: the exact largest values, ``[units]``.

        Returns:
            ``[units]`` float64, on the CPU; NaN where nothing has been counted yet.
        """
        count, edges = self.count.cpu().double(), self.edges().double()
        value, high = activations.cpu().double(), high.cpu().double()
        low = torch.full_like(high, -torch.inf) if low is None else low.cpu().double()
        at = (torch.searchsorted(edges, value, right=True) - 1).clamp(0, self.BINS - 1)
        left, right = (torch.minimum(torch.maximum(one, low), high) for one in (edges[at], edges[at + 1]))
        inside = ((value - left) / (right - left).clamp(min=1e-300)).clamp(0.0, 1.0)
        here = count.gather(1, at[:, None])[:, 0]
        below = count.cumsum(1).gather(1, at[:, None])[:, 0] - here + inside * here
        share = torch.where(value <= low, 0.0, torch.where(value > high, 1.0, below / count.sum(1)))
        return torch.where((count.sum(1) > 0) & value.isfinite(), share, torch.nan)


_CODES = 1 << (1 + 8 + Histogram.MANTISSA)


@functools.lru_cache(maxsize=8)
def _bins(device: torch.device) -> Tensor:
    """Return the bin of each 13-bit code, ``[8192]`` int64."""
    code = torch.arange(_CODES)
    size = code % (_CODES // 2)
    bins = (size - (((Histogram.LOWEST + 127) << Histogram.MANTISSA) - 1)).clamp(0, Histogram.HALF)
    bins = torch.where(code < _CODES // 2, bins, -bins) + Histogram.HALF
    bins[size >= 255 << Histogram.MANTISSA] = Histogram.BINS  # infinities and NaN
    return bins.to(device)


class LayerIndex:
    """The statistics of one layer.

    Args:
        units: number of units of the layer.
        size: height and width of its feature map.
        k: number of highest, and of lowest, activations kept for each unit.
        per_image: keep one position of an image at most.
        device: device of the activations.

    Attributes:
        top: the highest activations.
        bottom: the lowest activations.
        positions: histogram of the activations at a sample of positions of each image.
        best: histogram of each image's highest activation.
        active: ``[units]`` int64, number of positions with an activation above 0.
        counted: ``[units]`` int64, number of positions; images on which the unit was not finite are left out.
        groups: histogram of each image's highest activation by group; None where none is kept.
    """

    def __init__(
        self,
        units: int,
        size: tuple[int, int],
        k: int,
        per_image: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        self.units: int = units
        self.size: tuple[int, int] = size
        self.k: int = k
        self.per_image: bool = per_image
        self.top: Extremes = Extremes(units, k, 1, device)
        self.bottom: Extremes = Extremes(units, k, -1, device)
        self.positions: Histogram = Histogram(units, device)
        self.best: Histogram = Histogram(units, device)
        self.active: Tensor = torch.zeros(units, dtype=torch.int64, device=device)
        self.counted: Tensor = torch.zeros(units, dtype=torch.int64, device=device)
        self.groups: GroupHistogram | None = GroupHistogram(units)

    @torch.inference_mode()
    def update(self, values: Tensor, images: Tensor, rows: list[tuple[int, ...]] | None = None) -> Tensor:
        """Add a batch of N images.

        Args:
            values: activations ``[N, C, H, W]`` or ``[N, C]``.
            images: numbers of the images, ``[N]`` int64.
            rows: for each image the numbers of its groups; None if no histogram is kept of groups.

        Returns:
            ``[N]`` bool, on the values' device: which images are now among the highest or lowest of some unit.
        """
        images = images.to(values.device)
        flat = by_position(values)
        high, low, active = _reduced(flat)
        finite = high.isfinite() & low.isfinite()
        sampled = sample(flat, images)
        # On a CPU this check usually saves the work; elsewhere it would cost a synchronization.
        if values.device.type != "cpu" or not bool(finite.all()):
            high, low = torch.where(finite, high, torch.nan), torch.where(finite, low, torch.nan)
            sampled = torch.where(finite[:, None], sampled, torch.nan)
            active = torch.where(finite, active, 0.0)
        self.active += active.long().sum(dim=0)
        self.counted += finite.sum(dim=0) * flat.shape[1]
        entered = self.top.update(flat, high, images, self.per_image)
        entered |= self.bottom.update(flat, low, images, self.per_image)
        self.best.add(high)
        if self.groups is not None and rows is not None:
            self.groups.add(high, rows)
        self.positions.add(sampled.flatten(0, 1))
        return entered

    def to(self, device: torch.device | str) -> LayerIndex:
        """Move to the device of the activations. Returns itself."""
        for extremes in (self.top, self.bottom):
            for name in ("value", "image", "position"):
                setattr(extremes, name, getattr(extremes, name).to(device))
        self.positions.count, self.best.count = self.positions.count.to(device), self.best.count.to(device)
        self.active, self.counted = self.active.to(device), self.counted.to(device)
        return self

    def merge(self, other: LayerIndex, rows: list[int] | None = None) -> None:
        """Merge the index of the same layer over other images into this one.

        Args:
            other: the other index.
            rows: for each of its groups the number that it has here; None to keep no histogram of groups.
        """
        if rows is None or other.groups is None or self.groups is None:
            self.groups = None
        else:
            self.groups.merge(other.groups, rows)
        self.top.merge(other.top)
        self.bottom.merge(other.bottom)
        for mine, theirs in (
            (self.positions.count, other.positions.count),
            (self.best.count, other.best.count),
            (self.active, other.active),
            (self.counted, other.counted),
        ):
            mine += theirs.to(mine.device)


def _reduced(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return maximum, minimum and number above 0 over the P positions of ``[N, P, C]``, ``[N, C]`` each."""
    if values.device.type != "cpu":
        return values.amax(dim=1), values.amin(dim=1), (values > 0).sum(dim=1, dtype=torch.float32)
    # In pieces that stay in the processor's cache, so that a map is read from memory once for all three. Comparing into
    # floats and adding these is eight times as fast as adding booleans; amax and amin are each ten times as fast as
    # aminmax.
    count, size, units = values.shape
    rows = max(1, _CACHED // units)
    pieces = -(-size // rows)
    high, low, active = (values.new_empty(count, pieces, units) for _ in range(3))
    above = values.new_empty(rows, units)
    for image, positions in enumerate(values):
        for number, piece in enumerate(positions.split(rows)):
            torch.amax(piece, dim=0, out=high[image, number])
            torch.amin(piece, dim=0, out=low[image, number])
            torch.sum(torch.gt(piece, 0.0, out=above[: len(piece)]), dim=0, out=active[image, number])
    return high.amax(dim=1), low.amin(dim=1), active.sum(dim=1)


def sample(values: Tensor, images: Tensor) -> Tensor:
    """Select S, at most :data:`SAMPLED`, of the P positions of ``[N, P, C]``, by the images' numbers; ``[N, S, C]``."""
    count, size, _ = values.shape
    if size <= SAMPLED:
        return values
    # A Fibonacci hash of the image's number: consecutive images get distant starts, whatever the batches are.
    start = (images * -7046029254386353131) >> 33 & 0xFFFF
    step = torch.arange(SAMPLED, device=values.device) << 16
    at = (start[:, None] + step) * size // (SAMPLED << 16)
    return values[torch.arange(count, device=values.device)[:, None], at]

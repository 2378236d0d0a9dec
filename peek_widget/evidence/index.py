"""What is known of a layer's units from the images seen so far, in memory that does not grow with them.

For each unit: the ``k`` highest and the ``k`` lowest activations with their images and places, two histograms
(of all places, of each image's best place) and the count of active places. All results are the same in
whatever order and in whatever batches the images came.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["SAMPLED", "Extremes", "Histogram", "LayerIndex", "as_places"]

SAMPLED = 32
"""Places of each image that go into the histogram of a map: spread evenly over it from a start that is drawn
from the image's number. Maximum, minimum and share of active places are over all of them."""

_NONE = -1  # no image there yet
_CACHED = 1 << 16  # numbers; a quarter of a megabyte


def as_places(values: Tensor) -> Tensor:
    """Activations ``[N, C, H, W]`` or ``[N, C]`` as ``[N, places, C]``, places row by row; no copy."""
    return values[:, None] if values.ndim == 2 else values.flatten(2).transpose(1, 2)


class Extremes:
    """The ``k`` largest activations of each unit, or with ``sign=-1`` the smallest.

    Attributes:
        value: ``[units, k]`` float32, best first; where fewer images were seen, -inf (+inf for the smallest).
        image: ``[units, k]`` int64, the image's number, -1 for none. Of equals, the lower number comes first.
        place: ``[units, k]`` int64, row * width + column in the layer's map.
    """

    def __init__(self, units: int, k: int, sign: int = 1, device: torch.device | str = "cpu") -> None:
        self.sign = sign
        self.value: Tensor = torch.full((units, k), -sign * torch.inf, device=device)
        self.image: Tensor = torch.full((units, k), _NONE, dtype=torch.int64, device=device)
        self.place: Tensor = torch.full((units, k), _NONE, dtype=torch.int64, device=device)

    def update(self, places: Tensor, best: Tensor, images: Tensor, per_image: bool = True) -> Tensor:
        """Take in a batch; returns ``[N]`` bool: which images are among the ``k`` of some unit now.

        Args:
            places: ``[N, P, C]``.
            best: ``[N, C]``, its maxima over places (minima for ``sign=-1``); not finite: passed over.
            images: ``[N]`` int64, no number twice, none that was given before.
            per_image: keep one place of an image at most.
        """
        worst = self.value[:, -1]
        ahead = best > worst if self.sign > 0 else best < worst
        # An equal takes the place of one with a higher number, so that the order of the images does not matter.
        ahead |= (best == worst) & (images[:, None] < self.image[:, -1])
        ahead &= best.isfinite()
        units = ahead.any(dim=0).nonzero().flatten()
        if len(units) == 0:
            return ahead.new_zeros(len(images))
        if per_image:
            value = torch.where(ahead[:, units], best[:, units], -self.sign * torch.inf).T
            image = torch.where(ahead[:, units].T, images[None], _NONE)
            # Where in the image is looked up for those that stay: until then its row in the batch, below -1.
            row = torch.arange(len(images), device=images.device)
            kept = self._merge(units, value, image, torch.where(image >= 0, _NONE - 1 - row, _NONE))
            unit, rank = (self.place < _NONE).nonzero(as_tuple=True)
            self.place[unit, rank] = self._look_up(places, _NONE - 1 - self.place[unit, rank], unit)
        else:
            kept = self._merge(units, *self._every_place(places[..., units], best[:, units], images))
        return torch.isin(images, kept)

    def _look_up(self, places: Tensor, row: Tensor, unit: Tensor) -> Tensor:
        """The place of the best of each pair of a batch's row and a unit, ``[pairs]``."""
        best = torch.argmax if self.sign > 0 else torch.argmin
        if places.is_cuda:
            return best(places[row, :, unit], dim=1)
        # Image by image: units lie side by side in memory, places far apart.
        found = torch.empty_like(unit)
        for one in row.unique().tolist():
            of = row == one
            found[of] = best(places[one].index_select(1, unit[of]), dim=0)
        return found

    def _every_place(self, places: Tensor, best: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count, size, _ = places.shape
        flat = torch.where(best.isfinite()[:, None], places, -self.sign * torch.inf).flatten(0, 1).T
        # Stable: of equals, the first in the order of images and places.
        order = images.argsort()
        flat = flat.unflatten(1, (count, size))[:, order].flatten(1)
        k = min(self.value.shape[1], flat.shape[1])
        at = flat.argsort(dim=1, descending=self.sign > 0, stable=True)[:, :k]
        value = flat.gather(1, at)
        image = torch.where(value.isfinite(), images[order][at // size], _NONE)
        return value, image, at % size

    def _merge(self, units: Tensor, value: Tensor, image: Tensor, place: Tensor) -> Tensor:
        value = torch.cat([self.value[units], value], dim=1)
        image = torch.cat([self.image[units], image], dim=1)
        place = torch.cat([self.place[units], place], dim=1)
        order = place.argsort(dim=1)
        for key, down in ((image, False), (value, self.sign > 0)):
            # Sorted by value, equals by image, and equals of one image by place.
            order = order.gather(1, key.gather(1, order).argsort(dim=1, descending=down, stable=True))
        value, image, place = value.gather(1, order), image.gather(1, order), place.gather(1, order)
        k = self.value.shape[1]
        self.value[units], self.image[units], self.place[units] = value[:, :k], image[:, :k], place[:, :k]
        return image[:, :k].unique()

    def absorb(self, other: Extremes) -> None:
        """Take in what another index found in other images."""
        units = torch.arange(len(self.value), device=self.value.device)
        self._merge(units, *(t.to(self.value.device) for t in (other.value, other.image, other.place)))


class Histogram:
    """How often each unit had which activation, in bins a sixteenth of an octave's power wide at most.

    The bins are the upper bits of a float32: sign, exponent and four bits of the mantissa, so a bin's edges
    are 1/16 (6 %) apart at most and a value needs no logarithm. A quantile is interpolated within its bin;
    below ``2**-14`` (6e-5) in size all counts as zero, above ``2**18`` as that. The bins never move, so the
    result is the same in any order, and two histograms add.
    """

    MANTISSA = 4
    LOWEST, HIGHEST = -14, 18
    HALF = (HIGHEST - LOWEST) << MANTISSA
    BINS = 2 * HALF + 1  # the negative ones, zero, the positive ones, in the order of their values

    def __init__(self, units: int, device: torch.device | str = "cpu") -> None:
        # The last column is for what is no number, and is read by nobody.
        self._counted = torch.zeros(units, self.BINS + 1, dtype=torch.int32, device=device)

    @property
    def count(self) -> Tensor:
        """How often: ``[units, bins]`` int32."""
        return self._counted[:, :-1]

    @count.setter
    def count(self, count: Tensor) -> None:
        self._counted = F.pad(count, (0, 1))

    def add(self, values: Tensor) -> None:
        """Take in values ``[n, units]``; those that are not finite are left out."""
        values = values.float().contiguous()
        # Sign, exponent and four bits of the mantissa: 13 bits, looked up.
        code = (values.view(torch.int32) >> (23 - self.MANTISSA)).bitwise_and_(_CODES - 1)
        at = _bins(values.device)[code.flatten()].view_as(code)
        at += torch.arange(at.shape[1], device=at.device) * (self.BINS + 1)
        one = torch.ones(1, dtype=torch.int32, device=at.device).expand(at.numel())
        self._counted.view(-1).index_add_(0, at.view(-1), one)

    @classmethod
    def edges(cls) -> Tensor:
        """``[bins + 1]``: the bins' limits, float32, increasing; bin i reaches from edge i to edge i + 1."""
        shift = 23 - cls.MANTISSA
        first = (cls.LOWEST + 127) << cls.MANTISSA
        size = (torch.arange(cls.HALF + 1, dtype=torch.int32) + first << shift).view(torch.float32)
        return torch.cat([-size.flip(0), size])

    def quantiles(self, unit: int, shares: Tensor, low: float | None, high: float) -> Tensor:
        """The activations below which the given shares ``[n]`` (0 to 1) of the values lie, ``[n]``.

        ``low`` and ``high`` are the smallest and largest value, known exactly (or None). NaN before the first.
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
        # Within the bin, and never beyond what was seen at all.
        left, right = edges[at].clamp(low, high), edges[at + 1].clamp(low, high)
        found = left + inside * (right - left)
        return torch.where(shares <= 0, low, torch.where(shares >= 1, high, found)).float()

    def share_below(self, unit: int, activation: float, low: float, high: float) -> float:
        """The share of values (0 to 1) below an activation, likewise; NaN before the first value."""
        count = self.count[unit].cpu().double()
        if count.sum() == 0:
            return float("nan")
        if not low < activation <= high:
            return float(activation > high)
        edges = self.edges().double().clamp(low, high)
        inside = ((activation - edges[:-1]) / (edges[1:] - edges[:-1]).clamp(min=1e-300)).clamp(0.0, 1.0)
        return float((count * inside).sum() / count.sum())


_CODES = 1 << (1 + 8 + Histogram.MANTISSA)


@functools.lru_cache(maxsize=8)
def _bins(device: torch.device) -> Tensor:
    """The bin of each code, ``[8192]`` int64."""
    code = torch.arange(_CODES)
    size = code % (_CODES // 2)
    bins = (size - (((Histogram.LOWEST + 127) << Histogram.MANTISSA) - 1)).clamp(0, Histogram.HALF)
    bins = torch.where(code < _CODES // 2, bins, -bins) + Histogram.HALF
    bins[size >= 255 << Histogram.MANTISSA] = Histogram.BINS  # infinities and what is no number
    return bins.to(device)


class LayerIndex:
    """All that is kept of one layer.

    Args:
        units: channels of the layer.
        size: height and width of its map.
        k: how many of the highest, and of the lowest.
        per_image: one place of an image at most.
        device: where the activations come from.

    Attributes:
        top, bottom: :class:`Extremes`.
        places: :class:`Histogram` of the activations at all places (of a sample of them).
        best: :class:`Histogram` of each image's highest.
        active: ``[units]`` int64, places with an activation above 0.
        counted: ``[units]`` int64, places seen; passed over are images in which the unit was not finite.
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
        self.places: Histogram = Histogram(units, device)
        self.best: Histogram = Histogram(units, device)
        self.active: Tensor = torch.zeros(units, dtype=torch.int64, device=device)
        self.counted: Tensor = torch.zeros(units, dtype=torch.int64, device=device)

    @torch.inference_mode()
    def update(self, values: Tensor, images: Tensor) -> Tensor:
        """Take in the activations ``[N, C, H, W]`` or ``[N, C]`` of images with the numbers ``[N]``.

        Returns:
            ``[N]`` bool, on the CPU: which images are among the highest or lowest of some unit now.
        """
        images = images.to(values.device)
        places = as_places(values)
        high, low, active = _reduced(places)
        finite = high.isfinite() & low.isfinite()
        if not bool(finite.all()):
            high, low = torch.where(finite, high, torch.nan), torch.where(finite, low, torch.nan)
            places = torch.where(finite[:, None], places, torch.nan)
            active = torch.where(finite, active, 0.0)
        self.active += active.long().sum(dim=0)
        self.counted += finite.sum(dim=0) * places.shape[1]
        entered = self.top.update(places, high, images, self.per_image)
        entered |= self.bottom.update(places, low, images, self.per_image)
        self.best.add(high)
        self.places.add(sample(places, images).flatten(0, 1))
        return entered.cpu()

    def to(self, device: torch.device | str) -> LayerIndex:
        """Move to where the activations come from. Returns itself."""
        for extremes in (self.top, self.bottom):
            for name in ("value", "image", "place"):
                setattr(extremes, name, getattr(extremes, name).to(device))
        self.places.count, self.best.count = self.places.count.to(device), self.best.count.to(device)
        self.active, self.counted = self.active.to(device), self.counted.to(device)
        return self

    def absorb(self, other: LayerIndex) -> None:
        """Take in what another index of the same layer found in other images."""
        self.top.absorb(other.top)
        self.bottom.absorb(other.bottom)
        for mine, theirs in (
            (self.places.count, other.places.count),
            (self.best.count, other.best.count),
            (self.active, other.active),
            (self.counted, other.counted),
        ):
            mine += theirs.to(mine.device)


def _reduced(places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of ``[N, P, C]`` each image's highest and lowest, and how many of its places are above 0, ``[N, C]`` each."""
    if places.is_cuda:
        return places.amax(dim=1), places.amin(dim=1), (places > 0).sum(dim=1, dtype=torch.float32)
    # In pieces that stay in the cache, so that a map is read from memory once for all three. Comparing into floats
    # and adding these up is eight times as fast as adding up truth values; amax and amin each ten times as aminmax.
    count, size, units = places.shape
    rows = max(1, _CACHED // units)
    pieces = -(-size // rows)
    high, low, active = (places.new_empty(count, pieces, units) for _ in range(3))
    above = places.new_empty(rows, units)
    for image, place in enumerate(places):
        for number, piece in enumerate(place.split(rows)):
            torch.amax(piece, dim=0, out=high[image, number])
            torch.amin(piece, dim=0, out=low[image, number])
            torch.sum(torch.gt(piece, 0.0, out=above[: len(piece)]), dim=0, out=active[image, number])
    return high.amax(dim=1), low.amin(dim=1), active.sum(dim=1)


def sample(places: Tensor, images: Tensor) -> Tensor:
    """Of ``[N, P, C]`` at most :data:`SAMPLED` places of each image, ``[N, S, C]``; which, the number decides."""
    count, size, _ = places.shape
    if size <= SAMPLED:
        return places
    # A Fibonacci hash: neighbors get far starts, in whichever batch they come.
    start = (images * -7046029254386353131) >> 33 & 0xFFFF
    step = torch.arange(SAMPLED, device=places.device) << 16
    at = (start[:, None] + step) * size // (SAMPLED << 16)
    return places[torch.arange(count, device=places.device)[:, None], at]

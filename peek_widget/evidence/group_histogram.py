"""Histograms of images' highest activations by group, from which the scores over all images follow.

Of each unit and group there are 64 bins of equal width, whatever the number of images. The width is a power of two, the
smallest for which all activations that were seen lie within 64 bins; where a further one lies beyond, pairs of bins are
added up. So the bins depend on the lowest and the highest activation alone, and the counts neither on the order of the
images nor on how they were divided.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BINS", "GroupHistogram", "Scores", "scores", "summed"]

BINS = 64
_LEAST = -24
"""Exponent of the smallest width: activations that differ by less are equal."""
_HIGHEST = 2.0**28  # larger ones count as this
_WAITING = 512  # images that wait to be counted, so that a device is read seldom


class GroupHistogram:
    """Numbers of images by unit, group and activation.

    Args:
        units: number of units.

    Attributes:
        rows: number of groups; row 0 of ``count`` is of all images.
    """

    def __init__(self, units: int) -> None:
        self._count = torch.zeros(units, 1, BINS, dtype=torch.int32, device="cpu")
        self._exponent = torch.full((units,), _LEAST, dtype=torch.int64, device="cpu")
        self._first = torch.zeros(units, dtype=torch.int64, device="cpu")
        self._last = torch.full(
            (units,), -1, dtype=torch.int64, device="cpu"
        )  # below the first exponent: nothing counted yet
        self._waiting: list[tuple[Tensor, list[tuple[int, ...]]]] = []
        self.rows: int = 0

    @classmethod
    def of(cls, count: Tensor, exponent: Tensor, first: Tensor) -> GroupHistogram:
        """Make a histogram of what :meth:`parts` has returned."""
        found = cls(len(count))
        found._count, found._exponent, found._first = count, exponent, first
        found.rows = count.shape[1] - 1
        number = torch.arange(BINS, device="cpu")
        highest = torch.where(count[:, 0] > 0, number, -1).amax(1)
        found._last = first + highest
        return found

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the stored tensors, on the CPU.

        Returns:
            counts ``[units, 1 + groups, 64]`` int32; exponents of the bins' widths, and numbers of the first bins,
            ``[units]`` int64: bin b is from ``(first + b) * 2**exponent`` to the next.
        """
        self._settle()
        return self._count, self._exponent, self._first

    def add(self, best: Tensor, rows: list[tuple[int, ...]]) -> None:
        """Count a batch of images.

        Args:
            best: ``[N, units]``, the highest activation of each image, on any device; what is not finite is left out.
            rows: for each image the numbers of its groups, from 0.
        """
        self._waiting.append((best, rows))
        if sum(len(rows) for _, rows in self._waiting) >= _WAITING:
            self._settle()

    @torch.inference_mode()
    def merge(self, other: GroupHistogram, rows: list[int]) -> None:
        """Add the counts of other images.

        Args:
            other: their histogram.
            rows: for each of its groups the number that it has here.
        """
        self._settle()
        theirs, exponent, first = other.parts()
        last = other._last
        counted = last >= first
        low, high = first.double() * exponent.double().exp2(), last.double() * exponent.double().exp2()
        self._widen(low, high, exponent, counted)
        at = self._places(exponent, first)
        rows = rows[: other.rows]
        self._grow(max((row + 1 for row in rows), default=0))
        for number, row in enumerate((-1, *rows)):
            self._count[:, row + 1] += torch.zeros_like(theirs[:, number]).scatter_add_(1, at, theirs[:, number])

    @torch.inference_mode()
    def _settle(self) -> None:
        if not self._waiting:
            return
        best = torch.cat([best for best, _ in self._waiting]).cpu().double()
        rows = [row for _, several in self._waiting for row in several]
        self._waiting = []
        finite = best.isfinite()
        best = torch.where(finite, best, 0.0).clamp(-_HIGHEST, _HIGHEST)
        low = torch.where(finite, best, torch.inf).amin(0)
        high = torch.where(finite, best, -torch.inf).amax(0)
        there = finite.any(0)
        self._widen(torch.where(there, low, 0.0), torch.where(there, high, 0.0), None, there)
        self._grow(max((row + 1 for one in rows for row in one), default=0))
        at = (best / self._exponent.double().exp2()).floor().long() - self._first
        at = at.clamp_(0, BINS - 1) + torch.arange(len(self._exponent), device="cpu") * (BINS * (1 + self.rows))
        one, flat = finite.int(), self._count.view(-1)
        flat.index_add_(0, at.flatten(), one.flatten())
        pairs = [(image, row) for image, several in enumerate(rows) for row in several]
        if pairs:
            image, row = torch.tensor(pairs, device="cpu").T
            flat.index_add_(0, (at[image] + (1 + row[:, None]) * BINS).flatten(), one[image].flatten())

    def _grow(self, rows: int) -> None:
        """Grow to a number of groups."""
        if rows > self.rows:
            self._count = F.pad(self._count, (0, 0, 0, rows - self.rows))
            self.rows = rows

    def _widen(self, low: Tensor, high: Tensor, exponent: Tensor | None, there: Tensor) -> None:
        """Make the bins hold activations from ``low`` to ``high`` too, of the units that are ``there``.

        Args:
            low, high: ``[units]`` float64, the lowest and highest activation, or the lower edges of their bins.
            exponent: exponents of these bins, which these here must not be below; None for activations.
            there: ``[units]`` bool.
        """
        counted = self._last >= self._first
        width = self._exponent.double().exp2()
        lowest = torch.where(counted, torch.minimum(low, self._first * width), low)
        highest = torch.where(counted, torch.maximum(high, self._last * width), high)
        least = self._exponent if exponent is None else torch.maximum(self._exponent, exponent)
        # Of a range r no width below r / 64 will do; begun with less, since the edges of bins are not the activations.
        start = torch.frexp((highest - lowest).clamp(min=0.0) / BINS).exponent.long() - 3
        wide = torch.where(highest > lowest, torch.maximum(least, start), least)
        while True:
            scale = wide.double().exp2()
            shift = wide - self._exponent
            first, last = (low / scale).floor().long(), (high / scale).floor().long()
            first = torch.where(counted, torch.minimum(first, self._first >> shift), first)
            last = torch.where(counted, torch.maximum(last, self._last >> shift), last)
            beyond = (last - first >= BINS) & there
            if not bool(beyond.any()):
                break
            wide = wide + beyond
        changed = there & ((wide != self._exponent) | (first != self._first))
        units = changed.nonzero().flatten()
        if len(units):
            old = self._count[units]
            number = self._first[units, None] + torch.arange(BINS, device="cpu")
            at = ((number >> (wide - self._exponent)[units, None]) - first[units, None]).clamp(0, BINS - 1)
            self._count[units] = torch.zeros_like(old).scatter_add_(2, at[:, None].expand_as(old), old)
        self._exponent = torch.where(there, wide, self._exponent)
        self._first = torch.where(there, first, self._first)
        self._last = torch.where(there, last, self._last)

    def _places(self, exponent: Tensor, first: Tensor) -> Tensor:
        """Map the bins of another histogram to bins of this one, ``[units, 64]``."""
        number = first[:, None] + torch.arange(BINS, device="cpu")
        # of a unit of which nothing was counted there, whose exponent may be any, there is nothing to place
        shift = (self._exponent - exponent).clamp(min=0)[:, None]
        return ((number >> shift) - self._first[:, None]).clamp(0, BINS - 1)


class Scores(NamedTuple):
    """How well units tell the images of a group from all others, ``[units]`` float64 each; NaN where nothing is known.

    Attributes:
        auprc: area under the curve of precision over recall, as average precision: 1 where all images of the group
            excite the unit more than any other; about the group's share of all images where the unit knows nothing.
        f1: the highest F1 of any threshold.
        pearson: correlation of the activation and of being in the group, from -1 to 1.
        share: share of the images that are in the group.
    """

    auprc: Tensor
    f1: Tensor
    pearson: Tensor
    share: Tensor


def scores(every: Tensor, inside: Tensor) -> Scores:
    """Compute how well activations tell the images of a group from all others, from a histogram of both.

    These are measures that see false positives and misses alike (NeuronEval; Oikarinen et al., ICML 2025), where the
    enrichment of the top images says nothing of all others. Images in one bin have one activation here.

    Args:
        every: ``[units, bins]``, number of all images by activation, ascending.
        inside: ``[units, bins]``, number of those in the group.
    """
    every, inside = every.double(), inside.double()
    total, members = every.sum(1), inside.sum(1)
    found, taken = inside.flip(1).cumsum(1), every.flip(1).cumsum(1)
    precision = found / taken.clamp(min=1.0)
    gained = inside.flip(1) / members.clamp(min=1.0)[:, None]
    auprc = (precision * gained).sum(1)
    f1 = (2.0 * found / (taken + members[:, None]).clamp(min=1.0)).amax(1)
    number = torch.arange(every.shape[1], dtype=torch.float64, device="cpu")
    mean = (every @ number) / total.clamp(min=1.0)
    share = members / total.clamp(min=1.0)
    variance = (every @ number.square()) / total.clamp(min=1.0) - mean.square()
    covariance = (inside @ number) / total.clamp(min=1.0) - share * mean
    spread = (variance.clamp(min=0.0) * share * (1.0 - share)).sqrt()
    pearson = torch.where(spread > 0, covariance / spread.clamp(min=1e-300), torch.nan)
    known = (members > 0) & (members < total)
    return Scores(*(torch.where(known, one, torch.nan) for one in (auprc, f1, pearson)), share)


def summed(count: Tensor, rows: Iterable[int]) -> Tensor:
    """Return the counts of several groups that share no image together, ``[units, bins]``."""
    return count[:, [row + 1 for row in rows]].sum(1)

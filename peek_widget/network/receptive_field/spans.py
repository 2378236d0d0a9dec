"""The rows of the input that each row of a map depends on; the same for columns.

A :class:`Span` says it for every row by itself, so that upsampling by any factor, transposed convolutions, poolings to
a given size and crops are exact, whose fields do not advance evenly. The two directions are followed apart: no function
that is followed mixes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Span", "of_image"]

_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Span:
    """For each row of a map the first and the last row of the input that it depends on, or for columns.

    They may lie outside the input, where a padding is: row -1 is the first row of padding above it.

    Attributes:
        low: number of the first row, ``[n]``.
        high: number of the last row, ``[n]``.
        step: input rows from one row to the next, on the whole.
    """

    low: _Numbers
    high: _Numbers
    step: float

    def __len__(self) -> int:
        return len(self.low)

    @property
    def size(self) -> float:
        """Rows of the input that one row depends on: the most in the middle third of the map.

        At the border of a map that is padded by its other side ("circular") it would be all of them.
        """
        return float((self.high - self.low)[self._middle].max()) + 1.0

    @property
    def start(self) -> float:
        """Center of the field of the first row, by a straight line through those of the middle third."""
        middle = np.arange(len(self))[self._middle]
        centers = (self.low + self.high)[self._middle] / 2.0 - middle * self.step
        return round(float(centers.mean()), 6)

    @property
    def even(self) -> bool:
        """Whether all fields are of one size and one step apart, so that size, start and step say everything."""
        centers = self.start + np.arange(len(self)) * self.step
        reach = (self.size - 1.0) / 2.0
        return bool(np.allclose(self.low, centers - reach) and np.allclose(self.high, centers + reach))

    @property
    def _middle(self) -> slice:
        third = len(self) // 3
        return slice(third, len(self) - third)

    def at(self, numbers: npt.NDArray[np.int64]) -> tuple[_Numbers, _Numbers]:
        """Return first and last input rows of the rows with these numbers; beyond the map they go on evenly."""
        inside = np.clip(numbers, 0, len(self) - 1)
        beyond = (numbers - inside) * self.step
        return self.low[inside] + beyond, self.high[inside] + beyond

    def window(self, count: int, kernel: int, stride: int = 1, dilation: int = 1, padding: int = 0) -> Span:
        """Return the span of a convolution's or a pooling's output of ``count`` rows."""
        first = np.arange(count) * stride - padding
        # the ends suffice if fields advance in order; otherwise they are off by a few rows at most
        taps = first[:, None] + np.arange(kernel) * dilation if kernel <= 64 else first[:, None] + _ends(kernel)
        low, high = self.at(taps)
        return Span(low.min(1), high.max(1), self.step * stride)

    def shifted(self, count: int, before: int) -> Span:
        """Return the span of ``count`` rows after padding by ``before`` rows (cutting, where it is negative)."""
        return Span(*self.at(np.arange(count) - before), self.step)

    def picked(self, numbers: Sequence[int] | npt.NDArray[np.int64], step: float, reach: int = 0) -> Span:
        """Return the span of rows that are those with these numbers.

        Args:
            numbers: numbers of the rows.
            step: rows from one of them to the next, on the whole.
            reach: how many rows after it each depends on as well.
        """
        taps = np.asarray(numbers)[:, None] + np.arange(reach + 1)
        low, high = self.at(taps)
        return Span(low.min(1), high.max(1), self.step * step)

    def sampled(self, function: Callable[[Tensor], Tensor], step: float) -> Span | None:
        """Return the span of a function's output, found by what the function makes of each single row.

        Args:
            function: of ``[n, 1, n, 2]``, images that are 1 in one row and 0 in all others, to ``[n, 1, m, 2]``: what
                interpolates, pools or spreads rows, by weights that do not depend on the values.
            step: rows from one row of the output to the next, on the whole.

        Returns:
            None if the function gives something else.
        """
        count = len(self)
        reached: npt.NDArray[np.bool_] | None = None
        # In both types: whether a weight at the edge is zero or just above differs between them.
        for dtype in (torch.float32, torch.float64):
            with torch.no_grad(), torch.inference_mode(False):
                # Two columns: of images of one column torch 2.14 resizes rows wrongly with antialias=True.
                rows = torch.eye(count, dtype=dtype, device="cpu").view(count, 1, count, 1)
                made = function(rows.expand(count, 1, count, 2).contiguous())
            if made.ndim != 4 or (made.shape[0], made.shape[1], made.shape[3]) != (count, 1, 2):
                return None
            found = made[:, 0, :, 0].numpy() != 0.0
            reached = found if reached is None else reached | found
        assert reached is not None
        if not reached.any():
            return None
        # A row that nothing reaches (a gap of a transposed convolution) gets the field of the one before it.
        whole = np.where(reached.any(0), np.arange(reached.shape[1]), -1)
        filled = np.maximum.accumulate(whole)
        reached = reached[:, np.where(filled < 0, int(np.argmax(whole >= 0)), filled)]
        first, last = reached.argmax(0), count - 1 - reached[::-1].argmax(0)
        low = np.minimum(self.low[first], self.low[last])
        high = np.maximum(self.high[first], self.high[last])
        return Span(low, high, self.step * step)

    def joined(self, other: Span) -> Span | None:
        """Return the span of rows that depend on what two others do; None if these are of other counts."""
        if len(self) != len(other):
            return None
        return Span(np.minimum(self.low, other.low), np.maximum(self.high, other.high), self.step)


def _ends(kernel: int) -> npt.NDArray[np.int64]:
    return np.array([0, kernel - 1])


def of_image(size: int) -> Span:
    """Return the span of the input itself."""
    rows = np.arange(size, dtype=np.float64)
    return Span(rows, rows.copy(), 1.0)

"""The value range of a dataset's images: which numbers are black and white."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from peek_widget import _pillow
from peek_widget.errors import PeekError
from peek_widget.evidence.files import Pages
from peek_widget.evidence.source import NoImageError

__all__ = ["Range", "ValueRanges", "check_range"]

Range = tuple[float, float]
"""The numbers that are black and white."""

_OVERSHOOT = 0.15  # share of the range by which a sharp resizing (bicubic, Lanczos) may overshoot; clipped
_FLOAT = "Floating-point"
_BYTE, _WORD = 255.0, 65535.0
_DEPTHS = (_BYTE, 1023.0, 4095.0, _WORD)  # of cameras and scanners; 14 bits count as 16, and look dark, not black


@dataclass(frozen=True)
class _Numbers:
    """The number type and range of one image."""

    kind: str
    low: float
    high: float
    whole: bool


class ValueRanges:
    """Scales images to [0, 1] by their number type, or else by a range chosen for the whole dataset.

    Bytes are 0 to 255, and floating-point numbers from 0 to 1 are what they are. For other types one range is chosen
    for the whole dataset, from a sample of its images:

    - whole numbers: as many bits as hold them, of 8, 10, 12 (0 to 4095) and 16 (0 to 65535, the range of their type);
      if one is larger still, 0 to the largest; with negative ones, the lowest to the largest (of 8 bits: -128 to 127);
    - floating-point numbers that are not from 0 to 1: the same where they are whole; 0 to 255 or 65535 where they reach
      half of it, else 0 to the largest. Negative ones are most likely normalized, and refused.

    Numbers beyond the range by up to 15 % of it are clipped; an image with others is refused.

    Args:
        given: the range of all images but those of 8 bits, where the user said it; numbers beyond it are clipped.
        sample: gives a few images of the dataset.
        chosen: ranges that were chosen before, by kind of number.

    Attributes:
        given: as above.
        chosen: the ranges that were chosen so far.
    """

    def __init__(
        self,
        given: Range | None = None,
        sample: Callable[[], Iterable[Any]] | None = None,
        chosen: dict[str, Range] | None = None,
    ) -> None:
        self.given: Range | None = given
        self.chosen: dict[str, Range] = dict(chosen or {})
        self._sample = sample
        self._sampled: list[_Numbers] | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def scale(self, image: Tensor | np.ndarray[Any, Any]) -> Tensor:
        """Return an image of any numbers as uint8, or as float32 in [0, 1].

        Raises:
            NoImageError: if its numbers are not finite, or beyond the range.
        """
        array = _as_numpy(image)
        if array.dtype == bool:
            return torch.from_numpy(array.astype(np.float32))
        if array.dtype == np.uint8 and self.given is None:
            return torch.from_numpy(array if array.flags.writeable else array.copy())  # Pillow's own can't be written
        numbers = _numbers(array)
        low, high = self._range(numbers)
        if (low, high) == (0.0, _BYTE) and numbers.kind != _FLOAT and numbers.low >= 0 and numbers.high <= _BYTE:
            return torch.from_numpy(array.astype(np.uint8))
        spare = _OVERSHOOT * (high - low)
        if self.given is None and (numbers.low < low - spare or numbers.high > high + spare):
            raise NoImageError(self._beyond(numbers, low, high))
        if array.dtype.kind != "f":
            array = array.astype(np.float64)
        if (low, high) != (0.0, 1.0):
            array = (array - low) / (high - low)
        return torch.from_numpy(np.clip(array, 0.0, 1.0).astype(np.float32, copy=False))

    def choose(self) -> None:
        """Choose the ranges of all kinds of numbers in the sample now."""
        with self._lock:
            self._look()
            for numbers in self._sampled or ():
                if numbers.kind not in self.chosen:
                    self.chosen[numbers.kind] = self._choose(numbers)

    @property
    def remarks(self) -> tuple[str, ...]:
        """A sentence on each range that was assumed."""
        return tuple(
            self._remark(kind, *range_)
            for kind, range_ in self.chosen.items()
            if self.given is None and (kind, range_) != (_FLOAT, (0.0, 1.0))
        )

    def _remark(self, kind: str, low: float, high: float) -> str:
        seen = [one.high for one in self._sampled or () if one.kind == kind]
        highest = f" (the highest of those looked at is {_text(max(seen))})" if seen else ""
        return (
            f"{kind} images were taken to go from {_text(low)}, black, to {_text(high)}, white{highest}; if that is "
            "not so, give top_crops value_range=(black, white)."
        )

    def _range(self, numbers: _Numbers) -> Range:
        if self.given is not None:
            return self.given
        with self._lock:
            if numbers.kind not in self.chosen:
                self.chosen[numbers.kind] = self._choose(numbers)
            return self.chosen[numbers.kind]

    def _look(self) -> None:
        if self._sampled is None:
            images = () if self._sample is None else self._sample()
            self._sampled = [found for image in images if (found := _numbers_of(image)) is not None]

    def _choose(self, numbers: _Numbers) -> Range:
        self._look()
        alike = [one for one in self._sampled or () if one.kind == numbers.kind] or [numbers]
        return _of_floats(alike) if numbers.kind == _FLOAT else _of_whole_numbers(numbers.kind, alike)

    def _beyond(self, numbers: _Numbers, low: float, high: float) -> str:
        text = f"its values go from {_text(numbers.low)} to {_text(numbers.high)}"
        if numbers.kind == _FLOAT and (low, high) == (0.0, 1.0):
            return (
                f"{text}; give images in [0, 1] (without the dataset's Normalize), say prepared=True if they are "
                "already what the network takes, or value_range=(black, white) if they have another range"
            )
        return (
            f"{text}, and those of the dataset's others from {_text(low)} to {_text(high)}; say which are black and "
            f"white with value_range=({_text(min(low, numbers.low))}, {_text(max(high, numbers.high))})"
        )


def check_range(given: Any) -> Range | None:
    """Return the range that the user gave; PeekError if it isn't one."""
    if given is None:
        return None
    try:
        low, high = (float(one) for one in given)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (low < high and np.isfinite(high - low)):
        raise PeekError(f"value_range={given!r}: give the numbers that are black and white, such as (0, 4095).")
    return low, high


def _of_whole_numbers(kind: str, found: list[_Numbers]) -> Range:
    low, high = min(one.low for one in found), max(one.high for one in found)
    if low < 0:
        return (-128.0, 127.0) if kind == "int8" else (low, max(high, low + 1.0))
    if high == 1 and kind != "uint8":  # a mask, a drawing
        return 0.0, 1.0
    return 0.0, next((most for most in _DEPTHS if high <= most), high)


def _of_floats(found: list[_Numbers]) -> Range:
    votes = Counter(_float_range(one) for one in found)
    most = max(votes.values())
    # On a tie the larger range wins: a dark image may have any.
    range_ = max(range_ for range_, count in votes.items() if count == most)
    if range_ is _OTHER:
        return 0.0, max(one.high for one in found if _float_range(one) is _OTHER)
    return range_


_OTHER: Range = (0.0, 2.0)


def _float_range(numbers: _Numbers) -> Range:
    low, high = numbers.low, numbers.high
    if low < 0.0 or high <= 1.0 + _OVERSHOOT:
        return 0.0, 1.0  # negative ones are refused by it
    found = [most for most in (_DEPTHS if numbers.whole else (_BYTE, _WORD)) if high <= most + 0.5]
    return (0.0, found[0]) if found and (numbers.whole or high > found[0] / 2.0) else _OTHER


def _numbers_of(image: Any) -> _Numbers | None:
    """Return the number type and range of an image; None for bytes, and for anything but an image."""
    image = image.first if isinstance(image, Pages) else image
    image = _pillow.unpacked(image) if isinstance(image, Image.Image) else image
    try:
        array = _as_numpy(image) if isinstance(image, (Tensor, np.ndarray)) else None
        if array is None or array.dtype in (bool, np.uint8) or array.dtype.kind not in "uif":
            return None
        return _numbers(array)
    except NoImageError:
        return None


def _numbers(array: np.ndarray[Any, Any]) -> _Numbers:
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~np.isfinite(array)).sum())
        raise NoImageError(
            f"{bad:,} of its {array.size:,} values are not finite (nan or inf): replace them, e.g. by numpy.nan_to_num"
        )
    floating = array.dtype.kind == "f"
    whole = not floating or (high > 1.0 and bool((array == np.rint(array)).all()))
    return _Numbers(_FLOAT if floating else array.dtype.name, low, high, whole)


def _as_numpy(image: Tensor | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        if image.is_complex() or image.is_quantized:
            raise NoImageError(f"it is a tensor of {image.dtype}, which is not an image")
        image = image.float() if image.dtype in (torch.bfloat16, torch.float16) else image
        return image.numpy()
    # numpy's half is slow; files of other machines have their bytes in another order
    array = image.astype(np.float32) if image.dtype == np.float16 else image
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _text(value: float) -> str:
    return f"{value:,.0f}".replace(",", "") if value == int(value) else f"{value:.4g}"

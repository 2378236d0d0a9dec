"""The number of units of a layer that carry a tag, with an interval where only some of them were reviewed."""

from __future__ import annotations

from dataclasses import dataclass

from peek_widget._stats import wilson_interval

__all__ = ["Count"]


@dataclass(frozen=True)
class Count:
    """The number of units of a layer that carry a tag.

    Attributes:
        word: tag.
        units: number of units that carry it.
        reviewed: number of units that were reviewed, tagged or not.
        total: number of units of the layer.
        share: ``units / reviewed``, in [0, 1].
        low, high: 95 % interval of the share in the whole layer (:func:`~peek_widget._stats.wilson_interval`); both are
            ``share`` once all units have been reviewed. It holds if the reviewed units are a random sample of the
            layer, but not for the first fifty, or for those that caught the eye.
    """

    word: str
    units: int
    reviewed: int
    total: int
    share: float
    low: float
    high: float

    @classmethod
    def of(cls, word: str, units: int, reviewed: int, total: int) -> Count:
        """Make the count of a tag from whole numbers; at least one unit must have been reviewed."""
        return cls(word, units, reviewed, total, units / reviewed, *wilson_interval(units, reviewed, total))

    @property
    def sampled(self) -> bool:
        """Whether only some of the units have been reviewed."""
        return self.reviewed < self.total

    def __str__(self) -> str:
        text = f"{self.units} of {self.reviewed}, {100 * self.share:.1f} %"
        if not self.sampled:
            return text
        return f"{text} of those reviewed ({100 * self.low:.1f} to {100 * self.high:.1f} % of all {self.total})"

"""The speed of a run, and whether its picture is too large for the machine."""

from __future__ import annotations

from dataclasses import dataclass, field

from peek_widget._size import Size, SizeLike

__all__ = ["MIN_RATE", "MIN_SIZE", "Speed", "smaller"]

MIN_RATE = 3.0
"""Steps per second below which a run that chose its own size restarts with a smaller picture."""

SHRINK = 0.7
"""Factor by which the side of such a picture is reduced."""

VERY_SLOW = 1.0
"""Steps per second below which the side is halved at once, without waiting for the timed steps."""

MIN_SIZE = 96
"""Minimum side, in pixels, of a picture made smaller for speed; of the square with its area."""

WARM_UP = 2
"""Number of first steps that are not timed: they include allocation and the choice of kernels."""

TIMED = 3
"""Number of steps that are timed to find the starting rate."""

WINDOW = 10
"""Number of newest steps over which the rate is averaged."""

LONGEST = 64
"""Maximum number of durations kept."""


def smaller(size: SizeLike, rate: float) -> SizeLike:
    """Return the size, in pixels and of the same shape, to try next if `size` makes only `rate` steps per second."""
    given = Size.of(size)
    return given.of_side(max(MIN_SIZE, round(given.side * (SHRINK if rate >= VERY_SLOW else 0.5)))).plain


@dataclass
class Speed:
    """The speed of a run, in steps per second.

    Attributes:
        rate: steps per second over the newest steps; 0 before the first.
        seconds: durations of the first and the newest steps.
    """

    rate: float = 0.0
    seconds: list[float] = field(default_factory=list)
    _began: float | None = None

    def begin(self, now: float) -> None:
        """Note that a step begins; a step right after another counts from that one's end, with the time between."""
        if self._began is None:
            self._began = now

    def end(self, now: float) -> float:
        """Note that the step has ended, and return how many seconds it took."""
        seconds = 0.0 if self._began is None else now - self._began
        self._began = now
        self._add(seconds)
        return seconds

    def pause(self) -> None:
        """Note that the next step does not follow at once."""
        self._began = None

    def starting_rate(self) -> float | None:
        """Return the rate of the timed steps, once, right after them; None at any other step.

        If a single step is very slow, the rate is returned right after the warm-up.
        """
        if len(self.seconds) == WARM_UP and self.seconds[-1] > 1.0 / VERY_SLOW:
            return 1.0 / self.seconds[-1]
        if len(self.seconds) != WARM_UP + TIMED:
            return None
        return TIMED / max(sum(self.seconds[WARM_UP:]), 1e-9)

    def _add(self, seconds: float) -> None:
        self.seconds.append(seconds)
        recent = self.seconds[-WINDOW:]
        self.rate = len(recent) / max(sum(recent), 1e-9)
        # the starting rate needs the first steps only
        if len(self.seconds) > LONGEST:
            del self.seconds[WARM_UP + TIMED : -WINDOW]

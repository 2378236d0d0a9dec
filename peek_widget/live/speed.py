"""How fast a run goes, and whether its picture is too large for the machine."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["SLOW", "SMALLEST", "Speed", "smaller"]

SLOW = 3.0
"""Steps a second below which a run that chose its own size begins again with a smaller picture."""

SHRINK = 0.7

CRAWL = 1.0
"""Steps a second below which nobody should wait for the timed steps, and the picture is halved at once."""

SMALLEST = 96
"""The side, in pixels, below which a picture is never made smaller for speed."""

WARM_UP = 2
"""Steps that are not timed: the first ones pay for allocation and for choosing kernels."""

TIMED = 3


def smaller(size: int, rate: float) -> int:
    """The side, in pixels, to try next where `size` makes only `rate` steps a second."""
    return max(SMALLEST, round(size * (SHRINK if rate >= CRAWL else 0.5)))


@dataclass
class Speed:
    """Steps a second of the current run."""

    rate: float = 0.0
    seconds: list[float] = field(default_factory=list)

    def note(self, seconds: float) -> None:
        """Count one step that took `seconds`."""
        self.seconds.append(seconds)
        recent = self.seconds[-10:]
        self.rate = len(recent) / max(sum(recent), 1e-9)
        # the judgment of a slow start looks at the first steps only
        if len(self.seconds) > 64:
            del self.seconds[WARM_UP + TIMED : -10]

    def start(self) -> float | None:
        """Steps a second at the start, exactly once: of the timed steps, or sooner where one alone says enough."""
        if len(self.seconds) == WARM_UP and self.seconds[-1] > 1.0 / CRAWL:
            return 1.0 / self.seconds[-1]
        if len(self.seconds) != WARM_UP + TIMED:
            return None
        return TIMED / max(sum(self.seconds[WARM_UP:]), 1e-9)

"""The progress of a pass over a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from peek_widget._progress import duration

__all__ = ["Progress"]


@dataclass(frozen=True)
class Progress:
    """The progress of a pass.

    Attributes:
        done: number of images processed, those of earlier passes included.
        total: number of images of the dataset; None for a stream that has not ended, which has no length.
        skipped: number of processed images that could not be read.
        seconds: time that this pass has been running.
        rate: images per second, 0 before the first batch.
        running: whether the pass is running.
    """

    done: int
    total: int | None
    skipped: int
    seconds: float
    rate: float
    running: bool

    @property
    def left(self) -> float | None:
        """Seconds that the remaining images will take at this rate; None while it is not known."""
        if self.total is None:
            return None
        if self.done >= self.total:
            return 0.0
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def __str__(self) -> str:
        text = f"{self.done:,} images so far" if self.total is None else f"{self.done:,} of {self.total:,} images"
        if self.skipped:
            text += f", {self.skipped:,} skipped"
        if self.running and self.left is not None:
            text += f", {self.rate:.3g} a second, {duration(self.left)} left"
        return text

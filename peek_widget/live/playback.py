"""Viewing an earlier step of a run, which itself stays where it is."""

from __future__ import annotations

from typing import Any

from peek_widget.live.checkpoints import Checkpoint
from peek_widget.live.run import Run
from peek_widget.live.snapshot import Snapshot

__all__ = ["Playback"]


class Playback:
    """Which checkpoint of a run is viewed.

    Attributes:
        viewing: the checkpoint; None while the run's own newest picture is shown.
        asked: number of the step that was asked for, to which `viewing` is the nearest.
    """

    def __init__(self) -> None:
        self.viewing: Checkpoint | None = None
        self.asked: int = 0

    def nearest(self, run: Run, step: int) -> Checkpoint | None:
        """Return the checkpoint nearest to a step; None where the run itself stands as near."""
        point, ascent = run.checkpoints.nearest(step), run.ascent
        if point is None or (ascent is not None and abs(int(ascent.index) - step) <= abs(point.step - step)):
            return None
        return point

    def seek(self, run: Run, step: int) -> None:
        """View the checkpoint nearest to a step, or, where none is nearer, the run's own newest picture."""
        self.viewing, self.asked = self.nearest(run, step), step

    def seek_forward(self, run: Run, steps: int) -> None:
        """View the checkpoint so many checkpoints after the one that is viewed, at most the run's newest picture."""
        if self.viewing is None:
            return
        at = self.viewing.step
        later = [step for step in run.checkpoint_steps if step > at]
        self.seek(run, later[min(steps, len(later)) - 1] if later else at)

    def stop(self) -> bool:
        """Show the run's own newest picture again.

        Returns:
            Whether another one was viewed.
        """
        was, self.viewing = self.viewing, None
        return was is not None

    def pictures(self, run: Run, newest: Snapshot | None) -> list[Any]:
        """Return the pictures of a run at its checkpoints, up to the one that is viewed or the newest one."""
        viewing, points = self.viewing, run.checkpoints.points
        if viewing is not None:
            return [point.snapshot.image for point in points if point.step <= viewing.step]
        if newest is None:
            return []
        return [*(point.snapshot.image for point in points if point.step < newest.step), newest.image]

"""Viewing of an earlier step of a run, which itself does not change."""

from __future__ import annotations

from typing import Any

from peek_widget.live.checkpoints import Checkpoint
from peek_widget.live.run import Run
from peek_widget.live.snapshot import Snapshot

__all__ = ["Playback"]


class Playback:
    """The checkpoint of a run that is viewed.

    Attributes:
        viewing: the checkpoint; None while the run's own newest picture is shown.
        asked: number of the requested step, to which `viewing` is the nearest.
    """

    def __init__(self) -> None:
        self.viewing: Checkpoint | None = None
        self.asked: int = 0

    def nearest(self, run: Run, step: int) -> Checkpoint | None:
        """Return the checkpoint nearest to a step; None if the run's newest step is as near."""
        point, ascent = run.checkpoints.nearest(step), run.ascent
        if point is None or (ascent is not None and abs(int(ascent.index) - step) <= abs(point.step - step)):
            return None
        return point

    def seek(self, run: Run, step: int) -> None:
        """View the checkpoint nearest to a step, or the run's newest picture if no checkpoint is nearer."""
        self.viewing, self.asked = self.nearest(run, step), step

    def seek_forward(self, run: Run, steps: int) -> None:
        """View the checkpoint `steps` checkpoints after the viewed one, or the run's newest picture past the last."""
        if self.viewing is None:
            return
        at = self.viewing.step
        later = [step for step in run.checkpoint_steps if step > at]
        self.seek(run, later[min(steps, len(later)) - 1] if later else at)

    def stop(self) -> bool:
        """Show the run's newest picture again.

        Returns:
            Whether another picture was viewed.
        """
        was, self.viewing = self.viewing, None
        return was is not None

    def pictures(self, run: Run, newest: Snapshot | None) -> list[Any]:
        """Return the pictures of a run at its checkpoints, up to the viewed or the newest one."""
        viewing, points = self.viewing, run.checkpoints.points
        if viewing is not None:
            return [point.snapshot.image for point in points if point.step <= viewing.step]
        if newest is None:
            return []
        return [*(point.snapshot.image for point in points if point.step < newest.step), newest.image]

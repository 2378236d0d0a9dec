"""The newest picture of a run, and whether the page has it."""

from __future__ import annotations

from peek_widget.errors import AscentError
from peek_widget.live.snapshot import Snapshot

__all__ = ["Outbox"]


class Outbox:
    """What is still to be published: a new picture, an exact copy of one that was sent compressed, or the status.

    Attributes:
        number: number of the newest picture that was published, from 1; 0 before the first one.
        newest: the newest picture of the run; None before the first one.
        status_changed: whether the status is to be published, with or without a picture.
    """

    def __init__(self) -> None:
        self.number: int = 0
        self.newest: Snapshot | None = None
        self.status_changed: bool = False
        self._unsent = False
        self._exact = True

    def put(self, snapshot: Snapshot) -> None:
        """Take the picture of a new step."""
        self.newest, self._unsent = snapshot, True

    def drop_unreadable(self) -> bool:
        """Drop the newest picture if its numbers are not finite, which a device shows only when it is read.

        Returns:
            whether it was dropped.
        """
        try:
            _ = None if self.newest is None else self.newest.image
        except AscentError:
            self.newest, self._unsent = None, False
            return True
        return False

    def discard(self) -> None:
        """Discard everything that was put, because its run is over."""
        self._unsent = False

    def replace(self, snapshot: Snapshot | None = None) -> None:
        """Publish a picture that is not the run's next one: an earlier step, or the newest picture afterwards.

        Args:
            snapshot: the run's newest picture from now on; left out, it is unchanged.
        """
        if snapshot is not None:
            self.newest = snapshot
        self._unsent, self._exact, self.status_changed = self.newest is not None, False, True

    def take(self, *, still: bool, due: bool, resend: bool) -> tuple[bool, bool] | None:
        """Decide what to publish now, and record it as published.

        Args:
            still: whether no step follows. The last picture of a run need not wait for acknowledgments of others,
                and if it was sent as a compressed frame, it is sent again, exact.
            due: whether a frame may be sent to the page now.
            resend: whether a page asks for what it may have missed.

        Returns:
            whether to publish a picture, and whether that is a new frame; None for nothing.
        """
        inexact = still and self.newest is not None and not self._exact
        fresh = inexact or (self._unsent and (due or still))
        if not (fresh or resend or self.status_changed):
            return None
        if fresh:
            self.number += 1
            self._exact, self._unsent = still, False
        self.status_changed = False
        return self.newest is not None and (fresh or resend), fresh

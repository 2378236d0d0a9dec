"""Sends the pictures of the contact sheet to the page, and records what it has and what is in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from peek_widget.errors import PeekError
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.sheet_cache import CachedSheet
from peek_widget.sheet.similarity import order

__all__ = ["ThumbnailFeed"]

IN_FLIGHT = 192 * 1024
"""Maximum number of bytes of pictures that are sent and not acknowledged."""

AT_ONCE = 16
"""Maximum number of pictures in a message."""


class ThumbnailFeed:
    """A sender of the pictures of one sheet, limited by the page's acknowledgments; for one thread.

    Every message of the sheet goes through :meth:`send`, which numbers it; the page acknowledges these numbers.

    Args:
        front_end: sends messages to the page.

    Attributes:
        view: units in view, the one under the pointer first; their pictures are sent first.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        self.view: tuple[int, ...] = ()
        self._sheet: CachedSheet | None = None
        self._unsent: dict[int, None] = {}
        self._number = 0
        self._in_flight: deque[tuple[int, int]] = deque()

    def show(self, sheet: CachedSheet) -> None:
        """Send all pictures of this sheet from now on."""
        self._sheet = sheet
        self._in_flight.clear()
        self._unsent = dict.fromkeys((*sheet.sheet.done, *sheet.sheet.drafts, *sheet.failed))

    def add(self, units: Iterable[int]) -> None:
        """Queue the pictures of these units, which are new or can't be drawn."""
        self._unsent.update(dict.fromkeys(units))

    def ack(self, n: int) -> None:
        """Note that the page has received every message up to this number."""
        while self._in_flight and self._in_flight[0][0] <= n:
            self._in_flight.popleft()

    @property
    def ready(self) -> bool:
        """Whether there are pictures to send and the page has acknowledged enough of the previous ones."""
        return bool(self._sheet and self._unsent) and sum(size for _, size in self._in_flight) < IN_FLIGHT

    def send(self, message: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send a message to the page with the next number as its `n`."""
        self._number += 1
        size = sum(map(len, buffers))
        if size:
            self._in_flight.append((self._number, size))
        self._front_end.send({**message, "n": self._number}, buffers)

    def send_pictures(self) -> None:
        """Send one message with some of the pictures that the page lacks, those in view first."""
        sheet = self._sheet
        if sheet is None or not self.ready:
            return
        first = [unit for unit in self.view if unit in self._unsent]
        failed, rows, buffers = sheet.failed, [], []
        for unit in list(dict.fromkeys((*first, *self._unsent)))[:AT_ONCE]:
            del self._unsent[unit]
            found = sheet.thumbnail(unit)
            if found is not None:
                draft, picture = found
                rows.append([unit, sheet.sheet[unit].activation, draft, ""])
                buffers.append(picture)
            elif unit in failed:
                rows.append([unit, None, False, failed[unit]])
        self.send({"kind": "thumbs", "sheet": sheet.number, "units": rows}, buffers)

    def send_similarity(self) -> None:
        """Send the order in which similar pictures are neighbors."""
        sheet = self._sheet
        if sheet is None:
            return
        units = sorted((*sheet.sheet.done, *sheet.sheet.drafts))
        pictures = [found[1] for unit in units if (found := sheet.thumbnail(unit))]
        numbers, problem = [], ""
        try:
            numbers = order(pictures)
        except PeekError as error:
            problem = f"No order by similarity: {error}"
        self.send(
            {
                "kind": "similarity",
                "sheet": sheet.number,
                "units": [units[number] for number in numbers],
                "problem": problem,
            }
        )

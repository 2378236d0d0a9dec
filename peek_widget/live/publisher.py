"""Publishes a run's pictures to the traits, to the page's other seeds, to the dataset examples and to the exporter."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from peek_widget._encode import jpeg_bytes, shrunk
from peek_widget.ascent import to_pil
from peek_widget.live.examples.service import ExampleService
from peek_widget.live.export import Exporter
from peek_widget.live.front_end import FrontEnd, encode
from peek_widget.live.snapshot import Update
from peek_widget.network import Network

__all__ = ["Publisher"]

SEED_SIDE = 144
"""Maximum side of the small picture of a seed in pixels: twice that of its place in the page, for dense screens."""

SEED_QUALITY = 88

SEED_INTERVAL = 0.1
"""Minimum time between two sets of them in seconds, unless the run stands still."""


class Publisher:
    """A publisher of a run's updates.

    Args:
        front_end: receives them as traits.
        exporter: receives the pictures.
        network: returns the network being drawn, whose preprocessing says which channels are shown.
        clock: returns monotonic time in seconds.

    Attributes:
        examples: receives the pictures too, once there is a dataset.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        exporter: Exporter,
        network: Callable[[], Network],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._front_end, self._exporter, self._network, self._clock = front_end, exporter, network, clock
        self._several = False
        self._seeds_sent = -math.inf
        self.examples: ExampleService | None = None

    def publish(self, update: Update) -> None:
        """Publish an update; called in the worker's thread."""
        values = {
            "activation": self._front_end["activation"] if update.activation is None else update.activation,
            "step": update.step,
            "_history": update.history,
            "status": update.status,
        }
        if update.snapshot is not None:
            picture = to_pil(self._network().preprocess.visible(update.snapshot.image))
            values["frame"] = encode(picture, lossless=update.lossless)
            self._exporter.show_picture(update.snapshot, picture)
            if self.examples is not None:
                self.examples.show_picture(update.snapshot, update.activation)
        self._front_end.publish(**values)
        if update.snapshot is not None:
            self._send_seeds(len(update.snapshot.seeds) > 1, due=update.lossless or not update.fresh)

    def _send_seeds(self, several: bool, *, due: bool) -> None:
        """Send the pictures of all seeds drawn at once, or that there is one only again."""
        now = self._clock()
        if not several and not self._several:
            return
        if several and self._several and not due and now - self._seeds_sent < SEED_INTERVAL:
            return
        self._several, self._seeds_sent = several, now
        pictures = self._exporter.images_by_seed if several else {}
        self._front_end.send(
            {"kind": "seeds", "seeds": list(pictures)},
            [jpeg_bytes(shrunk(one, SEED_SIDE), SEED_QUALITY, full_color=True) for one in pictures.values()],
        )

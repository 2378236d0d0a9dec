"""Publishes a run's pictures to the traits, to the dataset examples and to the exporter."""

from __future__ import annotations

from collections.abc import Callable

from peek_widget.ascent import to_pil
from peek_widget.live.examples.service import ExampleService
from peek_widget.live.export import Exporter
from peek_widget.live.front_end import FrontEnd, encode
from peek_widget.live.snapshot import Update
from peek_widget.network import Network

__all__ = ["Publisher"]


class Publisher:
    """A publisher of a run's updates.

    Args:
        front_end: receives them as traits.
        exporter: receives the pictures.
        network: returns the network being drawn, whose preprocessing says which channels are shown.

    Attributes:
        examples: receives the pictures too, once there is a dataset.
    """

    def __init__(self, front_end: FrontEnd, exporter: Exporter, network: Callable[[], Network]) -> None:
        self._front_end, self._exporter, self._network = front_end, exporter, network
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

"""The tags of an explorer as its traits and its page have them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from peek_widget.live import protocol
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.router import Router
from peek_widget.live.tag_book import TagBook
from peek_widget.network import Network

__all__ = ["TagService"]


class TagService:
    """Publishes every edit of the tag book: the traits, the counts of the layer shown, and whoever stores them.

    Args:
        front_end: gets the traits `tags` and `tag_keys` and the counts.
        network: gives the network as it is now read, whose layers can be tagged.

    Attributes:
        book: the tags and the letters that add them.
        layer: name of the layer whose counts are sent.
        stored: called after every edit.
    """

    def __init__(self, front_end: FrontEnd, network: Callable[[], Network], layer: str) -> None:
        self._front_end = front_end
        self._lock = threading.Lock()
        self.layer: str = layer
        self.stored: Callable[[], object] = lambda: None
        self.book: TagBook = TagBook(network, self._publish)

    def assign(self, name: str, value: Any) -> None:
        """Set the trait of this name, `tags` or `tag_keys`.

        Raises:
            PeekError: if it can't be that.
        """
        if name == "tags":
            self.book.assign(value)
        else:
            self.book.assign_keys(value)

    def show_layer(self, layer: str) -> None:
        """Send the counts of another layer."""
        self.layer = layer
        self.send_counts()

    def send_counts(self) -> None:
        """Send the counts of the layer shown."""
        self._front_end.send(self.book.counts(self.layer))

    def register(self, router: Router) -> None:
        """Handle what the page does to tags."""
        router.on(protocol.Tag, protocol.TagReviewed, protocol.TagUndo, protocol.TagKey, handler=self.book.receive)

    def _publish(self) -> None:
        # sent in the order of the edits, and observed with no lock held
        with self._lock:
            change = self._front_end.store({"tags": self.book.as_dict(), "tag_keys": self.book.keys})
            self.send_counts()
        self.stored()
        self._front_end.notify(change)

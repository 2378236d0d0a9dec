"""Publishes the tags of an explorer to its traits and its page."""

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
    """A publisher of every edit of the tag book: to the traits, the counts of the layer shown, and the store.

    Args:
        front_end: receives the traits `tags` and `tag_keys` and the counts.
        network: returns the current network, whose layers can be tagged.

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
            PeekError: if the value is not valid.
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
        """Register the handlers of the page's messages about tags."""
        router.on(protocol.Tag, protocol.TagReviewed, protocol.TagUndo, protocol.TagKey, handler=self.book.receive)

    def _publish(self) -> None:
        # send in the order of the edits, but notify observers with no lock held
        with self._lock:
            change = self._front_end.store({"tags": self.book.as_dict(), "tag_keys": self.book.keys})
            self.send_counts()
        self.stored()
        self._front_end.notify(change)

"""The way of a front end's message to whoever handles it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from peek_widget.live import protocol

__all__ = ["Router"]

log: logging.Logger = logging.getLogger("peek_widget")

_Message = TypeVar("_Message", bound=protocol.ToKernel)


class Router:
    """Handlers of messages by their class; one class may have several, which are called in the order they came."""

    def __init__(self) -> None:
        self._handlers: dict[type[protocol.ToKernel], list[Callable[[Any], object]]] = {}

    def on(self, *messages: type[_Message], handler: Callable[[_Message], object]) -> None:
        """Have a handler called with each message of these classes."""
        for message in messages:
            self._handlers.setdefault(message, []).append(handler)

    def route(self, content: Any, buffers: Any) -> None:
        """Read a custom message and hand it over; one that is none of ours is logged and ignored."""
        try:
            message = protocol.parse(content, buffers)
        except protocol.ProtocolError as error:
            log.warning("%s Ignored.", error)
            return
        for handler in self._handlers.get(type(message), ()):
            handler(message)

    @property
    def handled(self) -> frozenset[type[protocol.ToKernel]]:
        """The classes of messages that somebody handles."""
        return frozenset(self._handlers)

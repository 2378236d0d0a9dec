"""Routes the front end's messages to their handlers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from peek_widget.live import protocol

__all__ = ["Router"]

log: logging.Logger = logging.getLogger("peek_widget")

_Message = TypeVar("_Message", bound=protocol.ToKernel)


class Router:
    """Handlers of messages by class; a class may have several, called in the order of registration."""

    def __init__(self) -> None:
        self._handlers: dict[type[protocol.ToKernel], list[Callable[[Any], object]]] = {}

    def on(self, *messages: type[_Message], handler: Callable[[_Message], object]) -> None:
        """Register a handler for messages of these classes."""
        for message in messages:
            self._handlers.setdefault(message, []).append(handler)

    def route(self, content: Any, buffers: Any) -> None:
        """Parse a custom message and call its handlers; a message outside the protocol is logged and ignored."""
        try:
            message = protocol.parse(content, buffers)
        except protocol.ProtocolError as error:
            log.warning("%s Ignored.", error)
            return
        for handler in self._handlers.get(type(message), ()):
            handler(message)

    @property
    def handled(self) -> frozenset[type[protocol.ToKernel]]:
        """The classes of messages that have a handler."""
        return frozenset(self._handlers)

"""The front end for the kernel's threads: traits that they publish, messages that they send, encoded pictures.

Traits are published by the widget protocol's own `update` message, so the front end sees ordinary trait changes.
The message is built here and not by ipywidgets' machinery, which a worker thread may not enter: there, two threads that
set traits at once lose values.
"""

from __future__ import annotations

import contextvars
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from PIL import Image
from traitlets import Bunch, HasTraits

from peek_widget._encode import jpeg_bytes, jpeg_within, png_bytes

__all__ = ["FrontEnd", "Sender", "channels_shown", "encode", "poster"]

LIVE_QUALITY = 90
STILL_QUALITIES = (95, 90, 80, 65)

LOSSLESS_LIMIT = 64 * 1024
"""Maximum number of bytes of a still picture sent as PNG, since it is saved in the notebook."""

STILL_LIMIT = 96 * 1024
"""Maximum number of bytes of a still JPEG, also since it is saved; above it the quality is reduced by a step."""

POSTER_LIMIT = 48 * 1024


def channels_shown(channels: int) -> str:
    """Describe how an image with this number of channels is shown; "" for one (gray) and three (color)."""
    if channels in (1, 3):
        return ""
    return "mean of 2 channels" if channels == 2 else f"first three of {channels} channels, as RGB"


def encode(picture: Image.Image, *, lossless: bool) -> bytes:
    """Encode a picture for the front end.

    While a run goes on, the format is JPEG at full color resolution (a PNG of 448 px takes 30 ms and more). When it
    stands still, it is PNG of at most 64 kB, or else the best JPEG of at most 96 kB among a few qualities.
    """
    if not lossless:
        return jpeg_bytes(picture, LIVE_QUALITY, full_color=True)
    png = png_bytes(picture)
    if len(png) <= LOSSLESS_LIMIT:
        return png
    return jpeg_within(picture, STILL_LIMIT, STILL_QUALITIES, full_color=True)


def poster(picture: Image.Image) -> bytes:
    """Encode a picture as a PNG small enough for a notebook's outputs, reduced in size if needed."""
    while len(png := png_bytes(picture)) > POSTER_LIMIT:
        width, height = picture.size
        picture = picture.resize((max(1, width * 3 // 4), max(1, height * 3 // 4)), Image.Resampling.LANCZOS)
    return png


Change = tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]
"""The trait values that were set, and all values before and after."""


class FrontEnd:
    """The front end of an explorer for its services: the traits that threads write, and the custom messages.

    The values of those traits are kept here and not in traitlets, whose machinery a worker thread may not enter. The
    front end does not keep the explorer alive; without an explorer nothing is sent.

    Args:
        values: the first values, by the names of the traits.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values: dict[str, Any] = dict(values)
        self._lock = threading.Lock()
        self._sender = Sender()
        self._widget: Callable[[], Any] = lambda: None

    def attach(self, widget: Any) -> None:
        """Send to this widget's page from now on, and notify its observers."""
        self._widget = weakref.ref(widget)
        self._sender.keep_route(widget.comm)

    def remember_route(self) -> None:
        """Send what follows as an answer to the message being handled; see `Sender.remember`."""
        self._sender.remember()

    def __getitem__(self, name: str) -> Any:
        """Return the value of a trait."""
        return self._values[name]

    def publish(self, **values: Any) -> None:
        """Set traits that the explorer's threads write: send them to the page and notify their observers."""
        self.notify(self.store(values))

    def store(self, values: Mapping[str, Any]) -> Change:
        """Set traits that the explorer's threads write and send them; `notify` must notify their observers."""
        with self._lock:
            before = self._values
            after = self._values = {**before, **values}
        self._sender.send(self._comm(), values)
        return values, before, after

    def notify(self, change: Change) -> None:
        """Notify the observers of a change made by `store`, in the calling thread."""
        values, before, after = change
        widget = self._widget()
        if widget is None:
            return
        for name in values:
            if after[name] != before[name]:
                # unbound: another thread may just have swapped notify_change on this object, and
                # ipywidgets' own version would send the value a second time
                event = Bunch(name=name, old=before[name], new=after[name], owner=widget, type="change")
                HasTraits.notify_change(widget, event)

    def send(self, message: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send a custom message to the page."""
        self._sender.tell(self._comm(), message, list(buffers))

    def resend(self, names: Iterable[str]) -> None:
        """Send the values of traits again."""
        # hold the lock while sending too, or a newer value might be sent first
        with self._lock:
            self._sender.send(self._comm(), {name: self._values[name] for name in names})

    def _comm(self) -> Any:
        widget = self._widget()
        return None if widget is None else widget.comm


class Sender:
    """A sender of updates of synced traits from a thread that isn't the kernel's.

    ipykernel 7.4 passes a front end's messages to whichever loop last published on their comm. A
    worker publishes outside any loop, which counts as the main one, so Pause would wait for a
    running cell to end. Two methods keep the front end's own choice of loop: `keep_route` (at once, but
    through a name private to ipykernel) and `remember` (public, from the second message on).
    """

    def __init__(self) -> None:
        self._context: contextvars.Context | None = None

    def remember(self) -> None:
        """Remember the front end's message being handled, so that what is sent later is its answer."""
        self._context = contextvars.copy_context()

    def keep_route(self, comm: Any) -> None:
        """Route every message on `comm` to the loop that the front end addressed."""
        if hasattr(comm, "_reply_subshell_for"):
            comm._reply_subshell_for = _as_addressed

    def send(self, comm: Any, state: Mapping[str, Any]) -> bool:
        """Send one update message with all of `state`.

        Args:
            comm: the widget's comm; nothing is sent if it is None or has been closed.
            state: trait values by name; `bytes` are sent as binary buffers.

        Returns:
            Whether it was sent.
        """
        binary = [name for name, value in state.items() if isinstance(value, bytes)]
        message = {
            "method": "update",
            "state": {name: value for name, value in state.items() if name not in binary},
            "buffer_paths": [[name] for name in binary],
        }
        return self._out(comm, message, [state[name] for name in binary])

    def tell(self, comm: Any, content: Mapping[str, Any], buffers: list[bytes]) -> bool:
        """Send one custom message, whose content stays out of the notebook's saved state. See `send`."""
        return self._out(comm, {"method": "custom", "content": dict(content)}, buffers)

    def _out(self, comm: Any, data: dict[str, Any], buffers: list[bytes]) -> bool:
        # ipywidgets' own test of whether a comm is still open
        if comm is None or getattr(comm, "_closed", False) or getattr(comm, "kernel", True) is None:
            return False
        # use a copy, because only one thread at a time can enter a context
        context = self._context.copy() if self._context is not None else contextvars.Context()
        context.run(comm.send, data=data, buffers=buffers)
        return True


def _as_addressed(data: Any, default: Any) -> Any:
    return default

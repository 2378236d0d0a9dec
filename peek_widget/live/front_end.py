"""The front end as the kernel's threads see it: traits that they publish, messages that they send, encoded pictures.

Traits are published by the widget protocol's own `update` message, so that the front end sees ordinary trait changes.
It is put together here instead of by ipywidgets' machinery, which a worker thread may not enter: two threads that set
traits at once lose values there.
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
"""Bytes up to which a still picture goes out as PNG: it ends up in the saved notebook."""

STILL_LIMIT = 96 * 1024
"""Bytes that a still JPEG may have, for the same reason; then its quality goes down a step."""

POSTER_LIMIT = 48 * 1024


def channels_shown(channels: int) -> str:
    """Describe how an image of so many channels is shown; "" for one (gray) and three (color)."""
    if channels in (1, 3):
        return ""
    return "mean of 2 channels" if channels == 2 else f"first three of {channels} channels, as RGB"


def encode(picture: Image.Image, *, lossless: bool) -> bytes:
    """Encode a picture for the front end.

    While a run goes on: JPEG, full color resolution (a PNG of 448 px takes 30 ms and more). When it
    stands still: PNG where that is at most 64 kB, else a JPEG, the best of a few that is at most 96 kB.
    """
    if not lossless:
        return jpeg_bytes(picture, LIVE_QUALITY, full_color=True)
    png = png_bytes(picture)
    if len(png) <= LOSSLESS_LIMIT:
        return png
    return jpeg_within(picture, STILL_LIMIT, STILL_QUALITIES, full_color=True)


def poster(picture: Image.Image) -> bytes:
    """Encode a picture as PNG small enough to travel in a notebook's outputs, smaller where needed."""
    while len(png := png_bytes(picture)) > POSTER_LIMIT:
        width, height = picture.size
        picture = picture.resize((max(1, width * 3 // 4), max(1, height * 3 // 4)), Image.Resampling.LANCZOS)
    return png


Change = tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]
"""Trait values that were set, and all values before and after."""


class FrontEnd:
    """What the services of an explorer have of it: the traits that threads write, and the custom messages.

    The values of those traits lie here and not in traitlets, whose machinery a worker thread may not enter. It does
    not keep the explorer alive; when that is gone nothing is sent any more.

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
        """Send what follows as an answer to the message that is being handled; see `Sender.remember`."""
        self._sender.remember()

    def __getitem__(self, name: str) -> Any:
        """Return the value of a trait."""
        return self._values[name]

    def publish(self, **values: Any) -> None:
        """Set traits that the explorer's own threads write: send them to the page and notify their observers."""
        self.notify(self.store(values))

    def store(self, values: Mapping[str, Any]) -> Change:
        """Set such traits and send them, and leave the observers to `notify`."""
        with self._lock:
            before = self._values
            after = self._values = {**before, **values}
        self._sender.send(self._comm(), values)
        return values, before, after

    def notify(self, change: Change) -> None:
        """Notify the observers of what `store` has changed, in the calling thread."""
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
        # the lock is held for sending too, or something newer might overtake
        with self._lock:
            self._sender.send(self._comm(), {name: self._values[name] for name in names})

    def _comm(self) -> Any:
        widget = self._widget()
        return None if widget is None else widget.comm


class Sender:
    """Sends updates of synced traits from a thread that isn't the kernel's.

    ipykernel 7.4 hands a front end's messages to whichever loop last published on their comm. A
    worker publishes outside any loop, which counts as the main one, so that Pause would wait behind a
    running cell. Two things keep the front end's own choice of loop: `keep_route` (at once, but
    through a name private to ipykernel) and `remember` (public, from the second message on).
    """

    def __init__(self) -> None:
        self._context: contextvars.Context | None = None

    def remember(self) -> None:
        """Call in a handler of a front end's message: what is sent later goes out as its answer."""
        self._context = contextvars.copy_context()

    def keep_route(self, comm: Any) -> None:
        """Let every message on `comm` go to the loop that the front end addressed."""
        if hasattr(comm, "_reply_subshell_for"):
            comm._reply_subshell_for = _as_addressed

    def send(self, comm: Any, state: Mapping[str, Any]) -> bool:
        """Send one update message with all of `state`.

        Args:
            comm: the widget's comm; nothing is sent where it is None or has been closed.
            state: trait values by name; `bytes` travel as binary buffers.

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
        """Send one custom message; what it carries stays out of the notebook's saved state. See `send`."""
        return self._out(comm, {"method": "custom", "content": dict(content)}, buffers)

    def _out(self, comm: Any, data: dict[str, Any], buffers: list[bytes]) -> bool:
        # ipywidgets' own test of a comm that can still carry something
        if comm is None or getattr(comm, "_closed", False) or getattr(comm, "kernel", True) is None:
            return False
        # a copy, because a context can be entered by one thread at a time
        context = self._context.copy() if self._context is not None else contextvars.Context()
        context.run(comm.send, data=data, buffers=buffers)
        return True


def _as_addressed(data: Any, default: Any) -> Any:
    return default

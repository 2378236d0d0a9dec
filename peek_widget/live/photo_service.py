"""The thread that looks at a photo of the user's own, and at what becomes of it where a part of it is changed."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from peek_widget._encode import jpeg_bytes, png_bytes
from peek_widget.errors import LayerError, PeekError, PhotoError
from peek_widget.evidence import LayerEvidence
from peek_widget.live import protocol
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.replica import Replica
from peek_widget.live.service import Service
from peek_widget.network import Network
from peek_widget.photo import Firing, Look, PhotoReader
from peek_widget.photo.unit_map import without_what_is_cut_off

__all__ = ["PhotoService"]

log: logging.Logger = logging.getLogger("peek_widget")

K = 9
"""Number of units that are listed."""

SIDE = 512
"""Longer side in pixels of the photo on the page."""

MAP_SIDE = 128
"""Longer side in pixels of a unit's map on the page, which the page enlarges smoothly."""

_MASK_SIDE = 256


@dataclass
class _Requests:
    """What the thread is asked for.

    Attributes:
        photo: a photo to look at: what `look_at` takes, or the page's base64 text.
        edit: what is changed in it.
        place: y and x as shares of the photo, or None in a tuple for the whole photo.
        layer: the layer whose units are listed.
        close: forget the photo.
        resend: a page has come that has nothing yet.
    """

    photo: tuple[Any] | None = None
    edit: protocol.PhotoEdit | None = None
    place: tuple[tuple[float, float] | None] | None = None
    layer: str | None = None
    close: bool = False
    resend: bool = False


class PhotoService(Service[_Requests]):
    """A photo of the user's own on an explorer: one at a time, the newest.

    Args:
        front_end: sends messages to the page, from this thread.
        network: returns the explorer's network as it is now read.
        evidence: returns what is known of a layer from real images; None where there are none.
        tags: returns the tags of units by layer.
        class_names: names of the output's units; empty for none.
        layer: the layer whose units are listed.
        enter: sets the thread's number of torch threads.

    Attributes:
        look: what the network sees in the photo; None where there is none.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        network: Callable[[], Network],
        evidence: Callable[[str], LayerEvidence | None],
        tags: Callable[[], Mapping[str, Mapping[str, Sequence[str]]]],
        class_names: Sequence[str],
        layer: str,
        enter: Callable[[], None],
    ) -> None:
        super().__init__("peek_widget.photo", _Requests)
        self._front_end, self._evidence, self._tags, self._enter = front_end, evidence, tags, enter
        self._class_names = class_names
        self._replica = Replica(network)
        self.look: Look | None = None

        # from here on: used by the service's own thread only
        self._layer = layer
        self._changed_look: Look | None = None
        self._place: tuple[float, float] | None = None
        self._number = 0

    # -- requests, from any thread

    def show(self, photo: Any) -> None:
        """Look at a photo: what `peek_widget.look_at` takes, or a page's `SetPhoto`."""
        self.post(photo=(photo,), edit=None, place=None, close=False)

    def edit(self, message: protocol.PhotoEdit) -> None:
        """Look at it with a part of it changed."""
        self.post(start=False, edit=message)

    def show_place(self, message: protocol.PhotoPlace) -> None:
        """List the units that fire at a place."""
        self.post(start=False, place=((message.y, message.x) if message.on else None,))

    def show_layer(self, layer: str) -> None:
        """List the units of another layer."""
        with self._changed:
            if self._thread is None:
                self._layer = layer  # taken by the thread when it begins
        self.post(start=False, layer=layer)

    def forget(self) -> None:
        """Forget the photo."""
        self.post(start=False, close=True, photo=None, edit=None)

    def resend(self) -> None:
        """Send everything to a page that has nothing yet."""
        self.post(start=False, resend=True)

    # -- the thread

    def enter(self) -> None:
        """Set the thread's number of torch threads."""
        self._enter()

    def wait_time(self) -> float | None:
        """Wait for a request."""
        return None

    def fail(self, error: BaseException) -> None:
        """Show the reader what went wrong."""
        if not isinstance(error, PeekError):
            log.error("Looking at the photo failed: %s", error, exc_info=error)
        text = str(error) if isinstance(error, PeekError) else f"{type(error).__name__}: {error}"
        self._front_end.send(self._message("error", problem=text))

    def handle(self, requests: _Requests) -> None:
        """Take the requests, look, and send what is seen."""
        if requests.close:
            self.look = self._changed_look = self._place = None
            self._front_end.send(self._message(""))
            return
        self._layer = self._layer if requests.layer is None else requests.layer
        new = requests.photo is not None
        if requests.photo is not None:
            self._number += 1
            self.look = self._changed_look = self._place = None
            self._front_end.send(self._message("looking"))
            self.look = self._reader().look(_image(requests.photo[0]))
        if self.look is None:
            if requests.resend:
                self._front_end.send(self._message(""))
            return
        if requests.place is not None:
            (self._place,) = requests.place
        if requests.layer is not None and requests.layer not in self.look.layers:
            self._look_anew()
        if requests.edit is not None:
            self._changed_look = self._changed_by(requests.edit)
        self._send(picture=new or requests.resend)

    def _reader(self) -> PhotoReader:
        network = self._replica()
        names = dict.fromkeys([layer.name for layer in network.layers if layer.primary] + [self._layer])
        found = {name: self._evidence(name) for name in names}
        evidence = {name: one for name, one in found.items() if one is not None and one.images}
        return PhotoReader(network, tuple(names), evidence, class_names=self._class_names or None, tags=self._tags())

    def _look_anew(self) -> None:
        """Look at the same photo with a layer that was not looked at."""
        assert self.look is not None
        self.look = self._reader().look_again(self.look, self.look.pixels)
        if self._changed_look is not None:
            self._changed_look = self._reader().look_again(self._changed_look, self._changed_look.pixels)

    def _changed_by(self, edit: protocol.PhotoEdit) -> Look | None:
        assert self.look is not None
        if not (edit.whole or edit.strokes):
            return None
        region = None if edit.whole else _mask(edit.strokes, self.look.size)
        try:
            return self.look.without(region, edit.how).after
        except PhotoError:
            # the first dots of a brush, beside what the network sees or too small to shuffle
            return self._changed_look

    def _send(self, picture: bool) -> None:
        look = self._changed_look or self.look
        assert look is not None
        assert self.look is not None
        width, height = look.size
        units: list[Firing] = []
        text = ""
        try:
            if self._place is None:
                units = look.unusual(self._layer, K)
            else:
                units = look.at(self._layer, self._place[0] * height, self._place[1] * width, K)
        except (LayerError, PhotoError) as error:
            text = str(error)
        buffers = [jpeg_bytes(_photo(look), 88)] if picture else []
        rows = []
        for one in units:
            drawn = _drawn_map(look, one)
            buffers += [] if drawn is None else [drawn]
            words = ", ".join(one.tags) or one.label
            y, x = one.place[0] / height, one.place[1] / width
            rows.append((one.unit, one.activation, one.percentile, words, y, x, drawn is not None))
        text = text or _basis(units, self._place is not None, self._evidence(self._layer))
        fields = ("unit", "activation", "percentile", "words", "y", "x", "map")
        self._front_end.send(
            self._message(
                "done",
                text=text,
                width=width,
                height=height,
                shown=[part / (width, height)[at % 2] for at, part in enumerate(look.shown)],
                classes=self._classes(),
                note=look.predictions.note if not len(look.predictions) else "",
                units=[dict(zip(fields, row, strict=True)) for row in rows],
                changed=self._changed_look is not None,
                picture=picture,
            ),
            buffers,
        )

    def _classes(self) -> list[dict[str, Any]]:
        assert self.look is not None
        now = self._changed_look
        return [
            {
                "name": one.name,
                "before": one.score,
                "after": None if now is None else now.predictions.of(one.unit).score,
            }
            for one in self.look.predictions
        ] + [
            {"name": one.name, "before": self.look.predictions.of(one.unit).score, "after": one.score}
            for one in (() if now is None else now.predictions)
            if one.unit not in {old.unit for old in self.look.predictions}
        ]

    def _message(self, state: str, **more: Any) -> dict[str, Any]:
        empty: dict[str, Any] = {
            "kind": protocol.PhotoSeen.kind,
            "n": self._number if state else 0,
            "state": state,
            "problem": "",
            "text": "",
            "width": 0,
            "height": 0,
            "shown": [0.0, 0.0, 1.0, 1.0],
            "classes": [],
            "note": "",
            "layer": self._layer,
            "units": [],
            "place": self._place is not None,
            "changed": False,
            "picture": False,
        }
        return {**empty, **more}


def _image(given: Any) -> Any:
    """Return what a page sent as the bytes of a file; anything else as it is."""
    if not isinstance(given, protocol.SetPhoto):
        return given
    try:
        return base64.b64decode(given.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PhotoError(f"The photo did not arrive whole: {error}. Give it once more.") from error


def _mask(strokes: Sequence[float], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Return a mask over a photo of (width, height) that is True in circles of y, x and radius, in shares of it."""
    width, height = size
    scale = _MASK_SIDE / max(size)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    ys, xs = (np.arange(rows) + 0.5)[:, None], (np.arange(columns) + 0.5)[None]
    mask = np.zeros((rows, columns), bool)
    for y, x, radius in zip(strokes[::3], strokes[1::3], strokes[2::3], strict=False):
        mask |= (ys - y * rows) ** 2 + (xs - x * columns) ** 2 <= (radius * _MASK_SIDE) ** 2
    return mask


def _photo(look: Look) -> Image.Image:
    return without_what_is_cut_off(look.image, look.size, look.shown, SIDE)


def _drawn_map(look: Look, one: Firing) -> bytes | None:
    """Return where a unit fires as a gray PNG over the photo; None where its map can't be laid over it."""
    width, height = look.size
    scale = MAP_SIDE / max(look.size)
    try:
        strength = look.map(one.layer, one.unit).strength(max(1, round(width * scale)), max(1, round(height * scale)))
    except PhotoError:
        return None
    return png_bytes(Image.fromarray((255 * strength).round().astype(np.uint8)), compress_level=1)


def _basis(units: Sequence[Firing], place: bool, evidence: LayerEvidence | None) -> str:
    if any(one.basis == "evidence" for one in units) and evidence is not None:
        of = "places of" if place else "of"
        return f"Percent {of} {evidence.images:,} real images where the unit fires less."
    if place:
        return "Percent of the photo's places where the unit fires less: there are no real images to compare with."
    return "Percent of the layer's units that stand out less: there are no real images to compare with."

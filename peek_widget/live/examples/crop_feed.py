"""The example crops on the page: those that are shown, their numbers, and what is still to be sent."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from peek_widget.errors import PeekError
from peek_widget.evidence import Crop, UnitEvidence, activation_map, find_focus
from peek_widget.evidence.synsets import synset_in
from peek_widget.live.examples import thumbnails
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.protocol.examples import CropView
from peek_widget.network import Network

__all__ = ["CropFeed", "box_shown"]

INTERVAL = 0.7
"""Minimum time in seconds between two sets of crops sent while a pass runs."""

MOST_THUMBNAILS = 256
MOST_CROPS = 256

Key = tuple[Any, ...]
Box = tuple[int, int, int, int]


class CropFeed:
    """A sender of sets of crops, each picture only once, and of the enlarged crop.

    All methods except :meth:`crop` are for one thread.

    Args:
        front_end: sends messages to the page.
        k: number of crops in a set.
        clock: returns monotonic time in seconds.

    Attributes:
        bottom: whether the images with the lowest activation are shown instead of the highest.
        opened: number of the enlarged crop; 0 for none.
        without_focus: the crops of the last set whose focus is to be shown but not known yet, best first.
    """

    def __init__(self, front_end: FrontEnd, k: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._front_end, self._k, self._clock = front_end, k, clock
        self.bottom: bool = False
        self.opened: int = 0
        self.without_focus: list[Crop] = []
        # None: the focus if the receptive field is wide, else the whole image
        self._view: CropView | None = None
        self._thumbnails: OrderedDict[Key, bytes | str] = OrderedDict()
        self._numbers: OrderedDict[Key, int] = OrderedDict()
        self._crops: dict[int, Crop] = {}
        self._on_page: set[Key] = set()
        self._last_set: Any = None
        self._sent_at = -math.inf

    def crop(self, number: int) -> Crop | None:
        """Return the crop with this number on the page; from any thread."""
        return self._crops.get(number)

    def choose(self, bottom: bool, view: CropView) -> None:
        """Choose the examples to show. The view already shown is not a choice: another layer's may differ."""
        self.bottom = bottom
        if self._last_set is None or view != self._last_set[3]:
            self._view = view

    def forget_page(self) -> None:
        """Start again for a page that has nothing yet."""
        self._on_page.clear()
        self._last_set = None

    def send(self, layer: str, unit: int, evidence: UnitEvidence | None, *, at_once: bool) -> None:
        """Send the set of crops of a unit, if it differs from the last one.

        Args:
            layer: name of the layer that is shown.
            unit: number of the unit that is shown.
            evidence: evidence on the unit so far.
            at_once: whether to send it even if the last set is younger than `INTERVAL`.
        """
        now = self._clock()
        if not at_once and now - self._sent_at < INTERVAL:
            return
        chosen = () if evidence is None else (evidence.bottom if self.bottom else evidence.top)
        chosen = chosen[: self._k]
        view = self._view or ("focus" if chosen and chosen[0].wide else "whole")
        boxes = [box_shown(crop, view) for crop in chosen]
        self.without_focus = [crop for crop, box in zip(chosen, boxes, strict=True) if box is None]
        rows, buffers, on_page = [], [], set()
        for crop, box in zip(chosen, boxes, strict=True):
            key = (crop.name, None if view == "whole" else box)
            thumbnail = self._thumbnail(key, crop)
            on_page.add(key)
            row = self._row(crop, view, box)
            if isinstance(thumbnail, str):
                row["problem"] = thumbnail
            elif key not in self._on_page:
                row["image"] = len(buffers)
                buffers.append(thumbnail)
            rows.append(row)
        content = (layer, unit, self.bottom, view, [(row["id"], row["activation"], row["box"]) for row in rows])
        if content == self._last_set and not buffers:
            return
        self._last_set, self._on_page, self._sent_at = content, on_page, now
        self._front_end.send(
            {"kind": "crops", "layer": layer, "unit": unit, "bottom": self.bottom, "view": view, "crops": rows},
            buffers,
        )

    def send_opened(self, network: Callable[[], Network]) -> None:
        """Send the enlarged crop: the whole image, and the unit's activation map over it.

        Args:
            network: returns the network that computes the map, and the focus if it is to be outlined.
        """
        crop = self._crops.get(self.opened)
        if crop is None:
            return
        # the enlarged image is always whole; if the tiles show the focus, its outline does too
        view: CropView = "focus" if self._last_set is not None and self._last_set[3] == "focus" else "whole"
        message: dict[str, Any] = {
            "kind": "large",
            "id": self.opened,
            "layer": crop.layer,
            "unit": crop.unit,
            "name": crop.name,
            "label": crop.label_name or synset_in(crop.name) or "",
            "activation": crop.activation,
            "clipped": crop.clipped,
            "box": thumbnails.shares(_box_if_known(crop), crop.size),
            "size": list(crop.size),
            "map": [],
            "area": [],
            "problem": "",
        }
        buffers: list[bytes] = []
        try:
            buffers.append(thumbnails.enlarged(crop))
            activations = activation_map(network(), crop)
            if activations.numel() > 1 and crop.in_place:
                levels, message["map"] = thumbnails.map_levels(activations)
                message["area"] = thumbnails.map_box(crop)
                buffers.append(levels)
            if box_shown(crop, view) is None:
                find_focus(network(), crop)
            message["box"] = thumbnails.shares(box_shown(crop, view) or crop.box, crop.size)
        except PeekError as error:
            message["problem"] = str(error)
        self._front_end.send(message, buffers)

    def _row(self, crop: Crop, view: CropView, box: Box | None) -> dict[str, Any]:
        """Describe a crop in the protocol's terms, without its picture; for the box see :func:`box_shown`."""
        cut = None if view == "whole" else box
        left, top, right, bottom = cut or (0, 0, *crop.size)
        return {
            "id": self._number(crop),
            "key": f"{crop.name}|{cut or ''}",
            "activation": crop.activation,
            "name": crop.name,
            "label": crop.label_name or synset_in(crop.name) or "",
            "clipped": crop.clipped,
            "box": thumbnails.shares(box or _box_if_known(crop), crop.size),
            "size": [right - left, bottom - top],
            "image": -1,
            "problem": "",
        }

    def _number(self, crop: Crop) -> int:
        """Return the number of a crop; without one it gets a new number, and the oldest crop may lose its own."""
        key = (crop.layer, crop.unit, crop.name, crop.position)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = max(self._crops, default=0) + 1
            while len(self._numbers) > MOST_CROPS:
                _, old = self._numbers.popitem(last=False)
                self._crops.pop(old, None)
        else:
            self._numbers.move_to_end(key)
        self._crops[number] = crop
        return number

    def _thumbnail(self, key: Key, crop: Crop) -> bytes | str:
        """Return the thumbnail of a crop, or a sentence on why there is none."""
        found = self._thumbnails.get(key)
        if found is None:
            try:
                found = thumbnails.thumbnail(crop, key[1])
            except PeekError as error:
                found = str(error)
            self._thumbnails[key] = found
            while len(self._thumbnails) > MOST_THUMBNAILS:
                self._thumbnails.popitem(last=False)
        self._thumbnails.move_to_end(key)
        return found


def _box_if_known(crop: Crop) -> Box:
    """Return the receptive field, or the whole image if it is not measured yet, so that sending does not wait."""
    return crop.box if crop.box_known else (0, 0, *crop.size)


def box_shown(crop: Crop, view: CropView) -> Box | None:
    """Return the part of a crop's image that is outlined, or that the picture is cut to; None for an unknown focus.

    It is the receptive field, or the focus if that is asked for, or if the field is wide and the whole image is shown,
    where the outline would otherwise be that of the image.
    """
    if view == "field" or (view == "whole" and not crop.wide):
        return crop.box
    field = crop.known_focus
    return None if field is None else crop.focus_of(field) or crop.box

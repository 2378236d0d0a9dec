"""The example crops on the page: which are shown, under which numbers, and what of them is still to be sent."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from peek_widget.errors import PeekError
from peek_widget.evidence import Crop, UnitEvidence, activation_map
from peek_widget.live.examples import thumbnails
from peek_widget.live.front_end import FrontEnd
from peek_widget.network import Network

__all__ = ["CropFeed"]

INTERVAL = 0.7
"""Seconds between two sets of crops sent while a pass runs."""

MOST_THUMBNAILS = 256
MOST_CROPS = 256

Key = tuple[Any, ...]


class CropFeed:
    """Sends sets of crops, each picture once, and the crop that is shown enlarged.

    All methods but :meth:`crop` are for one thread.

    Args:
        front_end: sends messages to the page.
        k: number of crops in a set.
        clock: returns seconds, monotonic.

    Attributes:
        bottom: show the images with the lowest activation instead of the highest.
        cut: show the receptive field only instead of the whole image.
        opened: number of the crop that is shown enlarged; 0 for none.
    """

    def __init__(self, front_end: FrontEnd, k: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._front_end, self._k, self._clock = front_end, k, clock
        self.bottom = self.cut = False
        self.opened = 0
        self._thumbnails: OrderedDict[Key, bytes | str] = OrderedDict()
        self._numbers: OrderedDict[Key, int] = OrderedDict()
        self._crops: dict[int, Crop] = {}
        self._on_page: set[Key] = set()
        self._last_set: Any = None
        self._sent_at = -math.inf

    def crop(self, number: int) -> Crop | None:
        """Return the crop that the page knows by this number; from any thread."""
        return self._crops.get(number)

    def forget_page(self) -> None:
        """Start anew with a page that has nothing yet."""
        self._on_page.clear()
        self._last_set = None

    def send(self, layer: str, unit: int, evidence: UnitEvidence | None, *, at_once: bool) -> None:
        """Send the set of crops of a unit, if it is another than the last one.

        Args:
            layer: name of the layer that is shown.
            unit: number of the unit that is shown.
            evidence: evidence on it so far.
            at_once: do not wait until the last set is `INTERVAL` old.
        """
        now = self._clock()
        if not at_once and now - self._sent_at < INTERVAL:
            return
        chosen = () if evidence is None else (evidence.bottom if self.bottom else evidence.top)
        rows, buffers, on_page = [], [], set()
        for crop in chosen[: self._k]:
            key = (crop.name, crop.box if self.cut else None)
            thumbnail = self._thumbnail(key, crop)
            on_page.add(key)
            row = self._row(crop)
            if isinstance(thumbnail, str):
                row["problem"] = thumbnail
            elif key not in self._on_page:
                row["image"] = len(buffers)
                buffers.append(thumbnail)
            rows.append(row)
        content = (layer, unit, self.bottom, self.cut, [(row["id"], row["activation"]) for row in rows])
        if content == self._last_set and not buffers:
            return
        self._last_set, self._on_page, self._sent_at = content, on_page, now
        self._front_end.send(
            {"kind": "crops", "layer": layer, "unit": unit, "bottom": self.bottom, "cut": self.cut, "crops": rows},
            buffers,
        )

    def send_opened(self, network: Callable[[], Network]) -> None:
        """Send the crop that is shown enlarged: the whole image, and the unit's activation map over it.

        Args:
            network: returns the network to compute the map with.
        """
        crop = self._crops.get(self.opened)
        if crop is None:
            return
        message: dict[str, Any] = {
            "kind": "large",
            "id": self.opened,
            "layer": crop.layer,
            "unit": crop.unit,
            "name": crop.name,
            "label": crop.label_name or "",
            "activation": crop.activation,
            "clipped": crop.clipped,
            "box": thumbnails.field_box(crop),
            "size": list(crop.size),
            "map": [],
            "area": [],
            "problem": "",
        }
        buffers: list[bytes] = []
        try:
            buffers.append(thumbnails.enlarged(crop))
            activations = activation_map(network(), crop)
            if activations.numel() > 1:
                levels, message["map"] = thumbnails.map_levels(activations)
                message["area"] = thumbnails.map_box(crop)
                buffers.append(levels)
        except PeekError as error:
            message["problem"] = str(error)
        self._front_end.send(message, buffers)

    def _row(self, crop: Crop) -> dict[str, Any]:
        """Describe a crop as the protocol has it, without its picture."""
        left, top, right, bottom = crop.box
        return {
            "id": self._number(crop),
            "key": f"{crop.name}|{crop.box if self.cut else ''}",
            "activation": crop.activation,
            "name": crop.name,
            "label": crop.label_name or "",
            "clipped": crop.clipped,
            "box": thumbnails.field_box(crop),
            "size": [right - left, bottom - top] if self.cut else list(crop.size),
            "image": -1,
            "problem": "",
        }

    def _number(self, crop: Crop) -> int:
        """Return the number of a crop; a new one if it has none, and then the oldest crop may lose its own."""
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
        """Return the thumbnail of a crop, or a sentence why there is none."""
        found = self._thumbnails.get(key)
        if found is None:
            try:
                found = thumbnails.thumbnail(crop, self.cut)
            except PeekError as error:
                found = str(error)
            self._thumbnails[key] = found
            while len(self._thumbnails) > MOST_THUMBNAILS:
                self._thumbnails.popitem(last=False)
        self._thumbnails.move_to_end(key)
        return found

"""Pictures of a circuit's units: those that are there already, and those that are drawn now, step by step."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from peek_widget._encode import jpeg_bytes, shrunk
from peek_widget.ascent import Ascent, Recipe, to_pil, unit_objective
from peek_widget.live.examples.thumbnails import THUMBNAIL, THUMBNAIL_QUALITY
from peek_widget.network import Network

__all__ = ["RECIPE", "Drawings", "small_jpeg"]

RECIPE: Recipe = Recipe.preset("peek-fast")
"""Recipe of the pictures that are drawn now."""

_PREVIEW_AT = 5  # steps after which a picture is shown in advance
_MOST = 512
_MOST_TENSORS = 16

Key = tuple[str, int]


def small_jpeg(network: Network, picture: Tensor) -> bytes:
    """Return a picture ``[C, H, W]`` as a JPEG of a thumbnail's size."""
    return jpeg_bytes(shrunk(to_pil(network.preprocess.visible(picture)), THUMBNAIL), THUMBNAIL_QUALITY)


class Drawings:
    """Pictures by layer and unit; for one thread.

    Args:
        sheet: returns the JPEG of a unit that the contact sheet of its layer has; None where it has none.
    """

    def __init__(self, sheet: Callable[[str, int], bytes | None]) -> None:
        self._sheet = sheet
        self._made: OrderedDict[Key, bytes] = OrderedDict()
        self._tensors: OrderedDict[Key, Tensor] = OrderedDict()
        self._of: object = None

    def use(self, network: Network) -> None:
        """Forget all where the network, or its weights, are others than those that they were drawn with."""
        now = (id(network), network.model_copy.version())
        if now != self._of:
            self._of = now
            self._made.clear()
            self._tensors.clear()

    def find(self, layer: str, unit: int) -> bytes | None:
        """Return the picture of a unit; None where it must be drawn."""
        return self._made.get((layer, unit)) or self._sheet(layer, unit)

    def tensor(self, layer: str, unit: int) -> Tensor | None:
        """Return a picture that was drawn lately as it was drawn, ``[C, H, W]``; None for any other."""
        return self._tensors.get((layer, unit))

    def draw(self, network: Network, layer: str, unit: int) -> Iterator[tuple[Ascent, bytes | None]]:
        """Draw a unit, one step at a time; keep its picture.

        Yields:
            after each step the run, and a JPEG where there is one to show: in advance, and in the end.
        """
        ascent = Ascent(network, unit_objective(network, layer, unit), RECIPE)
        for _ in ascent:
            if ascent.done:
                picture = ascent.best[0]
                found = small_jpeg(network, picture)
                _keep(self._made, (layer, unit), found, _MOST)
                _keep(self._tensors, (layer, unit), picture, _MOST_TENSORS)
                yield ascent, found
            else:
                early = ascent.index == _PREVIEW_AT
                yield ascent, small_jpeg(network, ascent.preview()[0]) if early else None


def _keep(into: OrderedDict[Key, Any], key: Key, value: Any, most: int) -> None:
    into[key] = value
    while len(into) > most:
        into.popitem(last=False)

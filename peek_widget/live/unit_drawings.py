"""Drawn pictures of units other than the run's: from contact sheets, or drawn on demand, step by step."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch import Tensor

from peek_widget._encode import jpeg_bytes, shrunk
from peek_widget.ascent import Ascent, Recipe, to_pil, unit_objective
from peek_widget.errors import PeekError
from peek_widget.live.examples.thumbnails import THUMBNAIL, THUMBNAIL_QUALITY
from peek_widget.network import Network
from peek_widget.network.fingerprint import fingerprint
from peek_widget.network.precision import Precision

__all__ = ["RECIPE", "Sheets", "UnitDrawings", "small_jpeg"]

RECIPE: Recipe = Recipe.preset("peek-fast")
"""Recipe of the pictures that are drawn on demand."""

_SHOWN_AT = (4, 9, 15)  # steps after which an unfinished picture is shown
_MOST = 512
_MOST_TENSORS = 16

Key = tuple[str, int]
Sheets = Callable[[str, int, str], bytes | None]
"""Returns the small JPEG of a unit that is finished on a contact sheet, by layer, unit and fingerprint of the weights;
None if it is on no sheet."""

_Value = TypeVar("_Value")


def small_jpeg(network: Network, picture: Tensor) -> bytes:
    """Return a picture ``[C, H, W]`` as a JPEG of a thumbnail's size."""
    return jpeg_bytes(shrunk(to_pil(network.preprocess.visible(picture)), THUMBNAIL), THUMBNAIL_QUALITY)


class UnitDrawings:
    """Pictures of units by layer and unit; for one thread.

    Args:
        sheets: returns the pictures of contact sheets.
        precision: what the network computes in, see `peek_widget.ascent.AscentOptions`.
    """

    def __init__(self, sheets: Sheets, precision: Precision | None = None) -> None:
        self._sheets, self._precision = sheets, precision
        self._made: OrderedDict[Key, bytes] = OrderedDict()
        self._tensors: OrderedDict[Key, Tensor] = OrderedDict()
        self._weights = ""

    def use(self, network: Network, weights: str | None = None) -> bool:
        """Draw with the weights of this network from now on; return whether they have changed.

        Pictures drawn with other weights are dropped.

        Args:
            network: the network.
            weights: its fingerprint, if known.
        """
        weights = fingerprint(network) if weights is None else weights
        if weights == self._weights:
            return False
        self._weights = weights
        self._made.clear()
        self._tensors.clear()
        return True

    def find(self, layer: str, unit: int) -> bytes | None:
        """Return the picture of a unit, preferably from a sheet; None if it must be drawn."""
        # the sheet's own tab reports a problem of its store; the unit can still be drawn
        with contextlib.suppress(PeekError):
            if (found := self._sheets(layer, unit, self._weights)) is not None:
                return found
        return self._made.get((layer, unit))

    def tensor(self, layer: str, unit: int) -> Tensor | None:
        """Return a recently drawn picture as it was drawn, ``[C, H, W]``; None for any other."""
        return self._tensors.get((layer, unit))

    def draw(self, network: Network, layer: str, unit: int) -> Iterator[tuple[Ascent, bytes | None]]:
        """Draw a unit, one step at a time, and keep its picture; leaving the iterator abandons it.

        Yields:
            after each step, the run, and a JPEG if there is one to show: an unfinished or the final picture.

        Raises:
            PeekError: if the unit can't be drawn.
        """
        ascent = Ascent(network, unit_objective(network, layer, unit), RECIPE, precision=self._precision)
        for _ in ascent:
            if ascent.done:
                picture = ascent.best[0]
                found = small_jpeg(network, picture)
                _keep(self._made, (layer, unit), found, _MOST)
                _keep(self._tensors, (layer, unit), picture, _MOST_TENSORS)
                yield ascent, found
            else:
                shown = ascent.index in _SHOWN_AT
                yield ascent, small_jpeg(network, ascent.preview()[0]) if shown else None


def _keep(into: OrderedDict[Key, _Value], key: Key, value: _Value, most: int) -> None:
    into[key] = value
    while len(into) > most:
        into.popitem(last=False)

"""What a network sees in one photo: predictions, unusual units, their maps; and what if a part is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor, nn

from peek_widget._optional import optional_import
from peek_widget._size import Size
from peek_widget.errors import LayerError, PhotoError
from peek_widget.evidence.prepare import InputPlacement
from peek_widget.photo.edits import Edit, Region, edited, region_mask
from peek_widget.photo.figure import figure
from peek_widget.photo.firing import LISTED, Firing, Unusual, at_place, on_photo
from peek_widget.photo.predictions import Prediction, Predictions
from peek_widget.photo.unit_map import UnitMap, without_what_is_cut_off

if TYPE_CHECKING:
    import pandas as pd

    from peek_widget.photo.reader import PhotoReader

__all__ = ["Look", "WhatIf"]


@dataclass(frozen=True)
class Look:
    """What a network sees in one photo, from one forward; see :func:`~peek_widget.look_at`.

    Attributes:
        image: the photo, upright (RGB, or L for one channel); a large JPEG at a reduced size.
        size: (width, height) of the photo as it is stored; all places are in its pixels.
        pixels: what the network got of it, ``[C, S, S]`` float32 in [0, 1], before the preprocessing.
        predictions: the five classes with the highest scores; without classes a sentence, ``str(look.predictions)``.
        layers: names of the layers that were looked at.
        remarks: sentences on what was assumed.
    """

    image: Image.Image
    size: tuple[int, int]
    pixels: Tensor = field(repr=False)
    predictions: Predictions
    layers: tuple[str, ...]
    remarks: tuple[str, ...]
    _reader: PhotoReader = field(repr=False, compare=False)
    _values: Mapping[str, Tensor] = field(repr=False, compare=False)
    _placement: InputPlacement = field(repr=False, compare=False)
    _unusual: dict[str, Unusual] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def shown(self) -> tuple[float, float, float, float]:
        """Part of the photo that the network sees, (left, top, right, bottom) in its pixels; the rest is cut off."""
        (height, width), (x, y), at = self.pixels.shape[-2:], self._placement.scale, self._placement
        return at.left * x, at.top * y, (at.left + width) * x, (at.top + height) * y

    @property
    def picture(self) -> Image.Image:
        """The photo with what the network does not see of it darkened, its longer side 512 px."""
        return without_what_is_cut_off(self.image, self.size, self.shown, 512)

    # Units

    def unusual(self, layer: str | nn.Module | None = None, k: int | None = LISTED) -> list[Firing]:
        """Return the units that fire most unusually on the photo, the most unusual first.

        Args:
            layer: a layer; None for the best of all layers that were looked at, by their percentiles.
            k: number of units; None for all.

        Raises:
            LayerError: if the layer was not looked at.
        """
        if layer is not None:
            name = self._name(layer)
            found = self._found(name)
            return [self._firing(name, unit, found) for unit in found.order[:k].tolist()]
        every = [one for name in self.layers for one in self.unusual(name, k)]
        return _sorted(every)[:k]

    def firing(self, layer: str | nn.Module, unit: int) -> Firing:
        """Return how one unit fires on the photo.

        Raises:
            LayerError, UnitError: if the layer was not looked at, or has no such unit.
        """
        name = self._name(layer)
        self._reader.network.check_unit(name, unit)
        return self._firing(name, int(unit), self._found(name))

    def at(self, layer: str | nn.Module, y: float, x: float, k: int | None = LISTED) -> list[Firing]:
        """Return the units that fire most unusually at a place of the photo, the most unusual first.

        Args:
            layer: a layer.
            y, x: the place, in pixels of the photo from its upper left corner; the position taken is the one whose
                receptive field has the nearest center.
            k: number of units; None for all.

        Raises:
            LayerError: if the layer was not looked at.
            PhotoError: if the place is not on the photo, or the layer's positions do not see the part of the photo
                where they lie.
        """
        name = self._name(layer)
        width, height = self.size
        if not (0 <= y <= height and 0 <= x <= width):
            raise PhotoError(
                f"The place ({y:g}, {x:g}) is not on the photo, which is {height} px high and {width} wide."
            )
        if not self._reader.covered(name)[1]:
            raise PhotoError(
                f"Which units of {name!r} look at a place can't be told from its map: its positions are not in the "
                "order of the image (after a flip or a shuffle, say). Name another layer."
            )
        left, top, right, bottom = self._box(name)
        rows, columns = self._reader.network.layer(name).size
        row = min(max(int((y - top) / (bottom - top) * rows // 1), 0), rows - 1)
        column = min(max(int((x - left) / (right - left) * columns // 1), 0), columns - 1)
        position = row * columns + column
        found = at_place(self._values[name].cpu(), self._reader.layer_evidence(name), position)
        return [self._firing(name, unit, found) for unit in found.order[:k].tolist()]

    def box(self, layer: str | nn.Module, position: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the receptive field of a position (row, column) of a layer's map.

        Returns:
            (left, top, right, bottom) in pixels of the photo.

        Raises:
            LayerError: if the layer was not looked at.
            PhotoError: if its map has no such position.
        """
        name = self._name(layer)
        rows, columns = self._reader.network.layer(name).size
        row, column = position
        if not (0 <= row < rows and 0 <= column < columns):
            raise PhotoError(
                f"position={position} is not on the map of {name!r}: give (row, column) from (0, 0) to ({rows - 1}, "
                f"{columns - 1})."
            )
        return self._placement.box(self._reader.field(name).field_box(row * columns + column).box, self.size)

    def map(self, layer: str | nn.Module, unit: int) -> UnitMap:
        """Return a unit's map on the photo, with the part of the photo that it covers.

        Raises:
            LayerError, UnitError: if the layer was not looked at, or has no such unit.
        """
        name = self._name(layer)
        self._reader.network.check_unit(name, unit)
        values = self._values[name][0, int(unit)]
        values = (values if values.ndim == 2 else values.view(1, 1)).cpu()
        in_place = self._reader.covered(name)[1]
        return UnitMap(name, int(unit), values, self._box(name), in_place, self.image, self.size, self.shown)

    def highest(self, layer: str | nn.Module) -> Tensor:
        """Return the highest activation of each unit of a layer on the photo, ``[units]``, before the ReLU."""
        return self._found(self._name(layer)).activation

    def _found(self, name: str) -> Unusual:
        """Return how unusual the units of a layer are, computed on first use."""
        if name not in self._unusual:
            self._unusual[name] = on_photo(self._values[name].cpu(), self._reader.layer_evidence(name))
        return self._unusual[name]

    def _name(self, layer: str | nn.Module) -> str:
        name = self._reader.network.layer(layer).name
        if name not in self._values:
            raise LayerError(
                f"The layer {name!r} was not looked at, only {', '.join(map(repr, self.layers))}: name it in layers=."
            )
        return name

    def _box(self, name: str) -> tuple[float, float, float, float]:
        """Part of the photo that a layer's map covers."""
        (left, top, right, bottom), _ = self._reader.covered(name)
        (x, y), at = self._placement.scale, self._placement
        return (left + at.left) * x, (top + at.top) * y, (right + at.left) * x, (bottom + at.top) * y

    def _firing(self, name: str, unit: int, found: Unusual) -> Firing:
        rows, columns = self._reader.network.layer(name).size
        number = int(found.position[unit])
        row, column = divmod(number, columns)
        left, top, right, bottom = self._box(name)
        place = (top + (row + 0.5) / rows * (bottom - top), left + (column + 0.5) / columns * (right - left))
        label, tags = self._reader.known_of(name, unit)
        return Firing(
            name,
            unit,
            float(found.activation[unit]),
            float(found.percentile[unit]),
            found.basis,
            (row, column),
            place,
            label,
            tags,
        )

    # In a table, and as a figure

    @property
    def table(self) -> pd.DataFrame:
        """The nine most unusual units of each layer: layer, unit, activation, percentile, basis, y, x, label, tags."""
        rows = [one for name in self.layers for one in self.unusual(name)]
        columns = ("layer", "unit", "activation", "percentile", "basis", "y", "x", "label", "tags")
        data: list[tuple[Any, ...]] = [
            (one.layer, one.unit, one.activation, one.percentile, one.basis, *one.place, one.label, ", ".join(one.tags))
            for one in rows
        ]
        return optional_import("pandas").DataFrame(data, columns=list(columns))

    def figure(self, layer: str | nn.Module | None = None, k: int = 8) -> Image.Image:
        """Draw the photo with its predictions, and the most unusual units with their maps on it.

        Args:
            layer: layer whose units are drawn; left out, the best of all layers with a map.
            k: number of units.

        Raises:
            LayerError: if the layer was not looked at.
            PeekError: if matplotlib is not installed.
        """
        if layer is not None:
            return figure(self, self.unusual(layer, k))
        spatial = [name for name in self.layers if self._reader.network.layer(name).spatial] or list(self.layers)
        every = [one for name in spatial for one in self.unusual(name, k)]
        return figure(self, _sorted(every)[:k])

    # What if

    def without(
        self, region: Region = None, how: Edit = "gray", layers: str | nn.Module | Iterable[str] | None = None
    ) -> WhatIf:
        """Look again at the photo with a part of it changed.

        The change is made in the network's input.

        Args:
            region: (left, top, right, bottom) in pixels of the photo; a mask ``[H, W]`` over the photo, of any size; or
                None for the whole photo.
            how: ``"gray"`` covers it with gray, ``"grayscale"`` takes its colors away, ``"blur"`` blurs it,
                ``"shuffle"`` exchanges tiles of it; see :func:`peek_widget.photo.edits.edited`.
            layers: layers to look at, which is quicker for a few; left out, all that were looked at.

        Returns:
            the same photo before and after, and their differences.

        Raises:
            PhotoError: if the region or ``how`` is not possible.
            LayerError: if one of the layers was not looked at.
        """
        names = None
        if layers is not None:
            names = [self._name(each) for each in ([layers] if isinstance(layers, (str, nn.Module)) else layers)]
        mask = region_mask(region, Size(*self.pixels.shape[-2:]), self.size, self._placement)
        pixels = edited(self.pixels, mask, how, self._reader.network.preprocess)
        return WhatIf(self, self._reader.look_again(self, pixels, names))

    def again(self) -> Look:
        """Look again at what the network got of the photo, at all layers."""
        return self._reader.look_again(self, self.pixels)

    def detached(self) -> Look:
        """Return the same look, with a network of its own for what is still to be computed.

        It is for a thread other than the one that looks at photos: a network is run by one thread at a time.
        """
        return replace(self, _reader=self._reader.detached())

    def __repr__(self) -> str:
        width, height = self.size
        return f"Look({width} x {height} px, {len(self.layers)} layers: {self.predictions})"


def _sorted(units: Iterable[Firing]) -> list[Firing]:
    """Sort units of several layers: those that fire, by their percentiles, then those that don't."""
    return sorted(units, key=lambda one: (one.activation <= 0, -one.percentile))


@dataclass(frozen=True)
class WhatIf:
    """A photo before and after a part of it was changed; see :meth:`Look.without`.

    Attributes:
        before: the photo as it is.
        after: the photo with a part of it changed.
    """

    before: Look
    after: Look

    @property
    def predictions(self) -> Predictions:
        """The predictions afterwards."""
        return self.after.predictions

    @property
    def classes(self) -> list[tuple[Prediction, Prediction]]:
        """The predictions before and after of every class among the five highest of either, those of before first."""
        units = dict.fromkeys(one.unit for one in (*self.before.predictions, *self.after.predictions))
        return [(self.before.predictions.of(unit), self.after.predictions.of(unit)) for unit in units]

    def difference(self, layer: str | nn.Module) -> Tensor:
        """Return the increase of the highest activation of each unit of a layer, ``[units]``."""
        return self.after.highest(layer) - self.before.highest(layer)

    @property
    def table(self) -> pd.DataFrame:
        """The nine units of each layer whose percentile changed most: before, after, and percentiles of both."""
        rows = []
        for name in self.after.layers:
            was, now = (look._found(name) for look in (self.before, self.after))
            change = (now.percentile - was.percentile).abs().nan_to_num(-1.0)
            for unit in change.argsort(descending=True, stable=True)[:LISTED].tolist():
                one, other = (float(look.activation[unit]) for look in (was, now))
                shares = [float(look.percentile[unit]) for look in (was, now)]
                rows.append((name, unit, one, other, other - one, *shares, now.basis))
        columns = ["layer", "unit", "before", "after", "difference", "percentile_before", "percentile_after", "basis"]
        return optional_import("pandas").DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        return f"WhatIf(before: {self.before.predictions}; after: {self.after.predictions})"

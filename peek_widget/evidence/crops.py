"""Dataset examples: one patch of one image, with how much it excites a unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from peek_widget.errors import DatasetError, EvidenceStoreError, FieldWarning, PeekError, warn
from peek_widget.evidence.dataset import Label, UnreadableError
from peek_widget.evidence.example_index import ExampleIndex
from peek_widget.evidence.prepare import to_picture
from peek_widget.evidence.synsets import synset_name
from peek_widget.network import Network
from peek_widget.network.receptive_field.effective import EffectiveField, effective_field
from peek_widget.network.receptive_field.field_map import FieldBox, field_map, field_on

__all__ = ["WIDE", "Crop", "activation_map", "find_focus"]

WIDE = 0.6
"""Share of the input's area from which on a receptive field says little about where the influence is."""

# Share of the unit's range by which the activation found in the pass and that of another forward may differ: more than
# what other batches, threads or devices change, less than what other weights do.
_SAME = 0.02
_FEW_PIXELS = 24  # a patch smaller than this is enlarged so that its pixels are seen as squares


@dataclass(frozen=True)
class Crop:
    """One position of a unit's feature map on one image: the patch that the unit sees there, and its activation.

    Attributes:
        layer: name of the unit's layer.
        unit: number of the unit.
        index: index of the image in the dataset; None if the dataset at hand does not have it.
        activation: activation of the unit at the position, before the ReLU.
        label: label of the image, a whole number or a text; None where there is none.
        name: name of the image: a file's name relative to its folder, or "image 17".
        position: (row, column) on the layer's feature map.
        field: how the receptive field was found: ``"exact"``, ``"measured"`` or ``"whole"``, see ``FieldMap``.
        size: (width, height) of the image as it is stored.
    """

    layer: str
    unit: int
    index: int | None
    activation: float
    label: Label
    name: str
    position: tuple[int, int]
    field: str
    size: tuple[int, int]
    _field_box: FieldBox | None = field(repr=False)
    _example_index: ExampleIndex = field(repr=False, compare=False)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The position's receptive field, (left, top, right, bottom) in pixels of the image as it is stored.

        Behind a function that looks elsewhere (a flip, attention, a deformable convolution) it is measured on this
        image when it is first asked for, by one forward and one backward. Where that is not possible (the image or the
        model is gone), it is the whole input, with a warning.
        """
        return self._example_index.preparer.placement(self.size).box(self.input_box, self.size)

    @property
    def input_box(self) -> tuple[float, float, float, float]:
        """The same box in pixels of the network's input, not rounded."""
        return (self._field_box or self._measured()).box

    @property
    def clipped(self) -> bool:
        """Whether the receptive field reaches past the border of the input (into zero padding, mostly)."""
        return self._field_box is not None and self._field_box.clipped

    @property
    def box_known(self) -> bool:
        """Whether ``box`` is known without running the model: it follows from the position, or was asked for before."""
        return self._field_box is not None or self._example_index.focuses.known_box(self._key) is not None

    def _measured(self) -> FieldBox:
        try:
            return self._example_index.focuses.box(self._key, lambda network: _measure(network, self))
        except PeekError as error:
            warn(
                f"The receptive field of {self.layer!r} has to be measured on each image, which was not possible on "
                f"{self.name!r}: crop.box is the whole of what the network sees of it. {error}",
                FieldWarning,
            )
        return self._example_index.fields[self.layer].whole

    @property
    def label_name(self) -> str | None:
        """Name of the label, where the dataset says what its numbers mean; else the label as text.

        One of ImageNet's WordNet numbers (``n02102318``) is the name of its class.
        """
        names = self._example_index.class_names
        if isinstance(self.label, int) and 0 <= self.label < len(names):
            return names[self.label]
        return None if self.label is None else synset_name(str(self.label))

    @property
    def map_box(self) -> tuple[float, float, float, float]:
        """Part of the image that the layer's whole feature map covers: (left, top, right, bottom) in its pixels."""
        field_map = self._example_index.fields[self.layer]
        left, top, right, bottom = field_map.covered
        placement = self._example_index.preparer.placement(self.size)
        (across, down), x, y = placement.scale, placement.left, placement.top
        return (left + x) * across, (top + y) * down, (right + x) * across, (bottom + y) * down

    @property
    def in_place(self) -> bool:
        """Whether positions look where they are on the map, so that the map can be laid over the image (``map_box``).

        It does wherever the field follows from the layers; behind a flip, say, it does not.
        """
        return self._example_index.fields[self.layer].in_place

    @property
    def focus(self) -> tuple[int, int, int, int]:
        """The part of the image that has influence: (left, top, right, bottom) in its pixels, as ``box``.

        ``box`` is the receptive field, which *can* have influence; in a deep network it is often the whole image. The
        focus is the smallest box that holds 95 % of the energy (the squared gradient) of the unit's activation at this
        position on this image, see :mod:`peek_widget.network.receptive_field.effective`. One forward and one backward
        when it is first asked for, none later. Where the gradient is zero, it is ``box``, with a warning.

        Raises:
            DatasetError: if the image can't be read any more.
            EvidenceStoreError: if the model's weights have changed since the pass.
            PeekError: if the model is not available, since the evidence was loaded from a file; say which it is with
                ``evidence.attach(dataset, model=model)``.
        """
        field = self._example_index.focuses.compute(self._key, lambda network: _find_focus(network, self))
        found = self.focus_of(field)
        if found is None:
            warn(
                f"Unit {self.unit} of {self.layer!r} has no gradient at this position of {self.name!r}: crop.focus is "
                "the whole receptive field.",
                FieldWarning,
            )
        return found or self.box

    @property
    def known_focus(self) -> EffectiveField | None:
        """The effective field that ``focus`` comes from, if it was computed before; None if not."""
        return self._example_index.focuses.known(self._key)

    def focus_of(self, field: EffectiveField) -> tuple[int, int, int, int] | None:
        """Convert an effective field from :func:`find_focus` to pixels of the image; None if it has no box."""
        if field.box is None:
            return None
        return self._example_index.preparer.placement(self.size).box(field.box, self.size)

    @property
    def wide(self) -> bool:
        """Whether the receptive field covers more than 60 % of the network's input, so that ``box`` says little.

        Also where it has to be measured on each image.
        """
        field_map = self._example_index.fields[self.layer]
        return field_map.by_position or field_map.share > WIDE

    @property
    def _key(self) -> tuple[str, int, str, tuple[int, int]]:
        return self.layer, self.unit, self.name, self.position

    @property
    def image(self) -> Image.Image:
        """The patch: the receptive field, cut from the image in the resolution in which it is stored.

        Raises:
            DatasetError: if the image can't be read any more.
        """
        return self.whole().crop(self.box)

    @property
    def tensor(self) -> Tensor:
        """The patch (``image``) as a float32 tensor ``[C, h, w]`` in [0, 1]."""
        array = np.array(self.image)
        pixels = torch.from_numpy(array[..., None] if array.ndim == 2 else array)
        return pixels.permute(2, 0, 1).float().div(255.0)

    def resized(self, size: int) -> Image.Image:
        """Return the patch (``image``) with its longer side ``size`` pixels long."""
        return _resized(self.image, size)

    def focused(self, size: int | None = None) -> Image.Image:
        """Return the focus, cut from the image as it is stored.

        Args:
            size: longer side in pixels to resize to; left out, its own.

        Raises:
            PeekError: see ``focus``.
        """
        return _resized(self.whole().crop(self.focus), size)

    def boxed(
        self,
        size: int | None = None,
        color: str = "#ff3b30",
        *,
        box: tuple[float, float, float, float] | None = None,
    ) -> Image.Image:
        """Return the whole image with the receptive field outlined.

        Args:
            size: longer side in pixels to resize to; left out, the image's own.
            color: color of the outline, any that Pillow knows.
            box: what is outlined instead, in pixels of the image: ``crop.boxed(box=crop.focus)``.
        """
        image = self.whole().convert("RGB")
        full = image.size
        image = _resized(image, size)
        x, y = image.width / full[0], image.height / full[1]
        left, top, right, bottom = box or self.box
        width = max(1, round(max(image.size) / 100))
        draw = ImageDraw.Draw(image)
        corners = [left * x, top * y, max(left * x, right * x - 1), max(top * y, bottom * y - 1)]
        draw.rectangle(corners, outline=color, width=width)
        return image

    def whole(self) -> Image.Image:
        """Return the whole image as it is stored (RGB, or L for one channel).

        Raises:
            DatasetError: if it can't be read any more.
        """
        image = self._load()
        try:
            return to_picture(image, self._example_index.preparer)
        except UnreadableError as error:
            raise DatasetError(f"{self.name!r} can't be shown: {error}.") from error

    def input(self) -> Tensor:
        """Return the image as the network got it, float32 ``[C, H, W]`` in [0, 1] (``prepared`` data: as they are)."""
        preparer = self._example_index.preparer
        image = self._load(preparer.needed)
        try:
            pixels, _ = preparer(image)
        except UnreadableError as error:
            raise DatasetError(f"{self.name!r} can't be shown: {error}.") from error
        return pixels.float().div(255.0) if pixels.dtype == torch.uint8 else pixels

    def _load(self, needed: int | None = None) -> Any:
        source = self._example_index.source
        if source is None:
            raise DatasetError(
                f"The evidence was loaded from a file, which holds no images (it was {self._example_index.described}): "
                "say where they are with load_evidence(path, dataset=...) or evidence.attach(dataset)."
            )
        if self.index is None:
            raise DatasetError(
                f"{self.name!r} is not in {source.described}, so it can't be shown: give the dataset "
                "that the pass was made over."
            )
        try:
            image, _, _ = source.load(self.index, needed)
        except UnreadableError as error:
            raise DatasetError(f"{self.name!r} could be read during the pass, but no longer can: {error}.") from error
        return image


def _resized(image: Image.Image, size: int | None) -> Image.Image:
    if size is None or max(image.size) == size:
        return image
    scale = size / max(image.size)
    target = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    how = Image.Resampling.NEAREST if max(image.size) < _FEW_PIXELS else Image.Resampling.BICUBIC
    return image.resize(target, how)


@torch.inference_mode()
def activation_map(network: Network, crop: Crop) -> Tensor:
    """Compute the unit's activation at every position of its map on the crop's image, ``[h, w]`` float32 on the CPU.

    Args:
        network: the model that the pass was made with, as ``peek_widget.network.read`` gives it.
        crop: the example that says which layer, unit and image; its activation is ``map[crop.position]``.
    """
    image = crop.input()[None].to(network.model_copy.device)
    image = image if crop._example_index.preparer.prepared else network.preprocess(image)
    values = network.run(image, [crop.layer])[crop.layer]
    return (values[0, crop.unit] if values.ndim == 4 else values[0, crop.unit][None, None]).float().cpu()


def find_focus(network: Network, crop: Crop) -> EffectiveField:
    """Find where in a crop's image the unit has its gradient, in pixels of the network's input.

    ``crop.focus`` is the same in pixels of the image, where the evidence knows its model. What was found is kept with
    the evidence, so that the second call costs nothing.

    Args:
        network: the model that the pass was made with, as ``peek_widget.network.read`` gives it.
        crop: the example that says which layer, unit, image and position.

    Raises:
        DatasetError: if the image can't be read any more.
        LayerError, UnitError: if the network has no such layer or unit.
        EvidenceStoreError: if it is another network than the pass was made with, or its weights have changed.
    """
    focuses = crop._example_index.focuses
    found = focuses.known(crop._key)
    if found is None:
        found = _find_focus(network, crop)
        focuses.keep(crop._key, found)
    return found


def _find_focus(network: Network, crop: Crop) -> EffectiveField:
    preparer, index = crop._example_index.preparer, crop._example_index.layers[crop.layer]
    network.check_unit(crop.layer, crop.unit)
    mine, theirs = (network.channels, network.layer(crop.layer).size), (preparer.channels, index.size)
    if mine != theirs:
        raise EvidenceStoreError(
            f"The crop is of a network whose images have {theirs[0]} channels and whose layer {crop.layer!r} has a map "
            f"of {theirs[1][0]} x {theirs[1][1]} positions; this one has {mine[0]} and {mine[1][0]} x {mine[1][1]}: "
            "give the network that the pass was made with, read with the same input_size."
        )
    position = crop.position if network.layer(crop.layer).spatial else None
    field = effective_field(network, crop.layer, crop.unit, crop.input(), position, preprocessed=preparer.prepared)
    with crop._example_index.lock:
        spread = float(index.top.value[crop.unit, 0] - index.bottom.value[crop.unit, 0])
    if abs(field.activation - crop.activation) > _SAME * max(abs(field.activation), abs(crop.activation), spread):
        raise EvidenceStoreError(
            f"In the pass the activation of unit {crop.unit} of {crop.layer!r} on {crop.name!r} was "
            f"{crop.activation:.4g}, and with this network it is {field.activation:.4g}: it is another network, or "
            "its weights or preprocessing have changed. Gather the evidence again with top_crops."
        )
    return field


def _measure(network: Network, crop: Crop) -> FieldBox:
    """Measure the receptive field of a crop on its image; on noise where its gradient is zero."""
    prepared = crop._example_index.preparer.prepared
    found = field_on(network, crop.layer, crop.unit, crop.input(), crop.position, preprocessed=prepared)
    if found is not None:
        return found
    layer = network.layer(crop.layer)
    return field_map(network, layer).field_box(crop.position[0] * layer.size[1] + crop.position[1])

"""A reader of photos: the network is read once, then each photo takes one forward."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from peek_widget._size import SizeLike
from peek_widget.errors import EvidenceStoreError, PeekError, PhotoError
from peek_widget.evidence import Evidence, LayerEvidence
from peek_widget.evidence.activations import layer_names, own_network, run_batch
from peek_widget.evidence.items import Items
from peek_widget.evidence.prepare import Preparer, resize_of, to_picture
from peek_widget.evidence.source import UnreadableError
from peek_widget.evidence.value_range import ValueRanges, check_range
from peek_widget.network import OUTPUT, ModelCopy, Network, Preprocess, PreprocessFunction
from peek_widget.network.receptive_field.field_map import FieldMap, field_map
from peek_widget.photo.look import Look
from peek_widget.photo.predictions import class_names_of, predict

__all__ = ["PhotoReader", "Tagged", "look_at"]

Tagged = Mapping[str, Mapping[Any, Sequence[str]]]
"""Tags by layer and unit, as ``explorer.tags`` has them."""


class PhotoReader:
    """Looks at photos with one network; what is the same for all photos is found once.

    Args:
        network: the model. One thread at a time runs it; looks of one reader may be used in several.
        layers: names of the layers.
        evidence: what passes over real images have found, by layer; layers may be missing. A photo is prepared as
            their images were.
        class_names: names of the output's units; left out, ``model.class_names``.
        tags: tags of units.
        value_range: see :class:`~peek_widget.LoaderOptions`.

    Attributes:
        network: as above.
        layers: as above.

    Raises:
        EvidenceStoreError: if the evidence was gathered at another input size, or from images with other channels.
        LayerError, PhotoError: if there is no such layer, or the names do not fit.
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[str],
        evidence: Mapping[str, LayerEvidence] | None = None,
        *,
        class_names: Iterable[str] | None = None,
        tags: Tagged | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.network: Network = network
        self.layers: tuple[str, ...] = tuple(layers)
        self._fields: dict[str, FieldMap] = {}
        # runs the forwards: None for the network itself, or a replica, which is made when it is needed
        self._replica: Network | None = None
        self._detached = False
        self._running = threading.RLock()
        self._evidence = dict(evidence or {})
        self._class_names = class_names_of(network, class_names)
        self._tags: Tagged = tags or {}
        self._value_range = check_range(value_range)
        for name, found in self._evidence.items():
            self._check(name, found)

    def _check(self, name: str, found: LayerEvidence) -> None:
        index, network = found._example_index, self.network
        mine = (network.channels, network.size, network.layer(name).channels)
        theirs = (index.preparer.channels, index.preparer.size, len(found))
        if mine != theirs:
            raise EvidenceStoreError(
                f"The evidence of {name!r} is of {theirs[2]} units and images of {theirs[0]} channels and {theirs[1]} "
                f"px, and the model of {mine[2]}, for images of {mine[0]} channels and {mine[1]} px: gather "
                "it with this model, or read the model with the same input_size."
            )

    def field(self, name: str) -> FieldMap:
        """Return the receptive fields of a layer; where they don't follow from the layers, they are measured once."""
        if name not in self._fields:
            found = self._evidence.get(name)
            known = None if found is None else found._example_index.fields[name]
            # A field that is measured position by position needs the network, which a pass does not keep.
            usable = known is not None and not known.by_position
            self._fields[name] = known if usable else self._measured(name)
        return self._fields[name]

    def _measured(self, name: str) -> FieldMap:
        with self._running:
            network = self._own()
            return field_map(network, network.layer(name))

    def _own(self) -> Network:
        """Return the network to run; call it with the lock held."""
        if not self._detached:
            return self.network
        if self._replica is None or self._replica.model_copy.stale():
            self._replica = self.network.replica()
        return self._replica

    def detached(self) -> PhotoReader:
        """Return a reader of the same photos that runs a replica of the network, for another thread."""
        made = copy.copy(self)
        made._detached, made._replica, made._running = True, None, threading.RLock()
        made._fields = dict(self._fields)
        return made

    def covered(self, name: str) -> tuple[tuple[float, float, float, float], bool]:
        """Return the part of the input that a layer's map covers, and whether its positions see where they lie.

        Both follow from the centers of the receptive fields where these follow from the layers; nothing is measured
        then.
        """
        traced, (rows, columns) = self.network.layer(name).traced, self.network.layer(name).size
        if traced is not None and traced.rows is not None and traced.columns is not None and not traced.moved:
            down, across = traced.rows, traced.columns
            if (len(down), len(across)) == (rows, columns):
                top, left = down.start - down.step / 2 + 0.5, across.start - across.step / 2 + 0.5
                return (left, top, left + columns * across.step, top + rows * down.step), True
        field = self.field(name)
        return field.covered, field.in_place

    def layer_evidence(self, name: str) -> LayerEvidence | None:
        """Return what a pass has found about a layer; None without a pass."""
        return self._evidence.get(name)

    def known_of(self, name: str, unit: int) -> tuple[str, tuple[str, ...]]:
        """Return the name of a unit's class, else the label of its best real image; and its tags."""
        by_unit = self._tags.get(name, {})
        tags = tuple(by_unit.get(unit, ()) or by_unit.get(str(unit), ()))
        if name == OUTPUT and self._class_names:
            return self._class_names[unit], tags
        found = self._evidence.get(name)
        top = found[unit].top if found is not None else ()
        return (top[0].label_name or "" if top else ""), tags

    @functools.cached_property
    def preparer(self) -> Preparer:
        """The preparer of photos: that of the evidence, else the one that a pass with this model would use."""
        for found in self._evidence.values():
            preparer = found._example_index.preparer
            if not preparer.prepared:
                return preparer
        network, ranges = self.network, ValueRanges(self._value_range)
        resize, preprocess = resize_of(network), network.preprocess
        return Preparer(network.channels, network.size, resize, False, preprocess, ranges, preprocess.show)

    def look(self, image: Any) -> Look:
        """Look at a photo.

        Args:
            image: a PIL image, a file's name or its bytes, an array ``[H, W]`` or ``[H, W, C]``, or a tensor
                ``[C, H, W]`` in [0, 1].

        Raises:
            PhotoError: if it is not an image that can be read, or not one that the network can take.
            ModelError: if the model's forward raises.
        """
        preparer = self.preparer
        try:
            # A pass reads a list of images with Items: the pixels are the same, to the last bit.
            item = Items([image]).item(0, preparer.needed)
            pixels, size = preparer(item.image)
            picture = to_picture(item.image, preparer)
        except UnreadableError as error:
            raise PhotoError(f"The photo can't be looked at: {error}.") from error
        size = item.size or size
        remarks = [*preparer.ranges.remarks]
        assumed = preparer.assumed(item.image)
        if assumed:
            remarks.append(f"It is one of those that {assumed}.")
        if any(found._example_index.preparer.prepared for found in self._evidence.values()):
            remarks.append(
                "The images of the evidence came prepared, by a way that is not known; the photo was prepared as the "
                "model's preprocessing says, so that percentiles may be off."
            )
        shown = pixels.float().div(255.0) if pixels.dtype == torch.uint8 else pixels.float()
        # With the channels last, as a pass has them.
        batch = pixels.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
        return self._look(batch, shown.contiguous(), picture, size, tuple(remarks))

    def look_again(self, before: Look, pixels: Tensor, layers: Sequence[str] | None = None) -> Look:
        """Look at other pixels ``[C, S, S]`` in [0, 1] in place of those of a photo; only at ``layers``, if given."""
        return self._look(pixels[None], pixels, before.image, before.size, before.remarks, layers)

    @torch.inference_mode()
    def _look(
        self,
        batch: Tensor,
        pixels: Tensor,
        picture: Image.Image,
        size: tuple[int, int],
        remarks: tuple[str, ...],
        layers: Sequence[str] | None = None,
    ) -> Look:
        names = self.layers if layers is None else tuple(dict.fromkeys(layers))
        with self._running:
            network = self._own()
            images = batch.to(network.model_copy.device)
            images = images.float().div(255.0) if images.dtype == torch.uint8 else images
            values = run_batch(network, batch, dict.fromkeys([*names, OUTPUT]))
            predictions = predict(network, network.preprocess(images), values[OUTPUT], self._class_names)
        kept = {name: values[name] for name in names}
        placement = self.preparer.placement(size)
        return Look(picture, size, pixels, predictions, names, remarks, self, kept, placement)


def look_at(
    model: nn.Module | ModelCopy | Network,
    image: Any,
    layers: str | nn.Module | Iterable[str | nn.Module] | None = None,
    evidence: Evidence | LayerEvidence | Mapping[str, LayerEvidence] | None = None,
    *,
    class_names: Iterable[str] | None = None,
    tags: Tagged | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    input_size: SizeLike | None = None,
    device: str | torch.device | None = None,
    value_range: tuple[float, float] | None = None,
) -> Look:
    """Look at a photo with a network: what it takes it for, which units fire unusually on it, and where.

    >>> look = look_at(model, "dog.jpg", evidence=top_crops(model, "features.12", "photos"))
    >>> print(look.predictions)
    >>> look.table                                   # the most unusual units of each layer
    >>> look.map("features.12", 33).overlay()        # where that unit fires, over the photo
    >>> look.at("features.12", y=120, x=80)          # the units that fire at that place
    >>> look.without((0, 0, 100, 100), how="blur")   # the same, with that corner blurred

    Units that fire *unusually* are not those that fire most: some units have high activations on every photo. With
    evidence each is compared with its own activations on real images; without, with the rest of its map on this photo
    and with the other units of the layer, see :class:`~peek_widget.photo.Firing`. One forward computes all layers.

    Args:
        model: any Module with a forward of one batch of images; it is neither run nor changed.
        image: a PIL image, a file's name or its bytes, an array ``[H, W]`` or ``[H, W, C]``, or a tensor ``[C, H, W]``
            in [0, 1]. It is prepared as the images of a pass are (:func:`top_crops`), bit for bit: upright, its shorter
            side resized to the network's input size, its center cut out.
        layers: layers to look at, by name or as modules; left out, those of the evidence, else all that have units of
            their own.
        evidence: what :func:`top_crops` returned, or was loaded from its file, for some of the layers.
        class_names: names of the model's classes; left out, ``model.class_names``.
        tags: tags of units by layer, as ``explorer.tags``.
        preprocess, input_size, device: see :func:`peek_widget.network.read`.
        value_range: the numbers that are black and white in images of more than 8 bits, see
            :class:`~peek_widget.LoaderOptions`.

    Raises:
        PhotoError: if it is not an image that can be read, or not one that the network can take.
        LayerError: if there is no such layer.
        EvidenceStoreError: if the evidence was gathered with other weights.
        ModelError: if the model can't be read, or its forward raises.
    """
    found = {evidence.name: evidence} if isinstance(evidence, LayerEvidence) else {} if evidence is None else evidence
    if not isinstance(found, Mapping) or any(not isinstance(one, LayerEvidence) for one in found.values()):
        raise PeekError(
            f"evidence= is a {type(evidence).__name__}: give what top_crops(...) returned, or load_evidence(path) for "
            "a file."
        )
    network = own_network(model, input_size, preprocess, device)
    for one in list(found.values())[:1]:
        one.check_model(network)
    found = {network.layer(name).name: one for name, one in found.items()}
    if layers is not None:
        names = tuple(network.layer(name).name for name in layer_names(network, layers))
    else:
        names = tuple(found) or tuple(layer.name for layer in network.layers if layer.primary)
    found = {name: one for name, one in found.items() if name in names}
    reader = PhotoReader(
        network, tuple(dict.fromkeys(names)), found, class_names=class_names, tags=tags, value_range=value_range
    )
    return reader.look(image)

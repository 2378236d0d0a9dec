"""A model as the rest of the package sees it: named layers to run, and what the model expects of its images."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, SupportsIndex

import torch
from torch import Tensor, nn

from peek_widget._size import Size, SizeLike
from peek_widget._threads import computing_on
from peek_widget.errors import LayerError, PeekError, UnitError
from peek_widget.network.findings import Findings, Known
from peek_widget.network.layers import Layer
from peek_widget.network.model_copy import ModelCopy
from peek_widget.network.preprocess import Preprocess, PreprocessFunction
from peek_widget.network.published import torchvision_name

__all__ = ["Network"]

_WORTH_CUTTING = 0.9  # share of the image's height and width above which cutting out a part saves too little


@dataclass(frozen=True)
class Network:
    """A model that was read by :func:`read`.

    Attributes:
        model_copy: the structural copy that is run in place of the user's model.
        layers: all layers that have units, in call order; the last is the model's output.
        channels: number of channels of the input image.
        size: (height, width) of the image that the model was read with: its own where that is known.
        preprocess: what an image in [0, 1] goes through before it is given to the model.
        paddings: modules that are not layers because they only pad their input, each with the name of the layer whose
            map they pad; None where that is not a layer's (the image, say).
        findings: what the probe of the model has found, see :mod:`peek_widget.network.probe`.
    """

    model_copy: ModelCopy
    layers: tuple[Layer, ...]
    channels: int
    size: Size
    preprocess: Preprocess
    paddings: Mapping[str, str | None] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)

    def __repr__(self) -> str:
        return (
            f"Network({type(self.model_copy.original).__name__}: {len(self.layers)} layers, {self.channels} channels, "
            f"{self.size} px, preprocess: {self.preprocess}; probe: {self.findings})"
        )

    @property
    def input_size(self) -> SizeLike:
        """Size of the image that the model was read with: the side of a square in pixels, else (height, width)."""
        return self.size.plain

    @property
    def one_at_a_time(self) -> bool:
        """Whether images are given to the model one at a time, since it is random or depends on the batch."""
        return self.findings.one_at_a_time or (self.model_copy.draws.random and not self.findings.probed)

    @property
    def known(self) -> Known:
        """What was found out about the model by trying; it holds nothing of the model itself."""
        model_copy = self.model_copy
        draws, hooks = model_copy.draws, tuple(replace(one) for one in model_copy.hooks.all)
        return Known(
            hooks,
            draws.random,
            draws.by_global_state,
            model_copy.writes_parameters,
            model_copy.structure,
            self.findings,
        )

    def replica(
        self,
        *,
        input_size: SizeLike | None = None,
        preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
        device: str | torch.device | None = None,
    ) -> Network:
        """Read the same model again, for use in another thread.

        A network is run by one thread at a time. A replica has a copy of the structure of its own and shares the
        weights with the user's model (as this one does), except on another device than the model's.

        Args:
            input_size, preprocess, device: as for :func:`read`; those left out are this network's.
        """
        # imported here: it imports this module
        from peek_widget.network.reading import read_again

        found = read_again(
            self.known,
            self.model_copy.original,
            self.input_size if input_size is None else input_size,
            self.preprocess if preprocess is None else preprocess,
            self.model_copy.device if device is None else device,
        )
        if found.model_copy.device == self.model_copy.device:
            # of a forward that fails in channels_last, or that was found to be quicker so
            found.model_copy.memory_format = self.model_copy.memory_format
        return found

    def run(self, images: Tensor, names: Iterable[str], seeds: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Compute the activations of the named layers before their last ReLUs.

        Args:
            images: ``[N, C, H, W]``, already preprocessed, on the network's device.
            names: names of the layers; nothing past the last of them is computed.
            seeds: for each image the seed of the random numbers that the forward draws, if it draws any; left out, 0
                for all, so that an image gives the same whatever was computed before.

        Returns:
            for each name ``[N, C, H, W]`` (or ``[N, C]`` for a vector), float32.

        Raises:
            LayerError: if there is no such layer.
            ModelError: if the model's forward raised; the cause is chained.
        """
        found = {name: self.layer(name) for name in names}
        with computing_on():
            return self._run_all(images, found, seeds)

    def _run_all(self, images: Tensor, found: Mapping[str, Layer], seeds: Sequence[int] | None) -> dict[str, Tensor]:
        if self.one_at_a_time and len(images) > 1:
            seeds = [0] * len(images) if seeds is None else seeds
            each = [self._run(one[None], found, seed) for one, seed in zip(images, seeds, strict=True)]
            return {name: torch.cat([values[name] for values in each]) for name in found}
        return self._run(images, found, seeds[0] if seeds else 0)

    def _run(self, images: Tensor, found: Mapping[str, Layer], seed: int) -> dict[str, Tensor]:
        preactivations = {layer.output: layer.preactivation for layer in found.values()}
        values = self.model_copy.run(images, preactivations, preactivations, seed)
        return {name: layer.layout(values[layer.output], tuple(images.shape)) for name, layer in found.items()}

    def layer(self, name: str | nn.Module) -> Layer:
        """Find a layer by its name, or by the module of the user's model that it is.

        Args:
            name: as it is listed in ``layers``, or any other name of the module in the user's own model. The names of
                GoogLeNet's Caffe model (``inception_4c/output``) stand for torchvision's layers. A module (of
                ``model.modules()``) stands for its first call in the forward.

        Raises:
            LayerError: if there is none, with similar names; if the forward never runs it, or it only pads its input.
        """
        by_name = self._by_name
        if isinstance(name, nn.Module):
            return self._layer_of_module(name)
        if not isinstance(name, str):
            raise LayerError(
                "A layer is named by a string, as in named_modules(), or is given as a module of the model; "
                f"{type(name).__name__} was given."
            )
        if name in by_name:
            return by_name[name]
        resolved = self.model_copy.resolve(name)
        if resolved is None and "inception3a" in by_name:
            resolved = torchvision_name(name)
        if resolved in by_name:
            return by_name[resolved]
        if resolved is not None and ("@" not in resolved or resolved in self.paddings):
            raise self._not_listed(name, resolved)
        raise LayerError(f"The model has no layer {name!r}; {self._similar(name)}")

    def _layer_of_module(self, module: nn.Module) -> Layer:
        name = self.model_copy.name_of(module)
        if name is None:
            raise LayerError(
                f"The {type(module).__name__} given as a layer is not a module of this model: give one of "
                f"model.modules(), or a name, such as {', '.join(list(self._by_name)[:4])}; layers(model) lists "
                f"all {len(self._by_name)}."
            )
        if name not in self._by_name:
            raise self._not_listed(name, name)
        return self._by_name[name]

    def _not_listed(self, name: str, found: str) -> LayerError:
        """Return why a module of the model is not a layer.

        Args:
            name: the name that was given for it.
            found: its name in the model.
        """
        if found in self.paddings:
            before = self.paddings[found]
            what, instead = "what it is given", f"name another; {self._similar(name)}"
            if before is not None:
                what, instead = f"the map of {before!r}, the layer before it", f"name {before!r} instead."
            return LayerError(f"{name!r} is not a layer with units of its own, it only pads {what}: {instead}")
        return LayerError(
            f"The layer {name!r} is in the model, but has no units that can be drawn: its forward never runs it, "
            f"or it returns no map and no vector; {self._similar(name)}"
        )

    def _similar(self, name: str) -> str:
        like = self.model_copy.without_wrappers(name)
        near = difflib.get_close_matches(like, self._by_name, n=4, cutoff=0.4) or [n for n in self._by_name if n][:4]
        return f"near names: {', '.join(near)}; layers(model) lists all {len(self._by_name)}."

    @functools.cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def check_unit(self, name: str | nn.Module, unit: int) -> None:
        """Raise UnitError if the layer does not have that unit (LayerError if there is no such layer)."""
        layer = self.layer(name)
        channels = layer.channels
        if isinstance(unit, bool) or not isinstance(unit, SupportsIndex):
            raise UnitError(f"A unit is a whole number from 0 to {channels - 1}; {unit!r} was given.")
        if not 0 <= unit < channels:
            shown = name if isinstance(name, str) else layer.name
            where = f"Layer {shown!r}" if shown else "The model's output"
            raise UnitError(f"{where} has {channels} units, numbered 0 to {channels - 1}; unit {unit} was asked for.")

    # -- sizes that a layer can be computed at, found by trial

    def fixed(self, name: str) -> bool:
        """Return whether the layer can't be computed from images of any size, but only of ``input_size``.

        Tried at another size, which is one pixel less than a multiple of 32: decoders that join maps of several sizes
        often take multiples only, and get images of ``input_size``, too.
        """
        index = self.layer(name).index
        # Where a layer runs at another size, all before it do; where it does not, none behind it does.
        for tried, is_fixed in self._fixed.items():
            if tried <= index if is_fixed else tried >= index:
                return is_fixed
        self._fixed[index] = not self.runs_at(name, Size(self.size.height + 31, self.size.width + 31))
        return self._fixed[index]

    @functools.cached_property
    def _fixed(self) -> dict[int, bool]:
        return {}

    def runs_at(self, name: str, size: SizeLike) -> bool:
        """Return whether the layer can be computed from an image of that size."""
        return self.map_size(name, size) is not None

    def map_size(self, name: str, size: SizeLike) -> tuple[int, ...] | None:
        """Return the size of the layer's map for an image of that size in pixels.

        Found by running the layer, once for each size.

        Returns:
            rows and columns; nothing for a vector. None if the layer can't be computed from such an image.
        """
        key = self.layer(name).name, Size.of(size)
        if key not in self._map_sizes:
            probe = torch.zeros(1, self.channels, *key[1], device=self.model_copy.device, dtype=torch.float32)
            try:
                with torch.no_grad():
                    value = self.run(self.preprocess(probe), [name])[name]
            except (PeekError, RuntimeError, ValueError):
                return None  # not cached: memory may have run out
            if value.numel() == 0:
                return None
            self._map_sizes[key] = tuple(value.shape[2:])
        return self._map_sizes[key]

    @functools.cached_property
    def _map_sizes(self) -> dict[tuple[str, Size], tuple[int, ...]]:
        return {}

    def minimum(self, name: str, shape: Size | None = None) -> Size:
        """Return the smallest size of a shape at which the layer can be computed, by bisection.

        Args:
            name: the layer's name.
            shape: the largest size that is needed; None for the input size.
        """
        shape = self.size if shape is None else shape
        low, high = 1, math.ceil(shape.side)
        while low < high:
            middle = (low + high) // 2
            if self.runs_at(name, shape.of_side(middle)):
                high = middle
            else:
                low = middle + 1
        return shape if high >= shape.side else shape.of_side(high)

    # -- the part of an image that the center of a feature map depends on

    def middle_part(self, name: str, size: SizeLike) -> tuple[int, int, int, int] | None:
        """Return the part of an image that alone determines the units at the center of a layer's map.

        It is the receptive field of the center with two strides of margin on each axis, so that padding at the part's
        border does not reach the center. Checked by running the layer on the part and on the whole image.

        Args:
            name: the layer's name.
            size: size of the image in pixels.

        Returns:
            first row, first column, height and width of the part: the center of its map is that of the whole
            image's map. None where it would be nearly the whole image, or the check failed.
        """
        key = self.layer(name).name, Size.of(size)
        if key not in self._parts:
            self._parts[key] = self._find_part(self.layer(name), key[1])
        return self._parts[key]

    @functools.cached_property
    def effective_sides(self) -> dict[str, tuple[int, float | None]]:
        """What :func:`~peek_widget.network.receptive_field.effective.effective_side` has found, by layer: the version
        of the weights, and the side."""
        return {}

    @property
    def of_imagenet(self) -> bool:
        """Whether the output is taken for ImageNet's classes: it is 1000 scores, of images with three channels."""
        output = self.layers[-1]
        return self.channels == 3 and not output.spatial and output.channels == 1000

    @functools.cached_property
    def weight_noises(self) -> dict[SizeLike, tuple[int, float]]:
        """What :func:`~peek_widget.network.weight_noise.noise_of_weights` has found, by size: the version of the
        weights, and the noise."""
        return {}

    @functools.cached_property
    def _parts(self) -> dict[tuple[str, Size], tuple[int, int, int, int] | None]:
        return {}

    def _find_part(self, layer: Layer, size: Size) -> tuple[int, int, int, int] | None:
        side = max(layer.receptive_field) + math.ceil(2 * max(layer.stride))
        if layer.global_field or not layer.spatial or all(side > _WORTH_CUTTING * whole for whole in size):
            return None
        height, width = min(side, size.height), min(side, size.width)
        draws = torch.Generator().manual_seed(0)
        shape = (1, self.channels, *size)
        image = torch.rand(shape, generator=draws, dtype=torch.float32, device="cpu").to(self.model_copy.device)

        def run(part: Tensor) -> Tensor:
            with torch.no_grad():
                return self.run(self.preprocess(part), [layer.name])[layer.name]

        try:
            whole, part = run(image), run(image[:, :, :height, :width])
            centers = [[(positions - 1) // 2 for positions in one.shape[2:]] for one in (whole, part)]
            places = [(a - b) * step for a, b, step in zip(*centers, layer.stride, strict=True)]
            ends = (size.height - height, size.width - width)
            if any(place != int(place) or not 0 <= place <= end for place, end in zip(places, ends, strict=True)):
                return None  # (if the map is larger than the image, its center may lie between two pixels)
            top, left = map(int, places)
            part = run(image[:, :, top : top + height, left : left + width])
        except (PeekError, RuntimeError, ValueError):
            return None
        ours, theirs = (one[0, :, y, x] for one, (y, x) in zip((part, whole), reversed(centers), strict=True))
        same = bool((ours - theirs).abs().max() <= 1e-4 * theirs.abs().max())
        return (top, left, height, width) if same else None

"""The texture of a given image, as an objective."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from peek_widget.ascent.base import Activations, Objective, layer_words
from peek_widget.ascent.diversity import gram
from peek_widget.ascent.pictures import as_picture, fitted, in_channels
from peek_widget.errors import PeekError
from peek_widget.network import Network
from peek_widget.network.context import undisturbed

__all__ = ["Style"]


class Style(Objective):
    """How near a picture's texture is to an image's: 0 where it is the same, and below 0 elsewhere.

    For each layer the Gram matrices G of the picture's activations and T of the image's (means over places of the
    products of any two units), and of all layers the mean of ``-|G - T|² / |T|²`` (squares summed over the matrix):
    -1 is as far off as a picture without any activation. Gatys, Ecker & Bethge 2015, "Texture Synthesis Using
    Convolutional Neural Networks", whose layers have weights of their own instead, and with activations before the
    last ReLU. It sees the whole picture; the image is cut to its middle square and resized to the model's input.
    Beside a unit it needs a weight of about what the unit reaches.

    Equal where layers and pixels are; it can't be written down as JSON, which keeps its words only.

    Args:
        layers: names as in ``named_modules()``; early ones hold grain and color, later ones larger forms.
        image: a PIL image, an array ``[H, W]`` or ``[H, W, C]``, or a tensor ``[C, H, W]`` in [0, 1].

    Raises:
        PeekError: if that is no list of names, or no image.
    """

    def __init__(self, layers: Sequence[str], image: Any) -> None:
        super().__init__(self._unbound, layers)
        self._picture = as_picture(image).clone()  # the caller may write into theirs
        content = repr(tuple(self._picture.shape)).encode() + self._picture.contiguous().numpy().tobytes()
        self._key = (self._layers, hashlib.sha256(content).digest())

    def check(self, network: Network) -> None:
        """Raise LayerError if there is no such layer, PeekError if the image has not the model's channels."""
        super().check(network)
        self._target(network.channels)

    def bind(self, network: Network) -> Objective:
        """The same with the image's Gram matrices on that network.

        Raises:
            PeekError: if the image gives a layer no activation at all, so that it has no texture there.
        """
        # Not in a caller's inference mode, or no gradient could go through what comes of it.
        with undisturbed(network.model_copy.device), torch.no_grad():
            picture = fitted(self._target(network.channels), network.input_size)[None].to(network.model_copy.device)
            found = network.run(network.preprocess(picture), self.layers)
            targets = {name: gram(values) for name, values in found.items()}
            for name, target in targets.items():
                size = float(target.square().sum())
                if not 0.0 < size < float("inf"):
                    what = "all 0" if size == 0.0 else "not finite"
                    raise PeekError(
                        f"The image's activations in {layer_words(name)} are {what}, so it has no texture there: "
                        "choose another layer, or another image."
                    )
            return _Bound(self, targets)

    def _target(self, channels: int) -> Tensor:
        return in_channels(self._picture, channels)

    def _unbound(self, activations: Activations) -> Tensor:
        raise PeekError("A Style knows its image's texture on a network only: call its bind(network) first.")

    def words(self) -> str:
        """For example ``the style of an image of 224 x 160 px in features.0 and features.3``."""
        height, width = self._picture.shape[-2:]
        return f"the style of an image of {width} x {height} px in {' and '.join(map(layer_words, self.layers))}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Style) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Style({list(self.layers)}, <{' x '.join(map(str, self._picture.shape))} image>)"


class _Bound(Objective):
    def __init__(self, style: Style, targets: dict[str, Tensor]) -> None:
        sizes = {name: target.square().sum() for name, target in targets.items()}

        def value(activations: Activations) -> Tensor:
            far = [(gram(activations[n]) - t).square().sum(dim=(1, 2)) / sizes[n] for n, t in targets.items()]
            return -torch.stack(far).mean(0)

        super().__init__(value, style.layers, style.words())

"""Objective: the texture of a given image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from peek_widget.ascent.diversity import gram
from peek_widget.ascent.objective_base import Activations, Objective, describe_layer
from peek_widget.ascent.pictures import Picture, as_picture, center_cut, match_channels
from peek_widget.errors import PeekError
from peek_widget.network import Network
from peek_widget.network.context import undisturbed

__all__ = ["Style"]


class Style(Objective):
    """Similarity of a picture's texture to that of an image: 0 where they are equal, negative elsewhere.

    It is the mean over the layers of ``-|G - T|² / |T|²`` (squared Frobenius norms), where G is the Gram matrix of the
    picture's activations and T that of the image's, see :func:`~peek_widget.ascent.diversity.gram`; a picture without
    any activation has -1. Gatys, Ecker & Bethge 2015, "Texture Synthesis Using Convolutional Neural Networks", who
    have one weight for each layer instead; here activations are read before the last ReLU.

    The whole picture counts; of the image the center in the shape of the model's input, resized to that. In a sum
    with a unit,
    give it a weight of about the activation that the unit reaches. Two styles are equal if their layers and pixels
    are. JSON keeps only the description.

    Args:
        layers: names as in ``named_modules()``; early layers capture fine texture and color, later ones larger forms.
        image: a PIL image, an array ``[H, W]`` or ``[H, W, C]``, or a tensor ``[C, H, W]`` in [0, 1].

    Raises:
        PeekError: if ``layers`` is not a list of names, or ``image`` not an image.
    """

    def __init__(self, layers: Sequence[str], image: Picture) -> None:
        super().__init__(self._unbound, layers)
        self._picture = as_picture(image).clone()  # the caller may change theirs
        content = repr(tuple(self._picture.shape)).encode() + self._picture.contiguous().numpy().tobytes()
        self._key = (self._layers, hashlib.sha256(content).digest())

    def check(self, network: Network) -> None:
        """Raise LayerError if a layer does not exist, PeekError if the image does not fit the model's channels."""
        super().check(network)
        match_channels(self._picture, network.channels)

    def bind(self, network: Network) -> Objective:
        """Return the objective with the image's Gram matrices computed on a network.

        Raises:
            PeekError: if the image's activations in a layer are all 0, or not finite.
        """
        # Outside the caller's inference mode, whose tensors autograd could not use.
        with undisturbed(network.model_copy.device), torch.no_grad():
            image = center_cut(match_channels(self._picture, network.channels), network.size)
            picture = image[None].to(network.model_copy.device)
            found = network.run(network.preprocess(picture), self.layers)
            targets = {name: gram(values) for name, values in found.items()}
            for name, target in targets.items():
                size = float(target.square().sum())
                if not 0.0 < size < float("inf"):
                    what = "all 0" if size == 0.0 else "not finite"
                    raise PeekError(
                        f"The image's activations in {describe_layer(name)} are {what}, so it has no texture there: "
                        "choose another layer or another image."
                    )
            return _Bound(self, targets)

    def _unbound(self, activations: Activations) -> Tensor:
        raise PeekError("A Style has the texture of its image only on a network: call bind(network) first.")

    def describe(self) -> str:
        """Describe the style, e.g. ``the style of an image of 224 x 160 px in features.0 and features.3``."""
        height, width = self._picture.shape[-2:]
        return f"the style of an image of {width} x {height} px in {' and '.join(map(describe_layer, self.layers))}"

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
            distances = [(gram(activations[n]) - t).square().sum(dim=(1, 2)) / sizes[n] for n, t in targets.items()]
            return -torch.stack(distances).mean(0)

        super().__init__(value, style.layers, style.describe())

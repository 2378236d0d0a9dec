"""What an ascent gives: a step, and its end."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image as PILImage
from torch import Tensor

from peek_widget.ascent import provenance as keep
from peek_widget.ascent.objective import Objective
from peek_widget.ascent.pictures import to_pil
from peek_widget.ascent.recipe import Recipe
from peek_widget.errors import PeekError
from peek_widget.network import Network
from peek_widget.network.fingerprint import fingerprint

__all__ = ["Origin", "Result", "Step"]


@dataclass(frozen=True)
class Step:
    """What one step made.

    Attributes:
        index: of the step, from 0.
        images: the pictures after it, float32 ``[N, C, S, S]`` in [0, 1] on the CPU, a copy.
        activations: ``[N]``: each objective's value before the ReLU, on what the network saw in this step (the
            pictures before it), mean over views.
        terms: for each objective, the value of each of its terms by its words, without its weight.
    """

    index: int
    images: Tensor
    activations: Tensor
    terms: tuple[Mapping[str, float], ...] = ()

    @property
    def image(self) -> Tensor:
        """The first picture, ``[C, S, S]``."""
        return self.images[0]

    @property
    def activation(self) -> float:
        """The first objective's value."""
        return float(self.activations[0])


@dataclass(frozen=True)
class Origin:
    """What a picture was made from: what is kept beside it in a file."""

    network: Network
    objectives: tuple[Objective, ...]
    recipe: Recipe
    seeds: tuple[int, ...]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the model as it is when first asked for."""
        return fingerprint(self.network)


@dataclass(frozen=True)
class Result:
    """The end of an ascent.

    Attributes:
        images: float32 ``[N, C, S, S]`` in [0, 1]; of a recipe that keeps the best, each picture's best.
        history: ``[steps, N]``: every step's activations.
        alpha: ``[N, 1, S, S]`` in [0, 1], where the gradients were; None unless the recipe asks for transparency.
        terms: the last step's, see :class:`Step`.
        interrupted: whether Ctrl-C ended it before its last step.
    """

    images: Tensor
    history: Tensor
    alpha: Tensor | None = None
    terms: tuple[Mapping[str, float], ...] = ()
    interrupted: bool = False
    origin: Origin | None = field(default=None, repr=False, compare=False)

    def pil(self, index: int = 0) -> PILImage.Image:
        """One of the pictures for Pillow, with its opacity where it has one."""
        return to_pil(self.images[index], None if self.alpha is None else self.alpha[index])

    def save(self, path: str | Path, index: int = 0) -> None:
        """Write one of the pictures; the name's ending says in which format.

        A PNG carries its objective, recipe, seed, size and the fingerprint of the model, which
        :func:`~peek_widget.load_recipe` gives back; other formats carry the picture alone. A picture or a spectrum
        that the run was begun from is not kept, nor what was changed on the way: the recipe is the last one.
        """
        if self.origin is None:
            raise PeekError("This result does not know what it was drawn from: save(...) takes one that render gave.")
        origin = self.origin
        side = self.images.shape[-1]
        drawing = keep.Drawing(origin.objectives[index], origin.recipe, origin.seeds[index], side, origin.fingerprint)
        keep.save(path, self.images[index], drawing, None if self.alpha is None else self.alpha[index])

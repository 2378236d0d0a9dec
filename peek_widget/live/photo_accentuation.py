"""Accentuation of the photo on the page, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from peek_widget.ascent import Accentuate, Ascent, unit_objective
from peek_widget.photo import Look, PhotoReader

__all__ = ["EVERY", "Accentuation", "Stage"]

EVERY = 4
"""Number of steps between two pictures sent to the page."""


@dataclass(frozen=True)
class Stage:
    """The photo after a number of steps.

    Attributes:
        step: number of steps made; 0 is the photo as the network sees it.
        pixels: the picture, ``[C, S, S]`` in [0, 1].
        look: what the network sees in it.
    """

    step: int
    pixels: Tensor
    look: Look


class Accentuation:
    """A run of `Accentuate` on a photo: an iterator over its stages, one for every four steps.

    After each other step it yields None, so that the caller can do something else.

    Args:
        reader: the reader of the pictures.
        look: what the network sees in the photo.
        layer: layer of the unit.
        unit: number of the unit, whose mean over the map is maximized.
        less: whether to minimize it instead.
        strength: weight of the penalty, see `Accentuate`.

    Attributes:
        layer, unit, less, strength: as above.
        total: number of steps of the whole run.

    Raises:
        PeekError: if the layer has no such unit, or no layer before it could be kept.
    """

    def __init__(self, reader: PhotoReader, look: Look, layer: str, unit: int, less: bool, strength: float) -> None:
        reader.network.check_unit(layer, unit)
        wanted = unit_objective(reader.network, layer, unit, "channel")
        self.layer: str = layer
        self.unit: int = unit
        self.less: bool = less
        self.strength: float = strength
        self._reader, self._look = reader, look
        objective = Accentuate(-wanted if less else wanted, strength=strength)
        self._run = Ascent(reader.network, objective, start=look.pixels)
        self.total: int = self._run.steps

    def __iter__(self) -> Iterator[Stage | None]:
        """Make the steps, yielding a stage or None after each."""
        yield Stage(0, self._look.pixels, self._look)
        while self._run.index < self.total:
            image = self._run.step().tensor
            made = self._run.index
            yield Stage(made, image, self._reader.look_again(self._look, image)) if self._shown(made) else None

    def _shown(self, made: int) -> bool:
        return made % EVERY == 0 or made == self.total

"""A guessing game: which of two real images excites this unit? How well a person knows a unit, as a number.

The task is that of Borowski et al. 2021, "Exemplary natural images explain CNN activations better than
state-of-the-art feature visualization" (ICLR): one sees what a unit likes, as drawn pictures or as real images, and
says which of two further images excites it more. There, people were right 82 % of the time (+- 4) with drawn pictures
and 92 % (+- 2) with real ones; who guesses blindly is right half of the time.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from peek_widget._stats import wilson_interval
from peek_widget.ascent import Recipe, render, unit_objective
from peek_widget.errors import PeekError
from peek_widget.evidence import Crop, LayerEvidence
from peek_widget.network import Network, read

__all__ = ["Guessing", "Question", "Score"]

REFERENCES = 9
"""Real images that are shown as examples of what the unit likes; those asked about come from behind them."""

ENDLESS = 10**9
"""Questions that could be asked: for the interval, without end."""


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        unit: about which it is.
        references: what the unit likes: one drawn picture, or up to nine real crops.
        pair: two real crops that are not among the references.
        answer: which of them excites the unit more, 0 or 1.
    """

    unit: int
    references: tuple[Image.Image, ...]
    pair: tuple[Crop, Crop]
    answer: int


@dataclass(frozen=True)
class Score:
    """How many answers were right, with Wilson's 95 % interval for the share."""

    right: int
    of: int

    @property
    def share(self) -> float:
        """Of right answers, 0 to 1; 0.5 is chance. NaN before the first."""
        return self.right / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Between which the true share lies, 95 % of the time."""
        return wilson_interval(self.right, self.of, ENDLESS) if self.of else (0.0, 1.0)

    def __str__(self) -> str:
        if not self.of:
            return "no answer yet"
        low, high = self.interval
        return f"{self.right} of {self.of} right, {self.share:.0%} ({low:.0%} to {high:.0%}; chance is 50 %)"


class Guessing:
    """Questions about the units of a layer, and the score.

    Args:
        model: whose units, as ``render`` takes it.
        evidence: of the layer, from ``top_crops(model, layer, dataset, k=18)`` or more: the first nine top crops
            are the references, the rest are asked about, with the lowest on the other side.
        units: which; left out, all.
        show: ``"drawn"``, ``"real"``, or ``"none"`` (what one can tell blindly).
        recipe: of the drawn pictures.
        seed: of the order of questions, of the pairs and of the drawn pictures.

    Raises:
        PeekError: if the evidence has too few crops, or is of another model.
    """

    def __init__(
        self,
        model: Any,
        evidence: LayerEvidence,
        units: Iterable[int] | None = None,
        *,
        show: Literal["drawn", "real", "none"] = "drawn",
        recipe: Recipe | str = "peek-fast",
        seed: int = 0,
    ) -> None:
        if show not in ("drawn", "real", "none"):
            raise PeekError(f"show={show!r}: possible are 'drawn', 'real' and 'none'.")
        if evidence.k <= REFERENCES or evidence.images < 2 * evidence.k:
            raise PeekError(
                f"The evidence keeps {evidence.k} crops a unit of {evidence.images} images: for questions beside the "
                f"{REFERENCES} references gather it with k=18, over 36 images at least."
            )
        self._network = model if isinstance(model, Network) else read(model)
        evidence.check_model(self._network)
        self._evidence, self._show, self._recipe, self._seed = evidence, show, recipe, seed
        self._random = random.Random(seed)
        self._units = list(range(len(evidence)) if units is None else units)
        if not self._units:
            raise PeekError("units is empty: give at least one, or leave it out for all.")
        for unit in self._units:
            self._network.check_unit(evidence.name, unit)
        self._left: list[int] = []
        self._right = self._of = 0
        self.question: Question = self._ask()

    @property
    def score(self) -> Score:
        """So far."""
        return Score(self._right, self._of)

    def answer(self, side: int) -> bool:
        """Say that the image on this side (0 or 1) excites the unit more, and go on to the next question.

        Returns:
            whether it was right.
        """
        if isinstance(side, bool) or side not in (0, 1):
            raise PeekError(f"An answer is 0 for the first image or 1 for the second; {side!r} was given.")
        right = side == self.question.answer
        self._right += right
        self._of += 1
        self.question = self._ask()
        return right

    def _ask(self) -> Question:
        if not self._left:
            self._left = self._random.sample(self._units, len(self._units))
        unit = self._left.pop()
        found = self._evidence[unit]
        more = self._random.choice(found.top[REFERENCES:])
        # an image that excites the unit in one place may be among the lowest with another
        known = {crop.name for crop in (*found.top[:REFERENCES], more)}
        less = self._random.choice([crop for crop in found.bottom if crop.name not in known] or found.bottom)
        answer = self._random.randrange(2)
        return Question(unit, self._references(unit), (less, more) if answer else (more, less), answer)

    def _references(self, unit: int) -> tuple[Image.Image, ...]:
        if self._show == "none":
            return ()
        if self._show == "real":
            return tuple(crop.image for crop in self._evidence[unit].top[:REFERENCES])
        objective = unit_objective(self._network, self._evidence.name, unit)
        return (render(self._network, objective, self._recipe, seed=self._seed, progress=False).pil(),)

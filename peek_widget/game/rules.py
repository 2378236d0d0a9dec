"""A guessing game: which of two images excites a unit more? The score says how well a person knows the unit.

The task is that of Borowski et al. 2021, "Exemplary natural images explain CNN activations better than state-of-the-art
feature visualization" (ICLR): a person sees references of what excites a unit, drawn pictures or dataset examples, and
says which of two further images excites it more. In that study, people were right 82 % of the time (+- 4) with drawn
pictures and 92 % (+- 2) with dataset examples; chance is 50 %.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from PIL import Image
from torch import nn

from peek_widget._stats import wilson_interval
from peek_widget.ascent import Recipe, render, unit_objective
from peek_widget.errors import PeekError
from peek_widget.evidence import Crop, LayerEvidence
from peek_widget.network import ModelCopy, Network, read

__all__ = ["Guessing", "Question", "Score"]

REFERENCES = 9
"""Number of top examples that are shown as references; the images asked about rank below them."""

POPULATION = 10**9
"""Number of questions that could be asked, for the interval: practically infinite."""


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        unit: unit that is asked about.
        references: pictures of what excites the unit: one drawn picture, or up to nine crops of top examples.
        pair: two crops of examples that are not among the references.
        answer: index of the one that excites the unit more, 0 or 1.
    """

    unit: int
    references: tuple[Image.Image, ...]
    pair: tuple[Crop, Crop]
    answer: int


@dataclass(frozen=True)
class Score:
    """Number of right answers, with Wilson's 95 % interval for the share.

    Attributes:
        right: number of right answers.
        of: number of answers.
    """

    right: int
    of: int

    @property
    def share(self) -> float:
        """Share of right answers, 0 to 1; 0.5 is chance. NaN before the first answer."""
        return self.right / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson_interval(self.right, self.of, POPULATION) if self.of else (0.0, 1.0)

    def __str__(self) -> str:
        if not self.of:
            return "no answer yet"
        low, high = self.interval
        return f"{self.right} of {self.of} right, {self.share:.0%} ({low:.0%} to {high:.0%}; chance is 50 %)"


class Guessing:
    """Questions about the units of a layer, and the score.

    Args:
        model: model that the units are of, as ``render`` takes it.
        evidence: dataset examples of the layer, from ``top_crops(model, layer, dataset, k=18)`` or more: the first nine
            top examples are the references, and a question is one of the others beside one of the bottom examples.
        units: numbers of the units to ask about; left out, all.
        show: references to show: ``"drawn"`` pictures, ``"real"`` examples, or ``"none"`` (what people can tell without
            them).
        recipe: recipe of the drawn pictures.
        seed: seed of the order of questions, of the pairs and of the drawn pictures.

    Raises:
        PeekError: if the evidence has too few examples, or is of another model.
    """

    def __init__(
        self,
        model: nn.Module | ModelCopy | Network,
        evidence: LayerEvidence,
        units: Iterable[int] | None = None,
        *,
        show: Literal["drawn", "real", "none"] = "drawn",
        recipe: Recipe | str = "peek-fast",
        seed: int = 0,
    ) -> None:
        if show not in ("drawn", "real", "none"):
            raise PeekError(f"show={show!r}: choose 'drawn', 'real' or 'none'.")
        if evidence.k <= REFERENCES or evidence.images < 2 * evidence.k:
            raise PeekError(
                f"The evidence has {evidence.k} top examples of each unit, of {evidence.images} images: for questions "
                f"besides the {REFERENCES} references gather it with k=18, over at least 36 images."
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
        """The score so far."""
        return Score(self._right, self._of)

    def answer(self, side: int) -> bool:
        """Answer that the image on this side (0 or 1) excites the unit more, and ask the next question.

        Returns:
            Whether the answer was right.
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
        # an image that excites the unit at one position may be among the lowest by another
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

"""How far two people's tags agree: Cohen's kappa, word by word."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from peek_widget.errors import TagError
from peek_widget.sheet.tags import Tags, clean, same

__all__ = ["Agreement", "agreement", "kappa"]


@dataclass(frozen=True)
class Agreement:
    """Two people and one tag, over the units of a layer that both looked at.

    Attributes:
        word: the tag.
        both, first, second, neither: how many units were given it by both, by the first alone, by the second alone,
            by neither.
    """

    word: str
    both: int
    first: int
    second: int
    neither: int

    @property
    def units(self) -> int:
        """How many units both looked at."""
        return self.both + self.first + self.second + self.neither

    @property
    def observed(self) -> float:
        """The share of units on which the two agree, in [0, 1]; NaN if there is none that both looked at."""
        return (self.both + self.neither) / self.units if self.units else math.nan

    @property
    def expected(self) -> float:
        """The share on which they would agree by chance, each giving the tag as often as they did."""
        if not self.units:
            return math.nan
        one, other = (self.both + self.first) / self.units, (self.both + self.second) / self.units
        return one * other + (1 - one) * (1 - other)

    @property
    def kappa(self) -> float:
        """Cohen's kappa (1960): 1 agrees wholly, 0 as by chance; NaN where both gave the tag to all units or none."""
        return _kappa(self.observed, self.expected, self.units)

    def __str__(self) -> str:
        if not self.units:
            return f"{self.word}: no unit that both looked at"
        value = "undefined (chance alone agrees as well)" if math.isnan(self.kappa) else f"{self.kappa:.2f}"
        return (
            f"{self.word}: kappa {value}; of {self.units} units both {self.both}, only the first {self.first}, "
            f"only the second {self.second}, neither {self.neither}"
        )


def agreement(one: Tags, other: Tags, layer: str, words: Iterable[str] | None = None) -> list[Agreement]:
    """For each tag, who gave it to which of the units that both looked at.

    A unit that only one of the two looked at says nothing and is left out: Tags.look marks those that were looked
    at and given no tag.

    Args:
        one, other: the tags of two people. Spellings that differ in case alone are one tag.
        layer: whose units.
        words: the tags; left out, all that either gave in the layer (those that most units have come first).
    """
    for tags in (one, other):
        if not isinstance(tags, Tags):
            raise TagError(f"agreement and kappa take Tags; a {type(tags).__name__} was given.")
    both = set(one.looked_at(layer)) & set(other.looked_at(layer))
    words = (one | other).words(layer) if words is None else list({same(word): clean(word) for word in words}.values())
    found = []
    for word in words:
        first, second = (both & set(tags.units(layer, word)) for tags in (one, other))
        agreed = len(first & second)
        found.append(
            Agreement(word, agreed, len(first) - agreed, len(second) - agreed, len(both) - len(first | second))
        )
    return found


def kappa(one: Tags, other: Tags, layer: str, word: str | Iterable[str] | None = None) -> float:
    """Cohen's kappa between two people's tags of a layer's units.

    A unit may carry several tags, so each tag is a question of its own (has the unit it or not?) with a kappa of its
    own. Over several tags it is the pooled kappa of De Vries et al. (2008): the observed and the expected agreement
    are averaged first, so that a rare tag, whose own kappa is shaky, does not count as much as its noise.

    Args:
        one, other: the tags of two people.
        layer: whose units; only those that both looked at count.
        word: one tag; or several, or none for all that either gave: pooled.

    Returns:
        At most 1, which is full agreement; 0 is as good as chance. NaN where it isn't defined: no unit that both looked
        at, no tag at all, or tags that both gave to every unit or to none.
    """
    parts = agreement(one, other, layer, [word] if isinstance(word, str) else word)
    if not parts or not parts[0].units:
        return math.nan
    observed = math.fsum(part.observed for part in parts) / len(parts)
    expected = math.fsum(part.expected for part in parts) / len(parts)
    return _kappa(observed, expected, len(parts) * parts[0].units)


def _kappa(observed: float, expected: float, answers: int) -> float:
    # Chance agrees wholly only where the two said the same throughout; any other share is further from 1 than this.
    if not answers or 1 - expected < 0.25 / answers**2:
        return math.nan
    return (observed - expected) / (1 - expected)

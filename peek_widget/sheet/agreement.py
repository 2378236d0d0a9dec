"""Agreement of two people's tags: Cohen's kappa, tag by tag."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from peek_widget._stats import cohens_kappa
from peek_widget.errors import TagError
from peek_widget.sheet.tags import Tags
from peek_widget.sheet.tags_io import clean, same

__all__ = ["Agreement", "agreement", "kappa"]


@dataclass(frozen=True)
class Agreement:
    """Counts of how two people gave one tag to the units of a layer that both reviewed.

    Attributes:
        word: tag.
        both: number of units that both gave it.
        first: number of units that only the first person gave it.
        second: number of units that only the second person gave it.
        neither: number of units that neither gave it.
    """

    word: str
    both: int
    first: int
    second: int
    neither: int

    @property
    def units(self) -> int:
        """Number of units that both reviewed."""
        return self.both + self.first + self.second + self.neither

    @property
    def observed(self) -> float:
        """Share of units on which the two agree, in [0, 1]; NaN if they reviewed none in common."""
        return (self.both + self.neither) / self.units if self.units else math.nan

    @property
    def expected(self) -> float:
        """Share of units on which they would agree by chance, each giving the tag as often as they did."""
        if not self.units:
            return math.nan
        one, other = (self.both + self.first) / self.units, (self.both + self.second) / self.units
        return one * other + (1 - one) * (1 - other)

    @property
    def kappa(self) -> float:
        """Cohen's kappa (1960): 1 is full agreement, 0 is chance; NaN where both gave the tag to all units or none."""
        return cohens_kappa(self.observed, self.expected, self.units)

    def __str__(self) -> str:
        if not self.units:
            return f"{self.word}: no unit that both reviewed"
        value = "undefined (chance alone agrees as well)" if math.isnan(self.kappa) else f"{self.kappa:.2f}"
        return (
            f"{self.word}: kappa {value}; of {self.units} units both {self.both}, only the first {self.first}, "
            f"only the second {self.second}, neither {self.neither}"
        )


def agreement(one: Tags, other: Tags, layer: str, words: Iterable[str] | None = None) -> list[Agreement]:
    """Compare two people's tags of a layer, tag by tag.

    A unit that only one of the two reviewed says nothing and is left out: ``Tags.mark_reviewed`` marks those that were
    reviewed and given no tag.

    Args:
        one, other: tags of two people. Spellings that differ in case alone are one tag.
        layer: layer whose units are compared.
        words: tags to compare; left out, all that either gave in the layer (those on most units first).
    """
    for tags in (one, other):
        if not isinstance(tags, Tags):
            raise TagError(f"agreement and kappa take Tags; a {type(tags).__name__} was given.")
    both = set(one.reviewed(layer)) & set(other.reviewed(layer))
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
    """Compute Cohen's kappa between two people's tags of a layer's units.

    A unit may carry several tags, so each tag is a question of its own (does the unit carry it?) with a kappa of its
    own. Over several tags it is the pooled kappa of De Vries et al. (2008): the observed and the expected agreement are
    averaged first, so that a rare tag, whose own kappa is noisy, does not count as much as a frequent one.

    Args:
        one, other: tags of two people.
        layer: layer whose units are compared; only those that both reviewed count.
        word: one tag; or several, or none for all that either gave: pooled.

    Returns:
        At most 1, which is full agreement; 0 is as good as chance. NaN where it isn't defined: no unit that both
        reviewed, no tag at all, or tags that both gave to every unit or to none.
    """
    parts = agreement(one, other, layer, [word] if isinstance(word, str) else word)
    if not parts or not parts[0].units:
        return math.nan
    observed = math.fsum(part.observed for part in parts) / len(parts)
    expected = math.fsum(part.expected for part in parts) / len(parts)
    return cohens_kappa(observed, expected, len(parts) * parts[0].units)

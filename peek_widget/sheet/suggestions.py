"""Tags that a survey of real images proposes for units."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from peek_widget.sheet.tags_io import clean, same

if TYPE_CHECKING:
    from peek_widget.evidence.survey import Survey

__all__ = ["Suggestion", "suggestions"]


class Suggestion(NamedTuple):
    """A tag that the survey of real images proposes.

    Attributes:
        layer, unit: unit that it is proposed for.
        word: name of the group of images.
        q: false discovery rate at which the group is just accepted (Benjamini and Hochberg).
        count: number of the unit's top images that are in the group.
        of: number of the unit's top images.
    """

    layer: str
    unit: int
    word: str
    q: float
    count: int
    of: int

    def __str__(self) -> str:
        return f"{self.word}: {self.count} of its {self.of} top images (q = {self.q:.2g})"


def suggestions(
    survey: Survey, tags_of: Callable[[str, int], Iterable[str]], level: float | None = None
) -> list[Suggestion]:
    """Propose the groups of a survey as tags, for units that don't carry them yet.

    Args:
        survey: survey of the layer.
        tags_of: gives the tags of a layer's unit.
        level: accepted false discovery rate; left out, the survey's.

    Returns:
        Suggestions by unit, the surest of each first.
    """
    level = survey.level if level is None else level
    rows = survey.every[survey.every["q"] <= level]
    rows = rows.sort_values(["unit", "q", "count"], ascending=[True, True, False], kind="stable")
    found = []
    for row in rows.itertuples():
        word = clean(str(row.group))
        if same(word) not in {same(has) for has in tags_of(survey.layer, row.unit)}:
            found.append(Suggestion(survey.layer, int(row.unit), word, float(row.q), int(row.count), int(row.of)))
    return found

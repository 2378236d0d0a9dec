"""The drawn picture and the real images on one scale, in numbers and in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peek_widget.evidence import UnitEvidence
    from peek_widget.evidence.measures import PictureScore

__all__ = ["gauge", "say_gauge", "say_verdict", "suggestion"]

_AS_MUCH = 1.05
"""Up to this ratio the drawn picture and the best real image excite the unit equally, as far as anybody can tell."""


def gauge(evidence: UnitEvidence | None, activation: float | None, helps: str = "") -> dict[str, Any]:
    """The gauge's state: `{}` where no real image has been seen.

    Args:
        evidence: of the unit; of each image its best place counts.
        activation: of the drawn picture, laid before the network without the random views and taken at its best
            place, before any ReLU; None before it was measured.
        helps: what would make a weak picture stronger, see `suggestion`; "" while the run may get there by itself.

    Returns:
        `layer`, `unit`, `images`, the activations `lowest`, `median`, `high` (99 % of the images are below it) and
        `best`, the drawn picture's `activation` and `over_best` (None where there is none, or where the best real
        image isn't above zero, since a ratio then says nothing), and `text`.
    """
    if evidence is None or not evidence.top:
        return {}
    values = evidence.image_quantiles
    best = evidence.top[0].activation
    drawn = activation if activation is not None and math.isfinite(activation) else None
    return {
        "layer": evidence.layer,
        "unit": evidence.unit,
        "images": evidence.images,
        "lowest": float(values[0.0]),
        "median": float(values[0.5]),
        "high": float(values[0.99]),
        "best": float(best),
        "activation": drawn,
        "over_best": drawn / best if drawn is not None and best > 0.0 else None,
        "text": say_gauge(drawn, best, float(values[0.5]), evidence.images, helps),
    }


def say_gauge(drawn: float | None, best: float, median: float, images: int, helps: str = "") -> str:
    """Say how the drawn picture compares with the real ones.

    Args:
        drawn, best, median: activations: of the drawn picture, the best real image, the median one's best place.
        images: how many real images were seen.
        helps: what to try where it is weaker than the best.
    """
    many = f"the best of {images:,} real images" if images > 1 else "the one real image"
    if drawn is None:
        return "The drawn picture has not been measured yet."
    if best <= 0.0:
        above = "above zero" if drawn > 0.0 else "higher" if drawn > best else "no higher"
        return (
            f"Not one of {images:,} real images excites the unit above zero (the best reaches {_number(best)}); the "
            f"drawn picture is {above}, at {_number(drawn)}."
        )
    ratio = drawn / best
    if ratio > _AS_MUCH:
        return f"Excites the unit {_times(ratio)} times as much as {many}."
    if ratio > 1.0 / _AS_MUCH:
        return f"Excites the unit as much as {many}."
    if drawn <= 0.0:
        text = f"Does not excite the unit, as {many} does"
    elif helps:
        text = f"Weaker than real images, {_times(ratio)} times {many}"
    else:
        text = f"Excites the unit {_times(ratio)} times as much as {many}"
    if 0.0 < drawn < median and images > 1:
        text += ", and less than half of them do"
    return f"{text}{f': try {helps}' if helps else ''}."


def suggestion(values: Mapping[str, float], *, past_half: bool, done: bool) -> str:
    """What would make the unit's activation higher, in words; "" where the run may get there by itself.

    Args:
        values: the knobs in force.
        past_half: more than half of the run's steps are made.
        done: all are.
    """
    if not (past_half or done):
        return ""
    ways = [
        f"less {words}"
        for name, words, most in (
            ("blur", "blur", 0.3),
            ("decay", "decay", 0.02),
            ("total_variation", "total variation", 0.1),
        )
        if values.get(name, 0.0) > most
    ]
    if done:
        ways.insert(0, "more steps (press Play)")
    if len(ways) < 2:
        ways.append("another seed")
    return " or ".join(ways[:2])


def say_verdict(verdict: PictureScore, units: int) -> str:
    """What a finished picture was found to be, in a sentence or two.

    Args:
        verdict: as `peek_widget.evidence.measures.verdict` gives it.
        units: of the layer.
    """
    if verdict.flaw:
        what = {
            "nan": "it has numbers that are none",
            "gray": "it is one plain color",
            "clipped": "most of it is clipped",
        }
        return f"Checked at the end: no picture to go by, {what.get(verdict.flaw, verdict.flaw)}."
    place = "excites this unit most" if verdict.rank == 1 else f"excites {verdict.rank - 1} others more"
    text = f"Checked at the end: of the layer's {units} units it {place}"
    if math.isfinite(verdict.robustness):
        left = max(0, round(100 * verdict.robustness))
        return f"{text}; shifted, turned and resized a little, it keeps {left} % of its effect."
    return f"{text}."


def _times(ratio: float) -> str:
    if ratio >= 1000:
        return "more than 1,000"
    if ratio < 0.01:
        return "less than 0.01"
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.2f}" if ratio < 0.95 else f"{ratio:.1f}"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")

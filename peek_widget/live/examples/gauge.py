"""The gauge: the activations of the drawn picture and of the real images on one scale, with a sentence on both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peek_widget.evidence import UnitEvidence
    from peek_widget.evidence.measures import PictureScore

__all__ = ["describe_ratio", "describe_score", "gauge", "suggestion"]

_EQUAL = 1.05
"""Ratio up to which the picture and the top real image count as equal: repeated drawings differ by as much."""

_FLAWS = {"nan": "it contains NaN", "gray": "it is a single flat color", "clipped": "most of it is clipped"}

_STRONG_REGULARIZERS = (("blur", "blur", 0.3), ("decay", "decay", 0.02), ("total_variation", "total variation", 0.1))
"""Knob, its name in a sentence, and the value above which lowering it is likely to help."""


def gauge(evidence: UnitEvidence | None, activation: float | None, advice: str = "") -> dict[str, Any]:
    """Return the value of the gauge trait; `{}` where no real image has been processed.

    Args:
        evidence: evidence on the unit; each image counts with its maximum over the feature map.
        activation: still activation of the picture: maximum over the feature map, without the random views, before
            any ReLU; None until it is measured.
        advice: what would make a weak picture stronger, see `suggestion`; "" if the run may still become stronger.

    Returns:
        `layer`, `unit`, `images`, the activations `lowest`, `median`, `high` (the 99th percentile) and `best` of the
        images, the picture's `activation` and `activation_ratio` (None without a picture, or if the top real image
        isn't above zero, since the ratio is then meaningless), and `text`.
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
        "activation_ratio": drawn / best if drawn is not None and best > 0.0 else None,
        "text": describe_ratio(drawn, best, float(values[0.5]), evidence.images, advice),
    }


def describe_ratio(drawn: float | None, best: float, median: float, images: int, advice: str = "") -> str:
    """Describe how the picture compares with the real images.

    Args:
        drawn: still activation of the picture; None until it is measured.
        best: activation of the top real image.
        median: median of the real images' activations.
        images: number of real images.
        advice: what to try if the picture is weaker than the top image.
    """
    top = f"the top real image (of {images:,})" if images > 1 else "the only real image"
    if drawn is None:
        return "The picture has not been measured yet."
    if best <= 0.0:
        above = "positive" if drawn > 0.0 else "higher" if drawn > best else "no higher"
        return (
            f"None of {images:,} real images has a positive activation (maximum {_number(best)}); the picture's is "
            f"{above}, at {_number(drawn)}."
        )
    ratio = drawn / best
    if ratio > _EQUAL:
        return f"{_times(ratio)} the activation of {top}."
    if ratio > 1.0 / _EQUAL:
        return f"About the activation of {top}."
    text = f"{_times(ratio)} the activation of {top}" if drawn > 0.0 else f"Does not excite the unit, unlike {top}"
    if 0.0 < drawn < median and images > 1:
        text += " and below the median"
    return f"{text}{f': try {advice}' if advice else ''}."


def suggestion(values: Mapping[str, float], *, past_half: bool, done: bool) -> str:
    """Suggest what would raise the unit's activation; "" if the run may still raise it.

    Args:
        values: the knobs in force, by name.
        past_half: whether more than half of the run's steps have been made.
        done: whether all steps have been made.
    """
    if not (past_half or done):
        return ""
    ways = [f"less {words}" for name, words, most in _STRONG_REGULARIZERS if values.get(name, 0.0) > most]
    if done:
        ways.insert(0, "more steps (press Play)")
    if len(ways) < 2:
        ways.append("another seed")
    return " or ".join(ways[:2])


def describe_score(score: PictureScore, units: int) -> str:
    """Describe the score of a finished picture in a sentence.

    Args:
        score: score of the picture, see `peek_widget.evidence.measures`.
        units: number of units of the layer.
    """
    if score.flaw:
        return f"Final check: the picture is not usable, {_FLAWS.get(score.flaw, score.flaw)}."
    others = score.rank - 1
    if others == 0:
        text = f"Final check: of the layer's {units} units, this one responds most strongly"
    else:
        text = (
            f"Final check: {others} other unit{'s respond' if others > 1 else ' responds'} more strongly (of {units})"
        )
    if math.isfinite(score.robustness):
        kept = max(0, round(100 * score.robustness))
        text += f"; under small shifts, rotations and rescaling the picture keeps {kept} % of its activation"
    return f"{text}."


def _times(ratio: float) -> str:
    if ratio >= 1000:
        return "More than 1,000×"
    if ratio < 0.01:
        return "Less than 0.01×"
    return f"{ratio:.0f}×" if ratio >= 9.95 else f"{ratio:.2f}×" if ratio < 0.95 else f"{ratio:.1f}×"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")

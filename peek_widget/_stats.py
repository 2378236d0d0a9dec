"""Statistics of counts: Wilson's interval, Cohen's kappa, enrichment and false discovery rates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from peek_widget._optional import optional_import

if TYPE_CHECKING:
    import numpy as np

__all__ = ["adjust_p_values", "cohens_kappa", "enrichment_p_value", "wilson_interval"]

_Z = 1.959963984540054  # the normal distribution's 97.5 % point: a 95 % interval


def wilson_interval(count: int, sample: int, total: int) -> tuple[float, float]:
    """Compute Wilson's 95 % interval (1927) for a share of a finite population, drawn from without replacement.

    The sample's size is taken as n (N - 1) / (N - n) (the finite population correction of the variance), and the
    bounds as no further than what is already known: ``count`` items have it, ``sample - count`` don't.

    Args:
        count: number of items of the sample that have it.
        sample: size of the sample, at least 1.
        total: size of the population.
    """
    if sample == total:
        return count / total, count / total
    share = count / sample
    n = sample * (total - 1) / (total - sample)
    z2 = _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low, high = min(middle - half, share), max(middle + half, share)  # (at 0 and 1 rounding would put them past it)
    return max(low, count / total), min(high, (total - sample + count) / total)


def cohens_kappa(observed: float, expected: float, answers: int) -> float:
    """Compute Cohen's kappa (1960) from the observed agreement and the one expected by chance.

    Args:
        observed: share of answers on which two raters agree.
        expected: share on which they would agree by chance.
        answers: number of answers that the shares are of.

    Returns:
        (observed - expected) / (1 - expected); NaN where the agreement expected by chance is 1, or there is no answer.
    """
    # Chance agreement is 1 only if both raters gave one answer throughout; any other share is further from 1 than this.
    if not answers or 1 - expected < 0.25 / answers**2:
        return math.nan
    return (observed - expected) / (1 - expected)


def enrichment_p_value(count: np.ndarray, drawn: np.ndarray, members: int, population: int) -> np.ndarray:
    """Compute the probability of drawing ``count`` or more members by chance (hypergeometric test).

    Args:
        count: number of members among the items drawn.
        drawn: number of items drawn, without replacement; where it is 0 the result is 1.
        members: number of members in the population.
        population: size of the population.

    Raises:
        PeekError: with the command that installs it, if scipy is not installed.
    """
    import numpy as np

    p = optional_import("scipy.stats").hypergeom.sf(np.asarray(count) - 1, population, members, drawn)
    return np.where(np.asarray(drawn) > 0, p, 1.0).clip(0.0, 1.0)


def adjust_p_values(p: np.ndarray) -> np.ndarray:
    """Correct p-values for their number: the false discovery rates of Benjamini and Hochberg (1995).

    Raises:
        PeekError: with the command that installs it, if scipy is not installed.
    """
    return optional_import("scipy.stats").false_discovery_control(p, method="bh")

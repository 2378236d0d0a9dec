"""Statistics of counts: Wilson's interval."""

from __future__ import annotations

import math

__all__ = ["wilson_interval"]

_Z = 1.959963984540054  # the normal distribution's 97.5 % point: a 95 % interval


def wilson_interval(count: int, looked_at: int, total: int) -> tuple[float, float]:
    """Compute Wilson's 95 % interval (1927) for a share of a finite population, drawn from without replacement.

    The sample's size is taken as n (N - 1) / (N - n) (the finite population correction of the variance), and the
    bounds as no further than what is already known: ``count`` units have it, ``looked_at - count`` have not.
    """
    if looked_at == total:
        return count / total, count / total
    share = count / looked_at
    n = looked_at * (total - 1) / (total - looked_at)
    z2 = _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low, high = min(middle - half, share), max(middle + half, share)  # (at 0 and 1 rounding would put them past it)
    return max(low, count / total), min(high, (total - looked_at + count) / total)

"""Seeds of units: a unit starts the same and is seen through the same views in any batch and on any worker."""

from __future__ import annotations

import hashlib

__all__ = ["unit_seed"]


def unit_seed(seed: int, layer: str, unit: int) -> int:
    """Compute the seed of one unit of a sheet, from 0 to 2**31 - 1.

    It is derived from a SHA-256 hash, and so is the same in every process; Python's own ``hash`` of a string is not.

    Args:
        seed: seed of the sheet, from 0.
        layer: name of the layer.
        unit: number of the unit.
    """
    digest = hashlib.sha256(f"peek_widget sheet/{seed}/{unit}/{layer}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1

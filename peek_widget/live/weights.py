"""Detects whether the weights of an explorer's model have changed since they were last used."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from peek_widget.network import Network
from peek_widget.network.fingerprint import fingerprint
from peek_widget.network.preactivation import address_of

__all__ = ["REST", "Weights"]

REST = 2.0
"""Seconds without a change after which weights are at rest; a training loop makes many changes in that time."""


class Weights:
    """A monitor of a model's weights, for one thread that uses them.

    Changes are detected by torch's counters of in-place changes and by the addresses of parameters and buffers, as in
    the main run; only :meth:`digits` hashes all weights, once for each change. A model that is only
    read again, for another device or because of a hook, keeps its weights.

    Args:
        network: returns the explorer's current network.
        clock: returns monotonic time in seconds.
    """

    def __init__(self, network: Callable[[], Network], clock: Callable[[], float]) -> None:
        self._network, self._clock = network, clock
        self._used: tuple[Any, ...] | None = None
        self._used_copy: tuple[Any, ...] | None = None
        self._seen: tuple[Any, ...] | None = None
        self._changed_at = -math.inf
        self._digits: tuple[tuple[Any, ...], str] | None = None

    def _now(self) -> tuple[Any, ...]:
        model_copy = self._network().model_copy
        buffers = list(model_copy.original.buffers())
        places = tuple(address_of(one) for one in (*model_copy.original.parameters(), *buffers))
        return places, model_copy.version(), sum(one._version for one in buffers if not one.is_inference())

    def _copy(self) -> tuple[Any, ...]:
        model_copy = self._network().model_copy
        return id(model_copy), model_copy.stale()

    def use(self) -> None:
        """Record the current weights, and the current reading of the model, as those in use."""
        self._used = self._seen = self._now()
        self._used_copy = self._copy()

    def read_again(self) -> bool:
        """Return whether the model has been read again since, or must be: for another device, or because of a hook."""
        return self._used_copy is not None and self._copy() != self._used_copy

    def changed(self) -> bool:
        """Return whether the weights differ from those in use."""
        now = self._now()
        if now != self._seen:
            self._seen, self._changed_at = now, self._clock()
        return self._used is not None and now != self._used

    def rested(self) -> bool:
        """Return whether the weights have changed, and have been at rest for a while since."""
        return self.changed() and self._clock() - self._changed_at >= REST

    def digits(self, network: Network) -> str:
        """Return the fingerprint of a network that has the current weights."""
        now = self._now()
        if self._digits is None or self._digits[0] != now:
            self._digits = now, fingerprint(network)
        return self._digits[1]

"""A network for a thread of its own: two threads must never run the same copy of a model at once."""

from __future__ import annotations

from collections.abc import Callable

from peek_widget.network import Network

__all__ = ["Replica"]


class Replica:
    """One replica of the explorer's network, made again where the model's weights or the device have moved.

    Calling it returns the replica. There is never more than one: on another device than the model's own each has a
    copy of the weights.

    Args:
        network: returns the explorer's network as it is now read.
    """

    def __init__(self, network: Callable[[], Network]) -> None:
        self._network = network
        self._replica: Network | None = None

    def __call__(self, ready: Network | None = None) -> Network:
        """Return the replica as it is to be used now.

        Args:
            ready: a replica that was made just now for another purpose, taken where a new one is needed.
        """
        given, replica = self._network(), self._replica
        if replica is None or replica.model_copy.stale() or replica.model_copy.device != given.model_copy.device:
            # release it first: two copies of the weights may not fit on a GPU
            self._replica = replica = None
            self._replica = replica = given.replica() if ready is None else ready
        return replica

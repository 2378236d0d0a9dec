"""A separate network for a thread, since two threads must never run the same copy of a model at once."""

from __future__ import annotations

from collections.abc import Callable

from peek_widget.network import Network

__all__ = ["Replica"]


class Replica:
    """One replica of the explorer's network, made again if the model's weights or the device have moved.

    Calling it returns the replica. There is never more than one: on a device other than the model's, each has its own
    copy of the weights.

    Args:
        network: returns the explorer's current network.
    """

    def __init__(self, network: Callable[[], Network]) -> None:
        self._network = network
        self._replica: Network | None = None

    def __call__(self, ready: Network | None = None) -> Network:
        """Return the replica with the current weights, on the current device.

        Args:
            ready: a replica made just now for another purpose, used if a new one is needed.
        """
        given, replica = self._network(), self._replica
        if replica is None or replica.model_copy.stale() or replica.model_copy.device != given.model_copy.device:
            # release it first: two copies of the weights may not fit on a GPU
            self._replica = replica = None
            self._replica = replica = given.replica() if ready is None else ready
        return replica

"""A network for a thread of its own: two threads must never run the same copy of a model at once."""

from __future__ import annotations

from collections.abc import Callable

from peek_widget.network import Network

__all__ = ["Replica"]


class Replica:
    """One replica of the explorer's network, made anew where the model's weights or the device have moved.

    A call returns it. The earlier one is then let go, so that there is never more than one of a thread.

    Args:
        network: returns the explorer's network as it is now read.
    """

    def __init__(self, network: Callable[[], Network]) -> None:
        self._network = network
        self._replica: Network | None = None

    def __call__(self) -> Network:
        """Return the replica as it is to be used now; call it in the thread that uses the network."""
        given, replica = self._network(), self._replica
        if replica is None or replica.model_copy.stale() or replica.model_copy.device != given.model_copy.device:
            # dropped first: two copies of the weights may be more than a GPU holds
            self._replica = replica = None
            self._replica = replica = given.replica()
        return replica

"""What feeds a unit and whom it feeds, found from the graph that runs and checked by doing."""

from peek_widget.circuits.circuit import Circuit, circuit

__all__ = ["Circuit", "circuit"]

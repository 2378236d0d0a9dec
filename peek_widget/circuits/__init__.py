"""What feeds a unit and whom it feeds, found from the graph that runs and checked by doing."""

from peek_widget.circuits.circuit import Circuit, circuit
from peek_widget.circuits.kernels import Factors, filters

__all__ = ["Circuit", "Factors", "circuit", "filters"]

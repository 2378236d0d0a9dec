"""Circuits: what feeds a unit and what it feeds, found from the graph that runs and checked by intervention."""

from peek_widget.circuits.feeding import CircuitOutput
from peek_widget.circuits.graph import CircuitEdge, CircuitGraph, CircuitNode
from peek_widget.circuits.kernels import Factors, filters
from peek_widget.circuits.pushing import pushed_classes
from peek_widget.circuits.trace import circuit
from peek_widget.circuits.unit_circuit import Circuit, CircuitInput

__all__ = [
    "Circuit",
    "CircuitEdge",
    "CircuitGraph",
    "CircuitInput",
    "CircuitNode",
    "CircuitOutput",
    "Factors",
    "circuit",
    "filters",
    "pushed_classes",
]

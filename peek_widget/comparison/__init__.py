"""Comparison: a unit under several recipes or seeds, or several units, drawn side by side and in step."""

from peek_widget.comparison.entries import Entry, entries
from peek_widget.comparison.figure import figure
from peek_widget.comparison.run import Comparison, ComparisonStep, compare

__all__ = ["Comparison", "ComparisonStep", "Entry", "compare", "entries", "figure"]

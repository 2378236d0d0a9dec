"""The same unit under several recipes, seeds or units, drawn side by side and in step."""

from peek_widget.comparison.figure import figure
from peek_widget.comparison.run import Comparison, ComparisonStep, Entry, compare, entries

__all__ = ["Comparison", "ComparisonStep", "Entry", "compare", "entries", "figure"]

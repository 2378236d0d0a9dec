"""Every unit of a layer: drawn in batches, kept, tagged, counted, shown."""

from peek_widget.sheet.tags import Count, Suggestion, Tags

__all__ = ["Count", "Suggestion", "Tags"]

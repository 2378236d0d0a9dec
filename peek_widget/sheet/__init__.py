"""Every unit of a layer: drawn in batches, kept, tagged, counted, shown."""

from peek_widget.sheet.contact_sheet import ContactSheet, NotDrawnError, contact_sheet
from peek_widget.sheet.store import StoreError
from peek_widget.sheet.tags import Count, Suggestion, Tags
from peek_widget.sheet.unit import SheetUnit

__all__ = ["ContactSheet", "Count", "NotDrawnError", "SheetUnit", "StoreError", "Suggestion", "Tags", "contact_sheet"]

"""Every unit of a layer: drawn in batches, kept, tagged, counted, shown."""

from peek_widget.errors import NotDrawnError, SheetStoreError
from peek_widget.sheet.agreement import Agreement, agreement, kappa
from peek_widget.sheet.sheets import ContactSheet, contact_sheet
from peek_widget.sheet.tags import Count, Suggestion, Tags
from peek_widget.sheet.unit import SheetUnit

__all__ = [
    "Agreement",
    "ContactSheet",
    "Count",
    "NotDrawnError",
    "SheetStoreError",
    "SheetUnit",
    "Suggestion",
    "Tags",
    "agreement",
    "contact_sheet",
    "kappa",
]

"""The contact sheet: every unit of a layer, drawn in batches, saved in a store, tagged, counted and exported."""

from peek_widget.errors import NotDrawnError, SheetStoreError
from peek_widget.sheet.agreement import Agreement, agreement, kappa
from peek_widget.sheet.counts import Count
from peek_widget.sheet.sheets import ContactSheet, contact_sheet
from peek_widget.sheet.suggestions import Suggestion
from peek_widget.sheet.tags import Tags
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

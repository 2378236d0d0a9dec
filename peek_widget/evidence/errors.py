"""What can go wrong with real images, as sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peek_widget.errors import PeekError

if TYPE_CHECKING:
    from peek_widget.evidence.crops import Evidence

__all__ = ["DatasetError", "EvidenceError", "StoreError"]


class DatasetError(PeekError):
    """The dataset can't be read: no images, labels of another length, a kind of image that is not known."""


class StoreError(PeekError):
    """A file of evidence can't be read, or belongs to another model, other layers or another k."""


class EvidenceError(PeekError):
    """A pass had to end before its time; ``found`` is what it had until then (a dict by layer, never None).

    ``plain`` is the same for somebody who looks at a page and writes no Python: what happened, without what to call.
    """

    def __init__(self, message: str, found: Evidence, plain: str = "") -> None:
        super().__init__(message)
        self.found = found
        self.plain: str = plain or message

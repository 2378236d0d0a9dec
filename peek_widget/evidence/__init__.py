"""Real images that excite a unit: one pass over a dataset, the crops it found, and what they say."""

from peek_widget.evidence.crops import Crop, Evidence, LayerEvidence, UnitEvidence, activation_map
from peek_widget.evidence.errors import DatasetError, EvidenceError, StoreError
from peek_widget.evidence.fields import FieldMap, field_map, measured_field
from peek_widget.evidence.passes import EvidencePass, Progress, top_crops
from peek_widget.evidence.store import load_evidence

__all__ = [
    "Crop", "DatasetError", "Evidence", "EvidenceError", "EvidencePass", "FieldMap", "LayerEvidence", "Progress",
    "StoreError", "UnitEvidence", "activation_map", "field_map", "load_evidence", "measured_field", "top_crops",
]  # fmt: skip

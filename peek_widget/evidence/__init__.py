"""Real images that excite a unit: one pass over a dataset, the crops it found, and what they say."""

from peek_widget.evidence.crops import Crop, Evidence, LayerEvidence, UnitEvidence, activation_map
from peek_widget.evidence.errors import DatasetError, EvidenceError, StoreError
from peek_widget.evidence.fields import FieldMap, field_map, measured_field
from peek_widget.evidence.groups import IMAGENET_GROUPS
from peek_widget.evidence.passes import EvidencePass, Progress, top_crops
from peek_widget.evidence.store import load_evidence
from peek_widget.evidence.survey import Survey, survey
from peek_widget.evidence.verdicts import verdicts

__all__ = [
    "IMAGENET_GROUPS",
    "Crop",
    "DatasetError",
    "Evidence",
    "EvidenceError",
    "EvidencePass",
    "FieldMap",
    "LayerEvidence",
    "Progress",
    "StoreError",
    "Survey",
    "UnitEvidence",
    "activation_map",
    "field_map",
    "load_evidence",
    "measured_field",
    "survey",
    "top_crops",
    "verdicts",
]

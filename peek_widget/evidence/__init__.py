"""Real images that excite a unit: one pass over a dataset, the crops it found, and what they say."""

from peek_widget.errors import DatasetError, EvidenceStoreError
from peek_widget.evidence.crops import Crop, Evidence, EvidenceError, LayerEvidence, UnitEvidence, activation_map
from peek_widget.evidence.groups import IMAGENET_GROUPS
from peek_widget.evidence.passes import EvidencePass, Progress, top_crops
from peek_widget.evidence.scores import score_pictures
from peek_widget.evidence.store import load_evidence
from peek_widget.evidence.survey import Survey, survey
from peek_widget.network.receptive_field.field_map import FieldMap, field_map, measured_field

__all__ = [
    "IMAGENET_GROUPS",
    "Crop",
    "DatasetError",
    "Evidence",
    "EvidenceError",
    "EvidencePass",
    "EvidenceStoreError",
    "FieldMap",
    "LayerEvidence",
    "Progress",
    "Survey",
    "UnitEvidence",
    "activation_map",
    "field_map",
    "load_evidence",
    "measured_field",
    "score_pictures",
    "survey",
    "top_crops",
]

"""Dataset examples: the real images that excite units, found by a pass over a dataset, and what they tell."""

from peek_widget.errors import DatasetError, EvidenceStoreError
from peek_widget.evidence.activations import activations
from peek_widget.evidence.crops import Crop, activation_map, find_focus
from peek_widget.evidence.evidence import (
    Evidence,
    EvidenceError,
    LayerEvidence,
    UnitEvidence,
    load_evidence,
)
from peek_widget.evidence.groups import IMAGENET_GROUPS
from peek_widget.evidence.loading import LoaderOptions
from peek_widget.evidence.measures import DatasetStatistics, PictureScore
from peek_widget.evidence.merge import merge_evidence
from peek_widget.evidence.passes import EvidencePass
from peek_widget.evidence.progress import Progress
from peek_widget.evidence.scores import score_pictures
from peek_widget.evidence.survey import Survey, survey
from peek_widget.evidence.top_crops import top_crops
from peek_widget.network.receptive_field.effective import EffectiveField, effective_field
from peek_widget.network.receptive_field.field_map import FieldMap, field_map, measured_field

__all__ = [
    "IMAGENET_GROUPS",
    "Crop",
    "DatasetError",
    "DatasetStatistics",
    "EffectiveField",
    "Evidence",
    "EvidenceError",
    "EvidencePass",
    "EvidenceStoreError",
    "FieldMap",
    "LayerEvidence",
    "LoaderOptions",
    "PictureScore",
    "Progress",
    "Survey",
    "UnitEvidence",
    "activation_map",
    "activations",
    "effective_field",
    "field_map",
    "find_focus",
    "load_evidence",
    "measured_field",
    "merge_evidence",
    "score_pictures",
    "survey",
    "top_crops",
]

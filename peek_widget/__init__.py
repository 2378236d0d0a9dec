"""A microscope for convolutional networks that lives inside a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peek_widget._version import __version__
from peek_widget.ascent import (
    Accentuate,
    Ascent,
    Channel,
    Direction,
    Diversity,
    Drawing,
    Logit,
    Neuron,
    Objective,
    Recipe,
    Result,
    State,
    Step,
    Style,
    ascend,
    fingerprint,
    interpolate,
    load_recipe,
    measure_spectrum,
    render,
    save_animation,
)
from peek_widget.comparison import Comparison, compare
from peek_widget.errors import (
    AscentError,
    BatchWarning,
    DatasetError,
    DatasetWarning,
    EvidenceStoreError,
    FieldWarning,
    FileError,
    HookWarning,
    LayerError,
    ModelError,
    NotDrawnError,
    OutputWarning,
    PeekError,
    PeekWarning,
    PhotoError,
    PreprocessWarning,
    RandomWarning,
    RecipeError,
    SheetStoreError,
    SizeError,
    StoreError,
    SurveyWarning,
    TagError,
    UnitError,
)
from peek_widget.evidence import (
    Crop,
    Evidence,
    EvidencePass,
    LayerEvidence,
    LoaderOptions,
    Survey,
    UnitEvidence,
    activations,
    load_evidence,
    merge_evidence,
    score_pictures,
    survey,
    top_crops,
)
from peek_widget.network import Layer, Network, Preprocess, layers, read
from peek_widget.photo import Firing, Look, Prediction, Predictions, UnitMap, WhatIf, look_at

if TYPE_CHECKING:
    from peek_widget.circuits import Circuit, circuit, filters, pushed_classes
    from peek_widget.explorer import UnitExplorer
    from peek_widget.game.page import GuessingGame
    from peek_widget.live.comparison_service import LiveComparison
    from peek_widget.live.history import HistoryPoint
    from peek_widget.sheet import (
        Agreement,
        ContactSheet,
        Count,
        SheetUnit,
        Suggestion,
        Tags,
        agreement,
        contact_sheet,
        kappa,
    )

__all__ = [
    "Accentuate",
    "Agreement",
    "Ascent",
    "AscentError",
    "BatchWarning",
    "Channel",
    "Circuit",
    "Comparison",
    "ContactSheet",
    "Count",
    "Crop",
    "DatasetError",
    "DatasetWarning",
    "Direction",
    "Diversity",
    "Drawing",
    "Evidence",
    "EvidencePass",
    "EvidenceStoreError",
    "FieldWarning",
    "FileError",
    "Firing",
    "GuessingGame",
    "HistoryPoint",
    "HookWarning",
    "Layer",
    "LayerError",
    "LayerEvidence",
    "LiveComparison",
    "LoaderOptions",
    "Logit",
    "Look",
    "ModelError",
    "Network",
    "Neuron",
    "NotDrawnError",
    "Objective",
    "OutputWarning",
    "PeekError",
    "PeekWarning",
    "PhotoError",
    "Prediction",
    "Predictions",
    "Preprocess",
    "PreprocessWarning",
    "RandomWarning",
    "Recipe",
    "RecipeError",
    "Result",
    "SheetStoreError",
    "SheetUnit",
    "SizeError",
    "State",
    "Step",
    "StoreError",
    "Style",
    "Suggestion",
    "Survey",
    "SurveyWarning",
    "TagError",
    "Tags",
    "UnitError",
    "UnitEvidence",
    "UnitExplorer",
    "UnitMap",
    "WhatIf",
    "__version__",
    "activations",
    "agreement",
    "ascend",
    "circuit",
    "compare",
    "contact_sheet",
    "filters",
    "fingerprint",
    "interpolate",
    "kappa",
    "layers",
    "load_evidence",
    "load_recipe",
    "look_at",
    "measure_spectrum",
    "merge_evidence",
    "pushed_classes",
    "read",
    "render",
    "save_animation",
    "score_pictures",
    "survey",
    "top_crops",
]


_OF_SHEET = (
    "Agreement",
    "ContactSheet",
    "Count",
    "SheetUnit",
    "Suggestion",
    "Tags",
    "agreement",
    "contact_sheet",
    "kappa",
)


_OF_CIRCUITS = ("Circuit", "circuit", "filters", "pushed_classes")


def __getattr__(name: str) -> Any:
    # Only when asked for: the engine runs in plain scripts that have no Jupyter, and starts quickly.
    if name == "UnitExplorer":
        from peek_widget.explorer import UnitExplorer

        return UnitExplorer
    if name == "GuessingGame":
        from peek_widget.game.page import GuessingGame

        return GuessingGame
    if name == "LiveComparison":
        from peek_widget.live.comparison_service import LiveComparison

        return LiveComparison
    if name == "HistoryPoint":
        from peek_widget.live.history import HistoryPoint

        return HistoryPoint
    if name in _OF_CIRCUITS:
        from peek_widget import circuits

        return getattr(circuits, name)
    if name in _OF_SHEET:
        from peek_widget import sheet

        return getattr(sheet, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

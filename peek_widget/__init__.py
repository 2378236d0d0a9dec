"""A microscope for convolutional networks that lives inside a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peek_widget._version import __version__
from peek_widget.ascent import (
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
from peek_widget.errors import PeekError
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
    score_pictures,
    survey,
    top_crops,
)
from peek_widget.network import Layer, Preprocess, layers

if TYPE_CHECKING:
    from peek_widget.explorer import UnitExplorer
    from peek_widget.game.page import GuessingGame
    from peek_widget.sheet import ContactSheet, SheetUnit, Tags, contact_sheet

__all__ = [
    "Ascent",
    "Channel",
    "Comparison",
    "ContactSheet",
    "Crop",
    "Direction",
    "Diversity",
    "Drawing",
    "Evidence",
    "EvidencePass",
    "GuessingGame",
    "Layer",
    "LayerEvidence",
    "LoaderOptions",
    "Logit",
    "Neuron",
    "Objective",
    "PeekError",
    "Preprocess",
    "Recipe",
    "Result",
    "SheetUnit",
    "State",
    "Step",
    "Style",
    "Survey",
    "Tags",
    "UnitEvidence",
    "UnitExplorer",
    "__version__",
    "activations",
    "ascend",
    "compare",
    "contact_sheet",
    "fingerprint",
    "interpolate",
    "layers",
    "load_evidence",
    "load_recipe",
    "measure_spectrum",
    "render",
    "save_animation",
    "score_pictures",
    "survey",
    "top_crops",
]


def __getattr__(name: str) -> Any:
    # Only when asked for: the engine runs in plain scripts that have no Jupyter, and starts quickly.
    if name == "UnitExplorer":
        from peek_widget.explorer import UnitExplorer

        return UnitExplorer
    if name == "GuessingGame":
        from peek_widget.game.page import GuessingGame

        return GuessingGame
    if name in ("ContactSheet", "SheetUnit", "Tags", "contact_sheet"):
        from peek_widget import sheet

        return getattr(sheet, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

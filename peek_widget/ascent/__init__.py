"""Gradient ascent on images: pure torch, no notebook needed."""

from peek_widget.ascent.accentuate import Accentuate
from peek_widget.ascent.animation import save_animation
from peek_widget.ascent.arguments import AscentOptions
from peek_widget.ascent.at_once import seeds_at_once
from peek_widget.ascent.direction import Direction
from peek_widget.ascent.diversity import Diversity
from peek_widget.ascent.engine import Ascent
from peek_widget.ascent.knobs import KNOBS, NUMBERS, Knob
from peek_widget.ascent.objective import Channel, Logit, Neuron, Objective, interpolate, unit_objective
from peek_widget.ascent.pictures import to_pil
from peek_widget.ascent.presets import Preset, presets
from peek_widget.ascent.provenance import Drawing, fingerprint, load_recipe
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.render import ascend, render
from peek_widget.ascent.result import Result, Step
from peek_widget.ascent.spectrum import measure_spectrum, natural_spectrum, power_law_spectrum
from peek_widget.ascent.state import State
from peek_widget.ascent.style import Style

__all__ = [
    "KNOBS",
    "NUMBERS",
    "Accentuate",
    "Ascent",
    "AscentOptions",
    "Channel",
    "Direction",
    "Diversity",
    "Drawing",
    "Knob",
    "Logit",
    "Neuron",
    "Objective",
    "Preset",
    "Recipe",
    "Result",
    "State",
    "Step",
    "Style",
    "ascend",
    "fingerprint",
    "interpolate",
    "load_recipe",
    "measure_spectrum",
    "natural_spectrum",
    "power_law_spectrum",
    "presets",
    "render",
    "save_animation",
    "seeds_at_once",
    "to_pil",
    "unit_objective",
]

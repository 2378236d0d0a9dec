"""Gradient ascent on images: pure torch, no notebook needed."""

from peek_widget.ascent.engine import Ascent, Result, Step, ascend, render, to_pil
from peek_widget.ascent.objective import Channel, Logit, Neuron, Objective
from peek_widget.ascent.recipe import KNOBS, Knob, Preset, Recipe, presets

__all__ = [
    "KNOBS", "Ascent", "Channel", "Knob", "Logit", "Neuron", "Objective", "Preset", "Recipe", "Result", "Step",
    "ascend", "presets", "render", "to_pil",
]  # fmt: skip

"""Descriptions for the front end of the layers, recipes, knobs and devices to choose from, and names of classes."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from typing import Any

from peek_widget._version import __version__
from peek_widget.ascent import KNOBS, Recipe, presets
from peek_widget.errors import PeekError
from peek_widget.live.choices import Choices, devices, kinds
from peek_widget.live.controls import KNOB_NAMES
from peek_widget.live.front_end import channels_shown
from peek_widget.live.model_source import ModelSource
from peek_widget.live.status import HELP
from peek_widget.network import OUTPUT, Layer, Network

__all__ = ["Catalog", "default_layer"]

log: logging.Logger = logging.getLogger("peek_widget")


class Catalog:
    """Descriptions for the front end of what an explorer can show; see `peek_widget.live.protocol.traits`.

    Args:
        source: the model.
        choices: the recipes that are offered.
        class_names: names of the output's units; None takes `model.class_names`.

    Raises:
        PeekError: if `class_names` are given and don't fit the output.
    """

    def __init__(self, source: ModelSource, choices: Choices, class_names: Iterable[str] | None = None) -> None:
        self._source, self._choices = source, choices
        self.class_names: list[str] = _class_names(source.model, source.network, class_names)

    def layers(self, current: str) -> list[dict[str, Any]]:
        """Describe the layers that are offered, including the one shown."""
        shown = [layer for layer in self._source.network.layers if layer.primary or layer.name == current]
        named = self._named(shown)
        return [
            {
                "name": layer.name,
                "kind": layer.kind,
                "channels": layer.channels,
                "size": list(layer.size),
                "receptive_field": list(layer.receptive_field),
                "stride": [round(stride, 2) for stride in layer.stride],
                "rectified": layer.rectified,
                "objectives": list(kinds(layer)),
                "named": layer.name in named,
            }
            for layer in shown
        ]

    def _named(self, layers: list[Layer]) -> set[str]:
        """Return the layers whose units are the classes: the last ones with as many units as there are names."""
        named = set()
        for layer in reversed(layers):
            if not self.class_names or layer.channels != len(self.class_names):
                break
            named.add(layer.name)
        return named

    def unit_name(self, layer: str, unit: int) -> str:
        """Return the name of the class that a unit stands for; "" if it is not a class."""
        shown = [each for each in self._source.network.layers if each.primary or each.name == layer]
        return self.class_names[unit] if layer in self._named(shown) else ""

    def recipes(self, current: Recipe | str) -> list[dict[str, str]]:
        """Describe the recipes that are offered, including the current one."""
        known = [(name, presets()[name]) for name in self._choices.recipes]
        rows = [{"name": name, "summary": preset.summary, "source": preset.source} for name, preset in known]
        if isinstance(current, Recipe) and current.name not in presets():
            rows.append({"name": current.name, "summary": "Your own.", "source": "Given in Python."})
        return rows

    def knobs(self) -> list[dict[str, Any]]:
        """Describe the knobs."""
        return [dataclasses.asdict(KNOBS[name]) for name in KNOB_NAMES]

    def about(self) -> dict[str, Any]:
        """Describe the model, the machine and the controls."""
        network = self._source.network
        preprocess, shown = str(network.preprocess), channels_shown(network.channels)
        name, found = type(self._source.model).__name__, network.findings
        return {
            "model": f"{name}: {found}" if found.all else name,
            "preprocess": f"{preprocess}; shown: {shown}" if shown else preprocess,
            "device": self._source.computing,
            "devices": devices(),
            "version": __version__,
            "help": HELP,
        }


def default_layer(network: Network) -> str:
    """Choose a layer to begin with.

    Units of early layers respond to edges, which is soon seen; those of the last layers to whole classes, many of
    them mixed. At four fifths of the depth, units respond to motifs and parts, and their pictures soon become
    recognizable.
    """
    spatial = [layer for layer in network.layers if layer.primary and layer.spatial]
    candidates: list[Layer] = spatial or [layer for layer in network.layers if layer.primary]
    last = len(candidates) - 1
    near = [at for at in range(last + 1) if 0.7 * last <= at <= 0.9 * last] or [last]
    # prefer a block to the convolutions inside it: its name and units are those of the paper
    best = min(near, key=lambda at: (candidates[at].name.count("."), abs(at - 0.8 * last)))
    return candidates[best].name


def _class_names(model: Any, network: Network, class_names: Iterable[str] | None) -> list[str]:
    """Return names of the output's units, [] if there are none; PeekError if given names don't fit."""
    given = getattr(model, "class_names", None) if class_names is None else class_names
    if given is None:
        return []
    if isinstance(given, str) or not isinstance(given, Iterable):
        words = f"a list of names, one for each unit of the output, not {type(given).__name__} {given!r:.60}."
        if class_names is not None:
            raise PeekError(f"class_names= takes {words}")
        log.warning("model.class_names should be %s It is left out.", words)
        return []
    names = [str(name) for name in given]
    units = network.layer(OUTPUT).channels
    if len(names) != units:
        words = f"{len(names)} names, and the model's output has {units} units"
        if class_names is not None:
            raise PeekError(f"class_names= holds {words}: give one name for each unit, in their order.")
        if names:
            log.warning("model.class_names holds %s: the names are left out.", words)
        return []
    return names

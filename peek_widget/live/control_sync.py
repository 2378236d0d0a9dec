"""Synchronizes the services of an explorer with its control traits, set from Python or the page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from traitlets import Bunch

from peek_widget.ascent import Objective, Recipe
from peek_widget.live.assembly import Assembly
from peek_widget.live.choices import kinds
from peek_widget.live.controls import CONTROLS, KNOB_NAMES, Controls, recipe_name
from peek_widget.live.snapshot import Start, Target

__all__ = ["ControlSync"]

log: logging.Logger = logging.getLogger("peek_widget")

_NEW_RUN = [name for name, control in CONTROLS.items() if control.new_run]
_APPLIED = [name for name, control in CONTROLS.items() if control.apply]


class ControlSync:
    """An observer of an explorer's controls that leaves requests with its services and computes nothing itself.

    Args:
        explorer: the widget with the traits; nothing is read from it before `observe`.
        parts: the explorer's model and services.

    Attributes:
        lock: held while a control is set; see `peek_widget.traits.ControlTrait`.
        describing: whether the traits that describe the explorer may be set.
        start: initial image of the unit; None for the recipe's own start.
    """

    def __init__(self, explorer: Any, parts: Assembly) -> None:
        self._explorer, self._parts = explorer, parts
        self.lock: Any = threading.RLock()
        self.describing: bool = True
        self.start: Start | None = None
        self._following = False
        self._looking_back = False

    def observe(self) -> None:
        """Begin to observe the controls, and apply the initial values of those that a service takes at once."""
        self.describing = False
        self._explorer.observe(self._begin_run, _NEW_RUN)
        self._explorer.observe(self._set_knob, list(KNOB_NAMES))
        self._explorer.observe(self._play_or_pause, "playing")
        for name in _APPLIED:
            self._explorer.observe(self._apply, name)
            self._apply(Bunch(name=name, new=getattr(self._explorer, name)))

    def controls(self) -> Controls:
        """Return the current controls."""
        return Controls.of(self._explorer)

    def target(self) -> Target:
        """Return the target of the main run for the current controls."""
        return self._parts.target(self.controls(), self.start)

    def follow(self, **controls: Any) -> None:
        """Set controls that follow from another change, which the services know of or are about to be told."""
        with self.lock:
            self._following = True
            try:
                for name, value in controls.items():
                    setattr(self._explorer, name, value)
            finally:
                self._following = False

    def look_back(self) -> None:
        """Pause to view an earlier step."""
        self._looking_back |= self.controls().playing
        self.follow(playing=False)

    def stop_looking_back(self) -> None:
        """Go on with a run that was only paused to view an earlier step."""
        if self._looking_back:
            self._looking_back = False
            self.follow(playing=True)
            self._parts.run.set_playing(True)

    def accept(self, state: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the part of the page's requested state that it may set.

        Returns:
            the controls to set, and the knobs to reset because the recipe chosen by the page can't have them.
        """
        controls = {name: value for name, value in state.items() if name in CONTROLS}
        if len(controls) < len(state):
            refused = ", ".join(sorted(str(name)[:40] for name in state if name not in controls)[:8])
            log.warning("The front end may not set %s; ignored.", refused)
        for name in ("recipe", "objective"):
            # a front end knows only names: the name of an object made in Python means that object
            value = getattr(self._explorer, name)
            if not isinstance(value, str) and controls.get(name) == CONTROLS[name].to_page(value):
                del controls[name]
        return controls, self._refused_overrides(controls)

    def _refused_overrides(self, controls: Mapping[str, Any]) -> list[str]:
        name = controls.get("recipe")
        if not isinstance(name, str) or name not in self._parts.choices.recipes:
            return []
        recipe = Recipe.preset(name)
        return [
            knob
            for knob, value in self.controls().overrides.items()
            if knob not in controls and not recipe.takes(knob, value)
        ]

    def _begin_run(self, change: Bunch) -> None:
        if self._following:
            return
        parts, name = self._parts, change.name
        if name == "layer":
            self._follow_layer()
        if name == "recipe":
            self._list_recipe()
        if name == "device":
            parts.source.device = change.new
            self._describe(_about={**self._explorer._about, "device": parts.source.computing})
        if name in ("layer", "unit"):
            self.start = None
            if isinstance(self.controls().objective, Objective):
                # the custom objective was for the previous unit
                self.follow(objective=parts.usual_objective(self.controls().layer))
        now = self.controls()
        if name in ("layer", "unit") and parts.examples is not None:
            parts.examples.show_unit(now.layer, now.unit)
        if name in ("layer", "unit"):
            parts.circuit.show_unit(now.layer, now.unit)
        parts.run.set_target(self.target())
        self.stop_looking_back()
        parts.sheets.show_sheet(parts.sheet_key(now))
        if name == "layer":
            parts.tags.show_layer(now.layer)
            parts.photo.show_layer(now.layer)

    def _follow_layer(self) -> None:
        """Reset what the new layer may not have in common with the last one: unit, objective, position."""
        now = self.controls()
        if now.layer not in self._listed("_layer_list"):
            self._describe(_layer_list=self._parts.catalog.layers(now.layer))
        layer = self._parts.source.network.layer(now.layer)
        self.follow(unit=min(now.unit, layer.channels - 1))
        if isinstance(now.objective, str) and (now.objective not in kinds(layer) or now.objective == "class"):
            self.follow(objective=self._parts.usual_objective(now.layer))
        self.follow(at=None)

    def _list_recipe(self) -> None:
        recipe = self.controls().recipe
        if recipe_name(recipe) not in self._listed("_recipe_list"):
            self._describe(_recipe_list=self._parts.catalog.recipes(recipe))

    def _listed(self, trait: str) -> list[str]:
        return [row["name"] for row in getattr(self._explorer, trait)]

    def _set_knob(self, change: Bunch) -> None:
        self._parts.run.set_knobs(**{change.name: change.new})

    def _apply(self, change: Bunch) -> None:
        getattr(self._parts.run, CONTROLS[change.name].apply)(change.new)

    def _play_or_pause(self, change: Bunch) -> None:
        if change.new:
            self._looking_back = False
        if not self._following:
            self._parts.run.set_playing(change.new)

    def _describe(self, **values: Any) -> None:
        """Set traits that describe the explorer."""
        with self.lock:
            self.describing = True
            try:
                for name, value in values.items():
                    setattr(self._explorer, name, value)
            finally:
                self.describing = False

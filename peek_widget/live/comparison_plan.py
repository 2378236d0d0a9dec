"""The plan of a comparison in an explorer: what it draws, from the controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from peek_widget.ascent import Objective, Recipe
from peek_widget.comparison import Comparison, Entry, entries
from peek_widget.live.catalog import Catalog
from peek_widget.live.choices import Choices, objective_of, usual_kind
from peek_widget.live.controls import KNOB_NAMES, Controls, check_seed, recipe_name
from peek_widget.live.model_source import ModelSource

__all__ = ["ComparisonPlan"]


class ComparisonPlan:
    """A planned comparison of recipes, seeds or units.

    Args:
        source: the model.
        choices: the recipes that are offered.
        catalog: names of the classes.
        controls: the layer, and whatever the pictures have in common.
        what: one of "recipes", "seeds" and "units", with its values.

    Raises:
        PeekError: if the comparison is not possible, with a sentence.
    """

    def __init__(
        self, source: ModelSource, choices: Choices, catalog: Catalog, controls: Controls, what: Mapping[str, Any]
    ) -> None:
        self._source, self._controls, self._what = source, controls, what
        self._choices, self._catalog = choices, catalog

    def entries(self) -> tuple[list[Entry], str]:
        """Return the entries to draw, and a title.

        Raises:
            PeekError: if the comparison is not possible, with a sentence.
        """
        controls = self._controls
        found = entries(
            self._source.network,
            controls.layer,
            controls.unit,
            **self._what,
            recipe=controls.effective_recipe(),
            seed=controls.seed,
            class_names=self._catalog.class_names,
            objective=self._objective,
            negative=controls.negative,
        )
        # only recipes that can be chosen can be compared: the page offers each picture for the main view
        for recipe in self._what.get("recipes", ()):
            self._choices.check_recipe(recipe)
        for seed in self._what.get("seeds", ()):
            check_seed(int(seed))
        return found

    def make(self) -> Comparison:
        """Begin the comparison; called in the worker's thread."""
        found, title = self.entries()
        return Comparison(self._source.fresh(), found, title, size=self._controls.size)

    def page_controls(self) -> list[dict[str, Any]]:
        """Return the controls that the page sets to show each picture in the main view."""
        ((what, values),) = self._what.items()
        return [self._controls_of(what, value) for value in values]

    def _objective(self, unit: int) -> Objective:
        controls = dataclasses.replace(self._controls, unit=unit)
        if unit != self._controls.unit and isinstance(controls.objective, Objective):
            # a custom Objective is for the unit shown only
            layer = self._source.network.layer(controls.layer)
            controls = dataclasses.replace(controls, objective=usual_kind(layer))
        return objective_of(self._source.network, controls.target())

    def _controls_of(self, what: str, value: Any) -> dict[str, Any]:
        if what != "recipes":
            return {what.removesuffix("s"): value}
        if isinstance(value, Recipe) and value.name not in (recipe_name(self._controls.recipe), *Recipe.presets()):
            return {}
        return {"recipe": recipe_name(value), **dict.fromkeys(KNOB_NAMES)}

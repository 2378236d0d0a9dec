"""Former names of fields, in files written up to commit b59fa5a, and their present names.

All readers of recipes, run states, objectives and sheet headers apply these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from peek_widget.errors import RecipeError

__all__ = ["recipe_values", "renamed_fields", "renamed_tensor"]

_T = TypeVar("_T")

FIELDS: Mapping[str, str] = {
    "beyond": "padding_mode",
    "bilateral_colour": "bilateral_color",
    "centre_deviation": "center_std",
    "center_deviation": "center_std",
    "crop_deviation": "crop_std",
    "image": "param",
    "keep": "return_best",
    "largest_rate": "max_rate",
    "late_jitter": "jitter2",
    "normalise": "grad_norm",
    "normalize": "grad_norm",
    "optimiser": "optimizer",
    "scales": "scale_choices",
    "small_contribution": "clip_contribution_percentile",
    "small_norm": "clip_norm_percentile",
    "start": "init",
    "start_deviation": "init_std",
    "start_level": "init_mean",
    "transparency": "alpha",
    "turns": "rotation_choices",
    "view": "sampling",
    "views": "n_views",
}
"""Fields of a recipe, and numbers that a run overrides."""

VALUES: Mapping[str, Mapping[str, str | bool]] = {
    "init": {"grey": "gray"},
    "padding_mode": {"mirror": "reflect", "grey": "constant", "gray": "constant"},
    "return_best": {"last": False, "best": True},
}
"""Values of a recipe's fields, by the field's name of today."""

TENSORS: Mapping[str, str] = {"first_size": "first_grad_rms"}
"""Tensors of a run's state; the optimizer's also had the prefix ``optimiser.``."""

POSITIONS: Mapping[str, str] = {"centre": "center"}
"""Positions on a feature map that have a name."""


def renamed_fields(values: Mapping[str, _T]) -> dict[str, _T]:
    """Return a mapping with its fields under their present names.

    Raises:
        RecipeError: if a field stands in it under its old and its new name.
    """
    renamed: dict[str, _T] = {}
    for name, value in values.items():
        new = FIELDS.get(name, name)
        if new in renamed or (new != name and new in values):
            names = ", ".join(repr(one) for one in values if FIELDS.get(one, one) == new)
            raise RecipeError(f"The recipe has the field {new!r} under several names ({names}): keep only {new!r}.")
        renamed[new] = value
    return renamed


def recipe_values(values: Mapping[str, object]) -> dict[str, object]:
    """Return a recipe's values with present field names and words; raises as :func:`renamed_fields`."""
    renamed = renamed_fields(values)
    for name, words in VALUES.items():
        value = renamed.get(name)
        if isinstance(value, str):
            renamed[name] = words.get(value, value)
    return renamed


def renamed_tensor(name: str) -> str:
    """Return the present name of a tensor in a run's state."""
    if name.startswith("optimiser."):
        return "optimizer." + name.removeprefix("optimiser.")
    return TENSORS.get(name, name)

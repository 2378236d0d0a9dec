"""The numbers of a recipe that may follow a schedule and may be overridden while a picture is drawn."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from peek_widget.errors import RecipeError

__all__ = ["KNOBS", "NUMBERS", "Knob"]


@dataclass(frozen=True)
class Knob:
    """A number of a recipe that may follow a schedule and may be overridden during a run."""

    name: str
    """Name of the field of :class:`~peek_widget.Recipe`."""

    label: str
    """Name in the user interface."""

    minimum: float
    """Smallest value."""

    maximum: float
    """Largest value."""

    scale: Literal["linear", "log"]
    """Scale of a slider."""

    unit: str
    """Unit of the number, as part of a sentence; empty for a number without one."""

    help: str
    """Effect on the picture, in a sentence."""

    def check(self, value: object) -> float:
        """Return the value as a float.

        Raises:
            RecipeError: if it is not a finite number, or out of range.
        """
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or value != value or abs(value) == math.inf:
            raise RecipeError(f"{self.name}={value!r}: give a number from {self.minimum:g} to {self.maximum:g}.")
        if not self.minimum <= value <= self.maximum:
            raise RecipeError(
                f"{self.name}={value!r} is out of range: give a number from {self.minimum:g} to {self.maximum:g}"
                + (f" ({self.unit})." if self.unit else ".")
            )
        return float(value)


def _by_name(*knobs: Knob) -> dict[str, Knob]:
    return {knob.name: knob for knob in knobs}


KNOBS: Mapping[str, Knob] = _by_name(
    Knob("blur", "blur", 0.0, 5.0, "linear", "px",
         "Smooths the picture after every step: more gives large, soft forms; without it high-frequency noise grows."),
    Knob("jitter", "jitter", 0.0, 0.5, "linear", "of the side",
         "Shifts what the network sees at every step: more gives forms that do not depend on one exact position."),
    Knob("decay", "decay", 0.0, 0.5, "linear", "a step",
         "Fades the picture a little at every step: only what the objective keeps reinforcing survives."),
    Knob("total_variation", "total variation", 0.0, 1.0, "linear", "",
         "Penalizes differences between neighboring pixels: more gives plain areas with clear edges."),
    Knob("step_size", "step size", 0.001, 200.0, "log", "",
         "How far the picture moves at every step: small is slow and fine, large is quick and rough."),
)  # fmt: skip
"""The five numbers that the explorer shows as sliders, by name."""

NUMBERS: Mapping[str, Knob] = {
    **KNOBS,
    **_by_name(
        Knob("bilateral", "bilateral filter", 0.0, 5.0, "linear", "px",
             "Smooths areas after every step and keeps their edges."),
        Knob("contrast_cap", "contrast cap", 0.0, 10.0, "linear", "of the energy in photographs",
             "Limits the contrast of every band of frequencies; without it large forms become black and white."),
        Knob("contrast_floor", "contrast floor", 0.0, 1.0, "linear", "of the contrast of photographs",
             "Raises the contrast of a pale picture after every step, all frequencies by one factor."),
        Knob("l1", "L1", 0.0, 1.0, "linear", "",
             "Shrinks every pixel toward mid-gray by the same amount."),
        Knob("clip_norm_percentile", "clipping by norm", 0.0, 99.0, "linear", "% of the pixels",
             "Clears the pixels with the smallest norm after every step."),
        Knob("clip_contribution_percentile", "clipping by contribution", 0.0, 99.0, "linear", "% of the pixels",
             "Clears the pixels with the smallest contribution to the objective after every step."),
        Knob("rotation", "rotation", 0.0, 180.0, "linear", "degrees",
             "Rotates what the network sees at every step."),
        Knob("noise", "noise", 0.0, 0.5, "linear", "of black to white",
             "Adds noise to what the network sees at every step."),
        Knob("flip", "flip", 0.0, 1.0, "linear", "of the views",
             "Flips what the network sees, left for right."),
        Knob("weight_noise", "weight noise", 0.0, 1.0, "linear", "of the scores",
             "Adds noise to the network's weights at every step, for a class: by how much that changes the scores."),
        Knob("crop_mean", "crop", 0.05, 1.0, "linear", "of the side",
             "The mean side of normal crops."),
    ),
}  # fmt: skip
"""Every number that may follow a schedule, by name, the explorer's five among them."""

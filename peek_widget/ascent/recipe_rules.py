"""Rules for recipes: the ranges of fields, and combinations that are refused."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

from peek_widget._size import SizeLike, read_size
from peek_widget.errors import RecipeError

__all__ = ["COMBINATIONS", "MAXIMUM_SIZE", "RANGES", "USES", "check_number", "check_range", "check_size"]

Range = tuple[float, float] | tuple[tuple[float, float], tuple[float, float]]
"""(smallest, largest) for the whole run; or two such pairs, at its start and at its end, linear between."""


class Combination(NamedTuple):
    """A rule about several fields of a recipe."""

    name: str
    possible: Callable[[Any], bool]
    """Whether a recipe obeys it."""

    message: str
    """The error where it is broken, a format of ``recipe``."""


class Use(NamedTuple):
    """A rule about when a number has an effect."""

    fields: tuple[str, ...]
    possible: Callable[[Any], bool]
    """Whether the number has an effect in a recipe."""

    message: str
    """The error where it has none, a format of ``recipe`` and ``name``."""


COMBINATIONS = (
    Combination("a window is of pixels", lambda r: r.sampling != "window" or r.param == "pixels",
                 "sampling='window' changes a square of pixels, so it needs param='pixels'."),
    Combination("a window is one view", lambda r: r.sampling != "window" or r.n_views == 1,
                 "sampling='window' shows one square at each step: give n_views=1 and not {recipe.n_views}."),
    Combination("a window is not resampled",
                 lambda r: r.sampling != "window" or not (r.rotation_choices or r.scale_choices),
                 "sampling='window' shows the pixels as they are: for rotation_choices or scale_choices take another "
                 "sampling."),
    Combination("padding surrounds the whole picture", lambda r: r.padding == 0.0 or r.sampling == "whole",
                 "padding surrounds the whole picture, so it needs sampling='whole'."),
    Combination("jitter2 shifts the whole picture", lambda r: r.jitter2 == 0.0 or r.sampling == "whole",
                 "jitter2 shifts a whole picture after it was scaled, so it needs sampling='whole'."),
    Combination("phases begin from noise", lambda r: r.param != "maco" or r.init == "noise",
                 "param='maco' moves phases, and init={recipe.init!r} has none: give init='noise'."),
    Combination("phases have one size", lambda r: r.param != "maco" or all(scale == 1.0 for _, scale in r.octaves),
                 "param='maco' has one size, the spectrum's: give octaves of scale 1."),
    Combination("progress is the rate of plain steps on pixels",
                 lambda r: r.grad_norm != "progress" or (r.optimizer == "plain" and r.param == "pixels"),
                 "grad_norm='progress' sets the rate of plain steps on pixels: it needs optimizer='plain', "
                 "param='pixels'."),
)  # fmt: skip

USES = (
    Use(("bilateral", "clip_norm_percentile", "clip_contribution_percentile"), lambda r: r.param == "pixels",
         "{name} changes single pixels: it needs param='pixels', and not {recipe.param!r}."),
    Use(("contrast_cap", "contrast_floor"), lambda r: r.param == "fourier",
         "{name} limits bands of a spectrum: it needs param='fourier', and not {recipe.param!r}."),
    Use(("decay",), lambda r: r.param != "maco",
         "param='maco' has a fixed contrast, so nothing can decay: give decay=0."),
    Use(("rotation", "flip"), lambda r: r.sampling != "window",
         "sampling='window' shows the pixels as they are: for {name} take another sampling."),
    Use(("crop_mean",), lambda r: r.sampling == "normal-crop",
         "crop_mean is the side of normal crops, and sampling={recipe.sampling!r} has none: take a recipe with "
         "sampling='normal-crop', as 'maco-2023' has it."),
    Use(("rotation",), lambda r: not r.rotation_choices,
         "rotation_choices are taken in place of rotation: give rotation=0, or rotation_choices=()."),
)  # fmt: skip

RANGES = {
    "init_mean": (0.0, 255.0),
    "init_std": (0.0, 255.0),
    "spectrum_power": (0.0, 3.0),
    "max_rate": (1e-6, 1e12),
    "mean_grad_norm": (1e-6, 1e6),
    "stretch": (1e-3, 1e3),
    "log_probability": (0.0, 100.0),
    "rivals": (0.0, 1.0),
    "residual_gradient": (0.0, 1.0),
    "relu_leak": (0.0, 1.0),
    "pool_spread": (0.0, 1.0),
    "class_flip": (0.0, 1.0),
    "crop_std": (0.0, 1.0),
    "center_std": (0.0, 1.0),
    "jitter2": (0.0, 0.25),
    "padding": (0.0, 1.0),
    "bilateral_color": (0.01, 1.0),
}
"""(smallest, largest) value of each field that is a plain number."""

MINIMUM_SIZE, MAXIMUM_SIZE = 8, 2048


def check_size(size: object, name: str = "size") -> SizeLike:
    """Return the size of a picture (or what ``name`` is) in pixels: an int for a square, else (height, width).

    Raises:
        RecipeError: if it is invalid.
    """
    return read_size(size, name, lowest=MINIMUM_SIZE, highest=MAXIMUM_SIZE, error=RecipeError).plain


def check_number(name: str, value: object, low: float, high: float) -> float:
    """Return a number from ``low`` to ``high`` as a float; RecipeError for anything else."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not low <= value <= high:
        raise RecipeError(f"{name}={value!r} is out of range: give a number from {low:g} to {high:g}.")
    return float(value)


def check_range(name: str, value: object) -> Range:
    """Return (smallest, largest), or two such pairs, as tuples of floats; RecipeError for anything else."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise RecipeError(f"{name}={value!r}: give (smallest, largest) as shares, e.g. (0.25, 1.0).")
    if all(isinstance(pair, (tuple, list)) for pair in value):
        start, end = (check_range(name, pair) for pair in value)
        if isinstance(start[0], tuple) or isinstance(end[0], tuple):
            raise RecipeError(f"{name}={value!r}: give two pairs at most, for the run's start and its end.")
        return (start, end)
    low, high = (check_number(name, v, 0.02, 4.0) for v in value)
    if low > high:
        raise RecipeError(f"{name}={value!r}: give the smallest first.")
    return (low, high)

"""Recipes: every number that an ascent runs by, frozen and written as JSON; and the presets by name.

``Recipe`` has more than 350 lines, most of them descriptions and bounds of its fields. The presets themselves are in
:mod:`~peek_widget.ascent.presets`, which registers them here.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from peek_widget._size import SizeLike
from peek_widget.ascent.knobs import NUMBERS, Knob
from peek_widget.ascent.old_names import FIELDS, recipe_values
from peek_widget.ascent.recipe_rules import COMBINATIONS, RANGES, USES, Range, check_number, check_range, check_size
from peek_widget.errors import RecipeError

__all__ = ["Preset", "Recipe", "as_recipe", "check_size", "preset", "presets", "register"]

Schedule = float | tuple[float, float] | tuple[tuple[float, float], ...]
"""A number that holds for the whole run; (start, end), linear over the run; or one (start, end) for each octave."""


@dataclass(frozen=True)
class Recipe:
    """Every number of an ascent but its objective, its seed and its size.

    A field of type ``Schedule`` takes a number for the whole run, ``(start, end)``, linear over the run, or
    ``((start, end), ...)`` with one such pair for each octave; :data:`~peek_widget.ascent.NUMBERS` has their ranges.
    A field of type ``Range`` takes (smallest, largest), or two such pairs for the run's start and its end.

    Raises:
        RecipeError: for a number out of its range or an invalid combination, in a sentence.
    """

    # The run

    name: str = "custom"
    """Name of the preset that the recipe comes from."""

    octaves: tuple[tuple[int, float], ...] = ((150, 1.0),)
    """``((steps, scale), ...)``: an octave enlarges the picture by ``scale`` and then makes that many steps."""

    size: SizeLike | None = None
    """Size of the finished picture in pixels: the side of a square one, and others have the same area; or (height,
    width), exactly. None for the model's input size."""

    return_best: bool = False
    """Whether the result is the picture with the highest activation (Yosinski et al. 2015) and not the last one."""

    # The picture

    param: Literal["fourier", "pixels", "maco"] = "fourier"
    """Parametrization: ``"fourier"`` (a spectrum with decorrelated color), ``"pixels"`` (gray levels from 0 to 255)
    or ``"maco"`` (only phases, on the spectrum of natural images)."""

    init: Literal["noise", "gray", "white"] = "noise"
    """What the picture begins as; a picture to begin from is given to ``ascend`` as ``start=``."""

    init_mean: float | None = 128.0
    """Mean of the initial noise in gray levels (pixels only); None for what the network sees as zero."""

    init_std: float = 0.01
    """Standard deviation of the initial noise: in gray levels for pixels, of the unscaled spectrum for Fourier, in
    radians for MACO."""

    spectrum_power: float = 1.2
    """Exponent p of the factor ``1 / f ** p`` on each frequency f: how much more a step moves coarse forms than fine
    ones (Fourier only)."""

    alpha: bool = False
    """Whether to record where the gradients were, and give it as the pictures' opacity (MACO's importance)."""

    # The optimizer

    optimizer: Literal["adam", "nadam", "plain"] = "adam"
    """``"plain"`` adds ``step_size`` times the gradient."""

    grad_norm: Literal["first", "rms", "mean", "none", "progress"] = "first"
    """What the gradient is divided by: its root mean square at the ``"first"`` step (for optimizers that measure it
    themselves later), its ``"rms"`` or ``"mean"`` absolute value at each step (Øygard), or ``"none"``.
    ``"progress"`` (Yosinski; plain steps on pixels) takes the rate ``min(max_rate, step_size / |g|^2)``. With
    ``"none"`` and ``"progress"`` the gradient of pixels is by gray levels."""

    step_size: Schedule = 0.05
    """Length of a step: the learning rate of Adam and NAdam, gray levels for plain steps on pixels."""

    max_rate: float = 100.0
    """Largest rate of ``grad_norm="progress"``."""

    mean_grad_norm: float | None = None
    """Norm by gray levels that the gradients of a picture have on average: each is multiplied by the factor that gives
    the mean of all norms up to this step that value. It brings any network to the scale of the one for which the rates
    of ``"none"`` and ``"progress"`` were published. The norm is that of a picture of 227 px, CaffeNet's; for another
    size it is in proportion to the side. None leaves gradients as the network has them."""

    stretch: float = 1.0
    """Factor by which the steps of ``"none"`` and ``"progress"`` are longer than published: the published pictures
    differ from the mean by a few gray levels, and were stretched to the full range to be shown."""

    # What the network sees

    log_probability: float = 0.0
    """Weight of a class's log-probability, which is added to its logit: the picture then also lacks what speaks for
    other classes. It is part of what is climbed, not of the activation that is shown; for a class of a model whose
    output is a vector, drawn alone."""

    rivals: float = 0.0
    """Weight of the scores of the two strongest other classes, whose mean is subtracted from a class's logit: else the
    picture may become one of another class that the same features speak for. Like the log-probability it is part of
    what is climbed alone, for a class of a model whose output is a vector and that is the whole objective; not where
    classes have a sigmoid each."""

    residual_gradient: float = 1.0
    """Factor on the gradient through what a residual block adds to its input, for a class of a model whose output is a
    vector (the skip gradient of Wu et al. 2020, see :mod:`~peek_widget.network.residual`): below 1, more of it takes
    the shortcuts past the blocks, and what the picture shows is more often seen by other networks too."""

    relu_leak: float = 0.0
    """Share of the gradient that passes a closed ReLU, for a class of a model whose output is a vector (see
    :mod:`~peek_widget.network.leak`): above 0, the picture is changed by what nearly opens it too, and what it shows is
    more often seen by other networks and by people too."""

    pool_spread: float = 0.0
    """Share of max-pooling's gradient that is spread evenly over its windows, for a class of a model whose output is a
    vector (see :mod:`~peek_widget.network.pooling`): above 0, what the picture shows is more often seen by other
    networks too."""

    weight_noise: Schedule = 0.0
    """Noise on the network's weights, another one in each step, for a class of a model whose output is a vector: what
    a picture owes to the exact weights averages out, and what is left is more often seen by other networks and by
    people too. It is given by what it does, to first order: the root mean square of the change of the scores, as a
    share of how far they are apart (see :mod:`~peek_widget.network.weight_noise`). Its standard deviation is at most a
    fifth of the root mean square of a layer's weights. The views' values, which the curve's band shows, are those with
    the noise."""

    sampling: Literal["crop", "normal-crop", "whole", "window"] = "crop"
    """How a view is taken from the picture: ``"crop"`` (random resized crops), ``"normal-crop"`` (MACO's crops, with
    normally distributed side and center), ``"whole"`` (the padded picture, as in Lucid) or ``"window"`` (one square of
    the first octave's size, the only part that a step changes; Øygard)."""

    n_views: int = 1
    """Views in each step; fewer, of as many pixels in all, where the network takes only views larger than
    ``view_size``."""

    view_size: int | None = None
    """Side in pixels of a ``"crop"`` view, as the network gets it, and others than square ones have the same area; None
    for the picture's, or the model's input size if that is smaller."""

    crop: Range = (0.25, 1.0)
    """Smallest and largest side of a crop as a share of the picture, for an objective that sees all of it."""

    field_crop: Range = (0.7, 1.1)
    """Smallest and largest side of a crop as a share of the receptive field, for a unit that has one."""

    effective_field: bool = False
    """Whether the picture of a unit stands for the effective receptive field of its layer (Luo et al. 2016) where the
    theoretical one is wide, and not for all of that."""

    crop_mean: Schedule = 0.5
    """Mean side of normal crops, as a share of the picture."""

    crop_std: float = 0.05
    """Standard deviation of the side of normal crops, as a share of the picture."""

    center_std: float = 0.15
    """Standard deviation of the center of normal crops, as a share of the picture."""

    jitter: Schedule = 0.0
    """Largest shift of a view, as a share of the side."""

    jitter2: float = 0.0
    """Largest second shift, after scaling, as a share of the side."""

    rotation: Schedule = 0.0
    """Largest rotation of a view, in degrees."""

    rotation_choices: tuple[float, ...] = ()
    """Angles in degrees, one of which is chosen at random for each view, in place of ``rotation``."""

    scale_choices: tuple[float, ...] = ()
    """Magnifications, one of which is chosen at random for each view."""

    padding: float = 0.0
    """Padding of a whole picture on each side, as a share of the side."""

    padding_mode: Literal["reflect", "constant"] = "reflect"
    """What lies past the border: the reflected picture, or mid-gray."""

    noise: Schedule = 0.0
    """Noise added to a view, as a share of the range from black to white."""

    flip: Schedule = 0.0
    """Probability that a view is flipped, left for right."""

    class_flip: float = 0.0
    """Probability that a view is flipped, left for right, for a class of a network with ImageNet's 1000 classes (of RGB
    images): such networks are trained with flipped photographs, and left and right are the same to them. For others,
    which may read digits, only ``flip`` says so. A ``"window"`` is never flipped."""

    # Regularizers

    blur: Schedule = 0.0
    """Gaussian blur after each step: its standard deviation in pixels of the picture."""

    blur_every: int = 1
    """Number of steps after which the picture is blurred once."""

    bilateral: Schedule = 0.0
    """Bilateral filter after each step: its spatial standard deviation in pixels (pixels only)."""

    bilateral_color: float = 0.1
    """Standard deviation of the bilateral filter in color, as a share of the range from black to white."""

    decay: Schedule = 0.0
    """Share of the way to what the network sees as zero that the picture goes back at each step (L2 decay)."""

    contrast_cap: Schedule = 0.0
    """Largest energy that each band of frequencies may have after a step, in multiples of the mean of photographs (see
    :mod:`~peek_widget.ascent.contrast`); 0 for no limit (Fourier only)."""

    contrast_floor: Schedule = 0.0
    """Smallest contrast that a picture has after a step, as a share of that of photographs (see
    :meth:`~peek_widget.ascent.contrast.Bands.lift`): a paler one is scaled up; 0 for no limit (Fourier only)."""

    total_variation: Schedule = 0.0
    """Weight of the total variation penalty, in units of the root mean square of the objective's gradient."""

    l1: Schedule = 0.0
    """Weight of the L1 penalty on the distance from mid-gray, in the same units."""

    clip_norm_percentile: Schedule = 0.0
    """Percentile of the pixels with the smallest norm that are cleared after each step (Yosinski; pixels only)."""

    clip_contribution_percentile: Schedule = 0.0
    """Percentile of the pixels with the smallest contribution that are cleared after each step (Yosinski; pixels
    only)."""

    def __post_init__(self) -> None:
        self._check_octaves()
        for name, knob in NUMBERS.items():
            self._set(name, self._check_schedule(knob, getattr(self, name)))
        for name, options in _choices().items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in options:
                raise RecipeError(f"{name}={value!r}: choose one of {', '.join(map(repr, options))}.")
        for name, (low, high) in RANGES.items():
            if name in ("init_mean", "mean_grad_norm") and getattr(self, name) is None:
                continue
            self._set(name, check_number(name, getattr(self, name), low, high))
        for name in ("crop", "field_crop"):
            self._set(name, check_range(name, getattr(self, name)))
        for name, low, high in (("rotation_choices", -180.0, 180.0), ("scale_choices", 0.25, 4.0)):
            values = getattr(self, name)
            if not isinstance(values, (tuple, list)) or len(values) > 1000:
                raise RecipeError(f"{name}={values!r}: give a tuple of numbers, one of which is chosen at random.")
            self._set(name, tuple(check_number(f"one of {name}", v, low, high) for v in values))
        for name, high in (("n_views", 64), ("blur_every", 1000)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
                raise RecipeError(f"{name}={value!r}: give a whole number from 1 to {high}.")
        for name in ("return_best", "alpha", "effective_field"):
            if not isinstance(getattr(self, name), bool):
                raise RecipeError(f"{name}={getattr(self, name)!r}: give True or False.")
        if not isinstance(self.name, str) or len(self.name) > 200:
            raise RecipeError(f"name={self.name!r}: give a short text.")
        for name in ("size", "view_size"):
            if getattr(self, name) is not None:
                self._set(name, check_size(getattr(self, name), name))
        if not isinstance(self.view_size, int | None):
            raise RecipeError(
                f"view_size={self.view_size!r}: give one whole number of pixels, e.g. 224. (Where pictures are not "
                "square, views get the same area in their shape.)"
            )
        self._check_together()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # frozen; this is its construction

    def _check_octaves(self) -> None:
        try:
            octaves = tuple((steps, scale) for steps, scale in self.octaves)
        except (TypeError, ValueError) as error:
            raise RecipeError(f"octaves={self.octaves!r}: give ((steps, scale), ...), e.g. ((150, 1.0),).") from error
        if not octaves:
            raise RecipeError("octaves is empty: give at least one (steps, scale).")
        for steps, _ in octaves:
            if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= 100_000:
                raise RecipeError(f"An octave of {steps!r} steps: give a whole number from 1 to 100000.")
        self._set("octaves", tuple((n, check_number("an octave's scale", scale, 1.0, 4.0)) for n, scale in octaves))

    def _check_schedule(self, knob: Knob, value: object) -> Schedule:
        if not isinstance(value, (tuple, list)):
            return knob.check(value)
        if len(value) == 2 and not any(isinstance(v, (tuple, list)) for v in value):
            return (knob.check(value[0]), knob.check(value[1]))
        if len(value) != len(self.octaves) or any(not isinstance(p, (tuple, list)) or len(p) != 2 for p in value):
            raise RecipeError(
                f"{knob.name}={value!r}: give a number, a (start, end) for the whole run, or a (start, end) for each "
                f"of the {len(self.octaves)} octaves."
            )
        return tuple((knob.check(start), knob.check(end)) for start, end in value)

    def _check_together(self) -> None:
        """Raise RecipeError for fields that exclude each other, rather than leave a number without effect."""
        for rule in COMBINATIONS:
            if not rule.possible(self):
                raise RecipeError(rule.message.format(recipe=self))
        for name in NUMBERS:
            if name != "crop_mean":  # every recipe has one, like crop
                self.check_use(name, max(_flat(getattr(self, name))))

    def check_use(self, name: str, value: float) -> None:
        """Raise RecipeError for a number of NUMBERS that could have no effect in this recipe, unless it is 0."""
        for rule in USES:
            if value != 0.0 and name in rule.fields and not rule.possible(self):
                raise RecipeError(rule.message.format(recipe=self, name=name))

    def takes(self, name: str, value: float) -> bool:
        """Return whether :meth:`check_use` accepts the number."""
        try:
            self.check_use(name, value)
        except RecipeError:
            return False
        return True

    @property
    def steps(self) -> int:
        """Number of steps of the whole run."""
        return sum(steps for steps, _ in self.octaves)

    def at(self, name: str, step: int) -> float:
        """Return the value of a number of NUMBERS at a step (from 0); past the end, its last value."""
        schedule = getattr(self, name)
        if not isinstance(schedule, tuple):
            return schedule
        if not isinstance(schedule[0], tuple):
            (start, end), done, length = schedule, step, self.steps
        else:
            octave, done, length = self.octave(step)
            start, end = schedule[octave]
        # As in deepdraw: an octave's first step has its start, its last stops one short of its end.
        return start + (end - start) * min(done / length, 1.0)

    def shares(self, name: str, step: int) -> tuple[float, float]:
        """Return the range ``crop`` or ``field_crop`` at a step (from 0): smallest and largest side as shares."""
        found = getattr(self, name)
        if not isinstance(found[0], tuple):
            return found
        (low, high), (last_low, last_high) = found
        part = min(step / self.steps, 1.0)
        return (low + (last_low - low) * part, high + (last_high - high) * part)

    def octave(self, step: int) -> tuple[int, int, int]:
        """Return the number of the octave that a step is in, the steps done in it before, and its length in steps."""
        done = step
        for number, (length, _) in enumerate(self.octaves):
            if done < length or number == len(self.octaves) - 1:
                return number, done, length
            done -= length
        raise AssertionError("a recipe has at least one octave")

    def replace(self, **changes: Any) -> Recipe:
        """Return a copy with other values; ``steps=n`` scales the octaves in proportion.

        Raises:
            RecipeError: for an unknown field, with similar names, or an impossible value.
        """
        steps = changes.pop("steps", None)
        _refuse_unknown(changes)
        recipe = dataclasses.replace(self, **changes)
        return recipe if steps is None else dataclasses.replace(recipe, octaves=_scaled(recipe.octaves, steps))

    def to_json(self) -> str:
        """Write the recipe as one JSON object with every field."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe that :meth:`to_json` wrote, today or under the names of earlier versions.

        Raises:
            RecipeError: if it is not JSON, or has an unknown field or an impossible value.
        """
        try:
            values = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise RecipeError(f"A recipe is saved as JSON, and this is not: {error}") from error
        if not isinstance(values, dict):
            raise RecipeError(f"A recipe is saved as a JSON object; this is a {type(values).__name__}.")
        values = recipe_values(values)
        _refuse_unknown(values)
        try:
            return cls(**{name: _tuples(value) for name, value in values.items()})
        except RecursionError as error:
            raise RecipeError("A recipe's values are numbers and pairs of numbers; these are nested deeper.") from error

    @classmethod
    def preset(cls, name: str) -> Recipe:
        """Return the preset of that name.

        Raises:
            RecipeError: if there is none, with the names of all.
        """
        return preset(name).recipe

    @classmethod
    def presets(cls) -> tuple[str, ...]:
        """Return the names of all presets."""
        return tuple(_PRESETS)


def as_recipe(recipe: Recipe | str | None) -> Recipe:
    """Return a recipe given as such or by its preset's name; None is the preset ``"peek"``.

    Raises:
        RecipeError: if there is no such preset, or it is something else.
    """
    if recipe is None:
        return Recipe.preset("peek")
    if isinstance(recipe, str):
        return Recipe.preset(recipe)
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"recipe is a {type(recipe).__name__}: give a Recipe or the name of a preset.")
    return recipe


# Presets


@dataclass(frozen=True)
class Preset:
    """A recipe by name."""

    recipe: Recipe
    """The recipe, whose ``name`` is the preset's."""

    summary: str
    """What it does, in a plain sentence."""

    source: str
    """Where it was published."""


_PRESETS: dict[str, Preset] = {}


def register(recipe: Recipe, summary: str, source: str) -> None:
    """Add a preset under the recipe's name."""
    _PRESETS[recipe.name] = Preset(recipe, summary, source)


def preset(name: object) -> Preset:
    """Return the preset of that name.

    Raises:
        RecipeError: if there is none, with the names of all.
    """
    if isinstance(name, str) and name in _PRESETS:
        return _PRESETS[name]
    raise RecipeError(f"There is no recipe {name!r}: choose one of {', '.join(_PRESETS)}.")


def presets() -> Mapping[str, Preset]:
    """Return every preset by name."""
    return MappingProxyType(_PRESETS)


@functools.cache
def _choices() -> dict[str, tuple[str, ...]]:
    """Return the options of each field with a Literal type."""
    return {name: get_args(hint) for name, hint in get_type_hints(Recipe).items() if get_origin(hint) is Literal}


def _flat(value: Any) -> list[float]:
    return [v for part in value for v in _flat(part)] if isinstance(value, tuple) else [value]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _refuse_unknown(values: Mapping[str, object]) -> None:
    names = [f.name for f in dataclasses.fields(Recipe)]
    for name in values:
        if name in FIELDS:
            raise RecipeError(f"A recipe has no field {name!r}: it is called {FIELDS[name]!r}.")
        if name not in names:
            known = names if name == "steps" else [*names, "steps"]
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or names
            raise RecipeError(f"A recipe has no field {name!r}; near names: {', '.join(near)}.")


def _scaled(octaves: tuple[tuple[int, float], ...], steps: Any) -> tuple[tuple[int, float], ...]:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < len(octaves):
        raise RecipeError(
            f"steps={steps!r}: give a whole number of at least {len(octaves)}, one step for each octave of the recipe."
        )
    total = sum(length for length, _ in octaves)
    # Rounding the running sum, not each length, so that the lengths add up to the steps asked for.
    lengths, before = [], 0
    run = 0
    for number, (length, _) in enumerate(octaves):
        run += length
        upto = round(steps * run / total)
        upto = min(max(upto, before + 1), steps - (len(octaves) - 1 - number))
        lengths.append(upto - before)
        before = upto
    return tuple((length, scale) for length, (_, scale) in zip(lengths, octaves, strict=True))

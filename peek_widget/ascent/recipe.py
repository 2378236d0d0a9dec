"""Recipes: every number that an ascent runs by, frozen, named, and kept as JSON."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex

from peek_widget.errors import RecipeError

__all__ = ["KNOBS", "Knob", "Preset", "Recipe", "presets"]

Schedule = float | tuple[tuple[float, float], ...]
"""A number that holds for the whole run, or one (start, end) for each octave, linear within it."""


@dataclass(frozen=True)
class Knob:
    """A number that may be changed while a picture draws, with its range and what it does in plain words."""

    name: str
    label: str
    minimum: float
    maximum: float
    scale: Literal["linear", "log"]
    unit: str
    help: str

    def check(self, value: Any) -> float:
        """The value as a float; RecipeError if it is no number or out of range."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise RecipeError(f"{self.name}={value!r}: give a number from {self.minimum:g} to {self.maximum:g}.")
        if not self.minimum <= value <= self.maximum:
            raise RecipeError(
                f"{self.name}={value:g} is out of range: possible is {self.minimum:g} to {self.maximum:g}"
                + (f" ({self.unit})." if self.unit else ".")
            )
        return float(value)


KNOBS: Mapping[str, Knob] = {
    knob.name: knob
    for knob in (
        Knob("blur", "blur", 0.0, 5.0, "linear", "px",
             "Smooths the picture after every step: more gives large, soft forms, none lets fine grain grow."),
        Knob("jitter", "jitter", 0.0, 0.5, "linear", "of the side",
             "Shifts what the network sees at every step: more gives forms that do not hang on one exact place."),
        Knob("decay", "decay", 0.0, 0.5, "linear", "a step",
             "Fades the picture a little at every step: only what the unit keeps asking for stays."),
        Knob("total_variation", "total variation", 0.0, 1.0, "linear", "",
             "Pulls neighbouring pixels together: more gives plain areas with clear edges."),
        Knob("step_size", "step size", 0.001, 20.0, "log", "",
             "How far the picture moves at every step: small is slow and fine, large is quick and rough."),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Every number of an ascent but its objective, its seed and its size.

    Attributes:
        name: of the preset that it comes from.
        octaves: ``((steps, scale), ...)``: so many steps, after the picture was enlarged by ``scale``.
        image: ``"fourier"`` (spectrum, decorrelated colour) or ``"pixels"`` (grey levels from 0 to 255).
        optimiser: ``"adam"``, or ``"plain"``: a step of ``step_size`` along the gradient by its mean size,
            ``x += step_size / mean(|g|) * g``.
        view: ``"crop"`` (random resized crops) or ``"window"`` (one square of the first octave's size, which
            alone is changed).
        start_level: mean of the starting noise, in grey levels (pixels only).
        start_deviation: deviation of the starting noise: in grey levels for pixels, of the unscaled spectrum
            for Fourier.
        spectrum_power: how much more a step moves coarse forms than fine ones (Fourier only).
        step_size: of the optimiser: a rate for Adam, grey levels for plain steps.
        blur: Gaussian after each step, its deviation in pixels of the picture.
        jitter: largest shift of a view, as a share of the side.
        decay: share of the way to what the network sees as zero that the picture goes back at each step.
        total_variation: pull between neighbouring pixels, in units of the objective's mean gradient.
        crop: smallest and largest side of a crop, as a share of the picture, where the objective sees all of it.
        field_crop: the same for a unit with a receptive field, as a share of that field.
        rotation: largest turn of a view, in degrees.
        views: views at each step.
        size: side of the picture in pixels; None for the model's input size.

    Raises:
        RecipeError: for a number out of its range, in a sentence.
    """

    name: str = "custom"
    octaves: tuple[tuple[int, float], ...] = ((150, 1.0),)
    image: Literal["fourier", "pixels"] = "fourier"
    optimiser: Literal["adam", "plain"] = "adam"
    view: Literal["crop", "window"] = "crop"
    start_level: float = 128.0
    start_deviation: float = 0.01
    spectrum_power: float = 1.2
    step_size: Schedule = 0.05
    blur: Schedule = 0.0
    jitter: Schedule = 0.0
    decay: Schedule = 0.0
    total_variation: Schedule = 0.0
    crop: tuple[float, float] = (0.25, 1.0)
    field_crop: tuple[float, float] = (0.7, 1.1)
    rotation: float = 0.0
    views: int = 1
    size: int | None = None

    def __post_init__(self) -> None:
        self._check_octaves()
        for name, knob in KNOBS.items():
            self._set(name, self._check_schedule(knob, getattr(self, name)))
        for name, options in (("image", _IMAGES), ("optimiser", _OPTIMISERS), ("view", _VIEWS)):
            if getattr(self, name) not in options:
                raise RecipeError(f"{name}={getattr(self, name)!r}: possible are {', '.join(map(repr, options))}.")
        if self.image == "fourier" and self.view == "window":
            raise RecipeError("view='window' changes a square of pixels, so it needs image='pixels'.")
        for name, low, high in _RANGES:
            self._set(name, _number(name, getattr(self, name), low, high))
        for name in ("crop", "field_crop"):
            pair = getattr(self, name)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise RecipeError(f"{name}={pair!r}: give (smallest, largest) as shares, e.g. (0.25, 1.0).")
            low, high = (_number(name, v, 0.02, 4.0) for v in pair)
            if low > high:
                raise RecipeError(f"{name}={pair!r}: the smallest comes first.")
            self._set(name, (low, high))
        if isinstance(self.views, bool) or not isinstance(self.views, int) or not 1 <= self.views <= 64:
            raise RecipeError(f"views={self.views!r}: give a whole number from 1 to 64.")
        if self.size is not None:
            self._set("size", check_size(self.size))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # frozen; this is its construction

    def _check_octaves(self) -> None:
        try:
            octaves = tuple((steps, float(scale)) for steps, scale in self.octaves)
        except (TypeError, ValueError) as error:
            raise RecipeError(f"octaves={self.octaves!r}: give ((steps, scale), ...), e.g. ((150, 1.0),).") from error
        if not octaves:
            raise RecipeError("octaves is empty: give at least one (steps, scale).")
        for steps, scale in octaves:
            if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= 100_000:
                raise RecipeError(f"An octave of {steps!r} steps: give a whole number from 1 to 100000.")
            _number("an octave's scale", scale, 1.0, 4.0)
        self._set("octaves", octaves)

    def _check_schedule(self, knob: Knob, value: Any) -> Schedule:
        if not isinstance(value, (tuple, list)):
            return knob.check(value)
        if len(value) != len(self.octaves) or any(not isinstance(p, (tuple, list)) or len(p) != 2 for p in value):
            raise RecipeError(
                f"{knob.name}={value!r}: give a number, or a (start, end) for each of the {len(self.octaves)} octaves."
            )
        return tuple((knob.check(start), knob.check(end)) for start, end in value)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return sum(steps for steps, _ in self.octaves)

    def at(self, name: str, step: int) -> float:
        """The value of a knob at a step (from 0); past the end, the last."""
        schedule = getattr(self, name)
        if not isinstance(schedule, tuple):
            return schedule
        octave, done, length = self.octave(step)
        start, end = schedule[octave]
        # As in deepdraw: an octave's first step has its start, its last stops one short of its end.
        return start + (end - start) * min(done / length, 1.0)

    def octave(self, step: int) -> tuple[int, int, int]:
        """Number of the octave that a step is in, steps done in it, and its length."""
        done = step
        for number, (length, _) in enumerate(self.octaves):
            if done < length or number == len(self.octaves) - 1:
                return number, done, length
            done -= length
        raise AssertionError("a recipe has at least one octave")

    def replace(self, **changes: Any) -> Recipe:
        """A copy with other values; ``steps=n`` scales the octaves in proportion.

        Raises:
            RecipeError: for an unknown field, with near names, or an impossible value.
        """
        steps = changes.pop("steps", None)
        _refuse_unknown(changes)
        recipe = dataclasses.replace(self, **changes)
        return recipe if steps is None else dataclasses.replace(recipe, octaves=_scaled(recipe.octaves, steps))

    def to_json(self) -> str:
        """One JSON object with every field."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The recipe that :meth:`to_json` wrote.

        Raises:
            RecipeError: if it is not JSON, or has an unknown field or an impossible value.
        """
        try:
            values = json.loads(text)
        except (TypeError, ValueError) as error:
            raise RecipeError(f"A recipe is kept as JSON, and this is not: {error}") from error
        if not isinstance(values, dict):
            raise RecipeError(f"A recipe is kept as a JSON object; this is a {type(values).__name__}.")
        _refuse_unknown(values)
        return cls(**{name: _tuples(value) for name, value in values.items()})

    @classmethod
    def preset(cls, name: str) -> Recipe:
        """The recipe of that name.

        Raises:
            RecipeError: if there is none, with the names there are.
        """
        return preset(name).recipe

    @classmethod
    def presets(cls) -> tuple[str, ...]:
        """The names of all recipes that come with the package."""
        return tuple(_PRESETS)


@dataclass(frozen=True)
class Preset:
    """A recipe by name, what it does in a plain sentence, and where it was published."""

    recipe: Recipe
    summary: str
    source: str


_IMAGES = ("fourier", "pixels")
_OPTIMISERS = ("adam", "plain")
_VIEWS = ("crop", "window")
_RANGES = (
    ("start_level", 0.0, 255.0),
    ("start_deviation", 0.0, 255.0),
    ("spectrum_power", 0.0, 3.0),
    ("rotation", 0.0, 180.0),
)
MINIMUM_SIZE, MAXIMUM_SIZE = 8, 2048


def check_size(size: Any) -> int:
    """The size if it is a possible side of a picture; RecipeError otherwise."""
    if isinstance(size, bool) or not isinstance(size, SupportsIndex) or not MINIMUM_SIZE <= int(size) <= MAXIMUM_SIZE:
        raise RecipeError(
            f"size={size!r}: give the side of the picture as a whole number of pixels from {MINIMUM_SIZE} to "
            f"{MAXIMUM_SIZE}."
        )
    return int(size)


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not low <= value <= high:
        raise RecipeError(f"{name}={value!r} is out of range: possible is {low:g} to {high:g}.")
    return float(value)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    names = [f.name for f in dataclasses.fields(Recipe)]
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(name, [*names, "steps"], n=3, cutoff=0.4) or names
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


_PRESETS: dict[str, Preset] = {
    "peek": Preset(
        Recipe(
            name="peek",
            octaves=((150, 1.0),),
            image="fourier",
            optimiser="adam",
            view="crop",
            start_deviation=0.01,
            spectrum_power=1.1,
            step_size=0.05,
            jitter=0.05,
            total_variation=0.05,
            crop=(0.3, 1.2),
            field_crop=(0.9, 1.5),
            rotation=10.0,
            size=160,
        ),
        "Our own: a clear picture in a few seconds, seen through crops of many sizes.",
        "peek_widget; image after Olah, Mordvintsev & Schubert 2017, crops after Fel et al. 2023 (MACO).",
    ),
    "oygard-2016": Preset(
        Recipe(
            name="oygard-2016",
            octaves=((200, 1.0), (100, 1.0), (100, 1.05), (50, 1.05), (25, 1.05)),
            image="pixels",
            optimiser="plain",
            view="window",
            start_level=250.0,
            start_deviation=8.0,
            step_size=((3.0, 2.5), (2.5, 2.0), (2.0, 1.5), (1.5, 0.375), (0.375, 0.125)),
            blur=((2.5, 1.1), (1.1, 0.858), (0.858, 0.78), (0.858, 0.40), (0.4, 0.1)),
        ),
        "The article's: from white, plain steps and a blur that lets finer detail in little by little.",
        'A. M. Øygard, "Peeking inside convolutional neural networks" (2016), deepdraw notebook for VGG-S.',
    ),
}


def preset(name: Any) -> Preset:
    """The preset of that name, with its words; RecipeError with the names there are if there is none."""
    if isinstance(name, str) and name in _PRESETS:
        return _PRESETS[name]
    raise RecipeError(f"There is no recipe {name!r}; possible are {', '.join(_PRESETS)}.")


def presets() -> Mapping[str, Preset]:
    """Every preset by name."""
    return _PRESETS

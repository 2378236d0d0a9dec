"""Recipes: every number that an ascent runs by, frozen, and kept as JSON. The named ones are in presets.py."""

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

__all__ = ["KNOBS", "NUMBERS", "Knob", "Recipe"]

Schedule = float | tuple[float, float] | tuple[tuple[float, float], ...]
"""A number that holds for the whole run; (start, end), linear over the run; or one (start, end) for each octave."""

Range = tuple[float, float] | tuple[tuple[float, float], tuple[float, float]]
"""(smallest, largest) for the whole run; or two such, at its start and at its end, linear between."""


@dataclass(frozen=True)
class Knob:
    """A number that may follow a schedule, and be changed while a picture draws."""

    name: str
    label: str
    minimum: float
    maximum: float
    scale: Literal["linear", "log"]
    unit: str
    help: str

    def check(self, value: Any) -> float:
        """The value as a float; RecipeError if it is no number or out of range."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or value != value or abs(value) == math.inf:
            raise RecipeError(f"{self.name}={value!r}: give a number from {self.minimum:g} to {self.maximum:g}.")
        if not self.minimum <= value <= self.maximum:
            raise RecipeError(
                f"{self.name}={value!r} is out of range: possible is {self.minimum:g} to {self.maximum:g}"
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
             "Pulls neighboring pixels together: more gives plain areas with clear edges."),
        Knob("step_size", "step size", 0.001, 200.0, "log", "",
             "How far the picture moves at every step: small is slow and fine, large is quick and rough."),
    )
}  # fmt: skip
"""The five that the explorer shows as sliders."""

NUMBERS: Mapping[str, Knob] = {
    **KNOBS,
    **{
        knob.name: knob
        for knob in (
            Knob("bilateral", "bilateral filter", 0.0, 5.0, "linear", "px",
                 "Smooths areas after every step and keeps their edges."),
            Knob("l1", "L1", 0.0, 1.0, "linear", "",
                 "Pulls every pixel toward mid-gray alike: only what pays for itself stays colored."),
            Knob("small_norm", "small norm", 0.0, 99.0, "linear", "% of the pixels",
                 "Empties the faintest pixels after every step."),
            Knob("small_contribution", "small contribution", 0.0, 99.0, "linear", "% of the pixels",
                 "Empties after every step the pixels that the unit would miss least."),
            Knob("rotation", "rotation", 0.0, 180.0, "linear", "degrees",
                 "Turns what the network sees at every step."),
            Knob("noise", "noise", 0.0, 0.5, "linear", "of black to white",
                 "Adds grain to what the network sees at every step."),
            Knob("flip", "flip", 0.0, 1.0, "linear", "of the views",
                 "Mirrors what the network sees, left for right."),
            Knob("crop_mean", "crop", 0.05, 1.0, "linear", "of the side",
                 "The mean side of normal crops."),
        )
    },
}  # fmt: skip
"""Every number that may be a schedule, the explorer's five among them."""


@dataclass(frozen=True)
class Recipe:
    """Every number of an ascent but its objective, its seed and its size.

    Wherever a Schedule stands, a number holds for the whole run, ``(start, end)`` is linear over it, and
    ``((start, end), ...)`` has one such pair for each octave. Ranges are in :data:`NUMBERS`.

    Attributes:
        name: of the preset that it comes from.
        octaves: ``((steps, scale), ...)``: so many steps, after the picture was enlarged by ``scale``.
        size: side of the picture in pixels; None for the model's input size.
        keep: the picture that is the run's result: its ``"last"``, or its ``"best"``, the one with the highest
            activation (Yosinski et al. 2015).

        image: the parametrization: ``"fourier"`` (spectrum, decorrelated color), ``"pixels"`` (gray levels from
            0 to 255) or ``"maco"`` (phases alone, on the spectrum of natural images).
        start: ``"noise"``, ``"gray"`` or ``"white"``; a picture is given to ``ascend`` as ``start=``.
        start_level: mean of the starting noise, in gray levels (pixels only); None for what the network sees as
            zero.
        start_deviation: deviation of the starting noise: in gray levels for pixels, of the unscaled spectrum
            for Fourier, in radians for MACO.
        spectrum_power: how much more a step moves coarse forms than fine ones (Fourier only).
        transparency: keep where the gradients were, and give it as the pictures' ``alpha`` (MACO's importance).

        optimizer: ``"adam"``, ``"nadam"``, or ``"plain"``: a step of ``step_size`` along the gradient.
        normalize: what the gradient is divided by: its root mean square at the ``"first"`` step (for optimizers
            that measure it themselves later), or at each step its ``"rms"`` or its ``"mean"`` absolute value
            (Øygard), or ``"none"``. ``"progress"`` (Yosinski; plain steps on pixels) takes the rate
            ``min(largest_rate, step_size / |g|^2)``. Where it is not divided, it is by gray levels, for pixels.
        step_size: of the optimizer: a rate for Adam and NAdam, gray levels for plain steps on pixels.
        largest_rate: of ``normalize="progress"``.

        view: ``"crop"`` (random resized crops), ``"normal-crop"`` (MACO's), ``"whole"`` (the padded picture,
            Lucid's) or ``"window"`` (one square of the first octave's size, which alone is changed; Øygard's).
        views: views at each step.
        crop: smallest and largest side of a crop, as a share of the picture, where the objective sees all of
            it; two such pairs for the run's start and its end.
        field_crop: the same for a unit with a receptive field, as a share of that field.
        crop_mean, crop_deviation, center_deviation: of normal crops: mean and deviation of the side, deviation of
            the middle, as shares of the picture.
        jitter: largest shift of a view, as a share of the side.
        late_jitter: largest second shift, after scaling, as a share of the side.
        rotation: largest turn of a view, in degrees.
        turns: angles in degrees, one of which is taken at random, in place of ``rotation``.
        scales: magnifications, one of which is taken at random.
        padding: of a whole picture, on each side, as a share of the side.
        beyond: what lies past the border: ``"mirror"`` or ``"gray"``.
        noise: added to a view, as a share of the range from black to white.
        flip: probability that a view is mirrored, left for right.

        blur: Gaussian after each step, its deviation in pixels of the picture.
        blur_every: blur after each so many steps.
        bilateral: bilateral filter after each step, its deviation in pixels (pixels only).
        bilateral_color: its deviation in color, as a share of the range from black to white.
        decay: share of the way to what the network sees as zero that the picture goes back at each step.
        total_variation: pull between neighboring pixels, in units of the objective's mean gradient.
        l1: pull toward mid-gray, in the same units.
        small_norm: percentile of the faintest pixels, emptied after each step (pixels only).
        small_contribution: percentile of the pixels that contribute least, emptied after each step (pixels only).

    Raises:
        RecipeError: for a number out of its range or a combination that can't be, in a sentence.
    """

    name: str = "custom"
    octaves: tuple[tuple[int, float], ...] = ((150, 1.0),)
    size: int | None = None
    keep: Literal["last", "best"] = "last"

    image: Literal["fourier", "pixels", "maco"] = "fourier"
    start: Literal["noise", "gray", "white"] = "noise"
    start_level: float | None = 128.0
    start_deviation: float = 0.01
    spectrum_power: float = 1.2
    transparency: bool = False

    optimizer: Literal["adam", "nadam", "plain"] = "adam"
    normalize: Literal["first", "rms", "mean", "none", "progress"] = "first"
    step_size: Schedule = 0.05
    largest_rate: float = 100.0

    view: Literal["crop", "normal-crop", "whole", "window"] = "crop"
    views: int = 1
    crop: Range = (0.25, 1.0)
    field_crop: Range = (0.7, 1.1)
    crop_mean: Schedule = 0.5
    crop_deviation: float = 0.05
    center_deviation: float = 0.15
    jitter: Schedule = 0.0
    late_jitter: float = 0.0
    rotation: Schedule = 0.0
    turns: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    padding: float = 0.0
    beyond: Literal["mirror", "gray"] = "mirror"
    noise: Schedule = 0.0
    flip: Schedule = 0.0

    blur: Schedule = 0.0
    blur_every: int = 1
    bilateral: Schedule = 0.0
    bilateral_color: float = 0.1
    decay: Schedule = 0.0
    total_variation: Schedule = 0.0
    l1: Schedule = 0.0
    small_norm: Schedule = 0.0
    small_contribution: Schedule = 0.0

    def __post_init__(self) -> None:
        self._check_octaves()
        for name, knob in NUMBERS.items():
            self._set(name, self._check_schedule(knob, getattr(self, name)))
        for name, options in _CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in options:
                raise RecipeError(f"{name}={value!r}: possible are {', '.join(map(repr, options))}.")
        for name, (low, high) in _RANGES.items():
            if name == "start_level" and self.start_level is None:
                continue
            self._set(name, _number(name, getattr(self, name), low, high))
        for name in ("crop", "field_crop"):
            self._set(name, _range(name, getattr(self, name)))
        for name, low, high in (("turns", -180.0, 180.0), ("scales", 0.25, 4.0)):
            values = getattr(self, name)
            if not isinstance(values, (tuple, list)) or len(values) > 1000:
                raise RecipeError(f"{name}={values!r}: give a tuple of numbers, one of which is taken at random.")
            self._set(name, tuple(_number(f"one of {name}", v, low, high) for v in values))
        for name, high in (("views", 64), ("blur_every", 1000)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
                raise RecipeError(f"{name}={value!r}: give a whole number from 1 to {high}.")
        if not isinstance(self.transparency, bool):
            raise RecipeError(f"transparency={self.transparency!r}: give True or False.")
        if not isinstance(self.name, str) or len(self.name) > 200:
            raise RecipeError(f"name={self.name!r}: give a short text.")
        if self.size is not None:
            self._set("size", check_size(self.size))
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
        self._set("octaves", tuple((n, _number("an octave's scale", scale, 1.0, 4.0)) for n, scale in octaves))

    def _check_schedule(self, knob: Knob, value: Any) -> Schedule:
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
        """Refuse what can't be had together, rather than leave a number without effect."""
        for holds, sentence in (
            (self.view != "window" or self.image == "pixels",
             "view='window' changes a square of pixels, so it needs image='pixels'."),
            (self.view != "window" or self.views == 1,
             f"view='window' shows one square at each step: give views=1 and not {self.views}."),
            (self.view != "window" or not (self.turns or self.scales),
             "view='window' shows the pixels as they are: for turns or scales take another view."),
            (self.padding == 0.0 or self.view == "whole",
             "padding surrounds the whole picture, so it needs view='whole'."),
            (self.late_jitter == 0.0 or self.view == "whole",
             "late_jitter shifts a whole picture after it was scaled, so it needs view='whole'."),
            (self.image != "maco" or self.start == "noise",
             f"image='maco' moves phases, and start={self.start!r} has none: give start='noise'."),
            (self.image != "maco" or all(scale == 1.0 for _, scale in self.octaves),
             "image='maco' has one size, the spectrum's: give octaves of scale 1."),
            (self.normalize != "progress" or (self.optimizer == "plain" and self.image == "pixels"),
             "normalize='progress' sets the rate of plain steps on pixels: it needs optimizer='plain', "
             "image='pixels'."),
        ):  # fmt: skip
            if not holds:
                raise RecipeError(sentence)
        for name in NUMBERS:
            if name != "crop_mean":  # each recipe has one, as it has a crop
                self.check_use(name, max(_flat(getattr(self, name))))

    def check_use(self, name: str, value: float) -> None:
        """Refuse (RecipeError) a number of :data:`NUMBERS` that could have no effect in this recipe, unless it is 0."""
        if value == 0.0:
            return
        if name in _PIXELS_ONLY and self.image != "pixels":
            raise RecipeError(f"{name} changes single pixels: it needs image='pixels', and not {self.image!r}.")
        if name == "decay" and self.image == "maco":
            raise RecipeError("image='maco' has a fixed contrast, so nothing can decay: give decay=0.")
        if name in ("rotation", "flip") and self.view == "window":
            raise RecipeError(f"view='window' shows the pixels as they are: for {name} take another view.")
        if name == "crop_mean" and self.view != "normal-crop":
            raise RecipeError(
                f"crop_mean is the side of normal crops, and view={self.view!r} has none: take a recipe with "
                "view='normal-crop', as 'maco-2023' has it."
            )
        if name == "rotation" and self.turns:
            raise RecipeError("Turns are taken in place of rotation: give rotation=0, or turns=().")

    def takes(self, name: str, value: float) -> bool:
        """Whether :meth:`check_use` lets that pass."""
        try:
            self.check_use(name, value)
        except RecipeError:
            return False
        return True

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return sum(steps for steps, _ in self.octaves)

    def at(self, name: str, step: int) -> float:
        """The value of a number that may be a schedule, at a step (from 0); past the end, the last."""
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
        """``crop`` or ``field_crop`` at a step (from 0): smallest and largest side as shares."""
        found = getattr(self, name)
        if not isinstance(found[0], tuple):
            return found
        (low, high), (last_low, last_high) = found
        part = min(step / self.steps, 1.0)
        return (low + (last_low - low) * part, high + (last_high - high) * part)

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
        except (TypeError, ValueError, RecursionError) as error:
            raise RecipeError(f"A recipe is kept as JSON, and this is not: {error}") from error
        if not isinstance(values, dict):
            raise RecipeError(f"A recipe is kept as a JSON object; this is a {type(values).__name__}.")
        _refuse_unknown(values)
        try:
            return cls(**{name: _tuples(value) for name, value in values.items()})
        except RecursionError as error:
            raise RecipeError("A recipe's values are numbers and pairs of numbers; these are nested deeper.") from error

    @classmethod
    def preset(cls, name: str) -> Recipe:
        """The recipe of that name.

        Raises:
            RecipeError: if there is none, with the names there are.
        """
        from peek_widget.ascent.presets import preset  # presets are made of recipes

        return preset(name).recipe

    @classmethod
    def presets(cls) -> tuple[str, ...]:
        """The names of all recipes that come with the package."""
        from peek_widget.ascent.presets import presets

        return tuple(presets())


_CHOICES = {
    "image": ("fourier", "pixels", "maco"),
    "start": ("noise", "gray", "white"),
    "keep": ("last", "best"),
    "optimizer": ("adam", "nadam", "plain"),
    "normalize": ("first", "rms", "mean", "none", "progress"),
    "view": ("crop", "normal-crop", "whole", "window"),
    "beyond": ("mirror", "gray"),
}
_RANGES = {
    "start_level": (0.0, 255.0),
    "start_deviation": (0.0, 255.0),
    "spectrum_power": (0.0, 3.0),
    "largest_rate": (1e-6, 1e12),
    "crop_deviation": (0.0, 1.0),
    "center_deviation": (0.0, 1.0),
    "late_jitter": (0.0, 0.25),
    "padding": (0.0, 1.0),
    "bilateral_color": (0.01, 1.0),
}
_PIXELS_ONLY = ("bilateral", "small_norm", "small_contribution")
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


def _range(name: str, value: Any) -> Range:
    """(smallest, largest), or two such."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise RecipeError(f"{name}={value!r}: give (smallest, largest) as shares, e.g. (0.25, 1.0).")
    if all(isinstance(pair, (tuple, list)) for pair in value):
        start, end = (_range(name, pair) for pair in value)
        if isinstance(start[0], tuple) or isinstance(end[0], tuple):
            raise RecipeError(f"{name}={value!r}: give two pairs at most, for the run's start and its end.")
        return (start, end)
    low, high = (_number(name, v, 0.02, 4.0) for v in value)
    if low > high:
        raise RecipeError(f"{name}={value!r}: the smallest comes first.")
    return (low, high)


def _flat(value: Any) -> list[float]:
    return [v for part in value for v in _flat(part)] if isinstance(value, tuple) else [value]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    names = [f.name for f in dataclasses.fields(Recipe)]
    for name in values:
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

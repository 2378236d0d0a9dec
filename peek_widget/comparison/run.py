"""Two to six pictures that differ in one thing, drawn in step."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from PIL import Image as PILImage
from torch import Tensor, nn

from peek_widget._encode import png_bytes
from peek_widget.ascent import Ascent, Logit, Objective, Recipe, Result, to_pil, unit_objective
from peek_widget.ascent.result import Origin
from peek_widget.comparison.figure import figure
from peek_widget.errors import FileError, PeekError, SizeError
from peek_widget.evidence import measures
from peek_widget.network import OUTPUT, ModelCopy, Network, read

__all__ = ["FEWEST", "MOST", "Comparison", "ComparisonStep", "Entry", "compare", "entries"]

log: logging.Logger = logging.getLogger("peek_widget")

FEWEST, MOST = 2, 6
"""Of pictures side by side: fewer are no comparison, and more are too small to look at."""


@dataclass(frozen=True)
class Entry:
    """One of the pictures of a comparison.

    Attributes:
        caption: what sets it apart: a recipe's name, `seed 3`, `unit 17`.
        unit: the unit that it shows, by which it is measured.
        objective: that is made larger.
        recipe: that it is drawn by.
        seed: of its start and views.
        start: a picture that it begins from, or None for the recipe's own start.
    """

    caption: str
    unit: Objective
    objective: Objective
    recipe: Recipe
    seed: int
    start: Any = field(default=None, compare=False)


@dataclass(frozen=True)
class ComparisonStep:
    """The pictures of a comparison after one of its steps.

    Attributes:
        index: of the step, from 0.
        share: of each picture's run that is done, up to 1.
        images: float32 `[C, S, S]` in [0, 1], one for each entry; of octave recipes S grows.
        steps: that each picture has had.
        activations: of each at its last step, before the ReLU, of what the network then saw (random views and all).
            For numbers that can be set beside each other see `Comparison.measured`.
        captions: of the pictures.
    """

    index: int
    share: float
    images: tuple[Tensor, ...]
    steps: tuple[int, ...]
    activations: tuple[float, ...]
    captions: tuple[str, ...]
    _draw: Callable[[tuple[Tensor, ...], tuple[int, ...]], PILImage.Image] = field(repr=False, compare=False)

    def figure(self) -> PILImage.Image:
        """The pictures side by side, with their captions and activations."""
        return self._draw(self.images, self.steps)


class Comparison(Iterator[ComparisonStep]):
    """Several pictures drawn side by side, in step; `compare` makes one.

    Iterating draws: after step t of T each picture has had the share t / T of its own run, where T is the number of
    steps of the longest. Schedules and octaves are shares of a run, so that pictures of recipes of 150 and of 475
    steps are both half done in the middle, and are finished together; the shorter one waits in between. Entries with
    the same recipe and start go through the network as one batch.

    Args:
        network: as read.
        entries: what to draw, see `entries`.
        title: of the figure.
        size: side of the finished pictures in pixels; None leaves it to each recipe, else the model.

    Raises:
        PeekError: what was asked for is not possible, in a sentence.
    """

    def __init__(self, network: Network, entries: Sequence[Entry], title: str = "", *, size: int | None = None) -> None:
        self.network: Network = network
        self.entries: tuple[Entry, ...] = tuple(entries)
        self.title: str = title
        groups: dict[tuple[Recipe, int], list[int]] = {}
        for number, entry in enumerate(self.entries):
            groups.setdefault((entry.recipe, id(entry.start)), []).append(number)
        self._groups = [
            (
                Ascent(
                    network,
                    [self.entries[n].objective for n in members],
                    recipe,
                    seed=[self.entries[n].seed for n in members],
                    size=size,
                    start=self.entries[members[0]].start,
                ),
                tuple(members),
            )
            for (recipe, _), members in groups.items()
        ]
        self.index: int = 0
        self.total: int = max(ascent.steps for ascent, _ in self._groups)
        self.interrupted: bool = False
        self._activations = [math.nan] * len(self.entries)
        self._history: list[list[Tensor]] = [[] for _ in self._groups]

    # Drawing

    @property
    def done(self) -> bool:
        """Whether all pictures are finished."""
        return self.index >= self.total

    @property
    def captions(self) -> tuple[str, ...]:
        """What sets each picture apart."""
        return tuple(entry.caption for entry in self.entries)

    @property
    def images(self) -> tuple[Tensor, ...]:
        """The pictures as they are, float32 `[C, S, S]` in [0, 1]."""
        return self._gather(lambda ascent: ascent.images)

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that each picture has had."""
        return self._gather(lambda ascent: [ascent.index] * len(ascent.objectives))

    def step(self) -> ComparisonStep:
        """Bring every picture to the next share of its run.

        Raises:
            StopIteration: when all are finished.
            PeekError: as `Ascent.step`.
        """
        if self.done:
            raise StopIteration
        share = (self.index + 1) / self.total
        for (ascent, members), history in zip(self._groups, self._history, strict=True):
            # rounded up, so that nobody stands still at noise while the others have begun
            due = min(ascent.steps, math.ceil(share * ascent.steps - 1e-9))
            while ascent.index < due:
                values = ascent.step().activations
                history.append(values)
                for place, member in enumerate(members):
                    self._activations[member] = float(values[place])
        self.index += 1
        return ComparisonStep(
            self.index - 1, share, self.images, self.steps, tuple(self._activations), self.captions, self._draw
        )

    def __iter__(self) -> Comparison:
        return self

    def __next__(self) -> ComparisonStep:
        return self.step()

    def run(self, callback: Callable[[ComparisonStep], Any] | None = None) -> Comparison:
        """Draw to the end; after Ctrl-C there is what there is, `interrupted`.

        Args:
            callback: called with each step; where it gives True, that step was the last.

        Returns:
            itself.
        """
        try:
            for step in self:
                if callback is not None and callback(step) is True:
                    break
        except KeyboardInterrupt:
            if self.index == 0:
                raise
            self.interrupted = True
            log.warning("Interrupted at step %d of %d: the pictures are what there is.", self.index, self.total)
        return self

    # What has come of it

    def measured(self) -> tuple[float, ...]:
        """Each picture's activation by one rule, so that they can be set beside each other.

        The recipes lay a picture before the network each in its own way, and the activations of their steps are
        means over random views. Here every picture is laid before it once, still, and the unit is read where it is
        highest, before any ReLU (:func:`peek_widget.evidence.measures.still_activation`). NaN in the middle of a run
        whose picture is as yet too small for its layer.
        """
        return self._measured(self.images)

    @property
    def results(self) -> tuple[Result, ...]:
        """Each picture as `render` would give it: `results[0].save("one.png")` keeps its recipe too."""
        found: dict[int, Result] = {}
        for (ascent, members), history in zip(self._groups, self._history, strict=True):
            images, alpha = ascent.best, ascent.alpha
            values = torch.stack(history) if history else torch.zeros(0, len(members))
            for place, member in enumerate(members):
                one = slice(place, place + 1)
                entry = self.entries[member]
                origin = Origin(self.network, (entry.objective,), entry.recipe, (entry.seed,))
                kept = None if alpha is None else alpha[one]
                found[member] = Result(images[one], values[:, one], kept, (), self.interrupted, origin)
        return tuple(found[number] for number in range(len(self.entries)))

    def figure(self, *, side: int = 320, dark: bool = False) -> PILImage.Image:
        """The pictures side by side under their captions, each with its activation (`measured`) as a bar on one scale.

        A comparison that was not begun is drawn to its end first; else the pictures are shown as they are.

        Args:
            side: of each picture on the panel in pixels, the same for all.
            dark: light on dark, for slides.
        """
        if self.index == 0:
            self.run()
        return self._figure(self.images, self.steps, side, dark)

    def save(self, path: str | Path, *, side: int = 320, dark: bool = False) -> None:
        """Write the figure; the name's ending says in which format.

        Raises:
            FileError: if the ending names none that Pillow writes.
            OSError: if the file can't be written.
        """
        path = Path(path)
        if PILImage.registered_extensions().get(path.suffix.lower()) not in PILImage.SAVE:
            raise FileError(f"{path.name!r} has no ending that names a format for pictures: give .png, .webp or .jpg.")
        self.figure(side=side, dark=dark).save(path)

    def _repr_png_(self) -> bytes:
        return png_bytes(self.figure())

    def __repr__(self) -> str:
        return f"Comparison({self.title}: {', '.join(self.captions)}; step {self.index} of {self.total})"

    def _gather(self, each: Callable[[Ascent], Any]) -> tuple[Any, ...]:
        found = {
            member: value
            for ascent, members in self._groups
            for member, value in zip(members, each(ascent), strict=True)
        }
        return tuple(found[number] for number in range(len(self.entries)))

    def _measured(self, images: Sequence[Tensor]) -> tuple[float, ...]:
        return tuple(_laid(self.network, entry, image) for entry, image in zip(self.entries, images, strict=True))

    def _draw(self, images: Sequence[Tensor], steps: Sequence[int]) -> PILImage.Image:
        return self._figure(images, steps, 320, False)

    def _figure(self, images: Sequence[Tensor], steps: Sequence[int], side: int, dark: bool) -> PILImage.Image:
        notes = [
            f"{count} step{'s' * (count != 1)}, {image.shape[-1]} px"
            for image, count in zip(images, steps, strict=True)
        ]
        pictures = [to_pil(image) for image in images]
        return figure(pictures, self.captions, self._measured(images), notes, self.title, side=side, dark=dark)


def compare(
    model: nn.Module | ModelCopy | Network,
    layer: str,
    unit: int | None = None,
    *,
    recipes: Iterable[Recipe | str] | None = None,
    seeds: Iterable[int] | None = None,
    units: Iterable[int] | None = None,
    recipe: Recipe | str | None = None,
    seed: int = 0,
    size: int | None = None,
    preprocess: Any = None,
    device: Any = None,
    input_size: int | None = None,
) -> Comparison:
    """Draw a unit under 2 to 6 recipes or seeds, or 2 to 6 units, side by side.

    Args:
        model: a model, its ghost, or a network already read; the model is neither run nor changed.
        layer: its name; `""` is the model's output.
        unit: its number, from 0; not needed with `units`.
        recipes: presets' names or Recipes; or
        seeds: numbers from 0; or
        units: numbers of units of the layer. One of the three.
        recipe: for seeds and units; left out, `"peek"`.
        seed: for recipes and units.
        size: side of the finished pictures in pixels; left out, each recipe's, else the model's input size.
        preprocess, device, input_size: as for `render`.

    Returns:
        a `Comparison`: an iterable of steps, and a figure (`.figure()`, `.save("figure.png")`); nothing is drawn
        until one of them is asked for. A notebook that shows it draws it to its end.

    Raises:
        PeekError: what was asked for is not possible, in a sentence.

    Example:
        ``compare(model, "layer3.1", 7, recipes=["peek", "oygard-2016", "lucid-2017"]).save("recipes.png")``
    """
    network = model if isinstance(model, Network) else read(model, input_size, preprocess, device)
    names = [str(name) for name in getattr(network.model_copy.original, "class_names", None) or ()]
    found, title = entries(
        network, layer, unit, recipes=recipes, seeds=seeds, units=units, recipe=recipe, seed=seed, names=names
    )
    return Comparison(network, found, title, size=size)


def entries(
    network: Network,
    layer: str,
    unit: int | None,
    *,
    recipes: Iterable[Recipe | str] | None = None,
    seeds: Iterable[int] | None = None,
    units: Iterable[int] | None = None,
    recipe: Recipe | str | None = None,
    seed: int = 0,
    names: Sequence[str] = (),
    objective: Callable[[int], Objective] | None = None,
    negative: bool = False,
    start: Any = None,
) -> tuple[list[Entry], str]:
    """What a comparison draws, and its title; see `compare` for the arguments and errors.

    Args:
        names: of the units of the layer, where they have some.
        objective: a unit's objective; left out, its middle place, or the class.
        negative: make it smaller instead.
        start: a picture to begin from.
    """
    network.layer(layer)
    given = {"recipes": recipes, "seeds": seeds, "units": units}
    chosen = [name for name, values in given.items() if values is not None]
    if len(chosen) != 1:
        got = "none of them was" if not chosen else f"{' and '.join(chosen)} were"
        raise PeekError(f"Compare one thing: recipes=[...], seeds=[...] or units=[...]; {got} given.")
    (what,) = chosen
    values = _several(what, given[what])
    if what == "units":
        of = [_unit_of(value) for value in values]
    elif unit is None:
        raise PeekError(f"Which unit? Give its number: compare(model, {layer!r}, 7, {what}=[...]).")
    else:
        of = [unit] * len(values)
    by = [_recipe(value) for value in values] if what == "recipes" else [_recipe(recipe)] * len(values)
    begun = [_seed(value) for value in values] if what == "seeds" else [_seed(seed)] * len(values)
    for each in of:
        network.check_unit(layer, each)
    if what == "recipes":
        captions = _told_apart(by)
    elif what == "seeds":
        captions = [f"seed {value}" for value in begun]
    else:
        captions = [_unit_name(network, layer, value, names) for value in of]
    made = []
    for caption, number, by_recipe, from_seed in zip(captions, of, by, begun, strict=True):
        plain = objective(number) if objective is not None else unit_objective(network, layer, number)
        made.append(Entry(caption, plain, -plain if negative else plain, by_recipe, from_seed, start))
    where = f"layer {layer}" if layer else "the output"
    whose = _unit_name(network, layer, of[0], names)
    title = {
        "recipes": f"{whose} of {where}, seed {begun[0]}",
        "seeds": f"{whose} of {where}, {by[0].name}",
        "units": f"{where}, {by[0].name}, seed {begun[0]}",
    }[what]
    return made, title[:1].upper() + title[1:]


def _several(what: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise PeekError(f"{what}={values!r}: give a list of {FEWEST} to {MOST}, e.g. {_EXAMPLES[what]}.")
    found = list(values)
    if not FEWEST <= len(found) <= MOST:
        raise PeekError(
            f"{what} has {len(found)}: give {FEWEST} to {MOST}, e.g. {_EXAMPLES[what]}. More than {MOST} pictures are "
            "what render(model, [objectives]) is for."
        )
    if any(one in found[:place] for place, one in enumerate(found)):
        raise PeekError(f"{what}={found!r} has one of them twice: the two pictures would be the same.")
    return found


_EXAMPLES = {"recipes": '["peek", "oygard-2016"]', "seeds": "[0, 1, 2]", "units": "[7, 8, 9]"}


def _recipe(recipe: Any) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    return Recipe.preset("peek" if recipe is None else recipe)


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, SupportsIndex) or not 0 <= int(seed) < 2**63:
        raise PeekError(f"seed={seed!r}: give a whole number from 0 to {2**63 - 1}.")
    return int(seed)


def _unit_of(unit: Any) -> Any:
    # numpy's whole numbers are units too; what is none is refused by check_unit, in a sentence
    return int(unit) if isinstance(unit, SupportsIndex) and not isinstance(unit, bool) else unit


def _unit_name(network: Network, layer: str, unit: int, names: Sequence[str]) -> str:
    if layer == OUTPUT and unit < len(names):
        return names[unit]
    return f"class {unit}" if isinstance(unit_objective(network, layer, unit), Logit) else f"unit {unit}"


def _told_apart(recipes: Sequence[Recipe]) -> list[str]:
    """Their names; of those of the same name also what they differ in."""
    captions = []
    for recipe in recipes:
        same = [other for other in recipes if other.name == recipe.name]
        differing = [
            f"{each.name}={_shown(getattr(recipe, each.name))}"
            for each in dataclasses.fields(Recipe)
            if len({getattr(other, each.name) for other in same}) > 1
        ]
        captions.append(", ".join([recipe.name, *differing]))
    return captions


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _laid(network: Network, entry: Entry, image: Tensor) -> float:
    try:
        return measures.still_activation(network, entry.unit, image, entry.recipe)
    except SizeError:
        return math.nan

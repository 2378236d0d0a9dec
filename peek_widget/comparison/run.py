"""The drawing of a comparison: two to six pictures in step."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image as PILImage
from torch import Tensor, nn

from peek_widget._encode import png_bytes
from peek_widget._progress import progress_bar
from peek_widget._size import Size, SizeLike
from peek_widget.ascent import Ascent, Recipe, Result, to_pil
from peek_widget.ascent.arguments import named_unit
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.result import Origin
from peek_widget.ascent.still import StillActivation
from peek_widget.comparison.entries import Entry, entries
from peek_widget.comparison.figure import figure
from peek_widget.errors import FileError
from peek_widget.network import ModelCopy, Network, read
from peek_widget.network.preprocess import Preprocess, PreprocessFunction

__all__ = ["Comparison", "ComparisonStep", "compare"]

log: logging.Logger = logging.getLogger("peek_widget")


@dataclass(frozen=True)
class ComparisonStep:
    """The pictures of a comparison after one of its steps.

    Attributes:
        index: number of the step, from 0.
        share: fraction of each picture's run that is done, up to 1.
        images: float32 `[C, H, W]` in [0, 1], one for each entry; their size grows with octaves.
        steps: number of steps that each picture has had.
        activations: activation of each unit at its last step, before the ReLU, of what the network then saw (random
            views included). For numbers that can be compared see `Comparison.measured`.
        captions: captions of the pictures.
    """

    index: int
    share: float
    images: tuple[Tensor, ...]
    steps: tuple[int, ...]
    activations: tuple[float, ...]
    captions: tuple[str, ...]
    _draw: Callable[[tuple[Tensor, ...], tuple[int, ...]], PILImage.Image] = field(repr=False, compare=False)

    def figure(self) -> PILImage.Image:
        """Draw the pictures side by side, with their captions and activations."""
        return self._draw(self.images, self.steps)


class Comparison(Iterator[ComparisonStep]):
    """Several pictures drawn side by side, in step; `compare` makes one.

    Iterating draws: after step t of T each picture has had the fraction t / T of its own run, where T is the number of
    steps of the longest. Schedules and octaves are fractions of a run, so that pictures of recipes of 150 and of 475
    steps are half done, and finished, at the same time; the shorter one waits in between. Entries with the same recipe
    and start go through the network as one batch.

    Args:
        network: network to draw.
        entries: what to draw, see :func:`~peek_widget.comparison.entries.entries`.
        title: title of the figure.
        size: size of the finished pictures in pixels; None leaves it to each recipe, else the model.

    Raises:
        PeekError: if what was asked for is not possible, in a sentence.
    """

    def __init__(
        self, network: Network, entries: Sequence[Entry], title: str = "", *, size: SizeLike | None = None
    ) -> None:
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
        sizes = {
            number: Geometry(network, ascent.recipe, size, ascent.objectives).sizes[-1].plain
            for ascent, members in self._groups
            for number in members
        }
        self.index: int = 0
        self.total: int = max(ascent.steps for ascent, _ in self._groups)
        self.interrupted: bool = False
        self._meters = [
            StillActivation(network, entry.objective, entry.recipe, sizes[number])
            for number, entry in enumerate(self.entries)
        ]
        self._activations = [math.nan] * len(self.entries)
        self._history: list[list[Tensor]] = [[] for _ in self._groups]

    # Drawing

    @property
    def done(self) -> bool:
        """Whether all pictures are finished."""
        return self.index >= self.total

    @property
    def captions(self) -> tuple[str, ...]:
        """Captions of the pictures: what sets each apart."""
        return tuple(entry.caption for entry in self.entries)

    @property
    def images(self) -> tuple[Tensor, ...]:
        """The pictures as they are now, float32 `[C, H, W]` in [0, 1]."""
        return self._gather(lambda ascent: ascent.images)

    @property
    def steps(self) -> tuple[int, ...]:
        """Number of steps that each picture has had."""
        return self._gather(lambda ascent: [ascent.index] * len(ascent.objectives))

    def step(self) -> ComparisonStep:
        """Bring every picture to the next fraction of its run.

        Raises:
            StopIteration: when all are finished.
            PeekError: as `Ascent.step`.
        """
        if self.done:
            raise StopIteration
        share = (self.index + 1) / self.total
        for (ascent, members), history in zip(self._groups, self._history, strict=True):
            # rounded up, so that every picture has begun after the first step
            due = min(ascent.steps, math.ceil(share * ascent.steps - 1e-9))
            while ascent.index < due:
                values = ascent.step().activations
                history.append(values)
                for column, member in enumerate(members):
                    self._activations[member] = float(values[column])
        self.index += 1
        return ComparisonStep(
            self.index - 1, share, self.images, self.steps, tuple(self._activations), self.captions, self._draw
        )

    def __iter__(self) -> Comparison:
        return self

    def __next__(self) -> ComparisonStep:
        return self.step()

    def run(
        self, callback: Callable[[ComparisonStep], Any] | None = None, *, progress: bool | None = None
    ) -> Comparison:
        """Draw to the end; Ctrl-C keeps the pictures as they are and sets `interrupted`.

        Args:
            callback: called with each step; if it returns True, that step is the last.
            progress: whether to show a progress bar; left out, where it takes more than two seconds.

        Returns:
            The comparison itself.
        """
        try:
            with progress_bar(self.total - self.index, "Drawing", progress, unit="step") as bar:
                for step in self:
                    bar.update(1)
                    if callback is not None and callback(step) is True:
                        break
        except KeyboardInterrupt:
            if self.index == 0:
                raise
            self.interrupted = True
            log.warning("Interrupted at step %d of %d: the pictures are as far as they got.", self.index, self.total)
        return self

    # Results

    def measured(self) -> tuple[float, ...]:
        """Measure each picture's activation by one rule, so that the numbers can be compared.

        Each recipe shows its picture to the network in its own way, and the activations of its steps are means
        over random views. Here every picture is shown to it once, without random views, and the unit's highest value
        over its map is taken, before any ReLU (:mod:`peek_widget.ascent.still`); with a negative objective the lowest.
        """
        return self._measured(self.images)

    @property
    def results(self) -> tuple[Result, ...]:
        """Each picture as `render` would return it: `results[0].save("one.png")` keeps its recipe too."""
        found: dict[int, Result] = {}
        for (ascent, members), history in zip(self._groups, self._history, strict=True):
            images, alpha = ascent.best, ascent.alpha
            values = torch.stack(history) if history else torch.zeros(0, len(members))
            for column, member in enumerate(members):
                one = slice(column, column + 1)
                entry = self.entries[member]
                origin = Origin(self.network, (entry.objective,), entry.recipe, (entry.seed,))
                kept = None if alpha is None else alpha[one]
                found[member] = Result(images[one], values[:, one], kept, (), self.interrupted, origin)
        return tuple(found[number] for number in range(len(self.entries)))

    def figure(self, *, side: int = 320, dark: bool = False) -> PILImage.Image:
        """Draw the pictures side by side with captions, and their activations (`measured`) as bars on one scale.

        A comparison that was not begun is drawn to its end first; else the pictures are shown as they are.

        Args:
            side: longer side of each picture on the panel in pixels.
            dark: use light text on a dark background, for slides.
        """
        if self.index == 0:
            self.run()
        return self._figure(self.images, self.steps, side, dark)

    def save(self, path: str | Path, *, side: int = 320, dark: bool = False) -> None:
        """Write the figure to a file, in the format of its extension.

        Raises:
            FileError: if the extension is not of a format that Pillow writes.
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
        return tuple(
            # the unit's own activation: with a negative objective it sinks
            meter(image) * (1.0 if entry.objective == entry.unit else -1.0)
            for entry, meter, image in zip(self.entries, self._meters, images, strict=True)
        )

    def _draw(self, images: Sequence[Tensor], steps: Sequence[int]) -> PILImage.Image:
        return self._figure(images, steps, 320, False)

    def _figure(self, images: Sequence[Tensor], steps: Sequence[int], side: int, dark: bool) -> PILImage.Image:
        notes = [
            f"{count} step{'s' * (count != 1)}, {Size(*image.shape[1:])} px"
            for image, count in zip(images, steps, strict=True)
        ]
        pictures = [to_pil(self.network.preprocess.visible(image)) for image in images]
        return figure(pictures, self.captions, self._measured(images), notes, self.title, side=side, dark=dark)


def compare(
    model: nn.Module | ModelCopy | Network,
    layer: str | nn.Module,
    unit: int | None = None,
    *,
    recipes: Iterable[Recipe | str] | None = None,
    seeds: Iterable[int] | None = None,
    units: Iterable[int] | None = None,
    recipe: Recipe | str | None = None,
    seed: int = 0,
    size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    device: str | torch.device | None = None,
    input_size: SizeLike | None = None,
) -> Comparison:
    """Draw a unit under 2 to 6 recipes or seeds, or 2 to 6 units, side by side.

    Args:
        model: a model, or a network already read; the model is neither run nor changed.
        layer: name of the layer, or a module of the model; `""` is the model's output; or `"layer:unit"`.
        unit: number of the unit, from 0; not needed with `units`.
        recipes: 2 to 6 presets' names or Recipes. One of `recipes`, `seeds` and `units` is given.
        seeds: 2 to 6 numbers from 0.
        units: 2 to 6 numbers of units of the layer.
        recipe: recipe of seeds and units; left out, `"peek"`.
        seed: seed of recipes and units.
        size: side of the finished pictures in pixels; left out, each recipe's, else the model's input size.
        preprocess, device, input_size: as for `render`.

    Returns:
        A `Comparison`: an iterable of steps, and a figure (`.figure()`, `.save("figure.png")`); nothing is drawn until
        one of them is asked for. A notebook that displays it draws it to its end.

    Raises:
        PeekError: if what was asked for is not possible, in a sentence.

    Example:
        ``compare(model, "layer3.1", 7, recipes=["peek", "oygard-2016", "lucid-2017"]).save("recipes.png")``
    """
    network = model if isinstance(model, Network) else read(model, input_size, preprocess, device)
    class_names = [str(name) for name in getattr(network.model_copy.original, "class_names", None) or ()]
    if unit is None and isinstance(layer, str) and ":" in layer:
        layer, unit = named_unit(network, layer)
    found, title = entries(
        network,
        network.layer(layer).name,
        unit,
        recipes=recipes,
        seeds=seeds,
        units=units,
        recipe=recipe,
        seed=seed,
        class_names=class_names,
    )
    return Comparison(network, found, title, size=size)

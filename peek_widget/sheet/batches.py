"""Batches of units that are drawn together, and their drawing, step by step.

A plan follows from the call alone (the layer, the recipe, the units, the kind of device), never from the machine that
draws it, so that a batch means the same on every worker.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, SupportsIndex, get_args

import torch
from torch import Tensor

from peek_widget._size import Size, SizeLike
from peek_widget.ascent import Ascent, Recipe, fingerprint, unit_objective
from peek_widget.ascent.evaluate import LARGE
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.provenance import Drawing
from peek_widget.ascent.recipe import as_recipe
from peek_widget.ascent.still import resized, still_activation
from peek_widget.ascent.views import ViewGeometry
from peek_widget.errors import AscentError, PeekError, SizeError, UnitError
from peek_widget.network import Network
from peek_widget.network.memory import memory_error, release
from peek_widget.network.precision import Precision
from peek_widget.network.warm import chosen_precision
from peek_widget.sheet.seeds import unit_seed
from peek_widget.sheet.unit import SheetUnit, to_png

__all__ = ["LARGEST", "Batch", "Kind", "Progress", "check_units", "draft_of", "draw", "plan"]

log: logging.Logger = logging.getLogger("peek_widget")

Kind = Literal["neuron", "channel"]

LARGEST = {"cpu": 16}
"""Largest number of units in a batch by kind of device: few on a CPU, so that an interruption loses little."""

_LARGEST_ELSEWHERE = 128

_SEPARATE = 4
"""Units in a batch whose views go through the network one at a time, as large ones do on a CPU (see engine.LARGE).

A larger batch would only be saved later; with this many the rest of a step is a twentieth quicker."""

_VIEWS = 64
"""Number of views in one forward on a CPU: those of the largest batch in ``peek``. 16 units in ``maco-2023`` would have
512, for which a network of three small layers took 1.4 GB, and two batches are drawn at once; 2 units took 0.4 GB."""

_PIXELS = 64 * 224**2
"""Pixels of views in one forward on a GPU: 64 views of 224 px."""

DRAFT_STEPS, DRAFT_SIZE = 8, 128
"""Smallest number of steps (twice as many for small views), and largest side in pixels, of a preview.

After twelve steps of ``peek`` the picture has its final layout: on eight units of EfficientNet-Lite0's head, previews
and finished pictures, both of 24 px, had a correlation of 0.69; with separate short runs that were as quick (fewer or
smaller views, larger steps) it was 0.1 to 0.5."""

_DRAFT_PIXELS = DRAFT_STEPS * 4 * 112**2
"""Pixels of views that a preview's steps may take together if they are more than the smallest number."""


@dataclass(frozen=True)
class Batch:
    """Units that are drawn together.

    Attributes:
        number: number of the batch in its plan, from 0.
        layer: name of the layer.
        units: units in the order in which they go through the network.
        recipe: recipe of the pictures.
        seed: seed of the sheet; each unit has its own, see :func:`~peek_widget.sheet.seeds.unit_seed`.
        size: size of the pictures in pixels, as asked for.
        objective: ``"neuron"`` or ``"channel"``; a class is its ``Logit`` either way.
        draft: whether it is the quick preview.
        steps: number of the recipe's steps that are made; None for all of them.
        precision: what the network computes in, see :class:`~peek_widget.ascent.AscentOptions`.
        together: whether the units go through the network together, so that rounding makes each picture depend on the
            others of its batch. Large views on a CPU don't: a picture is then the same in any batch, to the last bit.
        wanted: units whose pictures are asked for; all, unless some exist already.
    """

    number: int
    layer: str
    units: tuple[int, ...]
    recipe: Recipe
    seed: int = 0
    size: SizeLike | None = None
    objective: Kind = "neuron"
    draft: bool = False
    steps: int | None = None
    precision: Precision = "float32"
    together: bool = True
    wanted: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.wanted:
            object.__setattr__(self, "wanted", self.units)  # the dataclass is frozen

    def missing(self, there: Iterable[int]) -> Batch | None:
        """Return what is left of the batch when some units exist already; None if all do.

        The rest gives the pixels that the whole batch would have given: where units go through the network together,
        the whole batch is drawn again for the few that are wanted.
        """
        known = set(there)
        wanted = tuple(unit for unit in self.wanted if unit not in known)
        if not wanted:
            return None
        return dataclasses.replace(self, units=self.units if self.together else wanted, wanted=wanted)


@dataclass(frozen=True)
class Progress:
    """State of a batch after one of its steps.

    Attributes:
        step: number of steps made, from 1.
        steps: number of steps of the run.
        units: units that are being drawn.
        finished: units that are now finished; empty before the last step.
        failed: units that can't be drawn (a dead unit, say), each with the reason in a sentence.
    """

    step: int
    steps: int
    units: tuple[int, ...]
    finished: tuple[SheetUnit, ...] = ()
    failed: Mapping[int, str] = field(default_factory=dict)


def plan(
    network: Network,
    layer: str,
    recipe: Recipe | str | None = None,
    units: Iterable[int] | None = None,
    *,
    seed: int = 0,
    size: SizeLike | None = None,
    objective: Kind = "neuron",
    draft: bool = False,
    batch: int | None = None,
    precision: Precision | None = None,
) -> list[Batch]:
    """Divide the units of a layer into batches.

    Args:
        network: network to draw.
        layer: name of the layer.
        recipe: a Recipe or a preset's name; left out, ``"peek"``.
        units: numbers of the units, each once; left out, all of the layer.
        seed: seed of the sheet, from 0.
        size: size of the pictures in pixels; left out, the recipe's, else the model's input size.
        objective: ``"neuron"`` (the center of the map) or ``"channel"`` (the mean over it).
        draft: plan the quick preview instead, see :func:`draft_of`.
        batch: number of units in a batch; left out, it depends on the size of their views. On a CPU at most 16.
        precision: what the network computes in, see :class:`~peek_widget.ascent.AscentOptions`.

    Raises:
        PeekError: if what was asked for is not possible (LayerError, UnitError, SizeError, RecipeError).
    """
    recipe = as_recipe(recipe)
    if objective not in get_args(Kind):
        raise PeekError(f"objective={objective!r}: choose 'neuron' (the center of the map) or 'channel'.")
    if isinstance(seed, bool) or not isinstance(seed, SupportsIndex) or not 0 <= int(seed) < 2**63:
        raise PeekError(f"seed={seed!r}: give a whole number from 0 to {2**63 - 1}.")
    precision = chosen_precision(network, precision)
    name = network.layer(layer).name
    chosen = check_units(network, name, units)
    steps = None
    if draft:
        recipe, size, steps = draft_of(network, name, recipe, size, objective)
    view = _view(network, name, recipe, size, objective)
    device = network.model_copy.device.type
    together = device != "cpu" or view.side < LARGE
    length = _length(device, view.size, recipe.n_views, together) if batch is None else _check_batch(batch, device)
    parts = [chosen[start : start + length] for start in range(0, len(chosen), length)]
    return [
        Batch(number, name, part, recipe, int(seed), size, objective, draft, steps, precision, together)
        for number, part in enumerate(parts)
    ]


def draft_of(
    network: Network, layer: str, recipe: Recipe, size: SizeLike | None, kind: Kind
) -> tuple[Recipe, SizeLike | None, int]:
    """Return recipe, size and number of steps of a preview: the beginning of the finished picture's own run.

    Where the recipe begins from anything but the noise of a spectrum, its first steps show nothing, and the
    preview is the beginning of ``peek``'s run, on a small canvas if the layer allows it.
    """
    wanted = Geometry(network, recipe, size, [unit_objective(network, layer, 0, kind)]).sizes[-1]
    if recipe.param != "fourier" or recipe.init != "noise":
        recipe, size = Recipe.preset("peek"), wanted.within(Size.of(DRAFT_SIZE)).plain
        try:
            _view(network, layer, recipe, size, kind)
        except SizeError:
            size = wanted.plain
    view = _view(network, layer, recipe, size, kind)
    affordable = _DRAFT_PIXELS // (view.count * view.size.height * view.size.width)
    steps = max(DRAFT_STEPS, min(affordable, recipe.steps // 4, 2 * DRAFT_STEPS))
    return recipe, size, min(steps, recipe.steps)


def check_units(network: Network, layer: str, units: Iterable[int] | None) -> tuple[int, ...]:
    """Return the units as whole numbers, each once, in the order given; UnitError if one is not in the layer."""
    if units is None:
        return tuple(range(network.layer(layer).channels))
    if isinstance(units, (str, bytes)) or not isinstance(units, Iterable):
        raise UnitError(f"units={units!r}: give the numbers of the units as a list or a range, e.g. units=range(16).")
    found = []
    for unit in units:
        network.check_unit(layer, unit)
        found.append(int(unit))
    return tuple(dict.fromkeys(found))


def draw(
    network: Network,
    batch: Batch,
    *,
    fingerprint: str | None = None,
    best: Mapping[int, float] | None = None,
) -> Generator[Progress]:
    """Draw a batch, one step at a time.

    Where memory runs out, or a unit can't be drawn, the batch is halved and the halves are drawn one after the other.

    Args:
        network: network to draw.
        batch: batch of a plan that was made with it.
        fingerprint: fingerprint of the model, for the PNGs; left out, it is computed, which reads all weights.
        best: highest activation of a dataset image by unit, for the gauge.

    Yields:
        A :class:`Progress` after each step, the last (of each half) with what is finished or failed.

    Raises:
        PeekError: if there is not enough memory for a single picture, or the model's forward fails.
    """
    digits = _fingerprint(network) if fingerprint is None else fingerprint
    waiting = [batch.units]
    while waiting:
        units = waiting.pop(0)
        if not set(units) & set(batch.wanted):
            continue
        try:
            yield from _draw_units(network, batch, units, digits, best or {})
            continue
        except (PeekError, MemoryError, RuntimeError) as error:
            why = memory_error(error)
            if why is None and not isinstance(error, AscentError):
                raise
            if len(units) == 1 and why is not None:
                raise PeekError(
                    f"There is not enough memory to draw a single unit of {batch.layer!r} ({why}): give a smaller "
                    "size=, a recipe with fewer views, or a machine with more memory. What was drawn before is kept."
                ) from error
            if len(units) == 1:
                yield Progress(0, batch.steps or batch.recipe.steps, units, failed={units[0]: str(error)})
                continue
            if why is not None:
                log.warning(
                    "Memory ran out for a batch of %d units: it goes on in halves.%s",
                    len(units),
                    " Their last digits may then differ from what a machine with more memory draws."
                    if batch.together
                    else "",
                )
        # Not in the except clause: there the error's traceback still holds the tensors of the failed run.
        release(network.model_copy.device)
        middle = len(units) // 2
        waiting[:0] = [units[:middle], units[middle:]]


def finish(run: Iterable[Progress]) -> tuple[list[SheetUnit], dict[int, str]]:
    """Draw a batch to its end; return what is finished, and what failed."""
    finished: list[SheetUnit] = []
    failed: dict[int, str] = {}
    for progress in run:
        finished += progress.finished
        failed |= progress.failed
    return finished, failed


def _draw_units(
    network: Network, batch: Batch, units: tuple[int, ...], digits: str, best: Mapping[int, float]
) -> Iterator[Progress]:
    objectives = [unit_objective(network, batch.layer, unit, batch.objective) for unit in units]
    seeds = [unit_seed(batch.seed, batch.layer, unit) for unit in units]
    run = Ascent(network, objectives, batch.recipe, seed=seeds, size=batch.size, precision=batch.precision)
    steps = run.steps if batch.steps is None else batch.steps
    while True:
        run.step()
        if run.index >= steps:
            break
        yield Progress(run.index, steps, units)
    pictures, alpha = (_small(run.preview()), None) if batch.draft else (run.best, run.alpha)
    how = {
        "device": network.model_copy.device.type,
        "threads": torch.get_num_threads(),
        "precision": batch.precision,
        "torch": torch.__version__,
    }
    # A preview has another size, but is measured at the scale of the finished picture.
    size = Geometry(network, batch.recipe, batch.size, objectives[:1]).sizes[-1].plain if batch.draft else None
    finished: list[SheetUnit] = []
    failed: dict[int, str] = {}
    for number, unit in enumerate(units):
        if unit not in batch.wanted:
            continue
        # Rounded as it is saved, so that the PNG gives the same measurement.
        picture = (pictures[number] * 255.0).round() / 255.0
        activation = still_activation(network, objectives[number], picture, batch.recipe, size)
        if not math.isfinite(activation):
            failed[unit] = f"The finished picture of unit {unit} gives the activation {activation}."
            continue
        highest = best.get(unit)
        finished.append(
            to_png(
                Drawing(objectives[number], batch.recipe, seeds[number], Size(*picture.shape[1:]).plain, digits),
                network.preprocess.visible(picture),
                None if alpha is None else alpha[number],
                unit=unit,
                activation=activation,
                gauge=activation / highest if highest is not None and highest > 0.0 else None,
                draft=batch.draft,
                drawn_with=units if batch.together else (unit,),
                how=how,
            )
        )
    yield Progress(run.index, steps, units, tuple(finished), failed)


def _small(pictures: Tensor) -> Tensor:
    """Return pictures ``[N, C, H, W]`` resized to the size of a preview, if theirs is larger."""
    return resized(pictures, Size(*pictures.shape[2:]).within(Size.of(DRAFT_SIZE)))


def _fingerprint(network: Network) -> str:
    return fingerprint(network)


def _view(network: Network, layer: str, recipe: Recipe, size: SizeLike | None, kind: Kind) -> ViewGeometry:
    """Return the geometry of what the network gets of each picture; the same for all units of a layer."""
    objective = unit_objective(network, layer, 0, kind)
    return Geometry(network, recipe, size, [objective]).view(objective)


def _length(device: str, size: Size, views: int, together: bool) -> int:
    if device == "cpu":
        return max(1, min(LARGEST["cpu"], _VIEWS // views)) if together else _SEPARATE
    fitting = max(1, min(_PIXELS // (views * size.height * size.width), _LARGEST_ELSEWHERE))
    return 2 ** (fitting.bit_length() - 1)


def _check_batch(batch: Any, device: str) -> int:
    most = LARGEST.get(device, 4096)
    if isinstance(batch, bool) or not isinstance(batch, SupportsIndex) or not 1 <= int(batch) <= most:
        why = ", so that a batch is soon finished and saved" if device in LARGEST else ""
        raise PeekError(f"batch={batch!r}: give a number of units from 1 to {most}{why}, or leave it out.")
    return int(batch)

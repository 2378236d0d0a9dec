"""Which units are drawn together, and the drawing of them, step by step.

A plan follows from the call alone (the layer, the recipe, the units, the kind of device), never from who draws it, so
that a batch means the same on every worker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import math
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, SupportsIndex, get_args

import torch

from peek_widget.ascent import Ascent, Recipe, fingerprint, unit_objective
from peek_widget.ascent.engine import LARGE
from peek_widget.ascent.framing import Framing
from peek_widget.ascent.provenance import Drawing
from peek_widget.ascent.recipe import as_recipe
from peek_widget.errors import AscentError, PeekError, SizeError, UnitError
from peek_widget.evidence.measures import still_activation
from peek_widget.network import Network
from peek_widget.sheet.seeds import unit_seed
from peek_widget.sheet.unit import SheetUnit, to_png

__all__ = ["LARGEST", "Batch", "Kind", "Progress", "check_units", "draft_of", "draw", "plan"]

log: logging.Logger = logging.getLogger("peek_widget")

Kind = Literal["neuron", "channel"]

LARGEST = {"cpu": 16}
"""The most units in a batch by kind of device: on a CPU few, so that little is lost when it is cut off."""

_LARGEST_ELSEWHERE = 128

# On a CPU large views go through the network one at a time (see engine.LARGE), so a larger batch would only be kept
# later; the rest of a step gains a twentieth from this many.
_SIDE_BY_SIDE = 4

# Elsewhere: so many pixels of views in a forward, as of 64 views of 224 px.
_PIXELS = 64 * 224**2

DRAFT_STEPS, DRAFT_SIZE = 24, 128


@dataclass(frozen=True)
class Batch:
    """Units that are drawn together.

    Attributes:
        number: in its plan, from 0.
        layer: its name.
        units: in the order in which they go through the network.
        recipe: that they are drawn by.
        seed: of the sheet; each unit has its own, see :func:`~peek_widget.sheet.seeds.unit_seed`.
        size: side of the pictures in pixels, as asked for.
        objective: ``"neuron"`` or ``"channel"``; a class is its ``Logit`` either way.
        draft: whether it is the quick first version.
        together: whether the units go through the network together, so that rounding ties each picture to the others
            of its batch. On a CPU large views don't: a picture is then the same in any batch, to the last bit.
        wanted: of the units those whose pictures are asked for; all, unless some are there already.
    """

    number: int
    layer: str
    units: tuple[int, ...]
    recipe: Recipe
    seed: int = 0
    size: int | None = None
    objective: Kind = "neuron"
    draft: bool = False
    together: bool = True
    wanted: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.wanted:
            object.__setattr__(self, "wanted", self.units)  # frozen; this is its construction

    def missing(self, there: Iterable[int]) -> Batch | None:
        """What is left of it when some units are there already; None if all are.

        What is left is drawn to the pixels that the whole batch would have given: where units go together, the whole
        batch is drawn again for the few that are wanted.
        """
        known = set(there)
        wanted = tuple(unit for unit in self.wanted if unit not in known)
        if not wanted:
            return None
        return dataclasses.replace(self, units=self.units if self.together else wanted, wanted=wanted)


@dataclass(frozen=True)
class Progress:
    """After one step of a batch.

    Attributes:
        step: steps made, from 1.
        steps: of the run.
        units: that are being drawn.
        finished: those that are now done; empty before the last step.
        failed: units that can't be drawn, with a sentence why (a dead unit, say).
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
    size: int | None = None,
    objective: Kind = "neuron",
    draft: bool = False,
    batch: int | None = None,
) -> list[Batch]:
    """The batches in which the units of a layer are drawn.

    Args:
        network: as read.
        layer: its name.
        recipe: a Recipe or a preset's name; left out, ``"peek"``.
        units: numbers, each once; left out, all of the layer.
        seed: of the sheet, from 0.
        size: side of the pictures in pixels; left out, the recipe's, else the model's input size.
        objective: ``"neuron"`` (the middle of the map) or ``"channel"`` (all of it).
        draft: plan the quick first version instead, see :func:`draft_of`.
        batch: units in a batch; left out, by the size of their views. On a CPU at most 16.

    Raises:
        PeekError: what was asked for is not possible (LayerError, UnitError, SizeError, RecipeError).
    """
    recipe = as_recipe(recipe)
    if objective not in get_args(Kind):
        raise PeekError(f"objective={objective!r}: possible are 'neuron' (the middle of the map) and 'channel'.")
    if isinstance(seed, bool) or not isinstance(seed, SupportsIndex) or not 0 <= int(seed) < 2**63:
        raise PeekError(f"seed={seed!r}: give a whole number from 0 to {2**63 - 1}.")
    name = network.layer(layer).name
    chosen = check_units(network, name, units)
    if draft:
        recipe, size = draft_of(network, name, recipe, size, objective)
    side = _view(network, name, recipe, size, objective)
    device = network.model_copy.device.type
    together = device != "cpu" or side < LARGE
    length = _length(device, side, recipe.n_views, together) if batch is None else _check_batch(batch, device)
    parts = [chosen[start : start + length] for start in range(0, len(chosen), length)]
    return [
        Batch(number, name, part, recipe, int(seed), size, objective, draft, together)
        for number, part in enumerate(parts)
    ]


def draft_of(network: Network, layer: str, recipe: Recipe, size: int | None, kind: Kind) -> tuple[Recipe, int | None]:
    """The recipe and size of a quick first version: a few steps of ``peek-fast`` on a small canvas where that goes."""
    quick = Recipe.preset("peek-fast").replace(steps=min(DRAFT_STEPS, max(recipe.steps, 1)))
    wanted = Framing(network, recipe, size).sides[-1]
    small = min(wanted, DRAFT_SIZE)
    try:
        _view(network, layer, quick, small, kind)
    except SizeError:
        return quick, wanted
    return quick, small


def check_units(network: Network, layer: str, units: Iterable[int] | None) -> tuple[int, ...]:
    """The units as whole numbers, each once, in the order given; UnitError if one is not in the layer."""
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

    Where memory runs out, or a unit can't be drawn, the batch is halved and its halves drawn after each other.

    Args:
        network: as read.
        batch: of a plan made with it.
        fingerprint: of the model, kept in the PNGs; left out, it is taken, which reads all weights.
        best: highest activation that a real image gave, by unit: for the gauge.

    Yields:
        a :class:`Progress` after each step, the last (of each half) with what is finished or failed.

    Raises:
        PeekError: if there is not memory enough for a single picture, or the model's forward fails.
    """
    digits = _fingerprint(network) if fingerprint is None else fingerprint
    waiting = [batch.units]
    while waiting:
        units = waiting.pop(0)
        if not set(units) & set(batch.wanted):
            continue
        try:
            yield from _together(network, batch, units, digits, best or {})
            continue
        except (PeekError, MemoryError, RuntimeError) as error:
            why = _memory(error)
            if why is None and not isinstance(error, AscentError):
                raise
            if len(units) == 1 and why is not None:
                raise PeekError(
                    f"There is not memory enough to draw a single unit of {batch.layer!r} ({why}): give a smaller "
                    "size=, a recipe with fewer views, or a machine with more memory. What was drawn before is kept."
                ) from error
            if len(units) == 1:
                yield Progress(0, batch.recipe.steps, units, failed={units[0]: str(error)})
                continue
            if why is not None:
                log.warning(
                    "Memory ran out for a batch of %d units: it goes on in halves.%s",
                    len(units),
                    " Their last digits may then differ from what a machine with more memory draws."
                    if batch.together
                    else "",
                )
        # Only out here nothing holds on to what the failed run had in memory.
        _free(network)
        middle = len(units) // 2
        waiting[:0] = [units[:middle], units[middle:]]


def finish(run: Iterable[Progress]) -> tuple[list[SheetUnit], dict[int, str]]:
    """All that a batch gives: what is finished, and what failed."""
    finished: list[SheetUnit] = []
    failed: dict[int, str] = {}
    for progress in run:
        finished += progress.finished
        failed |= progress.failed
    return finished, failed


@contextlib.contextmanager
def threads(count: int | None) -> Generator[None]:
    """Compute on so many CPU threads, and then on as many as before."""
    before = torch.get_num_threads()
    if count is not None and count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def _together(
    network: Network, batch: Batch, units: tuple[int, ...], digits: str, best: Mapping[int, float]
) -> Iterator[Progress]:
    objectives = [unit_objective(network, batch.layer, unit, batch.objective) for unit in units]
    seeds = [unit_seed(batch.seed, batch.layer, unit) for unit in units]
    run = Ascent(network, objectives, batch.recipe, seed=seeds, size=batch.size)
    while True:
        run.step()
        if run.done:
            break
        yield Progress(run.index, run.steps, units)
    pictures, alpha = run.best, run.alpha
    how = {
        "device": network.model_copy.device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    finished: list[SheetUnit] = []
    failed: dict[int, str] = {}
    for number, unit in enumerate(units):
        if unit not in batch.wanted:
            continue
        # As it is kept, so that whoever reads the PNG measures the same.
        picture = (pictures[number] * 255.0).round() / 255.0
        activation = still_activation(network, objectives[number], picture, batch.recipe)
        if not math.isfinite(activation):
            failed[unit] = f"The finished picture of unit {unit} gives the activation {activation}."
            continue
        most = best.get(unit)
        finished.append(
            to_png(
                Drawing(objectives[number], batch.recipe, seeds[number], picture.shape[-1], digits),
                picture,
                None if alpha is None else alpha[number],
                unit=unit,
                activation=activation,
                gauge=activation / most if most is not None and most > 0.0 else None,
                draft=batch.draft,
                drawn_with=units if batch.together else (unit,),
                how=how,
            )
        )
    yield Progress(run.index, run.steps, units, tuple(finished), failed)


def _fingerprint(network: Network) -> str:
    return fingerprint(network)


def _view(network: Network, layer: str, recipe: Recipe, size: int | None, kind: Kind) -> int:
    """Side in pixels of what the network gets of each picture; the same for all units of a layer."""
    return Framing(network, recipe, size).frame(unit_objective(network, layer, 0, kind)).side


def _length(device: str, side: int, views: int, together: bool) -> int:
    if device == "cpu":
        return LARGEST["cpu"] if together else _SIDE_BY_SIDE
    fitting = max(1, min(_PIXELS // (views * side**2), _LARGEST_ELSEWHERE))
    return 2 ** (fitting.bit_length() - 1)


def _check_batch(batch: Any, device: str) -> int:
    most = LARGEST.get(device, 4096)
    if isinstance(batch, bool) or not isinstance(batch, SupportsIndex) or not 1 <= int(batch) <= most:
        why = ", so that a batch is soon done and kept" if device in LARGEST else ""
        raise PeekError(f"batch={batch!r}: give a number of units from 1 to {most}{why}, or leave it out.")
    return int(batch)


def _memory(error: BaseException | None) -> str | None:
    """The words of an error that means that memory ran out, also where it is the cause of another; else None."""
    while error is not None:
        words = str(error)
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
            isinstance(error, RuntimeError) and any(sign in words for sign in _SIGNS)
        ):
            return words.splitlines()[0][:200] if words else type(error).__name__
        error = error.__cause__
    return None


_SIGNS = (
    "DefaultCPUAllocator",
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "could not create a memory object",  # oneDNN's
)


def _free(network: Network) -> None:
    gc.collect()
    if network.model_copy.device.type == "cuda":
        torch.cuda.empty_cache()

"""The computation of a circuit: the units of the layer below that a unit reads, with what each does for it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from peek_widget._optional import optional_import
from peek_widget._size import SizeLike
from peek_widget.circuits.measure import Inputs, rank_correlation, statistics_step_by_step
from peek_widget.circuits.reads import Read, check_layer, reads_of
from peek_widget.circuits.shown import Examples, Shown, drawn, examples_of, image_of
from peek_widget.circuits.tree import Plan, cost_of, grow, layers_in
from peek_widget.circuits.unit_circuit import LOW, Circuit, CircuitInput
from peek_widget.errors import PeekError
from peek_widget.network import ModelCopy, Network, Preprocess, PreprocessFunction, read

__all__ = ["PROVISIONAL", "Asked", "circuit", "one_circuit", "traced"]

_AT_ONCE = 4
"""Number of effects that are measured between two states of a circuit."""

PROVISIONAL = "Medians and spreads so far are those of the images shown; those of real images follow."
"""Remark of a circuit whose contributions and weights will change again."""


@dataclass(frozen=True)
class Asked:
    """The unit of a circuit, the images that it is computed on, and options.

    Attributes:
        layer, unit: the unit.
        shown: the images.
        examples: what medians and spreads are taken over; None for what is shown.
        below: names of layers further down to look at; None for the ones right below.
        effects: number of the strongest contributions of each sign whose effect is measured; None for all.
        remarks: sentences that belong to it.
    """

    layer: str
    unit: int
    shown: Shown
    examples: Examples | None = None
    below: tuple[str, ...] | None = None
    effects: int | None = 12
    remarks: tuple[str, ...] = ()


def circuit(
    model: nn.Module | ModelCopy | Network,
    layer: str | nn.Module,
    unit: int,
    examples: Any = None,
    *,
    image: Any = None,
    below: str | Iterable[str] | None = None,
    k: int = 9,
    effects: int | None = 12,
    depth: int = 1,
    width: int = 4,
    pictures: bool = True,
    store: str | Path | None = None,
    recipe: Any = None,
    progress: bool | None = None,
    input_size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    device: str | torch.device | None = None,
) -> Circuit:
    """Find what a unit is made of: every unit of the layer below that it reads, with three numbers for each.

    What it reads is found from the graph that runs, through concatenations, sums, poolings and normalizations; a unit
    of a depthwise or grouped convolution reads only the channels of its group. A lower unit is taken as it is read:
    after its ReLU. A bypass counts as one more layer that is read, and the units of each layer act directly: the other
    layers stay as they are.

    The *weight* is what the network could do, the *contribution* (Rajaram et al. 2024, arXiv 2404.14349, with the
    median as a baseline) what it did on these images by the gradient (by several on the path to the medians, where one
    doesn't add up), and the *effect* what changes when the unit is held at its median. Through linear parts the two are
    the same number; where they differ, the effect is right.

    >>> crops = top_crops(model, "layer3.1", "photos")
    >>> circuit(model, "layer3.1", 17, crops).table

    Args:
        model: any Module; a copy of its structure is run.
        layer: a layer by name or as a module of the model.
        unit: number of the unit.
        examples: what :func:`~peek_widget.top_crops` returned, or a dataset, over which a pass is then made. The unit's
            top crops are what the circuit is computed on; medians and spreads are taken over 64 images of its dataset.
        image: one image to compute it on instead of the crops: a photo, a crop, or what :func:`~peek_widget.render`
            returned. With neither, the unit's picture is drawn, and the circuit is that of the picture alone.
        below: a layer further down to look at instead of the ones right below, or several.
        k: number of crops.
        effects: number of the strongest contributions of each sign whose effect is measured; None for all.
        depth: number of levels of the tree of strongest inputs, including the unit's own: with 3, ``.graph`` has its
            inputs and theirs, each with a picture and its best crop. What that costs is printed before it starts
            (unless ``progress=False``).
        width: number of inputs of each unit in the tree, those with the largest measured effect.
        pictures: whether the units of the tree are drawn.
        store: where the tree's pictures and circuits are kept as they are finished: a folder, or any fsspec address.
            The same call resumes from there. The pictures of each layer form the store of a contact sheet.
        recipe: how pictures are drawn; left out, by ``"peek"``.
        progress: see :func:`~peek_widget.top_crops`.
        input_size, preprocess, device: see :func:`~peek_widget.network.read`.

    Raises:
        LayerError, UnitError: if there is no such layer or unit, the layer has tokens or boxes, or it or one that it
            reads counts its units by several dimensions.
        ModelError: if what the layer reads can't be followed in the model's forward.
        DatasetError: if the images can't be read.
        EvidenceStoreError: if the examples are another model's.
        PeekError: if an option is not possible, or pandas is not installed.
    """
    optional_import("pandas")  # before the work: its table needs it
    network = model if isinstance(model, Network) else read(model, input_size, preprocess, device)
    name = network.layer(layer).name
    network.check_unit(name, unit)
    for option, value in (("k", k), ("depth", depth), ("width", width)):
        _check_number(option, value)
    if depth > 1 and below is not None:
        raise PeekError(
            f"below={below!r} and depth={depth} can't be combined, because with depth above 1 each step goes to the "
            "layers right below: leave out below= or depth=."
        )
    if effects is not None:
        _check_number("effects", effects, 0)
    check_layer(network, name)
    lower = (
        None
        if below is None
        else tuple(network.layer(one).name for one in ([below] if isinstance(below, str) else below))
    )
    if lower == ():
        raise PeekError("below= names no layer: leave it out for the layers right below, or name one or several.")
    given = examples_of(network, examples)
    plan = Plan(depth, width, k, effects, recipe, pictures, store, progress)
    remarks = []
    if image is not None:
        shown = image_of(network, name, unit, image)
        digest = hashlib.sha256(shown.inputs.cpu().numpy().tobytes()).hexdigest()
        plan = replace(plan, on=digest)  # the same one for all units, so that no pass is made
    if depth > 1 and progress is not False:
        print(cost_of(network, name, given, plan))
    if image is None:
        if given is not None:
            given = given.with_layers(network, layers_in(network, name, plan), k, progress)
        crops = None if given is None else given.of(network, name, unit, k)
        if crops is None:
            remarks.append(
                "There are no examples: it is computed on its drawn picture alone, which is a picture of what excites "
                "it and no photo; give examples= for its top crops."
            )
            crops, _ = drawn(network, name, unit, recipe, progress)
        shown = crops
    asked = Asked(name, unit, shown, given, lower, effects, tuple(remarks))
    root = one_circuit(network, asked)
    if depth == 1:
        return root

    def other(layer: str, unit: int) -> Shown:
        """Return what a unit without crops is shown: the same image at its own highest position, or its own picture."""
        if image is None:
            return drawn(network, layer, unit, recipe, progress)[0]
        return replace(shown, positions=(None,) * len(shown.positions))

    def compute(layer: str, unit: int, examples: Examples | None, shown: Shown) -> Circuit:
        return one_circuit(network, Asked(layer, unit, shown, examples, effects=effects))

    return replace(root, graph=grow(network, root, given, other, compute, plan))


def one_circuit(network: Network, asked: Asked) -> Circuit:
    """Compute a circuit; see :func:`circuit`."""
    *_, last = traced(network, asked, provisional=False)
    assert last is not None
    return last


def traced(network: Network, asked: Asked, provisional: bool = True) -> Iterator[Circuit | None]:
    """Compute a circuit, and yield what is known of it so far: weights and contributions, then effects.

    It yields None after work without a result yet, on images that medians are taken over. Effects are measured from the
    strongest contributions of both signs, in turn. A caller cancels the work by no longer iterating.

    Args:
        network: the model.
        asked: what to compute.
        provisional: whether to begin with contributions by one gradient and the medians of the images shown, where
            better ones follow: these are ready much earlier. Where medians over other images follow, the remark
            PROVISIONAL says so.
    """
    layer, unit, examples = asked.layer, asked.unit, asked.examples
    said = list(asked.remarks)
    every = reads_of(network, layer, asked.below)
    reads = [one for one in every if one.layer is not None]
    if len(reads) < len(every):
        also = "also " if reads else ""
        said.append(
            f"{layer!r} {also}reads the image itself, whose channels are colors and no units: "
            f"filters(model, {layer!r}) shows its filters."
        )
    photos = None if examples is None else examples.photos
    if photos is None:
        said.append("Medians and spreads are those of the places of what is shown, since there are no other images.")
    if not reads:
        value = network.run(asked.shown.inputs, [layer])[layer][:, unit]
        mean = float(value.flatten(1).amax(1).mean() if value.ndim > 1 else value.mean())
        yield Circuit(layer, unit, (), mean, math.nan, asked.shown, tuple(said), {}, None, network, examples)
        return
    inputs = Inputs(network, layer, unit, reads, asked.shown)
    tracing = _Tracing(network, asked, inputs, inputs.kernels())
    if provisional:
        tracing.rank(inputs.statistics(), inputs.by_gradient())
        yield tracing.so_far([*said, *([] if photos is None else [PROVISIONAL])])
    statistics = yield from statistics_step_by_step(network, reads, examples, asked.shown)
    inputs.medians = {value: one[0] for value, one in statistics.items()}
    tracing.rank(statistics, (yield from inputs.contributions_step_by_step()))
    if tracing.closed:
        said.append(
            "No gradient comes through: an activation function in between is closed or saturated on these images, so "
            "that all contributions are zero. Effects are measured where the weights alone would do most."
        )
    yield tracing.so_far(said)
    for number, at in enumerate(_both_ends(len(tracing.rows), asked.effects), 1):
        tracing.measure(at)
        if number % _AT_ONCE == 0:
            yield tracing.so_far(said)
    correlation = tracing.correlation()
    yield tracing.so_far([*said, *_remarks(asked, reads, tracing.rows, inputs, correlation)], correlation)


class _Tracing:
    """The rows of a circuit that is being computed.

    Attributes:
        rows: the inputs from the highest contribution to the lowest, each with the number of its layer among the reads.
        closed: whether no gradient comes through, so that the rows are in the order of what their weights would do.
    """

    def __init__(self, network: Network, asked: Asked, inputs: Inputs, kernels: list[Tensor]) -> None:
        self._network, self._asked, self._inputs, self._kernels = network, asked, inputs, kernels
        self._named = {str(one.layer): kernel.cpu() for one, kernel in zip(inputs.reads, kernels, strict=True)}
        self.rows: list[tuple[int, CircuitInput]] = []
        self.closed: bool = False

    def rank(self, statistics: dict[int, tuple[Tensor, Tensor]], contributions: list[Tensor]) -> None:
        """Set weights, by the spreads, and contributions ``[N, C]`` of each layer, in place of earlier ones."""
        means = [one.mean(0) for one in contributions]
        order = means
        self.closed = not any(bool(one.any()) for one in means) and any(bool(one.any()) for one in self._kernels)
        if self.closed:
            order = [one.mean(0) for one in self._inputs.by_gradient(opened=True)]
        rows: list[tuple[float, int, CircuitInput]] = []
        for number, (one, kernel) in enumerate(zip(self._inputs.reads, self._kernels, strict=True)):
            flat, contribution = kernel.flatten(1), means[number]
            weights = flat.norm(dim=1) * flat.sum(1).sign() * statistics[one.value][1]
            # What it may depend on: by its weights, or (through a gate, a normalization) by its gradient.
            used = flat.ne(0).any(1) | contribution.ne(0)
            for lower in used.nonzero().flatten().tolist():
                found = CircuitInput(str(one.layer), lower, float(weights[lower]), float(contribution[lower]), math.nan)
                rows.append((float(order[number][lower]), number, found))
        rows.sort(key=lambda row: -row[0])
        self.rows = [(number, found) for _, number, found in rows]

    def measure(self, at: int) -> None:
        """Measure the effect of a row."""
        number, row = self.rows[at]
        self.rows[at] = number, replace(row, effect=float(self._inputs.effect(number, row.unit).mean()))

    def correlation(self) -> float:
        """Compute the rank correlation of contribution and effect of the rows that are measured."""
        known = [one for _, one in self.rows if not math.isnan(one.effect)]
        return rank_correlation(
            torch.tensor([one.contribution for one in known]), torch.tensor([one.effect for one in known])
        )

    def so_far(self, remarks: Iterable[str], correlation: float = math.nan) -> Circuit:
        """Return what is known so far, as a circuit."""
        asked, mean = self._asked, float(self._inputs.activations.mean())
        shared = (asked.shown, tuple(remarks), self._named, None, self._network, asked.examples)
        return Circuit(asked.layer, asked.unit, tuple(row for _, row in self.rows), mean, correlation, *shared)


def _both_ends(count: int, each: int | None) -> list[int]:
    """Return the first ``each`` and the last ``each`` of ``count`` numbers, in turn from both ends; None for all."""
    if each is None or count <= 2 * each:
        each = -(-count // 2)
    pairs = ((number, count - 1 - number) for number in range(each))
    return list(dict.fromkeys(one for pair in pairs for one in pair))


def _remarks(asked: Asked, reads: list[Read], rows: Sequence[Any], inputs: Inputs, correlation: float) -> list[str]:
    layer, unit, below, said = asked.layer, asked.unit, asked.below or (), []
    # The layer may read more than this unit does: a concatenation has units of several branches.
    read = [str(one.layer) for number, one in enumerate(reads) if any(row[0] == number for row in rows)]
    if len(read) > 1:
        names = ", ".join(read[:6]) + (", ..." if len(read) > 6 else "")
        said.append(f"It reads {len(read)} layers ({names}): each unit's effect is the direct one, past the others.")
    for name in below if read else ():
        if name not in read:
            others = ", ".join(map(repr, read[:3]))
            said.append(f"{name!r} acts on it only through {others}, if at all: its direct effect is none.")
    if not rows:
        said.append(f"Unit {unit} of {layer!r} reads nothing: all its weights are zero, so that it is constant.")
    elif layer and float(inputs.activations.max()) <= 0.0:
        said.append(
            f"Unit {unit} of {layer!r} is not active on any of these images (its activation is at most "
            f"{float(inputs.activations.max()):.3g}): if a ReLU follows, it is dead on them, and what it reads matters "
            "to no other unit."
        )
    if math.isfinite(correlation) and correlation < LOW:
        said.append(
            f"Contribution and effect agree poorly here (rank correlation {correlation:.2f}): between the layers there "
            "is more than the gradient at these images shows. Go by the effect, which is measured."
        )
    return said


def _check_number(name: str, value: Any, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PeekError(f"{name}={value!r}: give a whole number from {least}.")

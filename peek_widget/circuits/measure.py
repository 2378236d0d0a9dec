"""The three numbers of a circuit: weights, contributions and measured effects of the units that a unit reads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

from peek_widget.circuits.program import Part, Tape, values_on
from peek_widget.circuits.reads import Read
from peek_widget.circuits.shown import Examples, Shown
from peek_widget.network import Network
from peek_widget.network.context import undisturbed

__all__ = [
    "Inputs",
    "Steps",
    "cut",
    "finished",
    "hold",
    "rank_correlation",
    "statistics_of",
    "statistics_step_by_step",
    "units_first",
]

_PLACES = 64  # positions of each image that a median is taken over

Found = TypeVar("Found")
Steps: TypeAlias = Generator[None, None, Found]
"""Work that pauses regularly; a caller cancels it by no longer iterating."""

GROUPS, POINTS = 8, 4
"""Number of groups that the units read are divided into, and of gradients averaged for each."""


def units_first(network: Network, read: Read, values: Tensor) -> Tensor:
    """Return a view of the values of a layer that is read, with its units as the second dimension."""
    dim = 1 if read.layer is None else network.layer(read.layer).layout.order[1]
    return values.movedim(dim, 1)


def statistics_of(
    network: Network, reads: Sequence[Read], examples: Examples | None, shown: Shown
) -> dict[int, tuple[Tensor, Tensor]]:
    """Compute the median and the standard deviation of every unit that is read, over positions of real images.

    Args:
        network: the model.
        reads: the layers that are read.
        examples: where the real images are from and the result is kept; None, or without images, to use those shown.
        shown: the images that a circuit is computed on.

    Returns:
        by value, ``[C]`` and ``[C]``, on the network's device.
    """
    return finished(statistics_step_by_step(network, reads, examples, shown))


def finished(steps: Steps[Found]) -> Found:
    """Run all steps of some work, and return what it has found."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def statistics_step_by_step(
    network: Network, reads: Sequence[Read], examples: Examples | None, shown: Shown
) -> Steps[dict[int, tuple[Tensor, Tensor]]]:
    """Compute what :func:`statistics_of` returns, a batch of images at a time."""
    kept = {} if examples is None or examples.photos is None else examples.statistics
    which = network.model_copy.signature, network.model_copy.version()
    for old in [
        key for key in list(kept) if key[1] != which
    ]:  # of weights that the model no longer has; a list, since another thread may add some
        kept.pop(old, None)
    known = {read.value: kept.get((read.value, which)) for read in reads}
    missing = [read for read in reads if known[read.value] is None]
    if missing:
        photos = None if examples is None else examples.photos
        batches: Iterable[Tensor] = [shown.inputs] if photos is None else photos.batches(network)
        samples = _Samples(network, missing)
        for batch in batches:
            for part in batch.split(1) if network.one_at_a_time else (batch,):
                samples.add(values_on(network, part, [read.value for read in missing]))
            yield
        found = samples.result()
        kept.update({(value, which): one for value, one in found.items()})
        known.update(found)
    return {value: one for value, one in known.items() if one is not None}


class _Samples:
    """Values of the units that are read at some positions of some images, for their medians and standard deviations."""

    def __init__(self, network: Network, reads: Sequence[Read]) -> None:
        self._network, self._reads = network, reads
        self._samples: dict[int, list[Tensor]] = {read.value: [] for read in reads}
        self._sums: dict[int, list[Tensor]] = {}
        self._counts: dict[int, int] = dict.fromkeys(self._samples, 0)

    def add(self, found: dict[int, Tensor]) -> None:
        """Take values of some images, by the value's number."""
        for read in self._reads:
            value = read.value
            values = units_first(self._network, read, found[value]).float()
            flat = values.reshape(*values.shape[:2], -1)
            step = -(-flat.shape[2] // _PLACES)
            # Another first position in each batch, so that the samples are not all from one column of the map.
            first = len(self._samples[value]) * 7 % step
            self._samples[value].append(flat[:, :, first::step].transpose(0, 1).flatten(1))
            total = [flat.double().sum((0, 2)), flat.double().square().sum((0, 2))]
            known = self._sums.get(value)
            self._sums[value] = total if known is None else [a + b for a, b in zip(known, total, strict=True)]
            self._counts[value] += flat.shape[0] * flat.shape[2]

    def result(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Return by value the median and the standard deviation of each unit."""
        result = {}
        for value, parts in self._samples.items():
            mean = self._sums[value][0] / self._counts[value]
            spread = (self._sums[value][1] / self._counts[value] - mean.square()).clamp(min=0.0).sqrt()
            result[value] = torch.cat(parts, 1).median(dim=1).values, spread.float()
        return result


@dataclass
class Inputs:
    """The units that one unit reads, on the images shown.

    Args:
        network: the model.
        layer, unit: the unit.
        reads: the layers that it reads.
        shown: the images.
        medians: by value, the median of each unit ``[C]`` that is read; may be set to better ones. Left out, those of
            the images shown.
    """

    network: Network
    layer: str
    unit: int
    reads: Sequence[Read]
    shown: Shown
    medians: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.part: Part = Part(self.network, [read.value for read in self.reads], [self.layer])
        alone = self.network.one_at_a_time
        pieces = self.shown.inputs.split(1) if alone else (self.shown.inputs,)
        self.tapes: list[Tape] = [self.part.tape(piece) for piece in pieces]
        self.positions: list[Tensor | None] = []
        first = 0
        activations = []
        with self._plain(), torch.no_grad():
            for tape, piece in zip(self.tapes, pieces, strict=True):
                values = tape({})[0][:, self.unit]
                if values.ndim == 1:
                    self.positions.append(None)
                    activations.append(values)
                else:
                    width = values.shape[2]
                    highest = values.flatten(1).argmax(1).tolist()
                    given = self.shown.positions[first : first + len(piece)]
                    places = [
                        best if at is None else at[0] * width + at[1] for at, best in zip(given, highest, strict=True)
                    ]
                    self.positions.append(torch.tensor(places, device=values.device))
                    activations.append(self._at(values, self.positions[-1]))
                first += len(piece)
        self.activations: Tensor = torch.cat(activations)
        """The unit's activation on each image, at the position where it is looked at, ``[N]``."""
        if not self.medians:
            self.medians = {value: one[0] for value, one in self.statistics().items()}

    def statistics(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Return medians and deviations, by value, over the positions of the images shown."""
        samples = _Samples(self.network, self.reads)
        for tape in self.tapes:
            samples.add(tape.kept)
        return samples.result()

    def _plain(self) -> AbstractContextManager[None]:
        return undisturbed(self.network.model_copy.device)

    def _at(self, values: Tensor, places: Tensor | None) -> Tensor:
        """Return the unit's activation ``[N]`` from its map ``[N, H, W]``, or from ``[N]``."""
        return values if places is None else values.flatten(1).gather(1, places[:, None])[:, 0]

    def kernels(self) -> list[Tensor]:
        """Compute the expanded weights: the unit's gradient with the nonlinearities open, at the center of its map.

        For a convolution of the units themselves it is its kernel, the scale of a normalization included.

        Returns:
            for each layer that is read ``[C, h, w]`` (``[C, 1, 1]`` for a vector), cut to where it is not zero.
        """
        tape = self.tapes[0]
        with self._plain(), torch.enable_grad():
            leaves = {value: tape.kept[value].detach().clone().requires_grad_() for value in self.part.values}
            out = tape(leaves, opened=True)[0][0, self.unit]
            height, width = out.shape if out.ndim == 2 else (1, 1)
            center = out if out.ndim == 0 else out[(height - 1) // 2, (width - 1) // 2]
            gradients = self._gradients(center, leaves)
        found = []
        for read in self.reads:
            one = units_first(self.network, read, gradients[read.value])[0].float()
            one = one[..., None, None] if one.ndim == 1 else one.flatten(2) if one.ndim > 3 else one
            found.append(cut(one if one.ndim == 3 else one[..., None]))
        return found

    @staticmethod
    def _gradients(value: Tensor, leaves: dict[int, Tensor]) -> dict[int, Tensor]:
        if not value.requires_grad:
            return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
        found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        return {
            name: torch.zeros_like(leaf) if one is None else one
            for (name, leaf), one in zip(leaves.items(), found, strict=True)
        }

    def contributions(self) -> list[Tensor]:
        """Compute what :meth:`contributions_step_by_step` returns."""
        return finished(self.contributions_step_by_step())

    def contributions_step_by_step(self) -> Steps[list[Tensor]]:
        """Compute the contribution of every unit that is read: activation less median, times gradient, summed.

        The sum is over all positions. One gradient is used (:meth:`by_gradient`) where that is right: where all
        contributions together are what the unit loses with all units at their medians, as they are through linear
        parts. Elsewhere several are used (:meth:`by_groups`).

        Returns:
            for each layer that is read ``[N, C]``, of N images.
        """
        found = self.by_gradient()
        with self._plain(), torch.no_grad():
            none_left = []
            for tape, places in zip(self.tapes, self.positions, strict=True):
                medians = {
                    one.value: tape.kept[one.value] - self._above(one, tape.kept[one.value]) for one in self.reads
                }
                none_left.append(self._at(tape(medians)[0][:, self.unit], places))
        total = torch.stack([one.sum(1) for one in found]).sum(0)
        size = torch.stack([one.abs().sum(1) for one in found]).sum(0)
        lost = self.activations - torch.cat(none_left)
        # Even without a gradient, holding a unit may open what is closed.
        if bool(size.any()) and bool(((total - lost).abs() <= 1e-3 * torch.maximum(size, lost.abs()) + 1e-7).all()):
            return found
        return (yield from self.by_groups_step_by_step())

    def by_gradient(self, opened: bool = False) -> list[Tensor]:
        """Compute contributions by the gradient at the images: one backward for a batch, for all units at once.

        Args:
            opened: take the gradient with the nonlinearities open, as for the kernels: what would count if no
                activation function were closed.

        Returns:
            as :meth:`contributions`.
        """

        def gradients(tape: Tape, places: Tensor | None) -> Steps[dict[int, Tensor]]:
            yield from ()
            return self._gradient(tape, places, {}, opened)

        return finished(self._sums(gradients))

    def by_groups(self, groups: int = GROUPS, points: int = POINTS) -> list[Tensor]:
        """Compute what :meth:`by_groups_step_by_step` returns."""
        return finished(self.by_groups_step_by_step(groups, points))

    def by_groups_step_by_step(self, groups: int = GROUPS, points: int = POINTS) -> Steps[list[Tensor]]:
        """Compute contributions by gradients averaged on the path to the median, for a part of the units at a time.

        Integrated gradients (Sundararajan et al. 2017) move all units to their medians together, which changes the unit
        that reads them: several blocks down that is worse than one gradient. Here only one unit in ``groups`` moves and
        the others stay as they are, as when one is held. With one unit in each group the result would be the effect
        itself. (``benchmarks/circuit.py`` compares.)

        Args:
            groups: number of groups, to which units are assigned at random with a fixed seed.
            points: number of points on the straight path.

        Returns:
            as :meth:`contributions`; ``groups * points`` backwards for a batch.
        """

        def gradients(tape: Tape, places: Tensor | None) -> Steps[dict[int, Tensor]]:
            draws = torch.Generator().manual_seed(0)
            found = {one.value: torch.zeros_like(tape.kept[one.value]) for one in self.reads}
            for point in range(points):
                lots = {
                    one.value: torch.randperm(
                        units_first(self.network, one, tape.kept[one.value]).shape[1], generator=draws, device="cpu"
                    )
                    for one in self.reads
                }
                for group in range(groups):
                    moving = {}
                    for one in self.reads:
                        chosen = torch.zeros(len(lots[one.value]), device=tape.kept[one.value].device)
                        chosen[lots[one.value][group::groups].to(chosen.device)] = 1.0
                        moving[one.value] = self._along(one, chosen)
                    way = {
                        one.value: (point + 0.5) / points * self._above(one, tape.kept[one.value]) * moving[one.value]
                        for one in self.reads
                    }
                    for value, gradient in self._gradient(tape, places, way).items():
                        found[value] += gradient * moving[value] / points
                    yield
            return found

        return self._sums(gradients)

    def _along(self, read: Read, units: Tensor) -> Tensor:
        """Return one number for each unit, ``[C]``, in a shape that broadcasts over the values of a layer."""
        values = self.tapes[0].kept[read.value]
        dim = 1 if read.layer is None else self.network.layer(read.layer).layout.order[1]
        return units.to(values.dtype).view([-1 if at == dim else 1 for at in range(values.ndim)])

    def _gradient(
        self, tape: Tape, places: Tensor | None, less: dict[int, Tensor], opened: bool = False
    ) -> dict[int, Tensor]:
        """Return the unit's gradients with respect to all that it reads, with these values lowered by ``less``."""
        with self._plain(), torch.enable_grad():
            leaves = {}
            for read in self.reads:
                kept = tape.kept[read.value]
                moved = kept - less[read.value] if read.value in less else kept
                leaves[read.value] = moved.detach().clone().requires_grad_()
            return self._gradients(self._at(tape(leaves, opened)[0][:, self.unit], places).sum(), leaves)

    def _sums(self, gradients: Callable[[Tape, Tensor | None], Steps[dict[int, Tensor]]]) -> Steps[list[Tensor]]:
        """Return for each layer that is read activation less median times gradient, over all positions, ``[N, C]``."""
        found: list[list[Tensor]] = [[] for _ in self.reads]
        for tape, places in zip(self.tapes, self.positions, strict=True):
            slopes = yield from gradients(tape, places)
            for parts, read in zip(found, self.reads, strict=True):
                above = self._above(read, tape.kept[read.value])
                product = units_first(self.network, read, above * slopes[read.value]).float()
                product = product[: len(self.shown.inputs)]
                parts.append(product.reshape(*product.shape[:2], -1).sum(2))
        return [torch.cat(parts) for parts in found]

    def _above(self, read: Read, values: Tensor) -> Tensor:
        """Return how far the units are above their medians."""
        moved = units_first(self.network, read, values)
        median = self.medians[read.value].to(moved).view(1, -1, *[1] * (moved.ndim - 2))
        dim = 1 if read.layer is None else self.network.layer(read.layer).layout.order[1]
        return (moved - median).movedim(1, dim)

    def effect(self, number: int, unit: int) -> Tensor:
        """Measure the effect of a unit: the activation less the one with that unit held at its median, ``[N]``.

        Args:
            number: number of the layer among those that are read.
            unit: the unit of that layer.
        """
        read = self.reads[number]
        found = []
        for tape, places in zip(self.tapes, self.positions, strict=True):
            with self._plain(), torch.no_grad():
                held = hold(self.network, read, tape.kept[read.value], unit, self.medians[read.value])
                found.append(self._at(tape({read.value: held})[0][:, self.unit], places))
        return self.activations - torch.cat(found)


def hold(network: Network, read: Read, values: Tensor, unit: int, medians: Tensor) -> Tensor:
    """Return the values of a layer with one unit at its median everywhere; the others as they were."""
    held = values.clone()
    units_first(network, read, held)[:, unit] = medians[unit].to(held.dtype)
    return held


def cut(kernel: Tensor) -> Tensor:
    """Return a kernel ``[C, H, W]`` cut to the rows and columns where some unit's is not zero."""
    rows = kernel.ne(0).any(dim=2).any(dim=0).nonzero().flatten()
    columns = kernel.ne(0).any(dim=1).any(dim=0).nonzero().flatten()
    if not len(rows):
        return kernel[:, :1, :1]
    return kernel[:, int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Compute Spearman's rank correlation of two vectors, ties at their mean rank; NaN where one is constant."""
    if len(one) < 2:
        return float("nan")
    a, b = _ranks(one), _ranks(other)
    a, b = a - a.mean(), b - b.mean()
    scale = a.norm() * b.norm()
    return float((a * b).sum() / scale) if float(scale) > 0.0 else float("nan")


def _ranks(values: Tensor) -> Tensor:
    _, inverse, counts = values.double().unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts.double() - 1.0) / 2.0)[inverse]

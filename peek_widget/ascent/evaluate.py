"""Evaluation: what the network makes of the pictures, and the gradient of the objectives by them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget._size import Size
from peek_widget.ascent import views
from peek_widget.ascent.accentuate import of_start
from peek_widget.ascent.geometry import Geometry, of_a_class
from peek_widget.ascent.objective import Objective
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.view_draws import AHEAD, Drawn, ViewDraws
from peek_widget.ascent.views import ViewGeometry, Window
from peek_widget.ascent.watch import Watch
from peek_widget.errors import AscentError, PeekError
from peek_widget.network import Network
from peek_widget.network.leak import Leak
from peek_widget.network.pooling import SpreadPooling
from peek_widget.network.redirect import Redirected
from peek_widget.network.residual import LessThroughBlocks
from peek_widget.network.weight_noise import NoisyWeights, noise_of_weights

__all__ = ["LARGE", "Computed", "Evaluation", "Evaluator", "Group", "objective_value"]

# Batched convolution kernels round differently from those for one picture, and a picture that is still nearly flat is
# full of ties that a rounding decides: the first steps go through the network one picture at a time.
_PER_SAMPLE_STEPS = 3
# As in Lucid, and in longer runs their first quarter; of EfficientNet-Lite0's depthwise units none needed more than 8.
_REDIRECTED_STEPS = 16
LARGE = 96
"""Side in pixels (of the square with their area) of views that a CPU never takes together: it would be quicker by a
twentieth (by a third for small views), and rounding, magnified over a run, can change the activation that a class's
picture reaches by a fifth."""


@dataclass(frozen=True)
class Group:
    """Pictures of a batch that share a view and may go through the network together."""

    members: tuple[int, ...]
    """Numbers of the pictures."""

    view: ViewGeometry
    """How the network's input is taken from each of them."""

    layers: tuple[str, ...]
    """Names of the layers that their objectives read."""


@dataclass(frozen=True)
class Evaluation:
    """The result of one forward and backward pass."""

    pictures: Tensor
    """The pictures that were evaluated, ``[N, C, H, W]`` in [0, 1], without a graph."""

    gradient: Tensor
    """Gradient of the objectives by the pictures, ``[N, C, H, W]``."""

    activations: Tensor
    """Value of each objective, ``[N]`` on the network's device: before the ReLU, mean over views."""

    terms: tuple[Mapping[str, Tensor], ...]
    """For each objective, the value of each of its terms by its name, without its weight, on that device."""

    windows: list[Window]
    """Rows and columns of each picture that were shown to the network."""


@dataclass(frozen=True)
class Computed:
    """The result of views, network and gradient.

    Attributes:
        gradient: gradient of the objectives by the pictures, ``[N, C, H, W]``.
        values: value of each objective, ``[N]``.
        terms: for each objective, the value of each of its terms by its name, ``[]``.
    """

    gradient: Tensor
    values: Tensor
    terms: tuple[Mapping[str, Tensor], ...]


def always_alone(view: ViewGeometry, device: torch.device) -> bool:
    """Return whether a batch's pictures go through the network one at a time in all steps, bit-equal to drawn alone."""
    return device.type == "cpu" and view.side >= LARGE


class Evaluator:
    """Evaluates the objectives of an ascent on its pictures.

    Args:
        network: the network that sees the pictures.
        objectives: one for each picture.
        recipe: tells how views are taken.
        geometry: the sizes of the pictures and of what the network gets.
        kind: type that the network computes in; None for its own.
        starts: the pictures that the ascent begins from, ``[N, C, S, S]``, where an objective is about them.

    Attributes:
        groups: pictures that may go through the network together.
        watch: looks for numbers that are not finite.
        looks_once: whether the first step alone is asked which gradients are zero, since a look waits for the device.

    Raises:
        LayerError, UnitError, SizeError: if the network does not have what an objective needs.
    """

    def __init__(
        self,
        network: Network,
        objectives: Sequence[Objective],
        recipe: Recipe,
        geometry: Geometry,
        kind: torch.dtype | None = None,
        starts: Tensor | None = None,
    ) -> None:
        for one in objectives:
            one.check(network)
        self._network, self._objectives, self._recipe, self._geometry = network, objectives, recipe, geometry
        self._kind = kind
        self._device = network.model_copy.device
        self._starts = None if starts is None else starts.to(self._device)
        self._bound = [
            one.bind(network) if starts is None else one.with_start(network, start)
            for one, start in zip(objectives, [None] * len(objectives) if starts is None else starts, strict=True)
        ]
        members: dict[tuple[ViewGeometry, tuple[str, ...]], list[int]] = {}
        for number, objective in enumerate(objectives):
            members.setdefault((geometry.view(objective), objective.layers), []).append(number)
        self.groups: tuple[Group, ...] = tuple(Group(tuple(m), view, layers) for (view, layers), m in members.items())
        self._group_of = {member: group for group in self.groups for member in group.members}
        self._indices: dict[tuple[int, ...], Tensor] = {}
        self._noises: dict[Size, float] = {}
        self._weight_sizes: dict[Hashable, Tensor] = {}
        self._first_shut: list[int] | None = None
        # The recipe's; 0 where no class is drawn, and from the first step on where it gives no finite gradient.
        self._leak = recipe.relu_leak if any(of_a_class(network, group.layers) for group in self.groups) else 0.0
        self._leak_known = False
        self.watch: Watch = Watch(objectives, self._device, self._zero_gradient)
        self.looks_once: bool = self._device.type != "cpu"

    def highest_frequencies(self) -> Tensor:
        """Return for each picture the highest frequency, in cycles a picture, that its closest view shows, ``[N]``."""
        found = torch.empty(len(self._objectives), dtype=torch.float32, device="cpu")
        for group in self.groups:
            found[list(group.members)] = self._geometry.highest_frequency(group.view)
        return found

    def per_sample(self, step: int) -> bool:
        """Return whether pictures are rendered one at a time before a step, bit-equal to being drawn alone."""
        return step <= _PER_SAMPLE_STEPS or any(self._is_per_sample(group, step) for group in self.groups)

    def _is_per_sample(self, group: Group, step: int) -> bool:
        """Return whether a group's pictures go through the network one at a time in a step."""
        if any(self._bound[member].depends_on_batch for member in group.members):
            return False
        return always_alone(group.view, self._device) or step < _PER_SAMPLE_STEPS

    def settled(self, step: int) -> bool:
        """Return whether a step and those after it compute the same: no pictures alone, and no ReLUs to be opened."""
        return step > _PER_SAMPLE_STEPS and (self._first_shut == [] or step >= self._last_redirected())

    def _last_redirected(self) -> int:
        return max(_REDIRECTED_STEPS, self._recipe.steps // 4)

    def evaluate(self, pictures: Tensor, step: int, drawn: Sequence[Drawn]) -> Evaluation:
        """Show views of the pictures to the network, and take the gradient.

        Args:
            pictures: ``[N, C, H, W]`` in [0, 1].
            step: number of the step, from 0.
            drawn: what :meth:`draw` has drawn for them.

        Raises:
            AscentError: if at the first step nothing changes an objective, or a number is not finite.
            ModelError: if the model's forward raises; the cause is chained.
        """
        found = self.compute(pictures, drawn)
        if self._leak > 0.0 and not self._leak_known:
            self._leak_known = True
            # The slope of a root is infinite at a closed ReLU, whose own gradient makes that 0.
            if not bool(torch.isfinite(found.gradient).all()):
                self._leak = 0.0
                found = self.compute(pictures, drawn)
        gradient = found.gradient
        for member in self._shut(gradient, step):
            one = next(one for one in drawn if member in one.members)
            leaf = pictures.detach().requires_grad_()
            with Redirected():
                self._backward(leaf, one.of(one.members.index(member)))
            assert leaf.grad is not None
            gradient = gradient + leaf.grad
        self.watch.gradient(gradient, found.values, step)
        return Evaluation(pictures.detach(), gradient, found.values, found.terms, self.windows(drawn))

    def windows(self, drawn: Sequence[Drawn]) -> list[Window]:
        """Return the rows and columns of each picture that are shown to the network."""
        windows: list[Window] = [(slice(None), slice(None))] * len(self._objectives)
        for one in drawn:
            for member, window in zip(one.members, one.windows, strict=True):
                windows[member] = window
        return windows

    def draw(self, size: Size, step: int, draws: ViewDraws) -> list[Drawn]:
        """Draw what is random in the views of a step, for each batch of pictures that go through the network.

        Args:
            size: size of the pictures.
            step: number of the step, from 0.
            draws: the random numbers of the views.
        """
        found = []
        for group in self.groups:
            alone = self._is_per_sample(group, step)
            # The first steps go one by one also where the others do not.
            last = _PER_SAMPLE_STEPS - 1 if step < _PER_SAMPLE_STEPS and len(group.members) > 1 else step + AHEAD
            batches = [(member,) for member in group.members] if alone else [group.members]
            found += [draws.take(group.view, members, size, step, last) for members in batches]
        return found

    def compute(self, pictures: Tensor, drawn: Sequence[Drawn]) -> Computed:
        """Compute activations and their gradient from nothing but pictures and the random numbers of their views."""
        leaf = pictures.detach().requires_grad_()
        activations: list[Tensor] = [leaf] * len(self._objectives)
        terms: list[Mapping[str, Tensor]] = [{}] * len(self._objectives)
        for one in drawn:
            for member, found in zip(one.members, self._backward(leaf, one), strict=True):
                activations[member], terms[member] = found
        if leaf.grad is None:
            raise self._zero_gradient(0)
        values = torch.stack([one.to(self._device, torch.float32) for one in activations])
        return Computed(leaf.grad, values, tuple(terms))

    def _backward(self, leaf: Tensor, drawn: Drawn) -> list[tuple[Tensor, Mapping[str, Tensor]]]:
        """Add the gradients of some pictures to ``leaf.grad``; return for each its value and those of its terms."""
        members = drawn.members
        group = self._group_of[members[0]]
        shown = self._views(group.view, self._chosen(leaf, members), drawn)
        with self._network.model_copy.computing_in(self._kind), self._of_a_class(group, drawn):
            outputs = self._network.run(self._network.preprocess(shown), group.layers, drawn.seeds)
            if self._starts is not None:
                starts = self._views_of_starts(group.view, members, Size(*leaf.shape[-2:]), drawn)
                outputs = {**outputs, **self._of_starts(starts, group.layers, drawn.seeds)}
        total = leaf.new_zeros(())
        found = []
        for index, member in enumerate(members):
            value, terms = objective_value(self._bound[member], outputs, group.view.count, index)
            found.append((value.detach(), terms))
            total = total + value + self._of_other_classes(member, outputs, group.view.count, index)
        if not total.requires_grad:
            raise self._zero_gradient(members[0])
        total.backward()
        return found

    def _of_a_class(self, group: Group, drawn: Drawn) -> contextlib.AbstractContextManager[object]:
        """Return a context for a group's forwards: classes have the recipe's noise on weights and its gradients."""
        recipe, modes = self._recipe, list[Callable[[], contextlib.AbstractContextManager[object]]]()
        if not of_a_class(self._network, group.layers):
            return contextlib.nullcontext()
        # The noise comes first, or what it computes itself would be calls for the other modes.
        if drawn.weights is not None:
            modes += self._noisy_weights(drawn.weights, group.view.size)
        if self._leak > 0.0:
            modes.append(lambda: Leak(self._leak))
        if recipe.pool_spread > 0.0:
            modes.append(lambda: SpreadPooling(recipe.pool_spread))
        if recipe.residual_gradient < 1.0:
            modes.append(lambda: LessThroughBlocks(recipe.residual_gradient))
        return self._network.model_copy.within(*modes)

    def _noisy_weights(self, noise: Tensor, size: Size) -> list[Callable[[], NoisyWeights]]:
        """Return what makes a mode with noise on the weights; nothing where the network has no such noise."""
        if size not in self._noises:
            # once for a run, however often the weights change meanwhile
            self._noises[size] = noise_of_weights(self._network, size)
        times = self._noises[size]
        return [lambda: NoisyWeights(noise, times, self._weight_sizes)] if times > 0.0 else []

    def unrepeatable(self) -> str:
        """Return why an evaluation can't be recorded as a graph; "" if it always calls the same functions."""
        if self._network.one_at_a_time or not self._network.model_copy.repeats:
            return "the model draws random numbers, writes into itself or has hooks"
        if self._network.preprocess.function is not None:
            return "the preprocessing is a function"
        if any(group.view.kind == "window" for group in self.groups):
            return "the views of this recipe are cut out of the picture, at another place in each step"
        terms = [term for one in self._objectives for _, _, term in one.terms()]
        if any(type(one) is Objective or not type(one).__module__.startswith("peek_widget.") for one in terms):
            return "an objective is a function"
        return ""

    def _shut(self, gradient: Tensor, step: int) -> list[int]:
        """Return the indices of the pictures whose gradient is zero, in the steps in which ReLUs may be opened for
        them.

        With :attr:`looks_once` those alone are looked at whose first gradient was zero.
        """
        if step >= self._last_redirected():
            return []
        looked = range(len(gradient)) if self._first_shut is None else self._first_shut
        if not looked:
            return []
        still = (gradient == 0).flatten(1).all(1).tolist()
        found = [n for n in looked if still[n] and not self._bound[n].depends_on_batch]
        if self._first_shut is None and self.looks_once:
            self._first_shut = found
        return found

    def _chosen(self, pictures: Tensor, members: tuple[int, ...]) -> Tensor:
        """Return the pictures with these indices."""
        first, count = members[0], len(members)
        if members == tuple(range(first, first + count)):
            return pictures if count == len(pictures) else pictures[first : first + count]
        if members not in self._indices:
            self._indices[members] = torch.tensor(members, device="cpu").to(pictures.device)
        return pictures.index_select(0, self._indices[members])

    def _views_of_starts(self, view: ViewGeometry, members: tuple[int, ...], size: Size, drawn: Drawn) -> Tensor:
        """Return the views of the start pictures, with the same random numbers as those of the present pictures."""
        assert self._starts is not None
        starts = self._chosen(self._starts, members)
        if starts.shape[-2:] != size:
            starts = F.interpolate(starts, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)
        return self._views(view, starts, drawn)

    @torch.no_grad()
    def _of_starts(self, shown: Tensor, layers: Sequence[str], seeds: Sequence[int]) -> dict[str, Tensor]:
        found = self._network.run(self._network.preprocess(shown), layers, seeds)
        return {of_start(name): values for name, values in found.items()}

    def _of_other_classes(self, member: int, outputs: Mapping[str, Tensor], n_views: int, index: int) -> Tensor | float:
        """Return what the recipe adds to the logit of one picture's class for the other classes, mean over its views.

        It is 0 where classes have a sigmoid each: a dog need not be less of an animal.
        """
        recipe, one = self._recipe, self._bound[member]
        if recipe.log_probability == recipe.rivals == 0.0 or not self._network.layers[-1].exclusive:
            return 0.0
        own = {name: values[index * n_views : (index + 1) * n_views] for name, values in outputs.items()}
        total: Tensor | float = 0.0
        for weight, term in ((recipe.log_probability, one.log_probability), (-recipe.rivals, one.rivals)):
            found = term(own) if weight != 0.0 else None
            total = total if found is None else total + weight * found.mean()
        return total

    def _views(self, view: ViewGeometry, pictures: Tensor, drawn: Drawn) -> Tensor:
        """Return the views of some pictures of a group."""
        if drawn.theta is None:
            parts = [
                views.shifted(picture[None, :, rows, columns], shift)
                for picture, (rows, columns), shift in zip(pictures, drawn.windows, drawn.shifts, strict=True)
            ]
            shown = torch.cat(parts)
            if shown.shape[-2:] != view.size:
                size = tuple(view.size)
                shown = F.interpolate(shown, size=size, mode="bilinear", antialias=True, align_corners=False)
        else:
            shown = views.affine_views(pictures, drawn.theta, drawn.coarser, view.size, self._recipe.padding_mode)
        return view.needed(shown if drawn.noise is None else shown + drawn.noise)

    def _zero_gradient(self, member: int) -> AscentError:
        """Return the error for an objective without a gradient: the forward cuts it, or its unit is dead."""
        objective = self._objectives[member]
        cut = next(
            (one for one in map(self._network.layer, objective.layers) if one.cuts or not one.differentiable), None
        )
        if cut is None:
            return AscentError(_ZERO_GRADIENT.format(objective=objective))
        what = " and ".join(cut.cuts) or "a function without gradients"
        shown = f"layer {cut.name!r}" if cut.name else "output"
        part = f"the {shown} has none" if not cut.differentiable else f"a part of the {shown} has none"
        return AscentError(_CUT_GRADIENT.format(objective=objective, what=what, part=part))


_CUT_GRADIENT = (
    "{objective!r} has no gradient: the model's forward cuts it with {what}, so that {part}, and the picture can't be "
    "changed towards the unit. Take that out of the forward (to keep weights as they are, model.requires_grad_(False) "
    "is enough), or choose a layer before it."
)

_ZERO_GRADIENT = (
    "At the start no change of the picture changes {objective!r}: its gradient is zero everywhere, even with the "
    "ReLUs before it opened. The unit is dead (its weights are zero, or no image opens it), or it does "
    "not look at the image: choose another unit. If all units of the layer say so, it ends in a ReLU that was not "
    "recognized: write it as torch.relu, since units are drawn before that."
)


def objective_value(
    objective: Objective, activations: Mapping[str, Tensor], n_views: int, index: int
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Return an objective's value for one picture of a group, mean over its views; and the value of each of its terms.

    The terms' values have no graph, and are on the activations' device.

    Args:
        objective: bound to the network.
        activations: of all pictures of the group, by layer.
        n_views: views of each picture.
        index: number of the picture in the group.
    """
    total: Any = 0.0
    values: dict[str, Tensor] = {}
    for name, weight, term in objective.terms():
        try:
            found = term.in_batch(activations, n_views, index)
        except KeyError as error:
            raise PeekError(
                f"The objective reads the layer {error}, which is missing from its layers={list(term.layers)}: name "
                "every layer that it reads."
            ) from error
        if not isinstance(found, Tensor) or found.shape != (n_views,):
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise PeekError(
                f"The objective's function gave {got} for {n_views} image{'s' * (n_views != 1)}: it must give a tensor "
                "with one number for each image, e.g. activations[layer][:, unit].mean(dim=(1, 2))."
            )
        mean = found.mean()
        values[name] = mean.detach()
        total = total + weight * mean
    return total, values

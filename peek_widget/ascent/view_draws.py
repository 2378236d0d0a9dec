"""The random numbers of a run's views: drawn on the CPU on every device, and copied for many steps at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from peek_widget._size import Size
from peek_widget.ascent import views
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.views import ViewGeometry, Window
from peek_widget.network.draws import mixed_seed
from peek_widget.network.transfer import upload
from peek_widget.network.weight_noise import LENGTH

__all__ = ["AHEAD", "Drawn", "ViewDraws"]

AHEAD = 32
"""Steps whose views are drawn at once where the network is not on the CPU."""

_WHOLE: Window = (slice(None), slice(None))


@dataclass(frozen=True)
class Drawn:
    """The random numbers of the views of some pictures in one step.

    Attributes:
        theta: maps from the views to their pictures, ``[N * V, 2, 3]`` on the network's device, see
            :func:`~peek_widget.ascent.views.affine_draws`; None where views are windows.
        coarser: by how much the pictures are averaged down before.
        windows: rows and columns of each picture that are shown.
        shifts: of a window, its jitter, see :func:`~peek_widget.ascent.views.shift_draws`.
        noise: what is added to the views, ``[N * V, C, H, W]`` on the network's device; None for nothing.
        members: numbers of the pictures.
        weights: the noise of the network's weights, ``[2]`` on the network's device, see
            :class:`~peek_widget.network.weight_noise.NoisyWeights`; None for no noise. It depends on the step alone, so
            that pictures in a batch are the same as alone.
        seeds: for each view the seed of what the network's forward draws, if it draws any: another one in every step
            and view, and the same again with the same seed.
    """

    theta: Tensor | None
    coarser: int
    windows: tuple[Window, ...]
    shifts: tuple[tuple[int, int, int, int] | None, ...] = ()
    noise: Tensor | None = None
    weights: Tensor | None = None
    members: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()

    def of(self, index: int) -> Drawn:
        """Return the random numbers of one of the pictures."""
        count = len(self.members)

        def part(values: Tensor | None) -> Tensor | None:
            each = 0 if values is None else len(values) // count
            return None if values is None else values[index * each : (index + 1) * each]

        one, each = slice(index, index + 1), len(self.seeds) // count
        return replace(
            self,
            theta=part(self.theta),
            noise=part(self.noise),
            windows=self.windows[one],
            shifts=self.shifts[one],
            members=self.members[one],
            seeds=self.seeds[index * each : (index + 1) * each],
        )


class ViewDraws:
    """Draws the random numbers of views from a generator for each picture.

    Where the network is not on the CPU, the numbers of a block of coming steps are drawn at once, in the order in
    which they would be drawn one by one, and copied to it together; when something changes, those that were not used
    are drawn again from where the last step had left the generators.

    Args:
        recipe: the recipe.
        geometry: the sizes of pictures and views.
        generators: one for each picture.
        channels: number of channels of the pictures.
        device: where the network is.
        numbers: returns the recipe's NUMBERS as a step uses them; when it would return others than before,
            :meth:`forget` has to be called.
    """

    def __init__(
        self,
        recipe: Recipe,
        geometry: Geometry,
        generators: Sequence[Generator],
        channels: int,
        device: torch.device,
        numbers: Callable[[int], Mapping[str, float]],
    ) -> None:
        self._recipe, self._geometry, self._generators = recipe, geometry, tuple(generators)
        self._channels, self._device, self._numbers = channels, device, numbers
        self._blocks: dict[int, _Block] = {}

    def take(self, view: ViewGeometry, members: tuple[int, ...], size: Size, step: int, last: int) -> Drawn:
        """Return the random numbers of the views of some pictures in a step.

        Args:
            view: how the views are taken.
            members: numbers of the pictures.
            size: their size in pixels.
            step: number of the step, from 0; a picture's steps come in order.
            last: the last step in which the same pictures will be asked for together, as far as it is known.
        """
        if self._device.type == "cpu":
            return self._draw(view, members, size, step)
        block = self._blocks.get(members[0])
        if block is None or not block.begins_with(view, members, size, step):
            self.forget(members)
            block = self._draw_block(view, members, size, step, last)
            self._blocks.update(dict.fromkeys(members, block))
        return block.take()

    def states(self) -> list[Tensor]:
        """Return the generators' states as the steps so far have left them."""
        found = [one.get_state() for one in self._generators]
        for number, block in self._blocks.items():
            found[number] = block.states[block.taken][block.members.index(number)]
        return found

    def forget(self, members: Sequence[int] | None = None) -> None:
        """Discard the numbers drawn ahead for some pictures and those drawn with them; None for all."""
        wanted = range(len(self._generators)) if members is None else members
        for block in [self._blocks[number] for number in wanted if number in self._blocks]:
            for number, state in zip(block.members, block.states[block.taken], strict=True):
                if self._blocks.pop(number, None) is not None:
                    self._generators[number].set_state(state)

    def _draw_block(self, view: ViewGeometry, members: tuple[int, ...], size: Size, step: int, last: int) -> _Block:
        states = [[self._generators[m].get_state() for m in members]]
        drawn: list[Drawn] = []
        for number in range(step, max(step, min(last, self._end(step))) + 1):
            # Noise is not drawn ahead: it is as large as the views, and comes from the same generators.
            noisy = self._numbers(number)["noise"] > 0.0
            if noisy and drawn:
                break
            drawn.append(self._draw(view, members, size, number))
            states.append([self._generators[m].get_state() for m in members])
            if noisy:
                break
        maps = [one.theta for one in drawn if one.theta is not None]
        if maps:
            there = upload(torch.stack(maps), self._device)
            drawn = [replace(one, theta=theta) for one, theta in zip(drawn, there, strict=True)]
        noisy = [number for number, one in enumerate(drawn) if one.weights is not None]
        if noisy:
            there = upload(torch.stack([drawn[number].weights for number in noisy]), self._device)
            for number, weights in zip(noisy, there, strict=True):
                drawn[number] = replace(drawn[number], weights=weights)
        if drawn[0].noise is not None:
            drawn[0] = replace(drawn[0], noise=upload(drawn[0].noise, self._device))
        return _Block(view, members, size, step, drawn, states)

    def _end(self, step: int) -> int:
        """Return the last step of a block: octaves have sizes of their own."""
        total = self._recipe.steps
        if step >= total:
            return step + AHEAD - 1
        _, done, length = self._recipe.octave(step)
        return min(step + AHEAD, step - done + length) - 1

    def _draw(self, view: ViewGeometry, members: tuple[int, ...], size: Size, step: int) -> Drawn:
        """Draw the numbers of one step, on the CPU."""
        numbers, generators = self._numbers(step), [self._generators[m] for m in members]
        theta, coarser, windows, shifts = None, 1, [_WHOLE] * len(members), []
        if view.kind == "window":
            windows = []
            # Of a network of a fixed size, whose shape may be another, the largest part of that shape is resized.
            shown = view.size.filling(self._geometry.window)
            for generator in generators:
                rows, columns = views.window(size, shown, generator)
                part = (len(range(size.height)[rows]), len(range(size.width)[columns]))
                windows.append((rows, columns))
                shifts.append(views.shift_draws(part, numbers["jitter"], generator))
        else:
            parameters = self._geometry.parameters(view, min(step, self._recipe.steps - 1), numbers)
            theta, coarser = views.affine_draws(size, view, parameters, generators)
        count = 1 if view.kind == "window" else view.count
        seeds = tuple(mixed_seed(one.initial_seed(), step, number) for one in generators for number in range(count))
        noise = views.view_noise((count, self._channels, *view.size), numbers["noise"], generators)
        weights = None
        if numbers["weight_noise"] > 0.0:
            weights = torch.tensor(
                [mixed_seed(step, 0) % LENGTH, numbers["weight_noise"]], dtype=torch.float32, device="cpu"
            )
        return Drawn(theta, coarser, tuple(windows), tuple(shifts), noise, weights, members, seeds)


class _Block:
    """Random numbers of some pictures for the steps from ``step`` on.

    Attributes:
        members: numbers of the pictures.
        states: of each generator, its state before the first step, and after each.
        taken: number of steps that were taken.
    """

    def __init__(
        self,
        view: ViewGeometry,
        members: tuple[int, ...],
        size: Size,
        step: int,
        drawn: list[Drawn],
        states: list[list[Tensor]],
    ) -> None:
        self._key, self._first, self._drawn = (view, members, size), step, drawn
        self.members: tuple[int, ...] = members
        self.states: list[list[Tensor]] = states
        self.taken: int = 0

    def begins_with(self, view: ViewGeometry, members: tuple[int, ...], size: Size, step: int) -> bool:
        """Return whether the block's next step is this one, of the same pictures and view."""
        there = self._first + self.taken == step and self.taken < len(self._drawn)
        return there and self._key == (view, members, size)

    def take(self) -> Drawn:
        """Return the random numbers of the next step."""
        self.taken += 1
        return self._drawn[self.taken - 1]

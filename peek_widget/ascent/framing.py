"""How large a picture is, and what of it the network gets to see for an objective."""

from __future__ import annotations

from dataclasses import replace

import torch

from peek_widget.ascent.objective import Objective
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.recipe_rules import MAXIMUM_SIZE, check_size
from peek_widget.ascent.views import Frame, Look
from peek_widget.errors import RecipeError, SizeError
from peek_widget.network import OUTPUT, Network

__all__ = ["Framing"]


class Framing:
    """The sizes of one ascent: of its picture in each octave, and of what the network gets.

    Args:
        network: that looks.
        recipe: whose octaves, size and views hold.
        size: side of the finished picture in pixels; None leaves it to the recipe and the model.

    Attributes:
        sides: of the picture in each octave, in pixels.
        window: side of the first, which a windowed or whole view shows in its own pixels.
    """

    def __init__(self, network: Network, recipe: Recipe, size: int | None) -> None:
        self._network, self._recipe = network, recipe
        scales = [scale for _, scale in recipe.octaves]
        grown = 1.0
        for scale in scales:
            grown *= scale
        size = size if size is not None else recipe.size
        # Without a size said, an octave recipe begins at the model's input size, as published.
        side = network.input_size if size is None else check_size(size) / grown
        self.sides: list[int] = []
        for scale in scales:
            side *= scale
            self.sides.append(max(1, round(side)))
        if size is not None:
            self.sides[-1] = size
        if self.sides[-1] > MAXIMUM_SIZE:
            raise RecipeError(
                f"From the model's {network.input_size} px the octaves grow {grown:g} times, to {self.sides[-1]} px; "
                f"at most {MAXIMUM_SIZE} are possible: give size=, or octaves of smaller scales."
            )
        self.window: int = self.sides[0]

    def frame(self, objective: Objective) -> Frame:
        """How the picture is laid before the network for an objective.

        Raises:
            SizeError: if the objective's layers can't be computed from it, with the least size that would do.
        """
        network, recipe = self._network, self._recipe
        whole = any(network.fixed(name) for name in objective.layers)
        limit = min(self.window, network.input_size)
        if recipe.sampling == "window":
            return self._cut(objective, Frame(network.input_size if whole else self.window, "window"))
        if recipe.sampling == "whole":
            shown = self.window * (self._whole(0) - 2.0 * recipe.jitter2)
            return self._cut(objective, Frame(network.input_size if whole else max(1, round(shown)), "whole"))
        if recipe.sampling == "normal-crop":
            return self._cut(objective, Frame(network.input_size if whole else limit, "normal-crop"))
        center = objective.centerd
        layer = network.layer(center) if center is not None else None
        if layer is None or layer.global_field or not layer.spatial:
            side = network.input_size if whole else limit
            return self._runnable(
                objective, Frame(side, "crop" if layer is not None or OUTPUT in objective.layers else "widest")
            )
        # The field, and room round it, so that no zero padding comes into it.
        field, stride = max(layer.receptive_field), max(layer.stride)
        side = network.input_size if whole else min(limit, field + 2 * stride)
        self._runnable(objective, Frame(side, "field"))
        middle = []
        for axis in (0, 1):
            places = self._places(layer.name, side)[axis]
            pixel = layer.start[axis] + (places - 1) // 2 * layer.stride[axis]
            middle.append((2.0 * pixel + 1.0) / side - 1.0)
        return Frame(side, "field", side / min(field, side), (middle[0], middle[1]))

    def look(self, frame: Frame, step: int, rotation: float, jitter: float, flip: float, crop_mean: float) -> Look:
        """The numbers of a step's views; those that may have been changed by hand are handed in."""
        recipe = self._recipe
        shares = (crop_mean, recipe.crop_std) if frame.cut == "normal-crop" else self._shares(frame, step)
        return Look(
            recipe.n_views,
            shares,
            rotation,
            recipe.rotation_choices,
            recipe.scale_choices,
            jitter,
            recipe.jitter2,
            recipe.center_std,
            flip,
            recipe.padding_mode,
        )

    def band(self, frame: Frame) -> float:
        """The finest grain, in cycles a picture, that the closest of all views shows: nobody sees more."""
        # Schedules are linear within an octave, so the least share is at one of its ends.
        ends, done = [], 0
        for length, _ in self._recipe.octaves:
            ends += [done, done + length - 1]
            done += length
        least = min(self._least_share(frame, step) for step in ends)
        return 0.5 * frame.side / least

    def _shares(self, frame: Frame, step: int) -> tuple[float, float]:
        recipe = self._recipe
        match frame.cut:
            case "field":
                low, high = recipe.shares("field_crop", step)
                return low * frame.reach, high * frame.reach
            case "crop":
                return recipe.shares("crop", step)
            case "normal-crop":
                return recipe.at("crop_mean", step), recipe.crop_std
            case "whole":
                return (self._whole(step),) * 2
            case "widest":
                # Of a texture, all of it.
                return (recipe.shares("crop", step)[1],) * 2
            case "window":
                return 1.0, 1.0

    def _least_share(self, frame: Frame, step: int) -> float:
        low, other = self._shares(frame, step)
        if frame.cut == "normal-crop":
            return max(low - 2.0 * other, 0.05)
        if frame.cut == "whole":
            low -= 2.0 * self._recipe.jitter2
        return max(low, 0.02) / max(self._recipe.scale_choices, default=1.0)

    def _whole(self, step: int) -> float:
        """Of the padded picture, what a shift of any length leaves in view, as a share of its side."""
        recipe = self._recipe
        return 1.0 + 2.0 * recipe.padding - 2.0 * min(recipe.at("jitter", step), recipe.padding)

    def _places(self, name: str, side: int) -> tuple[int, int]:
        probe = torch.zeros(1, self._network.channels, side, side, device=self._network.model_copy.device)
        with torch.no_grad():
            value = self._network.run(self._network.preprocess(probe), [name])[name]
        return value.shape[2], value.shape[3]

    def _runnable(self, objective: Objective, frame: Frame) -> Frame:
        """The frame, if the objective's layers can be computed at its side; SizeError with the least size if not."""
        for name in objective.layers:
            if self._network.runs_at(name, frame.side):
                continue
            least = self._network.minimum(name)
            what = f"layer {name!r}" if name else "the model's output"
            raise SizeError(
                f"A picture of {self.sides[-1]} px is too small: {what} can't be computed from the {frame.side} px "
                f"that the network would get, it needs at least {least}. Give size={self._least_size(least)} or more."
            )
        return frame

    def _cut(self, objective: Objective, frame: Frame) -> Frame:
        """The frame, with that part of it that the network needs; SizeError as :meth:`_runnable`."""
        center = objective.centerd
        self._runnable(objective, frame)
        return frame if center is None else replace(frame, part=self._network.middle_part(center, frame.side))

    def _least_size(self, view: int) -> int:
        return -(-view * self.sides[-1] // self.window)

"""The size of the pictures in each octave, and the view of them that the network gets for an objective."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch

from peek_widget.ascent.objective import Objective
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.recipe_rules import MAXIMUM_SIZE, check_size
from peek_widget.ascent.views import ViewGeometry, ViewParameters
from peek_widget.errors import ModelError, PeekError, RecipeError, SizeError
from peek_widget.network import OUTPUT, Layer, Network
from peek_widget.network.receptive_field.effective import effective_side

__all__ = ["Geometry"]

# A receptive field of up to so many pixels is shown whole: a part of it would be a picture of few pixels.
_SMALL_FIELD = 48

# What the network gets around an effective field, in sides of it: past it the influence is small, but not none.
_AROUND = 1.5


class Geometry:
    """The sizes of one ascent: of its pictures in each octave, and of the network's input.

    Args:
        network: the network.
        recipe: the recipe, with its octaves, size and sampling.
        size: side of the finished picture in pixels; None leaves it to the recipe and the model.

    Attributes:
        sides: side of the picture in each octave, in pixels.
        window: side of the picture in the first octave, of which a ``"window"`` or ``"whole"`` view shows the pixels.

    Raises:
        RecipeError: if the last octave is larger than the largest possible size.
    """

    def __init__(self, network: Network, recipe: Recipe, size: int | None) -> None:
        self._network, self._recipe = network, recipe
        scales = [scale for _, scale in recipe.octaves]
        grown = 1.0
        for scale in scales:
            grown *= scale
        size = size if size is not None else recipe.size
        # Without a size given, a recipe with octaves begins at the model's input size, as published.
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

    def view(self, objective: Objective) -> ViewGeometry:
        """Return how the network's input is taken from the picture for an objective.

        Raises:
            SizeError: if the objective's layers can't be computed from it, with the smallest size that would do.
        """
        view = self._view(objective)
        return replace(view, count=self._count(view.side))

    def _count(self, side: int) -> int:
        """Return the number of views of that side in a step: fewer of views larger than the recipe's, not more work."""
        recipe = self._recipe
        if recipe.view_size is None or side <= recipe.view_size:
            return recipe.n_views
        return max(1, round(recipe.n_views * (recipe.view_size / side) ** 2))

    def _largest(self, objective: Objective) -> int:
        """Return the largest side of a crop that the network gets, if it takes any size."""
        network, size = self._network, self._recipe.view_size
        limit = min(self.window, network.input_size)
        if size is None or size >= limit:
            return limit
        needed = [network.minimum(name) for name in objective.layers if not network.runs_at(name, size)]
        return min(limit, max([size, *needed]))

    def _view(self, objective: Objective) -> ViewGeometry:
        network, recipe = self._network, self._recipe
        fixed = any(network.fixed(name) for name in objective.layers)
        if recipe.sampling == "window":
            return self._with_part(objective, ViewGeometry(network.input_size if fixed else self.window, "window"))
        if recipe.sampling == "whole":
            shown = max(1, round(self.window * (self._whole_share(0) - 2.0 * recipe.jitter2)))
            return self._with_part(objective, ViewGeometry(network.input_size if fixed else shown, "whole"))
        if recipe.sampling == "normal-crop":
            side = network.input_size if fixed else min(self.window, network.input_size)
            return self._with_part(objective, ViewGeometry(side, "normal-crop"))
        center = objective.centered_on
        layer = network.layer(center) if center is not None else None
        limit = self._largest(objective)
        if layer is None or layer.global_field or not layer.spatial:
            side = network.input_size if fixed else limit
            kind = "crop" if layer is not None or OUTPUT in objective.layers else "widest"
            return self._checked(objective, ViewGeometry(side, kind))
        # The receptive field, and a margin about it, so that no zero padding comes into it.
        field, margin = max(layer.receptive_field), math.ceil(2 * max(layer.stride))
        shown = self._shown_field(layer)
        around = field if shown == field else min(field, math.ceil(_AROUND * shown))
        side = network.input_size if fixed else min(limit, around + margin)
        self._checked(objective, ViewGeometry(side, "field"))
        middle = []
        found = network.map_size(layer.name, side)
        assert found is not None
        for axis, positions in enumerate(found):
            pixel = layer.start[axis] + (positions - 1) // 2 * layer.stride[axis]
            middle.append((2.0 * pixel + 1.0) / side - 1.0)
        return ViewGeometry(side, "field", side / min(shown, side), (middle[0], middle[1]))

    def _shown_field(self, layer: Layer) -> int:
        """Return the side of the square that the picture stands for: the receptive field, or the effective one."""
        field = max(layer.receptive_field)
        if not self._recipe.effective_field or field <= _SMALL_FIELD:
            return field
        side = effective_side(self._network, layer.name)
        return field if side is None else min(field, max(_SMALL_FIELD, round(side)))

    def parameters(self, view: ViewGeometry, step: int, numbers: Mapping[str, float]) -> ViewParameters:
        """Return the numbers of the random views of a step.

        Args:
            view: how the views are taken.
            step: number of the step in the recipe, from 0.
            numbers: the recipe's NUMBERS as that step uses them, which may be overridden.
        """
        recipe = self._recipe
        normal = (numbers["crop_mean"], recipe.crop_std)
        return ViewParameters(
            view.count,
            normal if view.kind == "normal-crop" else self._shares(view, step),
            numbers["rotation"],
            recipe.rotation_choices,
            recipe.scale_choices,
            numbers["jitter"],
            recipe.jitter2,
            recipe.center_std,
            numbers["flip"],
            recipe.padding_mode,
        )

    def highest_frequency(self, view: ViewGeometry) -> float:
        """Return the highest frequency, in cycles a picture, that the closest of all views of a run shows."""
        # Schedules are linear within an octave, so the smallest share is at one of its ends.
        ends, done = [], 0
        for length, _ in self._recipe.octaves:
            ends += [done, done + length - 1]
            done += length
        smallest = min(self._smallest_share(view, step) for step in ends)
        return 0.5 * view.side / smallest

    def _shares(self, view: ViewGeometry, step: int) -> tuple[float, float]:
        recipe = self._recipe
        match view.kind:
            case "field":
                low, high = recipe.shares("field_crop", step)
                return low * view.field_ratio, high * view.field_ratio
            case "crop":
                return recipe.shares("crop", step)
            case "normal-crop":
                return recipe.at("crop_mean", step), recipe.crop_std
            case "whole":
                return (self._whole_share(step),) * 2
            case "widest":
                return (recipe.shares("crop", step)[1],) * 2  # all of a texture
            case "window":
                return 1.0, 1.0

    def _smallest_share(self, view: ViewGeometry, step: int) -> float:
        low, other = self._shares(view, step)
        if view.kind == "normal-crop":
            return max(low - 2.0 * other, 0.05)
        if view.kind == "whole":
            low -= 2.0 * self._recipe.jitter2
        return max(low, 0.02) / max(self._recipe.scale_choices, default=1.0)

    def _whole_share(self, step: int) -> float:
        """Return the share of the padded picture's side that is visible under the largest shift."""
        recipe = self._recipe
        return 1.0 + 2.0 * recipe.padding - 2.0 * min(recipe.at("jitter", step), recipe.padding)

    def _checked(self, objective: Objective, view: ViewGeometry) -> ViewGeometry:
        """Return the view; an error if the objective's layers can't be computed from it, with the true cause.

        Raises:
            SizeError: if it is too small, with the smallest size that would do, or of a size that they don't take.
            ModelError: if the model's forward raises whatever the size, with what it raised.
        """
        network = self._network
        for name in objective.layers:
            if network.runs_at(name, view.side):
                continue
            what = f"layer {name!r}" if name else "the model's output"
            least = network.minimum(name)
            if view.side < least and network.runs_at(name, least):
                size = -(-least * self.sides[-1] // self.window)
                raise SizeError(
                    f"A picture of {self.sides[-1]} px is too small: {what} can't be computed from the {view.side} px "
                    f"that the network would get, it needs at least {least}. Give size={size} or more."
                )
            cause = _why_not(network, name, view.side)
            if cause is None:
                continue  # it was the memory, and there is enough now
            if not network.runs_at(name, network.input_size):
                raise ModelError(f"{what[:1].upper()}{what[1:]} can't be computed. {cause}")
            raise SizeError(
                f"For a picture of {self.sides[-1]} px the network would get {view.side} px, from which {what} can't "
                f"be computed. {cause} It was read with images of {network.input_size} px: give "
                f"size={network.input_size}."
            )
        return view

    def _with_part(self, objective: Objective, view: ViewGeometry) -> ViewGeometry:
        """Return the view with the part of it that the network needs; SizeError as :meth:`_checked`."""
        center = objective.centered_on
        self._checked(objective, view)
        return view if center is None else replace(view, part=self._network.middle_part(center, view.side))


def _why_not(network: Network, layer: str, side: int) -> str | None:
    """Return what a layer's computation from a square image of that side raises, as a sentence; None if nothing."""
    image = torch.zeros(1, network.channels, side, side, device=network.model_copy.device, dtype=torch.float32)
    try:
        with torch.no_grad():
            network.run(network.preprocess(image), [layer])
    except (PeekError, RuntimeError, ValueError) as error:
        said = str(error) if isinstance(error, PeekError) else f"{type(error).__name__}: {error}"
        return f"{said.rstrip('.')}."
    return None

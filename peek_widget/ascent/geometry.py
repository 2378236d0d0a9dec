"""The size of the pictures in each octave, and the view of them that the network gets for an objective.

Pictures have the shape of what they stand for, a part of the network's input: all of it; or for a unit with a receptive
field, where views follow that (``sampling="crop"``), the square around the field, as far as the input reaches. So a
network of 256 x 128 px has pictures of 2 : 1 for its classes, and square ones for units whose fields are narrower than
128 px. A size that a recipe says as one number is that of square pictures: others have the same area. A size that is
asked for as (height, width), or as one number for a square, is taken as it is: nothing is stretched to it, the part
that the picture stands for lies within it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from peek_widget._size import Size, SizeLike
from peek_widget.ascent.objective import Objective
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.recipe_rules import MAXIMUM_SIZE, check_size
from peek_widget.ascent.views import ViewGeometry, ViewParameters
from peek_widget.errors import ModelError, PeekError, RecipeError, SizeError
from peek_widget.network import OUTPUT, Layer, Network
from peek_widget.network.receptive_field.effective import effective_side

__all__ = ["Geometry", "of_a_class"]


def _side(size: Size) -> float:
    return size.side


# A receptive field of up to so many pixels is shown whole: a part of it would be a picture of few pixels.
_SMALL_FIELD = 48

# What the network gets around an effective field, in sides of it: past it the influence is small, but not none.
_AROUND = 1.5


def of_a_class(network: Network, layers: Sequence[str]) -> bool:
    """Return whether an objective that reads these layers is about a class: a score of an output that is a vector."""
    return tuple(layers) == (OUTPUT,) and not network.layer(OUTPUT).spatial


class Geometry:
    """The sizes of one ascent: of its pictures in each octave, and of the network's input.

    Args:
        network: the network.
        recipe: the recipe, with its octaves, size and sampling.
        size: size of the finished picture in pixels; None leaves it to the recipe and the model.
        objectives: what is drawn, by which the pictures' shape is found where ``size`` leaves it open; pictures that
            are drawn together have one shape, that of the network's input if theirs differ.
        shape: a size of the shape that the pictures have instead.

    Attributes:
        shape: a size of the shape that the pictures have where ``size`` leaves it open.
        sizes: size of the picture in each octave, in pixels.
        window: size of the picture in the first octave, of which a ``"window"`` or ``"whole"`` view shows the pixels.

    Raises:
        RecipeError: if the last octave is larger than the largest possible size.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        size: SizeLike | None,
        objectives: Sequence[Objective] = (),
        shape: Size | None = None,
    ) -> None:
        self._network, self._recipe = network, recipe
        self._free = size is None
        scales = [scale for _, scale in recipe.octaves]
        grown = 1.0
        for scale in scales:
            grown *= scale
        self.shape: Size = self._shape(objectives) if shape is None else shape
        last = self._last(size)
        # Without a size given, a recipe with octaves begins at the model's input size, as published.
        first = last or self.shape.of_side(network.size.side)
        height, width = first if last is None else (first.height / grown, first.width / grown)
        self.sizes: list[Size] = []
        for scale in scales:
            height, width = height * scale, width * scale
            self.sizes.append(Size(max(1, round(height)), max(1, round(width))))
        if last is not None:
            self.sizes[-1] = last
        if max(self.sizes[-1]) > MAXIMUM_SIZE:
            raise RecipeError(
                f"From the model's {network.size} px the octaves grow {grown:g} times, to {self.sizes[-1]} px; "
                f"the limit is {MAXIMUM_SIZE}: give size=, or octaves of smaller scales."
            )
        self.window: Size = self.sizes[0]

    def _last(self, size: SizeLike | None) -> Size | None:
        """Return the size of the finished picture; None if neither the caller nor the recipe gives one."""
        if size is not None:
            return Size.of(check_size(size))
        of_recipe = self._recipe.size
        if not isinstance(of_recipe, int):
            return None if of_recipe is None else Size.of(of_recipe)
        return self.shape.of_side(of_recipe).within(Size(MAXIMUM_SIZE, MAXIMUM_SIZE))

    def _shape(self, objectives: Sequence[Objective]) -> Size:
        """Return a size of the pictures' default shape."""
        whole = self._network.size
        if whole.square or self._recipe.sampling != "crop":
            return whole
        found = {self._stands_for(one) for one in objectives}
        return found.pop() if len(found) == 1 else whole

    def _stands_for(self, objective: Objective) -> Size:
        """Return the size of the part of the network's input that a picture stands for."""
        layer = self._field_layer(objective)
        return self._network.size if layer is None else self._around(self._shown_field(layer))

    def _around(self, side: int) -> Size:
        """Return the size of a square, as far as it lies within the network's input."""
        whole = self._network.size
        return Size(min(side, whole.height), min(side, whole.width))

    def _field_layer(self, objective: Objective) -> Layer | None:
        """Return the layer whose receptive field the objective's pictures follow; None if they follow none."""
        center = objective.centered_on
        layer = None if center is None else self._network.layer(center)
        return None if layer is None or layer.global_field or not layer.spatial else layer

    def view(self, objective: Objective) -> ViewGeometry:
        """Return how the network's input is taken from the picture for an objective.

        Raises:
            SizeError: if the objective's layers can't be computed from it, with the smallest size that would do.
        """
        view = self._view(objective)
        flip = self._recipe.class_flip if of_a_class(self._network, objective.layers) else 0.0
        return replace(view, count=self._count(view.side), flip=flip if self._network.of_imagenet else 0.0)

    def _count(self, side: float) -> int:
        """Return the number of views of that side in a step: fewer of views larger than the recipe's, not more work."""
        recipe = self._recipe
        if recipe.view_size is None:
            return recipe.n_views
        few = max(1, round(recipe.n_views * (recipe.view_size / side) ** 2))
        return few if side > recipe.view_size else recipe.n_views

    def _at_most(self, objective: Objective, shape: Size) -> Size:
        """Return what the network gets of a picture, if it takes any size.

        It has the shape of ``shape``, at most its size and the picture's, and the area of the recipe's ``view_size``,
        or as much more as the objective's layers need.
        """
        network, size = self._network, self._recipe.view_size
        limit = shape.within(self.window)
        if size is None or size >= limit.side:
            return limit
        wanted, largest = limit.of_side(size), shape.filling(network.size)
        needed = [network.minimum(name, largest) for name in objective.layers if not network.runs_at(name, wanted)]
        return min([limit, max([wanted, *needed], key=_side)], key=_side)

    def _enough(self, objective: Objective, size: Size) -> Size:
        """Return a size, or a larger one that the picture has room for where an objective's layers need it."""
        least = [self._network.minimum(one) for one in objective.layers if not self._network.runs_at(one, size)]
        if not least:
            return size
        largest = max(least, key=_side)
        if largest.within(self.window) == largest:
            return largest
        # The size was not asked for and is too small for the layers: enlarged to the size that the network was read
        # with.
        return self._network.size if self._free else size

    def _view(self, objective: Objective) -> ViewGeometry:
        network, recipe = self._network, self._recipe
        fixed = any(network.fixed(name) for name in objective.layers)
        if recipe.sampling == "window":
            return self._with_part(objective, ViewGeometry(network.size if fixed else self.window, "window"))
        if recipe.sampling == "whole":
            share = self._whole_share(0) - 2.0 * recipe.jitter2
            shown = Size(*(max(1, round(side * share)) for side in self.window))
            return self._with_part(objective, ViewGeometry(network.size if fixed else shown, "whole"))
        if recipe.sampling == "normal-crop":
            size = network.size if fixed else network.size.within(self.window)
            return self._with_part(objective, ViewGeometry(size, "normal-crop"))
        layer = self._field_layer(objective)
        if layer is None:
            size = network.size if fixed else self._enough(objective, self._at_most(objective, network.size))
            kind = "crop" if objective.centered_on is not None or OUTPUT in objective.layers else "widest"
            return self._checked(objective, ViewGeometry(size, kind))
        # The receptive field, and a margin about it, so that no zero padding comes into it.
        field, margin = max(layer.receptive_field), math.ceil(2 * max(layer.stride))
        shown = self._shown_field(layer)
        around = field if shown == field else min(field, math.ceil(_AROUND * shown))
        size = (
            network.size if fixed else self._enough(objective, self._at_most(objective, self._around(around + margin)))
        )
        view = self._checked(objective, ViewGeometry(size, "field"))
        middle = []
        found = network.map_size(layer.name, size)
        assert found is not None
        for axis, positions in enumerate(found):
            pixel = layer.start[axis] + (positions - 1) // 2 * layer.stride[axis]
            middle.append((2.0 * pixel + 1.0) / size[axis] - 1.0)
        return replace(view, field_ratio=self._field_ratio(view, shown), center=(middle[0], middle[1]))

    def _field_ratio(self, view: ViewGeometry, shown: int) -> float:
        """Return the size of what the network gets by that of its part that the picture stands for, in its shape."""
        part = Size(min(shown, view.size.height), min(shown, view.size.width))
        # The picture's pixels for one of the network's: the part lies within the picture.
        room, fitted, axis = replace(view, size=part).magnified(self.window)
        whole, seen, other = view.magnified(self.window)
        return seen / fitted if axis == other else (room / fitted) / (whole / seen)

    def _shown_field(self, layer: Layer) -> int:
        """Return the side of the square around what a picture stands for: the receptive field, or the effective one."""
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
            max(numbers["flip"], view.flip),
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
        whole, seen, _ = view.magnified(self.window)
        return 0.5 * (self.window.side / whole) * seen / smallest

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
        """Return the view after checking that the objective's layers can be computed from it.

        Raises:
            SizeError: if it is too small, with the smallest size that would do, or of a size that they don't take.
            ModelError: if the model's forward raises whatever the size, with what it raised.
        """
        network = self._network
        for name in objective.layers:
            if network.runs_at(name, view.size):
                continue
            what = f"layer {name!r}" if name else "the model's output"
            least = network.minimum(name)
            if view.side < least.side and network.runs_at(name, least):
                enough = Size(*(-(-a * b // c) for a, b, c in zip(least, self.sizes[-1], self.window, strict=True)))
                raise SizeError(
                    f"A picture of {self.sizes[-1]} px is too small: {what} can't be computed from the {view.size} px "
                    f"that the network would get, and needs at least {least}. Give size={enough.plain} or more."
                )
            cause = _why_not(network, name, view.size)
            if cause is None:
                continue  # memory had run out, and there is enough now
            if not network.runs_at(name, network.size):
                raise ModelError(f"{what[:1].upper()}{what[1:]} can't be computed. {cause}")
            raise SizeError(
                f"For a picture of {self.sizes[-1]} px the network would get {view.size} px, from which {what} can't "
                f"be computed. {cause} It was read with images of {network.size} px: give "
                f"size={network.input_size}."
            )
        return view

    def _with_part(self, objective: Objective, view: ViewGeometry) -> ViewGeometry:
        """Return the view with the part of it that the network needs; SizeError as :meth:`_checked`."""
        center = objective.centered_on
        self._checked(objective, view)
        return view if center is None else replace(view, part=self._network.middle_part(center, view.size))


def _why_not(network: Network, layer: str, size: Size) -> str | None:
    """Return as a sentence why a layer can't be computed from an image of that size; None if it can."""
    image = torch.zeros(1, network.channels, *size, device=network.model_copy.device, dtype=torch.float32)
    try:
        with torch.no_grad():
            network.run(network.preprocess(image), [layer])
    except (PeekError, RuntimeError, ValueError) as error:
        said = str(error) if isinstance(error, PeekError) else f"{type(error).__name__}: {error}"
        return f"{said.rstrip('.')}."
    return None

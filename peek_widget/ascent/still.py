"""The still activation of a picture: the network is shown it once, without the random views of the steps.

Every still activation is taken by one rule: before the layer's last ReLU (:meth:`Network.run`), at the position of the
feature map where the unit is largest; a class is its score before any last ReLU, softmax or sigmoid. A unit with a
negative weight, whose picture is to lower it, is taken where it is smallest. Of any other objective (a sum, a
direction, a function) the value is taken.

A real image is given to the network at its input size. A drawn picture is given to it as it was drawn, but still:

- with a recipe whose views follow the receptive field (``sampling="crop"``, such as ``peek``) so that it covers the
  receptive field of the central position, with a reflected border of two strides;
- with any other (``oygard-2016``, ``lucid-2017``) in its own pixels, its center at the position that it was drawn for,
  with a reflected border where it is smaller than the receptive field; MACO's at the mean scale of its crops,
  a class's too: at no step is the network shown the whole of it.

So a real image has all the positions of a large map to excite the unit, and most drawn pictures have few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget._size import Size, SizeLike
from peek_widget.ascent.evaluate import objective_value
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.objective import Objective, Sum
from peek_widget.ascent.position import is_whole
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.views import ViewGeometry
from peek_widget.errors import PeekError
from peek_widget.network import Layer, Network
from peek_widget.network.context import undisturbed

__all__ = ["STILL_VIEW", "ShownPicture", "StillActivation", "resized", "run_still", "still_activation"]

STILL_VIEW: Tensor = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
"""Parameters of the view that changes nothing, ``[1, 4]``, see :class:`ShownPicture`."""


@dataclass(frozen=True)
class ShownPicture:
    """A picture, and which part of it the network's input shows.

    Attributes:
        picture: ``[1, C, H, W]``, at the scale at which the network gets it.
        size: size of the network's input in pixels; given as one number, a square.
        center: point (y, x) of the input, from -1 to 1, at which the picture's center lies.
    """

    picture: Tensor
    size: Size
    center: tuple[float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", Size.of(self.size))  # frozen; this is its construction

    def __call__(self, views: Tensor) -> Tensor:
        """Render views of the picture, which is reflected beyond its border.

        Args:
            views: ``[N, 4]``: magnification, rotation in degrees, shift down and shift right as shares of the
                input's height and width.

        Returns:
            ``[N, C, *size]``.
        """
        magnification, degrees, down, right = views.T
        cos, sin = torch.deg2rad(degrees).cos(), torch.deg2rad(degrees).sin()
        y, x = self.center[0] + 2.0 * down, self.center[1] + 2.0 * right
        rows = []
        for extent, across, along in ((self.picture.shape[-1], cos, -sin), (self.picture.shape[-2], sin, cos)):
            # A rotation of pixels, in units of half the input's sides on the one hand, of the picture's on the other.
            of_x = self.size.width / extent / magnification * across
            of_y = self.size.height / extent / magnification * along
            rows.append(torch.stack([of_x, of_y, -of_x * x - of_y * y], 1))
        shape = [len(views), self.picture.shape[1], *self.size]
        grid = F.affine_grid(torch.stack(rows, 1), shape, align_corners=False)
        pictures = self.picture.expand(len(views), -1, -1, -1)
        return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


@dataclass(frozen=True)
class _Place:
    """Where pictures of one size lie in the network's input.

    Attributes:
        scaled: size in pixels to which a picture is resized.
        size, center: see :class:`ShownPicture`.
    """

    scaled: Size
    size: Size
    center: tuple[float, float] = (0.0, 0.0)


class StillActivation:
    """Measures the still activation of pictures of one objective; each takes one forward without gradients.

    Where the pictures lie in the network's input is found out with the first one of each size, by some forwards more:
    then, or by :meth:`shown` before. No random number is drawn.

    Args:
        network: the model.
        objective: the objective that the pictures are drawn for.
        recipe: the recipe that they are drawn by, which determines their scale and position in the network's input;
            None for real images.
        size: size of the finished picture in pixels; left out, that of each picture. It differs from it in the middle
            of a run whose octaves enlarge the picture.

    Raises:
        LayerError, UnitError: if the network does not have what the objective reads.
    """

    def __init__(
        self, network: Network, objective: Objective, recipe: Recipe | None = None, size: SizeLike | None = None
    ) -> None:
        if objective.needs_start:  # an edited photo is shown to the network like a photo
            objective, recipe = objective.measured, None
        objective.check(network)
        self._network, self._objective, self._recipe, self._size = network, objective, recipe, size
        self._weight, self._unit = _single_unit(objective)
        self._bound: Objective | None = None
        self._places: dict[Size, _Place] = {}
        self._views: dict[Size, ViewGeometry] = {}
        self._centers: dict[Size, tuple[float, float]] = {}

    def shown(self, picture: Tensor) -> ShownPicture:
        """Return the placement in which the network sees a picture ``[C, H, W]`` in [0, 1].

        Raises:
            PeekError: if that is not a picture.
            SizeError: if the recipe could not draw a picture of this size for this objective.
        """
        channels = self._network.channels
        if picture.ndim != 3 or picture.shape[0] != channels or not picture.numel():
            raise PeekError(f"A picture of {tuple(picture.shape)} was given: it must be [{channels}, H, W].")
        own = Size(*picture.shape[1:])
        if own not in self._places:
            self._places[own] = self._place(own)
        place = self._places[own]
        return ShownPicture(resized(picture[None].float().cpu(), place.scaled), place.size, place.center)

    def __call__(self, picture: Tensor) -> float:
        """Return the still activation of a picture ``[C, H, W]`` in [0, 1]; errors as :meth:`shown`."""
        outputs = run_still(self._network, self.shown(picture)(STILL_VIEW), self._objective.layers)
        if self._unit is not None:
            unit = outputs[self._objective.layers[0]][0, self._unit]
            return self._weight * float(unit.amax() if self._weight >= 0.0 else unit.amin())
        if self._bound is None:
            self._bound = self._objective.bind(self._network)
        with undisturbed(self._network.model_copy.device), torch.no_grad():
            value, _ = objective_value(self._bound, outputs, 1, 0)
        return float(value)

    def _place(self, own: Size) -> _Place:
        """Return where a picture of that size lies in the network's input, by the rule in the module's docstring."""
        network, objective, recipe = self._network, self._objective, self._recipe
        layers = [network.layer(name) for name in objective.layers]
        whole = any(layer.global_field or not layer.spatial for layer in layers)
        if recipe is None or (whole and recipe.sampling != "normal-crop"):
            # The largest part of it that has the shape of the input.
            return _Place(_scaled(own, ViewGeometry(network.size, "crop"), 1.0), network.size)
        view = self._view(own if self._size is None else Size.of(self._size), recipe)
        if view.kind == "field":
            assert view.center is not None
            return _Place(_scaled(own, view, view.field_ratio), view.size, view.center)
        if view.kind == "normal-crop":
            share = (recipe.at("crop_mean", 0) + recipe.at("crop_mean", recipe.steps - 1)) / 2.0
            return _Place(_scaled(own, view, share), view.size)
        if own != network.size and any(network.fixed(name) for name in objective.layers):
            return _Place(_scaled(own, ViewGeometry(network.size, "crop"), 1.0), network.size)
        if objective.centered_on is None:
            return _Place(own, own)
        layer = network.layer(objective.centered_on)
        # A picture that is smaller than the receptive field gets a reflected border, and no zero padding.
        needed = max(layer.receptive_field) + math.ceil(2 * max(layer.stride))
        size = Size(*(max(side, min(needed, most)) for side, most in zip(own, network.size, strict=True)))
        center = []
        for axis, (there, here) in enumerate(
            zip(self._field_center(layer, view.size), self._field_center(layer, size), strict=True)
        ):
            drawn = there - (view.size[axis] - 1) / 2.0
            center.append((2.0 * (here - drawn) + 1.0) / size[axis] - 1.0)
        return _Place(own, size, (center[0], center[1]))

    def _view(self, size: Size, recipe: Recipe) -> ViewGeometry:
        if size not in self._views:
            self._views[size] = Geometry(self._network, recipe, size).view(self._objective)
        return self._views[size]

    def _field_center(self, layer: Layer, size: Size) -> tuple[float, float]:
        """Return the pixel (y, x) at the center of the central position's receptive field, on an input of this size."""
        if size not in self._centers:
            blank = torch.zeros(1, self._network.channels, *size)
            rows, columns = run_still(self._network, blank, [layer.name])[layer.name].shape[2:]
            y, x = ((positions - 1) // 2 for positions in (rows, columns))
            self._centers[size] = (layer.start[0] + y * layer.stride[0], layer.start[1] + x * layer.stride[1])
        return self._centers[size]


def still_activation(
    network: Network,
    objective: Objective,
    picture: Tensor,
    recipe: Recipe | None = None,
    size: SizeLike | None = None,
) -> float:
    """Compute the still activation of a picture; see :class:`StillActivation` for arguments and errors.

    Args:
        network, objective, recipe, size: see :class:`StillActivation`.
        picture: ``[C, H, W]`` in [0, 1].
    """
    return StillActivation(network, objective, recipe, size)(picture)


def run_still(network: Network, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the activations of layers on images ``[N, C, H, W]`` in [0, 1], float32, without a graph."""
    device = network.model_copy.device
    with undisturbed(device), torch.no_grad():
        prepared = network.preprocess(images.to(device))
        return {name: values.float() for name, values in network.run(prepared, names).items()}


def _scaled(own: Size, view: ViewGeometry, share: float) -> Size:
    """Return the size to which a picture is resized, so that the view shows a share of its largest part of that shape.

    Args:
        own: size of the picture.
        view: the view, at the scale of the network's input.
        share: side of the view by that of the largest part.
    """
    whole, seen, axis = view.magnified(own)
    return Size(*(max(1, round(seen / share if n == axis else own[n] / whole * seen / share)) for n in (0, 1)))


def resized(images: Tensor, size: SizeLike) -> Tensor:
    """Return images ``[N, C, H, W]`` resized to a size in pixels."""
    size = Size.of(size)
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)


def _single_unit(objective: Objective) -> tuple[float, int | None]:
    """Return the weight and number of an objective's unit; None if it isn't a single unit."""
    weight = 1.0
    if isinstance(objective, Sum) and len(objective.parts) == 1:
        ((weight, objective),) = objective.parts
    unit = getattr(objective, "unit", None)
    return weight, unit if is_whole(unit) and len(objective.layers) == 1 else None

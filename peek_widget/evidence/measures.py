"""Does a drawn picture tell the truth about its unit? Numbers that can be set beside those of real images.

Every activation here, of a drawn picture as of a real image, is taken by one rule: before the layer's last ReLU
(:meth:`Network.run`), at the place of the map where the unit is largest; a class is its score before any last ReLU
and any softmax, at the network's input size. A real image is shown at the network's input size. A drawn picture of
a unit is laid before the network as it was drawn, without the random views:

- of a recipe whose views follow the receptive field (``sampling="crop"``, such as ``peek``) so that it covers the
  unit's field, at its middle place, with a mirrored surround of two strides;
- of any other (``oygard-2016``, ``lucid-2017``) in its own pixels, its middle at the place that it was drawn for, with
  a mirrored surround where it is smaller than the field; MACO's at the mean scale of its crops.

So a real image has all the places of a large map to excite the unit, and most drawn pictures have few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from peek_widget.ascent.framing import Framing
from peek_widget.ascent.objective import Objective
from peek_widget.ascent.recipe import Recipe
from peek_widget.errors import PeekError
from peek_widget.network import Layer, Network

__all__ = [
    "NATURAL_BAND",
    "ROBUST_VIEWS",
    "Band",
    "DatasetStatistics",
    "Measured",
    "PictureScore",
    "agreement",
    "as_seen",
    "degenerate",
    "in_band",
    "measure",
    "natural_activations",
    "naturalness",
    "rank",
    "retrieval",
    "robust_activation",
    "still_activation",
    "verdict",
]

ROBUST_VIEWS = 32
"""Number of fixed random views that a robust activation is the mean over."""

_SHIFT, _SCALES, _TURN = 0.08, (0.8, 1.2), 10.0

Band = tuple[float, float]

NATURAL_BAND: Mapping[str, Band] = {
    "slope": (-3.76, -2.10),
    "variation": (0.025, 0.127),
    "clipped": (0.0, 0.176),
    "saturation": (0.06, 0.61),
    "contrast": (0.145, 0.326),
    "fine": (0.002, 0.096),
}
"""What nine in ten photographs have (5 % to 95 % of 1000 ImageNet images at 227 px), by :func:`naturalness`' names.

White noise has slope 0, variation 0.667 and 0.80 of its energy in fine grain."""

_LEAST_SIDE = 8
_CLIPPED = 0.5 / 255.0
_GREY = 0.02
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class DatasetStatistics:
    """What real images do to the C units of a layer.

    Attributes:
        count: of images.
        best: ``[C]``, the highest activation at any place of any image.
        mean: ``[C]``, over all places of all images.
        deviation: ``[C]``, likewise.
    """

    count: int
    best: Tensor
    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class Measured:
    """What one picture does to the unit that it was drawn for, and to the others of its layer.

    Attributes:
        activation: of the unit, at its best place.
        robust: mean of that over :data:`ROBUST_VIEWS` views, see :func:`robust_activation`.
        code: ``[C]``, every unit of the layer at the place where this one is largest.
    """

    activation: float
    robust: float
    code: Tensor


@dataclass(frozen=True)
class PictureScore:
    """How true one picture is.

    Attributes:
        activation: of its unit.
        best: of the real images.
        over_best: the one by the other; NaN where no real image excites the unit above zero, since then a quotient
            says nothing.
        beats: whether it is more than any real image's.
        robustness: what is left of the activation under small shifts, turns and changes of size: 1 is all;
            NaN where the activation is not above zero.
        rank: of the unit among its layer on this picture, 1 the first, see :func:`rank`.
        flaw: ``""``, or what is wrong with the picture: see :func:`degenerate`.
        agreement: with the picture of another seed, see :func:`agreement`; NaN where there is none.
    """

    activation: float
    best: float
    over_best: float
    beats: bool
    robustness: float
    rank: int
    flaw: str
    agreement: float = math.nan


# Activations


def natural_activations(
    network: Network, images: Iterable[Tensor], layers: Sequence[str]
) -> dict[str, DatasetStatistics]:
    """What real images do to every unit of some layers.

    Args:
        network: as read.
        images: batches ``[N, C, H, W]`` in [0, 1] (or one tensor of that shape); other sides than the network's
            input size are resized, the shorter side to it, and cut to the middle square.
        layers: their names; ``""`` is the model's output.

    Raises:
        PeekError: if there is no image.
        LayerError: if there is no such layer.
    """
    names = list(dict.fromkeys(layers))
    best: dict[str, Tensor] = {}
    sums = {name: (torch.zeros((), dtype=torch.float64),) * 2 for name in names}
    places = dict.fromkeys(names, 0)
    count = 0
    for batch in _batches(images):
        count += len(batch)
        for name, values in _run(network, _fitted(batch, network.input_size), names).items():
            flat = values.flatten(2) if values.ndim > 2 else values[:, :, None]
            top = flat.amax(dim=(0, 2))
            best[name] = torch.maximum(best[name], top) if name in best else top
            total, squares = sums[name]
            sums[name] = (total + flat.double().sum((0, 2)), squares + flat.double().square().sum((0, 2)))
            places[name] += flat.shape[0] * flat.shape[2]
    if not count:
        raise PeekError("There is no real image to measure by: give at least one.")
    natural = {}
    for name in names:
        mean = sums[name][0] / places[name]
        deviation = (sums[name][1] / places[name] - mean.square()).clamp(min=0.0).sqrt()
        natural[name] = DatasetStatistics(count, best[name], mean.float(), deviation.float())
    return natural


def measure(network: Network, objective: Objective, picture: Tensor, recipe: Recipe | None = None) -> Measured:
    """The activation of a unit on a picture, plain and robust, and the whole layer's.

    Args:
        network: as read.
        objective: what the picture was drawn for: a ``Neuron``, ``Channel`` or ``Logit``.
        picture: ``[C, S, S]`` in [0, 1].
        recipe: that it was drawn by, which says how it is laid before the network; None for a real image.

    Raises:
        PeekError: if the objective is not a single unit, or that is not a picture.
        SizeError: if the recipe could not have drawn a picture of this size for this unit.
    """
    layer, unit = _unit(network, objective)
    laid = _lay(network, objective, picture, recipe)
    best = _best(_run(network, laid(_still()), [layer.name])[layer.name], unit)
    views = torch.cat([_best(_run(network, laid(part), [layer.name])[layer.name], unit) for part in _views().split(8)])
    return Measured(float(best[0, unit]), float(views[:, unit].mean()), best[0])


def still_activation(network: Network, objective: Objective, picture: Tensor, recipe: Recipe | None = None) -> float:
    """The plain activation of :func:`measure` alone: by one forward, cheap enough to follow a picture being drawn."""
    layer, unit = _unit(network, objective)
    laid = _lay(network, objective, picture, recipe)
    return float(_best(_run(network, laid(_still()), [layer.name])[layer.name], unit)[0, unit])


def robust_activation(network: Network, objective: Objective, picture: Tensor, recipe: Recipe | None = None) -> float:
    """Mean activation over 32 fixed random views: shifts within 8 %, scales 0.8 to 1.2, turns within 10 degrees.

    The views are the same for every picture (a generator of seed 0); shares are of the square that the network gets.
    What an exact pattern of pixels excites and its form does not, collapses. After the transformation robustness of
    Olah, Mordvintsev & Schubert 2017, turned into a measure. See :func:`measure` for the arguments and errors.
    """
    return measure(network, objective, picture, recipe).robust


def rank(code: Tensor, unit: int, natural: DatasetStatistics) -> int:
    """Place of a unit among its layer on a picture, 1 the first, in deviations above what real images give each.

    Args:
        code: ``[C]``, the layer at the unit's best place (:class:`Measured`).
        unit: its number.
        natural: of the layer. A unit that is the same on all real images takes no part.
    """
    z = _z(code, natural)
    return 1 + int((z > z[unit]).sum())


def agreement(one: Tensor, other: Tensor, unit: int, natural: DatasetStatistics) -> float:
    """How like what the rest of the layer sees in two pictures of a unit is: a cosine from -1 to 1.

    Args:
        one: ``[C]``, the layer's code of the picture of one seed.
        other: of another seed.
        unit: for which both were drawn; it is left out, since it is high on both by design.
        natural: of the layer; codes are compared in deviations from what real images give.
    """
    return float(F.cosine_similarity(_without(_z(one, natural), unit), _without(_z(other, natural), unit), dim=0))


def retrieval(one: Tensor, other: Tensor, natural: DatasetStatistics) -> float:
    """Share of N units whose picture of one seed is more like their own of another seed than like any other unit's.

    Args:
        one: ``[N, C]``, codes of one seed's pictures.
        other: ``[N, C]``, of another's, in the same order. Chance is 1 / N.
        natural: of the layer.
    """
    likeness = F.normalize(_z(one, natural), dim=1) @ F.normalize(_z(other, natural), dim=1).T
    return float((likeness.argmax(1) == torch.arange(len(one))).float().mean())


def verdict(
    network: Network,
    objectives: Sequence[Objective],
    pictures: Tensor,
    natural: Mapping[str, DatasetStatistics],
    recipe: Recipe | None = None,
    *,
    others: Tensor | None = None,
) -> list[PictureScore]:
    """The verdict on each of N pictures.

    Args:
        network: as read.
        objectives: N, what they were drawn for; see :func:`measure`.
        pictures: ``[N, C, S, S]`` in [0, 1].
        natural: by layer, from :func:`natural_activations`.
        recipe: that they were drawn by; None for real images.
        others: ``[N, C, T, T]``, by the same recipe with another seed, for the agreement; left out, it is NaN.

    Raises:
        PeekError: for an objective that is not a single unit, or numbers that do not match.
    """
    if len(objectives) != len(pictures) or (others is not None and len(others) != len(pictures)):
        raise PeekError(f"{len(objectives)} objectives for {len(pictures)} pictures: give one for each.")
    score_pictures = []
    for number, (objective, picture) in enumerate(zip(objectives, pictures, strict=True)):
        layer, unit = _unit(network, objective)
        if layer.name not in natural:
            raise PeekError(f"Nothing is known of real images in layer {layer.name!r}: measure it as well.")
        real = natural[layer.name]
        flaw = degenerate(picture)
        best = float(real.best[unit])
        if flaw == "nan":
            score_pictures.append(PictureScore(math.nan, best, math.nan, False, math.nan, len(real.best), flaw))
            continue
        found = measure(network, objective, picture, recipe)
        alike = math.nan
        if others is not None and degenerate(others[number]) != "nan":
            second = measure(network, objective, others[number], recipe)
            alike = agreement(found.code, second.code, unit, real)
        score_pictures.append(
            PictureScore(
                activation=found.activation,
                best=best,
                over_best=found.activation / best if best > 0.0 else math.nan,
                beats=found.activation > best,
                robustness=found.robust / found.activation if found.activation > 0.0 else math.nan,
                rank=rank(found.code, unit, real),
                flaw=flaw,
                agreement=alike,
            )
        )
    return score_pictures


# The picture alone


def degenerate(picture: Tensor) -> str:
    """What makes it no picture at all: ``"nan"``, ``"gray"`` or ``"clipped"``; ``""`` for a picture.

    Gray: no channel deviates from its mean by more than 5 gray levels of 255 (of whatever color it is). Clipped: at
    more than half of its pixels every channel is at black or at full.

    Args:
        picture: ``[C, H, W]`` in [0, 1].
    """
    if not bool(torch.isfinite(picture).all()):
        return "nan"
    if float(picture.flatten(1).std(1, correction=0).max()) < _GREY:
        return "gray"
    ends = ((picture <= _CLIPPED) | (picture >= 1.0 - _CLIPPED)).all(0)
    return "clipped" if float(ends.float().mean()) > 0.5 else ""


def naturalness(picture: Tensor) -> dict[str, float]:
    """Statistics that photographs have in a narrow band, by the names of :data:`NATURAL_BAND`.

    - ``slope``: of the logarithm of the power, mean over directions and under a Hann window, by the logarithm of
      the frequency, from 2 cycles a picture to half a cycle a pixel (Field 1987: about -2);
    - ``variation``: mean absolute difference of neighbors, across plus down, mean over channels;
    - ``clipped``: share of pixels where a channel is at black or at full (of 255 levels);
    - ``saturation``: of HSV, mean; NaN for a picture that is not RGB;
    - ``contrast``: root mean square deviation over pixels and channels;
    - ``fine``: share of the power above a quarter of a cycle a pixel.

    Args:
        picture: ``[C, S, S]`` in [0, 1], 8 px or more, with the pixels that the network sees (:func:`as_seen`): a
            unit's picture may be drawn larger than its field, and a photograph enlarged as much would not pass for one.

    Raises:
        PeekError: if it is smaller.
    """
    side = picture.shape[-1]
    if picture.ndim != 3 or picture.shape[1] != side or side < _LEAST_SIDE:
        raise PeekError(
            f"A picture of {tuple(picture.shape)} has no spectrum to speak of: give [C, S, S] of 8 px or more."
        )
    shown = picture.float().clamp(0.0, 1.0)
    rgb = shown.shape[0] == 3
    light = (shown * shown.new_tensor(_LUMA)[:, None, None]).sum(0) if rgb else shown.mean(0)
    window = torch.hann_window(side, periodic=False)
    power = torch.fft.fft2((light - light.mean()) * window[:, None] * window).abs().square()
    axis = torch.fft.fftfreq(side)
    frequency = (axis[:, None].square() + axis.square()).sqrt()
    top, low = shown.amax(0), shown.amin(0)
    return {
        "slope": _slope(power, (frequency * side).round().long()),
        "variation": float(shown.diff(dim=1).abs().mean() + shown.diff(dim=2).abs().mean()),
        "clipped": float(((shown <= _CLIPPED) | (shown >= 1.0 - _CLIPPED)).any(0).float().mean()),
        "saturation": float(((top - low) / top.clamp(min=1e-9)).mean()) if rgb else math.nan,
        "contrast": float(shown.std(correction=0)),
        "fine": float(power[frequency > 0.25].sum() / power.sum().clamp(min=1e-12)),
    }


def as_seen(network: Network, objective: Objective, picture: Tensor, recipe: Recipe | None = None) -> Tensor:
    """The picture with the pixels that the network sees, ``[C, P, P]``; see :func:`measure` for the arguments."""
    return _lay(network, objective, picture, recipe).picture[0]


def in_band(statistics: Mapping[str, float]) -> dict[str, bool]:
    """Which of :func:`naturalness`' statistics a photograph might have; one that is NaN is left out."""
    return {
        name: low <= statistics[name] <= high
        for name, (low, high) in NATURAL_BAND.items()
        if not math.isnan(statistics[name])
    }


def _slope(power: Tensor, ring: Tensor) -> float:
    rings = len(power) // 2
    flat = ring.flatten()
    inside = flat <= rings
    total = torch.zeros(rings + 1).index_add_(0, flat[inside], power.flatten()[inside])
    mean = total / torch.bincount(flat[inside], minlength=rings + 1)
    x = torch.arange(2, rings + 1).float().log()
    x = x - x.mean()
    return float((x * mean[2:].clamp(min=1e-12).log()).sum() / x.square().sum())


# How a picture is laid before the network


@dataclass(frozen=True)
class _Laid:
    """A picture, and where on it the network's square lies.

    Attributes:
        picture: ``[1, C, P, P]``, at the scale at which the network sees it.
        side: of the network's square in pixels.
        middle: the place (y, x) in that square, from -1 to 1, where the picture's middle lies.
    """

    picture: Tensor
    side: int
    middle: tuple[float, float]

    def __call__(self, looks: Tensor) -> Tensor:
        """Views ``[N, C, side, side]`` for looks ``[N, 4]``: magnification, turn in degrees, shift down and right
        as shares of the square's side; beyond the border the picture is mirrored."""
        zoom, turn, down, right = looks.T
        share = self.side / self.picture.shape[-1] / zoom
        cos, sin = share * torch.deg2rad(turn).cos(), share * torch.deg2rad(turn).sin()
        y, x = self.middle[0] + 2.0 * down, self.middle[1] + 2.0 * right
        theta = torch.stack(
            [torch.stack([cos, -sin, sin * y - cos * x], 1), torch.stack([sin, cos, -sin * x - cos * y], 1)], 1
        )
        size = [len(looks), self.picture.shape[1], self.side, self.side]
        grid = F.affine_grid(theta, size, align_corners=False)
        pictures = self.picture.expand(len(looks), -1, -1, -1)
        return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _lay(network: Network, objective: Objective, picture: Tensor, recipe: Recipe | None) -> _Laid:
    layer, _ = _unit(network, objective)
    if picture.ndim != 3 or picture.shape[1] != picture.shape[2] or picture.shape[0] != network.channels:
        raise PeekError(f"A picture of {tuple(picture.shape)} was given: it must be [{network.channels}, S, S].")
    whole, own = picture[None].float().cpu(), picture.shape[-1]
    if recipe is None or layer.global_field or not layer.spatial:
        return _Laid(_resized(whole, network.input_size), network.input_size, (0.0, 0.0))
    frame = Framing(network, recipe, own).frame(objective)
    if frame.cut == "field":
        assert frame.center is not None
        return _Laid(_resized(whole, round(frame.side / frame.reach)), frame.side, frame.center)
    if frame.cut == "normal-crop":
        share = (recipe.at("crop_mean", 0) + recipe.at("crop_mean", recipe.steps - 1)) / 2.0
        return _Laid(_resized(whole, round(frame.side / share)), frame.side, (0.0, 0.0))
    if objective.centerd is None:
        return _Laid(whole, own, (0.0, 0.0))
    # A picture that is smaller than the field gets a mirrored surround and no zero padding.
    side = max(own, min(max(layer.receptive_field) + 2 * max(layer.stride), network.input_size))
    middle = []
    for axis in (0, 1):
        drawn = _middle(network, layer, frame.side, axis) - (frame.side - 1) / 2.0
        middle.append((2.0 * (_middle(network, layer, side, axis) - drawn) + 1.0) / side - 1.0)
    return _Laid(whole, side, (middle[0], middle[1]))


def _middle(network: Network, layer: Layer, side: int, axis: int) -> float:
    """The pixel in the middle of what the map's middle place sees, down (0) or across (1), of a square of that side."""
    values = _run(network, torch.zeros(1, network.channels, side, side), [layer.name])[layer.name]
    return layer.start[axis] + (values.shape[2 + axis] - 1) // 2 * layer.stride[axis]


def _still() -> Tensor:
    return torch.tensor([[1.0, 0.0, 0.0, 0.0]])


def _views() -> Tensor:
    draws = torch.rand(ROBUST_VIEWS, 4, generator=Generator().manual_seed(0))
    low, high = _SCALES
    return torch.stack(
        [
            low + (high - low) * draws[:, 0],
            _TURN * (2.0 * draws[:, 1] - 1.0),
            _SHIFT * (2.0 * draws[:, 2] - 1.0),
            _SHIFT * (2.0 * draws[:, 3] - 1.0),
        ],
        dim=1,
    )


def _run(network: Network, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    with torch.no_grad():
        prepared = network.preprocess(images.to(network.model_copy.device))
        return {name: values.float().cpu() for name, values in network.run(prepared, names).items()}


def _best(values: Tensor, unit: int) -> Tensor:
    """Of each image ``[N, C, ...]`` the layer at the place where the unit is largest, ``[N, C]``."""
    flat = values.flatten(2) if values.ndim > 2 else values[:, :, None]
    place = flat[:, unit].argmax(1)
    return flat[torch.arange(len(flat)), :, place]


def _unit(network: Network, objective: Objective) -> tuple[Layer, int]:
    unit = getattr(objective, "unit", None)
    if len(objective.layers) != 1 or not isinstance(unit, int):
        raise PeekError(f"{objective!r} is not a single unit: what is measured here is a Neuron, a Channel or a Logit.")
    name = objective.layers[0]
    network.check_unit(name, unit)
    return network.layer(name), unit


def _z(code: Tensor, natural: DatasetStatistics) -> Tensor:
    """Deviations above the real images' mean; of a unit that never changes, none."""
    alive = natural.deviation > 1e-6
    return torch.where(alive, (code - natural.mean) / natural.deviation.clamp(min=1e-6), 0.0)


def _without(code: Tensor, unit: int) -> Tensor:
    return torch.cat([code[:unit], code[unit + 1 :]])


def _resized(images: Tensor, side: int) -> Tensor:
    if images.shape[-1] == side and images.shape[-2] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


def _fitted(images: Tensor, side: int) -> Tensor:
    """The shorter side made ``side``, and the middle square cut out."""
    height, width = images.shape[-2:]
    if min(height, width) != side:
        scale = side / min(height, width)
        size = (max(side, round(height * scale)), max(side, round(width * scale)))
        images = F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
        height, width = size
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, :, top : top + side, left : left + side]


def _batches(images: Iterable[Tensor]) -> Iterable[Tensor]:
    return images.split(16) if isinstance(images, Tensor) else images

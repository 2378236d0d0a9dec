"""Evaluation of drawn pictures: how much they excite their unit, on the same scale as real images do.

Every activation here, of a drawn picture as of a real image, is a still activation, taken by the one rule of
:mod:`peek_widget.ascent.still`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from peek_widget._size import Size
from peek_widget.ascent.objective import Objective
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.still import STILL_VIEW, StillActivation, run_still, still_activation
from peek_widget.errors import PeekError
from peek_widget.evidence.naturalness import degenerate
from peek_widget.network import Layer, Network

__all__ = [
    "ROBUST_VIEWS",
    "DatasetStatistics",
    "Measurement",
    "PictureScore",
    "agreement",
    "as_seen",
    "dataset_statistics",
    "measure",
    "rank",
    "retrieval",
    "robust_activation",
    "score",
    "still_activation",
]

ROBUST_VIEWS = 32
"""Number of fixed random views over which a robust activation is averaged."""

_SHIFT, _SCALES, _ROTATION = 0.08, (0.8, 1.2), 10.0


@dataclass(frozen=True)
class DatasetStatistics:
    """Activations of the C units of a layer over the real images of a dataset.

    Attributes:
        count: number of images.
        best: ``[C]``, highest activation of each unit at any position of any image.
        mean: ``[C]``, mean over all positions of all images.
        deviation: ``[C]``, standard deviation over all positions of all images.
    """

    count: int
    best: Tensor
    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class Measurement:
    """Activations of one picture's unit, and of the others of its layer.

    Attributes:
        activation: activation of the unit, at the position where it is largest.
        robust: its mean over :data:`ROBUST_VIEWS` views, see :func:`robust_activation`.
        code: ``[C]``, activations of all units of the layer at that position.
    """

    activation: float
    robust: float
    code: Tensor


@dataclass(frozen=True)
class PictureScore:
    """Evaluation of one picture of a unit.

    Attributes:
        activation: activation of the unit on the picture.
        best: its highest activation on the real images.
        activation_ratio: ``activation / best``; NaN where no real image excites the unit above zero.
        exceeds_best: whether the activation is higher than on any real image.
        robustness: share of the activation that is left under small shifts, rotations and changes of scale, see
            :func:`robust_activation`; NaN where the activation is not above zero.
        rank: rank of the unit within its layer on this picture, from 1, see :func:`rank`.
        flaw: ``""``, or what is wrong with the picture, see :func:`~peek_widget.evidence.naturalness.degenerate`.
        agreement: agreement with the picture of another seed, see :func:`agreement`; NaN where there is none.
    """

    activation: float
    best: float
    activation_ratio: float
    exceeds_best: bool
    robustness: float
    rank: int
    flaw: str
    agreement: float = math.nan


# Activations


def dataset_statistics(
    network: Network, images: Iterable[Tensor], layers: Sequence[str]
) -> dict[str, DatasetStatistics]:
    """Compute the statistics of all units of some layers over real images.

    Args:
        network: the model.
        images: batches ``[N, C, H, W]`` in [0, 1] (or one tensor of that shape). The shorter side is resized to the
            network's input size, and the central square cut out.
        layers: names of the layers; ``""`` is the model's output.

    Raises:
        PeekError: if there is no image.
        LayerError: if there is no such layer.
    """
    names = list(dict.fromkeys(layers))
    best: dict[str, Tensor] = {}
    sums = {name: (torch.zeros((), dtype=torch.float64),) * 2 for name in names}
    positions = dict.fromkeys(names, 0)
    count = 0
    for batch in _batches(images):
        count += len(batch)
        for name, values in _run(network, _center_crop(batch, network.size), names).items():
            flat = values.flatten(2) if values.ndim > 2 else values[:, :, None]
            top = flat.amax(dim=(0, 2))
            best[name] = torch.maximum(best[name], top) if name in best else top
            total, squares = sums[name]
            sums[name] = (total + flat.double().sum((0, 2)), squares + flat.double().square().sum((0, 2)))
            positions[name] += flat.shape[0] * flat.shape[2]
    if not count:
        raise PeekError("There is no real image to compare with: give at least one.")
    statistics = {}
    for name in names:
        mean = sums[name][0] / positions[name]
        deviation = (sums[name][1] / positions[name] - mean.square()).clamp(min=0.0).sqrt()
        statistics[name] = DatasetStatistics(count, best[name], mean.float(), deviation.float())
    return statistics


def measure(network: Network, objective: Objective, picture: Tensor, recipe: Recipe | None = None) -> Measurement:
    """Compute the activation of a unit on a picture, still and under random views, and that of the whole layer.

    Args:
        network: the model.
        objective: the objective that the picture was drawn for: a ``Neuron``, ``Channel`` or ``Logit``.
        picture: ``[C, H, W]`` in [0, 1].
        recipe: the recipe that it was drawn by, which determines its scale and position in the network's input; None
            for a real image.

    Raises:
        PeekError: if the objective is not a single unit, or that is not a picture.
        SizeError: if the recipe could not have drawn a picture of this size for this unit.
    """
    layer, unit = _unit(network, objective)
    views_of = StillActivation(network, objective, recipe).shown(picture)
    best = _best(_run(network, views_of(STILL_VIEW), [layer.name])[layer.name], unit)
    views = torch.cat(
        [_best(_run(network, views_of(part), [layer.name])[layer.name], unit) for part in _robust_views().split(8)]
    )
    return Measurement(float(best[0, unit]), float(views[:, unit].mean()), best[0])


def robust_activation(network: Network, objective: Objective, picture: Tensor, recipe: Recipe | None = None) -> float:
    """Compute the mean activation over 32 fixed views: shifts within 8 %, scales 0.8 to 1.2, rotations within 10°.

    The views are the same for every picture (a generator of seed 0); shifts are shares of the network's input. A
    picture that excites its unit by an exact pattern of pixels, and not by its form, loses its activation. The idea is
    the transformation robustness of Olah, Mordvintsev & Schubert 2017. See :func:`measure` for arguments and errors.
    """
    return measure(network, objective, picture, recipe).robust


def rank(code: Tensor, unit: int, statistics: DatasetStatistics) -> int:
    """Rank a unit within its layer on a picture, from 1, by z-scores: deviations from the mean over real images.

    Args:
        code: ``[C]``, activations of the layer at the unit's best position (:class:`Measurement`).
        unit: number of the unit.
        statistics: statistics of the layer. A unit that is constant on all real images has z-score 0.
    """
    z = _z_scores(code, statistics)
    return 1 + int((z > z[unit]).sum())


def agreement(one: Tensor, other: Tensor, unit: int, statistics: DatasetStatistics) -> float:
    """Compute how similar the rest of the layer responds to two pictures of a unit: a cosine from -1 to 1.

    Args:
        one: ``[C]``, activations of the layer on the picture of one seed, see :class:`Measurement`.
        other: ``[C]``, activations on the picture of another seed.
        unit: number of the unit that both were drawn for; it is left out, since it is high on both by design.
        statistics: statistics of the layer; activations are compared as z-scores.
    """
    return float(
        F.cosine_similarity(
            _leave_out(_z_scores(one, statistics), unit), _leave_out(_z_scores(other, statistics), unit), dim=0
        )
    )


def retrieval(one: Tensor, other: Tensor, statistics: DatasetStatistics) -> float:
    """Compute the share of N units whose pictures of two seeds are more similar than to any other unit's picture.

    Args:
        one: ``[N, C]``, activations of the layer on the pictures of one seed.
        other: ``[N, C]``, activations on those of another, in the same order. Chance level is 1 / N.
        statistics: statistics of the layer.
    """
    similarity = F.normalize(_z_scores(one, statistics), dim=1) @ F.normalize(_z_scores(other, statistics), dim=1).T
    return float((similarity.argmax(1) == torch.arange(len(one))).float().mean())


def score(
    network: Network,
    objectives: Sequence[Objective],
    pictures: Tensor,
    statistics: Mapping[str, DatasetStatistics],
    recipe: Recipe | None = None,
    *,
    others: Tensor | None = None,
) -> list[PictureScore]:
    """Evaluate each of N pictures.

    Args:
        network: the model.
        objectives: the N objectives that the pictures were drawn for; see :func:`measure`.
        pictures: ``[N, C, H, W]`` in [0, 1].
        statistics: statistics of each layer, by name, from :func:`dataset_statistics`.
        recipe: the recipe that they were drawn by; None for real images.
        others: ``[N, C, T, T]``, pictures by the same recipe with another seed, for the agreement; left out, it is NaN.

    Raises:
        PeekError: for an objective that is not a single unit, or numbers that do not match.
    """
    if len(objectives) != len(pictures) or (others is not None and len(others) != len(pictures)):
        more = "" if others is None else f" and {len(others)} others"
        raise PeekError(f"{len(objectives)} objectives for {len(pictures)} pictures{more}: give as many of each.")
    scores = []
    for number, (objective, picture) in enumerate(zip(objectives, pictures, strict=True)):
        layer, unit = _unit(network, objective)
        if layer.name not in statistics:
            raise PeekError(
                f"There are no statistics of layer {layer.name!r} over real images: name it among the layers of "
                "dataset_statistics, too."
            )
        real = statistics[layer.name]
        flaw = degenerate(picture)
        best = float(real.best[unit])
        if flaw == "nan":
            scores.append(PictureScore(math.nan, best, math.nan, False, math.nan, len(real.best), flaw))
            continue
        found = measure(network, objective, picture, recipe)
        similar = math.nan
        if others is not None and degenerate(others[number]) != "nan":
            second = measure(network, objective, others[number], recipe)
            similar = agreement(found.code, second.code, unit, real)
        scores.append(
            PictureScore(
                activation=found.activation,
                best=best,
                activation_ratio=found.activation / best if best > 0.0 else math.nan,
                exceeds_best=found.activation > best,
                robustness=found.robust / found.activation if found.activation > 0.0 else math.nan,
                rank=rank(found.code, unit, real),
                flaw=flaw,
                agreement=similar,
            )
        )
    return scores


def as_seen(network: Network, objective: Objective, picture: Tensor, recipe: Recipe | None = None) -> Tensor:
    """Return the picture at the scale at which the network gets it, ``[C, P, P]``; see :func:`measure`."""
    _unit(network, objective)
    return StillActivation(network, objective, recipe).shown(picture).picture[0]


def _robust_views() -> Tensor:
    """Return the parameters of the fixed random views, ``[ROBUST_VIEWS, 4]``, as ``ShownPicture`` takes them."""
    draws = torch.rand(ROBUST_VIEWS, 4, generator=Generator().manual_seed(0))
    low, high = _SCALES
    return torch.stack(
        [
            low + (high - low) * draws[:, 0],
            _ROTATION * (2.0 * draws[:, 1] - 1.0),
            _SHIFT * (2.0 * draws[:, 2] - 1.0),
            _SHIFT * (2.0 * draws[:, 3] - 1.0),
        ],
        dim=1,
    )


def _run(network: Network, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the activations of layers on images ``[N, C, H, W]`` in [0, 1], float32 on the CPU."""
    return {name: values.cpu() for name, values in run_still(network, images, names).items()}


def _best(values: Tensor, unit: int) -> Tensor:
    """Return the activations ``[N, C]`` of a layer at the position of each image where the unit is largest.

    Args:
        values: ``[N, C, H, W]`` or ``[N, C]``.
    """
    flat = values.flatten(2) if values.ndim > 2 else values[:, :, None]
    position = flat[:, unit].argmax(1)
    return flat[torch.arange(len(flat)), :, position]


def _unit(network: Network, objective: Objective) -> tuple[Layer, int]:
    """Return the layer and the number of the unit of an objective; PeekError if it is not a single unit."""
    unit = getattr(objective, "unit", None)
    if len(objective.layers) != 1 or not isinstance(unit, int):
        raise PeekError(
            f"{objective!r} is not a single unit: only the picture of a Neuron, a Channel or a Logit is measured."
        )
    name = objective.layers[0]
    network.check_unit(name, unit)
    return network.layer(name), unit


def _z_scores(code: Tensor, statistics: DatasetStatistics) -> Tensor:
    """Return z-scores by the statistics of real images; 0 for a unit that is constant on them."""
    varies = statistics.deviation > 1e-6
    return torch.where(varies, (code - statistics.mean) / statistics.deviation.clamp(min=1e-6), 0.0)


def _leave_out(code: Tensor, unit: int) -> Tensor:
    """Return the activations ``[C]`` of all units but one, ``[C - 1]``."""
    return torch.cat([code[:unit], code[unit + 1 :]])


def _center_crop(images: Tensor, given: Size) -> Tensor:
    """Resize images so that the input just lies within them, and cut it out of their center."""
    height, width = images.shape[-2:]
    scale = max(given.height / height, given.width / width)
    if scale != 1.0:
        size = (max(given.height, round(height * scale)), max(given.width, round(width * scale)))
        images = F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
        height, width = size
    top, left = (height - given.height) // 2, (width - given.width) // 2
    return images[:, :, top : top + given.height, left : left + given.width]


def _batches(images: Iterable[Tensor]) -> Iterable[Tensor]:
    return images.split(16) if isinstance(images, Tensor) else images

"""What a model takes a photo for: its classes with their scores, as the model itself gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from peek_widget.errors import PhotoError
from peek_widget.network import OUTPUT, Network

__all__ = ["Prediction", "Predictions", "class_names_of", "predict"]

TOP = 5
"""Number of classes that are named."""


@dataclass(frozen=True)
class Prediction:
    """One class, and how certain the model is of it.

    Attributes:
        unit: number of the class.
        name: its name; ``"class 207"`` where the model has no names.
        score: its probability, from 0 to 1: the softmax over all classes, or the model's own where it ends in one.
        logit: the model's output for it before the softmax.
    """

    unit: int
    name: str
    score: float
    logit: float

    def __str__(self) -> str:
        return f"{self.name} {100 * self.score:.3g} %"


@dataclass(frozen=True)
class Predictions:
    """The classes with the highest scores, highest first; a sequence of :class:`Prediction`.

    Attributes:
        top: the five highest; empty where the model has no classes.
        note: a sentence on why there are none, or on what the scores are; or "".
        scores: probability of every class, ``[classes]``; empty without classes.
    """

    top: tuple[Prediction, ...]
    note: str = ""
    scores: Tensor = field(default_factory=lambda: torch.zeros(0), repr=False, compare=False)
    _logits: Tensor = field(default_factory=lambda: torch.zeros(0), repr=False, compare=False)
    _names: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.top)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.top)

    def __getitem__(self, number: int) -> Prediction:
        return self.top[number]

    def of(self, unit: int) -> Prediction:
        """Return the prediction of a class by its number.

        Raises:
            PhotoError: if the model has no such class.
        """
        if not 0 <= unit < len(self.scores):
            has = f"{len(self.scores)} classes" if len(self.scores) else "no classes"
            raise PhotoError(f"The model has {has}; class {unit} was asked for.")
        name = self._names[unit] if self._names else f"class {unit}"
        return Prediction(unit, name, float(self.scores[unit]), float(self._logits[unit]))

    def __str__(self) -> str:
        return ", ".join(map(str, self.top)) if self.top else self.note


def class_names_of(network: Network, given: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return the names of the output's units: those given, else ``model.class_names``; () if none fit.

    Raises:
        PhotoError: if the number of given names is not that of the units.
    """
    own = getattr(network.model_copy.original, "class_names", None) if given is None else given
    if own is None or isinstance(own, str) or not isinstance(own, Iterable):
        return ()
    names = tuple(map(str, own))
    units = network.layer(OUTPUT).channels
    if len(names) == units:
        return names
    if given is not None:
        raise PhotoError(
            f"class_names= holds {len(names)} names, and the model's output has {units} units: give one for each."
        )
    return ()


def predict(network: Network, images: Tensor, before: Tensor, names: tuple[str, ...]) -> Predictions:
    """Read the classes of one image.

    Args:
        network: the model.
        images: the image, ``[1, C, H, W]``, already preprocessed, on the network's device.
        before: the output before its last ReLU, softmax or sigmoid, ``[1, units]`` or ``[1, units, H, W]``.
        names: names of the classes; () for none.
    """
    layer = network.layer(OUTPUT)
    if before.ndim == 4 and layer.spatial:
        height, width = layer.size
        return Predictions(
            (),
            f"The model's output is a map of {height} x {width} positions, which says nothing of the photo as a whole: "
            'look at its units, layer "", where they fire.',
        )
    if layer.channels < 2:
        value = float(before.flatten()[0])
        return Predictions((), f"The model gives one number, {value:.4g}, and no classes.")
    logits = before.flatten().float().cpu()
    last = layer.preactivation.last
    # Units are read before a last ReLU, but the model's answer is what it returns.
    if last:
        values = network.model_copy.run(images, [layer.output])
        said = layer.layout(values[layer.output], tuple(images.shape)).flatten().float().cpu()
    else:
        said = logits
    note = "" if names else "The model has no names for its classes: class_names=[...] gives them."
    squashed = set(layer.squashed)
    if "softmax" in squashed:
        scores = said
    elif squashed & {"log_softmax"}:
        scores = said.exp()
    elif squashed and float(said.min()) >= 0.0 and float(said.max()) <= 1.0:
        scores = said
        note = f"{note} Each class has a probability of its own, so that they don't add up to 100 %.".strip()
    else:
        logits, scores = said, said.softmax(0)
    order = scores.argsort(descending=True, stable=True)[:TOP].tolist()
    found = Predictions((), note, scores, logits, names)
    return Predictions(tuple(found.of(unit) for unit in order), note, scores, logits, names)

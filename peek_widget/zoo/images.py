"""A dataset of labeled images that are generated from a seed: the same ones every time, and nothing to download.

>>> images = Images(1000, size=64, seed=0)
>>> image, label = images[17]            # float32 [3, 64, 64] in [0, 1], int
>>> images.class_names[label]
'boat'
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Sequence

import numpy as np
import torch

from peek_widget.errors import PeekError, SizeError
from peek_widget.zoo.drawing.composed import COMPOSED
from peek_widget.zoo.drawing.scene import paint
from peek_widget.zoo.drawing.shapes import SHAPES
from peek_widget.zoo.drawing.subject import Subject
from peek_widget.zoo.drawing.textures import TEXTURES

__all__ = ["CLASS_NAMES", "KINDS", "MAX_SIZE", "MIN_SIZE", "SUBJECTS", "Images", "draw"]

#: All classes by name, in the order of their labels.
SUBJECTS = {**TEXTURES, **SHAPES, **COMPOSED}
CLASS_NAMES: tuple[str, ...] = tuple(SUBJECTS)
KINDS: tuple[str, ...] = tuple(subject.kind for subject in SUBJECTS.values())
#: Smallest side in pixels at which the finest patterns are resolved.
MIN_SIZE = 32
MAX_SIZE = 256


def _checked_size(size: int) -> int:
    try:
        side = operator.index(size)
    except TypeError:
        raise SizeError(
            f"size is the side of the image in pixels, a whole number; {size!r} was given. "
            f"Give one from {MIN_SIZE} to {MAX_SIZE}."
        ) from None
    if not MIN_SIZE <= side <= MAX_SIZE:
        raise SizeError(
            f"size is {side} px; the images can be drawn from {MIN_SIZE} to {MAX_SIZE} px. Choose one in between."
        )
    return side


def _checked_count(name: str, value: int) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        raise PeekError(f"{name} must be a whole number; {value!r} was given.") from None
    if count < 0:
        raise PeekError(f"{name} must be 0 or more; {count} was given.")
    return count


def _near(word: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(word), names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(map(repr, near))}? " if near else ""


def _subject(name: str):
    if name not in SUBJECTS:
        raise PeekError(
            f"There is no class {name!r}. {_near(name, CLASS_NAMES)}The classes are: {', '.join(CLASS_NAMES)}."
        )
    return SUBJECTS[name]


def _paint(subject: Subject, variant: str | None, size: int, seed: int, index: int) -> np.ndarray:
    # Each image has a random stream of its own, so it is the same in any order and in any process.
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, index))))
    drawn = subject.variants[rng.integers(len(subject.variants))]
    return paint(rng, subject, drawn if variant is None else variant, size)


def draw(class_name: str, *, variant: str | None = None, size: int = 64, seed: int = 0, index: int = 0) -> torch.Tensor:
    """Generate one image of a class, float32 ``[3, size, size]`` in [0, 1].

    ``variant`` is one of ``SUBJECTS[class_name].variants``; left out, it is drawn from the seed. ``size`` is
    32 to 256 px; the same ``seed`` and ``index`` (both 0 or more) give the same scene at every size. Raises
    PeekError for an unknown class or variant, SizeError for a size out of range.
    """
    subject = _subject(class_name)
    if variant is not None and variant not in subject.variants:
        raise PeekError(
            f"{class_name!r} has no variant {variant!r}. {_near(variant, subject.variants)}"
            f"Its variants are: {', '.join(subject.variants)}."
        )
    picture = _paint(
        subject, variant, _checked_size(size), _checked_count("seed", seed), _checked_count("index", index)
    )
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


class Images(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """A map-style dataset of ``length`` generated images: ``images[i]`` is ``(image, label)``.

    The image is float32 ``[3, size, size]`` in [0, 1], the label an int. Nothing is stored: image ``i`` is generated
    when it is indexed, and depends on ``seed`` and ``i`` alone. Labels cycle through the classes, so any run of indices
    is balanced. ``classes`` restricts the dataset to the named ones; labels are then indices into ``class_names``.
    """

    def __init__(self, length: int, size: int = 64, seed: int = 0, classes: Sequence[str] | None = None):
        self.length: int = _checked_count("length", length)
        self.size: int = _checked_size(size)
        self.seed: int = _checked_count("seed", seed)
        if isinstance(classes, str):
            classes = [classes]
        self.class_names: tuple[str, ...] = CLASS_NAMES if classes is None else tuple(classes)
        self._subjects = [_subject(name) for name in self.class_names]
        if not self._subjects:
            raise PeekError(f"classes is empty; name at least one of: {', '.join(CLASS_NAMES)}.")
        self.kinds: tuple[str, ...] = tuple(subject.kind for subject in self._subjects)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        i = operator.index(index)
        if not -self.length <= i < self.length:
            raise IndexError(f"image {i} was asked for; there are {self.length} (0 to {self.length - 1}).")
        i %= self.length
        label = i % len(self._subjects)
        picture = _paint(self._subjects[label], None, self.size, self.seed, i)
        return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))), label

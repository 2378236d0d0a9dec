"""The steps of an ascent, and its result."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image as PILImage
from torch import Tensor

from peek_widget._size import Size
from peek_widget.ascent import provenance
from peek_widget.ascent.pictures import to_pil
from peek_widget.ascent.position import is_whole
from peek_widget.ascent.provenance import Origin
from peek_widget.ascent.still import still_activation
from peek_widget.ascent.watch import check_pictures
from peek_widget.errors import PeekError

__all__ = ["Origin", "Result", "Step"]


class Step:
    """One step of an ascent; what it has on another device than the CPU is read when it is asked for.

    Args:
        index: number of the step, from 0.
        pictures: the pictures after the step, ``[N, C, H, W]`` on any device; nobody writes into them any more.
        activations: value of each objective, ``[N]``, on any device.
        terms: for each objective, the value of each of its terms by its name, on any device.
        show: the channels that are shown, see :class:`~peek_widget.Preprocess`; empty for the first three.

    Attributes:
        index: number of the step, from 0.
        show: the channels that are shown.
        unread_activations: ``activations`` on the device that they were computed on.
    """

    def __init__(
        self,
        index: int,
        pictures: Tensor,
        activations: Tensor,
        terms: tuple[Mapping[str, Tensor], ...] = (),
        show: tuple[int, ...] = (),
    ) -> None:
        self.index: int = index
        self.show: tuple[int, ...] = show
        self.unread_activations: Tensor = activations
        self._pictures, self._terms = pictures, terms

    def __repr__(self) -> str:
        return f"Step(index={self.index}, activations={self.activations.tolist()})"

    @functools.cached_property
    def images(self) -> Tensor:
        """A copy of the pictures after the step, float32 ``[N, C, H, W]`` in [0, 1] on the CPU.

        Raises:
            AscentError: if they are not finite, and that was not known yet.
        """
        images = on_host(self._pictures)
        if self._pictures.device.type != "cpu":
            check_pictures(images, self.index)
        return images

    @property
    def nbytes(self) -> int:
        """Bytes of the pictures, which are not read for it."""
        return self._pictures.nbytes

    @property
    def unread_activation(self) -> float | Tensor:
        """The first objective's value; where it is not on the CPU, a tensor ``[]`` that is still to be read."""
        return self.activation if self.unread_activations.device.type == "cpu" else self.unread_activations[0]

    def read_with(self, numbers: Sequence[Tensor]) -> list[float]:
        """Read the pictures and numbers, tensors ``[]`` on the same device, in one copy; return the numbers."""
        if not numbers or "images" in vars(self):
            return torch.stack(list(numbers)).tolist() if numbers else []
        pictures, count = self._pictures, self._pictures.numel()
        with torch.inference_mode(False), torch.no_grad():
            row = torch.cat([pictures.clamp(0.0, 1.0).float().flatten(), torch.stack(list(numbers)).float()]).cpu()
        images = row[:count].view(pictures.shape)
        check_pictures(images, self.index)
        vars(self)["images"] = images
        return row[count:].tolist()

    @functools.cached_property
    def activations(self) -> Tensor:
        """Value of each objective, ``[N]`` on the CPU.

        Before the ReLU, on what the network saw in this step (the pictures before it), mean over views.
        """
        return self.unread_activations.cpu()

    @functools.cached_property
    def terms(self) -> tuple[Mapping[str, float], ...]:
        """For each objective, the value of each of its terms by its name, without its weight."""
        values = [value for terms in self._terms for value in terms.values()]
        # (a user's function may return some on another device)
        read = iter(torch.stack([one.to(values[0].device) for one in values]).tolist() if values else ())
        return tuple({name: next(read) for name in terms} for terms in self._terms)

    @property
    def image(self) -> PILImage.Image:
        """The first picture, for Pillow."""
        return to_pil(self.tensor[list(self.show)] if self.show else self.tensor)

    @property
    def tensor(self) -> Tensor:
        """The first picture, ``[C, H, W]`` in [0, 1]."""
        return self.images[0]

    @property
    def activation(self) -> float:
        """The first objective's value; what the finished picture itself does is :attr:`Result.activation`."""
        return float(self.activations[0])


def on_host(pictures: Tensor) -> Tensor:
    """Return a copy of pictures ``[N, C, H, W]``: float32 in [0, 1] on the CPU."""
    with torch.inference_mode(False), torch.no_grad():
        return pictures.clamp(0.0, 1.0).float().cpu()  # clamp makes the copy


@dataclass(frozen=True)
class Result:
    """The result of an ascent.

    Attributes:
        images: float32 ``[N, C, H, W]`` in [0, 1]: the last pictures, or each one's best by the recipe's
            ``return_best``.
        history: every step's activations, ``[steps, N]``: means over its random views, see :class:`Step`. What the
            pictures themselves do is in :attr:`activations`.
        alpha: ``[N, 1, H, W]`` in [0, 1], where the gradients were; None unless the recipe's ``alpha`` asks for it.
        terms: those of the last :class:`Step`.
        interrupted: whether Ctrl-C ended the run before its last step.
        origin: what the pictures were drawn from; None where it is not known.
    """

    images: Tensor
    history: Tensor
    alpha: Tensor | None = None
    terms: tuple[Mapping[str, float], ...] = ()
    interrupted: bool = False
    origin: Origin | None = field(default=None, repr=False, compare=False)

    @property
    def image(self) -> PILImage.Image:
        """The first picture, for Pillow."""
        return self.pil()

    @property
    def tensor(self) -> Tensor:
        """The first picture, ``[C, H, W]`` in [0, 1]."""
        return self.images[0]

    @functools.cached_property
    def activations(self) -> Tensor:
        """Still activation of each picture, ``[N]``: shown to the network once, without random views.

        It is what the explorer shows and what can be compared with real images (:mod:`peek_widget.ascent.still` has the
        rule). Measured at the first access, by the model's weights of then.

        Raises:
            PeekError: if it is not known what the result was drawn from.
        """
        origin = self._known_origin("activations")
        pairs = zip(origin.objectives, self.images, strict=True)
        return torch.tensor([still_activation(origin.network, one, picture, origin.recipe) for one, picture in pairs])

    @property
    def activation(self) -> float:
        """Still activation of the first picture, see :attr:`activations`."""
        return float(self.activations[0])

    def _known_origin(self, what: str) -> Origin:
        if self.origin is None:
            raise PeekError(f"This result does not know what it was drawn from: {what} takes one that render gave.")
        return self.origin

    def pil(self, index: int = 0) -> PILImage.Image:
        """Return one of the pictures as a PIL image, with its opacity if it has one."""
        return to_pil(self._visible(index), None if self.alpha is None else self.alpha[index])

    def _visible(self, index: int) -> Tensor:
        image = self.images[index]
        return image if self.origin is None else self.origin.network.preprocess.visible(image)

    def save(self, path: str | Path, index: int | None = None) -> None:
        """Write a picture; the ending of the name determines the format.

        A PNG contains its objective, recipe, seed, size and the fingerprint of the model, which
        :func:`~peek_widget.load_recipe` reads; other formats contain only the picture. An initial image or a
        spectrum is not saved, nor are changes during the run: the recipe is the last one.

        Args:
            path: path of the file.
            index: number of the picture; left out, there must be one only.

        Raises:
            PeekError: if it is not known what the result was drawn from, or which picture is meant.
            FileError: if the ending stands for no format that can be written.
        """
        count = len(self.images)
        if index is None and count > 1:
            raise PeekError(
                f"This result has {count} pictures, and a file holds one: say which, save({str(path)!r}, index=0), or "
                "write each to a file of its own: for i in range(len(result.images)): result.save(f'{i}.png', i)."
            )
        index = 0 if index is None else index
        if not is_whole(index) or not 0 <= index < count:
            raise PeekError(f"index={index!r}: give the number of a picture, from 0 to {count - 1}.")
        drawing = self._known_origin("save(...)").drawing(index, Size(*self.images.shape[-2:]).plain)
        provenance.save(path, self._visible(index), drawing, None if self.alpha is None else self.alpha[index])

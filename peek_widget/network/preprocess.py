"""What a model expects of its images: channels, range, normalization."""

from __future__ import annotations

import math
import numbers
import operator
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from peek_widget._size import Size, SizeLike
from peek_widget.errors import ModelError
from peek_widget.network.draws import OwnDraws, own_draws
from peek_widget.network.transfer import constants
from peek_widget.network.transforms import INTERPOLATIONS, Resize, Steps, recognized

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Preprocess", "PreprocessFunction", "find_preprocess", "stated_images"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PreprocessFunction = Callable[[Tensor], Tensor]
"""Any function from images ``[N, C, H, W]`` in [0, 1] to the network's input."""


@dataclass(frozen=True)
class Preprocess:
    """Turns images in [0, 1] into what the network was trained on: ``(x * scale - mean) / std``.

    Args:
        mean: mean of each channel, in the network's channel order and on its scale (0 to ``scale``); empty for 0.
        std: standard deviation of each channel, in the same order and on the same scale; empty for 1.
        scale: largest input value: 1 for networks trained on [0, 1], 255 for those trained on gray levels (Caffe's).
        channels: ``"RGB"``, ``"BGR"`` (the image is RGB, the network gets BGR), or a number of channels.
        source: a phrase that says where these numbers come from; displayed, and left out of comparisons.
        function: a function on images ``[N, C, H, W]`` in [0, 1] that replaces the formula. It must go pixel by pixel.
        resize: what a photograph is resized to when it is loaded: the length of its shorter side, or (height, width)
            whatever its shape. Left out, its shorter side is resized to the network's input.
        crop: side in pixels of the square center that is then cut out, or its (height, width), which is the network's
            input; left out, that is found as without it.
        interpolation: how it is resized: ``"bilinear"``, ``"bicubic"``, ``"nearest"`` or ``"lanczos"``.
        show: numbers (from 0) of the channels that are shown as red, green and blue, or of the one that is shown in
            gray; empty for the first three. ``(3, 2, 1)`` are the true colors of Sentinel-2's 13 bands. What the
            network gets does not depend on it.
        alone: whether a function is called with one image at a time, since what it makes of one is random or depends on
            the others of its batch; found by trial when a model is read.

    Raises:
        ModelError: if mean, std, channels and show disagree, or a number is invalid.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: float = 1.0
    channels: str | int = "RGB"
    source: str = field(default="given", compare=False)
    function: PreprocessFunction | None = field(default=None, repr=False)
    show: tuple[int, ...] = field(default=(), compare=False)
    resize: Resize | None = None
    crop: SizeLike | None = None
    interpolation: str = "bilinear"
    alone: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        counted = isinstance(self.channels, int) and not isinstance(self.channels, bool) and self.channels > 0
        if self.channels not in ("RGB", "BGR") and not counted:
            raise ModelError(
                f"preprocess channels={self.channels!r}: give 'RGB', 'BGR' or a number of channels, "
                "e.g. Preprocess(mean=[0.13], std=[0.31], channels=1) for a gray-level network."
            )
        for name in ("mean", "std"):
            values = _numbers(name, getattr(self, name), self.count)
            object.__setattr__(self, name, values)  # frozen: set in construction; a list becomes a tuple
            if len(values) not in (0, self.count):
                raise ModelError(
                    f"preprocess {name} has {len(values)} numbers for {self.count} channels "
                    f"(channels={self.channels!r}): give one number for each channel."
                )
        object.__setattr__(self, "show", _shown(self.show, self.count))
        if any(not s > 0 for s in self.std) or not (isinstance(self.scale, numbers.Real) and self.scale > 0):
            raise ModelError(f"preprocess std={self.std}, scale={self.scale}: each must be above 0.")
        if max(self.mean, default=0.0) > self.scale:
            raise ModelError(
                f"preprocess mean={self.mean} is above scale={self.scale:g}, the largest value of the network's input: "
                "give scale=255 where mean and std are those of gray levels from 0 to 255."
            )
        if self.scale >= 100.0 and self.mean and self.std and max(*self.mean, *self.std) < 1.0:
            raise ModelError(
                f"preprocess mean={self.mean}, std={self.std} are those of values from 0 to 1, and with scale="
                f"{self.scale:g} the network's input goes to {self.scale:g}: leave scale out, or give them for it."
            )
        self._check_sizes()

    def _check_sizes(self) -> None:
        for name in ("resize", "crop"):
            value = getattr(self, name)
            sides = tuple(value) if isinstance(value, list | tuple) else (value,)
            if value is not None and not (
                len(sides) < 3 and all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sides)
            ):
                raise ModelError(
                    f"preprocess resize={self.resize!r}, crop={self.crop!r}: give whole numbers of pixels above 0, for "
                    "resize the shorter side or (height, width), for crop the side of a square or (height, width)."
                )
            if len(sides) == 2:
                object.__setattr__(self, name, Size(*sides).plain if name == "crop" else sides)
        if self.interpolation not in INTERPOLATIONS:
            raise ModelError(
                f"preprocess interpolation={self.interpolation!r}: choose one of {', '.join(INTERPOLATIONS)}."
            )

    @property
    def count(self) -> int:
        """Number of channels of the image."""
        return 3 if isinstance(self.channels, str) else self.channels

    def __call__(self, images: Tensor) -> Tensor:
        """Convert images ``[N, C, H, W]`` in [0, 1] to the network's input, of the same shape."""
        if self.function is not None:
            if not self.alone:
                with OwnDraws(0):  # so that it never changes the caller's random state
                    return self.function(images)
            made = []
            for image in images.split(1):
                with own_draws(0):  # the same noise each time
                    made.append(self.function(image))
            return torch.cat(made)
        if self.channels == "BGR":
            images = images.flip(1)
        if self.scale != 1.0:
            images = images * self.scale
        if self.mean:
            images = images - constants(self.mean, images.dtype, images.device).view(1, -1, 1, 1)
        if self.std:
            images = images / constants(self.std, images.dtype, images.device).view(1, -1, 1, 1)
        return images

    def visible(self, image: Tensor) -> Tensor:
        """Return the channels of an image ``[C, H, W]`` that are shown: those of ``show``, else all."""
        return image[list(self.show)] if self.show else image

    def neutral(self) -> Tensor:
        """Return the color ``[C]``, in [0, 1], that becomes zero in the network's input; mid-gray where unknown."""
        if self.function is not None or not self.mean:
            return torch.full((self.count,), 0.5, device="cpu", dtype=torch.float32)
        # Device and type are given, because the user may have set other defaults.
        color = torch.tensor(self.mean, device="cpu", dtype=torch.float32) / self.scale
        return (color.flip(0) if self.channels == "BGR" else color).clamp(0.0, 1.0)

    def __str__(self) -> str:
        sizes = self._sizes()
        if self.function is not None:
            return f"a function{sizes} ({self.source})"
        if not self.mean and not self.std and self.scale == 1.0:
            return f"none, {self._order()} in [0, 1]{sizes} ({self.source})"
        numbers = f"mean {_short(self.mean) or '0'}, std {_short(self.std) or '1'}"
        scale = "" if self.scale == 1.0 else f" of 0 to {self.scale:g}"
        return f"{self._order()}{scale}, {numbers}{sizes} ({self.source})"

    def _sizes(self) -> str:
        """Describe how images are resized and cropped, as it goes on after a comma; "" if nothing was said."""
        found = ""
        if self.resize is not None:
            pair = isinstance(self.resize, tuple)
            found = f", resized to {self.resize[0]} x {self.resize[1]}" if pair else f", shorter side {self.resize}"
            found += "" if self.interpolation == "bilinear" else f" ({self.interpolation})"
        return found if self.crop is None else f"{found}, center {Size.of(self.crop)}"

    def _order(self) -> str:
        return self.channels if isinstance(self.channels, str) else f"{self.channels} channel" + "s" * (self.count > 1)


def _numbers(name: str, given: Any, count: int) -> tuple[float, ...]:
    """Return one number for each channel; a single number stands for all of them."""
    given = (given,) * count if isinstance(given, numbers.Real) else given
    try:
        values = tuple(float(v) for v in given)
    except (TypeError, ValueError) as error:
        raise ModelError(f"preprocess {name}={given!r}: give one number for each of {count} channels.") from error
    if not all(math.isfinite(v) for v in values):
        raise ModelError(f"preprocess {name}={values}: each must be a finite number.")
    return values


def _shown(show: Any, count: int) -> tuple[int, ...]:
    """Return the numbers of the channels to show; ModelError if there are no such channels."""
    given = (show,) if isinstance(show, numbers.Integral) else show
    try:
        found = tuple(operator.index(number) for number in given)
    except TypeError:
        found = (-1,)
    if len(found) not in (0, 1, 3) or not all(0 <= number < count for number in found):
        raise ModelError(
            f"preprocess show={show!r}: give the numbers of three of the {count} channels, 0 to {count - 1}, to show "
            "as red, green and blue, or of one, to show in gray (channels= says how many there are)."
        )
    return found


def _short(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:.3g}" for v in values)


def _from_timm(model: Any, channels: int) -> Preprocess | None:
    config = getattr(model, "pretrained_cfg", None)
    if not isinstance(config, dict) or "mean" not in config or len(config["mean"]) != channels:
        return None
    return Preprocess(
        tuple(config["mean"]),
        tuple(config.get("std", ())),
        channels="RGB" if channels == 3 else channels,
        source="the model's pretrained_cfg",
    )


def _read(given: Any, channels: int, source: str) -> Preprocess:
    if isinstance(given, Preprocess):
        return replace(
            given,
            channels=given.channels if given.function is None or given.count == channels else channels,
            source=source if given.source == "given" else given.source,
        )
    steps = recognized(given)
    if steps is not None:
        return _of_steps(steps, channels, source)
    order: str | int = "RGB" if channels == 3 else channels
    if isinstance(given, str):
        if given != "none":
            raise ModelError(
                f"preprocess={given!r}: the only text that it takes is 'none'; else give a Preprocess(mean, std) or "
                "a function on images in [0, 1]."
            )
        return Preprocess(channels=order, source=source)
    if callable(given):
        return Preprocess(channels=order, source=source, function=given)
    raise ModelError(
        f"preprocess is a {type(given).__name__}: give a Preprocess(mean, std), a function on images in [0, 1], "
        "or 'none'."
    )


def _of_steps(steps: Steps, channels: int, source: str) -> Preprocess:
    """Return what the steps of another library's preprocessing do."""
    normalization = steps.normalization
    mean, std = normalization or ((), ())
    if len(mean) == 1:  # one number stands for all channels
        mean, std = mean * channels, std * channels
    return Preprocess(
        mean,
        std,
        steps.scale if normalization is not None else 1.0,
        channels="RGB" if channels == 3 else channels,
        source=f"{source}: {', '.join(dict.fromkeys(steps.names))}",
        function=None if normalization is not None else steps.function,
        resize=steps.resize,
        crop=None if steps.crop is None else Size(*steps.crop).plain,
        interpolation=steps.interpolation,
    )


def _own(model: torch.nn.Module) -> Any:
    """Return the model's ``preprocess``; None if it has none.

    A submodule or a method of that name is called by the model's own forward.
    """
    own = getattr(model, "preprocess", None)
    return None if isinstance(own, (torch.nn.Module, types.MethodType)) else own


def stated_images(
    model: torch.nn.Module, given: Preprocess | PreprocessFunction | Literal["none"] | None = None
) -> tuple[int | None, tuple[int, int] | None]:
    """Return the number of channels and the (height, width) of the images a preprocessing makes; None where it leaves
    them open.

    Args:
        model: the user's model.
        given: as for :func:`find_preprocess`.

    Raises:
        ModelError: if it is another library's preprocessing that can't be used.
    """
    said = given if given is not None else _own(model)
    if isinstance(said, Preprocess):
        side = said.resize if said.crop is None else said.crop
        return said.count, (side, side) if isinstance(side, int) else side
    steps = None if said is None or isinstance(said, str) else recognized(said)
    return (None, None) if steps is None else (steps.channels, steps.input_size)


def find_preprocess(
    model: torch.nn.Module, channels: int, given: Preprocess | PreprocessFunction | Literal["none"] | None = None
) -> Preprocess:
    """Choose the preprocessing of a model's images.

    It is the first that there is of: ``given``; ``model.preprocess``; timm's ``model.pretrained_cfg``; ImageNet's mean
    and standard deviation for 3 channels; none. The result's ``source`` says which.

    Of torchvision's transforms (``weights.transforms()``, a Compose), timm's, and an image processor of Hugging Face
    the steps that resize and crop become ``resize`` and ``crop``, which is how photographs are loaded.

    Args:
        model: the user's model.
        channels: number of channels of its images.
        given: a Preprocess, transforms of another library, a function on images in [0, 1], or ``"none"``; None if the
            user said nothing.

    Raises:
        ModelError: if what was given does not fit the model.
    """
    if given is not None:
        return _read(given, channels, "given")
    own = _own(model)
    if own is not None:
        return _read(own, channels, "the model's own preprocess")
    timm = _from_timm(model, channels)
    if timm is not None:
        return timm
    if channels == 3:
        return Preprocess(IMAGENET_MEAN, IMAGENET_STD, source="assumed: ImageNet's, as nothing else was said")
    return Preprocess(channels=channels, source="assumed: none, as nothing else was said")

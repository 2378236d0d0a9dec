"""Other libraries' preprocessing (torchvision, timm, Hugging Face), converted to a :class:`Preprocess`.

These resize and crop images of any size before they normalize them. Here that is done when an image is loaded, so that
it is known which of its pixels the network sees: the steps that resize and crop become ``Preprocess.resize`` and
``Preprocess.crop``, what is left goes pixel by pixel. Steps are known by their class's name, so that none of the
libraries is imported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from peek_widget.errors import ModelError
from peek_widget.network.pixelwise import own_random_state
from peek_widget.network.transfer import constants

__all__ = ["INTERPOLATIONS", "Resize", "Steps", "recognized"]

INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos")
"""The ways in which an image can be resized."""

_LIBRARIES = ("torchvision", "timm", "open_clip", "torch")
_PRESETS = ("ImageClassification", "SemanticSegmentation", "ObjectDetection")
_SCALED = ("ToTensor", "MaybeToTensor")
_WHOLE_NUMBERS = ("PILToTensor", "MaybePILToTensor", "ToImage")
_CROPS = ("CenterCrop", "CenterCropOrPad")
_NOTHING = ("Identity", "ToPureTensor", "ToPILImage", "SanitizeBoundingBoxes", "RGB")
_NO_PIXELS = ("FiveCrop", "TenCrop", "Pad", "AutoAugment", "RandAugment", "TrivialAugmentWide", "AugMix", "ScaleJitter")
_RANDOM = ("ColorJitter", "ElasticTransform", "MixUp", "CutMix", "GaussianNoise")
# Pillow's numbers, by which Hugging Face's processors name them.
_PILLOW = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}

Resize = int | tuple[int, int]
"""The shorter side in pixels, or (height, width)."""


@dataclass
class Steps:
    """The combined effect of a preprocessing's steps.

    Attributes:
        resize: length that the shorter side is resized to; or (height, width) that an image is resized to whatever its
            shape; None if no step resizes.
        crop: (height, width) of the center that is cut out; None if no step crops.
        interpolation: how it is resized.
        scale: largest value of a pixel at the end, but for ``pixels``.
        channels: number of channels, where a step says it.
        pixels: the other steps in their order, functions of tensors: a pair (mean, std), or a function.
        names: names of all steps.
    """

    resize: Resize | None = None
    crop: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    scale: float = 1.0
    channels: int | None = None
    pixels: list[tuple[tuple[float, ...], tuple[float, ...]] | Callable[[Tensor], Tensor]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the network's input; None if no step says it."""
        if self.crop is not None:
            return self.crop
        return (self.resize, self.resize) if isinstance(self.resize, int) else self.resize

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and standard deviation, if nothing else is done to pixels; else None."""
        if not self.pixels:
            return (), ()
        return self.pixels[0] if len(self.pixels) == 1 and isinstance(self.pixels[0], tuple) else None

    def function(self, images: Tensor) -> Tensor:
        """Apply the steps' pixel operations to images ``[N, C, H, W]`` in [0, 1]."""
        if self.scale != 1.0:
            images = images * self.scale
        for step in self.pixels:
            if isinstance(step, tuple):
                mean, std = (constants(values, images.dtype, images.device).view(1, -1, 1, 1) for values in step)
                images = (images - mean) / std
            else:
                images = step(images)
        return images


def recognized(given: Any) -> Steps | None:
    """Return what another library's preprocessing does; None if it is not recognized.

    Args:
        given: a transform of torchvision or timm (``weights.transforms()``), torchvision's weights, or an image
            processor of Hugging Face.

    Raises:
        ModelError: if it has a step that can't be done here, with the reason.
    """
    if _is_weights(given):
        given = given.transforms
    if isinstance(given, functools.partial) and isinstance(given.func, type):
        given = given()  # weights.transforms, not called
    steps = Steps()
    if hasattr(given, "image_mean") and hasattr(given, "do_normalize"):
        _read_processor(given, steps)
    elif _is_known(given):
        _read(given, steps)
    else:
        return None
    if steps.crop is not None and steps.resize is None:
        height, width = steps.crop
        raise ModelError(
            f"preprocess: CenterCrop cuts {height} x {width} px out of images of any size, and nothing resizes them "
            "first: put a Resize before it, or give Preprocess(mean, std) and input_size=, to which each image is "
            "resized then."
        )
    _check_fits(steps)
    return steps


def _is_weights(given: Any) -> bool:
    return hasattr(given, "transforms") and hasattr(given, "url") and callable(given.transforms)


def _is_known(given: Any) -> bool:
    """Return whether something is a library's transform, or a sequence of them."""
    if isinstance(given, type) or type(given).__module__.partition(".")[0] not in _LIBRARIES:
        return False
    name = type(given).__name__
    transforms = ".transforms" in type(given).__module__ or ".data" in type(given).__module__
    return transforms or (name == "Sequential" and any(_is_known(step) for step in given))


def _read(step: Any, steps: Steps) -> None:
    """Add what a step, or a sequence of steps, does."""
    name = type(step).__name__
    inside = getattr(step, "transforms", None)
    if isinstance(step, nn.Sequential) or (name == "Compose" and inside is not None):
        for one in step if isinstance(step, nn.Sequential) else inside:
            _read(one, steps)
        return
    if not name.startswith("function"):
        steps.names.append(name)
    if name in _PRESETS:
        _read_preset(step, steps)
    elif name == "Resize":
        if getattr(step, "max_size", None) is not None:
            raise ModelError(
                f"preprocess: Resize(max_size={step.max_size}) makes images of many shapes, but the network takes one "
                "shape: leave max_size out, or give Preprocess(mean, std)."
            )
        _resize(step.size, getattr(step, "interpolation", "bilinear"), steps)
    elif name == "ResizeKeepRatio" and not getattr(step, "longest", 1):  # timm's
        _resize(step.size[0], getattr(step, "interpolation", "bilinear"), steps)
    elif name in _CROPS:
        steps.crop = _pair(step.size)
    elif name in _SCALED or name in _WHOLE_NUMBERS:
        steps.pixels = [one for one in steps.pixels if isinstance(one, tuple) or _changes_tensors(one)]
        if not steps.pixels:
            steps.scale = 1.0 if name in _SCALED else 255.0
    elif name in ("ConvertImageDtype", "ToDtype", "ConvertDtype"):
        scaled = name != "ToDtype" or bool(getattr(step, "scale", False))
        if scaled and not steps.pixels:
            steps.scale = 1.0
    elif name == "Normalize":
        _normalize(step.mean, step.std, steps)
    elif name == "Grayscale" and getattr(step, "num_output_channels", 1) == 1 and not steps.pixels:
        steps.channels = 1  # images are converted to gray for such a network anyway
    elif name.startswith("Random") or name in _RANDOM or name in _NO_PIXELS:
        shapes = name in ("Pad", "FiveCrop", "TenCrop")
        why = "changes the shape of images" if shapes else "is drawn again for each image"
        raise ModelError(
            f"preprocess: {name} {why}, so it would be unknown which pixels the network sees. Give the "
            "preprocessing of evaluation, without it, or Preprocess(mean, std)."
        )
    elif name not in _NOTHING:
        steps.pixels.append(step)


def _changes_tensors(step: Callable[[Any], Any]) -> bool:
    """Return whether a step before the conversion to a tensor has to be applied to the tensor instead.

    Raises:
        ModelError: if it can't be done to one.
    """
    draws = np.random.default_rng(0)
    image = Image.fromarray(draws.integers(0, 256, (24, 20, 3), dtype=np.uint8))
    with own_random_state(torch.device("cpu")):
        try:
            made = step(image.copy())
        except Exception:
            made = None  # it takes tensors
        if isinstance(made, Image.Image) and np.array_equal(np.asarray(made), np.asarray(image)):
            return False  # it converts to RGB, which is done here anyway
        try:
            step(torch.full((1, 3, 24, 20), 0.5, device="cpu"))
        except Exception as error:
            name = getattr(getattr(step, "lambd", step), "__name__", type(step).__name__)
            raise ModelError(
                f"preprocess: {name} changes PIL images, and what is preprocessed here already is a tensor "
                f"({type(error).__name__}: {error}): put it after ToTensor and let it change tensors, or do it in the "
                "dataset."
            ) from error
    return True


def _read_preset(step: Any, steps: Steps) -> None:
    """Add what ``weights.transforms()`` does."""
    size, crop = getattr(step, "resize_size", None), getattr(step, "crop_size", None)
    if size is not None:
        _resize(size, getattr(step, "interpolation", "bilinear"), steps)
    if crop is not None:
        steps.crop = _pair(crop)
    if hasattr(step, "mean"):
        _normalize(step.mean, step.std, steps)


def _read_processor(given: Any, steps: Steps) -> None:
    """Add what an image processor of Hugging Face does."""
    steps.names.append(type(given).__name__)
    size, crop = getattr(given, "size", None), getattr(given, "crop_size", None)
    if getattr(given, "do_resize", False) and size:
        size = _numbers(size)
        share = getattr(given, "crop_pct", None)
        cut = (size, size) if share is not None and isinstance(size, int) else None  # ConvNeXt's
        _resize(size if cut is None else int(size / share), getattr(given, "resample", 2), steps)
        steps.crop = cut
    if getattr(given, "do_center_crop", False) and crop:
        steps.crop = _pair(_numbers(crop))
    factor = getattr(given, "rescale_factor", 1 / 255) if getattr(given, "do_rescale", True) else 1.0
    steps.scale = round(255.0 * factor, 6)
    if given.do_normalize:
        _normalize(given.image_mean, given.image_std, steps)


def _numbers(size: Any) -> Any:
    """Return a size of Hugging Face, {"shortest_edge": 224} or {"height": 224, "width": 224}, as torchvision has it."""
    if not isinstance(size, Mapping):
        get = getattr(size, "get", None)
        return size if get is None else _numbers(dict(size))
    if size.get("height") and size.get("width"):
        return (int(size["height"]), int(size["width"]))
    if size.get("shortest_edge"):
        return int(size["shortest_edge"])
    raise ModelError(
        f"preprocess: images are resized to {dict(size)}, which is neither one size nor a shorter side: give "
        "Preprocess(mean, std) and input_size=."
    )


def _resize(size: Any, interpolation: Any, steps: Steps) -> None:
    if steps.resize is not None or steps.crop is not None:
        raise ModelError(
            f"preprocess: images are {'cropped' if steps.crop is not None else 'resized'} before they are resized. One "
            "Resize, and a CenterCrop after it, are possible: leave the others out."
        )
    if isinstance(size, Sequence):
        size = int(size[0]) if len(size) == 1 else (int(size[0]), int(size[1]))
    steps.resize = size if isinstance(size, tuple) else int(size)
    name = _PILLOW.get(interpolation, interpolation) if isinstance(interpolation, int) else interpolation
    name = str(getattr(name, "value", name)).lower()
    steps.interpolation = name if name in INTERPOLATIONS else "nearest" if name.startswith("nearest") else "bilinear"


def _pair(size: Any) -> tuple[int, int]:
    sizes = (size, size) if isinstance(size, (int, float)) else tuple(size)
    return int(sizes[0]), int(sizes[-1])


def _normalize(mean: Any, std: Any, steps: Steps) -> None:
    found = [torch.as_tensor(one, dtype=torch.float64, device="cpu").flatten().tolist() for one in (mean, std)]
    if len(found[0]) > 1:
        steps.channels = len(found[0])
    steps.pixels.append((tuple(found[0]), tuple(found[1])))


def _check_fits(steps: Steps) -> None:
    if steps.resize is None or steps.crop is None:
        return
    least = (steps.resize, steps.resize) if isinstance(steps.resize, int) else steps.resize
    if any(side < cut for side, cut in zip(least, steps.crop, strict=True)):
        raise ModelError(
            f"preprocess: images are resized to {steps.resize} px and {steps.crop[0]} x {steps.crop[1]} px are cut out "
            "of them, which is more: a larger Resize, or a smaller CenterCrop, is needed."
        )

"""Resizing and cropping images of any kind to the network's input, and mapping boxes back to their own pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from peek_widget import _pillow
from peek_widget._size import Size
from peek_widget.errors import PeekError
from peek_widget.evidence.files import MAX_PIXELS, Pages
from peek_widget.evidence.source import NoImageError
from peek_widget.evidence.value_range import ValueRanges
from peek_widget.network import Network, Preprocess

__all__ = ["Decoding", "InputPlacement", "Preparer", "on_a_ramp", "resize_of", "to_picture"]

Decoding = Literal["exact", "fast"]
"""How JPEGs are decoded: as torchvision's ``Resize`` on PIL images would have them, or as quickly as can be."""

_LARGEST_RESIZE = 8  # times the network's input size; the input would be a small part of a larger image


@dataclass(frozen=True)
class InputPlacement:
    """Where the network's input lies in an image: input pixel x is image pixel ``(x + left) * scale``.

    Attributes:
        scale: image pixels for each input pixel, (across, down).
        left, top: offset of the input in the resized image, in input pixels.
    """

    scale: tuple[float, float]
    left: int
    top: int

    def box(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Convert a (left, top, right, bottom) in the input to whole pixels of an image of that (width, height)."""
        (x, y), (width, height) = self.scale, size
        left, right = (box[0] + self.left) * x, (box[2] + self.left) * x
        top, bottom = (box[1] + self.top) * y, (box[3] + self.top) * y
        # Rounded outward, but not by a whole pixel for a floating-point error.
        low_x, low_y = (int(np.floor(value + 1e-6)) for value in (left, top))
        high_x, high_y = (int(np.ceil(value - 1e-6)) for value in (right, bottom))
        low_x, low_y = min(max(low_x, 0), width - 1), min(max(low_y, 0), height - 1)
        return low_x, low_y, max(low_x + 1, min(high_x, width)), max(low_y + 1, min(high_y, height))


@dataclass(frozen=True)
class Preparer:
    """Brings images to the network's input size as torchvision's ``Resize`` and ``CenterCrop`` do.

    Args:
        channels: number of channels of the network's input; color images are converted to gray for 1, gray ones to
            RGB for 3.
        size: size in pixels of the network's input; given as one number, a square.
        resize: length in pixels that the shorter side is resized to before the center is cut out; equal to the side of
            a square input, the largest square of the image is used. Or (height, width) that an image is resized to
            whatever its shape. None if the largest part of the image in the input's shape is used.
        prepared: whether the dataset's tensors already are the network's input (normalized); only their shape is
            checked then.
        preprocess: the model's preprocessing, which is inverted to show such a tensor.
        ranges: what the numbers of images mean that are neither bytes nor in [0, 1].
        show: the channels that are shown, see :class:`~peek_widget.Preprocess`.
        interpolation: how images are resized, see :class:`~peek_widget.Preprocess`.
        decoding: how JPEGs are decoded.
    """

    channels: int
    size: Size
    resize: int | tuple[int, int] | None
    prepared: bool = False
    preprocess: Preprocess | None = None
    ranges: ValueRanges = field(default_factory=ValueRanges, compare=False, repr=False)
    show: tuple[int, ...] = ()
    interpolation: str = "bilinear"
    decoding: Decoding = "exact"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", Size.of(self.size))  # frozen; this is its construction

    @property
    def needed(self) -> int:
        """Number of pixels that an image's shorter side must keep when it is decoded at a reduced size."""
        return self.resize if isinstance(self.resize, int) else max(self.resize or self.size)

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (width, height) of an image after it was resized, before the center is cut out."""
        width, height = size
        if self.prepared:
            return size
        if self.resize is None:
            across, down = self.size.width, self.size.height
            if width * down <= height * across:
                return across, max(down, int(across * height / width))
            return max(across, int(down * width / height)), down
        if not isinstance(self.resize, int):
            return self.resize[1], self.resize[0]
        if width <= height:
            return self.resize, max(self.resize, int(self.resize * height / width))
        return max(self.resize, int(self.resize * width / height)), self.resize

    def placement(self, size: tuple[int, int]) -> InputPlacement:
        """Return where the input lies in an image of that (width, height)."""
        width, height = self.resized(size)
        scale = (size[0] / width, size[1] / height)
        if self.prepared:
            return InputPlacement(scale, 0, 0)
        return InputPlacement(scale, round((width - self.size.width) / 2.0), round((height - self.size.height) / 2.0))

    def __call__(self, image: Any) -> tuple[Tensor, tuple[int, int]]:
        """Convert an image to the network's input.

        Returns:
            ``[C, *size]`` (uint8, or float32 in [0, 1]), and the (width, height) of the image.

        Raises:
            NoImageError: if it is not an image, or has another number of channels.
        """
        if self.prepared:
            return self._checked(image)
        image = self._colored(image)
        if isinstance(image, Image.Image):
            size = image.size
            _check_size(*size)
            target = self.resized(size)
            if size != target:
                image = image.resize(target, Image.Resampling[self.interpolation.upper()])
            left, top = self.placement(size).left, self.placement(size).top
            image = image.crop((left, top, left + self.size.width, top + self.size.height))
            array = np.array(image)  # a copy, since PIL's own memory is read-only
            pixels = torch.from_numpy(array[..., None] if array.ndim == 2 else array)
            return pixels.permute(2, 0, 1), size
        size = (image.shape[2], image.shape[1])
        _check_size(*size)
        width, height = self.resized(size)
        if size != (width, height):
            image = _resize(image, height, width, self.interpolation)
        left, top = self.placement(size).left, self.placement(size).top
        return image[:, top : top + self.size.height, left : left + self.size.width], size

    def _checked(self, image: Any) -> tuple[Tensor, tuple[int, int]]:
        if not isinstance(image, Tensor) or not image.is_floating_point() or image.ndim != 3:
            raise NoImageError(f"prepared=True needs float tensors [C, H, W]; it is {_described(image)}")
        shape = (self.channels, *self.size)
        if tuple(image.shape) != shape:
            raise NoImageError(f"prepared=True needs tensors of shape {shape}; it is {_described(image)}")
        return image.detach().cpu().float(), (self.size.width, self.size.height)

    def assumed(self, image: Any) -> str:
        """Return an ambiguous interpretation of an image, as the end of a sentence on several images; or ""."""
        if not isinstance(image, Pages):
            return ""
        how = (
            "whose pages were taken as the bands of one image"
            if self._is_bands(image)
            else "of which the first was read"
        )
        return f"are files of several pages (TIFF stacks), {how}"

    def _is_bands(self, pages: Pages) -> bool:
        gray = len(pages.first.getbands()) == 1 and pages.first.mode != "P"
        return pages.count == self.channels != 1 and gray

    def _colored(self, image: Any) -> Image.Image | Tensor:
        """Convert an image to a PIL image with the network's number of channels, or to a tensor ``[C, H, W]``."""
        if isinstance(image, Pages):
            image = image.bands() if self._is_bands(image) else image.first
        if isinstance(image, Image.Image):
            image = _pillow.unpacked(image)
        if isinstance(image, Image.Image):
            if self.channels in (1, 3):
                return _pillow.converted(image, "RGB" if self.channels == 3 else "L")
            bands = len(image.getbands())
            plain = bands == self.channels or image.mode in ("L", "RGB")
            gray = image.mode in ("1", "LA", "La")
            image = np.asarray(image if plain else _pillow.converted(image, "L" if gray else "RGB"))
        if isinstance(image, np.ndarray):
            if type(image) is np.matrix:
                image = np.asarray(image)  # a np.matrix, whose slices keep two dimensions
            if image.dtype.kind == "f" and image.dtype.itemsize > 8:
                image = image.astype(np.float64)
            if image.dtype.kind not in "uibf":
                how = {"O": "array.astype(float)", "V": "numpy.lib.recfunctions.structured_to_unstructured(array)"}.get(
                    image.dtype.kind, "their absolute values, say"
                )
                raise NoImageError(
                    f"it is {_described(image)}; arrays are [H, W] or [H, W, C], of real numbers: give {how}"
                )
        elif not isinstance(image, Tensor):
            raise NoImageError(f"it is not an image but of type {type(image).__name__}")
        given = _described(image)
        image = self.ranges.scale(self._channels_first(image))
        if len(image) == 4 and self.channels in (1, 3):
            image = image[:3]  # without the alpha channel
        if len(image) != self.channels:
            if len(image) == 1:
                return image.expand(self.channels, -1, -1)
            if len(image) == 3 and self.channels == 1:
                gray = (image.float() * torch.tensor([0.2989, 0.587, 0.114])[:, None, None]).sum(dim=0, keepdim=True)
                return gray.round().to(torch.uint8) if image.dtype == torch.uint8 else gray
            raise NoImageError(f"it has {len(image)} channels, the network takes {self.channels} (it is {given})")
        return image

    def _channels_first(self, image: Tensor | np.ndarray[Any, Any]) -> Tensor | np.ndarray[Any, Any]:
        """Return an array or tensor as ``[C, H, W]``, whichever of its sides the channels are."""
        tensor = isinstance(image, Tensor)
        if image.ndim == 4 and image.shape[0] == 1:
            image = image[0]
        image = image[None] if image.ndim == 2 else image
        if image.ndim == 4:
            raise NoImageError(
                f"it is {_described(image)}, a batch or a stack of images: give each image by itself (an array of many "
                "as the dataset itself; of a DataLoader its .dataset)"
            )
        if image.ndim != 3 or 0 in image.shape:
            wanted = "tensors are [C, H, W]" if tensor else "arrays are [H, W] or [H, W, C]"
            raise NoImageError(f"it is {_described(image)}; {wanted}")
        fits = [self._is_channels(count) for count in image.shape]
        # Where both ends may be the channels, they are where the library of the image has them.
        last = fits[2] and not (fits[0] and (tensor or image.shape[0] == 1))
        if not (fits[0] or fits[2]):
            ends = (image.shape[0], image.shape[2])
            last = image.shape[0] == image.shape[1] or (image.shape[1] != image.shape[2] and ends[1] < ends[0])
        if not last:
            return image
        return image.permute(2, 0, 1) if isinstance(image, Tensor) else np.ascontiguousarray(image.transpose(2, 0, 1))

    def _is_channels(self, count: int) -> bool:
        return count in (1, self.channels) or (self.channels in (1, 3) and count in (3, 4))


def _resize(image: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    if interpolation == "nearest":
        return F.interpolate(image[None], size=(height, width), mode="nearest")[0]
    mode = "bilinear" if interpolation == "bilinear" else "bicubic"  # nor has torchvision Lanczos's for tensors
    # uint8 is resized as uint8, as torchvision does it.
    small = F.interpolate(image[None], size=(height, width), mode=mode, antialias=True, align_corners=False)[0]
    return small if image.dtype == torch.uint8 else small.clamp(0.0, 1.0)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise NoImageError(f"it is {width} x {height} px, more than {MAX_PIXELS / 1e6:.0f} million pixels")
    if max(width, height) > 100 * min(width, height):
        raise NoImageError(f"it is {width} x {height} px, which is not a picture but a line")


def _described(image: Any) -> str:
    if hasattr(image, "shape"):
        return f"a {type(image).__name__} {list(image.shape)} of {image.dtype}"
    return f"a {type(image).__name__}"


def resize_of(network: Network, given: int | None = None) -> int | tuple[int, int] | None:
    """Return what images are resized to: what was given, else what the preprocessing says, else the input size.

    Returns:
        see :class:`Preparer`; None is for an input that is not square.

    Raises:
        PeekError: if that is less than the network's input, or much more.
    """
    size, said = network.size, network.preprocess.resize
    if given is None and said is None:
        return size.height if size.square else None
    least = max(size)
    most = _LARGEST_RESIZE * least
    resize = said if given is None else given
    pair = isinstance(resize, tuple) and given is None
    sides = resize if pair else (resize, resize)
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in sides)
    if not whole or not all(low <= one <= most for one, low in zip(sides, size if pair else (least,) * 2, strict=True)):
        where = "" if given is not None else " of the preprocessing"
        what = f"network's input size ({size})" if size.square else f"longer side of the network's input ({size})"
        raise PeekError(f"resize={resize!r}{where}: give the shorter side in pixels, from the {what} to {most}.")
    return resize


@torch.inference_mode()
def on_a_ramp(network: Network) -> tuple[tuple[float, float], ...]:
    """Return what tells a network's preprocessing from others, also where it is a function: what it makes of a ramp.

    Returns:
        the mean and the standard deviation of each channel, for an image that goes from black in its first channel to
        white in its last; () if it does not take this image.
    """
    shape = (1, network.channels, *network.size)
    ramp = torch.linspace(0.0, 1.0, math.prod(shape), device="cpu").view(shape)
    try:
        made = network.preprocess(ramp).double().cpu()
        found = torch.stack([made.mean(dim=(0, 2, 3)), made.std(dim=(0, 2, 3))], dim=1)
    except Exception:  # a function that needs another device, say; a real image will tell
        return ()
    # rounded: it is compared, and no file needs more
    pairs = tuple((round(mean, 6), round(spread, 6)) for mean, spread in found.tolist())
    return pairs if bool(found.isfinite().all()) else ()


def to_picture(image: Any, preparer: Preparer) -> Image.Image:
    """Convert an image of any kind to a PIL image of the same size (RGB, or L for one channel).

    Of many bands the first three are shown, or those that the preprocessing's ``show`` names.

    Raises:
        UnreadableError: if it can't be shown.
    """
    if isinstance(image, Pages) and not preparer._is_bands(image):
        image = image.first
    if isinstance(image, Image.Image):
        image = _pillow.unpacked(image)
    if isinstance(image, Image.Image):
        return image if image.mode in ("RGB", "L") else _pillow.converted(image, "RGB")
    if preparer.prepared:
        tensor, _ = preparer(image)
        tensor = _undo(tensor, preparer.preprocess)
    else:
        tensor = preparer._colored(image)
    array = tensor if tensor.dtype == torch.uint8 else tensor.mul(255).round().to(torch.uint8)
    array = array[list(preparer.show)] if preparer.show else array[:3] if len(array) >= 3 else array[:1]
    array = array.permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else np.ascontiguousarray(array))


def _undo(tensor: Tensor, preprocess: Preprocess | None) -> Tensor:
    """Invert the normalization of a tensor; where that is not possible, scale its values to [0, 1]."""
    if preprocess is None or preprocess.function is not None:
        low, high = tensor.min(), tensor.max()
        return (tensor - low) / (high - low).clamp(min=1e-12)
    count = (-1, 1, 1)
    if preprocess.std:
        tensor = tensor * tensor.new_tensor(preprocess.std).view(count)
    if preprocess.mean:
        tensor = tensor + tensor.new_tensor(preprocess.mean).view(count)
    tensor = tensor / preprocess.scale
    return (tensor.flip(0) if preprocess.channels == "BGR" else tensor).clamp(0.0, 1.0)

"""From an image of any kind and size to what the network takes, and back to the image's own pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from peek_widget.evidence.dataset import MAX_PIXELS, UnreadableError
from peek_widget.network import Preprocess

__all__ = ["Frame", "Preparer", "to_picture"]


@dataclass(frozen=True)
class Frame:
    """Where the network's input lies in the image: input pixel x is image pixel ``(x + left) * scale``."""

    scale: tuple[float, float]
    left: int
    top: int

    def box(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[int, int, int, int]:
        """A (left, top, right, bottom) of the input as whole pixels of an image of that (width, height)."""
        (x, y), (width, height) = self.scale, size
        left, right = (box[0] + self.left) * x, (box[2] + self.left) * x
        top, bottom = (box[1] + self.top) * y, (box[3] + self.top) * y
        # Outward, but not by a pixel for a rounding error.
        low = lambda v: int(np.floor(v + 1e-6))  # noqa: E731
        high = lambda v: int(np.ceil(v - 1e-6))  # noqa: E731
        left, top = min(max(low(left), 0), width - 1), min(max(low(top), 0), height - 1)
        return left, top, max(left + 1, min(high(right), width)), max(top + 1, min(high(bottom), height))


@dataclass(frozen=True)
class Preparer:
    """Brings images to the network's input size as torchvision's ``Resize`` and ``CenterCrop`` do.

    Args:
        channels: of the network's input: 1 makes gray of a colored picture, 3 makes colors of a gray one.
        size: side in pixels of the network's input.
        resize: what the shorter side is resized to first; ``size`` shows the network as much as a square can.
        prepared: the dataset's tensors are already what the network takes (normalized): only their size counts.
        preprocess: what is undone to show such a tensor.
    """

    channels: int
    size: int
    resize: int
    prepared: bool = False
    preprocess: Preprocess | None = None

    @property
    def needed(self) -> int:
        """What an image's shorter side must keep when it is decoded at a reduced size."""
        return self.resize

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) after the shorter side was resized."""
        width, height = size
        if self.prepared:
            return size
        if width <= height:
            return self.resize, max(self.resize, int(self.resize * height / width))
        return max(self.resize, int(self.resize * width / height)), self.resize

    def frame(self, size: tuple[int, int]) -> Frame:
        """Where the input lies in an image of that (width, height)."""
        width, height = self.resized(size)
        scale = (size[0] / width, size[1] / height)
        if self.prepared:
            return Frame(scale, 0, 0)
        return Frame(scale, round((width - self.size) / 2.0), round((height - self.size) / 2.0))

    def __call__(self, image: Any) -> tuple[Tensor, tuple[int, int]]:
        """The network's input ``[C, size, size]`` (uint8, or float32 in [0, 1]) and the image's (width, height).

        Raises:
            UnreadableError: if it is no image, or one of another number of channels.
        """
        if self.prepared:
            return self._as_it_is(image)
        image = self._colored(image)
        if isinstance(image, Image.Image):
            size = image.size
            _check_size(*size)
            target = self.resized(size)
            if size != target:
                image = image.resize(target, Image.Resampling.BILINEAR)
            frame = self.frame(size)
            image = image.crop((frame.left, frame.top, frame.left + self.size, frame.top + self.size))
            array = np.array(image)  # a copy: PIL's own memory is read-only
            pixels = torch.from_numpy(array[..., None] if array.ndim == 2 else array)
            return pixels.permute(2, 0, 1), size
        size = (image.shape[2], image.shape[1])
        _check_size(*size)
        width, height = self.resized(size)
        if size != (width, height):
            image = _resize(image, height, width)
        frame = self.frame(size)
        return image[:, frame.top : frame.top + self.size, frame.left : frame.left + self.size], size

    def _as_it_is(self, image: Any) -> tuple[Tensor, tuple[int, int]]:
        if not isinstance(image, Tensor) or not image.is_floating_point() or image.ndim != 3:
            raise UnreadableError(f"prepared=True needs float tensors [C, H, W]; it is {_described(image)}")
        shape = (self.channels, self.size, self.size)
        if tuple(image.shape) != shape:
            raise UnreadableError(f"prepared=True needs tensors of shape {shape}; it is {_described(image)}")
        return image.detach().cpu().float(), (self.size, self.size)

    def _colored(self, image: Any) -> Image.Image | Tensor:
        """A PIL image in the network's colors, or a tensor ``[C, H, W]``."""
        if isinstance(image, Image.Image):
            if self.channels == 3:
                return image if image.mode == "RGB" else image.convert("RGB")
            if self.channels == 1:
                return image if image.mode == "L" else image.convert("L")
            image = np.asarray(image)
        if isinstance(image, np.ndarray):
            if image.ndim not in (2, 3) or image.dtype.kind not in "uibf":
                raise UnreadableError(f"it is {_described(image)}; arrays are [H, W] or [H, W, C]")
            array = image[..., None] if image.ndim == 2 else image
            if array.shape[2] > 4 >= array.shape[0]:
                raise UnreadableError(f"it is {_described(image)}; arrays are [H, W, C], tensors [C, H, W]")
            image = torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)
        elif isinstance(image, Tensor):
            image = image.detach().cpu()
            image = image[None] if image.ndim == 2 else image
        else:
            raise UnreadableError(f"it is no image but of type {type(image).__name__}")
        if image.ndim != 3 or 0 in image.shape:
            raise UnreadableError(f"it is {_described(image)}; tensors are [C, H, W]")
        image = _in_range(image)
        if len(image) == 4 and self.channels in (1, 3):
            image = image[:3]  # transparency
        if len(image) != self.channels:
            if len(image) == 1:
                return image.expand(self.channels, -1, -1)
            if len(image) == 3 and self.channels == 1:
                gray = (image.float() * torch.tensor([0.2989, 0.587, 0.114])[:, None, None]).sum(dim=0, keepdim=True)
                return gray.round().to(torch.uint8) if image.dtype == torch.uint8 else gray
            raise UnreadableError(f"it has {len(image)} channels, the network takes {self.channels}")
        return image


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    # torch resizes bytes as bytes, as torchvision has it done.
    small = F.interpolate(image[None], size=(height, width), mode="bilinear", antialias=True, align_corners=False)[0]
    return small if image.dtype == torch.uint8 else small.clamp(0.0, 1.0)


def _in_range(image: Tensor) -> Tensor:
    if image.dtype == torch.uint8:
        return image
    if image.dtype == torch.bool:
        return image.float()
    if not image.is_floating_point():
        low, high = int(image.min()), int(image.max())
        if low < 0 or high > 255:
            raise UnreadableError(f"its whole numbers go from {low} to {high}; 0 to 255 are possible")
        return image.to(torch.uint8)
    image = image.float()
    low, high = float(image.min()), float(image.max())
    if not (low >= -1e-3 and high <= 1.001):  # also where there is a NaN
        raise UnreadableError(
            f"its values go from {low:.3g} to {high:.3g}; give images in [0, 1] (without the dataset's Normalize), or "
            "say prepared=True if they are already what the network takes"
        )
    return image.clamp(0.0, 1.0)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableError(f"it is {width} x {height} px, more than {MAX_PIXELS / 1e6:.0f} million pixels")
    if max(width, height) > 100 * min(width, height):
        raise UnreadableError(f"it is {width} x {height} px, which is no picture but a line")


def _described(image: Any) -> str:
    if hasattr(image, "shape"):
        return f"a {type(image).__name__} {list(image.shape)} of {image.dtype}"
    return f"a {type(image).__name__}"


def to_picture(image: Any, preparer: Preparer) -> Image.Image:
    """The image in full as a PIL image (RGB, or L where it has one channel), for looking at.

    Raises:
        UnreadableError: if it can't be shown.
    """
    if isinstance(image, Image.Image):
        return image if image.mode in ("RGB", "L") else image.convert("RGB")
    if preparer.prepared:
        tensor, _ = preparer(image)
        tensor = _undo(tensor, preparer.preprocess)
    else:
        tensor = preparer._colored(image)
    array = tensor if tensor.dtype == torch.uint8 else tensor.mul(255).round().to(torch.uint8)
    array = array[:3] if len(array) >= 3 else array[:1]
    array = array.permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else np.ascontiguousarray(array))


def _undo(tensor: Tensor, preprocess: Preprocess | None) -> Tensor:
    """What a normalized tensor looks like; where that can't be known, stretched to what can be seen."""
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

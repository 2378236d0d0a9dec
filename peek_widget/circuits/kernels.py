"""Kernels as pictures: the filters of a first layer in color, the weights between two layers as signed maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from peek_widget._size import SizeLike
from peek_widget.circuits.calls import IMAGE
from peek_widget.circuits.measure import cut
from peek_widget.circuits.program import Part
from peek_widget.circuits.reads import check_layer, reads_of
from peek_widget.errors import LayerError
from peek_widget.network import ModelCopy, Network, Preprocess, PreprocessFunction, read
from peek_widget.network.context import undisturbed

__all__ = ["Factors", "factorize", "filter_images", "filters", "signed_image"]

# Blue, white, red of ColorBrewer's RdBu, which people with any kind of color vision can tell apart.
_COLORS = np.array([[33, 102, 172], [247, 247, 247], [178, 24, 43]], np.float32)
_SHARE, _MOST = 0.9, 3


def filters(
    model: nn.Module | ModelCopy | Network,
    layer: str | nn.Module,
    size: int = 56,
    *,
    input_size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    device: str | torch.device | None = None,
) -> list[Image.Image]:
    """Show the filters of a layer that reads the image: for each unit a color picture of its kernel.

    Middle gray is a weight of zero; a pixel is lighter, in each color, where more of it excites the unit. The weights
    are those of pixels in [0, 1], after the preprocessing; each picture has its own scale.

    Args:
        model: any Module; a copy of its structure is run.
        layer: a layer by name or as a module of the model: one that reads the image with nothing in between.
        size: side of the pictures in pixels, at least; each weight is a square of whole pixels.
        input_size, preprocess, device: see :func:`~peek_widget.network.read`.

    Raises:
        LayerError: if there is no such layer, or it reads other layers.
        ModelError: if what the layer reads can't be followed.
    """
    network = model if isinstance(model, Network) else read(model, input_size, preprocess, device)
    name = network.layer(layer).name
    return filter_images(network, name, range(network.layer(name).channels), size)


def filter_images(network: Network, name: str, units: Iterable[int], size: int = 56) -> list[Image.Image]:
    """Show the filters of some units of a layer that reads the image; see :func:`filters`."""
    name = check_layer(network, name).name
    below = [one.layer for one in reads_of(network, name) if one.layer is not None]
    if below:
        raise LayerError(
            f"{name!r} reads units of {below[-1]!r} and no colors, so that its kernels are not pictures: "
            "circuit(model, layer, unit, ...).kernel_image(layer, unit) shows the weights to one of them."
        )
    part = Part(network, [IMAGE], [name])
    pixels = torch.full((1, network.channels, *network.size), 0.5, device=network.model_copy.device)
    with undisturbed(network.model_copy.device), torch.enable_grad():
        pixels.requires_grad_()
        given = network.preprocess(pixels)
        tape = part.tape(given.detach())
        values = tape({IMAGE: given.to(network.model_copy.dtype)}, opened=True)[0][0]
        if values.ndim == 3:
            values = values[:, (values.shape[1] - 1) // 2, (values.shape[2] - 1) // 2]
        kernels = [torch.autograd.grad(values[one], pixels, retain_graph=True)[0][0] for one in units]
    return [_picture(network, cut(one), size) for one in kernels]


def _picture(network: Network, kernel: Tensor, size: int) -> Image.Image:
    """Return a kernel ``[C, h, w]`` of pixels as a picture."""
    seen = network.preprocess.visible(kernel).cpu()
    array = (0.5 + 0.5 * seen / seen.abs().max().clamp(min=1e-12)).mul(255).round().to(torch.uint8)
    array = array.permute(1, 2, 0).numpy()
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else np.ascontiguousarray(array[..., :3]))
    return _enlarged(image, size)


def _enlarged(image: Image.Image, size: int) -> Image.Image:
    times = max(1, -(-size // max(image.size)))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def signed_image(kernel: Tensor, scale: float, size: int = 56) -> Image.Image:
    """Show a map ``[h, w]`` of signed numbers: red above zero, blue below, white at zero.

    Args:
        kernel: the numbers.
        scale: the absolute value that has the full color; one for all maps that are to be compared.
        size: side of the picture in pixels, at least.
    """
    values = (kernel.float().cpu() / max(scale, 1e-12)).clamp(-1.0, 1.0).numpy()[..., None]
    ends = np.where(values < 0, _COLORS[0], _COLORS[2])
    array = _COLORS[1] + np.abs(values) * (ends - _COLORS[1])
    return _enlarged(Image.fromarray(array.round().astype(np.uint8)), size)


@dataclass(frozen=True)
class Factors:
    """Kernels of one unit to all units of a lower layer, as a sum of few products (a singular value decomposition).

    Attributes:
        maps: ``[n, h, w]``, the components' maps, each of norm 1.
        units: ``[n, C]``, the weight of each component in each lower unit.
        shares: ``[n]``, the part of the squared weights that each explains, largest first.
    """

    maps: Tensor
    units: Tensor
    shares: Tensor


def factorize(kernels: Tensor, share: float = _SHARE, most: int = _MOST) -> Factors | None:
    """Factorize kernels ``[C, h, w]`` where few components explain much of them.

    As in Voss et al. 2021 ("Visualizing Weights", Distill), where many kernels are a few patterns with different
    weights.

    Args:
        kernels: the expanded weights of a unit, as a circuit has them.
        share: part of the squared weights that has to be explained.
        most: number of components that may be needed for that.

    Returns:
        the fewest components that explain ``share``; None where ``most`` are not enough.
    """
    count, height, width = kernels.shape
    left, values, right = torch.linalg.svd(kernels.flatten(1).double().cpu(), full_matrices=False)
    energy = values.square()
    if not float(energy.sum()) > 0.0:
        return None
    shares = energy / energy.sum()
    needed = int((shares.cumsum(0) < share - 1e-9).sum()) + 1
    if needed > most:
        return None
    maps = right[:needed].reshape(needed, height, width)
    signs = maps.flatten(1).sum(1).sign()
    signs[signs == 0] = 1.0
    units = (left[:, :needed] * values[:needed]).T * signs[:, None]
    assert units.shape == (needed, count)
    return Factors((maps * signs[:, None, None]).float(), units.float(), shares[:needed].float())

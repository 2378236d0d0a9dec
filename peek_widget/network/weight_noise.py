"""Weights that differ a little in every step, so that a picture does not hold for these weights alone."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from peek_widget._size import SizeLike
from peek_widget.network.layers import OUTPUT
from peek_widget.network.network import Network
from peek_widget.network.receptive_field.effective import noise as natural_noise

__all__ = ["LARGEST", "LENGTH", "NoisyWeights", "noise_of_weights"]

LENGTH = 2**20
"""Length of the table of normal numbers. The noise of a layer with more weights than that repeats."""

LARGEST = 0.2
"""Largest noise, as a share of the root mean square of a layer's weights, whatever it changes: some networks' scores
hardly change by any."""

# How the change of the scores is measured: small noise, so that it is in proportion to it; a few draws and images.
_TRIED, _DRAWS, _IMAGES = 0.02, 4, 2

_WEIGHTED = frozenset({
    torch.conv1d, torch.conv2d, torch.conv3d,
    torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d,
    F.linear,
})  # fmt: skip

_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)

# A matrix of more numbers has no noise: a fully connected layer uses each number once for an image, so that adding
# noise takes longer than the layer (a class of AlexNet took 23 s in place of 9).
_WIDE = 4 * LENGTH

# From layer to layer the noise begins that much later in the table: by the golden section, so that none of a hundred
# layers begins near another.
_APART = 648_055


class NoisyWeights(TorchFunctionMode):
    """A mode around one forward in which weights of convolutions and linear layers have normal noise.

    What a picture owes to the exact weights means nothing to another network, nor to an eye. Adversarial images that
    are made with many near weights carry over to other networks more often (Gubri et al. 2022, "LGV: Boosting
    Adversarial Example Transferability from Large Geometric Vicinity", ECCV), and so does what a picture of a class
    shows. The model's weights are not changed: the functions get others in their place. Left without noise are weights
    inside torch's own attention and recurrent layers, weights that are computed from the image, sparse or complex ones,
    and matrices of more than four million numbers.

    Numbers are taken from one table, in the order of the calls, from an offset on: drawing them anew for every step
    would take longer than the step.

    Args:
        noise: where in the table the first layer's noise begins (0 to LENGTH - 1), and its standard deviation:
            float32 ``[2]`` on the network's device.
        times: factor on that deviation; the product, at most LARGEST, is a share of the root mean square of the layer's
            weights.
        sizes: root mean squares of the model's own weights, as far as they are known; filled here, for further
            forwards.
    """

    def __init__(self, noise: Tensor, times: float = 1.0, sizes: dict[Hashable, Tensor] | None = None) -> None:
        super().__init__()
        self._begins, amount = noise.unbind()
        self._amount = (amount * times).clamp(max=LARGEST)
        self._sizes: dict[Hashable, Tensor] = {} if sizes is None else sizes
        self._calls = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _WEIGHTED:
            return func(*args, **kwargs)
        if "weight" in kwargs:
            return func(*args, **{**kwargs, "weight": self._noisy(kwargs["weight"])})
        image, weight, *rest = args
        return func(image, self._noisy(weight), *rest, **kwargs)

    def _noisy(self, weight: Tensor) -> Tensor:
        """Return a weight with noise; one that was computed from the image is not the model's, and is left alone."""
        if weight.grad_fn is not None or weight.layout is not torch.strided or weight.dtype not in _TYPES:
            return weight
        if weight.ndim == 2 and weight.numel() > _WIDE:
            return weight
        size, kind = self._size(weight), weight.device.type
        weight = weight.detach()
        if torch.is_autocast_enabled(kind) and weight.dtype is not torch.float64:
            weight = weight.to(torch.get_autocast_dtype(kind))  # as the function would: half as much to read and write
        normal = self._normal(min(weight.numel(), LENGTH), weight)
        deviation = (self._amount * size).to(weight.dtype)
        self._calls += 1
        if weight.numel() <= LENGTH:
            return torch.addcmul(weight, normal.view(weight.shape), deviation)
        flat = weight.flatten()
        whole, noisy = len(flat) // LENGTH * LENGTH, torch.empty_like(flat)
        torch.addcmul(flat[:whole].view(-1, LENGTH), normal, deviation, out=noisy[:whole].view(-1, LENGTH))
        torch.addcmul(flat[whole:], normal[: len(flat) - whole], deviation, out=noisy[whole:])
        return noisy.view(weight.shape)

    def _size(self, weight: Tensor) -> Tensor:
        """Return the root mean square of a weight, ``[]``; a parameter's is known after the first forward."""
        with torch.no_grad():
            if not isinstance(weight, nn.Parameter):
                return weight.float().square().mean().sqrt()
            key = (weight.data_ptr(), weight.shape)
            if key not in self._sizes:
                self._sizes[key] = weight.float().square().mean().sqrt()
            return self._sizes[key]

    def _normal(self, count: int, weight: Tensor) -> Tensor:
        """Return so many normal numbers for a layer's weight, ``[count]``."""
        table, later = _table(weight.dtype, weight.device), self._calls * _APART
        if self._begins.device.type == "cpu":
            first = (int(self._begins) + later) % LENGTH
            return table[first : first + count]
        # a number on the device, so that nothing waits for it, and a recorded step reads another one each time
        first = (self._begins.long() + later) % LENGTH
        return table.index_select(0, first + _places(count, weight.device))


def noise_of_weights(network: Network, size: SizeLike) -> float:
    """Return how much noise on the weights changes a network's scores by as much as they are apart; to first order.

    SqueezeNet's scores change by a half, root mean square, where weights have noise of 0.12, EfficientNet-Lite0's
    where it is 0.02. Measured on two images of noise with the spectrum of photographs, where the change is within a
    fifth of that on photographs (on both networks). Computed once, and again after the weights have changed in place.

    Args:
        network: a network whose output is a vector of scores.
        size: size of the images in pixels.

    Returns:
        The standard deviation of the noise, as a share of the root mean square of a layer's weights, for a change by 1;
        0 where the scores are all equal, or no weight has an effect.
    """
    known, version = network.weight_noises, network.model_copy.version()
    if size not in known or known[size][0] != version:
        known[size] = version, _measured(network, size)
    return known[size][1]


def _measured(network: Network, size: SizeLike) -> float:
    draws, device = Generator().manual_seed(0), network.model_copy.device
    images = torch.stack([natural_noise(network.channels, size, draws) for _ in range(_IMAGES)]).to(device)
    images.requires_grad_()  # as in a step: by its gradient a weight is known that is computed from the image

    def scores() -> Tensor:
        found = network.run(network.preprocess(images), [OUTPUT])[OUTPUT].detach().flatten(1)
        return found - found.mean(1, keepdim=True)

    changes, sizes = [], dict[Hashable, Tensor]()
    with network.model_copy.computing_in(None), torch.enable_grad():
        plain = scores()
        for number in range(_DRAWS):
            noise = torch.tensor([number * LENGTH / _DRAWS, _TRIED], dtype=torch.float32, device=device)
            with network.model_copy.within(lambda noise=noise: NoisyWeights(noise, sizes=sizes)):
                changes.append((scores() - plain).norm())
    change = float(torch.stack(changes).mean() / plain.norm()) / _TRIED
    return 1.0 / change if 0.0 < change < math.inf else 0.0


@functools.lru_cache(maxsize=8)
def _table(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the numbers ``[2 * LENGTH]``: twice the same, so that each part of up to LENGTH is in one piece."""
    with torch.inference_mode(False):
        normal = torch.randn(LENGTH, generator=Generator().manual_seed(0), dtype=torch.float32, device="cpu")
        return torch.cat([normal, normal]).to(dtype).to(device)


@functools.lru_cache(maxsize=256)
def _places(count: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.arange(count, device=device)

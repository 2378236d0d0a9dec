"""Which precision a network is drawn in where none is asked for, and in which one it is quicker, found by trying."""

from __future__ import annotations

import functools
import math
import platform
from typing import get_args

import torch
from torch import nn

from peek_widget.network.layers import Layer
from peek_widget.network.model_copy import ModelCopy
from peek_widget.network.network import Network
from peek_widget.network.precision import Precision, check_precision, has_bf16
from peek_widget.network.reading import read
from peek_widget.network.timed import GAIN, check_images, step_seconds

__all__ = ["chosen_precision", "quicker_precision"]

_LEAST_PRODUCTS = 400_000_000
"""Multiplications in the convolutions of one forward below which a step is short in either precision."""

_LEAST_REUSE = 50
"""Multiplications for each weight below which casting the weights takes what the products save: AlexNet has 12 and
gains nothing, VGG-16 has 112 and is 1.5 times as fast."""


def chosen_precision(network: Network, precision: Precision | None = None) -> Precision:
    """Return the precision that a network is drawn in, checked; with None the one that suits it.

    That is a rule and no trial, so that the same network on the same kind of machine gives the same pictures:
    ``"bf16"`` for a large network of ordinary convolutions on an x86 CPU with instructions for bfloat16 (AVX512-BF16,
    AMX), and ``"float32"`` for every other. Depthwise and grouped convolutions gain nothing, and of transformers and
    other hardware no pictures were compared. On SqueezeNet 1.0 every measure of the pictures was within what another
    seed changes (docs/quality.md).

    Args:
        network: the network.
        precision: what was asked for; None if nothing was.

    Raises:
        PeekError: if there is no such precision, or the device has no units for it.
    """
    if precision is None:
        return "bf16" if _suits_bf16(network) else "float32"
    check_precision(precision, network.model_copy.device)
    return precision


def _suits_bf16(network: Network) -> bool:
    device = network.model_copy.device
    if device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64") or not has_bf16(device):
        return False
    modules = dict(network.model_copy.original.named_modules())
    products, weights = 0, 0
    for layer in network.layers:
        module = modules.get(layer.output.partition("@")[0])
        if not isinstance(module, (nn.Conv2d, nn.Linear)):
            continue
        if module.weight.dtype is not torch.float32 or getattr(module, "groups", 1) > 1:
            return False
        weights += module.weight.numel()
        if isinstance(module, nn.Conv2d):
            products += module.weight.numel() * math.prod(layer.size)
    return products >= max(_LEAST_PRODUCTS, _LEAST_REUSE * weights)


def quicker_precision(
    model: nn.Module | ModelCopy | Network, layer: str | nn.Module = "", *, images: int = 1
) -> Precision:
    """Return the precision in which a network's steps are quicker on its device, by five warm ones in each.

    A step is the forward up to a layer and the gradient of its mean by the images; precisions take turns, and medians
    count. The result is what ``precision=`` takes, of :func:`~peek_widget.render`, sheets, passes and the explorer:

    >>> render(model, "features.12:33", precision=quicker_precision(model, "features.12"))

    Args:
        model: any Module, or a Network to try it on its device.
        layer: up to which layer; left out, the whole network.
        images: number of images, or views, of a forward.

    Returns:
        ``"bf16"`` where the device has units for it and the median of a step is at most .9 of that in float32; else
        ``"float32"``.

    Raises:
        PeekError: if ``images`` is not a whole number above 0.
        LayerError: if there is no such layer.
    """
    check_images(images)
    network = model if isinstance(model, Network) else read(model)
    found: Layer = network.layer(layer)
    device = network.model_copy.device
    if not has_bf16(device) or not found.differentiable:
        return "float32"
    ways = {
        one: functools.partial(network.model_copy.computing_in, check_precision(one, device))
        for one in get_args(Precision)
    }
    float32, bf16 = step_seconds(network, found.name, images, ways).values()
    return "bf16" if bf16 <= GAIN * float32 else "float32"

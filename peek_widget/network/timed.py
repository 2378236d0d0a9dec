"""How long a step of a network takes in one way or another: found by making some of each in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from time import perf_counter
from typing import TypeVar

import torch
from torch import Tensor

from peek_widget.errors import PeekError
from peek_widget.network.network import Network

__all__ = ["GAIN", "check_images", "step_seconds", "wait_for"]

_WARM = 2  # steps before those that count: the first of each kind chooses its kernels
_STEPS = 5

GAIN: float = 0.9
"""Share of the time of a step at most that another way has to take: what is hardly quicker is not worth other bits."""

Way = TypeVar("Way")


def step_seconds(
    network: Network, layer: str, images: int, ways: Mapping[Way, Callable[[], AbstractContextManager[object]]]
) -> dict[Way, float]:
    """Return the median seconds of five warm steps in each of several ways, which take turns.

    A step is the forward up to a layer and the gradient of its mean by the images.

    Args:
        network: the network.
        layer: name of the layer.
        images: number of images of a forward.
        ways: for each way, what returns the context that its steps are made in.
    """
    device = network.model_copy.device
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(images, network.channels, *network.size, generator=generator, device="cpu").to(device)
    seconds: dict[Way, list[float]] = {one: [] for one in ways}
    for _ in range(_WARM + _STEPS):
        for way, spent in seconds.items():
            with torch.inference_mode(False), torch.enable_grad(), ways[way]():
                given: Tensor = noise.clone().requires_grad_()
                wait_for(device)
                began = perf_counter()
                value = network.run(given, [layer])[layer].mean()
                torch.autograd.grad(value, given)
                wait_for(device)
                spent.append(perf_counter() - began)
    return {way: statistics.median(spent[_WARM:]) for way, spent in seconds.items()}


def check_images(images: object) -> None:
    """Raise PeekError if a number of images is not a whole number above 0."""
    if isinstance(images, bool) or not isinstance(images, int) or images < 1:
        raise PeekError(f"images={images!r}: give a whole number from 1.")


def wait_for(device: torch.device) -> None:
    """Wait until the device has computed all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""Which memory format a network is quicker in on its device: found by trying, since it depends on both."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import torch
from torch import nn

from peek_widget.network.model_copy import ModelCopy
from peek_widget.network.network import Network
from peek_widget.network.precision import Precision, check_precision
from peek_widget.network.timed import GAIN, check_images, step_seconds
from peek_widget.network.warm import chosen_precision

__all__ = ["settle_memory_format"]


def settle_memory_format(
    network: Network, layer: str | nn.Module = "", *, images: int = 1, precision: Precision | None = None
) -> torch.memory_format:
    """Try in which memory format a network's steps are quicker on its device, by five warm ones in each, and keep it.

    A step is the forward up to a layer and the gradient of its mean by the images; formats take turns, and medians
    count. What is drawn with the network afterwards is given to it in that format, and its replicas on the same device
    are; rounding is then another, and so are the pixels. Weights stay as they are, since they may be the user's own.

    >>> network = read(model, device="cuda")
    >>> settle_memory_format(network, "features.12")
    >>> render(network, "features.12:33")

    Args:
        network: the network, from :func:`read`.
        layer: up to which layer; left out, the whole network.
        images: number of images, or views, of a forward.
        precision: what the network computes in; left out, what suits it.

    Returns:
        ``torch.contiguous_format`` where the median of a step is at most .9 of that in ``torch.channels_last``, or
        the forward can't be given the latter; else ``torch.channels_last``, which it has without a trial.

    Raises:
        PeekError: if ``images`` is not a whole number above 0, or the precision is not possible.
        LayerError: if there is no such layer.
    """
    check_images(images)
    found, model_copy = network.layer(layer), network.model_copy
    kind = check_precision(chosen_precision(network, precision), model_copy.device)
    if found.differentiable and model_copy.memory_format is torch.channels_last:
        formats = (torch.contiguous_format, torch.channels_last)
        ways = {one: functools.partial(_given_in, model_copy, one, kind) for one in formats}
        rows, last = step_seconds(network, found.name, images, ways).values()
        if rows <= GAIN * last:
            model_copy.memory_format = torch.contiguous_format
    return model_copy.memory_format


@contextlib.contextmanager
def _given_in(model_copy: ModelCopy, tried: torch.memory_format, kind: torch.dtype | None) -> Iterator[None]:
    """Give images to a forward in a memory format; one that fails in channels_last is given them in rows for good."""
    before = model_copy.memory_format
    model_copy.memory_format = tried
    try:
        with model_copy.computing_in(kind):
            yield
    finally:
        failed = tried is torch.channels_last and model_copy.memory_format is not tried
        model_copy.memory_format = torch.contiguous_format if failed else before

"""Activations of layers on images: what a pass runs on each batch, and as a function for scripts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from peek_widget._progress import progress_bar
from peek_widget._size import SizeLike
from peek_widget.errors import DatasetError, DatasetWarning, PeekError, warn
from peek_widget.evidence.dataset import DatasetLike, read_source
from peek_widget.evidence.loading import LoaderOptions, load_batches
from peek_widget.evidence.prefetch import prefetched
from peek_widget.evidence.prepare import Preparer, resize_of
from peek_widget.evidence.value_range import ValueRanges
from peek_widget.network import ModelCopy, Network, Preprocess, PreprocessFunction, read
from peek_widget.network.transfer import upload

__all__ = ["activations", "layer_names", "own_network", "run_batch"]


def own_network(
    model: nn.Module | ModelCopy | Network,
    input_size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    device: str | torch.device | None = None,
) -> Network:
    """Read a model, or make a replica of a network, so that an ascent may run the given one meanwhile."""
    if isinstance(model, Network):
        return model.replica(input_size=input_size, preprocess=preprocess, device=device)
    return read(model.original if isinstance(model, ModelCopy) else model, input_size, preprocess, device)


def layer_names(network: Network, layers: str | nn.Module | Iterable[str | nn.Module]) -> tuple[str, ...]:
    """Return the names of one or several layers; names stay as given, a module becomes the name of its layer.

    Raises:
        LayerError: if there is no such layer.
        PeekError: if there is none at all.
    """
    # the network refuses what is neither
    given = list(layers) if isinstance(layers, Iterable) and not isinstance(layers, (str, nn.Module)) else [layers]
    if not given:
        raise PeekError("layers is empty: name at least one that layers(model) lists.")
    found = [(one, network.layer(one).name) for one in given]
    return tuple(dict.fromkeys(one if isinstance(one, str) else name for one, name in found))


@torch.inference_mode()
def run_batch(network: Network, images: Tensor, layers: Iterable[str], *, prepared: bool = False) -> dict[str, Tensor]:
    """Compute the activations of layers, before their last ReLUs, on a batch as it is loaded.

    Args:
        network: the model.
        images: ``[N, C, H, W]``, uint8 or float32 in [0, 1], on any device.
        layers: names of the layers.
        prepared: whether the images have already been preprocessed.

    Returns:
        for each name ``[N, C, H, W]`` or ``[N, C]``, float32, on the network's device.
    """
    images = upload(images, network.model_copy.device)
    images = images.float().div_(255.0) if images.dtype == torch.uint8 else images
    return network.run(images if prepared else network.preprocess(images), layers)


def activations(
    model: nn.Module | ModelCopy | Network,
    images: DatasetLike,
    layers: str | nn.Module | Iterable[str | nn.Module],
    *,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    input_size: SizeLike | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 32,
    value_range: tuple[float, float] | None = None,
    prepared: bool = False,
    progress: bool | None = None,
) -> dict[str, Tensor]:
    """Compute the activations of layers on images, before each layer's last ReLU.

    This is what Captum's ``LayerActivation(model, layer).attribute(images)``, torchvision's
    ``create_feature_extractor`` and timm's ``features_only`` give, with these differences: a layer whose output has
    gone through a ReLU is read *before* that ReLU, as everywhere in this package (apply ``relu()`` for the other);
    images of any kind and size are brought to the network's input size and preprocessed; and it is a copy of the
    model's structure that is run, in eval mode, so that the model itself stays untouched.

    >>> found = activations(model, "photos", ["layer3.1", model.fc])
    >>> found["layer3.1"].shape
    torch.Size([120, 256, 14, 14])

    Args:
        model: any Module with a forward of one batch of images.
        images: a folder, a torch Dataset, a frame, a stream, a list of PIL images, arrays, tensors or file names, or a
            tensor ``[N, C, H, W]`` in [0, 1]; see :func:`~peek_widget.evidence.dataset.read_source`. Of each image
            what has the input's shape at the center is resized to the input size, as in a pass (:func:`top_crops`).
        layers: one layer or several, by name or as modules of the model; one forward computes them all. ``""`` is the
            model's output.
        preprocess, input_size, device: see :func:`~peek_widget.network.read`.
        batch_size: number of images in a forward.
        value_range, prepared: the numbers that are black and white, and whether the images already are what the network
            takes; see :class:`~peek_widget.evidence.loading.LoaderOptions`.
        progress: None shows a progress bar for what takes more than two seconds, True at once, False never.

    Returns:
        for each layer's name ``[N, C, H, W]`` (``[N, C]`` for a vector), float32, on the CPU, in the images' order.

    Raises:
        DatasetError: if an image can't be read.
        LayerError: if there is no such layer.
        ModelError: if the model can't be read, or its forward raises.
    """
    network = own_network(model, input_size, preprocess, device)
    names = layer_names(network, layers)
    if isinstance(images, (Tensor, np.ndarray)) and images.ndim != 4:
        raise DatasetError(
            f"images is a {type(images).__name__} of shape {tuple(images.shape)}: give [N, C, H, W] for a tensor, "
            "[N, H, W, C] for an array (of a single image, image[None])."
        )
    source = read_source(images).for_pass()
    options = LoaderOptions(batch_size=batch_size, value_range=value_range)
    ranges = ValueRanges(options.value_range, source.sample)
    preparer = Preparer(
        network.channels,
        network.size,
        resize_of(network),
        prepared,
        preprocess=network.preprocess,
        ranges=ranges,
        interpolation=network.preprocess.interpolation,
    )
    found: dict[str, Tensor] = {}
    parts: dict[str, list[Tensor]] = {name: [] for name in names}  # for a stream, whose length is unknown
    done = 0
    total = None if source.endless else len(source)
    indices = itertools.count() if source.endless else range(len(source))
    with progress_bar(total, "Activations", progress, unit="image") as bar:
        loaded = load_batches(source, preparer, indices, options.batch_size)
        for batch in prefetched(loaded, network.model_copy.device):
            if batch.skipped:
                item = batch.skipped[0]
                raise DatasetError(f"The image {item.name!r} can't be read: {item.reason}.")
            if batch.images is None:
                break
            for name, values in run_batch(network, batch.images, names, prepared=prepared).items():
                if total is None:
                    parts[name].append(values.cpu())
                    continue
                if name not in found:
                    found[name] = torch.empty((total, *values.shape[1:]), dtype=torch.float32)
                found[name][done : done + len(values)] = values.cpu()
            done += len(batch.items)
            if source.endless:
                source.settle(set(), batch.items[-1].index)
            bar.update(len(batch.items))
    if not done:
        raise DatasetError(f"The dataset is {source.described}, which gave no image: is it used up?")
    if ranges.remarks:
        warn(" ".join(ranges.remarks), DatasetWarning)
    return found or {name: torch.cat(several) for name, several in parts.items()}

"""Error messages for models that can't be read: the true cause, and a way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from torch import nn

from peek_widget._size import Size
from peek_widget.errors import ModelError
from peek_widget.network.dry_run import BadPreprocessError, NothingReturnedError, Seen

__all__ = ["BYTES", "no_convolution", "several_inputs", "unreadable"]

# Usual names of the part of a model that takes the image.
_IMAGE_PARTS = (
    "backbone",
    "visual",
    "vision_model",
    "vision_tower",
    "vision_encoder",
    "visual_encoder",
    "image_encoder",
    "img_encoder",
    "image_model",
    "encoder",
    "features",
    "feature_extractor",
    "trunk",
    "body",
    "cnn",
    "model",
    "net",
)
_MOST_PARTS = 6

BYTES = "(images * 255).byte()"
"""How images are given to a model that takes whole numbers from 0 to 255."""

_NO_ATTRIBUTE = re.compile(r"'(?:Tensor|Parameter)' object has no attribute '(\w+)'")


def no_convolution(model: nn.Module) -> str:
    """Return the sentence for a model without channels."""
    return (
        f"A {type(model).__name__} runs no convolution on its image, so it has no channels to look into: give a "
        "convolutional network. A Linear over the patches of an image, with which some transformers begin, can be "
        "written as a Conv2d with the same weights: conv.weight = linear.weight.view(units, channels, height, width)."
    )


def several_inputs(model: nn.Module, needed: Sequence[str], readable: Callable[[nn.Module], bool]) -> str:
    """Return the sentence for a model whose forward takes more than an image.

    Args:
        model: the user's model.
        needed: names of its forward's arguments.
        readable: tells whether a part of it can be read.
    """
    return (
        f"The forward of {type(model).__name__} needs {len(needed)} inputs ({', '.join(needed)}), but an ascent "
        "draws one image: wrap it in a Module whose forward takes the image alone and fills in the rest"
        f"{_or_part(model, readable)}."
    )


def unreadable(
    model: nn.Module,
    error: Exception,
    seen: Seen,
    *,
    channels: int,
    others: Sequence[int],
    tried: str,
    squeezed: bool,
    lacking: tuple[int, int] | None,
    instead: int | None,
    fitting: Sequence[Size] = (),
    frames: str | None = None,
    given: str | None = None,
    readable: Callable[[nn.Module], bool],
) -> str:
    """Return the sentence that says why a model's forward can't be run on images.

    Args:
        model: the user's model.
        error: what was raised.
        seen: what the forward had done by then.
        channels: number of channels of the image.
        others: other numbers of channels that were tried.
        tried: at which sizes, in words.
        squeezed: whether ``squeeze()`` has removed the dimension of a single image.
        lacking: channels that a convolution takes, and was given.
        instead: number of channels that the model can be read with, where another was given.
        fitting: sizes of images that the model can be read with.
        frames: how images become the 5-dimensional input that it takes, as Python; None where it takes none.
        given: how images have to be given to it, as Python; None where that is not known.
        readable: tells whether a part of the model can be read.
    """
    kind = type(model).__name__
    if isinstance(error, BadPreprocessError):
        return str(error)
    if isinstance(error, NothingReturnedError) and seen.numpy:
        return (
            f"The forward of {kind} converts its maps to numpy, and what it returns is made of that: torch can't "
            "follow it from there to the image, so there is no gradient and no receptive field. Do the same with "
            f"torch's functions, or give a model that ends before it{_or_part(model, readable)}."
        )
    if isinstance(error, NothingReturnedError):
        return (
            f"The forward of {kind} returns no map and no vector that depends on the image (it finds objects, say), so "
            f"it has no units to look into: wrap it in a Module whose forward returns one{_or_part(model, readable)}."
        )
    missing = _NO_ATTRIBUTE.search(str(error)) if isinstance(error, AttributeError) else None
    if seen.key is not None:
        return (
            f"The forward of {kind} looks up {seen.key!r} in what it is given, so it takes a dict and not images "
            f"[N, C, H, W]: wrap it in a Module whose forward(images) returns self.model({{{seen.key!r}: images}}), "
            "with whatever else it looks up."
        )
    if missing is not None and not seen.convolutions:
        return (
            f"The forward of {kind} reads the attribute .{missing[1]} of its input, which a tensor does not have, so "
            "it takes something other than images [N, C, H, W] (a dict, say): wrap it in a Module whose forward takes "
            f"images and makes of them what {kind} takes{_or_part(model, readable)}."
        )
    if isinstance(error, TypeError) and "tuple of Tensors" in str(error):
        return (
            f"The forward of {kind} takes a list of images and not one tensor [N, C, H, W]: wrap it in a Module whose "
            "forward(images) returns self.model(list(images)), or self.model([images]) where the list is one of "
            f"batches{_or_part(model, readable)}."
        )
    if lacking is not None and instead is not None:
        return (
            f"preprocess says {channels} channels, but the model's first convolution takes {lacking[0]} and was given "
            f"{lacking[1]}: give Preprocess(mean=..., std=..., channels={instead})."
        )
    if frames is not None:
        return (
            f"A {kind} takes videos, volumes or several views in 5 dimensions, but images [N, C, H, W] are drawn: wrap "
            f"it in a Module whose forward makes one of each image, self.model({frames})."
        )
    if seen.dimensions == 1 and not seen.convolutions:
        return (
            f"A {kind} takes sequences [N, C, L] (its convolutions are 1-dimensional), but images [N, C, H, W] are "
            "drawn: wrap it in a Module whose forward makes a sequence of each image, e.g. "
            "self.model(images.flatten(2))."
        )
    if not any("Conv" in type(module).__name__ for module in model.modules()) and not seen.convolutions:
        return no_convolution(model)
    if given == BYTES:
        return (
            f"A {kind} takes images of whole numbers from 0 to 255 (uint8), through which there is no gradient: take "
            "the check and the conversion out of its forward, so that it takes floating-point numbers, or wrap what "
            f"comes after them in a Module{_or_part(model, readable)}."
        )
    if given is not None:
        order = "with the channels last, [N, H, W, C]" if "permute" in given else "by name"
        return (
            f"The forward of {kind} takes its images {order}, and here it is given one tensor [N, C, H, W]: wrap it in "
            f"a Module whose forward(images) returns self.model({given}){_or_part(model, readable)}."
        )
    also = f" (nor on one of {' or '.join(map(str, others))})" if others else ""
    raised = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
    said = f"The model's forward could not be run on a {channels}-channel image{also} {tried}: {raised.rstrip('.')}."
    if squeezed:
        return (
            f"{said} It calls squeeze() without a dimension, which of a single image removes the batch's as well: "
            "write flatten(1), or squeeze with the dimensions that are meant."
        )
    if fitting:
        sizes = " or ".join(map(str, fitting))
        return (
            f"{said} Its first linear layer takes as many values as images of {sizes} px give: say which it was made "
            f"for, e.g. input_size={fitting[0].plain} (the side of a square, or (height, width))."
        )
    return (
        f"{said} Say what it takes with input_size= (the side of a square in pixels, or (height, width)) and "
        f"preprocess=Preprocess(mean, std, "
        f"channels=...){_or_part(model, readable)}. If model(images) raises the same for your images, the cause is "
        "in the model; if only copy.deepcopy(model)(images) does, a copy lacks something that the model has."
    )


def _or_part(model: nn.Module, readable: Callable[[nn.Module], bool]) -> str:
    """Return the end of a sentence that names a readable part of the model; empty if there is none."""
    parts = {name: module for name, module in model.named_modules() if name.rpartition(".")[2] in _IMAGE_PARTS}
    ranked = sorted(parts, key=lambda name: (name.count("."), _IMAGE_PARTS.index(name.rpartition(".")[2])))
    for name in ranked[:_MOST_PARTS]:
        if readable(parts[name]):
            return f", or give the part of it that takes images, model.{name}"
    return ""

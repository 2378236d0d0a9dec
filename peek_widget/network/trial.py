"""Finding by trial which images a model takes: the number of channels, the size, and whether a single image works."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from peek_widget._size import Size, SizeLike, read_size
from peek_widget.errors import ModelError
from peek_widget.network.dry_run import BadPreprocessError, NothingReturnedError, RefusalError, Seen
from peek_widget.network.layers import Layer, find_layers
from peek_widget.network.model_copy import ModelCopy
from peek_widget.network.pixelwise import check_pixelwise
from peek_widget.network.preprocess import Preprocess, PreprocessFunction, find_preprocess, stated_images
from peek_widget.network.refusals import BYTES, no_convolution, several_inputs, unreadable

__all__ = ["Found", "find_images"]

# Sides tried in turn when the model's input size is unknown; the first is that of most ImageNet models.
_SIZES = tuple(Size.of(n) for n in (224, 32, 28, 64, 96, 128, 227, 256, 299, 160, 192, 48, 40, 16, 20, 24, 8, 384, 512))

_MOST_CHANNELS = 512
_MOST_TRIALS = 12
_MOST_SHAPES, _MOST_SHOWN = 6, 3
_FRAMES = (1, 8, 16)  # of a video that may be what a model takes


@dataclass(frozen=True)
class Found:
    """A model as it was read; see :class:`~peek_widget.network.network.Network` for the attributes."""

    layers: tuple[Layer, ...]
    paddings: Mapping[str, str | None]
    channels: int
    size: Size
    preprocess: Preprocess


@dataclass(frozen=True)
class _Failure:
    """Why the model can't be read with a number of channels.

    Attributes:
        error: what was raised at the first size that was tried.
        seen: what that forward did.
        lacking: see :class:`Seen`; at any size.
        convolutions: the largest number of convolutions that were computed at any size.
        squeezed: see :class:`Seen`; at any size.
        final: whether it would be the same with another number of channels.
    """

    channels: int
    error: Exception
    seen: Seen
    lacking: tuple[int, int] | None
    convolutions: int
    squeezed: bool
    final: bool


def find_images(
    model_copy: ModelCopy,
    input_size: SizeLike | None = None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None = None,
    check: bool = True,
) -> Found:
    """Read a model with the first size and number of channels that its forward runs with.

    The number of channels that a Preprocess says holds. Else 3 are tried, then 1, then the number with which the
    convolution that was given too few or too many would get what it takes: what a model does to its image before its
    first convolution (space to depth, two images in one) can only be found by running it.

    Args:
        model_copy: the model.
        input_size, preprocess: see :func:`~peek_widget.network.read`.
        check: whether to check a preprocess function; not where that was done before, perhaps in another thread.

    Raises:
        ModelError: if there is none, with the reason.
        SizeError: if ``input_size`` is not one or two whole numbers above 0.
    """
    given = None if input_size is None else read_size(input_size, "input_size")
    original = model_copy.original
    if len(needed := _needed(original)) > 1:
        raise ModelError(several_inputs(original, needed, _readable))
    own = _own_size(original)
    said_channels, said_size = stated_images(original, preprocess)
    said = _said(said_size, given)
    stated = given or said or own
    # An argument is taken as it is; an attribute may mean something else, such as 784 for 28 x 28.
    sizes = (stated,) if stated and (given or said) else (own, *_SIZES) if own else _SIZES
    failures: list[_Failure] = []
    for channels in _channels(model_copy, preprocess, said_channels, failures):
        chosen = find_preprocess(original, channels, preprocess)
        found = _try_sizes(model_copy, channels, sizes, chosen)
        if isinstance(found, Found):
            found = _smaller(model_copy, found) if stated is None and found.size == _SIZES[0] else found
            if check and chosen.function is not None:
                pixels = check_pixelwise(chosen.function, channels, found.size, model_copy.device)
                found = replace(found, preprocess=replace(found.preprocess, alone=pixels.alone))
            return found
        failures.append(found)
        if found.final:
            break
    likely = max(failures, key=lambda one: one.convolutions)
    raise ModelError(
        unreadable(
            original,
            likely.error,
            likely.seen,
            channels=likely.channels,
            others=[one.channels for one in failures if one is not likely and one.lacking is None],
            tried=f"at {sizes[0]} px" + (" (nor at any other size tried)" if len(sizes) > 1 else ""),
            squeezed=likely.squeezed,
            lacking=likely.lacking,
            instead=_instead(model_copy, input_size, preprocess, likely),
            fitting=_fitting_sizes(
                model_copy, likely, sizes[0], find_preprocess(original, likely.channels, preprocess)
            ),
            frames=_frames(model_copy, likely, sizes[0]),
            given=_otherwise_given(model_copy, likely, sizes[0]),
            readable=_readable,
        )
    ) from likely.error


def _said(said: tuple[int, int] | None, given: Size | None) -> Size | None:
    """Return the size of the images that a preprocessing makes; None if it leaves that open.

    Raises:
        ModelError: if ``input_size`` is larger.
    """
    if said is None:
        return None
    made = Size.of(said)
    if given is not None and (given.height > made.height or given.width > made.width):
        raise ModelError(
            f"preprocess makes images of {made} px, and input_size={given.plain} asks for more: leave input_size out, "
            "or give Preprocess(mean, std) without resize and crop."
        )
    return made


def _try_sizes(model_copy: ModelCopy, channels: int, sizes: Sequence[Size], preprocess: Preprocess) -> Found | _Failure:
    first: tuple[Exception, Seen] | None = None
    hopeless = False
    lacking, convolutions, squeezed, final = None, 0, False, False
    for size in sizes:
        for images in (1, 2):
            seen = Seen()
            try:
                found, paddings = find_layers(model_copy, channels, size, preprocess, seen, images)
            except RefusalError:
                raise
            except Exception as error:
                first = first or (error, seen)
                convolutions = max(convolutions, seen.convolutions)
                lacking = lacking or seen.lacking
                squeezed = squeezed or seen.squeezed
                final = isinstance(error, NothingReturnedError) or seen.key is not None
                if final:
                    first = error, seen
                hopeless = final or lacking is not None or isinstance(error, BadPreprocessError)
                if final or not seen.squeezed:
                    break  # two images would not help
                continue
            if not seen.convolutions:
                raise ModelError(no_convolution(model_copy.original))
            model_copy.least_images = images
            return Found(tuple(found), paddings, channels, size, preprocess)
        if hopeless:
            break  # no other size would help
    assert first is not None
    return _Failure(channels, *first, lacking, convolutions, squeezed, final)


def _fitting_sizes(model_copy: ModelCopy, failure: _Failure, tried: Size, preprocess: Preprocess) -> list[Size]:
    """Return image sizes that give a model's first linear layer as many values as it takes, found by trial."""
    if failure.seen.flat is None:
        return []
    takes, (channels, rows, columns) = failure.seen.flat
    if takes % channels:
        return []
    positions, found = takes // channels, []
    shapes = [(n, positions // n) for n in range(1, positions + 1) if positions % n == 0]
    # Rows and columns of its map per pixel, from the size that was tried; the squarest first.
    for high, wide in sorted(shapes, key=lambda one: (abs(math.log(one[0] / one[1])), -one[0]))[:_MOST_SHAPES]:
        size = Size(round(tried.height / rows * high), round(tried.width / columns * wide))
        if isinstance(_try_sizes(model_copy, failure.channels, [size], preprocess), Found):
            found.append(size)
    return found[:_MOST_SHOWN]


def _frames(model_copy: ModelCopy, failure: _Failure, size: Size) -> str | None:
    """Return how images become the 5-dimensional input that a model takes, by trial, as Python; None for none."""
    if failure.seen.convolutions:
        return None
    image = torch.full((1, failure.channels, *size), 0.5, dtype=torch.float32)
    for count in _FRAMES:
        for axis in (1, 2):
            shape = [-1] * 5
            shape[axis] = count
            try:
                with torch.no_grad():
                    model_copy.whole(image.unsqueeze(axis).expand(shape))
            except Exception:  # whatever the forward raises
                continue
            return f"images.unsqueeze({axis})" + (f".expand({', '.join(map(str, shape))})" if count > 1 else "")
    return None


def _otherwise_given(model_copy: ModelCopy, failure: _Failure, size: Size) -> str | None:
    """Return how a model wants its images, found by trial, as the arguments of a call; None if no way works."""
    parameters = inspect.signature(model_copy.original.forward).parameters.values()
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if by_name and not any(p.kind in (p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters):
        return f"{by_name[0]}=images"
    image = torch.full((1, failure.channels, *size), 0.5, device=model_copy.device, dtype=torch.float32)
    for given, arguments in (
        (image.permute(0, 2, 3, 1).to(model_copy.dtype), "images.permute(0, 2, 3, 1)"),
        ((image * 255).byte(), BYTES),
    ):
        try:
            with torch.no_grad():
                model_copy.forward(given)
        except Exception:  # whatever the forward raises
            continue
        return arguments
    return None


def _smaller(model_copy: ModelCopy, found: Found) -> Found:
    """Read a network again at a smaller size, where its receptive fields are small.

    A network with receptive fields of 20 px was not made for 224 px: drawn at that size, a unit would fill a hundredth
    of the picture.
    """
    deepest = max(layer.receptive_field[0] for layer in found.layers if layer.spatial or not layer.global_field)
    size = next((one for one in (32, 64, 96, 128) if deepest <= one), None)
    if size is None:
        return found
    again = _try_sizes(model_copy, found.channels, [Size(size, size)], found.preprocess)
    return again if isinstance(again, Found) else found  # its last layers fix the size at 224 px: an answer too


def _channels(
    model_copy: ModelCopy,
    given: Preprocess | PreprocessFunction | Literal["none"] | None,
    stated: int | None,
    failures: Sequence[_Failure],
) -> Iterator[int]:
    """Iterate over the numbers of channels to try; ``failures`` holds the outcomes of the earlier ones."""
    model = model_copy.original
    said = given if given is not None else getattr(model, "preprocess", None)
    if stated is not None and not isinstance(said, Preprocess):
        yield stated
        return
    if isinstance(said, Preprocess):
        yield said.count
        if said.function is None:
            return
    waiting, tried = [3, 1], {said.count} if isinstance(said, Preprocess) else set()
    own = _own_channels(model)
    if own is not None:
        waiting.insert(0, own)
    # Of the copy: a parametrized weight of the user's own (spectral norm) would be changed by reading it.
    first = next((m for m in model_copy.module.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None:
        waiting.append(first.in_channels)
    while waiting and len(tried) < _MOST_TRIALS:
        channels = waiting.pop(0)
        if channels in tried or not 0 < channels <= _MOST_CHANNELS:
            continue
        tried.add(channels)
        yield channels
        if failures and failures[-1].channels == channels:
            # After 3 and 1, since a model may have fewer channels than its image.
            place = next((n for n, one in enumerate(waiting) if one not in (3, 1)), len(waiting))
            waiting[place:place] = _fitting(failures[-1])


def _fitting(failure: _Failure) -> list[int]:
    """Return the numbers of channels with which a convolution may get as many as it takes."""
    if failure.lacking is None:
        return []
    takes, given = failure.lacking
    # Its input has a multiple of the image's channels; or it is that part of them which the convolutions before leave.
    scaled = failure.channels * takes
    return ([scaled // given] if given and scaled % given == 0 else []) + [failure.channels + takes - given]


def _instead(
    model_copy: ModelCopy,
    input_size: SizeLike | None,
    preprocess: Preprocess | PreprocessFunction | Literal["none"] | None,
    failure: _Failure,
) -> int | None:
    """Return the number of channels that the model can be read with, if the given one is wrong."""
    if failure.lacking is None or not isinstance(preprocess, Preprocess):
        return None
    try:
        return find_images(model_copy, input_size, "none").channels
    except ModelError:
        return None


def _readable(model: nn.Module) -> bool:
    """Return whether a model can be read."""
    try:
        find_images(ModelCopy(model))
    except ModelError:
        return False
    return True


def _needed(model: nn.Module) -> list[str]:
    """Return the names of the required arguments of the model's forward."""
    return [
        p.name
        for p in inspect.signature(model.forward).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]


def _stated(model: nn.Module) -> object:
    size = getattr(model, "input_size", None)
    config = getattr(model, "pretrained_cfg", None)
    return config.get("input_size") if size is None and isinstance(config, dict) else size


def _own_size(model: nn.Module) -> Size | None:
    """Return the input size that the model's attributes give (``input_size``, timm's ``pretrained_cfg``), if any.

    It is the side of a square, (height, width), or has those two last, as (channels, height, width).
    """
    size = _stated(model)
    sides = tuple(size[-2:]) if isinstance(size, (tuple, list)) and size else (size,)
    whole = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
    return Size(sides[0], sides[-1]) if whole else None


def _own_channels(model: nn.Module) -> int | None:
    """Return the number of channels that the model's attributes give, as ``(channels, height, width)``, if any."""
    size = _stated(model)
    return size[0] if isinstance(size, (tuple, list)) and len(size) == 3 and isinstance(size[0], int) else None

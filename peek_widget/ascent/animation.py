"""Animations of a run: GIF and WebP by Pillow, MP4 where PyAV is installed."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image as PILImage
from torch import Tensor

from peek_widget.ascent.pictures import to_pil
from peek_widget.ascent.result import Step
from peek_widget.errors import FileError, PeekError

__all__ = ["MAX_FRAMES", "animation", "save_animation"]

MAX_FRAMES = 200
"""Default for the largest number of pictures of an animation; longer runs are thinned out evenly."""

ENDINGS = {".gif": "gif", ".webp": "webp", ".mp4": "mp4"}


class HasFigure(Protocol):
    """A step shown as a figure, such as one of a comparison."""

    def figure(self) -> PILImage.Image:
        """Return the figure."""


Frame = Step | HasFigure | PILImage.Image | Tensor
"""One frame of an animation; a tensor is ``[C, H, W]`` in [0, 1]."""


def save_animation(
    steps: Iterable[Frame], path: str | Path, *, rate: float = 20.0, hold: float = 1.5, most: int = MAX_FRAMES
) -> None:
    """Write the pictures of a run as an animation, a .gif, .webp or .mp4 file.

    Pictures are enlarged to the size of the largest; other shapes are padded with gray. If there are more than `most`
    pictures, every second (fourth, ...) one is shown, always including the first and the last.

    Args:
        steps: steps of `ascend` or `compare`, or pictures (PIL images, or tensors ``[C, H, W]`` in [0, 1]).
        path: path of the file; its ending determines the format. It is written only once all of it is encoded.
        rate: pictures per second, from 1 to 50.
        hold: seconds, up to 60, for which the last picture is shown before the animation starts again.
        most: largest number of pictures, from 2.

    Raises:
        FileError: for another ending, or for .mp4 without PyAV.
        PeekError: if there are no pictures, something is neither a step nor a picture, or a number is out of range.
        OSError: if the file can't be written.

    Example:
        ``save_animation(ascend(model, Neuron("layer3.1", 7)), "unit7.gif")``
    """
    path = Path(path)
    kind = kind_of(path.name)
    if not 1.0 <= rate <= 50.0:
        raise PeekError(f"rate={rate!r}: give a number of pictures per second from 1 to 50.")
    if isinstance(most, bool) or not isinstance(most, int) or most < 2:
        raise PeekError(f"most={most!r}: give a whole number of pictures, at least 2.")
    path.write_bytes(animation(_thin_out(map(_as_pil, steps), most), kind, rate=rate, hold=hold))


def kind_of(name: str) -> str:
    """Return the format that a file name's ending stands for: "gif", "webp" or "mp4".

    Raises:
        FileError: for another ending, or for .mp4 without PyAV.
    """
    kind = ENDINGS.get(Path(name).suffix.lower())
    if kind is None:
        raise FileError(f"{name!r} has no ending that names an animation: give .gif, .webp or .mp4.")
    if kind == "mp4":
        _pyav()
    return kind


def animation(pictures: list[PILImage.Image], kind: str, *, rate: float = 20.0, hold: float = 1.5) -> bytes:
    """Encode pictures as a "gif", "webp" or "mp4"; see :func:`save_animation` for the arguments."""
    if not pictures:
        raise PeekError("There are no pictures to animate: draw some steps first.")
    if not 0.0 <= hold <= 60.0:
        raise PeekError(f"hold={hold!r}: give a number of seconds from 0 to 60.")
    largest = max((picture.size for picture in pictures), key=lambda size: (size[0] * size[1], size))
    frames = [_fitted(picture.convert("RGB"), largest) for picture in pictures]
    if kind == "mp4":
        return _mp4(frames, rate, hold)
    times = [round(1000.0 / rate)] * (len(frames) - 1) + [max(round(1000.0 * hold), round(1000.0 / rate))]
    into = io.BytesIO()
    if kind == "webp":
        frames[0].save(into, "WEBP", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=85)
    else:
        # Each picture has its own palette: a run begins with noise and ends with other colors.
        indexed = [frame.quantize(256, PILImage.Quantize.MEDIANCUT) for frame in frames]
        indexed[0].save(into, "GIF", save_all=True, append_images=indexed[1:], duration=times, loop=0)
    return into.getvalue()


def _mp4(frames: list[PILImage.Image], rate: float, hold: float) -> bytes:
    av = _pyav()
    # yuv420p has one color sample for two by two pixels, so width and height must be even.
    width, height = (2 * (length // 2) or 2 for length in frames[0].size)
    frames = [*frames, *[frames[-1]] * round(hold * rate)]
    into = io.BytesIO()
    with av.open(into, "w", format="mp4") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18"} if codec == "libx264" else {"qscale": "3"}
        for frame in frames:
            array = np.asarray(_resize(frame, (width, height)))
            for packet in stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return into.getvalue()


def _pyav() -> Any:
    """Import PyAV; FileError if it is not installed."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise FileError(
            "An .mp4 needs PyAV, which is not installed: pip install av, or give a name that ends in .gif or .webp."
        ) from error


def _as_pil(step: Frame) -> PILImage.Image:
    if isinstance(step, PILImage.Image):
        return step
    if isinstance(step, Tensor):
        return to_pil(step)
    if isinstance(step, Step):
        return step.image
    if hasattr(step, "figure"):
        return step.figure()
    raise PeekError(
        f"A {type(step).__name__} is neither a step of a run nor a picture: give ascend(...), compare(...), PIL "
        "images or tensors [C, H, W]."
    )


def _thin_out(pictures: Iterator[PILImage.Image], most: int) -> list[PILImage.Image]:
    """Keep at most ``most`` pictures, evenly spaced, with the first and the last among them."""
    kept: list[PILImage.Image] = []
    stride, last, number = 1, None, -1
    for number, picture in enumerate(pictures):
        last = picture
        if number % stride:
            continue
        if len(kept) >= most - 1:
            kept, stride = kept[::2], 2 * stride
            if number % stride:
                continue
        kept.append(picture)
    if last is not None and number % stride:
        kept.append(last)
    return kept


def _fitted(picture: PILImage.Image, size: tuple[int, int]) -> PILImage.Image:
    """Return a picture enlarged to a size; one of another shape as large as fits, on gray."""
    scale = min(size[0] / picture.width, size[1] / picture.height)
    own = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
    if max(abs(own[0] - size[0]), abs(own[1] - size[1])) <= 1:  # the same shape, but for rounding
        return _resize(picture, size)
    ground = PILImage.new("RGB", size, (128, 128, 128))
    ground.paste(_resize(picture, own), ((size[0] - own[0]) // 2, (size[1] - own[1]) // 2))
    return ground


def _resize(picture: PILImage.Image, size: tuple[int, int]) -> PILImage.Image:
    return picture if picture.size == size else picture.resize(size, PILImage.Resampling.BICUBIC)

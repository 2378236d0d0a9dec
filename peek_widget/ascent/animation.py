"""A run as an animation: GIF and WebP by Pillow, MP4 where PyAV is installed."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage
from torch import Tensor

from peek_widget.ascent.pictures import to_pil
from peek_widget.errors import FileError, PeekError

__all__ = ["MOST_FRAMES", "animation", "save_animation"]

MOST_FRAMES = 200
"""Of an animation, unless told otherwise: a run of any length is thinned out evenly to so many pictures at most."""

ENDINGS = {".gif": "gif", ".webp": "webp", ".mp4": "mp4"}


def save_animation(
    steps: Iterable[Any], path: str | Path, *, rate: float = 20.0, hold: float = 1.5, most: int = MOST_FRAMES
) -> None:
    """Write the pictures of a run as an animation; the name's ending says which: .gif, .webp or .mp4.

    Pictures that grow on the way are shown at the size of the largest. The first and the last are always there;
    of more than `most` pictures every second, every fourth, ... is.

    Args:
        steps: what `ascend` or `compare` gives, or pictures (tensors ``[C, H, W]`` in [0, 1], or PIL images).
        path: of the file, which is written only when all of it is ready.
        rate: pictures a second, up to 50.
        hold: seconds that the last picture stays, before the animation begins again.
        most: pictures at most.

    Raises:
        FileError: if the ending names none of the three, or .mp4 and PyAV is not installed.
        PeekError: if there are no pictures, or what is given is none, or a number is out of its range.
        OSError: if the file can't be written.

    Example:
        ``save_animation(ascend(model, Neuron("layer3.1", 7)), "unit7.gif")``
    """
    path = Path(path)
    kind = kind_of(path.name)
    if not 1.0 <= rate <= 50.0:
        raise PeekError(f"rate={rate!r}: give pictures a second from 1 to 50.")
    if isinstance(most, bool) or not isinstance(most, int) or most < 2:
        raise PeekError(f"most={most!r}: give a number of pictures from 2.")
    path.write_bytes(animation(_thinned(map(_picture, steps), most), kind, rate=rate, hold=hold))


def kind_of(name: str) -> str:
    """By a file's name "gif", "webp" or "mp4"; FileError for any other, and for one that can't be made here."""
    kind = ENDINGS.get(Path(name).suffix.lower())
    if kind is None:
        raise FileError(f"{name!r} has no ending that names an animation: give .gif, .webp or .mp4.")
    if kind == "mp4":
        _video()
    return kind


def animation(pictures: list[PILImage.Image], kind: str, *, rate: float = 20.0, hold: float = 1.5) -> bytes:
    """The pictures as the bytes of an animation, "gif", "webp" or "mp4"; see :func:`save_animation`."""
    if not pictures:
        raise PeekError("There are no pictures to animate: draw some steps first.")
    if not 0.0 <= hold <= 60.0:
        raise PeekError(f"hold={hold!r}: give seconds from 0 to 60.")
    side = max(picture.size for picture in pictures)
    frames = [_of_size(picture.convert("RGB"), side) for picture in pictures]
    if kind == "mp4":
        return _mp4(frames, rate, hold)
    times = [round(1000.0 / rate)] * (len(frames) - 1) + [max(round(1000.0 * hold), round(1000.0 / rate))]
    into = io.BytesIO()
    if kind == "webp":
        frames[0].save(into, "WEBP", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=85)
    else:
        # A palette of its own for each picture: a run begins in noise and ends in other colors.
        few = [frame.quantize(256, PILImage.Quantize.MEDIANCUT) for frame in frames]
        few[0].save(into, "GIF", save_all=True, append_images=few[1:], duration=times, loop=0)
    return into.getvalue()


def _mp4(frames: list[PILImage.Image], rate: float, hold: float) -> bytes:
    av = _video()
    # Of the colors of such a video there is one for each two pixels across and down.
    width, height = (2 * (length // 2) or 2 for length in frames[0].size)
    frames = [*frames, *[frames[-1]] * round(hold * rate)]
    into = io.BytesIO()
    with av.open(into, "w", format="mp4") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18"} if codec == "libx264" else {"qscale": "3"}
        for frame in frames:
            array = np.asarray(_of_size(frame, (width, height)))
            for packet in stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return into.getvalue()


def _video() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise FileError(
            "An .mp4 needs PyAV, which is not installed: pip install av, or give a name that ends in .gif or .webp."
        ) from error


def _picture(step: Any) -> PILImage.Image:
    if isinstance(step, PILImage.Image):
        return step
    if isinstance(step, Tensor):
        return to_pil(step)
    if hasattr(step, "figure"):
        return step.figure()
    if isinstance(getattr(step, "image", None), PILImage.Image):
        return step.image
    raise PeekError(
        f"A {type(step).__name__} is no step of a run and no picture: give ascend(...), compare(...), PIL images or "
        "tensors [C, H, W]."
    )


def _thinned(pictures: Iterator[PILImage.Image], most: int) -> list[PILImage.Image]:
    """At most so many, evenly over all that come, the first and the last among them."""
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


def _of_size(picture: PILImage.Image, size: tuple[int, int]) -> PILImage.Image:
    return picture if picture.size == size else picture.resize(size, PILImage.Resampling.BICUBIC)

"""The pictures that both sides of benchmarks/stream.py show: precomputed, each with its number encoded in it.

Imported by the notebooks of the benchmark, in their kernel.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from jupyter_rfb import RemoteFrameBuffer

from peek_widget import UnitExplorer
from peek_widget.live.pacing import Pacer
from peek_widget.live.still_meter import StillMeter
from peek_widget.zoo import Images

SIDE = int(os.environ.get("PEEK_STREAM_SIDE", "512"))
BLOCK = 8
"""Side in pixels of the block that encodes a bit: that of a JPEG block, so that it survives the encoding."""

NUMBER_BITS, VALUE_BITS = 24, 8
PICTURES = 24

STEP_SECONDS = 0.001
"""Seconds that a step of our ascent sleeps, so that the worker does not only spin."""


class Source:
    """Pictures of 512 px, each with its number and with the value of the control in its first row of blocks."""

    def __init__(self) -> None:
        images = Images(PICTURES, size=SIDE // 2, seed=0)
        doubled = [image.repeat_interleave(2, 1).repeat_interleave(2, 2) for image, _ in images]
        self._pictures = [(255 * picture).byte().permute(1, 2, 0).contiguous().numpy() for picture in doubled]
        self._numbers = itertools.count(1)
        self.value = 0

    def next(self) -> np.ndarray:
        """Return the next picture, uint8 `[512, 512, 3]`."""
        number = next(self._numbers)
        # the same picture for eight frames, so that it does not flicker
        picture = self._pictures[number // 8 % PICTURES].copy()
        bits = [number >> bit & 1 for bit in range(NUMBER_BITS)]
        bits += [self.value >> bit & 1 for bit in range(VALUE_BITS)]
        strip = np.repeat(np.array(bits, np.uint8) * 255, BLOCK)
        picture[:BLOCK, : len(strip)] = strip[None, :, None]
        return picture

    def turn(self) -> None:
        """Note that the control was moved."""
        self.value = (self.value + 1) % 2**VALUE_BITS


class Buffer(RemoteFrameBuffer):
    """A frame buffer of jupyter_rfb that draws continuously, as in its guide: every frame requests the next."""

    def __init__(self, source: Source) -> None:
        super().__init__(css_width=f"{SIDE}px", css_height=f"{SIDE}px", resizable=False)
        self._source = source
        self.bytes_sent: list[int] = []

    def get_frame(self) -> np.ndarray:
        self.request_draw()
        return self._source.next()

    def handle_event(self, event: dict[str, Any]) -> None:
        if event["event_type"] == "pointer_move":
            self._source.turn()
            self.request_draw()

    def send(self, content: Any, buffers: Any = None) -> None:
        if buffers:
            self.bytes_sent.append(len(buffers[0]))
        super().send(content, buffers)


@dataclass
class Made:
    """A step of it: its picture, ``[3, H, W]``, and a number."""

    tensor: torch.Tensor
    unread_activation: float

    @property
    def images(self) -> torch.Tensor:
        """The picture as a batch of one."""
        return self.tensor[None]

    @property
    def nbytes(self) -> int:
        """Bytes of the picture."""
        return self.tensor.nbytes

    def read_with(self, numbers: Sequence[torch.Tensor]) -> list[float]:
        """Return the numbers: the picture is on the CPU already."""
        return [float(one) for one in numbers]


class Precomputed:
    """An ascent whose step is the next picture."""

    size, index = SIDE, 0
    steps = 10**9
    done = False
    seeds = (0,)
    recipe = SimpleNamespace(steps=steps)

    def __init__(self, source: Source) -> None:
        self._source = source

    def step(self) -> Any:
        time.sleep(STEP_SECONDS)
        self.index += 1
        image = torch.from_numpy(self._source.next()).permute(2, 0, 1).float().div_(255)
        return Made(image, float(self.index % 100))

    def override(self, **_knobs: float | None) -> None:
        self._source.turn()

    def extend(self, n: int) -> None:
        """Do nothing: the ascent has no end."""

    def values(self) -> dict[str, float]:
        return {}

    recipe_values = values

    def state(self, on_host: bool = True) -> None:
        """Return None: no earlier step is resumed here."""


class Explorer(UnitExplorer):
    """The explorer with precomputed pictures."""

    def __init__(self, source: Source, rate: float) -> None:
        self.bytes_sent: list[int] = []
        super().__init__(playing=False)
        self._parts.run._audience.pacer = Pacer(rate, now=time.monotonic())
        self._parts.run._worker._make_ascent = lambda _target: Precomputed(source)
        # these pictures are of no unit
        self._parts.run._worker._meter = StillMeter(lambda shown: lambda: shown.view_activation, time.monotonic)
        # observed in the worker, after the frame has been sent
        self.observe(lambda change: self.bytes_sent.append(len(change.new)), "frame")
        self.play()

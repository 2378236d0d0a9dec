"""Networks whose circuits are set by hand, and images of what their units look for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 16

ACROSS, DOWN, DOT = 0, 1, 2
"""Units of `lines`: a line across, a line down, and a light point anywhere."""


def lines(units: int = 3) -> nn.Conv2d:
    """A convolution whose first units look for lines in a gray image; further ones for nothing."""
    conv = nn.Conv2d(1, units, 3, padding=1, bias=False)
    kernel = torch.zeros(units, 1, 3, 3)
    kernel[ACROSS, 0] = torch.tensor([[-1.0, -1, -1], [2, 2, 2], [-1, -1, -1]]) / 6
    kernel[DOWN, 0] = kernel[ACROSS, 0].T
    if units > DOT:
        kernel[DOT, 0, 1, 1] = 1.0
    conv.weight.data = kernel
    return conv


def by_hand(rows: dict[int, dict[int, float]], units: int, inputs: int, bias: float = 0.0) -> nn.Conv2d:
    """A 1 x 1 convolution with these weights and no others: by its unit, by the unit that it reads."""
    conv = nn.Conv2d(inputs, units, 1)
    conv.weight.data.zero_()
    conv.bias.data.fill_(bias)
    for unit, row in rows.items():
        for lower, weight in row.items():
            conv.weight.data[unit, lower] = weight
    return conv


def picture(*strokes: str) -> Tensor:
    """A gray image [1, 16, 16]: "across" and "down" are lines through its center, "dot" a point beside them."""
    image = torch.zeros(1, SIDE, SIDE)
    for stroke in strokes:
        if stroke == "across":
            image[0, SIDE // 2, 2:-2] = 1.0
        elif stroke == "down":
            image[0, 2:-2, SIDE // 2] = 1.0
        else:
            image[0, 3, 3] = 1.0
    return image


PICTURES: Sequence[Tensor] = [
    picture("across"),
    picture("down"),
    picture("across", "down"),
    picture("dot"),
    picture("across", "down", "dot"),
    picture("down", "dot"),
]


class Stack(nn.Sequential):
    """A Sequential for gray images of 16 px."""

    input_size = SIDE


class Bypass(nn.Module):
    """A residual block behind a convolution: unit u reads unit u of `first` past the block, and others through it."""

    input_size = SIDE

    def __init__(self) -> None:
        super().__init__()
        self.first = lines()
        self.block = _Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(F.relu(self.first(x)))


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = by_hand({0: {DOWN: 1.0}, 1: {ACROSS: -1.0}}, 2, 3)
        self.outer = by_hand({ACROSS: {0: 1.0}, DOWN: {1: 1.0}}, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out = self.outer(F.relu(self.inner(x)))
        out += x
        return F.relu_(out)


class Joined(nn.Module):
    """Two branches joined to one map, pooled, and read by a convolution."""

    input_size = SIDE

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left = lines(2)
        self.right = nn.Conv2d(1, 3, 1)
        self.right.weight.data.abs_()
        self.right.bias.data.fill_(0.1)
        self.norm = nn.BatchNorm2d(5)
        self.read = by_hand({0: {1: 1.0, 4: -2.0}}, 1, 5)
        self.norm.weight.data.uniform_(0.5, 2.0)
        self.norm.running_mean.uniform_(-0.2, 0.2)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([F.relu(self.left(x)), torch.relu(self.right(x))], 1)
        return self.read(F.max_pool2d(self.norm(both), 2))


class Gated(nn.Module):
    """Squeeze-and-excitation between two convolutions."""

    input_size = SIDE

    def __init__(self) -> None:
        super().__init__()
        self.first = lines()
        self.gate = nn.Conv2d(3, 3, 1)
        self.second = by_hand({0: {ACROSS: 1.0}}, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        return self.second(x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True))))


class Writes(nn.Module):
    """Its forward writes into a part of a map that it reads later."""

    input_size = SIDE

    def __init__(self) -> None:
        super().__init__()
        self.first = lines()
        self.second = by_hand({0: {ACROSS: 1.0}}, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x[:, 1].mul_(0.5)
        return self.second(x)

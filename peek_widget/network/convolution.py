"""A faster gradient of a network's first convolution with respect to its input."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peek_widget.network.context import full_precision

__all__ = ["conv2d"]

# Measured on one CPU thread (AVX-512, torch 2.14, oneDNN): at 224 px the 7 x 7 filters of SqueezeNet 1.0, GoogLeNet and
# the ResNets take 0.25 to 0.5 of the time, AlexNet's 11 x 11 and the patches of ConvNeXt and ViT 0.2 to 0.4. With 3 x 3
# filters there is little to gain; with 8 input channels and more, or a stride of 1, it is slower.
_MOST_CHANNELS = 4
_LEAST_KERNEL = 4


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Compute ``torch.conv2d``, bit for bit, with a faster formula for the gradient with respect to ``input``.

    The usual algorithm scatters each output's gradient over pixels that are ``stride`` apart, and vectorizes over input
    channels, of which an image has only three. Instead, the pixels are grouped by the remainder of their coordinates
    divided by the stride: the gradient of each group is an ordinary convolution of the output's gradient with every
    ``stride``-th tap of the filters. All groups are computed by one convolution with ``C * stride * stride`` filters
    and then interleaved (a sub-pixel convolution, Shi et al. 2016, arXiv 1609.05158). The same products are summed in
    another order.

    Used for frozen float32 weights on a CPU with few input channels and large filters with equal strides, no dilation
    and no groups; everything else goes to ``torch.conv2d``.
    """
    strides, paddings = _pair(stride), _pair(padding)
    if (
        torch.is_grad_enabled()
        and input.requires_grad
        and not weight.requires_grad
        and not (bias is not None and bias.requires_grad)
        and _plain(input)
        and _plain(weight)
        and input.ndim == weight.ndim == 4
        and weight.shape[1] <= _MOST_CHANNELS
        and min(weight.shape[2:]) >= _LEAST_KERNEL
        and strides is not None
        and paddings is not None
        and strides[0] == strides[1] > 1
        and _pair(dilation) == (1, 1)
        and groups == 1
    ):
        if torch.is_autocast_enabled("cpu"):
            kind = torch.get_autocast_dtype("cpu")
            input, weight, bias = input.to(kind), weight.to(kind), None if bias is None else bias.to(kind)
        return _SubPixel.apply(input, weight, bias, strides[0], paddings)
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _pair(value: Any) -> tuple[int, int] | None:
    """Return one number for rows and one for columns; None for padding given as a string."""
    if isinstance(value, str):
        return None
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * 2 if len(values) == 1 else values


def _plain(tensor: Tensor) -> bool:
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.dtype is torch.float32
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
    )


@functools.cache
@torch.inference_mode(False)
def _taps(shape: tuple[int, int, int, int], s: int) -> Tensor:
    """Return the indices of the groups' filter taps in the flat weights, from 1; 0 for no tap.

    Args:
        shape: of the weights ``[N, C, K, L]``.
        s: stride.

    Returns:
        ``[C * s * s, N, K / s, L / s]``, rounded up.
    """
    count, channels, down, across = shape
    rows, columns = -(-down // s), -(-across // s)
    places = torch.arange(1, 1 + math.prod(shape), device="cpu").view(shape)
    places = F.pad(places, (0, columns * s - across, 0, rows * s - down))
    places = places.view(count, channels, rows, s, columns, s).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
    return places.reshape(channels * s * s, count, rows, columns)


class _SubPixel(torch.autograd.Function):
    """A convolution of stride ``s``, whose backward consists of differentiable functions and supports ``vmap``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(input: Tensor, weight: Tensor, bias: Tensor | None, s: int, padding: tuple[int, int]) -> Tensor:
        return torch.conv2d(input, weight, bias, s, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        image, weight, _, ctx.stride, ctx.padding = inputs
        # The image's shape would do, but a checkpointed block, which runs again outside our mode, compares what is
        # saved here with what torch.conv2d saves.
        ctx.save_for_backward(image, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with full_precision(gradient.device):
            return _SubPixel._gradient(ctx, gradient), None, None, None, None

    @staticmethod
    def _gradient(ctx: Any, gradient: Tensor) -> Tensor:
        image, weight = ctx.saved_tensors
        s, (top, left), (height, width) = ctx.stride, ctx.padding, image.shape[2:]
        channels = weight.shape[1]
        order = _taps(tuple(weight.shape), s)
        rows, columns = order.shape[2:]  # taps for the pixels of one group
        # A zero in front, for groups with fewer taps than others.
        taps = F.pad(weight.flatten(), (1, 0)).index_select(0, order.flatten()).view(order.shape)
        groups = torch.conv2d(gradient, taps, padding=(rows - 1, columns - 1))
        # Same as F.pixel_shuffle, which is slow on channels_last input.
        high, wide = groups.shape[2:]
        groups = groups.permute(0, 2, 3, 1).reshape(-1, high, wide, channels, s, s)
        padded = groups.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, high * s, wide * s)
        # The convolution's own padding is cut off; pixels at the end that no filter reaches get a gradient of zero.
        ends = width + left - padded.shape[3], height + top - padded.shape[2]
        return F.pad(padded, (-left, ends[0], -top, ends[1]))

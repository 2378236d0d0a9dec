"""Receptive fields, propagated through the functions that a forward calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Field", "FieldTracer"]

_WHOLE = (math.inf, math.inf)

_CONVOLUTIONS = {torch.conv2d, F.conv2d}
_TRANSPOSED = {torch.conv_transpose2d, F.conv_transpose2d}
_POOLS = {torch.max_pool2d, F.max_pool2d, F.max_pool2d_with_indices, F.avg_pool2d, F.lp_pool2d}
_ADAPTIVE = {F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.adaptive_avg_pool1d}
# Every place of their output depends on every place of their input.
_MIXING = {F.group_norm, F.instance_norm, F.scaled_dot_product_attention, torch.group_norm, torch.instance_norm}


@dataclass(frozen=True)
class Field:
    """What one place of a map sees: ``size`` (h, w), ``stride`` (h, w) and ``start`` (y, x: the middle of what
    the first place sees) in input pixels; ``dims`` are the map's spatial dimensions in its tensor. An infinite
    size means the whole image."""

    size: tuple[float, float]
    stride: tuple[float, float]
    start: tuple[float, float] = (0.0, 0.0)
    dims: tuple[int, int] = (2, 3)

    @property
    def whole(self) -> bool:
        """Whether a place sees the whole image."""
        return math.isinf(self.size[0]) or math.isinf(self.size[1])


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, (tuple, list)):
        return (int(value[0]), int(value[-1]))
    return (int(value), int(value))


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from _tensors(value)
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))


class FieldTracer:
    """Knows the :class:`Field` of every tensor that the calls reported to it made from the image.

    Exact where a function is a convolution, a pooling, or works place by place; where it is none of these,
    and where its output has other places than its input, a unit is said to see the whole image.
    """

    def __init__(self, image: Tensor) -> None:
        # By id, and keeping the tensor: a collected tensor's id would be given to another.
        self._fields: dict[int, tuple[Tensor, Field]] = {}
        self._set(image, Field((1.0, 1.0), (1.0, 1.0)))

    def of(self, tensor: Tensor) -> Field | None:
        """The field of ``tensor``; None if it does not depend on the image."""
        entry = self._fields.get(id(tensor))
        return None if entry is None else entry[1]

    def _set(self, tensor: Tensor, field: Field) -> None:
        self._fields[id(tensor)] = (tensor, field)

    def called(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Report one call that made ``output``."""
        inputs = [(t, f) for t in _tensors([args, kwargs]) if (f := self.of(t)) is not None]
        if not inputs:
            return
        for tensor in _tensors(output):
            self._set(tensor, self._field(func, args, kwargs, inputs, tensor))

    def _field(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: list[tuple[Tensor, Field]],
        output: Tensor,
    ) -> Field:
        source, field = inputs[0]
        if func in _CONVOLUTIONS:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            kernel, dilation = _pair(weight.shape[-2:]), _pair(_argument(args, kwargs, 5, "dilation", 1))
            padding = _argument(args, kwargs, 4, "padding", 0)
            if isinstance(padding, str):
                same = padding == "same"
                padding = tuple(d * (k - 1) // 2 * same for k, d in zip(kernel, dilation, strict=True))
            return _window(field, kernel, _pair(_argument(args, kwargs, 3, "stride", 1)), dilation, _pair(padding))
        if func in _POOLS:
            kernel = _pair(_argument(args, kwargs, 1, "kernel_size", None))
            stride = _argument(args, kwargs, 2, "stride", None)
            by_max = func not in (F.avg_pool2d, F.lp_pool2d)
            dilation = _pair(_argument(args, kwargs, 4, "dilation", 1)) if by_max else (1, 1)
            padding = _pair(_argument(args, kwargs, 3, "padding", 0)) if func is not F.lp_pool2d else (0, 0)
            return _window(field, kernel, kernel if stride in (None, [], ()) else _pair(stride), dilation, padding)
        if func in _ADAPTIVE and output.shape[-2:] != source.shape[-2:]:
            return replace(field, size=_WHOLE)
        if func is F.pad and field.dims == (source.ndim - 2, source.ndim - 1):
            left, top = ([*list(_argument(args, kwargs, 1, "pad", ())), 0, 0, 0])[0:3:2]
            start = (field.start[0] - top * field.stride[0], field.start[1] - left * field.stride[1])
            return replace(field, start=start)
        if func in _TRANSPOSED:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            stride_h, stride_w = _pair(_argument(args, kwargs, 3, "stride", 1))
            kernel_h, kernel_w = _pair(weight.shape[-2:])
            taps = (math.ceil(kernel_h / stride_h), math.ceil(kernel_w / stride_w))
            grown = _window(field, taps, (1, 1), (1, 1), (0, 0))
            return replace(field, size=grown.size, stride=(field.stride[0] / stride_h, field.stride[1] / stride_w))
        if func is F.interpolate:
            grown = _window(field, (2, 2), (1, 1), (1, 1), (0, 0))
            ratio = [source.shape[d] / output.shape[d] for d in field.dims]
            stride = (field.stride[0] * ratio[0], field.stride[1] * ratio[1])
            # The first place of the new map lies in the corner of what was the first place's.
            start = tuple(y + (r - 1) / 2 * j for y, r, j in zip(field.start, ratio, field.stride, strict=True))
            return replace(field, size=grown.size, stride=stride, start=(start[0], start[1]))
        if func in (torch.permute, Tensor.permute):
            order = args[1] if len(args) == 2 and isinstance(args[1], (tuple, list)) else kwargs.get("dims", args[1:])
            if max(field.dims) >= source.ndim:
                return replace(field, size=_WHOLE)
            order = [int(d) % source.ndim for d in order]
            return replace(field, dims=(order.index(field.dims[0]), order.index(field.dims[1])))
        if func is F.layer_norm:
            normalised = len(_argument(args, kwargs, 1, "normalized_shape", ()))
            mixes = max(field.dims) >= source.ndim - normalised
            return replace(field, size=_WHOLE) if mixes else field
        if func in _MIXING:
            return replace(field, size=_WHOLE)
        return _merge(inputs, output)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, default: Any) -> Any:
    return kwargs.get(name, args[place] if len(args) > place else default)


def _window(
    field: Field, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: tuple[int, int]
) -> Field:
    reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    (size_h, size_w), (step_h, step_w), (y, x) = field.size, field.stride, field.start
    return replace(
        field,
        size=(size_h + reach[0] * step_h, size_w + reach[1] * step_w),
        stride=(step_h * stride[0], step_w * stride[1]),
        start=(y + (reach[0] / 2 - padding[0]) * step_h, x + (reach[1] / 2 - padding[1]) * step_w),
    )


def _merge(inputs: list[tuple[Tensor, Field]], output: Tensor) -> Field:
    """A function that works place by place, or one about which nothing is known."""
    sizes: list[tuple[float, float]] = []
    kept: Field | None = None
    for tensor, field in inputs:
        sizes.append(field.size)
        mapped = tensor.ndim == output.ndim > max(field.dims)
        same = mapped and all(tensor.shape[d] == output.shape[d] for d in field.dims)
        if same and (kept is None or kept.whole):
            kept = field
    if kept is None:
        return replace(inputs[0][1], size=_WHOLE)
    return replace(kept, size=(max(h for h, _ in sizes), max(w for _, w in sizes)))

"""Receptive fields of all tensors of a forward, propagated through the functions that it calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget.network.nested import tensors_in
from peek_widget.network.preactivation import storage_of
from peek_widget.network.receptive_field import functions as known
from peek_widget.network.receptive_field.axes import grid, plain, reshaped, spatial
from peek_widget.network.receptive_field.combined import Inputs, attended, joined, multiplied, pointwise, unknown
from peek_widget.network.receptive_field.field import (
    Field,
    adapted,
    cut_out,
    interpolated,
    padded,
    permuted,
    picked,
    pooled,
    reduced,
    reshuffled,
    sampled,
    spread,
    window,
    without_order,
)
from peek_widget.network.receptive_field.functions import argument
from peek_widget.network.receptive_field.spans import of_image

__all__ = ["FieldTracer"]

_INTERPOLATE = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias")


def _pair(value: Any) -> tuple[int, int]:
    """Return the last two of a function's numbers for each dimension: those of rows and columns."""
    if isinstance(value, (tuple, list)):
        return (int(value[-2] if len(value) > 1 else value[0]), int(value[-1]))
    return (int(value), int(value))


class FieldTracer:
    """Computes the :class:`Field` of every tensor of a forward, whose calls are reported to it one by one.

    It is exact after known functions (convolutions, also transposed ones, pooling, resizing, padding, slicing,
    reshaping, and functions of single positions). After any other function it is unknown which pixels a position
    depends on, and the field says so.

    Args:
        image: the network's input.
    """

    def __init__(self, image: Tensor) -> None:
        # By the tensor's id. The tensor is kept as well, since the id of a collected one would be given to another.
        self._fields: dict[int, tuple[Tensor, Field]] = {}
        self._sizes: set[tuple[int, ...]] = set()
        self._set(image, Field(of_image(image.shape[-2]), of_image(image.shape[-1]), axes=grid(image.shape)))

    def of(self, tensor: Tensor) -> Field | None:
        """Return the field of a tensor; None if it does not depend on the image."""
        entry = self._fields.get(id(tensor))
        if entry is not None:
            return entry[1]
        if not tensor.requires_grad:
            return None
        # Made from the image (nothing else has a gradient) by something that torch does not report.
        axes = grid(tensor.shape) if tensor.ndim == 4 else None
        return Field(None, None, axes, moved="a function that torch does not report")

    def _set(self, tensor: Tensor, field: Field) -> None:
        self._fields[id(tensor)] = (tensor, field)
        if tensor.ndim >= 3:
            self._sizes.add(tuple(tensor.shape[-2:]))

    def called(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Report one call of a torch function and its ``output``."""
        name = known.name_of(func)
        if name in known.SHAPED_LIKE:
            return
        writes = known.writes(func, kwargs)
        # A tensor that was written into may have got its gradient only now.
        made = {id(tensor) for tensor in tensors_in([args[:1], kwargs.get("out")] if writes else [])}
        inputs = [
            (tensor, field)
            for tensor in tensors_in([args, kwargs])
            if (id(tensor) not in made or id(tensor) in self._fields) and (field := self.of(tensor)) is not None
        ]
        if not inputs:
            return
        if name == "setitem":
            output = args[0]
        before = 0
        for tensor in tensors_in(output):
            field = self._field(func, name, args, kwargs, inputs, tensor, before)
            if field.axes is not None and tuple(axis.size for axis in field.axes) != tuple(tensor.shape):
                field = without_order(field, None, name)
            if writes:
                self._written(tensor, field, name)
            self._set(tensor, field)
            if name in known.SLICING:
                before += tensor.shape[int(argument(args, kwargs, 2, "dim", 0))]

    def _written(self, tensor: Tensor, field: Field, name: str) -> None:
        """Record that tensors whose memory a function wrote into depend on what it wrote."""
        was = self._fields.get(id(tensor))
        if was is not None and _same(was[1], field):
            return
        first, last = _memory(tensor)
        for other, theirs in list(self._fields.values()):
            if other is tensor or storage_of(other) != storage_of(tensor):
                continue
            begin, end = _memory(other)
            if begin < last and first < end and not _same(theirs, field):
                self._set(other, without_order(theirs, theirs.axes, name))

    def _field(
        self,
        func: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: Inputs,
        output: Tensor,
        before: int,
    ) -> Field:
        source, field = inputs[0]
        if func in known.CONVOLUTIONS or func in known.DEPTH_CONVOLUTIONS:
            if source is not (args[0] if args else kwargs["input"]) or len(inputs) > 1:
                return unknown(inputs, output, name)  # its weights depend on the image
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            kernel, dilation = _pair(weight.shape), _pair(argument(args, kwargs, 5, "dilation", 1))
            padding = argument(args, kwargs, 4, "padding", 0)
            if isinstance(padding, str):
                same = padding == "same"
                padding = tuple(d * (k - 1) // 2 * same for k, d in zip(kernel, dilation, strict=True))
            stride = _pair(argument(args, kwargs, 3, "stride", 1))
            return window(field, source, output, name, kernel, stride, dilation, _pair(padding))
        if func in known.POOLS:
            kernel = _pair(argument(args, kwargs, 1 if func is not F.lp_pool2d else 2, "kernel_size", None))
            stride = argument(args, kwargs, 2 if func is not F.lp_pool2d else 3, "stride", None)
            by_max = func not in (F.avg_pool2d, F.lp_pool2d)
            dilation = _pair(argument(args, kwargs, 4, "dilation", 1)) if by_max else (1, 1)
            padding = _pair(argument(args, kwargs, 3, "padding", 0)) if func is not F.lp_pool2d else (0, 0)
            step = kernel if stride in (None, [], ()) else _pair(stride)
            return window(field, source, output, name, kernel, step, dilation, padding)
        if func in known.ADAPTIVE:
            return adapted(field, source, output, name)
        if func in known.TRANSPOSED:
            return self._spread_out(args, kwargs, inputs, output, name)
        if func is F.interpolate and source.ndim == 4:
            given = {n: argument(args, kwargs, i, n, None) for i, n in enumerate(_INTERPOLATE, 1)}
            options = {n: value for n, value in given.items() if value is not None}
            return interpolated(field, source, output, options, self._sizes)
        if name in ("pixel_shuffle", "pixel_unshuffle"):
            factor = next(v for v in (*args[1:], *kwargs.values()) if isinstance(v, int))
            return reshuffled(field, source, output, name, factor)
        if name == "pad":
            mode = argument(args, kwargs, 2, "mode", "constant")
            return padded(field, output, list(argument(args, kwargs, 1, "pad", ())), mode)
        if name in known.RESHAPING:
            return replace(field, axes=None if field.axes is None else reshaped(field.axes, output.shape))
        if name in known.PERMUTING:
            return replace(field, axes=permuted(func, args, kwargs, source, field.axes))
        if name in known.SLICING:
            dim = int(argument(args, kwargs, 1 if name == "narrow" else 2, "dim", 0)) % source.ndim
            begin = before if name != "narrow" else int(argument(args, kwargs, 2, "start", 0))
            return cut_out(field, {dim: (begin, 1, output.shape[dim])})
        if func is Tensor.__getitem__:
            alone = source is args[0] and len(inputs) == 1  # else the index depends on the image
            return picked(field, args[1], source) if alone else unknown(inputs, output, name)
        if name == "setitem":
            return self._put(args[1], inputs, output)
        if name in known.JOINING:
            return joined(args, kwargs, inputs, output, name)
        if name == "stack":
            return self._stacked(inputs, args, kwargs, output)
        if func is F.linear:
            return self._linear(inputs, output)
        if name in known.PRODUCTS:
            pair = (*args, *kwargs.values())[:2]
            left, right = (self.of(one) for one in (pair[::-1] if name == "rmatmul" else pair))
            return multiplied(left, right, output, name)
        if name in known.ATTENTION:
            return attended(field, args[0] if args else kwargs["query"], source, output, name)
        if name in known.NORMALIZING:
            axes = field.axes
            count = (
                len(argument(args, kwargs, 1, "normalized_shape", ())) if name in ("layer_norm", "rms_norm") else None
            )
            if count is not None and axes is not None and not any(map(spatial, axes[len(axes) - count :])):
                return pointwise(inputs, output, name)
            return spread(pointwise(inputs, output, name), name)
        if name == "batch_norm" and _by_batch(func, args, kwargs):
            return spread(pointwise(inputs, output, name), name)
        if name == "conv1d" and field.axes is not None and not any(map(spatial, field.axes[-2:])) and len(inputs) == 1:
            return replace(field, axes=(*field.axes[:-2], *map(plain, output.shape[-2:])))  # along the channels
        if name in ("max", "min") and len(args) > 1 and isinstance(args[1], Tensor):
            return pointwise(inputs, output, name)
        if name in known.REDUCING or name in known.ALONG:
            return self._along(name, args, kwargs, inputs, output)
        if name in known.POINTWISE:
            return pointwise(inputs, output, name)
        return unknown(inputs, output, name)

    def _along(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: Inputs, output: Tensor) -> Field:
        """A function along some dimensions, of one tensor."""
        source, field = inputs[0]
        given = args[0] if args else kwargs.get("input", kwargs.get("self"))
        dims = known.dims_of(name, args, kwargs, source)
        if source is not given or dims is None:
            return unknown(inputs, output, name)
        if name in known.REDUCING and len(inputs) == 1:
            return reduced(field, dims, source, output, name)
        if field.axes is None or any(spatial(field.axes[dim]) for dim in dims):
            return unknown(inputs, output, name)
        return pointwise(inputs, output, name)

    def _linear(self, inputs: Inputs, output: Tensor) -> Field:
        """A linear layer: it sums over the last dimension."""
        _, field = inputs[0]
        if field.axes is None or len(inputs) > 1:
            return Field(None, None, None, field.mixed, field.moved or "linear")
        axes = (*field.axes[:-1], plain(output.shape[-1]))
        if not spatial(field.axes[-1]):
            return replace(field, axes=axes)
        if output.ndim == 2:
            return pooled(field, axes, "linear")
        return without_order(field, axes, "linear")

    def _spread_out(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: Inputs, output: Tensor, name: str
    ) -> Field:
        """A transposed convolution."""
        source, field = inputs[0]
        if source is not (args[0] if args else kwargs["input"]) or len(inputs) > 1:
            return unknown(inputs, output, name)
        weight = args[1] if len(args) > 1 else kwargs["weight"]
        kernel, stride = _pair(weight.shape), _pair(argument(args, kwargs, 3, "stride", 1))
        padding, more = (_pair(argument(args, kwargs, i, n, 0)) for i, n in ((4, "padding"), (5, "output_padding")))
        dilation = _pair(argument(args, kwargs, 7, "dilation", 1))

        def along(image: Tensor, i: int) -> Tensor:
            ones = torch.ones(1, 1, kernel[i], 1, dtype=image.dtype, device=image.device)
            return torch.conv_transpose2d(
                image, ones, None, (stride[i], 1), (padding[i], 0), (more[i], 0), 1, (dilation[i], 1)
            )

        return sampled(field, source, output, name, along, (1.0 / stride[0], 1.0 / stride[1]))

    def _put(self, index: Any, inputs: Inputs, output: Tensor) -> Field:
        """Write into a part of a tensor."""
        parts = index if isinstance(index, tuple) else (index,)
        if all(part is Ellipsis or isinstance(part, slice) for part in parts):
            found = pointwise(inputs, output, "setitem")
            return unknown(inputs, output, "setitem") if found.mixed == "setitem" else found
        masked = len(parts) == 1 and isinstance(parts[0], Tensor) and parts[0].dtype == torch.bool
        if masked and all(tensor is output or tensor is parts[0] for tensor, _ in inputs):
            return pointwise(inputs, output, "setitem")
        return unknown(inputs, output, "setitem")

    def _stacked(self, inputs: Inputs, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Field:
        """Tensors of one shape along a new dimension."""
        one = inputs[0][0]
        dim = int(argument(args, kwargs, 1, "dim", 0)) % output.ndim
        field = pointwise(inputs, one, "stack")
        if field.axes is None:
            return field
        return replace(field, axes=(*field.axes[:dim], plain(output.shape[dim]), *field.axes[dim:]))


def _by_batch(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a batch normalization takes the statistics of the batch at hand."""
    if func is not F.batch_norm:
        return bool(argument(args, kwargs, 5, "training", False))
    return bool(argument(args, kwargs, 5, "training", False)) or argument(args, kwargs, 1, "running_mean", None) is None


def _same(one: Field, other: Field) -> bool:
    """Return whether two fields are the same, wherever in their tensors the positions are."""
    if (one.mixed, one.moved) != (other.mixed, other.moved):
        return False
    for mine, theirs in ((one.rows, other.rows), (one.columns, other.columns)):
        if mine is None or theirs is None:
            if mine is not theirs:
                return False
        elif not (np.array_equal(mine.low, theirs.low) and np.array_equal(mine.high, theirs.high)):
            return False
    return True


def _memory(tensor: Tensor) -> tuple[int, int]:
    """Return the first and the last address, exclusive, of a tensor's numbers."""
    if tensor.numel() == 0:
        return 0, 0
    reach = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size()

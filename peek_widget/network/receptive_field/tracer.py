"""Receptive fields of all tensors of a forward, propagated through the functions that it calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget.network.nested import tensors_in
from peek_widget.network.receptive_field.axes import Axes, Axis, cut, grid, plain, reshaped, spatial, tokens, whole_axis

__all__ = ["Field", "FieldTracer"]

_WHOLE = (math.inf, math.inf)

_CONVOLUTIONS = {torch.conv2d, F.conv2d}
_TRANSPOSED = {torch.conv_transpose2d, F.conv_transpose2d}
_POOLS = {torch.max_pool2d, F.max_pool2d, F.max_pool2d_with_indices, F.avg_pool2d, F.lp_pool2d}
_ADAPTIVE = {F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.adaptive_avg_pool1d}
# Every position of the output depends on every position of the input.
_MIXING = {F.group_norm, F.instance_norm, torch.group_norm, torch.instance_norm, torch.einsum}

# Listed by name, because each exists both in torch and as a method of Tensor.
_RESHAPING = frozenset(
    (
        "view",
        "view_as",
        "reshape",
        "reshape_as",
        "flatten",
        "unflatten",
        "squeeze",
        "unsqueeze",
        "squeeze_",
        "unsqueeze_",
    )
)
_PERMUTING = frozenset(("permute", "transpose", "transpose_", "swapaxes", "swapdims", "movedim", "moveaxis", "t"))
_SLICING = frozenset(("chunk", "split", "split_with_sizes", "tensor_split", "narrow"))
_TRANSPOSES = {Tensor.T.__get__, Tensor.mT.__get__}


@dataclass(frozen=True)
class Field:
    """The receptive fields of a tensor's positions, in input pixels.

    Attributes:
        size: (height, width) of the field of one position; infinite for the whole image.
        stride: distance from the field of one position to that of the next, (down, across).
        start: center (y, x) of the first position's field.
        axes: where in the tensor the positions are; None where that is not known.
    """

    size: tuple[float, float]
    stride: tuple[float, float]
    start: tuple[float, float] = (0.0, 0.0)
    axes: Axes | None = None

    @property
    def whole(self) -> bool:
        """Whether the field of a position is the whole image."""
        return math.isinf(self.size[0]) or math.isinf(self.size[1])

    @property
    def dims(self) -> tuple[int, int] | None:
        """The dimensions of the tensor that are the rows and the columns of a map; None if it is no map."""
        over = {d: axis for d, axis in enumerate(self.axes or ()) if spatial(axis)}
        rows = [d for d, axis in over.items() if whole_axis(axis, "y")]
        columns = [d for d, axis in over.items() if whole_axis(axis, "x")]
        return (rows[0], columns[0]) if len(rows) == len(columns) == 1 and len(over) == 2 else None

    @property
    def tokens(self) -> tuple[int, tuple[int, int]] | None:
        """The dimension that goes over all positions, and their (rows, columns); None if there is none."""
        return None if self.axes is None else tokens(self.axes)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, (tuple, list)):
        return (int(value[0]), int(value[-1]))
    return (int(value), int(value))


class FieldTracer:
    """Computes the :class:`Field` of every tensor of a forward, whose calls are reported to it one by one.

    It is exact behind convolutions, poolings and functions of single positions. Behind any other function whose output
    has other positions than its input, the field is the whole image.

    Args:
        image: the network's input.
    """

    def __init__(self, image: Tensor) -> None:
        # By the tensor's id. The tensor is kept as well, since the id of a collected one would be given to another.
        self._fields: dict[int, tuple[Tensor, Field]] = {}
        self._set(image, Field((1.0, 1.0), (1.0, 1.0), axes=grid(image.shape)))

    def of(self, tensor: Tensor) -> Field | None:
        """Return the field of a tensor; None if it does not depend on the image."""
        entry = self._fields.get(id(tensor))
        return None if entry is None else entry[1]

    def _set(self, tensor: Tensor, field: Field) -> None:
        self._fields[id(tensor)] = (tensor, field)

    def called(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Report one call of a torch function and the ``output`` that it returned."""
        inputs = [(t, f) for t in tensors_in([args, kwargs]) if (f := self.of(t)) is not None]
        if not inputs:
            return
        if func is Tensor.__setitem__:
            output = args[0]
        before = 0
        for tensor in tensors_in(output):
            field = self._field(func, args, kwargs, inputs, tensor, before)
            if field.axes is not None and tuple(axis.size for axis in field.axes) != tuple(tensor.shape):
                field = replace(field, axes=None, size=_WHOLE)
            self._set(tensor, field)
            if func.__name__ in _SLICING:
                before += tensor.shape[int(_argument(args, kwargs, 2, "dim", 0))]

    def _field(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: list[tuple[Tensor, Field]],
        output: Tensor,
        before: int,
    ) -> Field:
        source, field = inputs[0]
        name = func.__name__
        if func in _CONVOLUTIONS:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            kernel, dilation = _pair(weight.shape[-2:]), _pair(_argument(args, kwargs, 5, "dilation", 1))
            padding = _argument(args, kwargs, 4, "padding", 0)
            if isinstance(padding, str):
                same = padding == "same"
                padding = tuple(d * (k - 1) // 2 * same for k, d in zip(kernel, dilation, strict=True))
            stride = _pair(_argument(args, kwargs, 3, "stride", 1))
            return _window(field, source, output, kernel, stride, dilation, _pair(padding))
        if func in _POOLS:
            kernel = _pair(_argument(args, kwargs, 1, "kernel_size", None))
            stride = _argument(args, kwargs, 2, "stride", None)
            by_max = func not in (F.avg_pool2d, F.lp_pool2d)
            dilation = _pair(_argument(args, kwargs, 4, "dilation", 1)) if by_max else (1, 1)
            padding = _pair(_argument(args, kwargs, 3, "padding", 0)) if func is not F.lp_pool2d else (0, 0)
            step = kernel if stride in (None, [], ()) else _pair(stride)
            return _window(field, source, output, kernel, step, dilation, padding)
        if func in _ADAPTIVE and output.shape[-2:] != source.shape[-2:]:
            return replace(field, size=_WHOLE, axes=grid(output.shape))
        if func is F.pad:
            return _padded(field, output, list(_argument(args, kwargs, 1, "pad", ())))
        if func in _TRANSPOSED:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            stride_h, stride_w = _pair(_argument(args, kwargs, 3, "stride", 1))
            kernel_h, kernel_w = _pair(weight.shape[-2:])
            taps = (math.ceil(kernel_h / stride_h), math.ceil(kernel_w / stride_w))
            grown = _window(field, source, output, taps, (1, 1), (1, 1), (0, 0))
            return replace(grown, start=field.start, stride=(field.stride[0] / stride_h, field.stride[1] / stride_w))
        if func is F.interpolate:
            grown = _window(field, source, output, (2, 2), (1, 1), (1, 1), (0, 0))
            ratio = [a / b for a, b in zip(source.shape[-2:], output.shape[-2:], strict=True)]
            stride = (field.stride[0] * ratio[0], field.stride[1] * ratio[1])
            # The first position of the new map is in the corner of the old first position's cell.
            start = tuple(y + (r - 1) / 2 * j for y, r, j in zip(field.start, ratio, field.stride, strict=True))
            return replace(grown, stride=stride, start=(start[0], start[1]))
        if name in _RESHAPING:
            return replace(field, axes=None if field.axes is None else reshaped(field.axes, output.shape))
        if name in _PERMUTING or func in _TRANSPOSES:
            return replace(field, axes=_permuted(func, args, kwargs, source, field.axes))
        if name in _SLICING:
            dim = int(_argument(args, kwargs, 1 if name == "narrow" else 2, "dim", 0)) % source.ndim
            begin = before if name != "narrow" else int(_argument(args, kwargs, 2, "start", 0))
            return _cut(field, {dim: (begin, 1, output.shape[dim])})
        if name in ("select", "unbind"):
            return _without(field, int(_argument(args, kwargs, 1, "dim", 0)) % source.ndim)
        if func is Tensor.__getitem__:
            return _picked(field, args[1], source, output)
        if name in ("cat", "concat", "concatenate"):
            return _joined(args, kwargs, inputs, output)
        if func is F.linear:
            axes = None if field.axes is None else (*field.axes[:-1], plain(output.shape[-1]))
            mixes = field.axes is None or spatial(field.axes[-1])
            return replace(field, axes=axes, size=_WHOLE if mixes else field.size)
        if name in ("matmul", "__matmul__", "__rmatmul__", "bmm", "mm"):
            return _product(self.of(args[0]), self.of(args[1]), output)
        if name in ("scaled_dot_product_attention", "multi_head_attention_forward"):
            queries = args[0] if args else kwargs["query"]
            if queries is not source:  # learned, so that they are nowhere in the image
                return replace(field, axes=tuple(plain(size) for size in output.shape), size=_WHOLE)
            return _attention(field, source, output)
        if name == "roll":
            return replace(field, size=_WHOLE)
        if func is F.layer_norm and field.axes is not None:
            normalized = len(_argument(args, kwargs, 1, "normalized_shape", ()))
            mixes = any(spatial(axis) for axis in field.axes[len(field.axes) - normalized :])
            return replace(field, size=_WHOLE) if mixes else field
        if func in _MIXING:
            return replace(_merge(inputs, output), size=_WHOLE)
        return _merge(inputs, output)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], index: int, name: str, default: Any) -> Any:
    """Return an argument given by keyword or as the ``index``-th positional one; else the default."""
    return kwargs.get(name, args[index] if len(args) > index else default)


def _window(
    field: Field,
    source: Tensor,
    output: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
) -> Field:
    """A convolution or pooling with this kernel."""
    reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    (size_h, size_w), (step_h, step_w), (y, x) = field.size, field.stride, field.start
    # Of a map of one row or column the dimensions need not be known: there is no other position.
    known = field.dims == (source.ndim - 2, source.ndim - 1) or 1 in source.shape[-2:]
    return replace(
        field,
        size=(size_h + reach[0] * step_h, size_w + reach[1] * step_w) if known else _WHOLE,
        stride=(step_h * stride[0], step_w * stride[1]),
        start=(y + (reach[0] / 2 - padding[0]) * step_h, x + (reach[1] / 2 - padding[1]) * step_w),
        axes=grid(output.shape),
    )


def _padded(field: Field, output: Tensor, pads: Sequence[int]) -> Field:
    """Padding by ``pads`` entries before and after each dimension, the last dimension first, as in ``F.pad``."""
    if field.axes is None:
        return field
    axes, start = list(field.axes), list(field.start)
    for pair in range(len(pads) // 2):  # of the last dimension first
        dim = output.ndim - 1 - pair
        axis, begin, end = axes[dim], int(pads[2 * pair]), int(pads[2 * pair + 1])
        if begin == end == 0:
            continue
        for number, kind in enumerate("yx"):
            if whole_axis(axis, kind):
                axes[dim] = Axis(((kind, output.shape[dim], 1),))
                start[number] -= begin * field.stride[number]
                break
        else:
            if not spatial(axis):
                axes[dim] = plain(output.shape[dim])
            elif begin >= 0 and end >= 0:
                axes[dim] = replace(axis, before=axis.before + begin, after=axis.after + end)
            else:
                return replace(field, axes=None)
    return replace(field, axes=tuple(axes), start=(start[0], start[1]))


def _permuted(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], source: Tensor, axes: Axes | None
) -> Axes | None:
    """Return the axes after a permutation or transposition."""
    if axes is None:
        return None
    # The same call on a tensor without data, whose strides (powers of 3) tell where each dimension went.
    marked = torch.empty_strided((2,) * source.ndim, [3**d for d in range(source.ndim)], device="meta")
    permuted = func(marked, *args[1:], **{k: v for k, v in kwargs.items() if k != "input"})
    order = [round(math.log(step, 3)) for step in permuted.stride()]
    return tuple(axes[d] for d in order)


def _cut(field: Field, cuts: dict[int, tuple[int, int, int]]) -> Field:
    """Slice some dimensions.

    Args:
        field: the field before it.
        cuts: for each dimension (first entry, step, number of entries) of what is kept.
    """
    if field.axes is None:
        return field
    axes: list[Axis] = list(field.axes)
    stride, start = list(field.stride), list(field.start)
    for dim, (begin, step, size) in cuts.items():
        axis = field.axes[dim]
        kept = cut(axis, begin, step, size)
        if kept is None:
            return replace(field, axes=None, size=_WHOLE)
        for number, kind in enumerate("yx"):
            if whole_axis(axis, kind):
                start[number] += begin * stride[number]
                stride[number] *= step
        axes[dim] = kept
    return replace(field, axes=tuple(axes), stride=(stride[0], stride[1]), start=(start[0], start[1]))


def _without(field: Field, dim: int) -> Field:
    """Select one entry of a dimension, which is removed."""
    if field.axes is None:
        return field
    return replace(field, axes=(*field.axes[:dim], *field.axes[dim + 1 :]))


def _picked(field: Field, index: Any, source: Tensor, output: Tensor) -> Field:
    """Index with whole numbers, slices, ``...`` and None; after any other index the positions are not known."""
    parts = list(index) if isinstance(index, tuple) else [index]
    known = all(
        part is None or part is Ellipsis or isinstance(part, slice) or (isinstance(part, int) and part is not True)
        for part in parts
    )
    if field.axes is None or not known:
        return replace(field, axes=None, size=_WHOLE)
    given = sum(part is not None and part is not Ellipsis for part in parts)
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    middle = parts.index(Ellipsis)
    parts[middle : middle + 1] = [slice(None)] * (source.ndim - given)
    cuts: dict[int, tuple[int, int, int]] = {}
    kept: list[int | None] = []
    dim = 0
    for part in parts:
        if part is None:
            kept.append(None)
            continue
        if isinstance(part, slice):
            begin, end, step = part.indices(source.shape[dim])
            cuts[dim] = (begin, step, len(range(begin, end, step)))
            kept.append(dim)
        dim += 1
    short = _cut(field, cuts)
    if short.axes is None:
        return short
    return replace(short, axes=tuple(plain(1) if d is None else short.axes[d] for d in kept))


def _joined(args: tuple[Any, ...], kwargs: dict[str, Any], inputs: list[tuple[Tensor, Field]], output: Tensor) -> Field:
    """Concatenation. Tokens joined before or after all positions are kept apart; otherwise positions are lost."""
    merged = _merge(inputs, output)
    dim = int(_argument(args, kwargs, 1, "dim", 0)) % output.ndim
    given = list(args[0] if args else kwargs["tensors"])
    on_positions = [(tensor, field) for tensor, field in inputs if field.axes is not None and spatial(field.axes[dim])]
    if not on_positions:
        return merged
    size = (max(f.size[0] for _, f in inputs), max(f.size[1] for _, f in inputs))
    tensor, field = on_positions[0]
    if len(on_positions) > 1 or field.axes is None:
        return replace(field, axes=None, size=_WHOLE)
    number = next(i for i, one in enumerate(given) if one is tensor)
    axis = replace(
        field.axes[dim],
        before=field.axes[dim].before + sum(one.shape[dim] for one in given[:number]),
        after=field.axes[dim].after + sum(one.shape[dim] for one in given[number + 1 :]),
    )
    return replace(field, size=size, axes=(*field.axes[:dim], axis, *field.axes[dim + 1 :]))


def _product(left: Field | None, right: Field | None, output: Tensor) -> Field:
    """A matrix product: it mixes positions where it sums over a dimension that has them."""
    known = left or right
    assert known is not None
    size = (
        max(f.size[0] for f in (left, right) if f is not None),
        max(f.size[1] for f in (left, right) if f is not None),
    )
    summed = [f.axes[d] for f, d in ((left, -1), (right, -2)) if f is not None and f.axes is not None]
    if any(f is not None and f.axes is None for f in (left, right)) or any(spatial(axis) for axis in summed):
        size = _WHOLE
    axes = [plain(count) for count in output.shape]
    for one, last in ((right, -1), (left, -2)):
        if one is not None and one.axes is not None and len(one.axes) == output.ndim:
            axes[last] = one.axes[last]
            for dim in range(output.ndim - 2):
                if one.axes[dim].size == output.shape[dim]:
                    axes[dim] = one.axes[dim]
        elif one is not None:
            return replace(known, axes=None, size=size)
    return replace(known, axes=tuple(axes), size=size)


def _attention(field: Field, source: Tensor, output: Tensor) -> Field:
    """Attention: output positions are those of the query, and each depends on the whole image."""
    if field.axes is None or output.shape[:-1] != source.shape[:-1]:
        return replace(field, axes=None, size=_WHOLE)
    return replace(field, axes=(*field.axes[:-1], plain(output.shape[-1])), size=_WHOLE)


def _merge(inputs: list[tuple[Tensor, Field]], output: Tensor) -> Field:
    """Any other function: of single positions where input and output have the same ones, else unknown."""
    kept: Field | None = None
    moved: Field | None = None
    for tensor, field in inputs:
        if field.axes is None or tensor.ndim != output.ndim:
            continue
        same = all(not spatial(axis) or tensor.shape[dim] == output.shape[dim] for dim, axis in enumerate(field.axes))
        if not same:
            moved = moved or field
        elif kept is None or kept.whole:
            kept = field
    if kept is not None and kept.axes is not None:
        axes = [a if spatial(a) else plain(size) for a, size in zip(kept.axes, output.shape, strict=True)]
        size = (max(f.size[0] for _, f in inputs), max(f.size[1] for _, f in inputs))
        return replace(kept, axes=tuple(axes), size=size)
    if moved is not None and moved.dims == (output.ndim - 2, output.ndim - 1):
        return replace(moved, axes=grid(output.shape), size=_WHOLE)
    return replace(inputs[0][1], axes=None, size=_WHOLE)

"""The receptive fields of one tensor's positions, and how functions of one tensor change them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget.network.receptive_field.axes import Axes, Axis, cut, grid, plain, spatial, tokens, whole_axis
from peek_widget.network.receptive_field.spans import Span

__all__ = [
    "Field",
    "adapted",
    "cut_out",
    "interpolated",
    "map_spans",
    "padded",
    "permuted",
    "picked",
    "pooled",
    "reduced",
    "reshuffled",
    "sampled",
    "spread",
    "window",
    "without_order",
]


@dataclass(frozen=True)
class Field:
    """The receptive fields of a tensor's positions.

    Attributes:
        rows: the input rows that each row of the map depends on; None where that is not known, or where no position is
            left (a mean over the whole map).
        columns: the same of columns.
        axes: where in the tensor the positions are; None where that is not known.
        mixed: name of a function that made every position depend on the whole image *besides* (the product of a
            squeeze-and-excitation, a group normalization), or that left no positions; "" if none did.
        moved: name of a function after which it is unknown which pixels a position depends on; "" if there was none.
        adapted: whether rows and columns hold at this size of the image alone (a pooling to a given size).
    """

    rows: Span | None
    columns: Span | None
    axes: Axes | None = None
    mixed: str = ""
    moved: str = ""
    adapted: bool = False

    @property
    def whole(self) -> bool:
        """Whether there is no bound on what a position depends on that holds at every size of the image."""
        return self.rows is None or self.columns is None or bool(self.mixed or self.moved or self.adapted)

    @property
    def exact(self) -> bool:
        """Whether rows and columns say what a position depends on, and all of it."""
        return self.rows is not None and self.columns is not None and not (self.mixed or self.moved)

    @property
    def size(self) -> tuple[float, float]:
        """(height, width) of the field of one position; infinite for the whole image."""
        if self.rows is None or self.columns is None or self.mixed or self.moved:
            return math.inf, math.inf
        return self.rows.size, self.columns.size

    @property
    def stride(self) -> tuple[float, float] | None:
        """Input pixels from the field of one position to that of the next, (down, across); None where not known."""
        return None if self.rows is None or self.columns is None else (self.rows.step, self.columns.step)

    @property
    def start(self) -> tuple[float, float]:
        """Center (y, x) of the first position's field; (0, 0) where not known."""
        return (0.0, 0.0) if self.rows is None or self.columns is None else (self.rows.start, self.columns.start)

    @property
    def dims(self) -> tuple[int, int] | None:
        """The dimensions of the tensor that are the rows and the columns of a map; None if it is not a map."""
        axes = self.axes or ()
        over = [d for d, axis in enumerate(axes) if spatial(axis)]
        rows = [d for d in over if whole_axis(axes[d], "y")]
        columns = [d for d in over if whole_axis(axes[d], "x")]
        if len(over) == 1 and len(axes) == 4 and len(rows + columns) == 1:
            # A map of one row, or of one column: it is beside the other dimension.
            (one,), before = over, len(columns)
            pair = (one - before, one - before + 1)
            return pair if pair[0] in (1, 2) and axes[pair[1 - before]].size == 1 else None
        return (rows[0], columns[0]) if len(rows) == len(columns) == 1 and len(over) == 2 else None

    @property
    def tokens(self) -> tuple[int, tuple[int, int]] | None:
        """The dimension that goes over all positions, and their (rows, columns); None if there is none."""
        return None if self.axes is None else tokens(self.axes)


def without_order(field: Field, axes: Axes | None, name: str) -> Field:
    """Return the field after a function of that name, with positions unknown."""
    return Field(None, None, axes, field.mixed, field.moved or name)


def spread(field: Field, name: str) -> Field:
    """Return the field after a function of that name, whose positions also depend on the whole image."""
    return replace(field, mixed=field.mixed or name)


def pooled(field: Field, axes: Axes | None, name: str) -> Field:
    """Return the field of a map reduced to values without positions."""
    # The reduced values depend on the whole image, wherever the positions looked.
    return Field(None, None, axes, field.mixed or name)


def map_spans(field: Field, dims: int) -> tuple[Span, Span] | None:
    """Return the spans of the rows and columns of a tensor's last two dimensions.

    Rows that were moved to the channels ("space to depth") belong to what a row depends on, since a convolution takes
    all channels; channels that were moved to rows make several rows of one.

    Args:
        field: the field.
        dims: number of the tensor's dimensions.

    Returns:
        None where the last two dimensions are not rows and columns.
    """
    if field.rows is None or field.columns is None or field.axes is None:
        return None
    outside = field.axes[: dims - 2]
    if (dims > 3 and spatial(outside[0])) or any(axis.before or axis.after for axis in outside if spatial(axis)):
        return None
    found = []
    for axis, kind, span in zip(field.axes[-2:], "yx", (field.rows, field.columns), strict=True):
        if any(other not in (kind, "") for other, _, _ in axis.factors) or axis.before or axis.after:
            return None
        factors = [f for one in (*outside, axis) for f in one.factors if f[0] == kind]
        if math.prod(count for _, count, _ in factors) != len(span):
            return None
        if whole_axis(axis, kind):
            found.append(span)
            continue
        reach = sum((count - 1) * step for one in outside for k, count, step in one.factors if k == kind)
        numbers = np.zeros(1, dtype=np.int64)
        for other, count, step in axis.factors:
            numbers = (numbers[:, None] + np.arange(count) * (step if other else 0)).ravel()
        found.append(span.picked(numbers, len(span) / max(1, len(numbers)), reach))
    return found[0], found[1]


def window(
    field: Field,
    source: Tensor,
    output: Tensor,
    name: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
) -> Field:
    """A convolution or pooling with this kernel."""
    spans = map_spans(field, source.ndim)
    if spans is None:
        return _positions_lost(field, output, name)
    rows, columns = (
        span.window(count, k, s, d, p)
        for span, count, k, s, d, p in zip(spans, output.shape[-2:], kernel, stride, dilation, padding, strict=True)
    )
    return replace(field, rows=rows, columns=columns, axes=grid(output.shape))


def _positions_lost(field: Field, output: Tensor, name: str) -> Field:
    """Return the field of a map made from a tensor with unknown positions, or without any."""
    if field.rows is None and (field.mixed or field.moved):
        return replace(field, rows=None, columns=None, axes=grid(output.shape))
    return without_order(field, grid(output.shape), name)


def sampled(
    field: Field,
    source: Tensor,
    output: Tensor,
    name: str,
    function: Callable[[Tensor, int], Tensor],
    steps: tuple[float, float],
) -> Field:
    """A function that makes each row of the output of some rows of the input, see :meth:`Span.sampled`.

    Args:
        field, source, output, name: as for the others.
        function: it, along rows alone, of an image and of 0 for the rows, 1 for the columns.
        steps: rows from one row of the output to the next, and columns.
    """
    spans = map_spans(field, source.ndim)
    if spans is None:
        return _positions_lost(field, output, name)
    rows, columns = (
        span.sampled(lambda image, number=number: function(image, number), step)
        for number, (span, step) in enumerate(zip(spans, steps, strict=True))
    )
    if rows is None or columns is None or (len(rows), len(columns)) != tuple(output.shape[-2:]):
        return without_order(field, grid(output.shape), name)
    return replace(field, rows=rows, columns=columns, axes=grid(output.shape))


def interpolated(field: Field, source: Tensor, output: Tensor, options: dict[str, Any], sizes: set[Any]) -> Field:
    """``F.interpolate`` with these options; ``sizes`` are those of the maps before it, which its own may follow."""
    options = dict(options)
    size, factor = options.pop("size", None), options.pop("scale_factor", None)
    steps = [a / b for a, b in zip(source.shape[-2:], output.shape[-2:], strict=True)]

    def along(image: Tensor, number: int) -> Tensor:
        if size is not None:
            return F.interpolate(image, size=(output.shape[-2 + number], 2), **options)
        factors = factor if isinstance(factor, (tuple, list)) else (factor, factor)
        return F.interpolate(image, scale_factor=(float(factors[number]), 1.0), **options)

    found = sampled(field, source, output, "interpolate", along, (steps[0], steps[1]))
    given = size is not None and tuple(output.shape[-2:]) not in sizes
    return replace(found, adapted=True) if given else found


def adapted(field: Field, source: Tensor, output: Tensor, name: str) -> Field:
    """A pooling to a given size."""
    if output.shape[-2:] == source.shape[-2:]:
        return field
    if tuple(output.shape[-2:]) == (1, 1):
        return pooled(field, grid(output.shape), name)
    steps = [a / b for a, b in zip(source.shape[-2:], output.shape[-2:], strict=True)]

    def along(image: Tensor, number: int) -> Tensor:
        return F.adaptive_avg_pool2d(image, (output.shape[-2 + number], 2))

    return replace(sampled(field, source, output, name, along, (steps[0], steps[1])), adapted=True)


def reshuffled(field: Field, source: Tensor, output: Tensor, name: str, factor: int) -> Field:
    """``pixel_shuffle`` (channels become positions), or ``pixel_unshuffle`` (positions become channels)."""
    spans = map_spans(field, source.ndim)
    if spans is None:
        return _positions_lost(field, output, name)
    made = []
    for span, count in zip(spans, output.shape[-2:], strict=True):
        if name == "pixel_shuffle":
            made.append(span.picked(np.arange(count) // factor, 1.0 / factor))
        else:
            made.append(span.picked(np.arange(count) * factor, factor, factor - 1))
    return replace(field, rows=made[0], columns=made[1], axes=grid(output.shape))


def padded(field: Field, output: Tensor, pads: Sequence[int], mode: str) -> Field:
    """Padding by ``pads`` entries before and after each dimension, the last dimension first, as in ``F.pad``."""
    if field.axes is None:
        return field
    axes = list(field.axes)
    spans = {"y": field.rows, "x": field.columns}
    for pair in range(len(pads) // 2):
        dim = output.ndim - 1 - pair
        axis, begin, end = axes[dim], int(pads[2 * pair]), int(pads[2 * pair + 1])
        if begin == end == 0:
            continue
        kind = next((kind for kind in "yx" if whole_axis(axis, kind)), None)
        if kind is not None:
            axes[dim] = Axis(((kind, output.shape[dim], 1),))
            span = spans[kind]
            spans[kind] = None if span is None else _padded(span, output.shape[dim], begin, mode)
        elif not spatial(axis):
            axes[dim] = plain(output.shape[dim])
        elif begin >= 0 and end >= 0 and mode == "constant":
            axes[dim] = replace(axis, before=axis.before + begin, after=axis.after + end)
        else:
            return without_order(field, None, "pad")
    return replace(field, axes=tuple(axes), rows=spans["y"], columns=spans["x"])


def _padded(span: Span, count: int, before: int, mode: str) -> Span:
    numbers, last = np.arange(count) - before, len(span) - 1
    if mode == "circular":
        return span.picked(numbers % len(span), 1.0)
    evenly = span.shifted(count, before)
    if mode == "constant" or last < 1:
        return evenly
    folded = np.abs(numbers) if mode == "reflect" else np.clip(numbers, 0, last)
    if mode == "reflect":
        folded = last - np.abs(last - folded)
    # The pixels that are repeated, and those outside that they stand for, so that the field is known to be cut off.
    return evenly.joined(span.picked(folded, 1.0)) or evenly


def permuted(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], source: Tensor, axes: Axes | None
) -> Axes | None:
    """Return the axes after a permutation or transposition."""
    if axes is None:
        return None
    # The same call on a meta tensor, whose strides (powers of 3) tell where each dimension went.
    marked = torch.empty_strided((2,) * source.ndim, [3**d for d in range(source.ndim)], device="meta")
    turned = func(marked, *args[1:], **{k: v for k, v in kwargs.items() if k != "input"})
    order = [round(math.log(step, 3)) for step in turned.stride()]
    return tuple(axes[d] for d in order)


def cut_out(field: Field, cuts: dict[int, tuple[int, int, int]]) -> Field:
    """Slice some dimensions.

    Args:
        field: the field before it.
        cuts: for each dimension (first entry, step, number of entries) of what is kept.
    """
    if field.axes is None:
        return field
    axes: list[Axis] = list(field.axes)
    spans = {"y": field.rows, "x": field.columns}
    for dim, (begin, step, size) in cuts.items():
        axis = field.axes[dim]
        kept = cut(axis, begin, step, size)
        if kept is None:
            return without_order(field, None, "slicing")
        for kind in "yx":
            span = spans[kind]
            if whole_axis(axis, kind) and span is not None:
                spans[kind] = span.picked(begin + step * np.arange(size), step)
        axes[dim] = kept
    return replace(field, axes=tuple(axes), rows=spans["y"], columns=spans["x"])


def picked(field: Field, index: Any, source: Tensor) -> Field:
    """Index with whole numbers, slices, ``...``, None and one list; after any other index positions are unknown."""
    parts = list(index) if isinstance(index, tuple) else [index]
    lists = [part for part in parts if isinstance(part, (list, Tensor, np.ndarray)) and np.ndim(part) == 1]
    known = len(lists) < 2 and all(
        part is None
        or part is Ellipsis
        or isinstance(part, slice)
        or (isinstance(part, (int, np.integer)) and not isinstance(part, bool))
        or any(part is one for one in lists)
        for part in parts
    )
    if field.axes is None or not known:
        return without_order(field, None, "indexing")
    given = sum(part is not None and part is not Ellipsis for part in parts)
    if not any(part is Ellipsis for part in parts):
        parts.append(Ellipsis)
    middle = next(number for number, part in enumerate(parts) if part is Ellipsis)
    parts[middle : middle + 1] = [slice(None)] * (source.ndim - given)
    cuts: dict[int, tuple[int, int, int]] = {}
    kept: list[int | Axis | None] = []
    dim = 0
    for part in parts:
        if part is None:
            kept.append(None)
            continue
        if isinstance(part, slice):
            begin, end, step = part.indices(source.shape[dim])
            cuts[dim] = (begin, step, len(range(begin, end, step)))
            kept.append(dim)
        elif not isinstance(part, (int, np.integer)):
            if spatial(field.axes[dim]) or any(isinstance(other, (int, np.integer)) for other in parts):
                return without_order(field, None, "indexing")
            flags = np.asarray(part.detach().cpu() if isinstance(part, Tensor) else part)
            kept.append(plain(int(flags.sum()) if flags.dtype == bool else len(flags)))
        elif spatial(field.axes[dim]):
            field = _single(field, dim, int(part))
        dim += 1
    short = cut_out(field, cuts)
    if short.axes is None:
        return short
    axes = [plain(1) if d is None else d if isinstance(d, Axis) else short.axes[d] for d in kept]
    return replace(short, axes=tuple(axes))


def _single(field: Field, dim: int, number: int) -> Field:
    """One row, or column, of a map."""
    assert field.axes is not None
    axis = field.axes[dim]
    for kind, name in (("y", "rows"), ("x", "columns")):
        span = getattr(field, name)
        if whole_axis(axis, kind) and span is not None:
            return replace(field, **{name: span.picked([number % axis.size], axis.size)})
    return field


def reduced(field: Field, dims: Sequence[int], source: Tensor, output: Tensor, name: str) -> Field:
    """One value, or a few, of some dimensions: a mean, a maximum, an entry."""
    if field.axes is None:
        return without_order(field, None, name)
    over = [field.axes[dim] for dim in dims if spatial(field.axes[dim])]
    axes = [
        axis if dim not in dims else plain(output.shape[dim])
        for dim, axis in enumerate(field.axes)
        if dim not in dims or output.ndim == source.ndim
    ]
    field = replace(field, axes=tuple(axes))
    if not over:
        return field
    if not any(spatial(axis) for axis in axes):
        return pooled(field, field.axes, name)
    spans = {"y": field.rows, "x": field.columns}
    for axis in over:
        kind = next((kind for kind in "yx" if whole_axis(axis, kind)), None)
        if kind is None:
            return without_order(field, field.axes, name)
        span = spans[kind]
        if span is not None:
            spans[kind] = Span(span.low.min(keepdims=True), span.high.max(keepdims=True), span.step * len(span))
    return replace(field, rows=spans["y"], columns=spans["x"])

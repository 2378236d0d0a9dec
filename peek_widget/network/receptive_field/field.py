"""The receptive fields of one tensor's positions, and what the functions of a forward make of them."""

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
    "attended",
    "cut_out",
    "interpolated",
    "joined",
    "map_spans",
    "multiplied",
    "padded",
    "permuted",
    "picked",
    "pointwise",
    "pooled",
    "reduced",
    "reshuffled",
    "sampled",
    "spread",
    "unknown",
    "window",
    "without_order",
]

Inputs = Sequence[tuple[Tensor, "Field"]]
"""The inputs of a function that depend on the image, with their fields."""


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
        moved: name of a function behind which it is not known which pixels a position depends on; "" if none was.
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
        """The dimensions of the tensor that are the rows and the columns of a map; None if it is no map."""
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
    """Return a field of positions that are no longer known, behind a function of that name."""
    return Field(None, None, axes, field.mixed, field.moved or name)


def spread(field: Field, name: str) -> Field:
    """Return the field of positions that all depend on the whole image besides, behind a function of that name."""
    return replace(field, mixed=field.mixed or name)


def pooled(field: Field, axes: Axes | None, name: str) -> Field:
    """Return the field of what is left of a map in which there are no positions any more."""
    # Wherever its positions looked: what is left of them depends on all of the image.
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
    """Return the field of a map that was made of a tensor whose own positions are not known, or of one without any."""
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
    # The same call on a tensor without data, whose strides (powers of 3) tell where each dimension went.
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
    """Index with whole numbers, slices, ``...``, None and one list; after any other index positions are not known."""
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


def joined(args: tuple[Any, ...], kwargs: dict[str, Any], inputs: Inputs, output: Tensor, name: str) -> Field:
    """Concatenation. Tokens joined before or after all positions are kept apart; otherwise positions are lost."""
    given = list(args[0] if args else kwargs["tensors"])
    dim = int(kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))) % output.ndim
    on_positions = [(tensor, field) for tensor, field in inputs if field.axes is not None and spatial(field.axes[dim])]
    if not on_positions:
        return pointwise(inputs, output, name)
    tensor, field = on_positions[0]
    if len(on_positions) > 1 or field.axes is None:
        return without_order(field, None, name)
    number = next(i for i, one in enumerate(given) if one is tensor)
    axis = replace(
        field.axes[dim],
        before=field.axes[dim].before + sum(one.shape[dim] for one in given[:number]),
        after=field.axes[dim].after + sum(one.shape[dim] for one in given[number + 1 :]),
    )
    return replace(field, axes=(*field.axes[:dim], axis, *field.axes[dim + 1 :]))


def multiplied(left: Field | None, right: Field | None, output: Tensor, name: str) -> Field:
    """A matrix product: it mixes positions where it sums over a dimension that has them."""
    known = left or right
    assert known is not None
    both = [f for f in (left, right) if f is not None]
    summed = [f.axes[d] for f, d in ((left, -1), (right, -2)) if f is not None and f.axes is not None]
    lost = any(f.axes is None for f in both) or any(spatial(axis) for axis in summed)
    positions = [f for f in both if any(spatial(axis) for axis in f.axes or ())]
    lost = lost or len(positions) > 1
    if positions:
        known = positions[0]
    mixed = next((f.mixed for f in both if f.mixed), "")
    moved = next((f.moved for f in both if f.moved), "")
    if len(both) > 1 and not lost:
        mixed = mixed or name
    axes = [plain(count) for count in output.shape]
    for one, last in ((right, -1), (left, -2)):
        if one is not None and one.axes is not None and len(one.axes) == output.ndim:
            axes[last] = one.axes[last]
            for dim in range(output.ndim - 2):
                if one.axes[dim].size == output.shape[dim]:
                    axes[dim] = one.axes[dim]
        elif one is not None:
            return Field(None, None, None, mixed, moved or name)
    if lost and any(spatial(axis) for axis in axes):
        return Field(None, None, tuple(axes), mixed, moved or name)
    if lost:
        return Field(None, None, tuple(axes), mixed or name)
    return replace(known, axes=tuple(axes), mixed=mixed, moved=moved)


def attended(field: Field, queries: Tensor, source: Tensor, output: Tensor, name: str) -> Field:
    """Attention: output positions are those of the queries, and each depends on the whole image."""
    if queries is not source:  # learned, so that they are nowhere in the image
        return without_order(field, tuple(plain(size) for size in output.shape), name)
    if field.axes is None or output.shape[:-1] != source.shape[:-1]:
        return without_order(field, None, name)
    return without_order(field, (*field.axes[:-1], plain(output.shape[-1])), name)


def pointwise(inputs: Inputs, output: Tensor, name: str) -> Field:
    """A function of single positions, where the inputs have the same ones; what has none is given to all alike."""
    aligned = [(_aligned(tensor, field, output.ndim), field) for tensor, field in inputs]
    mixed = next((field.mixed for _, field in aligned if field.mixed), "")
    moved = next((field.moved for _, field in aligned if field.moved), "")
    adapted = any(field.adapted for _, field in aligned)
    over = {d for axes, _ in aligned for d, axis in enumerate(axes or ()) if spatial(axis)}
    axes = tuple(plain(size) for size in output.shape)
    kept: list[Field] = []
    for own, field in aligned:
        if own is None:
            moved = moved or name  # positions that are not known meet others
        elif over and all(own[d].size == output.shape[d] for d in over):
            if not any(spatial(own[d]) for d in over) and not field.moved:
                mixed = mixed or name  # of a map without positions, made of the whole image
                continue
            spots = tuple(own[d] if d in over else plain(size) for d, size in enumerate(output.shape))
            if kept and spots != axes:
                moved = moved or name
            elif field.rows is not None or field.moved or not kept:
                axes = spots if not kept else axes
                kept.append(field)
        elif over:
            mixed = mixed or name
    if over and not kept:
        return unknown(inputs, output, name)
    if not over:
        return _without_positions(aligned, output, name, mixed, moved)
    rows, columns = (None, None) if moved else _union(kept)
    if not moved and rows is None and any(field.rows is not None for field in kept):
        moved = name
    return Field(rows, columns, axes, mixed, moved, adapted)


def _union(fields: Sequence[Field]) -> tuple[Span | None, Span | None]:
    """Return what all of these together depend on, beside the whole image; None for both where it does not fit."""
    local = [field for field in fields if field.rows is not None and field.columns is not None]
    if not local:
        return None, None
    rows, columns = local[0].rows, local[0].columns
    for field in local[1:]:
        rows = rows and field.rows and rows.joined(field.rows)
        columns = columns and field.columns and columns.joined(field.columns)
    return (rows, columns) if rows is not None and columns is not None else (None, None)


def _without_positions(
    aligned: Sequence[tuple[Axes | None, Field]], output: Tensor, name: str, mixed: str, moved: str
) -> Field:
    """A function of vectors, or of maps of one position."""
    axes: Axes | None = tuple(plain(size) for size in output.shape)
    if any(own is None for own, _ in aligned):
        return Field(None, None, None, mixed, moved)
    made = output.ndim == 4 and output.shape[-2:] != (1, 1)
    if made and all(own is not None and own[-1].size == own[-2].size == 1 for own, _ in aligned):
        # one position is given to all
        return Field(None, None, grid(output.shape), mixed or name, moved)
    fields = [field for _, field in aligned]
    rows, columns = (None, None) if moved or any(f.rows is None for f in fields) else _union(fields)
    if rows is None and not (mixed or moved):
        moved = name
    return Field(rows, columns, axes, mixed, moved, any(f.adapted for f in fields))


def _aligned(tensor: Tensor, field: Field, dims: int) -> Axes | None:
    """Return the axes of an input as broadcasting lays them over an output of so many dimensions."""
    if tensor.ndim > dims:
        return None
    if field.axes is None:
        return None if tensor.numel() > 1 else (plain(1),) * dims
    return (plain(1),) * (dims - tensor.ndim) + field.axes


def unknown(inputs: Inputs, output: Tensor, name: str) -> Field:
    """Any other function: where its positions look is not known, and which they are is guessed by the shape."""
    mixed = next((field.mixed for _, field in inputs if field.mixed), "")
    axes: Axes | None = None
    for tensor, field in inputs:
        own = field.axes
        if own is None or tensor.ndim != output.ndim or not any(spatial(axis) for axis in own):
            continue
        if all(not spatial(axis) or axis.size == output.shape[dim] for dim, axis in enumerate(own)):
            axes = tuple(axis if spatial(axis) else plain(output.shape[dim]) for dim, axis in enumerate(own))
            break
        if axes is None and field.dims == (output.ndim - 2, output.ndim - 1):
            axes = grid(output.shape)
    moved = next((field.moved for _, field in inputs if field.moved), name)
    return Field(None, None, axes, mixed, moved)

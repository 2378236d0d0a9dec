"""How functions of several tensors combine the receptive fields of their positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from peek_widget.network.receptive_field.axes import Axes, grid, plain, spatial
from peek_widget.network.receptive_field.field import Field, without_order
from peek_widget.network.receptive_field.spans import Span

__all__ = ["Inputs", "attended", "joined", "multiplied", "pointwise", "unknown"]

Inputs = Sequence[tuple[Tensor, Field]]
"""The inputs of a function that depend on the image, with their fields."""


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
    if queries is not source:  # learned, so without a place in the image
        return without_order(field, tuple(plain(size) for size in output.shape), name)
    if field.axes is None or output.shape[:-1] != source.shape[:-1]:
        return without_order(field, None, name)
    return without_order(field, (*field.axes[:-1], plain(output.shape[-1])), name)


def pointwise(inputs: Inputs, output: Tensor, name: str) -> Field:
    """A function of single positions, where the inputs have the same ones; inputs without positions are broadcast."""
    aligned = [(_aligned(tensor, field, output.ndim), field) for tensor, field in inputs]
    mixed = next((field.mixed for _, field in aligned if field.mixed), "")
    moved = next((field.moved for _, field in aligned if field.moved), "")
    adapted = any(field.adapted for _, field in aligned)
    over = {d for axes, _ in aligned for d, axis in enumerate(axes or ()) if spatial(axis)}
    axes = tuple(plain(size) for size in output.shape)
    kept: list[Field] = []
    for own, field in aligned:
        if own is None:
            moved = moved or name  # unknown positions meet others
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
    """Return what all of these together depend on, apart from the whole image; None for both if they don't fit."""
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
        # a single position is broadcast
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
    """Any other function: its positions are guessed from the shape, and where they look is unknown."""
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

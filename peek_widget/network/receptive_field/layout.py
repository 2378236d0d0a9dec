"""How a module's output, a map, a vector or a sequence of tokens, is brought to ``[N, C, H, W]`` or ``[N, C]``."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from peek_widget._size import Size
from peek_widget.network.receptive_field.axes import spatial
from peek_widget.network.receptive_field.field import Field

__all__ = ["Layout", "layouts", "unknown_layout"]

# Usual numbers of tokens before the patches: 0; a class token; that and a distillation token, or four register tokens.
_PREFIXES = (0, 1, 2, 5)


@dataclass(frozen=True)
class Layout:
    """The meaning of an output's dimensions.

    Attributes:
        order: the dimensions of images and units; then those of rows and columns of a map, or the one of tokens. Of
            more than four, all between the first and the last two are units (a detector's anchors and their numbers).
        grid: (rows, columns) of patches, where the tokens are patches.
        before: number of tokens before the patches.
        after: number of tokens after them.
        token: number of the one token that is a vector layer of its own; None for the output as a whole.
        single: whether the output has no dimension of units, but is one number, or one map, for each image.
        flat: whether all that it has for an image are units.
    """

    order: tuple[int, ...]
    grid: tuple[int, int] | None = None
    before: int = 0
    after: int = 0
    token: int | None = None
    single: bool = False
    flat: bool = False

    def sizes(self, shape: tuple[int, ...]) -> list[int]:
        """Return the number of units in an output's shape, and of rows and columns, or of tokens, if any."""
        counts = [shape[dim] for dim in self.order[1:]]
        if self.single:
            return [1, *counts]
        if self.flat:
            return [math.prod(counts)]
        return [math.prod(counts[:-2]), *counts[-2:]] if len(counts) > 3 else counts

    def __call__(self, output: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return the output as ``[N, C, H, W]`` or ``[N, C]``.

        Args:
            output: the module's output.
            shape: shape ``[N, C, H, W]`` of the network's input, whose ratio of sides the patches have.
        """
        if self.single:
            return output.unsqueeze(1)
        if self.order != tuple(range(output.ndim)):
            output = output.permute(self.order)
        if self.flat:
            return output.flatten(1)
        if output.ndim > 4:
            output = output.flatten(1, -3)
        if self.token is not None:
            return output[:, :, self.token]
        if self.grid is None:
            return output
        count = output.shape[2] - self.before - self.after
        height, width = self.grid
        if height * width != count:
            height = 1 if height == 1 else max(1, round(math.sqrt(count * shape[-2] / shape[-1])))
            width = count // height
        return output.narrow(2, self.before, height * width).unflatten(2, (height, width))


def layouts(shape: tuple[int, ...], field: Field, last_grid: tuple[int, int], size: Size) -> dict[str, Layout]:
    """Return the layers that one module output contains, by the suffix that their names get.

    Args:
        shape: shape of the output for one image.
        field: receptive field of the output.
        last_grid: (rows, columns) of the last map before it, for tokens whose positions could not be followed.
        size: size of the network's input, whose ratio of sides such tokens have where no map was before them.

    Returns:
        the layout of each layer: ``""`` is the output itself (its patches, where it is one of tokens), ``"class"``,
        ``"token1"`` and so on are tokens that are not patches; empty if units can't be told from positions.
    """
    if not shape or shape[0] != 1:
        return {}
    if len(shape) == 1:
        return {"": Layout((0,), single=True)}
    if len(shape) == 2:
        return {"": Layout((0, 1))}
    if len(shape) >= 4:
        dims = field.dims
        if dims is None and shape[2:] == (1, 1):
            dims = (2, 3)
        if dims is None or 0 in dims:
            return {}
        channels = sorted(set(range(1, len(shape))) - set(dims))
        return {"": Layout((0, *channels, *dims))}
    if len(shape) != 3:
        return {}
    if field.dims == (1, 2):
        return {"": Layout((0, 1, 2), single=True)}
    known = field.tokens
    if known is not None:
        dim, grid = known
        if dim == 0 or field.axes is None:
            return {}
        axis = field.axes[dim]
        patches = Layout((0, 3 - dim, dim), grid, axis.before, axis.after)
    elif field.axes is not None and not any(spatial(axis) for axis in field.axes):
        patches = Layout((0, 2, 1), (1, shape[1]))  # such as a decoder's queries, which have no place in the image
    elif field.axes is None:
        found = _counted(shape[1], last_grid, size)
        if found is None:
            return {}
        patches = Layout((0, 2, 1), found[1], found[0])
    else:
        return {}
    if not field.whole:
        return {"": patches}  # the other tokens do not depend on the image yet
    others = [*range(patches.before), *range(shape[patches.order[2]] - patches.after, shape[patches.order[2]])]
    names = ["class", *(f"token{number}" for number in range(1, len(others)))]
    return {"": patches} | {
        name: replace(patches, grid=None, before=0, after=0, token=number)
        for name, number in zip(names, others, strict=False)
    }


def unknown_layout(shape: tuple[int, ...]) -> Layout:
    """Return the layout of a model's result whose positions are unknown, or have no place in the image.

    Args:
        shape: shape of the output for one image: ``[1, C, H, W]``; of three dimensions ``[1, T, C]``, T boxes, say; of
            more, all numbers are units.
    """
    order = tuple(range(len(shape)))
    if len(shape) == 3:
        return Layout((0, 2, 1), (1, shape[1]))
    return Layout(order, flat=len(shape) > 4)


def _counted(count: int, last_grid: tuple[int, int], size: Size) -> tuple[int, tuple[int, int]] | None:
    """Guess the number of tokens before the patches, and the patches' (rows, columns), from the number of tokens.

    Args:
        count: number of tokens.
        last_grid: (rows, columns) of the last map before them.
        size: size of the network's input.

    Returns:
        None if no usual arrangement fits.
    """
    for before in _PREFIXES:
        if count - before == last_grid[0] * last_grid[1] > 1:
            return before, last_grid
    for before in _PREFIXES:
        patches = max(0, count - before)
        rows = max(1, round(math.sqrt(patches * size.height / size.width)))
        columns = patches // rows
        if patches > 1 and rows * columns == patches and round(columns * size.height / size.width) == rows:
            return before, (rows, columns)
    return None

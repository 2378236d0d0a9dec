"""Tensors within nested tuples, lists and dicts: the arguments and the results of torch's functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

__all__ = ["map_tensors", "tensors_in"]


def tensors_in(values: Any) -> Iterator[Tensor]:
    """Iterate over the tensors in nested tuples, lists and dicts, in order."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from tensors_in(value)
    elif isinstance(values, dict):
        yield from tensors_in(list(values.values()))


def map_tensors(values: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return nested tuples, lists and dicts with every tensor replaced by the function's result for it."""
    if isinstance(values, Tensor):
        return function(values)
    if isinstance(values, (tuple, list)):
        mapped = [map_tensors(value, function) for value in values]
        return mapped if isinstance(values, list) else tuple(mapped)
    if isinstance(values, dict):
        return {key: map_tensors(value, function) for key, value in values.items()}
    return values

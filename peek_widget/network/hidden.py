"""What a model holds besides its registered modules: modules in lists, and functions that close over a module."""

from __future__ import annotations

import contextlib
import copy
import functools
import types
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

__all__ = ["hidden_modules", "rebind"]

# Attributes that are torch's own.
_TORCHS = ("_parameters", "_buffers", "_modules", "_compiled_call_impl")
_DEEPEST = 6  # levels of lists in lists, and of functions in functions


def hidden_modules(model: nn.Module) -> list[nn.Module]:
    """Return the modules that a model's modules hold in lists and functions, and that are not registered.

    ``model.modules()`` has none of them, so ``eval()`` and ``to()`` do not reach them.
    """
    known = set(model.modules())
    found: list[nn.Module] = []
    todo = list(known)
    while todo:
        for _, value in _attributes(todo.pop()):
            for module in _modules_in(value, _DEEPEST):
                if module not in known:
                    found.append(module)
                    known.update(module.modules())
                    todo.extend(module.modules())
    return found


def rebind(model: nn.Module, memo: dict[int, Any]) -> None:
    """Make functions held by copied modules refer to the copies instead of the original modules.

    ``copy.deepcopy`` takes a function as it is. A lambda made in a module's ``__init__`` closes over ``self``,
    so that calling it would run the user's own module.

    Args:
        model: the model that was copied.
        memo: of ``copy.deepcopy``, which copied it: the copies by the ids of what they are copies of.
    """
    for theirs in [one for root in (model, *hidden_modules(model)) for one in root.modules()]:
        mine = memo.get(id(theirs))
        if mine is None or mine is theirs:
            continue
        for name, value in _attributes(theirs):
            if _remembers(value, memo, _DEEPEST):
                vars(mine)[name] = _rebound(value, memo)


def _attributes(module: nn.Module) -> list[tuple[str, Any]]:
    if type(module).__module__.startswith("torch._dynamo"):  # a compiled module's, left out of the copy
        return []
    return [(k, v) for k, v in vars(module).items() if k not in _TORCHS and not k.endswith("_hooks")]


def _parts(value: Any) -> list[Any]:
    """Return what a container, a function or a bound method holds."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, types.FunctionType):
        return [*_closed_over(value).values(), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    return []


def _closed_over(function: types.FunctionType) -> dict[str, Any]:
    """Return the variables that a function has from where it was made: outer ones, and the global modules it uses."""
    found = {name: function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__}
    found = {name: value for name, value in found.items() if isinstance(value, (nn.Module, Tensor, types.MethodType))}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not assigned yet
            found[name] = cell.cell_contents
    return found


def _names(code: types.CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _names(constant)
    return found


def _modules_in(value: Any, depth: int) -> Iterator[nn.Module]:
    if isinstance(value, nn.Module):
        yield value
    elif depth > 0:
        for part in _parts(value):
            yield from _modules_in(part, depth - 1)


def _remembers(value: Any, memo: dict[int, Any], depth: int) -> bool:
    """Return whether a function in ``value`` refers to something that was copied."""
    if depth == 0:
        return False
    if isinstance(value, types.FunctionType):
        return any(_was_copied(part, memo, depth - 1) for part in _parts(value))
    return not isinstance(value, nn.Module) and any(_remembers(part, memo, depth - 1) for part in _parts(value))


def _was_copied(value: Any, memo: dict[int, Any], depth: int) -> bool:
    if isinstance(value, (nn.Module, Tensor)):
        return memo.get(id(value), value) is not value
    return depth > 0 and any(_was_copied(part, memo, depth - 1) for part in _parts(value))


def _rebound(value: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of ``value`` whose functions refer to the copies."""
    if isinstance(value, types.FunctionType):
        if id(value) not in memo and _remembers(value, memo, _DEEPEST):
            memo[id(value)] = _rebound_function(value, memo)
        return memo.get(id(value), value)
    if isinstance(value, types.MethodType):
        return types.MethodType(_rebound(value.__func__, memo), copy.deepcopy(value.__self__, memo))
    if isinstance(value, functools.partial):
        arguments = [_rebound(part, memo) for part in value.args]
        keywords = {name: _rebound(part, memo) for name, part in value.keywords.items()}
        return functools.partial(_rebound(value.func, memo), *arguments, **keywords)
    if type(value) in (list, tuple):
        return type(value)([_rebound(part, memo) for part in value])
    if type(value) is dict:
        return {name: _rebound(part, memo) for name, part in value.items()}
    return copy.deepcopy(value, memo)


def _rebound_function(function: types.FunctionType, memo: dict[int, Any]) -> types.FunctionType:
    closed = _closed_over(function)
    cells = {name: types.CellType() for name in function.__code__.co_freevars}
    outer = {name: value for name, value in closed.items() if name not in cells}
    # The function's globals as they are, with the modules among them replaced.
    names = {**function.__globals__, **{name: _rebound(value, memo) for name, value in outer.items()}}
    made = types.FunctionType(
        function.__code__,
        names if outer else function.__globals__,
        function.__name__,
        _rebound(function.__defaults__, memo),
        tuple(cells.values()),
    )
    made.__kwdefaults__ = _rebound(function.__kwdefaults__, memo)
    vars(made).update(vars(function))
    memo[id(function)] = made  # registered before its variables are copied: it may be one of them
    for name, cell in cells.items():
        if name in closed:
            cell.cell_contents = _rebound(closed[name], memo)
    return made

"""A device for PyTorch that tells on whoever uses it: it computes on the CPU, and is none.

``glass`` is PyTorch's private device, registered from Python. Its tensors hold one on the CPU, on which every operator
is run, so that all numbers are a CPU's to the last bit. What a GPU does not forgive, it does not forgive either: an
operator that gets a tensor of each raises. What a GPU waits for, it counts: values that the host reads, and copies to
the device that the host waits for. It shows nothing of a real GPU's rounding, memory, speed and concurrency.

:func:`install` changes torch for the whole process, before ``peek_widget`` is imported: only in a process of its own.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from typing import Any

import torch
from torch.utils._contextlib import _DecoratorContextManager
from torch.utils._pytree import tree_leaves, tree_map

SETUP = "_setup_privateuseone_for_python_backend"
NAME = "glass"
_DYNAMIC = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten.index_put.default)
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Meter:
    """Counts what a GPU would wait for.

    Attributes:
        gone: whether the device has vanished: whatever is asked of it raises.
        reads: number of times that the host took values from the device, which waits until all is computed.
        uploads: number of copies to the device that the host waits for: all that are not ``non_blocking``.
        at: where in the package that was, and how often.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.gone = False
        self.reset()

    def reset(self) -> None:
        self.reads = self.uploads = 0
        self.at: Counter[str] = Counter()

    def count(self, kind: str) -> None:
        with self._lock:
            setattr(self, kind, getattr(self, kind) + 1)
            self.at[f"{kind}: {_caller()}"] += 1


METER = Meter()


def _caller() -> str:
    """Return file and line of the package that the operator was called from."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        _, found, path = frame.f_code.co_filename.rpartition("/peek_widget/")
        if found:
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


class Glass(torch.Tensor):
    """A tensor on the device; ``held`` is the one on the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Glass:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device(NAME, 0),
            requires_grad=held.requires_grad,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def __repr__(self) -> str:
        return f"Glass({tuple(self.shape)}, {self.dtype})"


def _held(one: Any) -> Any:
    return one.held if isinstance(one, Glass) else one


def _is_glass(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operator that has a tensor on the device among its arguments, or makes one there."""
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    here = [one for one in tensors if isinstance(one, Glass)]
    host = [one for one in tensors if not isinstance(one, Glass) and one.dim() > 0]
    if here and host and func not in _COPIES:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, but found glass:0 and cpu")
    if METER.gone and (here or _is_glass(kwargs.get("device"))):
        raise RuntimeError("CUDA error: unspecified launch failure")
    device = kwargs.get("device")
    there = _is_glass(device) if device is not None else bool(here)
    waits = not kwargs.get("non_blocking", False)
    if func is torch.ops.aten.copy_.default:
        there = isinstance(args[0], Glass)
        waits = not (len(args) > 2 and args[2]) and waits
        if there and not isinstance(args[1], Glass) and args[1].dim() > 0 and waits:
            METER.count("uploads")
        elif not there:
            METER.count("reads")
    elif func is torch.ops.aten._to_copy.default and device is not None:
        if there and not here and waits:
            METER.count("uploads")
        elif here and not there:
            METER.count("reads")
    elif here and _reads(func, args):
        METER.count("reads")
    inner = dict(tree_map(_held, kwargs))
    if there and device is not None:
        inner["device"] = torch.device("cpu")
    if inner.get("pin_memory"):
        inner["pin_memory"] = False
    out = func(*tree_map(_held, args), **inner)
    if func is torch.ops.aten.copy_.default:
        return args[0]
    if func._schema.is_mutable and isinstance(args[0], Glass) and isinstance(out, torch.Tensor):
        return args[0]  # it wrote into its first argument
    if not there:
        return out
    return tree_map(lambda one: Glass(one) if type(one) is torch.Tensor else one, out)


def _reads(func: Any, args: Any) -> bool:
    """Tell whether the host has to know values: a number, or how many there are of a result."""
    if func in _DYNAMIC:
        return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1])
    tags = func.tags
    return torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags


class _NoInference(_DecoratorContextManager):
    """``torch.inference_mode`` without its mark on tensors, which a wrapper can't have."""

    def __init__(self, mode: bool = True) -> None:
        self._mode = mode
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(torch.is_grad_enabled())
        torch._C._set_grad_enabled(not self._mode)

    def __exit__(self, *raised: Any) -> None:
        torch._C._set_grad_enabled(self._before.pop())

    def clone(self) -> _NoInference:
        return _NoInference(self._mode)


def install() -> torch.device:
    """Register the device and return it; AttributeError where this torch has no private device in Python."""
    getattr(torch.utils.backend_registration, SETUP)(NAME)
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda func, *args, **kwargs: run(func, args, kwargs), "PrivateUse1")
    globals()["_library"] = library  # or it ends with this function
    _replace_constructors()
    torch.inference_mode = _NoInference  # type: ignore[misc, assignment]
    return torch.device(NAME, 0)


def _replace_constructors() -> None:
    """Make what torch fills from Python's numbers before it knows of any operator: on the CPU first, then copied."""
    for name in ("tensor", "as_tensor"):
        setattr(torch, name, _made_here(getattr(torch, name)))
    new_tensor, getitem = torch.Tensor.new_tensor, torch.Tensor.__getitem__
    pointer, storage, tolist = torch.Tensor.data_ptr, torch.Tensor.untyped_storage, torch.Tensor.tolist

    def new(self: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
        if _is_glass(device or self.device):
            return torch.tensor(data, dtype=dtype or self.dtype, device=device or self.device)
        return new_tensor(self, data, dtype=dtype or self.dtype, device=device or self.device)

    def item(self: Any, index: Any) -> Any:
        if isinstance(self, Glass):
            index = tuple(map(_index, index)) if isinstance(index, tuple) else _index(index)
        return getitem(self, index)

    def numbers(self: Any) -> Any:
        if isinstance(self, Glass):
            METER.count("reads")
        return tolist(_held(self))

    torch.Tensor.new_tensor = new  # type: ignore[assignment]
    torch.Tensor.__getitem__ = item  # type: ignore[assignment]
    torch.Tensor.tolist = numbers  # type: ignore[assignment]
    torch.Tensor.data_ptr = lambda self: pointer(_held(self))  # type: ignore[assignment]
    torch.Tensor.untyped_storage = lambda self: storage(_held(self))  # type: ignore[assignment]


def _index(index: Any) -> Any:
    # an index given as a list is copied to the device each time
    return torch.tensor(index, device=torch.device(NAME, 0)) if isinstance(index, list) else index


def _made_here(make: Any) -> Any:
    def made(*args: Any, device: Any = None, **kwargs: Any) -> Any:
        if not _is_glass(device):
            return make(*args, **kwargs) if device is None else make(*args, device=device, **kwargs)
        found = make(*args, **kwargs)
        return found if isinstance(found, Glass) else found.to(device)

    return made

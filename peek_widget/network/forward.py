"""Run a model's forward as it is, and read its layers before their last ReLUs and softmaxes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peek_widget.network.context import Calls, call
from peek_widget.network.convolution import conv2d
from peek_widget.network.nested import map_tensors, tensors_in
from peek_widget.network.preactivation import PreActivation, is_carrier, is_squashing, storage_of

__all__ = ["ForwardMode"]


@dataclass(frozen=True)
class _Bypassed:
    """A tensor of the forward, and the value that it would have without some of the ReLU and softmax calls.

    Attributes:
        real: the tensor as the forward has it. Kept, since the id of a collected tensor would be given to another.
        value: the same without the calls.
        calls: numbers of the calls that are left out.
        owned: whether no tensor of the forward shares memory with ``value``.
    """

    real: Tensor
    value: Tensor
    calls: frozenset[int]
    owned: bool


class ForwardMode(Calls):
    """A mode to run a forward in, which knows of each layer asked for what went into its last ReLUs and softmaxes.

    A unit whose output has been rectified has exactly zero gradient at most starts, so it is drawn by its
    pre-activation instead (36 of 40 units of SqueezeNet's fire8 are dead at a gray start after their ReLU, none before
    it). Øygard did it with a leak of 0.01 in a second network definition. A softmax makes one class larger by making
    the others smaller. Functions are intercepted and not modules, because models call ``F.relu`` too.

    Where no layer asked for depends on the actual output of a ReLU, the call returns its input. Elsewhere the output
    also gets a *bypassed value*: what it would be without the ReLU. Every carrier (``cat``, ``view``, ``max_pool2d``)
    is applied to that value too, so that the forward itself stays what it always was and one forward serves many
    layers.

    A convolution computes its gradient by a faster formula where there is one, see
    :func:`~peek_widget.network.convolution.conv2d`.

    Args:
        preactivations: those of the layers asked for; None keeps a bypassed value of every such call, whatever its
            number.

    Attributes:
        calls: number of ReLU and softmax calls until now.
    """

    def __init__(self, preactivations: Iterable[PreActivation] | None) -> None:
        super().__init__()
        self.calls: int = 0
        self._all = preactivations is None
        wanted = list(preactivations or ())
        last = frozenset().union(*(one.last for one in wanted))
        real = frozenset().union(*(one.real for one in wanted))
        self._skip, self._bypass = last - real, last & real
        self._waiting = [one.last for one in wanted]
        self._bypassed: dict[int, _Bypassed] = {}

    def before(self, tensor: Tensor) -> Tensor:
        """Return the value of ``tensor`` before its last ReLUs and softmaxes; itself where there are none."""
        entry = self._bypassed.get(id(tensor))
        return tensor if entry is None else entry.value

    def owned(self, tensor: Tensor) -> bool:
        """Tell whether nothing later in the forward can write into the value that :meth:`before` returns."""
        entry = self._bypassed.get(id(tensor))
        return entry is not None and entry.owned

    def taken(self, preactivation: PreActivation) -> None:
        """Note that a layer has its output: bypassed values that no other layer waits for are dropped."""
        if self._all:
            return
        self._waiting.remove(preactivation.last)
        needed = frozenset().union(*self._waiting)
        self._bypassed = {key: one for key, one in self._bypassed.items() if one.calls & needed}
        self._bypass &= needed

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_squashing(func, args, kwargs):
            number = self.calls
            self.calls += 1
            source = args[0] if args else kwargs["input"]
            if number in self._skip:
                return source
            if self._all or number in self._bypass:
                in_place = func.__name__.endswith("_") or kwargs.get("inplace")
                value = source.clone() if in_place else source
                output = call(func, args, kwargs, self._inference)
                self._forget_written(args, output)
                self._bypassed[id(output)] = _Bypassed(output, value, frozenset({number}), bool(in_place))
                return output
        output = call(conv2d if func is torch.conv2d else func, args, kwargs, self._inference)
        if self._bypassed:
            self._carry(func, args, kwargs, output)
        return output

    def _carry(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Apply a carrier to the bypassed values of its inputs too; after another function, forget what it wrote."""
        given = list(tensors_in([args, kwargs])) if is_carrier(func) else []
        sources = [self._bypassed[id(tensor)] for tensor in given if id(tensor) in self._bypassed]
        if not sources:
            self._forget_written(args, output)
            return
        calls = frozenset().union(*(one.calls for one in sources))
        owned = {storage_of(self.before(tensor)): self.owned(tensor) for tensor in given}
        bypassed = func(*map_tensors(args, self.before), **map_tensors(kwargs, self.before))
        for real, value in zip(tensors_in(output), tensors_in(bypassed), strict=True):
            # In memory of its own (joined, pooled), or a view of an input's, and then owned as that one is.
            self._bypassed[id(real)] = _Bypassed(real, value, calls, owned.get(storage_of(value), True))

    def _forget_written(self, args: tuple[Any, ...], output: Any) -> None:
        """Drop the bypassed values of the tensor that a function wrote into, and of all its views."""
        if args and isinstance(args[0], Tensor) and (output is args[0] or output is None):
            storage = storage_of(args[0])
            for key, one in list(self._bypassed.items()):
                if storage_of(one.real) == storage:
                    del self._bypassed[key]

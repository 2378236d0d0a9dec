"""Running a model's forward unchanged while reading its layers before their last ReLUs, softmaxes and sigmoids."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peek_widget.network.context import Calls, call
from peek_widget.network.convolution import conv2d
from peek_widget.network.nested import map_tensors, tensors_in
from peek_widget.network.normalization import NORMALIZING
from peek_widget.network.preactivation import PreActivation, is_carrier, storage_of
from peek_widget.network.rectifiers import Derived, Role, is_affine, sources_of, writes

__all__ = ["ForwardMode"]

_SET_DATA = Tensor.data.__set__  # type: ignore[attr-defined]
_INSTEAD = {torch.conv2d: conv2d, **NORMALIZING}
_KNOWN_ROLES = (Role.RECTIFIER, Role.SOFTMAX, Role.SQUASH)


@dataclass(frozen=True)
class _Bypassed:
    """A tensor of the forward, and its value without some of the squashing calls.

    Attributes:
        real: the tensor as the forward has it. Kept, since the id of a collected tensor would be given to another.
        value: the same without the calls.
        calls: numbers of the calls that are left out.
        owned: whether no tensor of the forward shares memory with ``value``.
        saturates: whether the last of the calls left out is a softmax, or saturates.
        result_only: whether that is left out of the model's result alone: a sigmoid.
    """

    real: Tensor
    value: Tensor
    calls: frozenset[int]
    owned: bool
    saturates: bool = False
    result_only: bool = False


class ForwardMode(Calls):
    """A mode for a forward that keeps, for each requested layer, what went into its last squashing calls.

    A unit whose output has been rectified has exactly zero gradient at most starts, so it is drawn by its
    pre-activation instead (36 of 40 units of SqueezeNet's fire8 are dead at a gray start after their ReLU, none before
    it). Øygard did it with a leak of 0.01 in a second network definition. A softmax makes one class larger by making
    the others smaller, and a sigmoid saturates. Functions are intercepted and not modules, because models call
    ``F.relu`` too.

    Where no layer asked for depends on the actual output of a ReLU, the call returns its input. Elsewhere the output
    also gets a *bypassed value*: what it would be without the ReLU. Every carrier (``cat``, ``view``, ``max_pool2d``)
    is applied to that value too, so that the forward itself stays what it always was and one forward serves many
    layers.

    A convolution computes its gradient by a faster formula where there is one, see
    :func:`~peek_widget.network.convolution.conv2d`, and a batch normalization in spite of its strides, see
    :mod:`~peek_widget.network.normalization`.

    Args:
        preactivations: those of the layers asked for; None keeps a bypassed value of every such call, whatever its
            number.

    Attributes:
        calls: number of squashing calls so far.
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
        self._sources = dict(pair for one in wanted for pair in one.sources)
        self._bypassed: dict[int, _Bypassed] = {}
        self._derived = Derived()

    def before(self, tensor: Tensor, result: bool = True) -> Tensor:
        """Return the value of ``tensor`` before its last squashing calls; ``tensor`` itself if there are none.

        Args:
            tensor: a module's output.
            result: whether it is the model's result, which alone is read before what saturates.
        """
        entry = self._bypassed.get(id(tensor))
        return tensor if entry is None or (self._all and entry.result_only and not result) else entry.value

    def owned(self, tensor: Tensor) -> bool:
        """Return whether nothing later in the forward can write into the value that :meth:`before` returns."""
        entry = self._bypassed.get(id(tensor))
        return entry is not None and entry.owned

    def taken(self, preactivation: PreActivation) -> None:
        """Record that a layer has its output, and drop bypassed values that no other layer needs."""
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
        role = self._derived.role(func, args, kwargs)
        if role is None:
            output = call(_INSTEAD.get(func, func), args, kwargs, self._inference)
            if self._bypassed:
                self._carry(func, args, kwargs, output)
        else:
            output = self._squash(func, args, kwargs, role)
        self._derived.called(func, args, kwargs, output, role)
        return output

    def _squash(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], role: Role) -> Any:
        """Make a squashing call, or skip it."""
        number = self.calls
        self.calls += 1
        sources = sources_of(args, kwargs, self._derived.origins(args, kwargs))
        source = sources[self._sources.get(number, 0)]
        # In an autograd function of the model's own, whose backward would squash the gradient.
        inside = source.requires_grad and not torch.is_grad_enabled()
        if number in self._skip and not inside:
            if func is Tensor.__setitem__:
                return None
            # A new tensor object, because tensors computed from comparisons are tracked by id.
            return source if role in _KNOWN_ROLES else source.view_as(source)
        if not (number in self._skip or number in self._bypass or (self._all and self._always(role, source))):
            output = call(func, args, kwargs, self._inference)
            if self._bypassed:
                self._carry(func, args, kwargs, output)
            return output
        in_place = writes(func, args, kwargs)
        entry = self._bypassed.get(id(source)) if role is not Role.RECTIFIER or self._saturates(source) else None
        with torch.enable_grad() if inside else contextlib.nullcontext():
            value = entry.value if entry is not None else source.clone() if in_place else source
        output = call(func, args, kwargs, self._inference)
        self._forget_written(func, args, output)
        made = args[0] if func is Tensor.__setitem__ else output
        calls = frozenset({number}) | (entry.calls if entry is not None else frozenset())
        saturates = role in (Role.SQUASH, Role.SOFTMAX) or (entry is not None and entry.saturates)
        result_only = role is Role.SQUASH or (entry is not None and entry.result_only)
        self._bypassed[id(made)] = _Bypassed(made, value, calls, bool(in_place), saturates, result_only)
        return output

    def _always(self, role: Role, source: Tensor) -> bool:
        """Return whether a call is bypassed where it is not known which calls the layers come from."""
        return role in _KNOWN_ROLES or (role is Role.FOLLOWER and self._saturates(source))

    def _saturates(self, tensor: Tensor) -> bool:
        entry = self._bypassed.get(id(tensor))
        return entry is not None and entry.saturates

    def _carry(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Apply a carrier to the bypassed values of its inputs; after any other function, drop those it wrote into."""
        given = list(tensors_in([args, kwargs]))
        if not (is_carrier(func) or (is_affine(func, args, kwargs) and any(map(self._saturates, given)))):
            given = []
        sources = [self._bypassed[id(tensor)] for tensor in given if id(tensor) in self._bypassed]
        if not sources:
            self._forget_written(func, args, output)
            return
        calls = frozenset().union(*(one.calls for one in sources))
        owned = {storage_of(self.before(tensor)): self.owned(tensor) for tensor in given}
        inside = not torch.is_grad_enabled() and any(one.value.requires_grad for one in sources)
        with torch.enable_grad() if inside else contextlib.nullcontext():
            bypassed = func(*map_tensors(args, self.before), **map_tensors(kwargs, self.before))
        saturates, result_only = all(one.saturates for one in sources), any(one.result_only for one in sources)
        for real, value in zip(tensors_in(output), tensors_in(bypassed), strict=True):
            # Either newly allocated (joined, pooled), or a view of an input's, and then owned as that one is.
            known = calls, owned.get(storage_of(value), True), saturates, result_only
            self._bypassed[id(real)] = _Bypassed(real, value, *known)

    def _forget_written(self, func: Callable[..., Any], args: tuple[Any, ...], output: Any) -> None:
        """Drop the bypassed values of the tensor that a function wrote into, and of all its views."""
        wrote = args and isinstance(args[0], Tensor) and (output is args[0] or output is None)
        changed = func.__name__ not in ("__get__", "__set__") or func == _SET_DATA  # no other attribute
        if wrote and changed:
            storage = storage_of(args[0])
            for key, one in list(self._bypassed.items()):
                if storage_of(one.real) == storage:
                    del self._bypassed[key]

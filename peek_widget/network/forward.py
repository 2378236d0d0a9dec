"""What goes into the last ReLUs of a layer, and into the last softmax of a model, had from an ordinary forward."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from peek_widget.network.convolution import conv2d

__all__ = ["ForwardMode", "PreActivation", "Squashers", "is_rectifier", "is_squashing", "tensors_in"]

_RELUS = {F.relu, F.relu_, F.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_SOFTMAXES = {
    F.softmax,
    F.log_softmax,
    torch.softmax,
    torch.log_softmax,
    Tensor.softmax,
    Tensor.log_softmax,
}

# Functions that hand values on unchanged, pick from them or average them: behind them a ReLU still rules. By
# name, because each has several spellings (torch.cat and torch.concat, torch.mean and Tensor.mean, F's privates).
_CARRIERS = frozenset(
    (
        "cat",
        "concat",
        "concatenate",
        "stack",
        "hstack",
        "vstack",
        "dstack",
        "view",
        "view_as",
        "reshape",
        "reshape_as",
        "flatten",
        "unflatten",
        "squeeze",
        "unsqueeze",
        "expand",
        "expand_as",
        "permute",
        "transpose",
        "t",
        "movedim",
        "moveaxis",
        "swapaxes",
        "swapdims",
        "roll",
        "flip",
        "__getitem__",
        "select",
        "narrow",
        "chunk",
        "split",
        "split_with_sizes",
        "tensor_split",
        "unbind",
        "index_select",
        "clone",
        "contiguous",
        "to",
        "cpu",
        "cuda",
        "float",
        "double",
        "half",
        "bfloat16",
        "type",
        "type_as",
        "channel_shuffle",
        "native_channel_shuffle",
        "pixel_shuffle",
        "pixel_unshuffle",
        "max_pool2d",
        "_max_pool2d",
        "max_pool2d_with_indices",
        "avg_pool2d",
        "mean",
        "amax",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool1d",
        "adaptive_max_pool2d",
        "_adaptive_max_pool2d",
        "adaptive_max_pool2d_with_indices",
        "dropout",
        "dropout1d",
        "dropout2d",
        "alpha_dropout",
        "feature_dropout",
        "feature_alpha_dropout",
    )
)
_TURNS = {Tensor.T.__get__, Tensor.mT.__get__}


def is_rectifier(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call cuts its input off at zero: a ReLU or ReLU6 in any of torch's spellings."""
    if function in (F.hardtanh, F.hardtanh_):
        return float(kwargs.get("min_val", args[1] if len(args) > 1 else -1.0)) == 0.0
    return function in _RELUS


def is_squashing(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call hides from the gradient what is asked for: a ReLU, or a softmax."""
    return function in _SOFTMAXES or is_rectifier(function, args, kwargs)


def _is_carrier(function: Callable[..., Any]) -> bool:
    return getattr(function, "__name__", "") in _CARRIERS or function in _TURNS


def tensors_in(values: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from tensors_in(value)
    elif isinstance(values, dict):
        yield from tensors_in(list(values.values()))


def _exchange(values: Any, by: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(values, Tensor):
        return by(values)
    if isinstance(values, (tuple, list)):
        exchanged = [_exchange(value, by) for value in values]
        return exchanged if isinstance(values, list) else tuple(exchanged)
    if isinstance(values, dict):
        return {key: _exchange(value, by) for key, value in values.items()}
    return values


def _storage(tensor: Tensor) -> int:
    """Equal for two tensors of which one may be written into through the other."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else id(tensor)


@dataclass(frozen=True)
class PreActivation:
    """How a tensor stands to the ReLU and softmax calls of the forward, numbered from 0 in call order.

    Attributes:
        last: calls that it comes out of with nothing but carriers (joining, reshaping, pooling) between: a layer
            is drawn by what went into them.
        real: calls on whose own output it depends in other ways.
        calls: how many there were before it was made.
    """

    last: frozenset[int] = frozenset()
    real: frozenset[int] = frozenset()
    calls: int = 0


class Squashers:
    """Finds the :class:`Lift` of every tensor from the calls reported to it."""

    def __init__(self) -> None:
        self.calls: int = 0
        self.rectifiers: set[int] = set()
        # By id, and keeping the tensor: a collected tensor's id would be given to another.
        self._lifts: dict[int, tuple[Tensor, PreActivation]] = {}
        self._sharing: dict[int, list[Tensor]] = {}

    def of(self, tensor: Tensor) -> PreActivation:
        """Of a tensor as it is now."""
        lift = self._of(tensor)
        return PreActivation(lift.last, lift.real, self.calls)

    def _of(self, tensor: Tensor) -> PreActivation:
        entry = self._lifts.get(id(tensor))
        return PreActivation() if entry is None else entry[1]

    def called(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Report one call that made ``output``."""
        given = list(tensors_in([args, kwargs]))
        if func is Tensor.__setitem__:
            output = args[0]
        lifts = [self._of(tensor) for tensor in given]
        last = frozenset().union(*(lift.last for lift in lifts))
        real = frozenset().union(*(lift.real for lift in lifts))
        if is_squashing(func, args, kwargs):
            lift = PreActivation(frozenset({self.calls}), real | last)
            if is_rectifier(func, args, kwargs):
                self.rectifiers.add(self.calls)
            self.calls += 1
        elif _is_carrier(func):
            lift = PreActivation(last, real)
        else:
            lift = PreActivation(frozenset(), real | last)
        for tensor in given:
            self._know(tensor, self._of(tensor))
        for tensor in tensors_in(output):
            if not _is_carrier(func) and any(tensor is one for one in given):
                self._written(tensor, lift)
            self._know(tensor, lift)

    def _know(self, tensor: Tensor, lift: PreActivation) -> None:
        if id(tensor) not in self._lifts:
            self._sharing.setdefault(_storage(tensor), []).append(tensor)
        self._lifts[id(tensor)] = (tensor, lift)

    def _written(self, tensor: Tensor, lift: PreActivation) -> None:
        """Other views of what was written into depend on it, and are carried no more."""
        for other in self._sharing.get(_storage(tensor), ()):
            before = self._of(other)
            self._know(other, PreActivation(frozenset(), before.last | before.real | lift.last | lift.real))


@dataclass(frozen=True)
class _Shadow:
    """What a tensor would be without the ReLUs of these calls; ``private`` if no one else has a hand on it."""

    real: Tensor
    value: Tensor
    calls: frozenset[int]
    private: bool


class ForwardMode(TorchFunctionMode):
    """Round a forward: gives of every layer asked for what went into its last ReLUs and softmaxes.

    A unit whose output has already been rectified has exactly zero gradient from most starts, so it is drawn
    by what goes into its last ReLUs instead (36 of 40 units of SqueezeNet's fire8 are dead at a gray start
    after their ReLU, none before it). Øygard did it with a leak of 0.01 in a second network definition. A
    softmax makes a class larger by making the others smaller. Functions and not modules are caught, because
    models call ``F.relu`` too.

    Where nothing that is asked for needs the ReLU's own output, the call hands its input on. Elsewhere the
    output gets a *shadow*: what it would be without the ReLU, taken along by each carrier beside the output
    itself, so that the rest of the forward is what it always was and one forward serves many layers.

    Convolutions hand their gradient back by a quicker way where there is one, see
    :func:`~peek_widget.network.convolution.conv2d`.

    Args:
        lifts: of the layers asked for; None gives every such call a shadow, whatever its number.
    """

    def __init__(self, lifts: Iterable[PreActivation] | None) -> None:
        super().__init__()
        self.calls: int = 0
        self._all = lifts is None
        lifts = list(lifts or ())
        last = frozenset().union(*(lift.last for lift in lifts))
        real = frozenset().union(*(lift.real for lift in lifts))
        self._passed, self._shadowed = last - real, last & real
        self._waiting = [lift.last for lift in lifts]
        self._shadows: dict[int, _Shadow] = {}

    def before(self, tensor: Tensor) -> Tensor:
        """What ``tensor`` is before its last ReLUs and softmaxes; itself where it comes out of none."""
        entry = self._shadows.get(id(tensor))
        return tensor if entry is None else entry.value

    def private(self, tensor: Tensor) -> bool:
        """Whether nothing later in the forward can write into what :meth:`before` gives for ``tensor``."""
        entry = self._shadows.get(id(tensor))
        return entry is not None and entry.private

    def taken(self, lift: PreActivation) -> None:
        """A layer has its output: shadows that no other waits for are carried on no more."""
        if self._all:
            return
        self._waiting.remove(lift.last)
        needed = frozenset().union(*self._waiting)
        self._shadows = {key: one for key, one in self._shadows.items() if one.calls & needed}
        self._shadowed &= needed

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_squashing(func, args, kwargs):
            number = self.calls
            self.calls += 1
            source = args[0] if args else kwargs["input"]
            if number in self._passed:
                return source
            if self._all or number in self._shadowed:
                in_place = func.__name__.endswith("_") or kwargs.get("inplace")
                shadow = source.clone() if in_place else source
                output = func(*args, **kwargs)
                self._forget(args, output)
                self._shadows[id(output)] = _Shadow(output, shadow, frozenset({number}), bool(in_place))
                return output
        output = (conv2d if func is torch.conv2d else func)(*args, **kwargs)
        if self._shadows:
            self._carry(func, args, kwargs, output)
        return output

    def _carry(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = list(tensors_in([args, kwargs])) if _is_carrier(func) else []
        from_ = [self._shadows[id(tensor)] for tensor in given if id(tensor) in self._shadows]
        if from_:
            calls = frozenset().union(*(one.calls for one in from_))
            inside = {_storage(self.before(tensor)): self.private(tensor) for tensor in given}
            shadow = func(*_exchange(args, self.before), **_exchange(kwargs, self.before))
            for real, other in zip(tensors_in(output), tensors_in(shadow), strict=True):
                # Made anew (joined, pooled), or a view of what is private itself.
                self._shadows[id(real)] = _Shadow(real, other, calls, inside.get(_storage(other), True))
        else:
            self._forget(args, output)

    def _forget(self, args: tuple[Any, ...], output: Any) -> None:
        """What a function wrote into has no shadow any more, nor has any view of it."""
        if args and isinstance(args[0], Tensor) and (output is args[0] or output is None):
            storage = _storage(args[0])
            for key, one in list(self._shadows.items()):
                if _storage(one.real) == storage:
                    del self._shadows[key]

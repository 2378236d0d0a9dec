"""Which ReLU and softmax calls of a forward a tensor comes from: what :class:`~peek_widget.network.forward.ForwardMode`
has to know to give the activations before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peek_widget.network.nested import tensors_in

__all__ = ["ActivationTracker", "PreActivation", "is_carrier", "is_rectifier", "is_squashing", "storage_of"]

_RELUS = {F.relu, F.relu_, F.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_SOFTMAXES = {
    F.softmax,
    F.log_softmax,
    torch.softmax,
    torch.log_softmax,
    Tensor.softmax,
    Tensor.log_softmax,
}

# Functions that pass values on unchanged, select some of them or average them: a ReLU before them still decides whether
# a unit has a gradient. Listed by name, because each has several spellings (torch.cat and torch.concat, torch.mean and
# Tensor.mean, private ones of torch.nn.functional).
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
_TRANSPOSES = {Tensor.T.__get__, Tensor.mT.__get__}


def is_rectifier(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether a call sets negative values to zero: ReLU or ReLU6 in any of torch's spellings."""
    if function in (F.hardtanh, F.hardtanh_):
        return float(kwargs.get("min_val", args[1] if len(args) > 1 else -1.0)) == 0.0
    return function in _RELUS


def is_squashing(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether a call is one that units are read before: a ReLU, or a softmax."""
    return function in _SOFTMAXES or is_rectifier(function, args, kwargs)


def is_carrier(function: Callable[..., Any]) -> bool:
    """Tell whether a function only rearranges, selects, joins or pools values (``cat``, ``view``, ``max_pool2d``)."""
    return getattr(function, "__name__", "") in _CARRIERS or function in _TRANSPOSES


def storage_of(tensor: Tensor) -> int:
    """Return a number that is equal for two tensors that share memory, so that a write into one changes the other."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else id(tensor)


@dataclass(frozen=True)
class PreActivation:
    """How a tensor depends on the ReLU and softmax calls of the forward, which are numbered from 0 in call order.

    Attributes:
        last: numbers of the calls that the tensor comes from with only carriers (:func:`is_carrier`) in between. A
            layer with such calls is read before them, at their inputs.
        real: numbers of the calls on whose actual output the tensor depends, through other functions.
        calls: number of calls before the tensor was made.
    """

    last: frozenset[int] = frozenset()
    real: frozenset[int] = frozenset()
    calls: int = 0


class ActivationTracker:
    """Finds the :class:`PreActivation` of every tensor of a forward, whose calls are reported to it one by one.

    Attributes:
        calls: number of ReLU and softmax calls until now.
        rectifiers: numbers of those that are ReLUs.
    """

    def __init__(self) -> None:
        self.calls: int = 0
        self.rectifiers: set[int] = set()
        # By the tensor's id. The tensor is kept as well, since the id of a collected one would be given to another.
        self._known: dict[int, tuple[Tensor, PreActivation]] = {}
        self._sharing: dict[int, list[Tensor]] = {}

    def of(self, tensor: Tensor) -> PreActivation:
        """Return what the tensor depends on, as it is now (a later write into it changes that)."""
        known = self._of(tensor)
        return PreActivation(known.last, known.real, self.calls)

    def _of(self, tensor: Tensor) -> PreActivation:
        entry = self._known.get(id(tensor))
        return PreActivation() if entry is None else entry[1]

    def called(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Report one call of a torch function and the ``output`` that it returned."""
        given = list(tensors_in([args, kwargs]))
        if func is Tensor.__setitem__:
            output = args[0]
        known = [self._of(tensor) for tensor in given]
        last = frozenset().union(*(one.last for one in known))
        real = frozenset().union(*(one.real for one in known))
        if is_squashing(func, args, kwargs):
            made = PreActivation(frozenset({self.calls}), real | last)
            if is_rectifier(func, args, kwargs):
                self.rectifiers.add(self.calls)
            self.calls += 1
        elif is_carrier(func):
            made = PreActivation(last, real)
        else:
            made = PreActivation(frozenset(), real | last)
        for tensor in given:
            self._record(tensor, self._of(tensor))
        for tensor in tensors_in(output):
            if not is_carrier(func) and any(tensor is one for one in given):
                self._invalidate_views(tensor, made)
            self._record(tensor, made)

    def _record(self, tensor: Tensor, known: PreActivation) -> None:
        if id(tensor) not in self._known:
            self._sharing.setdefault(storage_of(tensor), []).append(tensor)
        self._known[id(tensor)] = (tensor, known)

    def _invalidate_views(self, tensor: Tensor, made: PreActivation) -> None:
        """After a write into ``tensor``: its other views depend on what was written, and not through carriers alone."""
        for other in self._sharing.get(storage_of(tensor), ()):
            before = self._of(other)
            self._record(other, PreActivation(frozenset(), before.last | before.real | made.last | made.real))

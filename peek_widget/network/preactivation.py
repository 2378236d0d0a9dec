"""Which squashing calls of a forward (ReLUs, softmaxes, sigmoids) a tensor comes from: what
:class:`~peek_widget.network.forward.ForwardMode` needs to give the activations before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from peek_widget.network.nested import tensors_in
from peek_widget.network.rectifiers import (
    Derived,
    Role,
    is_affine,
    name_of,
    only_caps,
    sources_of,
    writes,
    zeroes_negatives,
)

__all__ = ["ActivationTracker", "Begun", "PreActivation", "address_of", "is_carrier", "storage_of"]

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


def is_carrier(function: Callable[..., Any]) -> bool:
    """Return whether a function only rearranges, selects, joins or pools values (``cat``, ``view``, ``max_pool2d``)."""
    return name_of(function) in _CARRIERS or function in _TRANSPOSES


def storage_of(tensor: Tensor) -> int:
    """Return a number that is equal for two tensors that share memory, so that a write into one changes the other."""
    plain = tensor.layout is torch.strided and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    return tensor.untyped_storage().data_ptr() if plain else id(tensor)  # not available within torch.vmap


def address_of(tensor: Tensor) -> int:
    """Return where the first of a tensor's values lies; of a sparse one, of those that are stored."""
    if tensor.layout is torch.strided:
        return tensor.data_ptr()
    values = tensor.data._values() if tensor.layout is torch.sparse_coo else tensor.data.values()
    return values.data_ptr()


@dataclass(frozen=True)
class PreActivation:
    """How a tensor depends on the squashing calls of the forward, which are numbered from 0 in call order.

    Attributes:
        last: numbers of the calls that the tensor comes from with only carriers (:func:`is_carrier`) in between. A
            layer with such calls is read before them, at their inputs.
        real: numbers of the calls on whose actual output the tensor depends, through other functions.
        calls: number of calls before the tensor was made.
        sources: of calls among ``last``, which of their tensors it is that they squash, where it is not the first:
            pairs of numbers, see :func:`~peek_widget.network.rectifiers.sources_of`.
    """

    last: frozenset[int] = frozenset()
    real: frozenset[int] = frozenset()
    calls: int = 0
    sources: frozenset[tuple[int, int]] = frozenset()


class ActivationTracker:
    """Finds the :class:`PreActivation` of every tensor of a forward, whose calls are reported to it one by one.

    Attributes:
        calls: number of squashing calls so far.
        rectifiers: numbers of those that are ReLUs.
        squashes: names of those that are softmaxes, or saturate, by their numbers.
        returned: numbers of the calls that what the model returns comes from, with only carriers in between.
        same_units: of the autograd node of a ReLU written by hand, that of what it sets to zero.

    Args:
        has_gradient: tells whether a tensor has a gradient in the model's own forward.
    """

    def __init__(self, has_gradient: Callable[[Tensor], bool] = lambda _: True) -> None:
        self.calls: int = 0
        self.same_units: dict[Any, Any] = {}
        self._has_gradient = has_gradient
        self.rectifiers: set[int] = set()
        self.squashes: dict[int, str] = {}
        self.returned: frozenset[int] = frozenset()
        self._softmaxes: set[int] = set()
        self._saturating: set[int] = set()
        # For a call that directly follows others, those: a layer read before it is read before them as well.
        self._beneath: dict[int, frozenset[int]] = {}
        self._sources: dict[int, int] = {}
        self._derived = Derived()
        # By the tensor's id. The tensor is kept as well, since the id of a collected one would be given to another.
        self._known: dict[int, tuple[Tensor, PreActivation]] = {}
        self._sharing: dict[int, list[Tensor]] = {}

    def of(self, tensor: Tensor) -> PreActivation:
        """Return what the tensor depends on, as it is now (a later write into it changes that)."""
        known = self._of(tensor)
        sources = frozenset((number, self._sources[number]) for number in known.last & self._sources.keys())
        return PreActivation(known.last, known.real, self.calls, sources)

    def read_before(self, known: PreActivation) -> PreActivation:
        """Return the dependence without sigmoids that units are not read before: all but the model's last."""
        allowed = self.rectifiers | self._softmaxes | self.returned
        dropped, todo = set(), list(known.last - allowed)
        while todo:
            number = todo.pop()
            dropped.add(number)
            todo.extend(self._beneath.get(number, frozenset()) - dropped)
        return replace(known, last=known.last - dropped, real=known.real | (known.last & dropped))

    def _of(self, tensor: Tensor) -> PreActivation:
        entry = self._known.get(id(tensor))
        return PreActivation() if entry is None else entry[1]

    def begin(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
        """Report a call before it is made; what is returned is given to :meth:`called`."""
        role = self._derived.role(func, args, kwargs)
        if role is not Role.CANDIDATE:
            return Begun(role)
        sources = sources_of(args, kwargs, self._derived.origins(args, kwargs))
        if not writes(func, args, kwargs):
            return Begun(role, sources)
        # An in-place call: its first argument's values are gone afterwards.
        return Begun(role, [sources[0].detach().clone(), *sources[1:]])

    def called(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, begun: Begun
    ) -> None:
        """Report one call of a torch function and its ``output``."""
        given = list(tensors_in([args, kwargs]))
        if func is Tensor.__setitem__:
            output = args[0]
        known = [self._of(tensor) for tensor in given]
        last = frozenset().union(*(one.last for one in known))
        real = frozenset().union(*(one.real for one in known))
        made = (
            None
            if begun.role is None
            else self._squashed(func, begun, given, output, last, real, only_caps(func, args, kwargs))
        )
        if made is not None:
            pass
        elif is_carrier(func) or (is_affine(func, args, kwargs) and self._saturates(last)):
            made = PreActivation(last, real)
        else:
            made = PreActivation(frozenset(), real | last)
        for tensor in given:
            self._record(tensor, self._of(tensor))
        for tensor in tensors_in(output):
            if not is_carrier(func) and any(tensor is one for one in given):
                self._invalidate_views(tensor, made)
            self._record(tensor, made)
        self._derived.called(func, args, kwargs, output, begun.role)

    def _squashed(
        self,
        func: Callable[..., Any],
        begun: Begun,
        given: list[Tensor],
        output: Any,
        last: frozenset[int],
        real: frozenset[int],
        capped: bool,
    ) -> PreActivation | None:
        """Return the squashing calls that the output of a call depends on; None if this call does not squash."""
        number = self.calls
        self.calls += 1
        role, source = begun.role, 0
        if role is Role.CANDIDATE:
            tensors = [*given, *begun.sources[len(given) :]]
            found = None
            if isinstance(output, Tensor):
                found = zeroes_negatives(begun.sources, output, lambda one: self._has_gradient(tensors[one]))
            if found is None:
                return None
            role, source = Role.RECTIFIER, found
            if tensors[found] is not output:
                self.same_units[output.grad_fn] = tensors[found].grad_fn
        beneath = self._of(given[source] if source < len(given) else begun.sources[source]).last
        saturates = self._saturates(beneath) or role in (Role.SOFTMAX, Role.SQUASH)
        if role is Role.FOLLOWER and not saturates:
            if not (capped and beneath):
                return None
            role = Role.RECTIFIER  # a capped ReLU is still a ReLU
        elif role is Role.RECTIFIER and not saturates:
            beneath = frozenset()
        if role is Role.RECTIFIER:
            self.rectifiers.add(number)
        elif role is not Role.FOLLOWER:
            self.squashes[number] = name_of(func).strip("_")
            self._softmaxes |= {number} if role is Role.SOFTMAX else set()
        if source:
            self._sources[number] = source
        if saturates:
            self._saturating.add(number)
        self._beneath[number] = beneath
        return PreActivation(frozenset({number}) | beneath, real | (last - beneath))

    def _saturates(self, last: frozenset[int]) -> bool:
        """Return whether a tensor comes only from saturating calls, and what comes right before them."""
        beneath = frozenset().union(*(self._beneath.get(number, frozenset()) for number in last))
        top = last - beneath
        return bool(top) and top <= self._saturating

    def _record(self, tensor: Tensor, known: PreActivation) -> None:
        if id(tensor) not in self._known:
            self._sharing.setdefault(storage_of(tensor), []).append(tensor)
        self._known[id(tensor)] = (tensor, known)

    def _invalidate_views(self, tensor: Tensor, made: PreActivation) -> None:
        """Update the other views after a write into ``tensor``: they depend on it, not only through carriers."""
        for other in self._sharing.get(storage_of(tensor), ()):
            before = self._of(other)
            self._record(other, PreActivation(frozenset(), before.last | before.real | made.last | made.real))


@dataclass(frozen=True)
class Begun:
    """A call that is about to be made.

    Attributes:
        role: what it does.
        sources: of a candidate, what it may have set to zero where that is negative, as it is before the call.
    """

    role: Role | None
    sources: list[Tensor] = field(default_factory=list)

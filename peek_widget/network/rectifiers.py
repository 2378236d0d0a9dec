"""Recognizing the function calls of a forward that squash: ReLUs in any spelling, softmaxes, sigmoids and the like."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget.network.nested import tensors_in

__all__ = ["Derived", "Role", "is_affine", "name_of", "only_caps", "sources_of", "writes", "zeroes_negatives"]


class Role(enum.Enum):
    """The role of a call that units may be read before."""

    RECTIFIER = enum.auto()
    """Sets negative values to zero, for any input."""
    CANDIDATE = enum.auto()
    """May do so; its values in the dry run decide."""
    SOFTMAX = enum.auto()
    """Makes one value larger by making others smaller."""
    SQUASH = enum.auto()
    """Saturates: a sigmoid, a tanh."""
    FOLLOWER = enum.auto()
    """A monotone function that only counts after one that saturates: the logarithm of a softmax."""


_RELUS = frozenset(("relu", "relu_", "relu6"))
_CLAMPS = frozenset(("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_"))
_THRESHOLDS = frozenset(("_threshold", "threshold", "threshold_"))
_SOFTMAXES = frozenset(("softmax", "log_softmax", "special_softmax", "special_log_softmax", "_softmax", "_log_softmax"))
_SQUASHES = frozenset(
    [
        "sigmoid",
        "sigmoid_",
        "special_expit",
        "expit",
        "tanh",
        "tanh_",
        "log_sigmoid",
        "logsigmoid",
        "softsign",
        "hardsigmoid",
        "hardsigmoid_",
        "hardtanh",
        "hardtanh_",
        "atan",
        "arctan",
        "erf",
    ]
)
_FOLLOWERS = frozenset(("log", "log2", "log10", "log1p", "exp", "logit", "sqrt", *_CLAMPS, "clamp_max"))
_LARGER = frozenset(("maximum", "fmax", "max"))
_AFFINE = frozenset(
    ("add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "rsub", "__rsub__", "neg", "negative")
)
# Functions by which people write a ReLU: with a mask of the positive values, or an absolute value.
_STARTERS = frozenset(
    [
        "gt",
        "ge",
        "lt",
        "le",
        "greater",
        "greater_equal",
        "less",
        "less_equal",
        "abs",
        "absolute",
        "sign",
        "sgn",
        "minimum",
        "fmin",
        "heaviside",
        "signbit",
        "clamp_max",
    ]
)
_GOING_ON = (
    _AFFINE
    | _LARGER
    | frozenset(
        ("float", "double", "half", "bfloat16", "int", "long", "bool", "to", "type", "type_as", "clone", "detach")
    )
    | frozenset(("logical_not", "bitwise_not", "__invert__", "expand_as", "contiguous", "clamp", "mul_", "where"))
)
_COMBINING = _AFFINE | frozenset(
    ("mul_", "where", "masked_fill", "masked_fill_", "__setitem__", "index_put", "index_put_")
)
# All names of the above, for a quick test, since most functions of a forward are not among them.
_LOOKED_AT = (
    _RELUS
    | _THRESHOLDS
    | _CLAMPS
    | _SOFTMAXES
    | _SQUASHES
    | _FOLLOWERS
    | _LARGER
    | _COMBINING
    | {"leaky_relu", "leaky_relu_", "prelu"}
)
_FOLLOWED = _STARTERS | _GOING_ON | {"min", "clip"}
_DEEPEST = 4  # calls from the first function of a ReLU written by hand to its last


class Derived:
    """Recent tensors of a forward that were computed from comparisons and absolute values."""

    def __init__(self) -> None:
        # By the tensor's id: the number of calls since, and what was compared. The tensor is kept as well, since the id
        # of a collected one would be given to another.
        self._known: dict[int, tuple[Tensor, int, tuple[Tensor, ...]]] = {}

    def role(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Role | None:
        """Return what a call does; None if units are not read before it. The call is not made yet."""
        name = name_of(func)
        if name not in _LOOKED_AT:
            return None
        if name in _RELUS or name in _THRESHOLDS:
            return Role.RECTIFIER
        if name in ("hardtanh", "hardtanh_"):
            return Role.RECTIFIER if _number(args, kwargs, 1, "min_val", -1.0) == 0 else Role.SQUASH
        if name in ("leaky_relu", "leaky_relu_"):
            return Role.RECTIFIER if _number(args, kwargs, 1, "negative_slope", 0.01) == 0 else None
        if name in _CLAMPS:
            least = _number(args, kwargs, 1, "min", None)
            if isinstance(least, Tensor):
                return Role.CANDIDATE
            return Role.RECTIFIER if least == 0 else Role.FOLLOWER
        if name in _LARGER and sum(isinstance(one, Tensor) for one in (*args, *kwargs.values())) > 1:
            return Role.CANDIDATE
        if name == "prelu":
            return Role.CANDIDATE
        if name in _SOFTMAXES:
            return Role.SOFTMAX
        if name in _SQUASHES:
            return Role.SQUASH
        if name in _COMBINING and self._known and any(id(one) in self._known for one in tensors_in([args, kwargs])):
            return Role.CANDIDATE
        return Role.FOLLOWER if name in _FOLLOWERS else None

    def origins(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
        """Return what was compared to compute a call's arguments."""
        if not self._known:
            return []
        entries = (self._known[id(one)] for one in tensors_in([args, kwargs]) if id(one) in self._known)
        return list({id(one): one for _, _, origins in entries for one in origins}.values())

    def called(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, role: Role | None
    ) -> None:
        """Report one call of a torch function, the ``output`` that it returned, and what it does."""
        name = name_of(func)
        if name not in _FOLLOWED or role in (Role.SOFTMAX, Role.SQUASH):
            return
        starts = name in _STARTERS or (name in ("min", "clamp", "clip") and isinstance(output, Tensor))
        starts = starts and role is not Role.RECTIFIER
        if not isinstance(output, Tensor) or not (starts or (self._known and name in _GOING_ON)):
            return
        given = list(tensors_in([args, kwargs]))
        entries = [self._known[id(one)] for one in given if id(one) in self._known]
        depth = 1 + max((calls for _, calls, _ in entries), default=0)
        if not (starts or entries) or depth > _DEEPEST:
            return
        origins = [one for _, _, origins in entries for one in origins]
        origins += [one for one in given if starts and one.is_floating_point() and one.ndim > 0]
        self._known[id(output)] = output, depth, tuple({id(one): one for one in origins}.values())


def name_of(func: Callable[..., Any]) -> str:
    """Return the name of a torch function; ``torch.ops.aten``'s without the overload."""
    name = func.__name__
    return name.partition(".")[0] if "." in name else name


def only_caps(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call only makes large values smaller."""
    name = name_of(func)
    return name == "clamp_max" or (name in ("clamp", "clip") and _number(args, kwargs, 1, "min", None) is None)


def _number(args: tuple[Any, ...], kwargs: dict[str, Any], index: int, name: str, default: Any) -> Any:
    return kwargs.get(name, args[index] if len(args) > index else default)


def sources_of(args: tuple[Any, ...], kwargs: dict[str, Any], origins: list[Tensor]) -> list[Tensor]:
    """Return the tensors that a call may set to zero where they are negative: its arguments, then what they were
    computed of."""
    return [*tensors_in([args, kwargs]), *origins]


def zeroes_negatives(
    sources: list[Tensor], output: Tensor, differentiable: Callable[[int], bool] = lambda _: True
) -> int | None:
    """Return the number of the source of which ``output`` is the ReLU, by its values; None if it is of none.

    Args:
        sources: see :func:`sources_of`, as they were before the call.
        output: what the call made.
        differentiable: tells of the number of a source whether it has a gradient; one that has is preferred.
    """
    for number in sorted(range(len(sources)), key=lambda one: not differentiable(one)):
        source = sources[number]
        if source.shape != output.shape or not source.is_floating_point() or source.dtype != output.dtype:
            continue
        both = bool((source < 0).any()) and bool((source > 0).any())
        zero = len(sources) == 2 and not bool(sources[1 - number].any())
        if (both or zero) and torch.equal(output, source.clamp(min=0)):
            return number
    return None


def writes(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a squashing call writes into its first argument."""
    name = name_of(func)
    inplace = bool(kwargs.get("inplace")) or (
        bool(args) and args[-1] is True and name in ("relu", "relu6", "_threshold", "hardtanh")
    )
    return inplace or name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))


def is_affine(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call adds a number or a weight to one tensor, multiplies it with one, or changes its sign."""
    given = (one for one in tensors_in([args, kwargs]) if not isinstance(one, nn.Parameter))
    return name_of(func) in _AFFINE and sum(1 for _ in given) == 1

"""What torch's functions do to the positions of a map: the list of known functions.

A function in none of these sets is assumed to move positions in an unknown way, so that the fields after it are
measured: flips, cumulative sums, deformable convolutions, sampling by a grid, and whatever will be added to torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "ADAPTIVE",
    "ALONG",
    "ATTENTION",
    "CONVOLUTIONS",
    "DEPTH_CONVOLUTIONS",
    "JOINING",
    "NORMALIZING",
    "PERMUTING",
    "POINTWISE",
    "POOLS",
    "PRODUCTS",
    "REDUCING",
    "RESHAPING",
    "SHAPED_LIKE",
    "SLICING",
    "TRANSPOSED",
    "argument",
    "dims_of",
    "name_of",
    "writes",
]

Functions = set[Callable[..., Any]]

CONVOLUTIONS: Functions = {torch.conv2d, F.conv2d}
DEPTH_CONVOLUTIONS: Functions = {torch.conv3d, F.conv3d}
TRANSPOSED: Functions = {torch.conv_transpose2d, F.conv_transpose2d}
POOLS: Functions = {torch.max_pool2d, F.max_pool2d, F.max_pool2d_with_indices, F.avg_pool2d, F.lp_pool2d}
ADAPTIVE: Functions = {F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.adaptive_max_pool2d_with_indices}


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


# By name, because most exist in torch, as a method of Tensor, and in place.
RESHAPING = _names("view view_as reshape reshape_as flatten unflatten ravel squeeze unsqueeze unsafe_view")
PERMUTING = _names("permute transpose swapaxes swapdims movedim moveaxis t T mT H mH")
SLICING = _names("chunk split split_with_sizes tensor_split unsafe_chunk unsafe_split narrow")
JOINING = frozenset(("cat", "concat", "concatenate"))
PRODUCTS = frozenset(("matmul", "rmatmul", "bmm", "mm"))
ATTENTION = frozenset(("scaled_dot_product_attention", "multi_head_attention_forward"))
# Statistics of the whole map rescale every position of it.
NORMALIZING = frozenset(("group_norm", "instance_norm", "layer_norm", "rms_norm"))
SHAPED_LIKE = _names(
    """zeros_like ones_like empty_like full_like rand_like randn_like randint_like new_zeros new_ones new_empty new_full
    new_tensor empty_strided new_empty_strided"""
)

POINTWISE = _names(
    """
    add radd iadd sub rsub isub subtract mul rmul imul multiply div rdiv idiv truediv rtruediv itruediv
    true_divide divide floordiv rfloordiv floor_divide mod rmod remainder fmod pow rpow ipow float_power neg
    negative pos positive abs absolute exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal sign
    sgn signbit ceil floor round trunc fix frac clamp clip clamp_min clamp_max where maximum minimum fmax fmin
    lerp addcmul addcdiv hypot copysign nan_to_num logit sin cos tan asin acos atan arcsin arccos arctan atan2
    arctan2 sinh cosh tanh asinh acosh atanh sinc erf erfc erfinv erfinv lgamma digamma xlogy logaddexp
    logaddexp2 heaviside real imag conj resolve_conj angle polar complex sigmoid logsigmoid relu relu6
    leaky_relu elu selu celu gelu silu mish softplus softsign hardtanh hardswish hardsigmoid threshold prelu
    rrelu rrelu_with_noise tanhshrink hardshrink softshrink dropout dropout1d dropout2d dropout3d
    alpha_dropout feature_dropout feature_alpha_dropout native_dropout bernoulli batch_norm
    local_response_norm channel_shuffle native_channel_shuffle eq ne lt le gt ge and or xor rand ror rxor iand
    ior ixor invert not isnan isinf isfinite isclose equal logical_and logical_or logical_not logical_xor
    bitwise_and bitwise_or bitwise_xor bitwise_not less less_equal greater greater_equal not_equal masked_fill
    fill zero clone contiguous detach alias to type type_as float half double bfloat16 int long short bool cpu
    cuda data requires_grad retain_grad copy expand expand_as broadcast_to repeat tile
    fake_quantize_per_tensor_affine fake_quantize_per_channel_affine
    fused_moving_avg_obs_fake_quant
    """
)
"""Functions of which each position depends on the same position of the inputs, where these have positions."""

# By name: number of the argument "dim" among the positional ones.
ALONG = {
    "softmax": 1,
    "log_softmax": 1,
    "softmin": 1,
    "gumbel_softmax": 4,
    "cumsum": 1,
    "cumprod": 1,
    "cummax": 1,
    "cummin": 1,
    "logcumsumexp": 1,
    "sort": 1,
    "argsort": 1,
    "flip": 1,
    "roll": 2,
    "normalize": 2,
    "glu": 1,
    "index_select": 1,
    "gather": 1,
    "take_along_dim": 2,
    "repeat_interleave": 2,
    "renorm": 2,
    "diff": 2,
}
"""Functions along some dimensions, which are of single positions if these are not rows or columns."""

REDUCING = {
    **dict.fromkeys(_names("mean sum amax amin max min prod std var std_mean var_mean logsumexp all any median"), 1),
    **dict.fromkeys(_names("nanmean nansum nanmedian argmax argmin count_nonzero aminmax mode select unbind"), 1),
    **dict.fromkeys(_names("norm vector_norm linalg_norm linalg_vector_norm quantile nanquantile topk kthvalue"), 2),
}
"""Functions that leave one value, or a few, of some dimensions; without a dimension, of all of them."""

_DEFAULTS = {"topk": -1, "kthvalue": -1, "sort": -1, "argsort": -1, "glu": -1, "normalize": 1, "gumbel_softmax": -1}
_SOFTMAX = ("softmax", "log_softmax", "softmin")
_REFLECTED = ("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "matmul")


def name_of(func: Callable[..., Any]) -> str:
    """Return the name by which a function is listed: without the underscores of methods and of what is in place."""
    name = getattr(func, "__name__", "") or type(func).__name__
    if name == "__get__":  # of an attribute such as Tensor.T
        name = getattr(getattr(func, "__self__", None), "__name__", name)
    if type(func).__name__ in ("OpOverload", "OpOverloadPacket") and not str(func).startswith("aten."):
        return str(func)  # the user's own operator
    return name.strip("_") or name


def writes(func: Callable[..., Any], kwargs: dict[str, Any]) -> bool:
    """Return whether a function writes into its first argument."""
    name = getattr(func, "__name__", "")
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name.strip("_")[1:] in _REFLECTED)
    return name.endswith("_") or bool(kwargs.get("inplace")) or kwargs.get("out") is not None


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], index: int, name: str, default: Any) -> Any:
    """Return an argument given by keyword or as the ``index``-th positional one; else the default."""
    return kwargs.get(name, args[index] if len(args) > index else default)


def dims_of(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], source: Tensor) -> tuple[int, ...] | None:
    """Return the dimensions that a function of ``ALONG`` or ``REDUCING`` goes along, none negative; None if unknown."""
    number = ALONG.get(name, REDUCING.get(name, 1))
    given: Any = _DEFAULTS.get(name)
    for keyword in ("dim", "dims", "axis"):
        if keyword in kwargs:
            given = kwargs[keyword]
            break
    else:
        if len(args) > number:
            # flip(2, 3) and mean(2, 3) of some versions: every whole number that follows is a dimension
            rest = args[number:]
            given = rest if name in ("flip", "permute") and not isinstance(rest[0], (tuple, list)) else rest[0]
    if given is None and name in _SOFTMAX:
        given = 0 if source.ndim in (0, 1, 3) else 1
    if given is None or isinstance(given, bool):
        return tuple(range(source.ndim)) if name in REDUCING else None
    dims: Sequence[Any] = given if isinstance(given, (tuple, list)) else (given,)
    if not all(isinstance(dim, int) for dim in dims):
        return None
    if not dims and name in REDUCING:
        return tuple(range(source.ndim))
    return tuple(dim % max(source.ndim, 1) for dim in dims)

"""The contexts in which a model is called: the caller's are suspended, and every function call is intercepted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from peek_widget.network.checkpointing import no_checkpoints
from peek_widget.network.nested import map_tensors

__all__ = ["Calls", "call", "full_precision", "undisturbed"]


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Turn off the caller's ``torch.autocast``, on the device and on the CPU, where views are rendered."""
    with contextlib.ExitStack() as stack:
        for kind in {"cpu", device.type}:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextlib.contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Turn off the caller's ``torch.autocast`` and ``torch.inference_mode``."""
    with torch.inference_mode(False), full_precision(device):
        yield


class Calls(TorchFunctionMode):
    """Base class of the modes that forwards run in: they intercept every torch function that is called.

    No block is checkpointed in it. It is made right before it is entered.
    """

    def __init__(self) -> None:
        super().__init__()
        self._inference = torch.is_inference_mode_enabled()
        self._checkpoints = no_checkpoints()

    def __enter__(self) -> Calls:
        self._checkpoints.__enter__()
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._checkpoints.__exit__(None, None, None)


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], inference: bool) -> Any:
    """Call a torch function of a forward so that its result can take part in a graph.

    Within a forward's own ``torch.inference_mode`` it is called in ``torch.no_grad``, and a tensor that was made in
    inference mode earlier (in a cache, say) is replaced by a clone where torch would refuse it.

    Args:
        function, args, kwargs: the call.
        inference: whether the forward as a whole runs in inference mode; it is then called as it is.
    """
    if not inference and torch.is_inference_mode_enabled():
        with torch.inference_mode(False), torch.no_grad():
            return call(function, args, kwargs, inference)
    try:
        return function(*args, **kwargs)
    except RuntimeError as error:
        if inference or "nference tensor" not in str(error):
            raise
    return function(*map_tensors(args, _normal), **map_tensors(dict(kwargs), _normal))


def _normal(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor.is_inference() else tensor

"""A fingerprint of a model: a hash of its modules and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from peek_widget.errors import ModelError
from peek_widget.network import Network

__all__ = ["DIGITS", "fingerprint"]

DIGITS = 16
"""Number of hexadecimal digits of a fingerprint."""


def fingerprint(model: nn.Module | Network) -> str:
    """Compute sixteen hexadecimal digits that identify a model, in any process and on any device.

    They are a sha256 hash of the names and class names of all modules, and of the names, shapes and exact values of all
    parameters and buffers, as they are now. Half-precision values are hashed as float32; a wrapper around the model
    (DataParallel, torch.compile) is ignored. The model is only read.

    Raises:
        ModelError: if it is not a Module, or has a parameter without values (lazy, or on the meta device).
    """
    module = model.model_copy.original if isinstance(model, Network) else model
    if not isinstance(module, nn.Module):
        raise ModelError(f"A {type(module).__name__} has no fingerprint: give a PyTorch model (torch.nn.Module).")
    module = _unwrapped(module)
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        digest.update(repr((name, type(part).__name__)).encode())
    for name, tensor in _tensors(module):
        digest.update(repr((name, tuple(tensor.shape))).encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()[:DIGITS]


def _unwrapped(module: nn.Module) -> nn.Module:
    while True:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        elif isinstance(getattr(module, "_orig_mod", None), nn.Module):  # named so by torch.compile
            module = module._orig_mod
        else:
            return module


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for kind, named in (("parameter", module.named_parameters()), ("buffer", module.named_buffers())):
        for name, tensor in named:
            if nn.parameter.is_lazy(tensor) or tensor.is_meta:
                raise ModelError(
                    f"The {kind} {name!r} is lazy or on the meta device and holds no values, so the model can't be "
                    "fingerprinted: run a lazy model once on an image, or load weights into it "
                    "(load_state_dict(..., assign=True) for meta)."
                )
            yield name, tensor.detach()


def _bytes(tensor: Tensor) -> memoryview:
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    # Flattened in logical order, so that channels_last weights give the same bytes.
    return memoryview(tensor.cpu().reshape(-1).view(torch.uint8).numpy())

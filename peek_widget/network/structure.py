"""The structural copy of a model: ``copy.deepcopy`` with a memo that maps each parameter to one on the same storage."""

from __future__ import annotations

import copy
import os
import types
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget.errors import ModelError
from peek_widget.network.hidden import hidden_modules, rebind
from peek_widget.network.hooks import HOOK_TABLES, is_torchs
from peek_widget.network.nested import tensors_in
from peek_widget.network.preactivation import address_of, storage_of
from peek_widget.network.wrappers import inside, unwrapped

__all__ = ["NO_WEIGHTS", "copy_structure", "refuse"]

NO_WEIGHTS: str = (
    "With {what} there are no weights to look into: give a model with its weights on the CPU or a GPU "
    "(model.to_empty(device='cpu'), then model.load_state_dict(...))."
)


# Keys under which checkpoints usually hold the weights, or the model.
_CHECKPOINT_KEYS = ("model", "net", "state_dict", "model_state_dict", "model_ema")


def _no_module(model: Any) -> str:
    """Return the sentence for something given in place of a module, with how to get one."""
    kind = type(model).__name__
    if isinstance(model, Mapping):
        key = next((key for key in _CHECKPOINT_KEYS if isinstance(model.get(key), (nn.Module, Mapping))), None)
        if isinstance(model.get(key), nn.Module):
            return f"A {kind} was given that holds a model: give the model itself, checkpoint[{key!r}]."
        weights = "weights" if key is None else f"checkpoint[{key!r}]"
        return (
            f"A {kind} was given, which holds weights and not the network that they belong to: make the network, "
            f"load them with model.load_state_dict({weights}), and give the model."
        )
    if isinstance(model, (str, os.PathLike)):
        return (
            f"The name {os.fspath(model)!r} was given where a PyTorch model (torch.nn.Module) is needed: make the "
            "model and load its weights, or take one of torchvision's with peek_widget.zoo.by_name('resnet18')."
        )
    return (
        f"A {kind} was given where a PyTorch model (torch.nn.Module) is needed, e.g. "
        "torchvision.models.squeezenet1_0()."
    )


def refuse(model: Any) -> None:
    """Raise ModelError for what can't be copied and run: not a module, or one that is scripted, lazy or quantized."""
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise ModelError(f"{model.__name__} is a class, not a model: make one first, {model.__name__}(...).")
    if not isinstance(model, nn.Module):
        raise ModelError(_no_module(model))
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            "The model is a TorchScript module, which can't be copied and hooked: give the Python module "
            "that it was scripted from."
        )
    for name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise ModelError(
                f"The parameter {name!r} is lazy and has no shape yet: run the model once on an image, then try again."
            )
        if parameter.is_meta:
            raise ModelError(NO_WEIGHTS.format(what=f"the parameter {name!r} on the device 'meta'"))
        if parameter.is_quantized:
            raise ModelError(
                f"The parameter {name!r} is {parameter.dtype}: a quantized model has no gradients to follow; "
                "give the float model that it was made from."
            )
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"The part {name!r} of the model is a TorchScript module, which can't be copied and hooked: put the "
                "Python module that it was scripted from in its place."
            )
        if type(module).__module__.startswith(("torch.ao.nn.quantized", "torch.nn.quantized")):
            raise ModelError(
                f"The layer {name!r} is quantized and has no gradients to follow; give the float model that it was "
                "made from."
            )


_DEEPEST = 3  # levels of objects in objects


def _own_tensors(module: nn.Module) -> Iterable[Tensor]:
    """Iterate over a module's tensors that are plain attributes (old weight_norm), or in them and have a graph."""
    own = {k: v for k, v in vars(module).items() if k not in ("_parameters", "_buffers", "_modules")}
    yield from tensors_in(own)
    for value in own.values():
        yield from _in_objects(value, _DEEPEST)


def _in_objects(value: Any, depth: int) -> Iterable[Tensor]:
    """Iterate over the tensors with a graph that plain objects hold, which ``copy.deepcopy`` refuses."""
    if isinstance(value, Tensor):
        if value.grad_fn is not None:
            yield value
    elif depth > 0 and not isinstance(value, (nn.Module, type, types.ModuleType, types.FunctionType)):
        held = vars(value) if hasattr(value, "__dict__") else value
        parts = held.values() if isinstance(held, dict) else held if isinstance(held, (list, tuple)) else ()
        for part in list(parts):
            yield from _in_objects(part, depth - 1)


def _normal(tensor: Tensor) -> Tensor:
    """Return a tensor on the same storage, or a clone if it was made in inference mode and can't be part of a graph."""
    return tensor.data.clone() if tensor.is_inference() else tensor.data


@torch.inference_mode(False)
def copy_structure(model: nn.Module, memo: dict[int, Any]) -> tuple[nn.Module, list[nn.Module]]:
    """Return a structural copy that shares the weights and has none of the user's own hooks.

    And copies of the modules that it holds without registering them.

    Args:
        model: the user's model.
        memo: of ``copy.deepcopy``; it gets, by the id of each of the user's modules, ours.

    Raises:
        ModelError: if it can't be copied, or copies its parameters in a way of its own.
    """
    weights = {storage_of(parameter) for parameter in model.parameters()}
    keep: list[Any] = []  # the memo is keyed by id, so nothing in it may be collected before the copy is made
    roots = (model, *hidden_modules(model))
    for module in [one for root in roots for one in root.modules()]:
        for value in vars(module).values():
            if isinstance(value, torch.jit.ScriptFunction):
                memo[id(value)] = value  # it holds no state, and can't be copied
        for value in _own_tensors(module):
            # Views of a weight follow it; into anything else the forward may write.
            follows = storage_of(value) in weights
            memo[id(value)] = _normal(value.detach()) if follows else value.detach().clone()
        for table in HOOK_TABLES:
            hooks = vars(module).get(table)
            if hooks:
                # Only torch's hooks (weight_norm, pruning), which are part of the forward; the user's come later.
                ours = {k: h for k, h in hooks.items() if is_torchs(h)}
                memo[id(hooks)] = (
                    type(hooks)() if not ours else OrderedDict((k, copy.deepcopy(h, memo)) for k, h in ours.items())
                )
                keep.append(memo[id(hooks)])
    for buffer in [one for root in roots for one in root.buffers()]:
        memo[id(buffer)] = buffer.detach().clone()
    for parameter in [one for root in roots for one in root.parameters()]:
        # .data and not .detach(): the latter shares the version counter, and an optimizer's step on the original would
        # then make our backward fail.
        memo[id(parameter)] = nn.Parameter(_normal(parameter), requires_grad=False)
    try:
        # Innermost wrapper first, since outer modules are copied with it.
        for module in reversed(list(model.modules())):
            if inside(module) is not None:
                memo[id(module)] = copy.deepcopy(unwrapped(module), memo)
        model_copy, *hidden = [copy.deepcopy(root, memo) for root in roots]
        rebind(model, memo)
    except Exception as error:
        raise ModelError(
            f"A {type(model).__name__} can't be copied ({type(error).__name__}: {error}), and only a copy is ever "
            "run, so that yours stays untouched: take out of it what copy.deepcopy can't copy (an open file, a lock)."
        ) from error
    pairs = list(zip(model.parameters(), model_copy.parameters(), strict=True))
    if any(
        mine.requires_grad or (address_of(mine) != address_of(theirs) and not theirs.is_inference())
        for theirs, mine in pairs
    ):
        raise ModelError(
            f"Copies of this {type(model).__name__} don't share its parameters (it defines its own __deepcopy__, say), "
            "so the picture would not follow changes of your model: give a plain torch.nn.Module."
        )
    return model_copy, hidden

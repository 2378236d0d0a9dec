"""The outputs of layers, taken by hooks while a forward runs, which ends at the last one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from peek_widget.errors import LayerError, ModelError
from peek_widget.network.forward import ForwardMode
from peek_widget.network.preactivation import PreActivation

__all__ = ["OUTPUT", "OtherPath", "as_tensor", "attributes_of", "collect", "forward_raised", "parts_of"]

OUTPUT = ""
"""Name of the model itself among its layers: its output (the logits), as in ``named_modules()``."""


class _Stop(BaseException):
    """Raised to end a forward at the last requested layer; a BaseException that no ``except`` in the model catches."""


class OtherPath(BaseException):
    """Raised to end a forward that took another path than the dry run: its ReLU calls have other numbers."""


def collect(
    forward: Callable[[], object],
    modules: Mapping[str, nn.Module],
    wanted: Mapping[str, tuple[str, int]],
    preactivations: Mapping[str, PreActivation] | None,
    mode: ForwardMode | None,
) -> dict[str, Tensor]:
    """Return the output of each wanted layer in a forward, as float32.

    Args:
        forward: runs the forward, under ``mode``.
        modules: the modules by name.
        wanted: by a layer's name, its module's and the number of the call, from 1.
        preactivations: where each layer's last ReLU is, for outputs before it; None for outputs as they are.
        mode: the mode that the forward runs in.

    Raises:
        OtherPath: if the forward calls its ReLUs in another order than ``preactivations`` says.
        LayerError: if a layer's output has no tensor, or it never runs.
    """
    found: dict[str, Tensor] = {}
    calls: dict[str, dict[int, str]] = {}
    for name, (module, call) in wanted.items():
        calls.setdefault(module, {})[call] = name
    handles = []

    def keep(names: dict[int, str]) -> Any:
        count = 0

        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            nonlocal count
            count += 1
            name = names.get(count)
            if name is None:
                return
            value = as_tensor(output, name)
            owned = False
            if mode is not None:
                if preactivations is not None and preactivations[name].calls != mode.calls:
                    raise OtherPath
                owned = mode.owned(value)
                value = mode.before(value, name == OUTPUT)
                if preactivations is not None:
                    mode.taken(preactivations[name])
            value = value.abs().float() if value.is_complex() else value.float()
            if len(found) + 1 == len(wanted):
                found[name] = value
                raise _Stop
            # A later function may write into it in place.
            found[name] = value if owned else value.clone()

        return hook

    try:
        for module, names in calls.items():
            handles.append(modules[module].register_forward_hook(keep(names)))
        forward()
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()
    missing = wanted.keys() - found.keys()
    if missing:
        raise LayerError(
            f"The layer{'s' * (len(missing) > 1)} {', '.join(map(repr, sorted(missing)))} never ran in the model's "
            "forward, so there is nothing to see: choose one that layers(model) lists."
        )
    return found


def forward_raised(error: Exception, images: Tensor) -> ModelError:
    """Return the ModelError for an error that the model's forward raised on some images."""
    return ModelError(
        f"The model's forward raised {type(error).__name__} on an input of shape {tuple(images.shape)}: {error}"
    )


def parts_of(output: Any) -> list[Any]:
    """Return what a module's output consists of: the values of a mapping, a sequence or an object's attributes."""
    if isinstance(output, Mapping):
        return list(output.values())
    if isinstance(output, (tuple, list)):
        return list(output)
    return [output] if isinstance(output, Tensor) else list(attributes_of(output).values())


def attributes_of(output: Any) -> dict[str, Any]:
    """Return an object's own attributes by name: those in slots, of its base classes first, then all others."""
    found = {}
    for kind in reversed(type(output).__mro__):
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(output, name):
                found[name] = getattr(output, name)
    return found | getattr(output, "__dict__", {})


def as_tensor(output: Any, name: str = OUTPUT) -> Tensor:
    """Return the one tensor of a layer's output: itself, the ``logits`` or ``out`` of several, or the first of them.

    Several are a mapping, a sequence, or the attributes of an object (a dataclass, a named tuple).

    Raises:
        LayerError: if there is no tensor in it.
    """
    if isinstance(output, Tensor):
        if torch._C._functorch.is_functorch_wrapped_tensor(output):
            raise LayerError(
                f"The layer {name!r} is called within torch.vmap, image by image: choose one outside of it."
            )
        return output
    for key in ("logits", "out"):
        named = output.get(key) if isinstance(output, Mapping) else getattr(output, key, None)
        if isinstance(named, Tensor):
            return named
    for value in parts_of(output):
        if isinstance(value, Tensor):
            return value
    raise LayerError(
        f"The layer {name!r} returns a {type(output).__name__} without a tensor in it, so it has no units: choose "
        "a layer that layers(model) lists."
    )

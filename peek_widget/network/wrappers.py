"""Modules that only wrap another and don't appear in layer names: ``nn.DataParallel``, ``torch.compile``."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["inside", "names_without", "unwrapped"]


def inside(module: nn.Module) -> str | None:
    """Return the attribute that holds a wrapper's module; None for any other module."""
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return "module"
    # Importing the class itself would take a second.
    compiled = type(module).__name__ == "OptimizedModule" and type(module).__module__.startswith("torch._dynamo")
    return "_orig_mod" if compiled else None


def unwrapped(model: Any) -> Any:
    """Return the module inside all wrappers around it; anything else as it is."""
    while isinstance(model, nn.Module) and (within := inside(model)) is not None:
        model = model.get_submodule(within)
    return model


def names_without(model: nn.Module) -> tuple[dict[str, str], dict[nn.Module, str]]:
    """Return the name without wrappers of each module, by its name in ``model.named_modules()`` and by the module."""
    names: dict[str, str] = {}
    modules: dict[nn.Module, str] = {}

    def walk(module: nn.Module, theirs: str, ours: str, above: tuple[nn.Module, ...]) -> None:
        names[theirs] = ours
        modules.setdefault(module, ours)
        within = inside(module)
        for name, child in module.named_children():
            if any(child is one for one in above):
                continue
            walk(
                child,
                f"{theirs}.{name}" if theirs else name,
                ours if name == within else f"{ours}.{name}" if ours else name,
                (*above, child),
            )

    walk(model, "", "", (model,))
    return names, modules

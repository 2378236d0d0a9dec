"""Run a forward without gradient checkpointing, in one thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch.utils.checkpoint as torchs

__all__ = ["no_checkpoints"]

_GENERATORS = ("_checkpoint_without_reentrant_generator", "_checkpoint_without_reentrant_generator_impl")

_here = threading.local()
_lock = threading.Lock()
_entered = 0
_originals: dict[str, Any] = {}


@contextlib.contextmanager
def no_checkpoints() -> Iterator[None]:
    """Let ``torch.utils.checkpoint`` call its function directly, in this thread, as if it were not there.

    A checkpointed block is run a second time when gradients are taken, outside of the modes in which a forward is run
    here: it would not leave out the ReLUs that the first run left out, and the gradient would be another one than
    that of the value. Within the block torch's default (reentrant) one also gives no gradient to a layer.

    torch has no switch to turn it off. Two of its functions are replaced while any thread is in here; in all other
    threads the replacements do what torch's own do.
    """
    global _entered
    with _lock:
        if _entered == 0:
            _replace()
        _entered += 1
    _here.depth = getattr(_here, "depth", 0) + 1
    try:
        yield
    finally:
        _here.depth -= 1
        with _lock:
            _entered -= 1
            if _entered == 0:
                for name, original in _originals.items():
                    setattr(torchs, name, original)


def _replace() -> None:
    _originals["CheckpointFunction"] = original = torchs.CheckpointFunction

    class CheckpointFunction(original):  # type: ignore[valid-type, misc]
        @classmethod
        def apply(cls, function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
            if getattr(_here, "depth", 0):
                return function(*args)
            return original.apply(function, preserve, *args)

    torchs.CheckpointFunction = CheckpointFunction
    for name in _GENERATORS:
        if hasattr(torchs, name):
            _originals[name] = getattr(torchs, name)
            setattr(torchs, name, _direct(_originals[name]))


def _direct(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a replacement of the generator function for non-reentrant blocks."""

    def generator(*args: Any, **kwargs: Any) -> Any:
        if not getattr(_here, "depth", 0):
            return (yield from original(*args, **kwargs))
        return (yield)

    return generator

"""A model on its way to other processes: packed once, unpacked once in each.

What travels is the ghost, not the user's model: it has the weights and the structure, and none of the user's own hooks.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import pickle
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from peek_widget.errors import ModelError
from peek_widget.network import Network, read

__all__ = ["Payload", "pack", "unpacked"]

_KEPT = 2
"""Models that a worker holds on to, the newest."""


class Payload:
    """A network packed for other processes.

    Attributes:
        data: its bytes.
        key: of the bytes (sha256): what a worker knows it by.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.key: str = hashlib.sha256(data).hexdigest()


def pack(network: Network) -> Payload:
    """Pack a network.

    Raises:
        ModelError: if a part of the model can't be pickled, with which and what to do.
    """
    module = network.model_copy.module
    content = {
        "module": module,
        "input_size": network.input_size,
        "preprocess": network.preprocess,
        "device": str(network.model_copy.device),
    }
    pickler = _pickler()
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer, pickle_module=pickler, pickle_protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        part = _culprit(content, pickler) or f"the {type(network.model_copy.original).__name__}"
        do = (
            "take it out of the model (a plain attribute can be set again after the drawing), or draw in this process, "
            "with executor=None or a ThreadPoolExecutor"
        )
        if pickler is pickle:
            do = f"pip install cloudpickle, which packs classes and functions of a notebook too; or {do}"
        raise ModelError(
            f"The model can't be sent to another process, because {part} can't be pickled "
            f"({type(error).__name__}: {error}): {do}."
        ) from error
    return Payload(buffer.getvalue())


def _pickler() -> Any:
    # It packs by value what another process can't import: a class that was written in a notebook.
    try:
        return importlib.import_module("cloudpickle")
    except ImportError:
        return pickle


def _culprit(content: dict[str, Any], pickler: Any) -> str | None:
    """Which part can't be pickled, as part of a sentence."""
    module: nn.Module = content["module"]
    for name, part in module.named_modules():
        where = f"the model's part {name!r}" if name else "the model"
        for attribute, value in vars(part).items():
            if attribute not in ("_modules", "_parameters", "_buffers") and not _goes(value, pickler):
                return f"the attribute {attribute!r} of {where} (a {type(value).__name__})"
        if not any(True for _ in part.children()) and not _goes(part, pickler):
            return f"{where} (a {type(part).__name__})"
    for name, value in content.items():
        if name != "module" and not _goes(value, pickler):
            return f"its {name}"
    return None


def _goes(value: Any, pickler: Any) -> bool:
    try:
        pickler.dumps(value)
    except Exception:
        return False
    return True


# In the worker

_modules: OrderedDict[str, dict[str, Any]] = OrderedDict()
_lock = threading.Lock()
_own = threading.local()


def unpacked(key: str, source: bytes | str | Network | None) -> tuple[Network | None, bool]:
    """The network of that key for the calling thread, and whether this call had to unpack it.

    A ghost is run by one thread at a time, so that each thread has its own, on the same weights.

    Args:
        key: of the parcel.
        source: its bytes; or the path of a file with them; or the network itself, in the same process.

    Returns:
        None for the network where the worker does not know it and the source can't be reached from here.
    """
    networks: OrderedDict[str, Network] = _own.__dict__.setdefault("networks", OrderedDict())
    if key in networks:
        return networks[key], False
    loaded = False
    if isinstance(source, Network):
        content = {
            "module": source.model_copy.original,
            "input_size": source.input_size,
            "preprocess": source.preprocess,
            "device": str(source.model_copy.device),
        }
    else:
        with _lock:
            found = _modules.get(key)
            if found is None:
                found = _load(source)
                if found is None:
                    return None, False
                _modules[key], loaded = found, True
                while len(_modules) > _KEPT:
                    _modules.popitem(last=False)
            content = found
    network = read(content["module"], content["input_size"], content["preprocess"], content["device"])
    networks[key] = network
    while len(networks) > _KEPT:
        networks.popitem(last=False)
    return network, loaded


def _load(source: bytes | str | None) -> dict[str, Any] | None:
    # Nothing is read here that the caller did not write: whoever may send a worker functions may send it a pickle.
    if isinstance(source, bytes):
        return torch.load(io.BytesIO(source), weights_only=False, map_location="cpu")
    if source is None or not Path(source).is_file():
        return None
    # Mapped: the workers of one machine then share the weights' memory.
    return torch.load(source, weights_only=False, map_location="cpu", mmap=True)

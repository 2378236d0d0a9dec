"""Serialization of a model, and of a dataset beside it, for other processes: packed once, loaded once in each.

The model copy is serialized, not the user's model: it has the weights, the structure, and those of the user's hooks
that change something.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import pickle
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from peek_widget.errors import ModelError
from peek_widget.network import Network
from peek_widget.network.reading import read_again

__all__ = ["Payload", "Received", "deserialize", "serialize"]

_CACHED = 2
"""Number of models that a worker keeps: the newest."""


class Payload:
    """A serialized network.

    Attributes:
        data: bytes of the network.
        key: sha256 of the bytes, by which a worker finds the network again.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.key: str = hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Received:
    """A deserialized payload, or what threads of the same process get instead.

    Attributes:
        network: the network, of the calling thread alone.
        dataset: the dataset that was sent with it, if any.
    """

    network: Network
    dataset: Any = None


def serialize(network: Network, dataset: Any = None) -> Payload:
    """Serialize a network, and a dataset that the same workers need.

    Raises:
        ModelError: if a part of the model, or the dataset, can't be pickled, with which and what to do.
    """
    module = network.model_copy.module
    content = {
        "module": module,
        "input_size": network.input_size,
        "preprocess": network.preprocess,
        "device": str(network.model_copy.device),
        "known": network.known,
        "dataset": dataset,
    }
    pickler = _pickler()
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer, pickle_module=pickler, pickle_protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        if dataset is not None and not _can_pickle(dataset, pickler):
            raise ModelError(_dataset_stays(dataset, pickler, error)) from error
        part = _culprit(content, pickler) or f"the {type(network.model_copy.original).__name__}"
        do = (
            "take it out of the model (a plain attribute can be set again afterwards), or work in this process, "
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
    # cloudpickle packs by value what another process can't import: a class that was written in a notebook.
    try:
        return importlib.import_module("cloudpickle")
    except ImportError:
        return pickle


def _culprit(content: dict[str, Any], pickler: Any) -> str | None:
    """Find the part that can't be pickled, as part of a sentence."""
    module: nn.Module = content["module"]
    for name, part in module.named_modules():
        where = f"the model's part {name!r}" if name else "the model"
        for attribute, value in vars(part).items():
            if attribute not in ("_modules", "_parameters", "_buffers") and not _can_pickle(value, pickler):
                return f"the attribute {attribute!r} of {where} (a {type(value).__name__})"
        if not any(True for _ in part.children()) and not _can_pickle(part, pickler):
            return f"{where} (a {type(part).__name__})"
    for name, value in content.items():
        if name not in ("module", "dataset") and not _can_pickle(value, pickler):
            return f"its {name}"
    return None


def _dataset_stays(dataset: Any, pickler: Any, error: Exception) -> str:
    """Return the sentence that says why a dataset can't be sent, and what to do."""
    try:
        pickler.dumps(dataset)
    except Exception as its_own:
        error = its_own
    do = "give names of files in place of what is in memory, or work in this process, without executor="
    if pickler is pickle:
        do = f"pip install cloudpickle, which packs classes and functions of a notebook too; or {do}"
    return (
        f"The dataset can't be sent to another process, because it, or a function that was given with it (labels=, "
        f"groups=), can't be pickled ({type(error).__name__}: {error}): {do}."
    )


def _can_pickle(value: Any, pickler: Any) -> bool:
    try:
        pickler.dumps(value)
    except Exception:
        return False
    return True


# In the worker

_modules: OrderedDict[str, dict[str, Any]] = OrderedDict()
_lock = threading.Lock()
_own = threading.local()


def deserialize(key: str, source: bytes | str | Received | None) -> tuple[Received | None, bool]:
    """Return what was sent under this key for the calling thread, and whether this call had to load it.

    A model copy is run by one thread at a time, so that each thread has its own, on the same weights.

    Args:
        key: key of the payload.
        source: bytes of the payload; or the path of a file with them; or what is in it itself, in the same process.

    Returns:
        None where this worker does not know it and can't reach the source.
    """
    known: OrderedDict[str, Received] = _own.__dict__.setdefault("received", OrderedDict())
    if key in known:
        return known[key], False
    loaded = False
    if isinstance(source, Received):
        of = source.network
        content = {
            "module": of.model_copy.original,
            "input_size": of.input_size,
            "preprocess": of.preprocess,
            "device": str(of.model_copy.device),
            "known": of.known,
            "dataset": source.dataset,
        }
    else:
        with _lock:
            found = _modules.get(key)
            if found is None:
                found = _load(source)
                if found is None:
                    return None, False
                _modules[key], loaded = found, True
                while len(_modules) > _CACHED:
                    _modules.popitem(last=False)
            content = found
    how = (content["input_size"], content["preprocess"], content["device"])
    received = Received(read_again(content["known"], content["module"], *how), content["dataset"])
    known[key] = received
    while len(known) > _CACHED:
        known.popitem(last=False)
    return received, loaded


def _load(source: bytes | str | None) -> dict[str, Any] | None:
    # Unpickling is safe here: whoever may send a worker functions to run may send it a pickle.
    if isinstance(source, bytes):
        return torch.load(io.BytesIO(source), weights_only=False, map_location="cpu")
    if source is None or not Path(source).is_file():
        return None
    # Memory-mapped, so that the workers of one machine share the weights' memory.
    return torch.load(source, weights_only=False, map_location="cpu", mmap=True)

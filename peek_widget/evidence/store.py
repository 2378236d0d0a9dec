"""Evidence in one file: safetensors, never pickle.

The file is a safetensors file (https://github.com/huggingface/safetensors). Its metadata has one entry,
``peek_widget.evidence``, a JSON object::

    format        1
    described     the dataset, in words
    fingerprint   of the model, or null
    channels, input_size, resize, prepared      how images became the network's input
    count, passed_over                          images taken in, images that could not be read
    reasons       {name: reason} of the first hundred of the latter
    class_names   [name, ...]
    seen_upto     all images with a number below were seen (others in the tensor "seen")
    labels        [[label, count], ...]
    details       [[name, label, width, height], ...] of the images with the numbers in the tensor "details"
    layers        [{name, units, size, k, per_image, field: {kind, size, stride, start}}, ...]

An image's number is its index in a list or Dataset; in a folder, a hash of its name (so that files may be
added). For the layer at position ``i`` of ``layers`` the tensors are::

    i/top.value, i/bottom.value      float32 [units, k]   activations, best first; +-inf where there is none
    i/top.image, i/bottom.image      int64   [units, k]   the image's number, -1 for none
    i/top.place, i/bottom.place      int64   [units, k]   row * width + column in the layer's map
    i/places, i/best                 int32   [units, bins]    histograms, see index.Histogram
    i/active, i/counted              int64   [units]      places above 0, places seen
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from peek_widget.errors import EvidenceStoreError
from peek_widget.evidence.crops import Evidence
from peek_widget.evidence.example_index import Detail, ExampleIndex, Seen
from peek_widget.evidence.index import Histogram, LayerIndex
from peek_widget.evidence.prepare import Preparer
from peek_widget.network.receptive_field.field_map import FieldMap

__all__ = ["FORMAT", "KEY", "load_evidence", "save"]

KEY = "peek_widget.evidence"
FORMAT = 1


def _tensors(number: int, index: LayerIndex) -> dict[str, Tensor]:
    found = {
        f"{number}/{side}.{part}": getattr(getattr(index, side), part)
        for side in ("top", "bottom")
        for part in ("value", "image", "place")
    }
    found |= {f"{number}/{name}": getattr(index, name).count for name in ("places", "best")}
    found |= {f"{number}/{name}": getattr(index, name) for name in ("active", "counted")}
    return found


def save(evidence: Evidence, path: str | Path) -> None:
    """Save to one file, whole or not at all: an interrupt leaves what was there before.

    Raises:
        EvidenceStoreError: if the file can't be written.
    """
    example_index, path = evidence.example_index, Path(path)
    with example_index.lock:
        example_index.prune()
        tensors, layers = {}, []
        for number, (name, index) in enumerate(example_index.indices.items()):
            tensors |= {key: t.cpu().contiguous().clone() for key, t in _tensors(number, index).items()}
            seen = example_index.fields[name]
            layers.append(
                {
                    "name": name,
                    "units": index.units,
                    "size": list(index.size),
                    "k": index.k,
                    "per_image": index.per_image,
                    "field": {"kind": seen.kind, "size": seen.size, "stride": seen.stride, "start": seen.start},
                }
            )
        details = sorted(example_index.details.items())
        tensors["details"] = torch.tensor([identity for identity, _ in details], dtype=torch.int64)
        tensors["seen"] = torch.tensor(sorted(example_index.seen.others), dtype=torch.int64)
        preparer = example_index.preparer
        header = {
            "format": FORMAT,
            "described": example_index.described,
            "fingerprint": example_index.fingerprint,
            "channels": preparer.channels,
            "input_size": preparer.size,
            "resize": preparer.resize,
            "prepared": preparer.prepared,
            "count": example_index.count,
            "passed_over": example_index.skipped,
            "reasons": example_index.reasons,
            "class_names": list(example_index.class_names),
            "seen_upto": example_index.seen.upto,
            "labels": list(map(list, example_index.label_counts.items())),
            "details": [[d.name, d.label, *d.size] for _, d in details],
            "layers": layers,
        }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        os.close(handle)
        try:
            save_file(tensors, beside, metadata={KEY: json.dumps(header)})
            os.replace(beside, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
    except (OSError, SafetensorError) as error:
        raise EvidenceStoreError(
            f"The evidence can't be written to {str(path)!r}: {error}. Give another path."
        ) from error


class _BadError(Exception):
    """Why a file is none of ours."""


def load_evidence(path: str | Path, dataset: Any = None) -> Evidence:
    """Evidence from a file that :meth:`~peek_widget.evidence.crops.Evidence.save` wrote.

    Args:
        path: of the file.
        dataset: where the images are; without it all is there but the images themselves.

    Raises:
        EvidenceStoreError: if the file is missing, damaged, or holds something else.
        DatasetError: if the dataset can't be read.
    """
    path = Path(path)
    if not path.is_file():
        raise EvidenceStoreError(f"There is no file {str(path)!r}: give one that evidence.save(path) has written.")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise _BadError("it is a safetensors file of something else")
            header = json.loads(text)
            example_index = _read(header, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise EvidenceStoreError(
            f"{str(path)!r} can't be read ({error}): it is damaged, cut off, or no file of evidence. Run the pass anew."
        ) from error
    except (
        _BadError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
        RuntimeError,
    ) as error:
        reason = str(error) if isinstance(error, _BadError) else f"{type(error).__name__}: {error}"
        raise EvidenceStoreError(
            f"{str(path)!r} holds no evidence that can be used ({reason}): give a file that evidence.save(path) has "
            "written, or run the pass anew."
        ) from error
    evidence = Evidence(example_index)
    return evidence if dataset is None else evidence.attach(dataset)


def _whole(value: Any, name: str, low: int = 0, high: int = 2**62) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _BadError(f"its {name} is {value!r}")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _BadError(f"its {name} is a {type(value).__name__}")
    return value


def _label(value: Any) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, str))):
        raise _BadError(f"a label is a {type(value).__name__}")
    return value


def _pair(value: Any, name: str) -> tuple[float, float]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) and abs(v) < 1e6 for v in value
        )
    ):
        raise _BadError(f"its {name} is {value!r}")
    return value[0], value[1]


def _read(header: Any, tensors: dict[str, Tensor]) -> ExampleIndex:
    """The findings in a file, every number of it checked: it may have been made by anybody."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        was = header.get("format") if isinstance(header, dict) else None
        raise _BadError(f"its format is {was!r}, this version reads {FORMAT}")
    side = _whole(header["input_size"], "input_size", 1, 100_000)
    prepared = header["prepared"]
    if not isinstance(prepared, bool):
        raise _BadError(f"its prepared is {prepared!r}")
    preparer = Preparer(
        _whole(header["channels"], "channels", 1, 4096),
        side,
        _whole(header["resize"], "resize", side, 100_000),
        prepared,
    )
    fingerprint = header["fingerprint"]
    names = [_text(layer["name"], "layer") for layer in header["layers"]]
    if not names or len(set(names)) != len(names):
        raise _BadError(f"its layers are {names!r}")
    indices, fields = {}, {}
    for number, (name, layer) in enumerate(zip(names, header["layers"], strict=True)):
        indices[name] = _read_index(number, layer, tensors)
        fields[name] = _read_field(layer["field"], indices[name].size, side)
    example_index = ExampleIndex(
        indices,
        fields,
        preparer,
        _text(header["described"], "described"),
        None if fingerprint is None else _text(fingerprint, "fingerprint"),
        [_text(name, "class_names") for name in header["class_names"]],
    )
    example_index.count = _whole(header["count"], "count")
    example_index.skipped = _whole(header["passed_over"], "passed_over")
    example_index.reasons = {_text(k, "reasons"): _text(v, "reasons") for k, v in header["reasons"].items()}
    example_index.seen = Seen(_whole(header["seen_upto"], "seen_upto"), _identities(tensors["seen"], "seen"))
    example_index.label_counts = Counter({_label(label): _whole(n, "labels") for label, n in header["labels"]})
    identities = _identities(tensors["details"], "details")
    for identity, (name, label, *size) in zip(identities, header["details"], strict=True):
        width, height = (_whole(side, "details", 1, 2**31) for side in size)
        example_index.details[identity] = Detail(_text(name, "details"), _label(label), (width, height))
    unknown = example_index.among() - example_index.details.keys()
    if unknown:
        raise _BadError(f"it says nothing about {len(unknown)} of its images")
    return example_index


def _identities(tensor: Tensor, name: str) -> list[int]:
    if tensor.dtype != torch.int64 or tensor.ndim != 1 or bool((tensor < 0).any()):
        raise _BadError(f"its tensor {name!r} holds no image numbers")
    return tensor.tolist()


def _read_index(number: int, layer: dict[str, Any], tensors: dict[str, Tensor]) -> LayerIndex:
    units, k = _whole(layer["units"], "units", 1, 10**6), _whole(layer["k"], "k", 1, 10**6)
    height, width = (_whole(v, "size", 1, 10**5) for v in layer["size"])
    shapes = {"value": (units, k), "image": (units, k), "place": (units, k)}
    # Before anything is made of that size: a file may claim a million units and hold none.
    for side in ("top", "bottom"):
        for part, shape in shapes.items():
            _check(tensors, f"{number}/{side}.{part}", torch.float32 if part == "value" else torch.int64, shape)
    for part in ("places", "best"):
        _check(tensors, f"{number}/{part}", torch.int32, (units, Histogram.BINS))
    for part in ("active", "counted"):
        _check(tensors, f"{number}/{part}", torch.int64, (units,))
    if not isinstance(layer["per_image"], bool):
        raise _BadError(f"its per_image is {layer['per_image']!r}")
    index = LayerIndex(units, (height, width), k, layer["per_image"])
    for side, sign in (("top", 1), ("bottom", -1)):
        extremes = getattr(index, side)
        for part in shapes:
            setattr(extremes, part, tensors[f"{number}/{side}.{part}"])
        there = extremes.image >= 0
        ordered = sign * extremes.value
        if (
            bool((extremes.image < -1).any())
            or bool((extremes.place[there] < 0).any())
            or bool((extremes.place[there] >= height * width).any())
            or not bool(extremes.value[there].isfinite().all())
            or not bool((extremes.value[~there] == -sign * torch.inf).all())
            or not bool((ordered[:, :-1] >= ordered[:, 1:]).all())
        ):
            raise _BadError(f"its {side} images of layer {layer['name']!r} are none")
    for part in ("places", "best"):
        count = tensors[f"{number}/{part}"]
        if bool((count < 0).any()):
            raise _BadError(f"its histogram {part!r} counts below 0")
        getattr(index, part).count = count
    index.active, index.counted = tensors[f"{number}/active"], tensors[f"{number}/counted"]
    if bool((index.active < 0).any()) or bool((index.active > index.counted).any()):
        raise _BadError("it counts more active places than places")
    return index


def _check(tensors: dict[str, Tensor], name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = tensors[name]
    if tensor.dtype != dtype or tuple(tensor.shape) != shape:
        raise _BadError(f"its tensor {name!r} is {tensor.dtype} of shape {tuple(tensor.shape)}, not {dtype} of {shape}")


def _read_field(found: dict[str, Any], size: tuple[int, int], side: int) -> FieldMap:
    if found["kind"] not in ("exact", "measured", "whole"):
        raise _BadError(f"its field is {found['kind']!r}")
    seen, stride, start = (_pair(found[key], key) for key in ("size", "stride", "start"))
    return FieldMap(found["kind"], seen, stride, start, size, side)

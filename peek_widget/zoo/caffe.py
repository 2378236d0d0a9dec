"""Read the weights in a Caffe model file (``.caffemodel``), without Caffe.

Such a file is one message of Google's protocol buffers. Of the hundreds of fields that Caffe's schema has, only the
few that hold weights are declared here, with their numbers from ``caffe.proto`` (BVLC); the protobuf runtime skips
all others. No code in the file is run.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from peek_widget.errors import FileError

__all__ = ["fill", "read_caffe"]

LARGEST_FILE = 2**31 - 1
"""Largest size of a file in bytes: the limit of protocol buffers, four times the largest published network."""

MOST_LAYERS = 10_000
MOST_SIDES = 32
"""Largest number of dimensions of an array, Caffe's own limit."""

# name: (field number, type, whether it is repeated); a type in capitals is a message of this table
_SCHEMA: dict[str, dict[str, tuple[int, str, bool]]] = {
    "SHAPE": {"dim": (1, "int64", True)},
    "BLOB": {
        "num": (1, "int32", False),
        "channels": (2, "int32", False),
        "height": (3, "int32", False),
        "width": (4, "int32", False),
        # Packed numbers are encoded as bytes are; read as bytes they don't become Python objects.
        "data": (5, "bytes", True),
        "shape": (7, "SHAPE", False),
        "double_data": (8, "bytes", True),
    },
    # Names as bytes: a name that is not UTF-8 must give our error, not a UnicodeDecodeError of the parser.
    "LAYER": {"name": (1, "bytes", False), "blobs": (7, "BLOB", True)},
    "V1LAYER": {"name": (4, "bytes", False), "blobs": (6, "BLOB", True)},
    "NET": {"layers": (2, "V1LAYER", True), "layer": (100, "LAYER", True)},
}


def read_caffe(path: str | Path) -> dict[str, list[np.ndarray]]:
    """Return the weights of each layer that has any, by the layer's name: float arrays in Caffe's order (weight, bias).

    Both formats of a network are read, the old (``layers``, before 2014) and the new (``layer``). Needs the
    package ``protobuf`` (the extra ``caffe``).

    Args:
        path: the ``.caffemodel`` file.

    Raises:
        FileError: if the file is too large, truncated or not a Caffe model, or an array's shape does not fit its data.
        OSError: if the file can't be read.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise FileError(f"{path.name} has {size:,} bytes, and a Caffe model has {LARGEST_FILE:,} at most.")
    net = _net()()
    try:
        net.ParseFromString(path.read_bytes())
    except _decode_error() as error:
        raise FileError(
            f"{path.name} is not a Caffe model, or is damaged or cut off ({error}): download it again, and give the "
            ".caffemodel, not its .prototxt."
        ) from error
    layers = [*net.layers, *net.layer]
    if len(layers) > MOST_LAYERS:
        raise FileError(f"{path.name} has {len(layers):,} layers: no network has more than {MOST_LAYERS:,}.")
    found: dict[str, list[np.ndarray]] = {}
    for layer in layers:
        if not layer.blobs:
            continue
        name = layer.name.decode(errors="replace")
        if name in found:
            raise FileError(f"{path.name} has two layers {name[:80]!r}, and there is no telling which is meant.")
        found[name] = [_array(blob, f"{path.name}: layer {name[:80]!r}") for blob in layer.blobs]
    if not found:
        raise FileError(
            f"{path.name} holds no weights: give the .caffemodel of a trained network (the .prototxt only says how it "
            "is built)."
        )
    return found


def fill(modules: Mapping[str, nn.Module], weights: Mapping[str, Sequence[np.ndarray]], file: str) -> None:
    """Copy weights of :func:`read_caffe` into modules of the same names, if all of them fit.

    Args:
        modules: modules with ``weight`` and ``bias``, by the names of their layers in Caffe.
        weights: arrays by layer; layers that are not in ``modules`` are ignored.
        file: name of the file, for error messages.

    Raises:
        FileError: if a layer is missing, or an array has another shape than its parameter or is not finite; nothing
            is copied then.
    """
    missing = [name for name in modules if name not in weights]
    if missing:
        there = ", ".join(each[:40] for each in list(weights)[:30])
        raise FileError(f"{file} has no layer {', '.join(missing)}; it has {there}. It is another network's.")
    ready: list[tuple[Tensor, Tensor]] = []
    for name, module in modules.items():
        parameters = [module.weight, module.bias]
        arrays = weights[name]
        if len(arrays) != len(parameters):
            raise FileError(f"{file}: layer {name} has {len(arrays)} arrays; a weight and a bias are needed.")
        for array, parameter in zip(arrays, parameters, strict=True):
            if _without_ones(array.shape) != _without_ones(parameter.shape):
                raise FileError(
                    f"{file}: layer {name} holds {_by(array.shape)} numbers where this network has "
                    f"{_by(parameter.shape)}. It is another network's, or another version's."
                )
            if not np.isfinite(array).all():
                raise FileError(f"{file}: layer {name} has numbers that are not finite: download it again.")
            ready.append((parameter, torch.from_numpy(array.astype(np.float32)).view(parameter.shape)))
    with torch.no_grad():
        for parameter, values in ready:
            parameter.copy_(values)


def _array(blob: Any, where: str) -> np.ndarray:
    data, kind = (blob.double_data, "<f8") if blob.double_data else (blob.data, "<f4")
    raw = b"".join(data)
    shape = list(blob.shape.dim) if blob.HasField("shape") else [blob.num, blob.channels, blob.height, blob.width]
    if len(shape) > MOST_SIDES or any(side < 0 for side in shape):
        raise FileError(f"{where} has an array of shape {_by(shape)}: it has at most {MOST_SIDES} sides, none below 0.")
    count = math.prod(shape)
    if count * np.dtype(kind).itemsize != len(raw):
        raise FileError(
            f"{where} has an array of shape {_by(shape)}, {count:,} numbers, and {len(raw):,} bytes of them: the file "
            "is damaged."
        )
    return np.frombuffer(raw, kind).reshape(shape)


def _without_ones(shape: Iterable[int]) -> tuple[int, ...]:
    # Files of the old format give every array four dimensions, padded with ones in front.
    shape = tuple(shape)
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _by(shape: Iterable[int]) -> str:
    return " x ".join(f"{side}" for side in list(shape)[:10]) or "1"


def _decode_error() -> type[Exception]:
    from google.protobuf.message import DecodeError

    return DecodeError


@functools.cache
def _net() -> Any:
    """Return the message class for a network (NetParameter in Caffe)."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise FileError(
            "Reading a Caffe model needs the package protobuf: pip install 'peek_widget[caffe]', or pip install "
            "protobuf."
        ) from error
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="peek_widget/caffe.proto", package="peek_widget", syntax="proto2")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind, several) in fields.items():
            added = message.field.add(
                name=field_name, number=number, label=field.LABEL_REPEATED if several else field.LABEL_OPTIONAL
            )
            if kind.isupper():
                added.type, added.type_name = field.TYPE_MESSAGE, f".peek_widget.{kind}"
            else:
                added.type = getattr(field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("peek_widget.NET"))

"""Evidence in one file: safetensors, never pickle.

The file is a safetensors file (https://github.com/huggingface/safetensors). Its metadata has one entry,
``peek_widget.evidence``, a JSON object::

    format        1
    described     a phrase that describes the dataset
    fingerprint   fingerprint of the model, or null
    channels, input_size, resize, prepared      how images became the network's input; a size is the side of a square,
                                                or [height, width]
    count, passed_over                          number of images taken in, number that could not be read
    value_range   [black, white] where the user said it    (this and the next three only where needed)
    ranges        {kind of number: [black, white]}, see value_range.ValueRanges
    show          [channel, ...] that are shown
    interpolation how images were resized, where not bilinear
    decoding, precision           how JPEGs were decoded and what the network computed in, where not exact and float32
    on_a_ramp     [[mean, standard deviation], ...] of each channel of what the preprocessing makes of one image, see
                  prepare.on_a_ramp (only where it is known)
    reasons       {name: reason} of the first hundred of the latter
    reason_indices  {name: index in the dataset} of these   (only where there are any)
    odd_labels, assumed   {phrase: number of images}        (only where there are any)
    class_names   [name, ...]
    groups        {named, names, members: [[label, ...], ...]}, see groups.Grouping   (only where histograms are kept)
    shards        [[number, count, images, total, digest], ...] of a part of a dataset, see shards.Shard   (only where
                  it is one; the last two are left out where they are not known)
    seen_upto     all images with a lower number were processed (others are in the tensor "seen")
    labels        [[label, count], ...]
    details       [[name, label, width, height], ...] of the images with the numbers in the tensor "details"
    layers        [{name, units, size, k, per_image, field: {kind, size, stride, start}}, ...]; of a field that is not
                  an even grid also rows and columns, [[first edge, last edge], ...]; by_position if it is measured on
                  each image; in_place, if it is false that positions look where they are on the map

An image's number is its index in a list or Dataset; in a folder, a hash of its name (so that files may be
added). For the layer at position ``i`` of ``layers`` the tensors are::

    i/top.value, i/bottom.value      float32 [units, k]   activations, highest (lowest) first; -inf (+inf) for none
    i/top.image, i/bottom.image      int64   [units, k]   number of the image, -1 for none
    i/top.place, i/bottom.place      int64   [units, k]   row * width + column on the layer's feature map
    i/places, i/best                 int32   [units, bins]    histograms, see index.Histogram
    i/groups.count                   int32   [units, 1 + groups, 64]   see group_histogram (only where they are kept)
    i/groups.exponent, i/groups.first  int64 [units]
    i/active, i/counted              int64   [units]      number of positions above 0, number of positions
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as of_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from peek_widget import _schema as schema
from peek_widget._files import write_atomic
from peek_widget._size import Size
from peek_widget.errors import EvidenceStoreError, FileError
from peek_widget.evidence.example_index import Detail, ExampleIndex, ImageSet
from peek_widget.evidence.group_histogram import BINS, GroupHistogram
from peek_widget.evidence.groups import Grouping
from peek_widget.evidence.header import FORMAT, HEADER, OPTIONAL
from peek_widget.evidence.labels import Label
from peek_widget.evidence.layer_index import Extremes, Histogram, LayerIndex
from peek_widget.evidence.prepare import Preparer
from peek_widget.evidence.shards import Shard
from peek_widget.evidence.value_range import ValueRanges
from peek_widget.network.receptive_field.field_map import FieldMap

__all__ = ["FORMAT", "KEY", "index_bytes", "index_of_bytes", "read_index", "store_path", "write_index"]

KEY = "peek_widget.evidence"

# Parts of a file's tensors, and the attributes in which they are kept here.
_EXTREMES = {"value": "value", "image": "image", "place": "position"}
_HISTOGRAMS = {"places": "positions", "best": "best"}
_COUNTS = ("active", "counted")
_GROUPS = ("count", "exponent", "first")


def store_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file that evidence can be written to, so that hours of work are not lost for a wrong name.

    Raises:
        EvidenceStoreError: if it can't be.
    """
    how = "give the name of a file, such as 'evidence.safetensors'"
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise EvidenceStoreError(f"The evidence can't be written to {path!r}: {how}.")
    name = os.fspath(path)
    if "://" in name:
        raise EvidenceStoreError(f"The evidence can't be written to {name!r}, an address: {how}, and copy it there.")
    found = Path(name)
    try:
        if found.is_dir():
            raise EvidenceStoreError(f"The evidence can't be written to {name!r}, a folder: {how} in it.")
        if not found.exists():
            found.parent.mkdir(parents=True, exist_ok=True)
            tried = found.with_name(f"{found.name}.{os.getpid()}-{threading.get_ident():x}.part")
            tried.touch()
            tried.unlink()
    except OSError as error:
        raise _not_written(name, error) from error
    return found


def _not_written(name: str, error: OSError) -> EvidenceStoreError:
    return EvidenceStoreError(f"The evidence can't be written to {name!r}: {error}. Give another path.")


def write_index(example_index: ExampleIndex, path: str | Path) -> None:
    """Write a file that :func:`read_index` reads; the file that was there stays until the new one is complete.

    Raises:
        EvidenceStoreError: if the file can't be written.
    """
    path = store_path(path)
    data = index_bytes(example_index)
    try:
        write_atomic(path, data)
    except OSError as error:
        raise _not_written(str(path), error) from error


def index_bytes(example_index: ExampleIndex) -> bytes:
    """Return the content of a file; of the same evidence always the same bytes, in whatever order it was gathered."""
    with example_index.lock:
        example_index.prune()
        tensors = {
            name: tensor.cpu().contiguous().clone()
            for number, index in enumerate(example_index.layers.values())
            for name, tensor in _tensors(number, index, example_index.grouping).items()
        }
        details = sorted(example_index.details.items())
        tensors["details"] = torch.tensor([identity for identity, _ in details], dtype=torch.int64)
        tensors["seen"] = torch.tensor(sorted(example_index.processed.others), dtype=torch.int64)
        header = _header(example_index, [detail for _, detail in details])
    return to_bytes(tensors, metadata={KEY: json.dumps(header)})


def _tensors(number: int, index: LayerIndex, grouping: Grouping | None) -> dict[str, Tensor]:
    """Return the tensors of the layer with this number, by their names in the file."""
    found = {
        f"{number}/{side}.{part}": getattr(extremes, attribute)
        for side, extremes in (("top", index.top), ("bottom", index.bottom))
        for part, attribute in _EXTREMES.items()
    }
    found |= {f"{number}/{part}": getattr(index, attribute).count for part, attribute in _HISTOGRAMS.items()}
    if index.groups is not None and grouping is not None:
        count, exponent, first = index.groups.parts()
        count = F.pad(count, (0, 0, 0, 1 + len(grouping.names) - count.shape[1]))
        count = count[:, [0, *(row + 1 for row in grouping.order)]]
        found |= {f"{number}/groups.{part}": it for part, it in zip(_GROUPS, (count, exponent, first), strict=True)}
    return found | {f"{number}/{name}": getattr(index, name) for name in _COUNTS}


def _header(example_index: ExampleIndex, details: list[Detail]) -> dict[str, Any]:
    preparer = example_index.preparer
    ranges = preparer.ranges
    return {
        **({"value_range": ranges.given} if ranges.given else {}),
        **({"ranges": dict(sorted(ranges.chosen.items()))} if ranges.chosen else {}),
        **({"show": preparer.show} if preparer.show else {}),
        **({"decoding": preparer.decoding} if preparer.decoding != "exact" else {}),
        **({"precision": example_index.precision} if example_index.precision != "float32" else {}),
        **({"on_a_ramp": example_index.on_a_ramp} if example_index.on_a_ramp else {}),
        **({"groups": _described_groups(example_index.grouping)} if example_index.grouping else {}),
        **(
            {"shards": [list(one if one.digest else one[:3]) for one in example_index.shards]}
            if example_index.shards
            else {}
        ),
        **({"reason_indices": example_index.reason_indices} if example_index.reason_indices else {}),
        **({"odd_labels": dict(sorted(example_index.odd_labels.items()))} if example_index.odd_labels else {}),
        **({"assumed": dict(sorted(example_index.assumed.items()))} if example_index.assumed else {}),
        **({"interpolation": preparer.interpolation} if preparer.interpolation != "bilinear" else {}),
        "format": FORMAT,
        "described": example_index.described,
        "fingerprint": example_index.fingerprint,
        "channels": preparer.channels,
        "input_size": preparer.size.plain,
        "resize": preparer.resize,
        "prepared": preparer.prepared,
        "count": example_index.count,
        "passed_over": example_index.skipped,
        "reasons": example_index.reasons,
        "class_names": list(example_index.class_names),
        "seen_upto": example_index.processed.upto,
        "labels": sorted(map(list, example_index.label_counts.items()), key=lambda row: (str(type(row[0])), row)),
        "details": [[detail.name, detail.label, *detail.size] for detail in details],
        "layers": [
            {
                "name": name,
                "units": index.units,
                "size": list(index.size),
                "k": index.k,
                "per_image": index.per_image,
                "field": _described_field(example_index.fields[name]),
            }
            for name, index in example_index.layers.items()
        ],
    }


def _described_groups(grouping: Grouping) -> dict[str, Any]:
    def ordered(labels: Iterable[Label]) -> list[Label]:
        return sorted(labels, key=lambda label: (str(type(label)), label))

    return {
        "named": grouping.named,
        "names": [grouping.names[row] for row in grouping.order],
        "members": [ordered(grouping.members[row]) for row in grouping.order],
    }


def _described_field(field_map: FieldMap) -> dict[str, Any]:
    described = {"kind": field_map.kind, "size": field_map.size, "stride": field_map.stride, "start": field_map.start}
    if field_map.rows is not None:
        described |= {"rows": field_map.rows, "columns": field_map.columns}
    flags = {"by_position": field_map.by_position, "in_place": field_map.in_place}
    return described | {name: value for name, value in flags.items() if value != (name == "in_place")}


def read_index(path: str | Path) -> ExampleIndex:
    """Read a file that :func:`write_index` wrote. Every value in it is checked: anybody may have made the file.

    Raises:
        EvidenceStoreError: if the file is missing, damaged, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise EvidenceStoreError(f"There is no file {str(path)!r}: give one that evidence.save(path) has written.")
    try:
        with safe_open(path, framework="pt") as file:
            written = (file.metadata() or {}).get(KEY)
            if written is None:
                raise FileError("it is a safetensors file of something else")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _read(schema.read_json(written, "Its header", len(written)), tensors)
    except FileError as error:
        raise EvidenceStoreError(
            f"{str(path)!r} holds no evidence that can be used ({str(error).rstrip('.')}): give a file that "
            "evidence.save(path) has written, or run the pass again."
        ) from error
    except (SafetensorError, OSError) as error:
        raise EvidenceStoreError(
            f"{str(path)!r} can't be read ({error}): it is damaged, cut off, or not a file of evidence. Run the pass "
            "again."
        ) from error


def index_of_bytes(data: bytes) -> ExampleIndex:
    """Read what :func:`index_bytes` returned, in another process of the same pass."""
    size = int.from_bytes(data[:8], "little")  # of the safetensors header, which load() does not give
    written = json.loads(data[8 : 8 + size])["__metadata__"][KEY]
    return _read(json.loads(written), of_bytes(data))


def _read(written: dict[str, Any], tensors: dict[str, Tensor]) -> ExampleIndex:
    # The format first: a later one may have other fields.
    HEADER["format"]("Its format", written.get("format"))
    header = schema.read_fields(written, HEADER, "Its header", optional=OPTIONAL)
    size, resize = Size.of(header["input_size"]), header["resize"]
    least = resize if isinstance(resize, tuple) else (resize or size.height, resize or size.width)
    if any(one < side for one, side in zip(least, size, strict=True)):
        raise FileError(f"resize is {resize}, which is less than the input size, {size}.")
    names = [layer["name"] for layer in header["layers"]]
    if len(set(names)) != len(names):
        raise FileError(f"A layer is in it twice: {names!r}")
    ranges = ValueRanges(header.get("value_range"), chosen=header.get("ranges"))
    if any(low >= high for low, high in (*ranges.chosen.values(), ranges.given or (0.0, 1.0))):
        raise FileError("A range of its values has no extent")
    show = header.get("show", ())
    if len(show) == 2 or any(number >= header["channels"] for number in show):
        raise FileError(f"It shows the channels {show} of {header['channels']}")
    layers, fields = {}, {}
    for number, layer in enumerate(header["layers"]):
        layers[layer["name"]] = _read_layer(number, layer, tensors)
        for part, count in zip(("rows", "columns"), layer["size"], strict=True):
            if len(layer["field"].get(part) or range(count)) != count:
                raise FileError(f"The field of layer {layer['name']!r} has another number of {part} than its map")
        fields[layer["name"]] = FieldMap(**layer["field"], map=layer["size"], input_size=size)
    example_index = ExampleIndex(
        layers,
        fields,
        Preparer(
            header["channels"],
            size,
            resize,
            header["prepared"],
            ranges=ranges,
            show=show,
            interpolation=header.get("interpolation", "bilinear"),
            decoding=header.get("decoding", "exact"),
        ),
        header["described"],
        header["fingerprint"],
        header["class_names"],
        precision=header.get("precision", "float32"),
    )
    example_index.on_a_ramp = header.get("on_a_ramp", ())
    groups = header.get("groups")
    if groups is None:
        example_index.without_groups()
    else:
        if len(groups["names"]) != len(groups["members"]) or None in groups["names"]:
            raise FileError("Its groups have names without members, or members without a name")
        example_index.grouping = Grouping.of(groups["named"], groups["names"], groups["members"])
        for number, layer in enumerate(layers.values()):
            layer.groups = _read_groups(number, layer.units, len(groups["names"]), tensors)
    example_index.shards = tuple(Shard(*one) for one in header.get("shards", ()))
    if any(shard.number >= shard.count for shard in example_index.shards):
        raise FileError("Its shards of the dataset are invalid")
    example_index.count = header["count"]
    example_index.skipped = header["passed_over"]
    example_index.reasons = header["reasons"]
    example_index.reason_indices = header.get("reason_indices", {})
    example_index.odd_labels = Counter(header.get("odd_labels", {}))
    example_index.assumed = Counter(header.get("assumed", {}))
    example_index.processed = ImageSet(header["seen_upto"], _image_numbers(tensors, "seen"))
    example_index.label_counts = Counter(dict(header["labels"]))
    identities = _image_numbers(tensors, "details")
    if len(identities) != len(header["details"]):
        raise FileError(f"It has details of {len(header['details'])} images and {len(identities)} numbers of them")
    for identity, (name, label, width, height) in zip(identities, header["details"], strict=True):
        example_index.details[identity] = Detail(name, label, (width, height))
    unknown = example_index.images_with_crops() - example_index.details.keys()
    if unknown:
        raise FileError(f"It has no details of {len(unknown)} of its images")
    return example_index


def _tensor(tensors: dict[str, Tensor], name: str, dtype: torch.dtype, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return a tensor of the file, of this type and shape (None: any length)."""
    tensor = tensors.get(name)
    if tensor is None:
        raise FileError(f"Its tensor {name!r} is missing")
    if tensor.dtype != dtype or tensor.ndim != len(shape or (0,)) or (shape and tuple(tensor.shape) != shape):
        wanted = f"{dtype} of {shape or 'any length'}"
        raise FileError(f"Its tensor {name!r} is {tensor.dtype} of shape {tuple(tensor.shape)}, not {wanted}")
    return tensor


def _image_numbers(tensors: dict[str, Tensor], name: str) -> list[int]:
    numbers = _tensor(tensors, name, torch.int64)
    if bool((numbers < 0).any()):
        raise FileError(f"Its tensor {name!r} has image numbers below 0")
    return numbers.tolist()


def _read_layer(number: int, layer: dict[str, Any], tensors: dict[str, Tensor]) -> LayerIndex:
    units, k, (height, width) = layer["units"], layer["k"], layer["size"]
    # All shapes are checked before memory is taken for them: a file may claim a million units and hold none.
    extremes = {
        side: {
            part: _tensor(
                tensors, f"{number}/{side}.{part}", torch.float32 if part == "value" else torch.int64, (units, k)
            )
            for part in _EXTREMES
        }
        for side in ("top", "bottom")
    }
    histograms = {
        part: _tensor(tensors, f"{number}/{part}", torch.int32, (units, Histogram.BINS)) for part in _HISTOGRAMS
    }
    counts = {name: _tensor(tensors, f"{number}/{name}", torch.int64, (units,)) for name in _COUNTS}
    index = LayerIndex(units, (height, width), k, layer["per_image"])
    for side, into in (("top", index.top), ("bottom", index.bottom)):
        for part, attribute in _EXTREMES.items():
            setattr(into, attribute, extremes[side][part])
        if not _makes_sense(into, height * width):
            raise FileError(f"Its {side} images of layer {layer['name']!r} are invalid")
    for part, attribute in _HISTOGRAMS.items():
        if bool((histograms[part] < 0).any()):
            raise FileError(f"Its histogram {part!r} has negative counts")
        getattr(index, attribute).count = histograms[part]
    index.active, index.counted = (counts[name] for name in _COUNTS)
    if bool((index.active < 0).any()) or bool((index.active > index.counted).any()):
        raise FileError("It counts more active positions than positions")
    return index


def _read_groups(number: int, units: int, groups: int, tensors: dict[str, Tensor]) -> GroupHistogram:
    shapes = {"count": (units, 1 + groups, BINS), "exponent": (units,), "first": (units,)}
    dtypes = {"count": torch.int32, "exponent": torch.int64, "first": torch.int64}
    found = {part: _tensor(tensors, f"{number}/groups.{part}", dtypes[part], shapes[part]) for part in _GROUPS}
    count, exponent, first = (found[part] for part in _GROUPS)
    if bool((count < 0).any()) or bool((count[:, 1:] > count[:, :1]).any()):
        raise FileError("Its groups have more images than there are, or a negative number")
    if bool((exponent < -24).any()) or bool((exponent > 40).any()) or bool((first.abs() > 2**53).any()):
        raise FileError("The bins of its groups are invalid")
    return GroupHistogram.of(count, exponent, first)


def _makes_sense(extremes: Extremes, positions: int) -> bool:
    """Return whether images, positions and values are within their ranges, and the values sorted."""
    value, sign = extremes.value, extremes.sign
    there = extremes.image >= 0
    position = extremes.position[there]
    ordered = sign * value
    return not (
        bool((extremes.image < -1).any())
        or bool((position < 0).any())
        or bool((position >= positions).any())
        or not bool(value[there].isfinite().all())
        or not bool((value[~there] == -sign * torch.inf).all())
        or not bool((ordered[:, :-1] >= ordered[:, 1:]).all())
    )

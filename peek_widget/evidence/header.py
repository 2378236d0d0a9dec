"""Checks of the header of an evidence file, which need not be trusted."""

from __future__ import annotations

from typing import Any, get_args

from peek_widget import _schema as schema
from peek_widget.errors import FileError
from peek_widget.evidence.labels import Label
from peek_widget.evidence.prepare import Decoding
from peek_widget.network.precision import Precision
from peek_widget.network.preprocess import INTERPOLATIONS

__all__ = ["FORMAT", "HEADER", "OPTIONAL"]

FORMAT = 1

_SIDE = 100_000
_MANY = 2**62
_text = schema.text(1_000_000)


def _check_label(name: str, value: Any) -> Label:
    if value is not None and type(value) not in (int, str):
        raise FileError(f"{name} is {schema.short(value)}: a whole number, a text or null is needed.")
    return value


def _row(*checks: schema.Check) -> schema.Check:
    """Check for a list with one item for each check."""

    def check(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(checks):
            raise FileError(f"{name} is {schema.short(value)}: a list of {len(checks)} items is needed.")
        return tuple(one(f"An item of {name}", item) for one, item in zip(checks, value, strict=True))

    return check


def _shard(name: str, value: Any) -> tuple[Any, ...]:
    whole = schema.whole(_MANY)
    named = (whole, schema.text(64)) if isinstance(value, list) and len(value) > 3 else ()  # fields of later versions
    return _row(whole, schema.whole(_MANY, 1), whole, *named)(name, value)


def _size(name: str, value: Any) -> int | tuple[int, int]:
    side = schema.whole(_SIDE, 1)
    return schema.pair(side)(name, value) if isinstance(value, list) else side(name, value)


_PIXELS = schema.pair(schema.number(-1e6, 1e6))

_RANGE = schema.pair(schema.number(-1e38, 1e38))

_LAYER = {
    "name": _text,
    "units": schema.whole(10**6, 1),
    "size": schema.pair(schema.whole(_SIDE, 1)),
    "k": schema.whole(10**6, 1),
    "per_image": schema.switch,
    "field": schema.record(
        {
            "kind": schema.choice(("exact", "measured", "whole")),
            "size": _PIXELS,
            "stride": _PIXELS,
            "start": _PIXELS,
            "rows": schema.sequence(_PIXELS, _SIDE),
            "columns": schema.sequence(_PIXELS, _SIDE),
            "by_position": schema.switch,
            "in_place": schema.switch,
        },
        optional=("rows", "columns", "by_position", "in_place"),
    ),
}

HEADER: dict[str, schema.Check] = {
    "format": schema.choice((FORMAT,)),
    "described": _text,
    "fingerprint": schema.nullable(_text),
    "channels": schema.whole(4096, 1),
    "input_size": _size,
    "resize": schema.nullable(_size),
    "prepared": schema.switch,
    "value_range": _RANGE,
    "ranges": schema.mapping(_RANGE, 100),
    "show": schema.sequence(schema.whole(4095), 3, 1),
    "interpolation": schema.choice(INTERPOLATIONS),
    "decoding": schema.choice(get_args(Decoding)),
    "precision": schema.choice(get_args(Precision)),
    "on_a_ramp": schema.sequence(schema.pair(schema.number(-1e38, 1e38)), 4096),
    "count": schema.whole(_MANY),
    "passed_over": schema.whole(_MANY),
    "reasons": schema.mapping(_text, 10**6),
    "reason_indices": schema.mapping(schema.whole(_MANY), 10**6),
    "odd_labels": schema.mapping(schema.whole(_MANY), 10**6),
    "assumed": schema.mapping(schema.whole(_MANY), 10**6),
    "class_names": schema.sequence(_text, 10**7),
    "groups": schema.record(
        {
            "named": schema.switch,
            "names": schema.sequence(_check_label, 10**4),
            "members": schema.sequence(schema.sequence(_check_label, _MANY), 10**4),
        }
    ),
    "shards": schema.sequence(_shard, 10**6),
    "seen_upto": schema.whole(_MANY),
    "labels": schema.sequence(_row(_check_label, schema.whole(_MANY)), _MANY),
    "details": schema.sequence(_row(_text, _check_label, schema.whole(2**31, 1), schema.whole(2**31, 1)), _MANY),
    "layers": schema.sequence(schema.record(_LAYER), 10**6, 1),
}
OPTIONAL = (
    "groups",
    "shards",
    "decoding",
    "precision",
    "on_a_ramp",
    "value_range",
    "ranges",
    "show",
    "interpolation",
    "reason_indices",
    "odd_labels",
    "assumed",
)

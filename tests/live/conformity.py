"""Whether what the kernel sends is what the protocol declares, from which the front end's types are generated."""

import dataclasses
import types
import typing
from typing import Annotated, Any, Literal, Union

from anywidget import AnyWidget

from peek_widget.live import protocol
from peek_widget.live.controls import CONTROL_NAMES

PROBLEMS: list[str] = []
"""What did not conform in the running test: collected, because the thread of a service may find it."""


def check_message(content, buffers=()):
    """Note what is wrong with a custom message."""
    declared = protocol.TO_PAGE.get(content.get("kind"))
    if declared is None:
        PROBLEMS.append(f"No message is of kind {content.get('kind')!r}.")
        return
    fields = {name: value for name, value in content.items() if name != "kind"}
    PROBLEMS.extend(wrong(fields, declared, declared.kind))
    PROBLEMS.extend(f"{declared.kind}: a buffer is a {type(one)}" for one in buffers if not isinstance(one, bytes))


def check_traits(values):
    """Note what is wrong with values of traits that only Python writes."""
    for name, value in values.items():
        if name in protocol.TRAIT_TYPES:
            PROBLEMS.extend(wrong(value, protocol.TRAIT_TYPES[name], name))


def check_update(state):
    """Note what is wrong with an update of the widget's state, whose bytes travel as buffers."""
    if state.get("_model_name", "AnyModel") != "AnyModel":
        return  # the widget's layout
    check_traits(state)
    known = {*protocol.TRAIT_TYPES, *CONTROL_NAMES, *AnyWidget.class_trait_names(), "_esm", "_css", "_anywidget_id"}
    PROBLEMS.extend(f"{name} is no trait of the protocol" for name in state.keys() - known)


def wrong(value: Any, of: Any, where: str) -> list[str]:
    """Return what is wrong with a value of a declared type, [] for nothing."""
    if typing.get_origin(of) is Annotated:
        inner, *notes = typing.get_args(of)
        partial = any(isinstance(note, str) and note.startswith("Partial<") for note in notes)
        if partial and dataclasses.is_dataclass(inner) and isinstance(value, dict):
            hints = typing.get_type_hints(inner, include_extras=True)
            undeclared = [f"{where}.{name} is not declared" for name in value if name not in hints]
            declared = [name for name in value if name in hints]
            return [
                *undeclared,
                *(each for name in declared for each in wrong(value[name], hints[name], f"{where}.{name}")),
            ]
        return wrong(value, inner, where)
    if of is Any:
        return []
    if dataclasses.is_dataclass(of):
        if not isinstance(value, dict):
            return [f"{where} is {value!r:.80}, not a dict"]
        hints = typing.get_type_hints(of, include_extras=True)
        declared = {field.name: hints[field.name] for field in dataclasses.fields(of)}
        if value.keys() != declared.keys():
            return [f"{where} has the fields {sorted(value)}; declared are {sorted(declared)}"]
        return [each for name, hint in declared.items() for each in wrong(value[name], hint, f"{where}.{name}")]
    origin, arguments = typing.get_origin(of), typing.get_args(of)
    if origin in (Union, types.UnionType):
        found = [wrong(value, each, where) for each in arguments]
        return [] if [] in found else found[0]
    if origin is Literal:
        return [] if value in arguments else [f"{where} is {value!r:.80}, not one of {arguments}"]
    if origin is list:
        if not isinstance(value, list | tuple):
            return [f"{where} is {value!r:.80}, not a list"]
        return [each for at, one in enumerate(value) for each in wrong(one, arguments[0], f"{where}[{at}]")]
    if origin is tuple:
        if not isinstance(value, list | tuple) or len(value) != len(arguments):
            return [f"{where} is {value!r:.80}, not {len(arguments)} items"]
        pairs = zip(value, arguments, strict=True)
        return [each for at, (one, kind) in enumerate(pairs) for each in wrong(one, kind, f"{where}[{at}]")]
    if origin is dict:
        if not isinstance(value, dict):
            return [f"{where} is {value!r:.80}, not a dict"]
        return [each for name, one in value.items() for each in wrong(one, arguments[1], f"{where}[{name}]")]
    if of is float:
        good = isinstance(value, int | float) and not isinstance(value, bool)
    elif of is int:
        good = type(value) is int
    elif of is bytes:
        good = isinstance(value, bytes | memoryview)
    else:
        good = value is None if of in (None, type(None)) else isinstance(value, of)
    return [] if good else [f"{where} is {value!r:.80}, not {of}"]

"""Write js/src/protocol.gen.ts from peek_widget/live/protocol: traits, states, messages and their fields.

    python scripts/generate_protocol.py

A test fails while the file differs from what this would write.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from peek_widget.ascent.accentuate import STRENGTH
from peek_widget.ascent.recipe_rules import MAXIMUM_SIZE, MINIMUM_SIZE
from peek_widget.live import protocol
from peek_widget.live.controls import CONTROLS, LARGEST_SEED, MOST_SEEDS, Controls
from peek_widget.live.protocol import traits
from peek_widget.photo.firing import LISTED

PATH = Path(__file__).resolve().parents[1] / "js/src/protocol.gen.ts"

HEAD = """\
// Made by scripts/generate_protocol.py from peek_widget/live/protocol and peek_widget/live/controls.py: don't edit.
// biome-ignore-all format: generated

export type Binary = DataView | ArrayBuffer | Uint8Array;
/** left, top, right, bottom, as shares of the image. */
export type Box = readonly [number, number, number, number];
"""

PLAIN = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    bytes: "Binary",
    type(None): "null",
    Any: "unknown",
}


def written(of: Any) -> str:
    """Return a Python type in TypeScript; a text in an `Annotated` is the TypeScript itself."""
    if of in PLAIN:
        return PLAIN[of]
    if dataclasses.is_dataclass(of):
        return of.__name__
    origin, arguments = typing.get_origin(of), typing.get_args(of)
    if origin is Annotated:
        return arguments[1] if isinstance(arguments[1], str) else written(arguments[0])
    if origin is Literal:
        return " | ".join(json.dumps(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(written(each) for each in arguments)
    if origin is dict:
        return f"Record<{written(arguments[0])}, {written(arguments[1])}>"
    if origin is list or (origin is tuple and arguments[-1] is ...):
        item = written(arguments[0])
        return f"readonly ({item})[]" if " " in item else f"readonly {item}[]"
    if origin is tuple:
        return f"readonly [{', '.join(map(written, arguments))}]"
    raise TypeError(f"No TypeScript type is known for {of!r}.")


def fields_of(record: type) -> dict[str, str]:
    """Return the fields of a dataclass and their types in TypeScript."""
    hints = typing.get_type_hints(record, include_extras=True)
    return {field.name: written(hints[field.name]) for field in dataclasses.fields(record)}


def interface(record: type, kind: str | None = None) -> str:
    """Return a dataclass as an interface."""
    rows = ([("kind", json.dumps(kind))] if kind else []) + list(fields_of(record).items())
    body = "".join(f"  {name}: {of};\n" for name, of in rows)
    first = (record.__doc__ or "").strip().splitlines()[0]
    return f"/** {first} */\nexport interface {record.__name__} {{\n{body}}}\n"


def union(name: str, members: list[str]) -> str:
    """Return a union type, one member a line."""
    return f"export type {name} =\n" + "\n".join(f"  | {member}" for member in members) + ";\n"


def names(name: str, values: typing.Iterable[str]) -> str:
    """Return a constant list of names."""
    return f"export const {name} = [{', '.join(map(json.dumps, values))}] as const;\n"


def records() -> list[type]:
    """Return the dataclasses that traits and messages are made of, those first that others need."""
    found: list[type] = []

    def visit(of: Any) -> None:
        if dataclasses.is_dataclass(of) and isinstance(of, type):
            if of not in found:
                for hint in typing.get_type_hints(of, include_extras=True).values():
                    visit(hint)
                if of not in protocol.TO_PAGE.values():
                    found.append(of)
            return
        for each in typing.get_args(of):
            visit(each)

    for of in (*protocol.TRAIT_TYPES.values(), *protocol.TO_PAGE.values()):
        visit(of)
    return found


def defaults() -> dict[str, Any]:
    """Return the default of each control as the page gets it, and the objective that most layers begin with."""
    values = {**Controls().values(), "objective": "neuron"}
    return {name: control.to_page(values[name]) for name, control in CONTROLS.items()}


def labels() -> dict[str, str]:
    """Return the labels of the controls in the page, by name."""
    return {name: control.label for name, control in CONTROLS.items() if control.label}


def generate() -> str:
    """Return the text of the file."""
    controls = {name: control.page_type for name, control in CONTROLS.items()}
    rest = {name: written(of) for name, of in protocol.TRAIT_TYPES.items()}
    controls_union = " | ".join(map(json.dumps, CONTROLS))
    to_kernel = [
        "{ " + "; ".join([f'kind: "{kind}"', *(f"{name}: {of}" for name, of in fields_of(message).items())]) + " }"
        for kind, message in protocol.TO_KERNEL.items()
    ]
    parts = [
        HEAD,
        f"export const LARGEST_SEED = {LARGEST_SEED};\n"
        f"export const MOST_SEEDS = {MOST_SEEDS};\n"
        f"export const ACCENTUATE_STRENGTH = {STRENGTH:g};\n"
        f"export const UNITS_LISTED = {LISTED};\n"
        f"export const [SMALLEST_SIZE, LARGEST_SIZE] = [{MINIMUM_SIZE}, {MAXIMUM_SIZE}] as const;\n",
        names("TRAIT_NAMES", [*CONTROLS, *protocol.TRAIT_TYPES])
        + names("LIVE_TRAITS", protocol.LIVE_TRAITS)
        + f"export type KnobName = {' | '.join(map(json.dumps, protocol.KNOB_NAMES))};\n"
        + f"export type ObjectiveKind = {' | '.join(map(json.dumps, traits.OBJECTIVE_KINDS))};\n",
        *map(interface, records()),
        *(interface(message, kind) for kind, message in protocol.TO_PAGE.items()),
        "/** What the kernel and the page share. */\nexport interface Traits {\n"
        + "".join(f"  {name}: {of};\n" for name, of in {**controls, **rest}.items())
        + "}\n",
        "export type TraitName = keyof Traits;\n"
        f"export type ControlValues = Partial<Pick<Traits, {controls_union}>>;\n"
        f"export const CONTROL_DEFAULTS: Required<ControlValues> = {json.dumps(defaults())};\n",
        f"export const CONTROL_LABELS = {json.dumps(labels())} as const;\n",
        "/** What the kernel sends. */\n"
        + union("ToPage", [message.__name__ for message in protocol.TO_PAGE.values()]),
        "/** What the kernel takes. */\n" + union("ToKernel", to_kernel),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    PATH.write_text(generate(), encoding="utf-8")

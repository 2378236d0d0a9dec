"""The definition of a message, a frozen dataclass with a kind and with checks for its fields, and their parser."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from peek_widget._schema import Check, checks_of, sequence, switch, text, whole
from peek_widget._schema import short as described
from peek_widget.errors import FileError

__all__ = [
    "TO_KERNEL",
    "TO_PAGE",
    "CropNumber",
    "MessageNumber",
    "ProtocolError",
    "StepNumber",
    "Switch",
    "Text",
    "ToKernel",
    "ToPage",
    "Units",
    "Words",
    "parse",
]

TO_KERNEL: dict[str, type[ToKernel]] = {}
"""The messages of the front end, by kind."""

TO_PAGE: dict[str, type[ToPage]] = {}
"""The custom messages of the kernel, by kind."""


class ProtocolError(ValueError):
    """An error in a message from the front end: it is not one of the protocol."""


class ToKernel:
    """A message from the front end; each subclass is a frozen dataclass whose fields are annotated with checks."""

    kind: ClassVar[str]

    def __init_subclass__(cls, kind: str, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.kind = kind
        TO_KERNEL[kind] = cls


class ToPage:
    """A custom message to the front end, with images or files as binary buffers; documents a dict with these fields."""

    kind: ClassVar[str]

    def __init_subclass__(cls, kind: str, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.kind = kind
        TO_PAGE[kind] = cls


# A front end counts in doubles, which do not represent every larger integer.
_LARGEST_NUMBER = 2**53 - 1
_MOST_UNITS = 65_536
_MOST_WORDS = 1000
_LONGEST_TEXT = 512


_WHOLE: Check = whole(_LARGEST_NUMBER)

MessageNumber = Annotated[int, _WHOLE]
StepNumber = Annotated[int, _WHOLE]
CropNumber = Annotated[int, _WHOLE]
Switch = Annotated[bool, switch]
Text = Annotated[str, text(_LONGEST_TEXT)]
Units = Annotated[tuple[int, ...], sequence(_WHOLE, _MOST_UNITS)]
Words = Annotated[tuple[str, ...], sequence(text(_LONGEST_TEXT), _MOST_WORDS)]


def parse(content: Any, buffers: Any = None) -> ToKernel:
    """Parse a custom message of the front end.

    Args:
        content: the content received: `{"kind": ...}` and the fields of that kind, no others.
        buffers: the message's binary buffers; messages of the protocol have no buffers.

    Raises:
        ProtocolError: with a sentence, for anything that is not exactly a message of the protocol.
    """
    if not isinstance(content, dict):
        raise ProtocolError(f"A message must be an object with a kind, not {described(content)}.")
    if buffers:
        raise ProtocolError(f"A message must come without binary buffers; this one has {len(buffers)}.")
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in TO_KERNEL:
        raise ProtocolError(f"A message's kind must be one of {', '.join(TO_KERNEL)}, not {described(kind)}.")
    message = TO_KERNEL[kind]
    checks = _CHECKS.setdefault(message, checks_of(message))
    given = {name: value for name, value in content.items() if name != "kind"}
    if given.keys() != checks.keys():
        fields = described(", ".join(sorted(map(str, given))))
        raise ProtocolError(f"A message of kind {kind} has the fields {', '.join(checks) or 'none'}, not {fields}.")
    try:
        return message(**{name: check(f"{name} of {kind}", given[name]) for name, check in checks.items()})
    except FileError as error:
        raise ProtocolError(str(error)) from error


_CHECKS: dict[type[ToKernel], dict[str, Check]] = {}

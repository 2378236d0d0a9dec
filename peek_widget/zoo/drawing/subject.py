"""A class of the generated images: its name, kind and variants, and the function that draws one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Subject", "subject"]

_Draw = TypeVar("_Draw", bound=Callable[..., Any])


@dataclass(frozen=True)
class Subject:
    """One class of the generated images.

    Attributes:
        name: name of the class.
        kind: ``"texture"``, ``"shape"`` or ``"composed"``.
        variants: names of its variants.
        draw: draws a variant: a texture's ``draw(rng, variant, u, v, duty)`` returns a signed distance field, a form's
            ``draw(rng, variant, pen)`` uses the pen.
        summary: one sentence that describes it.
        turn: largest rotation to either side, in degrees.
        period: range of a texture's period, in units of half the image's side; None for a form.
    """

    name: str
    kind: str
    variants: tuple[str, ...]
    draw: Callable[..., Any]
    summary: str
    turn: float
    period: tuple[float, float] | None = None


def subject(
    registry: dict[str, Subject], kind: str, variants: tuple[str, ...], **settings: Any
) -> Callable[[_Draw], _Draw]:
    """Return a decorator that registers a drawing function in ``registry`` under its own name."""

    def enter(draw: _Draw) -> _Draw:
        summary = (draw.__doc__ or "").strip()
        registry[draw.__name__] = Subject(draw.__name__, kind, variants, draw, summary, **settings)
        return draw

    return enter

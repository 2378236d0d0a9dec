"""What a class of images is: a name, a kind, its variants and how to draw one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Subject", "subject"]

_Draw = TypeVar("_Draw", bound=Callable[..., Any])


@dataclass(frozen=True)
class Subject:
    """One class of the generator's images.

    ``draw(rng, variant, ...)`` draws one of ``variants`` (their names say how they are built differently);
    a texture answers with a field, a form takes a pen. ``turn`` is how far it may lean to either side, in
    degrees. ``period`` (textures only) is the range of the pattern's period, the image being 2 wide.
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
    """Enter the decorated drawing function into ``registry`` under its own name."""

    def enter(draw: _Draw) -> _Draw:
        summary = (draw.__doc__ or "").strip()
        registry[draw.__name__] = Subject(draw.__name__, kind, variants, draw, summary, **settings)
        return draw

    return enter

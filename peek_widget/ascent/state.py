"""A run set aside, to go on later from the same pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from peek_widget.ascent.knobs import NUMBERS
from peek_widget.ascent.objective import Objective
from peek_widget.ascent.old_names import renamed_fields, renamed_tensor
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.recipe_rules import check_size
from peek_widget.ascent.serialization import objective_from_dict
from peek_widget.errors import PeekError

__all__ = ["State"]

_KIND = "peek_widget state 1"
_MOST_PICTURES = 100_000


@dataclass(frozen=True)
class State:
    """All of a run but its model.

    Attributes:
        objectives: one for each picture; None where a file could not keep one (a function, a style).
        recipe: of the run, as last changed.
        seeds: one for each picture.
        asked_size: the ``size=`` that was given, or None.
        side: of the pictures now, in pixels.
        index: of the next step.
        steps: of the whole run.
        overrides: numbers held by hand.
        tensors: the parameter, the optimizer's, the generators' and the like, on the CPU.
    """

    objectives: tuple[Objective, ...] | None
    recipe: Recipe
    seeds: tuple[int, ...]
    asked_size: int | None
    side: int
    index: int
    steps: int
    overrides: Mapping[str, float]
    tensors: Mapping[str, Tensor] = field(repr=False)

    def save(self, path: str | Path) -> None:
        """Write one file (safetensors, its header in JSON), which :meth:`load` reads; nothing in it is ever run.

        Raises:
            PeekError: if it can't be written, or was loaded from a file that has kept no objective.
        """
        if self.objectives is None:
            raise PeekError("This state has no objectives, its file could not keep them: save the run resumed from it.")
        header = {
            "objectives": [one.to_dict() for one in self.objectives],
            "recipe": json.loads(self.recipe.to_json()),
            "seeds": list(self.seeds),
            "asked_size": self.asked_size,
            "side": self.side,
            "index": self.index,
            "steps": self.steps,
            "overrides": dict(self.overrides),
        }
        tensors = {name: value.contiguous() for name, value in self.tensors.items()}
        try:
            save_file(tensors, str(path), metadata={_KIND: json.dumps(header)})
        except SafetensorError as error:
            raise PeekError(f"The state can't be written to {str(path)!r}: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> State:
        """Read what :meth:`save` wrote.

        Raises:
            PeekError: if it is another kind of file, damaged, or holds impossible values.
            FileNotFoundError: if there is none.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                text = (file.metadata() or {}).get(_KIND)
                tensors = {renamed_tensor(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (FileNotFoundError, PermissionError):
            raise
        except (SafetensorError, OSError) as error:
            raise PeekError(f"{str(path)!r} is no state of an ascent, or it is damaged: {error}") from error
        if text is None:
            raise PeekError(f"{str(path)!r} is a safetensors file, but not a state that an ascent has saved.")
        try:
            return cls._read(json.loads(text), tensors)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise PeekError(f"{str(path)!r} does not hold a state as it was saved: {error}") from error

    @classmethod
    def _read(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> State:
        objectives = [objective_from_dict(one) for one in header["objectives"]]
        seeds, count = header["seeds"], len(objectives)
        if not 1 <= count <= _MOST_PICTURES or len(seeds) != count or "parameter" not in tensors:
            raise ValueError("it has no pictures, or not as many seeds as pictures")
        for number in (*seeds, header["index"], header["steps"], header["side"]):
            if type(number) is not int or not 0 <= number < 2**63:
                raise ValueError(f"{number!r} is no count")
        if len(tensors["parameter"]) != count or any(f"generator.{n}" not in tensors for n in range(count)):
            raise ValueError("a picture is missing")
        return cls(
            None if any(one is None for one in objectives) else tuple(objectives),
            Recipe.from_json(json.dumps(header["recipe"])),
            tuple(seeds),
            None if header["asked_size"] is None else check_size(header["asked_size"]),
            header["side"],
            header["index"],
            header["steps"],
            {name: NUMBERS[name].check(value) for name, value in renamed_fields(header["overrides"]).items()},
            tensors,
        )

"""The state of a run: saved, and resumed later with the same pixels as without the interruption."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Generator, Tensor

from peek_widget._schema import nullable, pair, read_fields, read_json, sequence, whole
from peek_widget._size import Size, SizeLike
from peek_widget.ascent.contrast import BANDS
from peek_widget.ascent.knobs import NUMBERS
from peek_widget.ascent.objective import Objective
from peek_widget.ascent.old_names import renamed_fields, renamed_tensor
from peek_widget.ascent.param import Fourier, Image, Maco
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.recipe_rules import check_size
from peek_widget.ascent.record import Record
from peek_widget.ascent.serialization import check_objective, check_recipe
from peek_widget.ascent.update import Updater
from peek_widget.errors import PeekError

__all__ = ["State", "load_tensors", "tensors_of"]

_KIND = "peek_widget state 1"
_MOST_PICTURES = 100_000
_LONGEST_HEADER = 256 * 2**20


@dataclass(frozen=True)
class State:
    """Everything that makes up a run, except the model.

    Attributes:
        objectives: objective of each picture; None where a file could not contain one (a function, a style).
        recipe: recipe of the run, with the last change.
        seeds: seed of each picture.
        asked_size: the ``size=`` that the run was given, in pixels, or None.
        side: size of the pictures at present, in pixels: the side of a square, else (height, width).
        index: number of the next step, from 0.
        steps: number of steps of the whole run.
        overrides: numbers that override the recipe's.
        tensors: parameter, optimizer state, generator states and other tensors of the run, by name; on the CPU unless
            the run was asked to leave them where it is.
    """

    objectives: tuple[Objective, ...] | None
    recipe: Recipe
    seeds: tuple[int, ...]
    asked_size: SizeLike | None
    side: SizeLike
    index: int
    steps: int
    overrides: Mapping[str, float]
    tensors: Mapping[str, Tensor] = field(repr=False)

    def save(self, path: str | Path) -> None:
        """Write the state to a safetensors file with a JSON header, which :meth:`load` reads without executing code.

        Raises:
            PeekError: if it can't be written, or was loaded from a file that could not contain its objectives.
        """
        if self.objectives is None:
            raise PeekError(
                "This state has no objectives, because its file could not contain them: resume a run from it with "
                "objective=, and save that."
            )
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
        tensors = {name: value.cpu().contiguous() for name, value in self.tensors.items()}
        try:
            save_file(tensors, str(path), metadata={_KIND: json.dumps(header)})
        except SafetensorError as error:
            raise PeekError(f"The state can't be written to {str(path)!r}: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> State:
        """Read a state that :meth:`save` wrote, in this or an earlier version.

        Raises:
            PeekError: if it is another kind of file, damaged, or contains impossible values.
            FileNotFoundError: if there is no such file.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                text = (file.metadata() or {}).get(_KIND)
                tensors = {renamed_tensor(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (FileNotFoundError, PermissionError):
            raise
        except (SafetensorError, OSError) as error:
            raise PeekError(f"{str(path)!r} is not the state of an ascent, or it is damaged: {error}") from error
        if text is None:
            raise PeekError(f"{str(path)!r} is a safetensors file, but not the state of an ascent.")
        try:
            header = read_json(text, "The header", _LONGEST_HEADER)
            return cls._from_header(read_fields(header, _FIELDS, "The header"), tensors)
        except (ValueError, RecursionError) as error:
            raise PeekError(f"{str(path)!r} is a damaged state: {error}") from error

    @classmethod
    def _from_header(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> State:
        """Make the state; ValueError if there is not a seed, a parameter and a generator for each picture."""
        objectives, count = header.pop("objectives"), len(header["seeds"])
        if len(objectives) != count or "parameter" not in tensors:
            raise ValueError("it has no pictures, or not as many seeds as pictures")
        if len(tensors["parameter"]) != count or any(f"generator.{n}" not in tensors for n in range(count)):
            raise ValueError("a picture is missing")
        return cls(None if any(one is None for one in objectives) else objectives, **header, tensors=tensors)


def _overrides(name: str, value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a JSON object")
    checked = {}
    for knob, number in renamed_fields(value).items():
        if knob not in NUMBERS:
            raise ValueError(f"{name} has {knob!r}, which is not a number of a recipe")
        checked[knob] = NUMBERS[knob].check(number)
    return checked


_COUNT = whole(2**63 - 1)
_FIELDS = {
    "objectives": sequence(check_objective, _MOST_PICTURES, 1),
    "recipe": check_recipe,
    "seeds": sequence(_COUNT, _MOST_PICTURES, 1),
    "asked_size": nullable(lambda _, value: check_size(value)),
    "side": lambda name, value: pair(_COUNT)(name, value) if isinstance(value, list) else _COUNT(name, value),
    "index": _COUNT,
    "steps": _COUNT,
    "overrides": _overrides,
}


def tensors_of(
    image: Image,
    updater: Updater,
    record: Record,
    generators: Sequence[Tensor],
    spectrum: Tensor | None,
    on_host: bool = True,
) -> dict[str, Tensor]:
    """Return copies of all tensors of a run, by name.

    Args:
        image, updater, record, spectrum: the parts of the run.
        generators: state of each picture's generator.
        on_host: whether they are copied to the CPU.
    """
    tensors = {"parameter": image.parameter, **updater.tensors(), **record.tensors()}
    if spectrum is not None:
        tensors["spectrum"] = spectrum
    if isinstance(image, Maco):
        tensors["blurred"] = torch.tensor(image.blurred)
    if isinstance(image, Fourier) and image.initial_energies is not None:
        tensors["initial_energies"] = image.initial_energies
    for number, state in enumerate(generators):
        tensors[f"generator.{number}"] = state
    copies = {name: value.detach().clone() for name, value in tensors.items()}
    return {name: value.cpu() for name, value in copies.items()} if on_host else copies


def load_tensors(state: State, image: Image, updater: Updater, record: Record, generators: Sequence[Generator]) -> None:
    """Load the tensors of a state into a run that has its recipe and size already.

    Raises:
        PeekError: if the tensors do not fit such a run.
    """
    parameter = image.parameter
    # Copies, because a state may be resumed more than once.
    found = {name: value.to(parameter.device, copy=True) for name, value in state.tensors.items()}
    _check(found, state, parameter)
    with torch.no_grad():
        parameter.copy_(found["parameter"])
    updater.load(found)
    record.load(found)
    for number, generator in enumerate(generators):
        try:
            generator.set_state(found[f"generator.{number}"].cpu())
        except (KeyError, RuntimeError, TypeError) as error:
            raise PeekError(f"The state of picture {number}'s random draws is damaged: {error}") from error
    if isinstance(image, Maco):
        image.blur(float(found.get("blurred", 0.0)))
    if isinstance(image, Fourier):
        image.initial_energies = found.get("initial_energies")


def _check(found: Mapping[str, Tensor], state: State, parameter: Tensor) -> None:
    """Raise PeekError if a state's tensors do not have the names, shapes and values of a run with this parameter."""
    whole_shape = tuple(parameter.shape)
    count, channels = whole_shape[:2]
    shapes: dict[str, tuple[int, ...]] = {"parameter": whole_shape}
    if tuple(found["parameter"].shape) != whole_shape:
        raise PeekError(
            f"The state's pictures have shape {tuple(found['parameter'].shape)}, those of this run {whole_shape}: "
            "resume it with the same model, input_size= and preprocess= as that run."
        )
    if "first_grad_rms" in found:
        shapes["first_grad_rms"] = (count, 1, 1, 1)
    if "grad_rms_sum" in found or "grad_count" in found:
        shapes |= {"grad_rms_sum": (count, 1, 1, 1), "grad_count": ()}
    if "importance" in found:
        shapes["importance"] = (count, *Size.of(state.side))
    if "best_values" in found or "best_pictures" in found:
        shapes |= {"best_values": (count,), "best_pictures": (count, channels, *Size.of(state.side))}
    if "start" in found:
        shapes["start"] = (count, channels, *found["start"].shape[2:])
    if "blurred" in found:
        shapes["blurred"] = ()
    if "initial_energies" in found:
        shapes["initial_energies"] = (count, channels, BANDS + 1)
    if any(name.startswith("optimizer.") for name in found):
        shapes |= {"optimizer.step": (), "optimizer.exp_avg": whole_shape, "optimizer.exp_avg_sq": whole_shape}
        if state.recipe.optimizer == "nadam":
            shapes["optimizer.mu_product"] = ()
    for name, shape in shapes.items():
        value = found.get(name)
        good = value is not None and value.is_floating_point() and tuple(value.shape) == shape
        # Adam's scalars and squares and energies are never negative; no tensor is infinite.
        lowest = 0.0 if shape == () or name.endswith("_sq") or name == "initial_energies" else float("-inf")
        if not good or not bool((torch.isfinite(value) & (value >= lowest)).all()):
            raise PeekError(
                f"The state's tensor {name!r} is missing or has a shape or values that do not fit its recipe: the file "
                "is damaged or was edited. Load another copy, or start a new run."
            )
    known = {*shapes, "spectrum", *(f"generator.{number}" for number in range(count))}
    if unknown := sorted(set(found) - known):
        raise PeekError(
            f"The state has a tensor {unknown[0]!r} that a run with its recipe does not use: the file is damaged or "
            "was edited. Load another copy, or start a new run."
        )

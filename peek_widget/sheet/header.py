"""The header of a sheet: what the sheet shows, and the check that a picture belongs to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from peek_widget._schema import Check, choice, pair, text, whole
from peek_widget._size import SizeLike
from peek_widget._version import __version__
from peek_widget.ascent import Recipe, fingerprint, unit_objective
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.provenance import Drawing
from peek_widget.errors import FileError, PeekError, SheetStoreError
from peek_widget.network import Network
from peek_widget.sheet.batches import Kind
from peek_widget.sheet.seeds import unit_seed
from peek_widget.sheet.store import HEADER, Store
from peek_widget.sheet.unit import SheetUnit

__all__ = ["SheetHeader"]


def _size(name: str, value: Any) -> SizeLike:
    side = whole(2**20, 1)
    return pair(side)(name, value) if isinstance(value, list) else side(name, value)


def _written(size: SizeLike) -> int | list[int]:
    """Return a size as it is read back from JSON."""
    return size if isinstance(size, int) else list(size)


_CALL: dict[str, Check] = {
    "layer": text(1000),
    "seed": whole(2**63 - 1),
    "size": _size,
    "objective": choice(get_args(Kind)),
    "input_size": _size,
}

_INFORMATIVE = ("version", "model")
"""Fields that may differ between two calls that mean the same sheet."""


@dataclass(frozen=True, eq=False)
class SheetHeader:
    """Everything that decides how the pictures of a sheet look.

    Attributes:
        network: network that is drawn.
        layer: name of its layer.
        recipe: recipe of every picture.
        seed: seed of the sheet, from which each unit's own follows.
        size: size of the pictures in pixels: the side of a square, else (height, width).
        objective: ``"neuron"`` or ``"channel"``.
        model: class name of the model.
        fingerprint: fingerprint of the model's weights when the sheet was made.
    """

    network: Network
    layer: str
    recipe: Recipe
    seed: int
    size: SizeLike
    objective: Kind
    model: str
    fingerprint: str

    @classmethod
    def of(
        cls, network: Network, layer: str, recipe: Recipe, seed: int, size: SizeLike | None, objective: Kind
    ) -> SheetHeader:
        """Make the header of a sheet; reads all weights once, for their fingerprint."""
        last = Geometry(network, recipe, size, [unit_objective(network, layer, 0, objective)]).sizes[-1]
        model = type(network.model_copy.original).__name__
        return cls(network, layer, recipe, seed, last.plain, objective, model, fingerprint(network))

    @staticmethod
    def read_call(store: Store) -> dict[str, Any]:
        """Read the arguments of the call that a store was made with: layer, recipe, seed, size, objective, input_size.

        Raises:
            SheetStoreError: if the store holds no sheet.
        """
        header = store.header()
        try:
            checks = {name: check(name, header.get(name)) for name, check in _CALL.items()}
            return {**checks, "recipe": Recipe.from_json(json.dumps(header.get("recipe")))}
        except PeekError as error:
            raise SheetStoreError(f"{HEADER} in the store {store.address!r} can't be read: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the header as JSON's types."""
        preprocess = self.network.preprocess
        return {
            "kind": "contact sheet",
            "model": self.model,
            "fingerprint": self.fingerprint,
            "layer": self.layer,
            "channels": self.network.layer(self.layer).channels,
            "objective": self.objective,
            "recipe": json.loads(self.recipe.to_json()),
            "seed": self.seed,
            "size": _written(self.size),
            "input_size": _written(self.network.input_size),
            "preprocess": {
                "mean": list(preprocess.mean),
                "std": list(preprocess.std),
                "scale": preprocess.scale,
                "channels": preprocess.channels,
                "function": preprocess.function is not None,
            },
            "version": __version__,
        }

    def difference(self, theirs: Mapping[str, Any]) -> str | None:
        """Describe how the header of a store differs from this one, as part of a sentence; None where it does not."""
        for name, ours in self.to_dict().items():
            other = theirs.get(name)
            if name == "recipe":
                other = _current_recipe(other)
            if other == ours or name in _INFORMATIVE:
                continue
            if name == "fingerprint":
                return f"it was drawn from another model or other weights (fingerprint {other}, this one has {ours})"
            if name == "recipe" and isinstance(other, Mapping):
                return _recipe_difference(other, ours)
            return f"its {name.replace('_', ' ')} is {other!r}, and this call's is {ours!r}"
        return None

    def check(self, unit: SheetUnit, drawing: Drawing, name: str) -> None:
        """Check that a picture belongs to this sheet and is under its own unit's name.

        Args:
            unit: picture, as read from its PNG.
            drawing: what that PNG says it was drawn from.
            name: name of its file, or of the journal that it was found in.

        Raises:
            FileError: if it is of another sheet, with what differs.
        """
        for right, words in (
            (name.endswith((f"unit-{unit.unit:05d}.png", ".zip")), f"unit {unit.unit}, under another's name"),
            (drawing.fingerprint == self.fingerprint, f"a model with the fingerprint {drawing.fingerprint}"),
            (drawing.objective == unit_objective(self.network, self.layer, unit.unit, self.objective), drawing.words),
            (drawing.recipe == self.recipe, f"another recipe ({drawing.recipe.name!r})"),
            (drawing.seed == unit_seed(self.seed, self.layer, unit.unit), f"the seed {drawing.seed}"),
            (drawing.size == self.size, f"a picture of {drawing.size} px"),
            (not unit.draft, "a draft"),
        ):
            if not right:
                raise FileError(f"{name} is of another sheet: {words}.")


def _current_recipe(written: Any) -> Any:
    """Return a recipe's JSON under its current field names; what can't be read is returned unchanged."""
    try:
        return json.loads(Recipe.from_json(json.dumps(written)).to_json())
    except (ValueError, TypeError):  # PeekError is a ValueError
        return written


def _recipe_difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    fields = [f for f in ours if theirs.get(f) != ours[f]] or [f for f in theirs if f not in ours]
    there, here = theirs.get("name"), ours.get("name")
    if there != here:
        return f"its recipe is {there!r}, and this call's is {here!r}"
    values = ", ".join(f"{f}={theirs.get(f)!r} and not {ours.get(f)!r}" for f in fields[:3] if f != "name")
    return f"its recipe is {there!r} with {values}"

"""Exports from an explorer: its picture with its recipe, an animation, a line of Python."""

from __future__ import annotations

import base64
import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from peek_widget._encode import png_bytes
from peek_widget._size import Size
from peek_widget.ascent import Drawing, Objective, Recipe, fingerprint, to_pil
from peek_widget.ascent.evaluate import always_alone
from peek_widget.ascent.fold_overrides import fold_overrides
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.provenance import encode as as_png
from peek_widget.ascent.provenance import save as save_picture
from peek_widget.errors import PeekError
from peek_widget.live.comparison_service import LiveComparison
from peek_widget.live.controls import CONTROLS, Controls
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.model_source import ModelSource
from peek_widget.live.snapshot import Snapshot, Target
from peek_widget.network import Network

__all__ = ["Exporter", "code", "drawing_of", "file_name", "recipe_code"]

log: logging.Logger = logging.getLogger("peek_widget")


class Exporter:
    """An exporter of the newest picture of a run.

    Args:
        source: the model that the picture was drawn from.

    Attributes:
        snapshot: the newest picture and how it was made; None before the first one.
        picture: the newest picture as a PIL image.
    """

    def __init__(self, source: ModelSource) -> None:
        self._source = source
        self.snapshot: Snapshot | None = None
        self.picture: Image.Image | None = None

    @property
    def images_by_seed(self) -> dict[int, Image.Image]:
        """The newest pictures of all seeds drawn at once; see `UnitExplorer.images_by_seed`."""
        if self.snapshot is None:
            return {}
        visible = self._source.network.preprocess.visible
        return {seed: to_pil(visible(image)) for seed, image in self.snapshot.images_by_seed.items()}

    def show_picture(self, snapshot: Snapshot, picture: Image.Image) -> None:
        """Take the newest picture."""
        self.snapshot, self.picture = snapshot, picture

    def save(self, path: str | Path) -> None:
        """Write the picture; see `UnitExplorer.save`."""
        image, drawing, note = self._drawing()
        save_picture(path, image, drawing)
        if note:
            log.warning("%s: %s", path, note)

    def display(self) -> None:
        """Leave the picture in the output of the running cell; see `UnitExplorer.snapshot`."""
        from IPython.display import display

        image, drawing, note = self._drawing()
        if note:
            log.warning("%s", note)
        words = self.caption()
        height, width = map(int, image.shape[-2:])
        display(
            {"image/png": base64.b64encode(as_png(image, drawing)).decode(), "text/plain": words},
            metadata={"image/png": {"alt": words, "width": width, "height": height}},
            raw=True,
        )

    def caption(self) -> str:
        """Describe the picture in a sentence."""
        snapshot = self._newest()
        what = snapshot.target.describe()
        return (
            f"{what[:1].upper()}{what[1:]}, {type(self._source.model).__name__}: {snapshot.recipe.name}, "
            f"seed {snapshot.target.seed}, after {snapshot.step} steps."
        )

    def send(
        self, what: str, front_end: FrontEnd, *, comparison: LiveComparison | None, code: Callable[[], str]
    ) -> None:
        """Send the page what it asked for, to be saved or copied.

        Args:
            what: "picture", "figure" or "code".
            front_end: the page.
            comparison: the comparison whose figure it is.
            code: returns the line of Python.
        """
        content = {"kind": "saved", "what": what, "name": "", "text": "", "note": "", "problem": ""}
        buffers = []
        try:
            match what:
                case "picture":
                    image, drawing, content["note"] = self._drawing()
                    content["name"] = file_name(self._newest(), ".png")
                    buffers = [as_png(image, drawing)]
                case "figure":
                    if comparison is None:
                        raise PeekError("There is no comparison to save: begin one first.")
                    content["name"] = "comparison.png"
                    buffers = [png_bytes(comparison.figure())]
                case "code":
                    content["text"] = code()
        except PeekError as error:
            content["problem"] = str(error)
        front_end.send(content, buffers)

    def _newest(self) -> Snapshot:
        if self.snapshot is None:
            raise PeekError("There is no picture yet: wait for one, with explorer.wait() say, and then save it.")
        return self.snapshot

    def _drawing(self) -> tuple[torch.Tensor, Drawing, str]:
        snapshot = self._newest()
        objective = self._source.objective(snapshot.target)
        image, network = snapshot.image, self._source.network
        drawing, note = drawing_of(snapshot, network, objective)
        return network.preprocess.visible(image), drawing, note


def drawing_of(snapshot: Snapshot, network: Network, objective: Objective) -> tuple[Drawing, str]:
    """Return how a picture was drawn, such that drawing it again gives the same picture.

    Overrides are folded into the recipe, and a run that was left early or prolonged becomes a recipe of
    that length.

    Returns:
        the drawing, and a sentence on what it can't reproduce of the picture; "" if it reproduces all of it.
    """
    target, recipe = snapshot.target, snapshot.recipe
    sides = [max(size) for size in Geometry(network, recipe, target.size, [objective]).sizes]
    written, lost = fold_overrides(recipe, snapshot.step, snapshot.overrides, sides)
    if snapshot.edited:
        lost.append("a setting was changed while it drew, and only the last values are kept")
    if target.start is not None:
        lost.append(f"it was begun from {target.start.name}, which is not kept")
    if len(snapshot.seeds) > 1 and not _as_alone(network, recipe, target, objective):
        lost.append(f"it was drawn with {len(snapshot.seeds) - 1} other seeds at once, and alone rounding differs")
    drawing = Drawing(objective, written, target.seed, Size(*snapshot.image.shape[-2:]).plain, fingerprint(network))
    return drawing, f"Its recipe draws a somewhat different picture: {'; '.join(lost)}." if lost else ""


def _as_alone(network: Network, recipe: Recipe, target: Target, objective: Objective) -> bool:
    """Return whether a picture that was drawn with others is bit-equal to the one that is drawn alone."""
    view = Geometry(network, recipe, target.size, [objective]).view(objective)
    return not objective.depends_on_batch and always_alone(view, network.model_copy.device)


def file_name(snapshot: Snapshot, ending: str) -> str:
    """Return a file name of characters that every system accepts: `features.12-unit-10-peek-seed-0.png`."""
    target = snapshot.target
    words = f"{target.layer or 'output'}-unit-{target.unit}-{snapshot.recipe.name}-seed-{target.seed}"
    return f"{re.sub(r'[^A-Za-z0-9._=-]+', '_', words).strip('._')[:120] or 'picture'}{ending}"


def code(model: Any, controls: Controls, given: Mapping[str, Any], default_objective: str) -> str:
    """Return the Python call that makes an explorer with these controls; defaults are left out.

    Args:
        model: the model as it was given: None for the bundled network, a name, or a module, written as `model`.
        controls: the controls.
        given: further arguments that were given; one that can't be written as a literal is written as its name.
        default_objective: the default objective of the layer's units.
    """
    arguments = [] if model is None else [repr(model) if isinstance(model, str) else "model"]
    arguments += [f"{name}={_literal(name, value)}" for name, value in given.items() if value is not None]
    for field in dataclasses.fields(controls):
        control, value = CONTROLS[field.name], getattr(controls, field.name)
        default = default_objective if field.name == "objective" else field.default
        # the default layer depends on the model, so the layer is always written
        if control.stored and control.in_code and (field.name == "layer" or value != default):
            arguments.append(f"{field.name}={_literal(field.name, value)}")
    return f"UnitExplorer({', '.join(arguments)})"


def _literal(name: str, value: Any) -> str:
    if isinstance(value, Recipe):
        return recipe_code(value)
    if isinstance(value, Path):
        return repr(str(value))
    return repr(value) if isinstance(value, str | int | float | tuple) else name


def recipe_code(recipe: Recipe) -> str:
    """Return a recipe in Python: a preset and the differences from it, or the differences from a plain `Recipe()`."""
    base, called = Recipe(), "Recipe("
    if recipe.name in Recipe.presets():
        base = Recipe.preset(recipe.name)
        called = f"Recipe.preset({recipe.name!r})"
        if recipe == base:
            return called
        called += ".replace("
    differing = {name: value for name, value in vars(recipe).items() if value != getattr(base, name)}
    return f"{called}{', '.join(f'{name}={value!r}' for name, value in differing.items())})"

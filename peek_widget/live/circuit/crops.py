"""Dataset examples of the units of a circuit, for the page; if a layer has no examples, a search can be started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peek_widget.errors import PeekError
from peek_widget.live import protocol
from peek_widget.live.examples import thumbnails
from peek_widget.live.examples.service import ExampleService
from peek_widget.live.front_end import FrontEnd

__all__ = ["UnitCrops"]

CROPS = 6
"""Number of crops shown of the unit under the pointer."""


class UnitCrops:
    """A sender of crops of the unit under the pointer, updated as more real images are processed; for one thread.

    Args:
        front_end: sends messages to the page.
        examples: the dataset examples; None without a dataset.
    """

    def __init__(self, front_end: FrontEnd, examples: ExampleService | None) -> None:
        self._front_end, self._examples = front_end, examples
        self._unit: tuple[str, int] | None = None
        self._sought: list[str] = []
        self._sent: tuple[Any, ...] = ()

    @property
    def grows(self) -> bool:
        """Whether images are being processed for the crops that were sent last."""
        return self._unit is not None and self._unit[0] in self._sought

    def show(self, layer: str, unit: int, find: bool) -> None:
        """Send the crops of a unit and, with `find`, look for crops of its layer."""
        self._unit = layer, unit
        if find and self._examples is not None:
            self._sought = [*(one for one in self._sought if one != layer), layer]
            self._examples.find_crops(self._sought)
        self._send()

    def forget(self) -> None:
        """Stop updates and searches, because another circuit is shown, or none."""
        self._unit = None
        if self._sought and self._examples is not None:
            self._examples.find_crops(())
        self._sought = []

    def look(self) -> None:
        """Send the crops again when the images have doubled in number or are complete."""
        if self._unit is not None and self.grows and self._state() != self._sent:
            self._send()

    def _state(self) -> tuple[Any, ...]:
        layer, _ = self._unit or ("", 0)
        if self._examples is None:
            return ()
        found = self._examples.layer_evidence(layer)
        images = 0 if found is None else found.images
        over = not self._examples.finds(layer)
        if over:
            self._sought = [one for one in self._sought if one != layer]
        return layer, images.bit_length(), over

    def _send(self) -> None:
        assert self._unit is not None
        layer, unit = self._unit
        self._sent = self._state()
        rows, buffers, problem, can_find = self._found(layer, unit)
        message = {"kind": protocol.CircuitCrops.kind, "layer": layer, "unit": unit, "crops": rows}
        self._front_end.send({**message, "problem": problem, "can_find": can_find}, buffers)

    def _found(self, layer: str, unit: int) -> tuple[list[dict[str, Any]], Sequence[bytes], str, bool]:
        """Return the rows of a unit's crops and their JPEGs, or a sentence, and whether crops can be looked for."""
        examples = self._examples
        if examples is None:
            return [], [], "There are no real images.", False
        found, name = examples.layer_evidence(layer), layer or "the output"
        if found is None or not found.images:
            if not examples.can_scan:
                return [], [], f"No crops of {name}: the evidence that was given has none, and no images.", False
            if examples.finds(layer):
                return [], [], f"Looking at real images for {name} ...", False
            problem = examples.problem_of(layer)
            said = (
                f"No crops of {name} yet: images are looked at for a layer while it is shown, or when they are wanted."
            )
            return [], [], problem or said, True
        if unit >= len(found):
            return [], [], "", False
        rows, buffers = [], []
        try:
            for crop in found[unit].top[:CROPS]:
                box = crop.box if crop.box_known and not crop.wide else None
                buffers.append(thumbnails.thumbnail(crop, box))
                rows.append({"activation": crop.activation, "label": crop.label_name or ""})
        except PeekError as error:
            return rows, buffers, str(error), False
        return rows, buffers, "", False

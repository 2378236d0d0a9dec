"""The work on one unit's circuit, in small pieces, with intermediate results for the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peek_widget._encode import png_bytes
from peek_widget.ascent import Ascent
from peek_widget.circuits import Circuit, CircuitInput, CircuitOutput
from peek_widget.circuits.feeding import feeds_step_by_step
from peek_widget.circuits.kernels import filter_images
from peek_widget.circuits.reads import check_layer
from peek_widget.circuits.shown import Examples, Shown, still
from peek_widget.circuits.trace import PROVISIONAL, Asked, traced
from peek_widget.errors import PeekError
from peek_widget.live import protocol
from peek_widget.live.unit_drawings import RECIPE, UnitDrawings
from peek_widget.network import OUTPUT, Network

__all__ = ["Basis", "CircuitWork", "as_text"]

K = 9
"""Number of crops that a circuit is computed on."""

EACH = 8
"""Number of exciting units, and of inhibiting units, that are shown."""

MEASURED = 12
"""Number of positive contributions, and of negative ones, whose effect is measured."""

TARGETS = 6
"""Number of units of the next layers, and of classes, that are shown."""

NO_IMAGES = (
    "There are no real images: it is computed on its drawn picture alone, which is a picture of what excites it and no "
    "photo. UnitExplorer(model, dataset=...) gives it crops."
)

OUTDATED = (
    "The model's weights have changed: this is the circuit with the earlier ones. It is found again once they are at "
    "rest."
)

CHANGING = "The model's weights are changing: the circuit is found once they are at rest."

Send = Callable[[Mapping[str, Any], Sequence[bytes]], None]


@dataclass(frozen=True)
class Basis:
    """The real images that a circuit is computed on.

    Attributes:
        examples: dataset examples of the unit's layer; None if there are none.
        among: number of images that they come from, as part of a sentence; "" if all images were processed.
        remarks: remarks on them.
    """

    examples: Examples | None = None
    among: str = ""
    remarks: tuple[str, ...] = ()


class CircuitWork:
    """The known part of a unit's circuit, and the work that is left.

    Args:
        network: the model, for this thread.
        layer, unit: the unit.
        basis: the real images.
        drawings: pictures of units.
        class_names: names of the output's units; empty for none.
        send: sends a message to the page.

    Attributes:
        circuit: the circuit, as far as it is known.
        drawing: whether only pictures are still to be drawn.
        outdated: whether the weights have changed since, as reported to the page.
    """

    def __init__(
        self,
        network: Network,
        layer: str,
        unit: int,
        basis: Basis,
        drawings: UnitDrawings,
        class_names: Sequence[str],
        send: Send,
    ) -> None:
        self.network: Network = network
        self.layer: str = layer
        self.unit: int = unit
        self.basis: Basis = basis
        self._drawings, self._class_names, self._send_message = drawings, class_names, send
        self.circuit: Circuit | None = None
        self.drawing: bool = False
        self.outdated: bool = False
        self._state, self._problem, self._text = "reading", "", ""
        self._measured = False
        self._outputs: list[CircuitOutput] = []
        self._said: list[str] = list(basis.remarks)
        self._filter: bytes | None = None
        self._kernels: dict[tuple[str, int], bytes] = {}
        self._pictures: dict[tuple[str, int], tuple[bytes | None, bool, str]] = {}
        # drawings that continue later, when the numbers are known
        self._begun: dict[tuple[str, int], Iterator[tuple[Ascent, bytes | None]]] = {}

    def say_waiting(self) -> None:
        """Report that the work waits for the first real images."""
        self._say("reading", "Waiting for the first real images ...")

    def say_outdated(self) -> None:
        """Report that the weights have changed since."""
        self.outdated = True
        self._say("reading", CHANGING if self.circuit is None else OUTDATED)

    def pieces(self, again: bool = False) -> Iterator[None]:
        """Do the work one piece at a time, and send the results after each piece that has any.

        Args:
            again: whether the page has an earlier circuit of the unit, which stays until there are new results.
        """
        if not again:
            self._say("reading", "Finding what it reads ...")
        yield
        try:
            check_layer(self.network, self.layer)
            examples = self.basis.examples
            shown = examples and examples.of(self.network, self.layer, self.unit, K)
            if not shown:
                self._said.append(NO_IMAGES)
                yield from self._draw_itself()
                picture = self._drawings.tensor(self.layer, self.unit)
                assert picture is not None
                shown = still(self.network, self.layer, self.unit, picture, RECIPE)
            yield from self._measure(shown)
            yield from self._sketch(self._units())
            yield from self._look_up(shown)
        except PeekError as error:
            # the unit has no circuit, and the error says why
            self._say("none", "", str(error))
            return
        yield from self._draw_others()
        self.drawing = False
        self._say("done", self._summary())

    # -- the pieces of work

    def _draw_itself(self) -> Iterator[None]:
        if self._drawings.tensor(self.layer, self.unit) is not None:
            return
        self._say("reading", "Drawing the unit's picture, on which its circuit is computed ...")
        for _ in self._drawings.draw(self.network, self.layer, self.unit):
            yield

    def _measure(self, shown: Shown) -> Iterator[None]:
        asked = Asked(self.layer, self.unit, shown, self.basis.examples, effects=MEASURED)
        for found in traced(self.network, asked):
            if found is None:
                yield
                continue
            self.circuit = found
            count = min(len(found.inputs), 2 * MEASURED)
            done = sum(not math.isnan(one.effect) for one in found.inputs)
            self._measured = done >= count
            if not found.inputs:
                self._find_filter()
            if PROVISIONAL in found.remarks:
                self._say("measuring", f"{self._on(shown)} {PROVISIONAL}")
            else:
                self._say("measuring", f"{self._on(shown)} Effects measured: {done} of {count}.")
            self._send_known_pictures()
            yield
            # draw the first pictures between the numbers
            yield from self._sketch([key for key in self._units() if key not in self._pictures][:1])

    def _find_filter(self) -> None:
        try:
            self._filter = png_bytes(filter_images(self.network, self.layer, [self.unit])[0])
        except PeekError:
            self._filter = None  # it reads nothing at all, as the remarks say

    def _look_up(self, shown: Shown) -> Iterator[None]:
        self._say("measuring", f"{self._on(shown)} Measuring whom it feeds ...")
        yield
        try:
            self._outputs = yield from feeds_step_by_step(
                self.network, self.layer, self.unit, shown, self.basis.examples, TARGETS
            )
        except PeekError as error:
            self._said.append(str(error))
        self._say("measuring", self._summary())
        self._send_known_pictures()
        yield

    def _sketch(self, units: Sequence[tuple[str, int]]) -> Iterator[None]:
        """Draw units until each has something to show; they are continued later."""
        for key in units:
            if key not in self._pictures:
                self._begun[key] = self._drawings.draw(self.network, *key)
                yield from self._draw_on(*key, until_shown=True)

    def _draw_others(self) -> Iterator[None]:
        self.drawing = True
        units = self._units()
        for number, key in enumerate(units):
            if key in self._pictures and key not in self._begun:
                continue
            self._say("drawing", f"{self._summary()} Drawing pictures: {number} of {len(units)}.")
            if key not in self._begun:
                self._begun[key] = self._drawings.draw(self.network, *key)
            yield from self._draw_on(*key)

    def _draw_on(self, layer: str, unit: int, until_shown: bool = False) -> Iterator[None]:
        try:
            for ascent, picture in self._begun[layer, unit]:
                if picture is not None:
                    self._send_picture(layer, unit, picture, draft=not ascent.done)
                    if until_shown and not ascent.done:
                        yield
                        return
                yield
        except PeekError as error:
            self._send_picture(layer, unit, None, problem=str(error))
        self._begun.pop((layer, unit), None)

    # -- to the page

    def send_all(self) -> None:
        """Send everything to a page that has nothing yet."""
        self._send()
        for (layer, unit), (picture, draft, problem) in self._pictures.items():
            self._send_picture(layer, unit, picture, draft=draft, problem=problem)

    def _on(self, shown: Shown) -> str:
        known = "" if self.circuit is None else f" (activation {as_text(self.circuit.activation)})"
        return f"On {shown.kind}{self.basis.among}{known}."

    def _summary(self) -> str:
        assert self.circuit is not None
        text = self._on(self.circuit.shown)
        if math.isfinite(self.circuit.correlation):
            text += f" Rank correlation of contribution and effect: {self.circuit.correlation:.2f}."
        return text

    def rows(self) -> list[CircuitInput]:
        """Return the inputs to show: those that excite, strongest first, then those that inhibit."""
        if self.circuit is None:
            return []
        inputs = self.circuit.inputs
        if self._measured:
            known = sorted((one for one in inputs if not math.isnan(one.effect)), key=lambda one: -one.effect)
            excite, inhibit = [one for one in known if one.effect > 0], [one for one in known if one.effect < 0]
        else:
            excite, inhibit = (
                [one for one in inputs if one.contribution > 0],
                [one for one in inputs if one.contribution < 0],
            )
        return [*excite[:EACH], *inhibit[: -EACH - 1 : -1]]

    def _units(self) -> list[tuple[str, int]]:
        """Return the units whose pictures are shown, in drawing order: the strongest first."""
        rows = sorted(self.rows(), key=lambda one: -abs(one.effect if self._measured else one.contribution))
        return list(dict.fromkeys((one.layer, one.unit) for one in [*rows, *self._outputs]))

    def _say(self, state: str, text: str, problem: str = "") -> None:
        self._state, self._text, self._problem = state, text, problem
        self._send()

    def _send(self) -> None:
        found, rows = self.circuit, self.rows()
        remarks = () if found is None else found.remarks
        buffers = []
        for one in rows:
            assert found is not None
            key = one.layer, one.unit
            if key not in self._kernels:
                self._kernels[key] = png_bytes(found.kernel_image(*key, 24))
            buffers.append(self._kernels[key])
        if self._filter is not None:
            buffers.append(self._filter)
        message = {
            "kind": protocol.CircuitSeen.kind,
            "layer": self.layer,
            "unit": self.unit,
            "state": self._state,
            "problem": self._problem,
            "text": self._text,
            "remarks": [one for one in dict.fromkeys([*self._said, *remarks]) if one != PROVISIONAL],
            "inputs": [
                {
                    "layer": one.layer,
                    "unit": one.unit,
                    "weight": one.weight,
                    "contribution": one.contribution,
                    "effect": _number(one.effect),
                }
                for one in rows
            ],
            "outputs": [
                {
                    "layer": one.layer,
                    "unit": one.unit,
                    "name": self._name(one),
                    "effect": one.effect,
                    "guess": _number(one.guess),
                }
                for one in self._outputs
            ],
            "filter": self._filter is not None,
        }
        self._send_message(message, buffers)

    def _name(self, one: CircuitOutput) -> str:
        known = one.layer == OUTPUT and one.unit < len(self._class_names)
        return str(self._class_names[one.unit]) if known else one.name

    def _send_known_pictures(self) -> None:
        for layer, unit in self._units():
            known = (layer, unit) in self._pictures and (layer, unit) not in self._begun
            found = None if known else self._drawings.find(layer, unit)
            if found is not None:
                self._begun.pop((layer, unit), None)
                self._send_picture(layer, unit, found)

    def _send_picture(
        self, layer: str, unit: int, picture: bytes | None, *, draft: bool = False, problem: str = ""
    ) -> None:
        self._pictures[layer, unit] = picture, draft, problem
        message = {"kind": protocol.CircuitPicture.kind, "layer": layer, "unit": unit}
        self._send_message({**message, "draft": draft, "problem": problem}, [] if picture is None else [picture])


def as_text(value: float) -> str:
    """Return a number as part of a sentence: with three digits, or as an integer if it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.3g}"


def _number(value: float) -> float | None:
    """Return a number for the page; None if it is not finite."""
    return value if math.isfinite(value) else None

"""Draws the unit shown as it is, and with one of its inputs held."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from peek_widget.ascent import Ascent, unit_objective
from peek_widget.ascent.still import StillActivation
from peek_widget.circuits import Circuit
from peek_widget.circuits.held import held_at_median
from peek_widget.errors import PeekError
from peek_widget.live import protocol
from peek_widget.live.circuit.work import CircuitWork, as_text
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.unit_drawings import RECIPE, small_jpeg

__all__ = ["Without"]

log: logging.Logger = logging.getLogger("peek_widget")

_SHOWN_EVERY = 3  # number of steps between two updates of the pictures


class Without:
    """A drawing of the unit as it is and with one input held at its median, one step of both at a time; for one thread.

    Args:
        front_end: sends messages to the page.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        self._held: tuple[str, int] | None = None
        self._run: Iterator[None] | None = None

    @property
    def running(self) -> bool:
        """Whether there is a drawing to continue."""
        return self._run is not None

    def begin(self, work: CircuitWork | None, layer: str, unit: int) -> None:
        """Draw the unit of a circuit with an input held, in place of the last drawing."""
        self._held, self._run = (layer, unit), self._draw(work, layer, unit)

    def stop(self) -> None:
        """End the drawing, and remove it from the page."""
        if self._held is not None:
            self._held = self._run = None
            self._say("", "")

    def step(self) -> None:
        """Make a step, if there are any left."""
        if self._run is not None and next(self._run, self) is self:
            self._run = None

    def _draw(self, work: CircuitWork | None, layer: str, unit: int) -> Iterator[None]:
        if work is None or work.circuit is None:
            return
        try:
            yield from self._draw_both(work, work.circuit, layer, unit)
        except PeekError as error:
            self._say("error", "", problem=str(error))
        except Exception as error:
            # the circuit itself is unaffected
            log.error("Drawing without an input failed: %s", error, exc_info=error)
            self._say("error", "", problem=f"{type(error).__name__}: {error}")

    def _draw_both(self, work: CircuitWork, circuit: Circuit, layer: str, unit: int) -> Iterator[None]:
        network, objective = work.network, unit_objective(work.network, work.layer, work.unit)
        self._say("drawing", f"Preparing the network without unit {unit} of {layer} ...")
        yield
        held = held_at_median(network, layer, unit, work.basis.examples, circuit.shown)
        yield
        runs = [Ascent(one, objective, RECIPE) for one in (network, held)]
        for _ in zip(*runs, strict=True):
            step, steps = runs[0].index, runs[0].steps
            if step % _SHOWN_EVERY == 0 and step < steps:
                pictures = [small_jpeg(network, one.preview()[0]) for one in runs]
                self._say("drawing", f"Step {step} of {steps}.", pictures)
            yield
        finished = [one.best[0] for one in runs]
        values = [
            StillActivation(one, objective, runs[0].recipe)(picture)
            for one, picture in zip((network, held), finished, strict=True)
        ]
        text = (
            f"Left: as it is, activation {as_text(values[0])}. Right: with unit {unit} of {layer} held at its median, "
            f"{as_text(values[1])}."
        )
        self._say("done", text, [small_jpeg(network, one) for one in finished])

    def _say(self, state: str, text: str, pictures: Sequence[bytes] = (), problem: str = "") -> None:
        layer, unit = self._held or ("", 0)
        message: Mapping[str, Any] = {"kind": protocol.CircuitWithout.kind, "layer": layer, "unit": unit}
        self._front_end.send({**message, "state": state, "text": text, "problem": problem}, pictures)

"""The thread that finds out why the unit shown fires: what feeds it, whom it feeds, and their pictures.

It works while the panel is open and somebody sees it, in pieces of a part of a second, between which it looks into its
mailbox: another unit ends all work on the last one. Numbers come first; pictures yield to the main run.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peek_widget._threads import set_threads
from peek_widget.ascent import Ascent, unit_objective
from peek_widget.ascent.still import StillActivation
from peek_widget.circuits import Circuit
from peek_widget.circuits.held import held_at_median
from peek_widget.circuits.shown import Examples, examples_of
from peek_widget.errors import PeekError
from peek_widget.evidence import LayerEvidence
from peek_widget.live import protocol
from peek_widget.live.circuit.work import CircuitWork
from peek_widget.live.examples import thumbnails
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.replica import Replica
from peek_widget.live.service import Service
from peek_widget.live.unit_drawings import RECIPE, Sheets, UnitDrawings, small_jpeg
from peek_widget.network import Network
from peek_widget.network.precision import Precision

__all__ = ["CircuitService"]

log: logging.Logger = logging.getLogger("peek_widget")

INTERVAL = 0.5
"""Seconds between two looks at whether the page is visible, and at how far the pass over the dataset is."""

PATIENCE = 3.0
"""Seconds that it waits for a pass that has just begun, before it takes the drawn picture."""

ENOUGH = 32
"""Number of images of which crops are used before the pass is over."""

IMAGES = 32
"""Number of images that medians and deviations are taken over: they have to be there within a second or two."""

CROPS = 6
"""Number of crops of a unit under the pointer."""

_SHOWN_EVERY = 3  # steps, of the pictures with and without an input


@dataclass
class _Requests:
    """What the thread is asked for.

    Attributes:
        open: the panel was opened or closed.
        unit: layer and number of the unit shown.
        crops: a unit whose crops are to be sent.
        without: an input that is to be held while the unit is drawn; None in a tuple to stop.
        resend: a page has come that has nothing yet.
        look: something may have changed for this service.
    """

    open: bool | None = None
    unit: tuple[str, int] | None = None
    crops: tuple[str, int] | None = None
    without: tuple[tuple[str, int] | None] | None = None
    resend: bool = False
    look: bool = False


class CircuitService(Service[_Requests]):
    """The circuit of the unit that an explorer shows. Its thread is started when the panel is opened.

    Args:
        unit: layer and number of the unit shown.
        front_end: sends messages to the page, from this thread.
        network: returns the explorer's network as it is now read.
        evidence: returns what is known of a layer from real images; None before there is anything.
        complete: the same once every image was looked at; None before. None in place of both: there is no dataset.
        sheets: returns what contact sheets have of a unit.
        watched: returns whether a visible page shows the explorer.
        drawing: returns whether the main run draws, to which pictures then yield.
        class_names: names of the output's units; empty for none.
        precision: what the network computes in where it draws, see `peek_widget.ascent.AscentOptions`.
        clock: returns seconds, monotonic.
    """

    def __init__(
        self,
        unit: tuple[str, int],
        *,
        front_end: FrontEnd,
        network: Callable[[], Network],
        evidence: Callable[[str], LayerEvidence | None] | None,
        complete: Callable[[str], LayerEvidence | None] | None,
        sheets: Sheets,
        watched: Callable[[], bool],
        drawing: Callable[[], bool],
        class_names: Sequence[str],
        precision: Precision = "float32",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("peek_widget.circuit", _Requests, clock=clock)
        self._front_end, self._evidence, self._complete = front_end, evidence, complete
        self._watched, self._main_run_draws, self._class_names = watched, drawing, class_names
        self._replica = Replica(network)
        self._unit = unit

        # from here on: used by the service's own thread only
        self._drawings = UnitDrawings(sheets, precision)
        self._open = False
        self._job: CircuitWork | None = None
        self._basis = 0
        self._pieces: Iterator[None] | None = None
        self._without: Iterator[None] | None = None
        self._held: tuple[str, int] | None = None
        self._outdated = True
        self._since = -math.inf
        self._rest_until = -math.inf

    # -- requests, from any thread

    @property
    def circuit(self) -> Circuit | None:
        """The circuit as far as it is known; None before, and where the panel was never open."""
        work = self._job
        return None if work is None or (work.layer, work.unit) != self._unit else work.circuit

    def show_unit(self, layer: str, unit: int) -> None:
        """Find the circuit of another unit."""
        self._unit = (layer, unit)
        self.post(start=False, unit=(layer, unit))

    def set_open(self, on: bool) -> None:
        """Note that the panel was opened or closed."""
        self.post(start=on, open=on)

    def send_crops(self, message: protocol.GetCircuitCrops) -> None:
        """Send the page dataset examples of a unit."""
        self.post(start=False, crops=(message.layer, message.unit))

    def hold(self, message: protocol.SetCircuitWithout) -> None:
        """Draw the unit with an input held at its median, or stop."""
        self.post(start=False, without=((message.layer, message.unit) if message.on else None,))

    def resend(self) -> None:
        """Send everything to a page that has nothing yet."""
        self.post(start=False, resend=True)

    def wake(self) -> None:
        """Let the thread look whether there is something to do, because a page is visible again, say."""
        self.post(start=False, look=True)

    # -- the thread

    def enter(self) -> None:
        """Compute on one CPU thread."""
        set_threads(1)

    def fail(self, error: BaseException) -> None:
        """Show the reader what went wrong; the explorer goes on drawing."""
        self._pieces = self._without = None
        if not isinstance(error, PeekError):
            log.error("Finding the circuit failed: %s", error, exc_info=error)
        problem = str(error) if isinstance(error, PeekError) else f"{type(error).__name__}: {error}"
        layer, unit = self._unit
        empty = {"text": "", "remarks": [], "activation": None, "inputs": [], "outputs": [], "filter": False}
        message = {"kind": protocol.CircuitSeen.kind, "layer": layer, "unit": unit, "state": "error"}
        self._front_end.send({**message, "problem": problem, **empty})

    def wait_time(self) -> float | None:
        """Wait for the end of a rest, for more images, or to see whether the page is visible."""
        if not self._open:
            return None
        if not self._watched():
            return INTERVAL
        if self._pieces is not None or self._without is not None:
            # in short pieces: the rest is over as soon as the main run stands still
            return min(0.1, max(0.0, self._rest_until - self._clock())) if self._main_run_draws() else 0.0
        return INTERVAL if self._outdated or (self._evidence is not None and self._basis < 2) else None

    def handle(self, requests: _Requests) -> None:
        """Take the requests, and do one piece of work."""
        self._take(requests)
        if not self._open or not self._watched():
            return
        if self._outdated or self._more_images():
            self._begin()
        if requests.crops is not None:
            self._send_crops(*requests.crops)
        now = self._clock()
        if now < self._rest_until and self._main_run_draws():
            return
        if self._without is not None:
            if next(self._without, self) is self:
                self._without = None
        elif self._pieces is not None and next(self._pieces, self) is self:
            self._pieces = None
        if self._job is not None and (self._job.drawing or self._without is not None):
            ended = self._clock()
            self._rest_until = ended + (ended - now)

    def _take(self, requests: _Requests) -> None:
        if requests.open is not None:
            if requests.open and not self._open:
                self._since = self._clock()
            self._open = requests.open
        if requests.unit is not None:
            self._outdated, self._since = True, self._clock()
            self._pieces = None
        if requests.resend and self._job is not None and self._open:
            self._job.send_all()
        if requests.without is not None or requests.unit is not None:
            (wanted,) = requests.without or (None,)
            if self._without is not None or self._held is not None or wanted is not None:
                self._hold(wanted)

    # -- the circuit

    def _known(self, layer: str) -> tuple[int, LayerEvidence | None]:
        """Return what there is of real images: 0 nothing, 1 some, 2 all of them; and the evidence."""
        if self._evidence is None or self._complete is None:
            return 2, None
        complete = self._complete(layer)
        if complete is not None:
            return 2, complete
        some = self._evidence(layer)
        return (1, some) if some is not None and some.images >= ENOUGH else (0, None)

    def _more_images(self) -> bool:
        return self._pieces is None and self._evidence is not None and self._known(self._unit[0])[0] > self._basis

    def _begin(self) -> None:
        layer, unit = self._unit
        basis, evidence = self._known(layer)
        if basis == 0 and self._clock() - self._since < PATIENCE:
            self._say_waiting(layer, unit)
            return
        # first, or what fails would be tried again without end
        self._outdated, self._basis = False, basis
        network = self._replica()
        network.model_copy.refresh()
        self._drawings.use(network)
        examples, among = None, ""
        if evidence is not None:
            examples = examples_of(network, evidence, IMAGES)
            among = "" if basis == 2 else f" among {evidence.images:,} images so far"
        arguments = (examples, among, self._drawings, self._class_names, self._front_end.send)
        self._job = CircuitWork(network, layer, unit, *arguments)
        self._pieces = self._job.pieces()

    def _say_waiting(self, layer: str, unit: int) -> None:
        if self._job is None or (self._job.layer, self._job.unit) != (layer, unit):
            nothing = (None, "", self._drawings, self._class_names, self._front_end.send)
            self._job = CircuitWork(self._replica(), layer, unit, *nothing)
            self._job.say_waiting()

    # -- crops

    def _send_crops(self, layer: str, unit: int) -> None:
        found = None if self._evidence is None else self._evidence(layer)
        problem, rows, buffers = "", [], []
        if self._evidence is None:
            problem = "There are no real images."
        elif found is None or not found.images:
            problem = f"No crops of {layer or 'the output'} yet: images are looked at for a layer while it is shown."
        elif unit >= len(found):
            return
        else:
            try:
                for crop in found[unit].top[:CROPS]:
                    box = crop.box if crop.box_known and not crop.wide else None
                    buffers.append(thumbnails.thumbnail(crop, box))
                    rows.append({"activation": crop.activation, "label": crop.label_name or ""})
            except PeekError as error:
                problem = str(error)
        message = {"kind": protocol.CircuitCrops.kind, "layer": layer, "unit": unit}
        self._front_end.send({**message, "crops": rows, "problem": problem}, buffers)

    # -- without an input

    def _hold(self, held: tuple[str, int] | None) -> None:
        """Begin to draw the unit with an input held, in place of the last one; None: stop."""
        self._held = held
        self._without = None if held is None else self._draw_without(*held)
        if held is None:
            self._say_without("", "")

    def _draw_without(self, layer: str, unit: int) -> Iterator[None]:
        work = self._job
        if work is None or work.circuit is None:
            return
        try:
            yield from self._draw_both(work, work.circuit, layer, unit)
        except PeekError as error:
            self._say_without("error", "", problem=str(error))
        except Exception as error:
            # the circuit itself is as good as it was
            log.error("Drawing without an input failed: %s", error, exc_info=error)
            self._say_without("error", "", problem=f"{type(error).__name__}: {error}")

    def _draw_both(self, work: CircuitWork, circuit: Circuit, layer: str, unit: int) -> Iterator[None]:
        network, objective = work.network, unit_objective(work.network, work.layer, work.unit)
        self._say_without("drawing", f"Preparing the network without unit {unit} of {layer} ...")
        yield
        examples: Examples | None = work.examples
        held = held_at_median(network, layer, unit, examples, circuit.shown)
        yield
        runs = [Ascent(one, objective, RECIPE) for one in (network, held)]
        for _ in zip(*runs, strict=True):
            step, steps = runs[0].index, runs[0].steps
            if step % _SHOWN_EVERY == 0 and step < steps:
                pictures = [small_jpeg(network, one.preview()[0]) for one in runs]
                self._say_without("drawing", f"Step {step} of {steps}.", pictures)
            yield
        finished = [one.best[0] for one in runs]
        values = [
            StillActivation(one, objective, runs[0].recipe)(picture)
            for one, picture in zip((network, held), finished, strict=True)
        ]
        text = (
            f"Left: as it is, activation {values[0]:.3g}. Right: with unit {unit} of {layer} held at its median, "
            f"{values[1]:.3g}."
        )
        self._say_without("done", text, [small_jpeg(network, one) for one in finished])

    def _say_without(self, state: str, text: str, pictures: Sequence[bytes] = (), problem: str = "") -> None:
        layer, unit = self._held or ("", 0)
        message: Mapping[str, Any] = {"kind": protocol.CircuitWithout.kind, "layer": layer, "unit": unit}
        self._front_end.send({**message, "state": state, "text": text, "problem": problem}, pictures)

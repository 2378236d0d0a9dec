"""The thread that explains why the unit shown fires: the units that it reads, those that read it, their pictures.

It works while the panel is open and visible, in pieces of a fraction of a second, and checks its mailbox between them:
another unit ends all work on the last one. Numbers come first; pictures yield to the main run.
``CircuitService`` has more than 20 attributes: its arguments, its current work, and what the page has.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from peek_widget._threads import set_threads
from peek_widget.circuits import Circuit
from peek_widget.circuits.shown import examples_of
from peek_widget.errors import PeekError
from peek_widget.evidence import LayerEvidence
from peek_widget.live import protocol
from peek_widget.live.circuit.crops import UnitCrops
from peek_widget.live.circuit.without import Without
from peek_widget.live.circuit.work import Basis, CircuitWork
from peek_widget.live.examples.service import ExampleService
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.replica import Replica
from peek_widget.live.service import Service
from peek_widget.live.unit_drawings import Sheets, UnitDrawings
from peek_widget.live.weights import Weights
from peek_widget.network import Network
from peek_widget.network.precision import Precision

__all__ = ["CircuitService"]

log: logging.Logger = logging.getLogger("peek_widget")

INTERVAL = 0.5
"""Seconds between two checks of the page's visibility and of the progress of the pass over the dataset."""

PATIENCE = 3.0
"""Seconds to wait for a pass that has just begun, before the drawn picture is used instead."""

ENOUGH = 32
"""Minimum number of images for using their crops before the pass is over."""

IMAGES = 32
"""Number of images for medians and standard deviations, which have to be ready within a second or two."""

EARLIER = (
    "The crops are those that excited it most with earlier weights of the model; medians and all numbers are of the "
    "weights as they are now."
)


@dataclass
class _Requests:
    """Requests to the thread.

    Attributes:
        open: whether the panel is open.
        unit: layer and number of the unit shown.
        crops: a unit whose crops are to be sent, and whether to look for more.
        without: an input to hold while the unit is drawn; None in a tuple to stop.
        resend: whether a page has connected that has nothing yet.
        look: whether something may have changed for this service.
    """

    open: bool | None = None
    unit: tuple[str, int] | None = None
    crops: tuple[str, int, bool] | None = None
    without: tuple[tuple[str, int] | None] | None = None
    resend: bool = False
    look: bool = False


class CircuitService(Service[_Requests]):
    """A service that finds the circuit of an explorer's unit. Its thread is started when the panel is opened.

    Args:
        unit: layer and number of the unit shown.
        front_end: sends messages to the page, from this thread.
        network: returns the explorer's current network.
        examples: the dataset examples; None without a dataset.
        sheets: returns the picture of a unit from contact sheets.
        watched: returns whether a visible page shows the explorer.
        drawing: returns whether the main run is drawing; pictures then yield to it.
        class_names: names of the output's units; empty for none.
        precision: what the network computes in while it draws, see `peek_widget.ascent.AscentOptions`.
        clock: returns monotonic time in seconds.
    """

    def __init__(
        self,
        unit: tuple[str, int],
        *,
        front_end: FrontEnd,
        network: Callable[[], Network],
        examples: ExampleService | None,
        sheets: Sheets,
        watched: Callable[[], bool],
        drawing: Callable[[], bool],
        class_names: Sequence[str],
        precision: Precision | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("peek_widget.circuit", _Requests, clock=clock)
        self._front_end, self._examples = front_end, examples
        self._watched, self._main_run_draws, self._class_names = watched, drawing, class_names
        self._replica = Replica(network)
        self._unit = unit
        # what `circuit` returns has its own network, since this thread runs the other one
        self._lock = threading.Lock()
        self._theirs = Replica(network)
        self._given: tuple[Circuit, Circuit] | None = None

        # the fields below are used by the service's own thread only
        self._drawings = UnitDrawings(sheets, precision)
        self._weights = Weights(network, clock)
        self._crops = UnitCrops(front_end, examples)
        self._without = Without(front_end)
        self._open = False
        self._job: CircuitWork | None = None
        self._basis = 0
        self._pieces: Iterator[None] | None = None
        self._outdated = True
        self._since = -math.inf
        self._rest_until = -math.inf

    # -- requests, from any thread

    @property
    def circuit(self) -> Circuit | None:
        """The circuit as far as it is known; None until then, and if the panel was never open.

        The caller may run its network while this thread works: it is a separate one, shared by all callers.
        """
        work = self._job
        found = None if work is None or (work.layer, work.unit) != self._unit else work.circuit
        if found is None:
            return None
        with self._lock:
            if self._given is None or self._given[0] is not found:
                self._given = found, replace(found, _network=self._theirs())
            return self._given[1]

    def show_unit(self, layer: str, unit: int) -> None:
        """Find the circuit of another unit."""
        self._unit = (layer, unit)
        self.post(start=False, unit=(layer, unit))

    def set_open(self, on: bool) -> None:
        """Note that the panel was opened or closed."""
        self.post(start=on, open=on)

    def send_crops(self, message: protocol.GetCircuitCrops) -> None:
        """Send the page dataset examples of a unit."""
        self.post(start=False, crops=(message.layer, message.unit, message.find))

    def hold(self, message: protocol.SetCircuitWithout) -> None:
        """Draw the unit with an input held at its median, or stop."""
        self.post(start=False, without=((message.layer, message.unit) if message.on else None,))

    def resend(self) -> None:
        """Send everything to a page that has nothing yet."""
        self.post(start=False, resend=True)

    def wake(self) -> None:
        """Wake the thread to check for work, for example because a page is visible again."""
        self.post(start=False, look=True)

    # -- the thread

    def enter(self) -> None:
        """Compute on one CPU thread."""
        set_threads(1)

    def fail(self, error: BaseException) -> None:
        """Show the error on the page; the explorer goes on drawing."""
        self._pieces = None
        self._without.stop()
        if not isinstance(error, PeekError):
            log.error("Finding the circuit failed: %s", error, exc_info=error)
        problem = str(error) if isinstance(error, PeekError) else f"{type(error).__name__}: {error}"
        layer, unit = self._unit
        empty = {"text": "", "remarks": [], "inputs": [], "outputs": [], "filter": False}
        message = {"kind": protocol.CircuitSeen.kind, "layer": layer, "unit": unit, "state": "error"}
        self._front_end.send({**message, "problem": problem, **empty})

    def wait_time(self) -> float | None:
        """Return the time until a rest ends, or until images, weights and visibility are to be checked again."""
        if not self._open:
            return None
        if not self._watched():
            return INTERVAL
        if self._pieces is not None or self._without.running:
            # wait in short slices: the rest ends as soon as the main run stands still
            return min(0.1, max(0.0, self._rest_until - self._clock())) if self._main_run_draws() else 0.0
        return INTERVAL

    def handle(self, requests: _Requests) -> None:
        """Take the requests, and do one piece of work."""
        self._take(requests)
        if not self._open or not self._watched():
            return
        self._follow_training()
        if self._outdated or self._more_images():
            self._begin()
        if requests.crops is not None:
            self._crops.show(*requests.crops)
        self._crops.look()
        now = self._clock()
        if now < self._rest_until and self._main_run_draws():
            return
        if self._without.running:
            self._without.step()
        elif self._pieces is not None and next(self._pieces, self) is self:
            self._pieces = None
        if self._job is not None and (self._job.drawing or self._without.running):
            ended = self._clock()
            self._rest_until = ended + (ended - now)

    def _take(self, requests: _Requests) -> None:
        if requests.open is not None:
            if requests.open and not self._open:
                self._since = self._clock()
            self._open = requests.open
            if not requests.open:
                self._crops.forget()
        if requests.unit is not None:
            self._outdated, self._since = True, self._clock()
            self._pieces = None
            self._crops.forget()
        if requests.resend and self._job is not None and self._open:
            self._job.send_all()
        if requests.without is not None or requests.unit is not None:
            (wanted,) = requests.without or (None,)
            if wanted is None:
                self._without.stop()
            else:
                self._without.begin(self._job, *wanted)

    def _follow_training(self) -> None:
        """Drop what was computed with earlier weights and report it; start over once the weights are at rest."""
        if self._job is None:
            return
        if not self._weights.changed():
            self._outdated = self._outdated or self._weights.read_again()
            return
        if not self._job.outdated:
            self._pieces = None
            self._without.stop()
            if self._shows(*self._unit):
                self._job.say_outdated()
        if self._weights.rested():
            self._outdated = True

    # -- the circuit

    def _known(self, layer: str) -> tuple[int, LayerEvidence | None]:
        """Return how many real images have been processed (0 none, 1 some, 2 all), and the evidence."""
        if self._examples is None:
            return 2, None
        complete = self._examples.complete_evidence(layer)
        if complete is not None:
            return 2, complete
        some = self._examples.layer_evidence(layer)
        return (1, some) if some is not None and some.images >= ENOUGH else (0, None)

    def _more_images(self) -> bool:
        return self._pieces is None and self._known(self._unit[0])[0] > self._basis

    def _begin(self) -> None:
        layer, unit = self._unit
        basis, evidence = self._known(layer)
        if basis == 0 and self._clock() - self._since < PATIENCE:
            self._say_waiting(layer, unit)
            return
        # set this first, or a failure would be retried forever
        self._outdated, self._basis = False, basis
        self._weights.use()
        network = self._replica()
        network.model_copy.refresh()
        digits = self._weights.digits(network)
        self._drawings.use(network, digits)
        known = Basis()
        if evidence is not None:
            among = "" if basis == 2 else f" among {evidence.images:,} images so far"
            assert self._examples is not None
            earlier = evidence.fingerprint not in (None, digits) or self._examples.of_earlier_weights(layer)
            examples = examples_of(network, evidence, IMAGES, check=False)
            known = Basis(examples, among, (EARLIER,) if earlier else ())
        again = self._job is not None and self._job.circuit is not None and self._shows(layer, unit)
        self._job = CircuitWork(network, layer, unit, known, self._drawings, self._class_names, self._front_end.send)
        self._pieces = self._job.pieces(again)

    def _shows(self, layer: str, unit: int) -> bool:
        return self._job is not None and (self._job.layer, self._job.unit) == (layer, unit)

    def _say_waiting(self, layer: str, unit: int) -> None:
        if not self._shows(layer, unit):
            nothing = (Basis(), self._drawings, self._class_names, self._front_end.send)
            self._job = CircuitWork(self._replica(), layer, unit, *nothing)
            self._job.say_waiting()

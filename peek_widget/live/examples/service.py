"""The thread for the dataset of an explorer: its passes, the crops on the page, and the gauge.

All slow work (decoding images, a forward for an activation map) is done in this thread, never in a handler of the
page's messages and never in the thread of the main run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from peek_widget._threads import set_threads
from peek_widget.errors import PeekError
from peek_widget.evidence import Crop, LayerEvidence, UnitEvidence
from peek_widget.live.examples.crop_feed import CropFeed
from peek_widget.live.examples.focus_monitor import FocusMonitor
from peek_widget.live.examples.gauge_monitor import GaugeMonitor
from peek_widget.live.examples.pass_runner import PassRunner
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.protocol.examples import CropView
from peek_widget.live.replica import Replica
from peek_widget.live.service import JOIN_TIMEOUT, Service
from peek_widget.live.snapshot import Snapshot
from peek_widget.network import Network

__all__ = ["ExampleService"]

log: logging.Logger = logging.getLogger("peek_widget")

INTERVAL = 0.35
"""Seconds between two checks of the pass and of the main run's picture."""

K = 9
"""Number of examples of a unit."""

ENOUGH = 500
"""Number of images of a stream processed for a layer that is not shown, since a stream may never end."""


@dataclass
class _Requests:
    """Requests to the thread.

    Attributes:
        unit: layer and number of the unit to show.
        crop_view: whether to show the bottom images, and which part of each.
        open_crop: number of the crop to enlarge; 0 for none.
        run_pass: whether passes may run.
        find: the layers whose crops are wanted even though another one is shown.
        resend: whether a page has connected that has nothing yet.
        look: whether something may have changed for this service.
    """

    unit: tuple[str, int] | None = None
    crop_view: tuple[bool, CropView] | None = None
    open_crop: int | None = None
    run_pass: bool | None = None
    find: tuple[str, ...] | None = None
    resend: bool = False
    look: bool = False


class ExampleService(Service[_Requests]):
    """A service that finds the dataset examples of an explorer.

    Args:
        dataset: images as `peek_widget.top_crops` takes them; or evidence already gathered (an `Evidence`, a
            `LayerEvidence`, or the name of a file of it), which is shown at once.
        labels, value_range: see `peek_widget.top_crops`.
        front_end: publishes the traits `evidence_status` and `gauge` and sends messages to the page, both from this
            thread.
        network: returns the explorer's current network; called in this thread.
        watched: returns whether a visible page shows the explorer; otherwise no pass runs and nothing is sent.
        drawing: returns whether the main run is drawing; a pass then yields to it.
        k: number of crops in a set.
        clock: returns monotonic time in seconds.
    """

    def __init__(
        self,
        dataset: Any,
        labels: Any,
        *,
        value_range: tuple[float, float] | None = None,
        front_end: FrontEnd,
        network: Callable[[], Network],
        watched: Callable[[], bool],
        drawing: Callable[[], bool],
        k: int = K,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("peek_widget.examples", _Requests, clock=clock)
        self._front_end, self._watched, self._drawing, self._k = front_end, watched, drawing, k
        self._sought: tuple[str, ...] = ()  # layers for which a pass is wanted while another one is shown
        self._replica, self._network = Replica(network), network
        self._passes = PassRunner(
            dataset, labels, value_range=value_range, network=network, drawing=drawing, k=k, clock=clock
        )
        self._feed = CropFeed(front_end, k, clock)
        self._gauge = GaugeMonitor(self._replica)
        self._focus = FocusMonitor(self._replica, drawing, clock)

        # the fields below are used by the service's own thread only
        self._problem = ""
        self._unit: tuple[str, int] | None = None
        self._evidence: UnitEvidence | None = None
        self._evidence_key: tuple[str, int, int] | None = None
        self._pass_ran = False
        self._elsewhere = False  # whether a layer other than the one shown had its turn at the last check
        self._seen = False  # whether a visible page showed the explorer at the last check
        self._published: tuple[Any, Any] | None = None

    # -- requests, from any thread

    def show_unit(self, layer: str, unit: int) -> None:
        """Show the examples of another unit."""
        self.post(unit=(layer, unit))

    def set_crop_view(self, bottom: bool, view: CropView) -> None:
        """Choose the images with the lowest (`bottom`) or the highest activation, and the part shown of each."""
        self.post(crop_view=(bottom, view))

    def open_crop(self, number: int) -> None:
        """Show the crop with this number enlarged, with the unit's activation map; 0 closes it."""
        self.post(open_crop=number)

    def run_pass(self, on: bool) -> None:
        """Let the pass over the dataset and those requested by :meth:`find_crops` run, or stop them."""
        if not on:
            self._sought = ()
        self.post(run_pass=on)

    def find_crops(self, layers: Sequence[str]) -> None:
        """Process the images for other layers first, and then for the layer shown; passes may run from now on.

        Args:
            layers: all layers that are wanted, replacing those of the last call, the newest last; the problem that
                ended the pass of the newest is cleared.
        """
        if layers:
            self._passes.forget_problem(layers[-1])
        self._sought = tuple(layers)
        self.post(start=bool(layers), find=self._sought)

    def finds(self, layer: str) -> bool:
        """Return whether :meth:`find_crops` requested a layer that still has images to process."""
        found = self._passes.layers.get(layer)
        enough = self._passes.endless and found is not None and found.evidence.images >= ENOUGH
        over = enough or self.complete_evidence(layer) is not None or bool(self.problem_of(layer))
        return layer in self._sought and not over

    def resend(self) -> None:
        """Send everything to a page that has nothing yet."""
        self.post(resend=True)

    def wake(self) -> None:
        """Wake the thread to check for work, for example because a page is visible again."""
        self.post(look=True)

    def show_picture(self, picture: Snapshot, activation: float | None) -> None:
        """Take the newest picture of the main run and the activation shown with it, for the gauge."""
        if self._gauge.show_picture(picture, activation):
            self.post(start=False, look=True)

    def crop(self, number: int) -> Crop | None:
        """Return the crop with this number on the page."""
        return self._feed.crop(number)

    def crops(self, layer: str, unit: int) -> UnitEvidence | None:
        """Return the evidence on a unit so far; None before its layer's first image."""
        evidence = self.layer_evidence(layer)
        return evidence[unit] if evidence is not None and evidence.images else None

    def complete_evidence(self, layer: str) -> LayerEvidence | None:
        """Return the evidence on a layer once every image has been processed; None until then."""
        found = self._passes.layers.get(layer)
        return found.evidence if found is not None and found.evidence.images and found.complete else None

    def of_earlier_weights(self, layer: str) -> bool:
        """Return whether the model's weights have changed in place since the pass of a layer began."""
        found = self._passes.layers.get(layer)
        began_with = None if found is None else found.weights
        return began_with not in (None, self._network().model_copy.version())

    @property
    def can_scan(self) -> bool:
        """Whether there are images to process; given evidence may come without images."""
        return self._passes.can_scan

    def problem_of(self, layer: str) -> str:
        """Return why a layer's pass ended early or the dataset can't be opened, in a sentence; "" otherwise."""
        found = self._passes.layers.get(layer)
        return self._passes.problem or ("" if found is None else found.problem)

    def any_image(self) -> Any:
        """Return a random image of the dataset, as it was loaded.

        Raises:
            PeekError: if it can't be read, or there are no images to choose from: evidence without images, a stream.
        """
        return self._passes.any_image()

    def close(self, timeout: float = JOIN_TIMEOUT) -> bool:
        """End the thread and its passes; return whether all have ended."""
        return super().close(timeout) and self._passes.wait(timeout)

    # -- the thread

    def enter(self) -> None:
        """Compute on one CPU thread."""
        set_threads(1)

    def interrupt(self) -> None:
        """Stop the passes after their current batch."""
        self._passes.stop()

    def leave(self) -> None:
        """Wait for the passes."""
        self._passes.stop(wait=True)

    def fail(self, error: BaseException) -> None:
        """Show the error on the page; the explorer goes on drawing."""
        if isinstance(error, PeekError):
            self._problem = str(error)
        else:
            log.error("The dataset examples failed: %s", error, exc_info=error)
            self._problem = f"{type(error).__name__}: {error}"
        self._publish()

    def wait_time(self) -> float | None:
        """Wake every `INTERVAL` seconds while something may change without a request."""
        layer = None if self._unit is None else self._unit[0]
        running = layer is not None and self._passes.running(layer)
        busy = (
            running
            or self._elsewhere
            or self._pass_ran
            or self._passes.yields_to_first_picture(self._gauge.has_picture)
            or self._gauge.score_due(self._evidence, self.layer_evidence(layer), pass_running=running)
            or (self._seen and self._focus.has_work(self._feed.without_focus))
        )
        return INTERVAL if busy else None

    def handle(self, requests: _Requests) -> None:
        """Take the requests, start or stop passes as needed, and send and publish what has changed."""
        self._passes.open()
        self._take(requests)
        if self._unit is None:
            self._publish()
            return
        layer, _ = self._unit
        self._seen = watched = self._watched()
        ran = self._passes.running(layer)
        wanted = next((one for one in self._sought if self.finds(one)), layer)
        self._elsewhere = wanted != layer
        self._passes.advance(wanted, watched=watched, has_picture=self._gauge.has_picture, shown=wanted == layer)
        # check one more time after a pass has ended, for its last batch
        self._pass_ran = ran or self._passes.running(layer)
        self._refresh_evidence()
        if watched:
            self._send_crops(requests)
            self._score()
            self._find_focus()
        self._publish()

    def _take(self, requests: _Requests) -> None:
        if requests != _Requests(look=requests.look):
            self._problem = self._passes.problem  # the problem of an earlier request is over
        if requests.resend:
            self._feed.forget_page()
            self._published = None
        if requests.run_pass is not None:
            self._passes.set_enabled(requests.run_pass, None if self._unit is None else self._unit[0])
        if requests.find:
            self._passes.set_enabled(True, None)
        if requests.crop_view is not None:
            self._feed.choose(*requests.crop_view)
        if requests.unit is not None and requests.unit != self._unit:
            self._unit = requests.unit
            self._evidence, self._evidence_key, self._feed.opened = None, None, 0

    def layer_evidence(self, layer: str | None) -> LayerEvidence | None:
        """Return the evidence on a layer so far; None before its pass, or without a layer."""
        found = None if layer is None else self._passes.layers.get(layer)
        return None if found is None else found.evidence

    def _refresh_evidence(self) -> None:
        """Read the evidence on the unit again if the pass has progressed."""
        assert self._unit is not None
        layer, unit = self._unit
        evidence = self.layer_evidence(layer)
        key = None if evidence is None else (layer, unit, evidence.images)
        if key != self._evidence_key:
            self._evidence_key = key
            self._evidence = evidence[unit] if evidence is not None and evidence.images else None

    def _send_crops(self, requests: _Requests) -> None:
        assert self._unit is not None
        asked = requests.crop_view is not None or requests.unit is not None or requests.resend
        running = self._passes.running(self._unit[0])
        self._feed.send(*self._unit, self._evidence, at_once=asked or not running)
        if requests.open_crop is not None:
            self._feed.opened = requests.open_crop
        if (requests.open_crop or requests.resend) and self._feed.opened:
            self._feed.send_opened(self._replica)

    def _score(self) -> None:
        assert self._unit is not None
        layer = self._unit[0]
        evidence, running = self.layer_evidence(layer), self._passes.running(layer)
        if evidence is not None and self._gauge.score_due(self._evidence, evidence, pass_running=running):
            # publish the gauge first: scoring takes as long as about thirty forwards
            self._publish()
            self._gauge.score(self._evidence, evidence)

    def _find_focus(self) -> None:
        """Find the focus of one crop on the page, and show it."""
        assert self._unit is not None
        if (self._gauge.has_picture or not self._drawing()) and self._focus.find(self._feed.without_focus):
            self._feed.send(*self._unit, self._evidence, at_once=True)

    def _publish(self) -> None:
        layer, unit = self._unit or ("", 0)
        status = {**self._passes.describe(layer, self._problem), "layer": layer, "unit": unit, "k": self._k}
        value = self._gauge.value(self._evidence)
        if (status, value) != self._published:
            self._published = (status, value)
            self._front_end.publish(evidence_status=status, gauge=value)

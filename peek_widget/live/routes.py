"""The handlers of the front end's messages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from peek_widget.evidence import Crop
from peek_widget.live import protocol
from peek_widget.live.assembly import Assembly
from peek_widget.live.circuit.service import CircuitService
from peek_widget.live.comparison_service import ComparisonService
from peek_widget.live.examples.service import ExampleService
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.photo_service import PhotoService
from peek_widget.live.protocol import LIVE_TRAITS
from peek_widget.live.router import Router
from peek_widget.live.run_service import RunService
from peek_widget.live.sheet_service import SheetService
from peek_widget.live.static import read_static
from peek_widget.live.tag_service import TagService

__all__ = [
    "Actions",
    "make_router",
    "route_comparison",
    "route_downloads",
    "route_examples",
    "route_photo",
    "route_run",
    "route_sheet",
    "send_module",
]

log: logging.Logger = logging.getLogger("peek_widget")


class Actions(Protocol):
    """The part of an explorer that messages call."""

    layer: Any
    unit: Any

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps that can be sought and resumed."""

    def play(self) -> None:
        """Continue drawing."""

    def restart(self) -> None:
        """Restart the run."""

    def seek(self, step: int) -> None:
        """Show an earlier step."""

    def resume_from(self, step: int) -> None:
        """Resume from an earlier step."""

    def start_from(self, picture: Any) -> None:
        """Draw from an initial image."""

    def code(self) -> str:
        """Return the line of Python that recreates the explorer."""


def make_router(explorer: Actions, parts: Assembly, begin_comparison: Callable[[dict[str, Any]], object]) -> Router:
    """Return a router on which every message of the front end has a handler.

    Args:
        explorer: the explorer, whose methods carry out what a user of the page does.
        parts: the services that handle the other messages.
        begin_comparison: begins a comparison of the given values.
    """
    router = Router()
    route_downloads(router, explorer, parts)
    route_comparison(router, parts.comparisons, begin_comparison)
    route_run(router, explorer, parts.run, parts.front_end)
    route_sheet(router, parts.sheets, parts.tags, parts.run)
    route_examples(router, explorer, parts.examples)
    route_photo(router, parts.photo, parts.run)
    route_circuit(router, parts.circuit, parts.run)
    parts.tags.register(router)
    return router


def route_downloads(router: Router, explorer: Actions, parts: Assembly) -> None:
    """Register handlers for messages that ask for a part of the front end or for something to save."""
    front_end, run = parts.front_end, parts.run

    def send_requested(_: protocol.LoadModule) -> None:
        send_module(front_end)
        run.wake()

    def send_file(message: protocol.Save) -> None:
        comparison = parts.comparisons.current
        parts.jobs.add(lambda: parts.exporter.send(message.what, front_end, comparison=comparison, code=explorer.code))
        run.wake()

    router.on(protocol.LoadModule, handler=send_requested)
    router.on(protocol.Save, handler=send_file)


def send_module(front_end: FrontEnd) -> None:
    """Send the page the part of the front end that saved notebooks leave out."""
    front_end.send({"kind": "module"}, [read_static(name).encode() for name in ("lazy.js", "lazy.css")])


def route_run(router: Router, explorer: Actions, run: RunService, front_end: FrontEnd) -> None:
    """Register handlers for messages about the run."""

    def answer(_: protocol.Ping) -> None:
        # answer at once in the thread of the request: the worker may be in a long step, and hosts like Colab do not
        # deliver what another thread sends
        front_end.send({"kind": "pong"})
        front_end.resend(LIVE_TRAITS)

    router.on(protocol.Play, handler=lambda _: explorer.play())

    def at_step(go: Callable[[int], None]) -> Callable[[Any], None]:
        # the slider may still be that of an earlier, longer run
        def handle(message: Any) -> None:
            steps = explorer.checkpoint_steps
            if steps:
                go(min(message.step, steps[-1]))

        return handle

    router.on(protocol.Seek, handler=at_step(explorer.seek))
    router.on(protocol.Resume, handler=at_step(explorer.resume_from))
    router.on(protocol.Restart, handler=lambda _: explorer.restart())
    router.on(protocol.Ping, handler=answer)
    mark_active(router, run, protocol.Present)
    for message in (
        protocol.Hello,
        protocol.Ack,
        protocol.Visible,
        protocol.Ping,
        protocol.StepOnce,
    ):
        router.on(message, handler=run.receive)


def route_comparison(router: Router, comparisons: ComparisonService, begin: Callable[[dict[str, Any]], object]) -> None:
    """Register handlers for messages about the comparison; `begin` takes what is compared."""

    def compare(message: protocol.Compare) -> None:
        if message.values:
            begin({message.what: list(message.values)})
        else:
            comparisons.close()

    router.on(protocol.Compare, handler=compare)
    router.on(protocol.CompareAck, handler=lambda m: comparisons.ack(m.n))
    for message in (protocol.Hello, protocol.Visible, protocol.Ping, protocol.LoadModule):
        router.on(message, handler=lambda _: comparisons.resend())


def route_examples(router: Router, explorer: Actions, examples: ExampleService | None) -> None:
    """Register handlers for messages about the dataset examples."""

    def start_from(message: protocol.StartFromCrop) -> None:
        if message.id == 0:
            explorer.start_from(None)
            return
        crop: Crop | None = None if examples is None else examples.crop(message.id)
        if examples is None:
            refuse(message)
        # a click may come late, when another unit is already shown
        elif crop is not None and (crop.layer, crop.unit) == (explorer.layer, explorer.unit):
            explorer.start_from(crop)

    def refuse(_: protocol.ToKernel) -> None:
        log.warning("The front end asked for real images, and there is no dataset. Ignored.")

    router.on(protocol.StartFromCrop, handler=start_from)
    if examples is None:
        for message in (protocol.SetCropView, protocol.OpenCrop, protocol.RunPass):
            router.on(message, handler=refuse)
        return
    router.on(protocol.SetCropView, handler=lambda m: examples.set_crop_view(m.bottom, m.view))
    router.on(protocol.OpenCrop, handler=lambda m: examples.open_crop(m.id))
    router.on(protocol.RunPass, handler=lambda m: examples.run_pass(m.on))
    router.on(protocol.Hello, handler=lambda _: examples.resend())
    for other in (protocol.Visible, protocol.Ping, protocol.Restart, protocol.StepOnce):
        router.on(other, handler=lambda _: examples.wake())


def mark_active(router: Router, run: RunService, *messages: type[protocol.ToKernel]) -> None:
    """Let these messages show that the page is active: after a run's end no acknowledgments come."""
    for message in messages:
        router.on(message, handler=lambda _: run.mark_active())


def route_photo(router: Router, photo: PhotoService, run: RunService) -> None:
    """Register handlers for messages about a photo of the user's own; each shows that the page is active."""
    mark_active(router, run, protocol.SetPhoto, protocol.PhotoSample, protocol.PhotoEdit, protocol.PhotoPlace)
    mark_active(router, run, protocol.PhotoOverview, protocol.PhotoAccentuate)
    router.on(protocol.SetPhoto, handler=photo.show)
    router.on(protocol.PhotoSample, handler=lambda _: photo.show(None))
    router.on(protocol.PhotoEdit, handler=photo.edit)
    router.on(protocol.PhotoPlace, handler=photo.show_place)
    router.on(protocol.PhotoOverview, handler=lambda m: photo.show_overview(m.on))
    router.on(protocol.PhotoAccentuate, handler=photo.accentuate)
    router.on(protocol.PhotoClose, handler=lambda _: photo.forget())
    router.on(protocol.Visible, handler=lambda _: photo.wake())
    for message in (protocol.Hello, protocol.LoadModule):
        router.on(message, handler=lambda _: photo.resend())


def route_circuit(router: Router, circuit: CircuitService, run: RunService) -> None:
    """Register handlers for messages about the circuit of the unit shown; each shows that the page is active."""
    mark_active(router, run, protocol.CircuitOpen, protocol.GetCircuitCrops, protocol.SetCircuitWithout)
    router.on(protocol.CircuitOpen, handler=lambda m: circuit.set_open(m.on))
    router.on(protocol.GetCircuitCrops, handler=circuit.send_crops)
    router.on(protocol.SetCircuitWithout, handler=circuit.hold)
    for message in (protocol.Hello, protocol.LoadModule):
        router.on(message, handler=lambda _: circuit.resend())
    for other in (protocol.Visible, protocol.Ping):
        router.on(other, handler=lambda _: circuit.wake())


def route_sheet(router: Router, sheets: SheetService, tags: TagService, run: RunService) -> None:
    """Register handlers for messages about the contact sheet."""

    def opened(message: protocol.SheetOpen) -> None:
        sheets.set_open(message.on)
        tags.send_counts()

    def received(message: protocol.SheetAck) -> None:
        run.mark_active()
        sheets.ack(message.n)

    router.on(protocol.SheetOpen, handler=opened)
    router.on(protocol.SheetDraw, handler=lambda m: sheets.set_drawing(m.on))
    router.on(protocol.SheetView, handler=lambda m: sheets.set_view(m.units))
    router.on(protocol.SheetAck, handler=received)
    router.on(protocol.SheetSimilarity, handler=lambda _: sheets.request_similarity())
    for message in (protocol.Hello, protocol.LoadModule):
        # a page that has just connected has nothing yet
        router.on(message, handler=lambda _: sheets.resend())
    for other in (protocol.Visible, protocol.Ping):
        router.on(other, handler=lambda _: sheets.wake())

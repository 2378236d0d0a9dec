"""The thread that looks at a photo of the user's own, as it is and with a part of it changed.

``PhotoService`` has more than 350 lines and 20 attributes because it is one idea, a conversation about one photo: each
request changes what is looked at, and what is sent follows from that.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peek_widget.errors import PeekError, PhotoError
from peek_widget.evidence import LayerEvidence
from peek_widget.live import photo_page as page
from peek_widget.live import protocol
from peek_widget.live.examples.service import ExampleService
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.photo_accentuation import Accentuation, Stage
from peek_widget.live.photo_pictures import UnitPictures
from peek_widget.live.replica import Replica
from peek_widget.live.service import Service
from peek_widget.live.unit_drawings import Sheets, UnitDrawings
from peek_widget.network import Network
from peek_widget.network.precision import Precision
from peek_widget.photo import Look, PhotoReader

__all__ = ["PhotoService"]

log: logging.Logger = logging.getLogger("peek_widget")

DUTY_CYCLE = 0.3
"""Share of the time that drawing the listed units, or an accentuation, takes while the main run draws."""

REST = 0.4
"""Seconds after a request of the page in which no unit is drawn, so that a brush stroke is answered at once."""

INTERVAL = 1.0
"""Seconds between two checks of the progress of the pass over the real images."""


@dataclass
class _Requests:
    """Requests to the thread.

    Attributes:
        photo: a photo to look at: what `look_at` takes, the page's message, or None in a tuple for one of the dataset.
        edit: the change to make in the photo.
        place: y and x as shares of the photo, or None in a tuple for the whole photo.
        layer: the layer whose units are listed.
        overview: whether to send the units of all layers too.
        accentuate: accentuation to begin or stop.
        close: whether to forget the photo.
        resend: whether a page has connected that has nothing yet.
    """

    photo: tuple[Any] | None = None
    edit: protocol.PhotoEdit | None = None
    place: tuple[tuple[float, float] | None] | None = None
    layer: str | None = None
    overview: bool | None = None
    accentuate: protocol.PhotoAccentuate | None = None
    close: bool = False
    resend: bool = False


class PhotoService(Service[_Requests]):
    """A service for a photo of the user's own in an explorer: one at a time, the newest.

    Args:
        front_end: sends messages to the page, from this thread.
        network: returns the explorer's current network.
        examples: the dataset examples; None without a dataset.
        sheets: returns the picture of a unit from contact sheets.
        watched: returns whether a visible page shows the explorer; otherwise no unit is drawn.
        drawing: returns whether the main run is drawing; the drawing of units then yields to it.
        tags: returns the tags of units by layer.
        class_names: names of the output's units; empty for none.
        layer: the layer whose units are listed.
        enter: sets the thread's number of torch threads.
        precision: what the network computes in while it draws, see `peek_widget.ascent.AscentOptions`.
        clock: returns monotonic time in seconds.

    Attributes:
        look: what the network sees in the photo, for this thread alone; None without a photo.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        network: Callable[[], Network],
        examples: ExampleService | None,
        *,
        sheets: Sheets,
        watched: Callable[[], bool],
        drawing: Callable[[], bool],
        tags: Callable[[], Mapping[str, Mapping[str, Sequence[str]]]],
        class_names: Sequence[str],
        layer: str,
        enter: Callable[[], None],
        precision: Precision | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("peek_widget.photo", _Requests, clock=clock)
        self._front_end, self._examples, self._tags, self._enter = front_end, examples, tags, enter
        self._watched, self._drawing, self._class_names = watched, drawing, class_names
        self._replica = Replica(network)
        self.look: Look | None = None
        self._handed_out: tuple[Look, Look] | None = None
        self._answers = False

        # the fields below are used by the service's own thread only
        self._pictures = UnitPictures(front_end, self._replica, UnitDrawings(sheets, precision), self._evidence)
        self._layer = layer
        self._changed_look: Look | None = None
        self._place: tuple[float, float] | None = None
        self._overview = False
        # the part of the overview still to be sent, one layer at a time
        self._overview_rows: Iterator[None] | None = None
        self._accentuation: tuple[Accentuation, Iterator[Stage | None]] | None = None
        self._number = self._accentuations = 0
        # by layer: number of real images that the percentiles of the newest look are based on
        self._images_used: dict[str, int] = {}
        self._rest_until = self._accentuation_rests_until = -math.inf

    @property
    def shared_look(self) -> Look | None:
        """What the network sees in the photo, for any thread: it runs its own network if needed."""
        look, handed_out = self.look, self._handed_out
        if look is None:
            return None
        if handed_out is None or handed_out[0] is not look:
            self._handed_out = handed_out = look, look.detached()
        return handed_out[1]

    def answering(self) -> bool:
        """Return whether the user waits for an answer about the photo: a stroke of the brush, a place."""
        return self._answers or not self._mailbox.empty

    # -- requests, from any thread

    def show(self, photo: Any) -> None:
        """Look at a photo: what `peek_widget.look_at` takes, or a page's `SetPhoto`; None for one of the dataset."""
        self.post(photo=(photo,), edit=None, place=None, accentuate=None, close=False)

    def edit(self, message: protocol.PhotoEdit) -> None:
        """Look at the photo with a part of it changed."""
        self.post(start=False, edit=message)

    def show_place(self, message: protocol.PhotoPlace) -> None:
        """List the units that fire at a place."""
        self.post(start=False, place=((message.y, message.x) if message.on else None,))

    def show_layer(self, layer: str) -> None:
        """List the units of another layer."""
        with self._changed:
            if self._thread is None:
                self._layer = layer  # the thread reads it when it begins
        self.post(start=False, layer=layer)

    def show_overview(self, on: bool) -> None:
        """Send the most unusual units of all layers too, or stop sending them."""
        self.post(overview=on)

    def accentuate(self, message: protocol.PhotoAccentuate) -> None:
        """Begin an accentuation of a unit in the photo, or stop it."""
        self.post(start=False, accentuate=message)

    def forget(self) -> None:
        """Forget the photo."""
        self.post(start=False, close=True, photo=None, edit=None, accentuate=None)

    def resend(self) -> None:
        """Send everything to a page that has nothing yet."""
        self.post(start=False, resend=True)

    # -- the thread

    def enter(self) -> None:
        """Set the thread's number of torch threads."""
        self._enter()

    def wait_time(self) -> float | None:
        """Return the time until a rest ends, or until the pass over the real images is to be checked again."""
        if self.look is None:
            return None
        if not self._watched():
            return INTERVAL if self._accentuation is not None or self._pictures.pending else None
        if self._overview_rows is not None:
            return 0.0
        if self._accentuation is not None:
            return max(0.0, self._accentuation_rests_until - self._clock())
        if self._pictures.pending:
            return max(0.0, self._rest_until - self._clock())
        return INTERVAL if self._evidence_may_grow() else None

    def fail(self, error: BaseException) -> None:
        """Show the error on the page."""
        if not isinstance(error, PeekError):
            log.error("Looking at the photo failed: %s", error, exc_info=error)
        text = str(error) if isinstance(error, PeekError) else f"{type(error).__name__}: {error}"
        self._pictures.forget_page()  # the page drops the units' pictures along with its list
        self._front_end.send(self._message("error", problem=text))

    def handle(self, requests: _Requests) -> None:
        """Take the requests, look, and send the result; without requests, do a piece of the work that can wait."""
        if requests == _Requests():
            self._go_on()
            return
        self._rest_until = self._clock() + REST
        self._answers = True
        try:
            self._answer(requests)
        finally:
            self._answers = False

    def _answer(self, requests: _Requests) -> None:
        if requests.overview is not None:
            self._overview = requests.overview
        self._layer = self._layer if requests.layer is None else requests.layer
        if requests.close:
            self._begin_anew()
            self._front_end.send(self._message(""))
            return
        if requests.resend:
            # a new page lists only one layer at first
            self._overview = False
            self._pictures.forget_page()
        new = requests.photo is not None
        if requests.photo is not None:
            self._number += 1
            self._begin_anew()
            self._front_end.send(self._message("looking"))
            self.look = self._reader().look(self._image(requests.photo[0]))
        if self.look is None:
            if requests.resend:
                self._front_end.send(self._message(""))
            return
        if requests.place is not None:
            (self._place,) = requests.place
        if requests.layer is not None and self._must_look_anew():
            self._look_anew()
        if requests.edit is not None:
            self._accentuation = None
            self._changed_look = self._changed_by(requests.edit)
        was_changed = self._changed_look is not None
        if requests.accentuate is not None:
            self._accentuate(requests.accentuate)
        if requests != _Requests(accentuate=requests.accentuate) or (was_changed and self._changed_look is None):
            self._send(picture=new or requests.resend)

    def _begin_anew(self) -> None:
        self.look = self._changed_look = self._place = self._accentuation = self._overview_rows = None
        self._pictures.want("", ())

    def _image(self, given: Any) -> Any:
        if given is not None:
            return page.given_image(given)
        if self._examples is None:
            raise PhotoError("There is no dataset to take an image of: give the explorer one, or give it a photo.")
        return self._examples.any_image()

    # -- looking

    def _evidence(self, layer: str) -> LayerEvidence | None:
        return None if self._examples is None else self._examples.layer_evidence(layer)

    def _reader(self) -> PhotoReader:
        """Return the reader of photos with the current weights and the current evidence."""
        network = self._replica()
        network.model_copy.refresh()
        names = dict.fromkeys([layer.name for layer in network.layers if layer.primary] + [self._layer])
        found = {name: self._evidence(name) for name in names}
        evidence = {name: one for name, one in found.items() if one is not None and one.images}
        self._pictures.use_network(network)
        self._images_used = {name: 0 for name in names if name not in evidence}
        return PhotoReader(network, tuple(names), evidence, class_names=self._class_names or None, tags=self._tags())

    def _look_anew(self) -> None:
        """Look at the same photo with a layer that was not included, or with the current evidence."""
        assert self.look is not None
        reader = self._reader()
        self.look = reader.look_again(self.look, self.look.pixels)
        if self._changed_look is not None:
            self._changed_look = reader.look_again(self._changed_look, self._changed_look.pixels)

    def _must_look_anew(self) -> bool:
        assert self.look is not None
        used = self._images_used.get(self._layer)
        unseen = any(one is not None and self._layer not in one.layers for one in (self.look, self._changed_look))
        return unseen or (used is not None and used != self._images())

    def _images(self) -> int:
        """Return the number of real images in the evidence on the layer."""
        found = self._evidence(self._layer)
        return 0 if found is None else found.images

    def _grown(self) -> bool:
        """Return whether the evidence on the layer has more real images than its units were compared with."""
        return self._images() != self._images_used.get(self._layer, 0)

    def _much_grown(self) -> bool:
        """Return whether the evidence has grown enough to compare again: to twice as many images, or to all of them."""
        if self._examples is None or not self._grown():
            return False
        twice = self._images() >= 2 * self._images_used.get(self._layer, 0)
        return twice or self._examples.complete_evidence(self._layer) is not None

    def _evidence_may_grow(self) -> bool:
        return self._examples is not None and (self._examples.complete_evidence(self._layer) is None or self._grown())

    def _changed_by(self, edit: protocol.PhotoEdit) -> Look | None:
        assert self.look is not None
        if not (edit.whole or edit.strokes):
            return None
        region = None if edit.whole else page.mask_of(edit.strokes, self.look.size)
        try:
            # only the shown layer now, so that it follows the brush; the others when there is time
            return self.look.without(region, edit.how, self._layer).after
        except PhotoError:
            # the first dots of a brush may be outside what the network sees, or too small to shuffle
            return self._changed_look

    # -- what can wait

    def _go_on(self) -> None:
        """Do one of: a layer of the overview, a step of the accentuation, a new comparison, a picture of a unit."""
        if self.look is None or not self._watched():
            return
        if self._overview_rows is not None:
            if next(self._overview_rows, True):
                self._overview_rows = None
        elif self._accentuation is not None:
            began = self._clock()
            self._step(*self._accentuation)
            self._accentuation_rests_until = self._rest_after(began)
        elif self._much_grown():
            # set this first, or a failure would be retried forever
            self._images_used[self._layer] = self._images()
            self._look_anew()
            self._send(picture=False)
        elif self._pictures.pending:
            began, draws = self._clock(), self._pictures.draws
            self._pictures.work()
            if draws:
                self._rest_until = self._rest_after(began)

    def _rest_after(self, began: float) -> float:
        """Return the end of the rest after work since `began`, which leaves time for the main run if it draws."""
        now = self._clock()
        return now + (now - began) * (1.0 / DUTY_CYCLE - 1.0) if self._drawing() else now

    def _overview_work(self) -> Iterator[None]:
        """Look at all layers if only one was looked at, and send the overview; requests are taken in between."""
        assert self.look is not None
        look = self._changed_look
        if look is None:
            look = self.look
        elif set(look.layers) != set(self.look.layers):
            look = self._changed_look = look.again()
            yield
        rows, maps = [], []
        for name in look.layers:
            row, theirs = page.layer_row(look, name)
            rows.append(row)
            maps += theirs
            yield
        self._front_end.send({"kind": protocol.PhotoLayers.kind, "n": self._number, "layers": rows}, maps)

    def _accentuate(self, message: protocol.PhotoAccentuate) -> None:
        self._accentuation = None
        if not message.on or self.look is None:
            return
        self._changed_look = None
        self._accentuations += 1
        try:
            made = Accentuation(self._reader(), self.look, self._layer, message.unit, message.less, message.strength)
        except PeekError as error:
            asked = {"unit": message.unit, "less": message.less, "strength": message.strength}
            self._front_end.send(self._step_message(**asked, problem=str(error)))
            return
        self._accentuation, self._accentuation_rests_until = (made, iter(made)), -math.inf

    def _step(self, accentuation: Accentuation, stages: Iterator[Stage | None]) -> None:
        problem, stage = "", None
        try:
            stage = next(stages)
        except StopIteration:
            self._accentuation = None
            return
        except PeekError as error:
            self._accentuation, problem = None, str(error)
        if stage is None and not problem:
            return
        seen: dict[str, Any] = {}
        if stage is not None:
            assert self.look is not None
            firing = stage.look.firing(accentuation.layer, accentuation.unit)
            seen = {"step": stage.step, "activation": firing.activation, "percentile": firing.percentile}
            seen["mean"] = float(stage.look.map(accentuation.layer, accentuation.unit).values.mean())
            seen["classes"] = page.class_rows(self.look, stage.look if stage.step else None)
        message = self._step_message(
            unit=accentuation.unit,
            less=accentuation.less,
            strength=accentuation.strength,
            layer=accentuation.layer,
            total=accentuation.total,
            problem=problem,
            **seen,
        )
        preprocess = self._replica().preprocess
        self._front_end.send(message, [] if stage is None else [page.pixels_jpeg(stage.pixels, preprocess)])

    # -- to the page

    def _send(self, picture: bool) -> None:
        look = self._changed_look or self.look
        assert look is not None
        assert self.look is not None
        width, height = look.size
        units, text = page.listed(look, self._layer, self._place)
        rows, maps = page.unit_rows(look, units)
        # percentiles are computed on first use
        self._images_used.setdefault(self._layer, self._images())
        message = self._message(
            "done",
            text=text or page.basis(units, self._place is not None, self._evidence(self._layer)),
            width=width,
            height=height,
            shown=[part / (width, height)[at % 2] for at, part in enumerate(look.shown)],
            classes=page.class_rows(self.look, self._changed_look),
            note=look.predictions.note if not len(look.predictions) else "",
            units=rows,
            changed=self._changed_look is not None,
            picture=picture,
        )
        self._front_end.send(message, [page.photo_jpeg(look)] * picture + maps)
        self._pictures.want(self._layer, [one.unit for one in units])
        self._overview_rows = self._overview_work() if self._overview else None

    def _step_message(self, **more: Any) -> dict[str, Any]:
        return page.step_message(n=self._number, run=self._accentuations, **{"layer": self._layer, **more})

    def _message(self, state: str, **more: Any) -> dict[str, Any]:
        n = self._number if state else 0
        return page.seen_message(n=n, state=state, layer=self._layer, place=self._place is not None, **more)

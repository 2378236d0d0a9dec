"""Pictures of the units that the tab of a photo lists: drawn, and the best real crop, found one after the other."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Literal

from peek_widget.errors import PeekError
from peek_widget.evidence import Crop, LayerEvidence, find_focus
from peek_widget.live.examples.thumbnails import png_thumbnail, thumbnail
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.protocol import PhotoPicture
from peek_widget.network import Network
from peek_widget.network.precision import Precision
from peek_widget.sheet.batches import plan
from peek_widget.sheet.local import LocalRunner

__all__ = ["RECIPE", "UnitPictures"]

RECIPE = "peek-fast"
"""Recipe of what is drawn here."""

MOST_KEPT = 512
"""Pictures that are kept, should their units be listed again."""

Of = Literal["drawn", "crop"]


class UnitPictures:
    """Sends the pictures of the units that are listed; for one thread, which calls :meth:`work` while it has time.

    A unit's drawn picture is that of a contact sheet; where there is none it is drawn in ``peek-fast``, a step at a
    time, and given up when the unit is listed no more.

    Args:
        front_end: sends messages to the page.
        network: returns the network to draw and to find the focus of crops with.
        sheet: returns the small JPEG of a unit on a contact sheet, by layer, unit and fingerprint of the weights; None
            where it is on none.
        evidence: returns what is known of a layer from real images; None where there are none.
        precision: what the network computes in, see `peek_widget.ascent.AscentOptions`.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        network: Callable[[], Network],
        sheet: Callable[[str, int, str], bytes | None],
        evidence: Callable[[str], LayerEvidence | None],
        precision: Precision = "float32",
    ) -> None:
        self._front_end, self._network, self._sheet, self._evidence = front_end, network, sheet, evidence
        self._precision = precision
        self._weights = ""
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        # what the page has of the units listed, and which crop that is
        self._on_page: dict[tuple[str, int, Of], object] = {}
        self._crops: deque[tuple[Crop, object]] = deque()
        self._found: deque[tuple[str, int]] = deque()
        self._drawn: deque[tuple[str, int]] = deque()
        self._run: tuple[tuple[str, int], LocalRunner] | None = None

    def use_weights(self, fingerprint: str) -> None:
        """Draw with these weights from now on; what was drawn with others is forgotten."""
        if fingerprint != self._weights:
            self._weights = fingerprint
            self._kept.clear()
            self.forget_page()
            self.want("", ())

    def forget_page(self) -> None:
        """Begin anew with a page that has nothing yet."""
        self._on_page.clear()

    def want(self, layer: str, units: Sequence[int]) -> None:
        """Find the pictures of these units from now on, those that the page has not, and of no others."""
        keys = [(layer, unit) for unit in units]
        # the page keeps what is listed, and nothing else
        self._on_page = {key: value for key, value in self._on_page.items() if key[:2] in set(keys)}
        self._crops.clear()
        evidence = self._evidence(layer) if keys else None
        for _, unit in keys if evidence is not None and evidence.images else ():
            assert evidence is not None
            best = evidence[unit].top[:1]
            token = [(crop.name, crop.position) for crop in best]
            if best and self._on_page.get((layer, unit, "crop")) != token:
                self._crops.append((best[0], token))
        missing = [key for key in keys if (*key, "drawn") not in self._on_page]
        self._found, self._drawn = deque(missing), deque(missing)
        if self._run is not None and self._run[0] not in missing:
            self._give_up()

    @property
    def pending(self) -> bool:
        """Whether there is something to find."""
        return bool(self._crops or self._found or self._drawn)

    @property
    def draws(self) -> bool:
        """Whether the next piece of work is a step of drawing."""
        return bool(self._drawn) and not (self._crops or self._found)

    def work(self) -> None:
        """Do one piece of work: read a crop, look a picture up, or make a step of drawing one."""
        if self._crops:
            self._send_crop(*self._crops.popleft())
        elif self._found:
            self._look_up(self._found.popleft())
        elif self._drawn:
            self._draw(self._drawn[0])

    # Each of them

    def _send_crop(self, crop: Crop, token: object) -> None:
        try:
            field = find_focus(self._network(), crop) if crop.wide else None
            picture = thumbnail(crop, crop.box if field is None else crop.focus_of(field) or crop.box)
        except PeekError as error:
            self._send((crop.layer, crop.unit), "crop", None, str(error), token)
            return
        self._send((crop.layer, crop.unit), "crop", picture, "", token)

    def _look_up(self, key: tuple[str, int]) -> None:
        picture = self._sheet(*key, self._weights) or self._kept.get(key)
        if picture is not None:
            self._drawn.remove(key)
            self._send(key, "drawn", picture)

    def _draw(self, key: tuple[str, int]) -> None:
        try:
            if self._run is None or self._run[0] != key:
                self._give_up()
                self._run = key, self._runner(*key)
            for result in self._run[1].work(0.0):
                for one in result.finished:
                    self._keep(key, png_thumbnail(one.png))
                for problem in result.failed.values():
                    self._drawn.remove(key)
                    self._send(key, "drawn", None, problem)
        except PeekError as error:
            # a recipe that can't draw this layer, say
            self._give_up()
            self._drawn.remove(key)
            self._send(key, "drawn", None, str(error))

    def _runner(self, layer: str, unit: int) -> LocalRunner:
        network = self._network()
        (batch,) = plan(network, layer, RECIPE, [unit], precision=self._precision)
        runner = LocalRunner(lambda: network, self._weights, {})
        runner.submit(batch)
        return runner

    def _keep(self, key: tuple[str, int], picture: bytes) -> None:
        self._kept[key] = picture
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        self._run = None
        self._drawn.remove(key)
        self._send(key, "drawn", picture)

    def _give_up(self) -> None:
        if self._run is not None:
            self._run[1].close()
        self._run = None

    def _send(
        self, key: tuple[str, int], of: Of, picture: bytes | None, problem: str = "", token: object = True
    ) -> None:
        self._on_page[(*key, of)] = token
        message = {"kind": PhotoPicture.kind, "layer": key[0], "unit": key[1], "of": of, "problem": problem}
        self._front_end.send(message, [] if picture is None else [picture])

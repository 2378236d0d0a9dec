"""Pictures of the units listed in the photo tab, drawn pictures and best real crops, found one after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from peek_widget.ascent import Ascent
from peek_widget.errors import PeekError
from peek_widget.evidence import Crop, LayerEvidence, find_focus
from peek_widget.live.examples.thumbnails import thumbnail
from peek_widget.live.front_end import FrontEnd
from peek_widget.live.protocol import PhotoPicture
from peek_widget.live.unit_drawings import UnitDrawings
from peek_widget.network import Network

__all__ = ["UnitPictures"]

log: logging.Logger = logging.getLogger("peek_widget")

Of = Literal["drawn", "crop"]


class UnitPictures:
    """A sender of the listed units' pictures; for one thread, which calls :meth:`work` while it has time.

    A picture that must be drawn is drawn one step at a time, and dropped when its unit is no longer listed.

    Args:
        front_end: sends messages to the page.
        network: returns the network for drawing and for finding the focus of crops.
        drawings: drawn pictures of units.
        evidence: returns the evidence on a layer from real images; None where there is no evidence.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        network: Callable[[], Network],
        drawings: UnitDrawings,
        evidence: Callable[[str], LayerEvidence | None],
    ) -> None:
        self._front_end, self._network, self._drawings, self._evidence = front_end, network, drawings, evidence
        # what the page has of the listed units, and from which crop
        self._on_page: dict[tuple[str, int, Of], object] = {}
        self._crops: deque[tuple[Crop, object]] = deque()
        self._found: deque[tuple[str, int]] = deque()
        self._drawn: deque[tuple[str, int]] = deque()
        self._run: tuple[tuple[str, int], Iterator[tuple[Ascent, bytes | None]]] | None = None

    def use_network(self, network: Network) -> None:
        """Draw with the weights of this network from now on; pictures of other weights no longer count as sent."""
        if self._drawings.use(network):
            self.forget_page()
            self.want("", ())

    def forget_page(self) -> None:
        """Start again for a page that has no pictures yet."""
        self._on_page.clear()

    def want(self, layer: str, units: Sequence[int]) -> None:
        """Find from now on the pictures of these units that the page lacks, and no others."""
        keys = [(layer, unit) for unit in units]
        # the page keeps only the pictures of listed units
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
            self._run = None

    @property
    def pending(self) -> bool:
        """Whether there is a picture to find."""
        return bool(self._crops or self._found or self._drawn)

    @property
    def draws(self) -> bool:
        """Whether the next piece of work is a step of drawing."""
        return bool(self._drawn) and not (self._crops or self._found)

    def work(self) -> None:
        """Do one piece of work: read a crop, look up a picture, or make one step of drawing it."""
        if self._crops:
            self._send_crop(*self._crops.popleft())
        elif self._found:
            self._look_up(self._found.popleft())
        elif self._drawn:
            self._draw(self._drawn[0])

    # -- the pieces of work

    def _send_crop(self, crop: Crop, token: object) -> None:
        try:
            field = find_focus(self._network(), crop) if crop.wide else None
            picture = thumbnail(crop, crop.box if field is None else crop.focus_of(field) or crop.box)
        except PeekError as error:
            self._send((crop.layer, crop.unit), "crop", None, str(error), token)
            return
        self._send((crop.layer, crop.unit), "crop", picture, "", token)

    def _look_up(self, key: tuple[str, int]) -> None:
        picture = self._drawings.find(*key)
        if picture is not None:
            self._finish(key, picture)

    def _draw(self, key: tuple[str, int]) -> None:
        try:
            if self._run is None or self._run[0] != key:
                self._run = key, self._drawings.draw(self._network(), *key)
            ascent, picture = next(self._run[1])
        except PeekError as error:
            # for example, a unit without a gradient
            self._finish(key, None, str(error))
            return
        except Exception as error:
            # the unit's row reports it; the next unit may still be drawn
            log.error("Unit %d of %r was not drawn: %s", key[1], key[0], error, exc_info=error)
            self._finish(key, None, f"{type(error).__name__}: {error}")
            return
        if ascent.done:
            self._finish(key, picture)

    def _finish(self, key: tuple[str, int], picture: bytes | None, problem: str = "") -> None:
        if self._run is not None and self._run[0] == key:
            self._run = None
        self._drawn.remove(key)
        self._send(key, "drawn", picture, problem)

    def _send(
        self, key: tuple[str, int], of: Of, picture: bytes | None, problem: str = "", token: object = True
    ) -> None:
        self._on_page[(*key, of)] = token
        message = {"kind": PhotoPicture.kind, "layer": key[0], "unit": key[1], "of": of, "problem": problem}
        self._front_end.send(message, [] if picture is None else [picture])

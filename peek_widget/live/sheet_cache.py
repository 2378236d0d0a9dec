"""The contact sheets of an explorer: one for each layer, recipe, seed and size shown, all on one network."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from peek_widget._progress import Rate
from peek_widget._size import SizeLike
from peek_widget.ascent import Recipe
from peek_widget.ascent.recipe import as_recipe
from peek_widget.live.examples.thumbnails import png_thumbnail
from peek_widget.live.replica import Replica
from peek_widget.network import Network
from peek_widget.network.fingerprint import fingerprint
from peek_widget.network.precision import Precision
from peek_widget.sheet import ContactSheet, Tags
from peek_widget.sheet.batches import Kind, plan
from peek_widget.sheet.local import Replicas
from peek_widget.sheet.schedule import Scheduler

__all__ = ["CachedSheet", "ExplorerSheet", "SheetCache", "SheetKey"]

MOST_BYTES = 256 * 1024 * 1024
"""Maximum number of bytes of the pictures of all sheets together."""

MOST_SHEETS = 32
"""Maximum number of sheets kept; each setting of a control may have its own sheet."""

LEAST_DETAIL = 3.0
"""Ratio of a finished picture's steps to its preview's, below which previews would gain little and are left out."""

RATE_WINDOW = 90.0
"""Seconds over which the speed of drawing is measured."""

MEASURED = 0.3
"""Seconds for which the speed has to be measured before it is shown."""


@dataclass(frozen=True)
class SheetKey:
    """The identity of a sheet: a change of any field means another sheet.

    Attributes:
        layer: name of the layer.
        recipe: recipe of the pictures, or the name of a preset.
        seed: seed of the sheet.
        size: side of the pictures in pixels; None for the recipe's.
        objective: `"neuron"`, `"channel"` or `"class"`.
    """

    layer: str
    recipe: Recipe | str
    seed: int = 0
    size: SizeLike | None = None
    objective: str = "neuron"

    @property
    def kind(self) -> Kind:
        """The objective in the terms of a sheet, which always draws a class for its score."""
        return "channel" if self.objective == "channel" else "neuron"

    def folder(self, recipe: Recipe, weights: str) -> str:
        """Return the name of the sheet's folder in a store: readable, and different for every sheet of a layer.

        Args:
            recipe: the recipe.
            weights: fingerprint of the model's weights.
        """
        content = f"{recipe.to_json()}/{self.seed}/{self.size}/{self.kind}/{weights}"
        name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in self.layer) or "output"
        return f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


class ExplorerSheet(ContactSheet):
    """A sheet of an explorer, on the network of all sheets, which the explorer's own thread runs.

    A sheet drawn from a cell therefore makes a replica for as long as the drawing takes.
    """

    def drawing_network(self) -> Network:
        """Return a replica for the thread that draws the sheet now."""
        return self.network.replica()


@dataclass
class CachedSheet:
    """A sheet with its scheduler and its thumbnails.

    Attributes:
        number: number of the sheet on the page, from 1.
        sheet: the sheet.
        scheduler: draws it in the service's thread.
        thumbnails: by unit, whether it is a preview, and its JPEG.
        rate: recent speed in units per second, of either previews or finished pictures.
        previewed: whether the rate is that of previews.
        detail: ratio of a finished picture's steps to those of the preview that it begins with; None where the preview
            has another recipe, or there are no previews.
    """

    number: int
    sheet: ContactSheet
    scheduler: Scheduler
    thumbnails: dict[int, tuple[bool, bytes]] = field(default_factory=dict)
    rate: Rate = field(default_factory=lambda: Rate(RATE_WINDOW))
    previewed: bool = False
    detail: float | None = None

    def note_pace(self, now: float) -> None:
        """Record how much has been drawn at a time; call it after each step."""
        if self.previewed != self.scheduler.previewing:
            self.previewed = self.scheduler.previewing
            self.rate.clear()
        self.rate.add(now, len(self.sheet) - self.scheduler.units_left)

    def seconds_left(self) -> tuple[float | None, float | None]:
        """Estimate the seconds until all previews are drawn, and the seconds that the finished pictures then take.

        Each is None until a few steps have been measured.
        """
        left = self.rate.time_left(self.scheduler.units_left, at_least=MEASURED)
        if not self.scheduler.previewing:
            return None, left
        each = self.rate.time_left(1, at_least=MEASURED)
        if self.detail is None or each is None:
            return left, None
        return left, each * self.detail * (len(self.sheet) - len(self.sheet.done) - len(self.failed))

    @property
    def failed(self) -> dict[int, str]:
        """The reasons why units can't be drawn, in sentences, by unit."""
        return dict(self.sheet.archive.failed)

    @property
    def size(self) -> int:
        """Number of bytes of all its pictures."""
        pictures = (*self.sheet.done.values(), *self.sheet.drafts.values())
        return sum(len(one.png) for one in pictures) + sum(len(data) for _, data in self.thumbnails.values())

    def thumbnail(self, unit: int) -> tuple[bool, bytes] | None:
        """Return whether the picture of a unit is a preview, and a small JPEG of it; None if it has no picture."""
        one = self.sheet.done.get(unit) or self.sheet.drafts.get(unit)
        if one is None:
            return None
        found = self.thumbnails.get(unit)
        if found is None or found[0] != one.draft:
            # one.image is not used, since it would keep every picture decoded
            found = self.thumbnails[unit] = (one.draft, png_thumbnail(one.png))
        return found


class SheetCache:
    """A cache of the sheets shown last, as many as fit, and of the one network that they share.

    Args:
        network: returns the explorer's current network.
        tags: the user's tags, shared by all sheets.
        store: where sheets are saved, each in a folder of its own; None to keep them in memory only.
        at_once: returns how many batches may now be drawn at once.
        precision: what the network computes in; see `peek_widget.ascent.AscentOptions`.
        clock: returns monotonic time in seconds.
    """

    def __init__(
        self,
        network: Callable[[], Network],
        tags: Tags,
        store: str | None = None,
        *,
        at_once: Callable[[], int] = lambda: 1,
        precision: Precision | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._network, self._tags, self._store, self._clock = network, tags, store, clock
        self._at_once, self._precision = at_once, precision
        self._networks = Replicas(self.network)
        self._replica = Replica(network)
        self._lock = threading.RLock()
        self._sheets: OrderedDict[tuple[SheetKey, str], CachedSheet] = OrderedDict()
        self._numbers = 0

    def network(self) -> Network:
        """Return the network of all sheets, with the model's current weights; for the service's thread."""
        with self._lock:
            network = self._share()
        network.model_copy.refresh()
        return network

    def get(self, key: SheetKey, *, service_thread: bool) -> CachedSheet:
        """Return the cached sheet, or a new one.

        Args:
            key: identity of the sheet.
            service_thread: whether the caller is the service's thread, which may run the network of all sheets. In any
                other thread a new sheet is planned on a replica of its own.

        Raises:
            PeekError: if it is not possible: the layer can't have this recipe or size, or the store has another sheet.
        """
        given = self._network()
        # training the model further leads to another sheet
        weights = fingerprint(given)
        with self._lock:
            found = self._sheets.get((key, weights))
            if found is None:
                own = None if service_thread else given.replica()
                found = self._make(key, weights, self._share() if own is None else own)
                found.sheet.use_network(self._share(own))
                self._sheets[key, weights] = found
            self._sheets.move_to_end((key, weights))
            self._shrink()
            return found

    def picture(self, key: SheetKey, unit: int, weights: str) -> bytes | None:
        """Return the small JPEG of a unit from any sheet of its layer where it is finished; None if there is none.

        Args:
            key: the sheet to open, for what its store has, if no sheet of the layer is cached yet; its recipe
                and seed do not matter.
            unit: number of the unit.
            weights: fingerprint of the weights.

        Raises:
            PeekError: if the store has another sheet, or can't be read.
        """
        with self._lock:
            known = {layer.layer for layer, of in self._sheets if of == weights}
            if key.layer not in known and self._store is not None:
                self.get(key, service_thread=False)
            sheets = [each for (one, of), each in self._sheets.items() if one.layer == key.layer and of == weights]
        # the sheet shown last comes first
        for each in reversed(sheets):
            found = each.thumbnail(unit)
            if found is not None and not found[0]:
                return found[1]
        return None

    def _share(self, ready: Network | None = None) -> Network:
        """Return the network of all sheets; a new one is given to every sheet.

        Sheets of weights that the model no longer has are dropped, since they would keep these in memory.
        """
        network = self._replica(ready)
        outdated = [key for key, each in self._sheets.items() if each.sheet.network is not network]
        weights = fingerprint(network) if outdated else ""
        for key in outdated:
            if key[1] == weights:
                self._sheets[key].sheet.use_network(network)
            else:
                del self._sheets[key]
        return network

    def _make(self, key: SheetKey, weights: str, network: Network) -> CachedSheet:
        recipe = as_recipe(key.recipe)
        store = None if self._store is None else f"{self._store.rstrip('/')}/{key.folder(recipe, weights)}"
        options: dict[str, Any] = {"seed": key.seed, "size": key.size, "objective": key.kind}
        options["precision"] = self._precision
        sheet = ExplorerSheet(network, key.layer, recipe, store=store, tags=self._tags, **options)
        drafts = plan(network, key.layer, recipe, draft=True, **options)
        detail = recipe.steps / (drafts[0].steps or recipe.steps)
        if detail < LEAST_DETAIL:
            drafts = []
        elif drafts[0].recipe != recipe:
            detail = None
        self._numbers += 1
        scheduler = sheet.scheduler(self._networks, drafts, at_once=self._at_once, clock=self._clock)
        return CachedSheet(self._numbers, sheet, scheduler, detail=detail)

    def _shrink(self) -> None:
        """Drop sheets until the others fit; the newest is never dropped."""
        while len(self._sheets) > MOST_SHEETS:
            # drop the cheapest to draw again: that with the fewest pictures, among equals the one not shown for longest
            others = [*self._sheets][:-1]
            del self._sheets[min(others, key=lambda key: len(self._sheets[key].sheet.done))]
        total = sum(each.size for each in self._sheets.values())
        while len(self._sheets) > 1 and total > MOST_BYTES:
            _, old = self._sheets.popitem(last=False)
            total -= old.size

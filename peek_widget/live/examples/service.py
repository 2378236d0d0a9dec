"""The thread beside the worker that looks at real images: its passes, their crops, the gauge and the verdict.

Whoever wants something leaves it in the mailbox and goes on, as with the session; here too the newest wish of a
kind wins. What is slow (decoding, a forward for an activation map) happens in this thread, never in a handler of
the front end's messages and never in the worker that draws.
"""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peek_widget._progress import duration
from peek_widget.errors import PeekError, SizeError
from peek_widget.evidence import (
    Crop,
    Evidence,
    EvidenceError,
    EvidencePass,
    LayerEvidence,
    UnitEvidence,
    activation_map,
    measures,
)
from peek_widget.evidence.dataset import Source, read_source
from peek_widget.evidence.store import load_evidence
from peek_widget.live import thumbnails as thumbs
from peek_widget.live.choices import objective_of
from peek_widget.live.examples.gauge import gauge, say_verdict, suggestion
from peek_widget.live.snapshot import Snapshot
from peek_widget.live.threads import set_threads
from peek_widget.network import Network

__all__ = ["ExampleService"]

log: logging.Logger = logging.getLogger("peek_widget")

BEAT = 0.35
"""Seconds between two looks at what the pass has found and at what the drawn picture has become."""

SHOWN_EVERY = 0.7
"""Seconds between two sets of crops sent while a pass goes on."""

SHARE = 10.0
"""A measurement of the drawn picture is made after a rest of so many times what the last one took."""

DUTY = 0.15
"""The share of the time that a pass takes while the picture draws."""

BATCH = 4
"""Images in a forward: the ascent waits no longer than that for the memory's bandwidth."""

FIRST_PICTURE = 5.0
"""Seconds that the first pass waits for at most, so that a new explorer shows its first picture soon."""

ENOUGH = 50
"""Images from which on a finished picture is judged while the pass still goes on."""

K = 9
_KEPT_THUMBS = 256
_KEPT_CROPS = 256
_RATE_OVER = 12.0

_OPPOSITE = "Drawn for what the unit likes least, so it isn't measured beside the images that it likes most."
_BEST_PLACE = "It is drawn for the mean over the map; what is compared is the best place of each."


@dataclass
class _Mailbox:
    choice: tuple[str, int] | None = None
    arrange: tuple[bool, bool] | None = None
    enlarge: int | None = None
    look: bool | None = None
    resend: bool = False
    nudge: bool = False


@dataclass
class _Looked:
    """What was found out about one layer, and by which pass."""

    evidence: LayerEvidence
    work: EvidencePass | None = None
    problem: str = ""
    samples: deque[tuple[float, int]] = field(default_factory=deque)


class _OneAtATime(Source):
    """A source from which the pass and the desk fetch in turn: a Dataset, or an open file, may not bear two."""

    def __init__(self, source: Source) -> None:
        self._source, self._lock = source, threading.Lock()
        self.described, self.concurrent, self.class_names = source.described, source.concurrent, source.class_names

    def __len__(self) -> int:
        return len(self._source)

    def identity(self, index: int) -> int:
        return self._source.identity(index)

    def find(self, identity: int) -> int | None:
        return self._source.find(identity)

    def name(self, index: int) -> str:
        return self._source.name(index)

    def load(self, index: int, needed: int | None = None) -> Any:
        with self._lock:
            return self._source.load(index, needed)


class ExampleService:
    """Real images for an explorer.

    Args:
        dataset: as `peek_widget.top_crops` takes it; or evidence already gathered (an `Evidence`, a
            `LayerEvidence`, or the name of a file of it), which is shown at once.
        labels: one for each image; see `peek_widget.top_crops`.
        network: gives the network as it is now read; called in the desk's thread.
        publish: takes the `evidence` and the `gauge` trait's new values; called in the desk's thread.
        tell: takes a message for the page and its buffers; likewise.
        watched: whether anybody looks; without that no pass goes on and nothing is sent.
        drawing: whether the ascent runs, to which a pass then gives way.
        k: crops in a set.
        clock: seconds, monotonic.

    The thread is a daemon and ends with `close()`. It is started by the first wish.
    """

    def __init__(
        self,
        dataset: Any,
        labels: Any,
        *,
        network: Callable[[], Network],
        publish: Callable[[dict[str, Any], dict[str, Any]], None],
        tell: Callable[[dict[str, Any], list[bytes]], None],
        watched: Callable[[], bool],
        drawing: Callable[[], bool],
        k: int = K,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dataset, self._labels = dataset, labels
        self._read_network, self._publish, self._tell = network, publish, tell
        self._is_watched, self._is_drawing = watched, drawing
        self._k, self._clock = k, clock
        self._changed = threading.Condition()
        self._mailbox = _Mailbox()
        self._newest: Snapshot | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

        # from here on: the desk's own thread's
        self._source: Source | None = None
        self._network: Network | None = None
        self._looked: dict[str, _Looked] = {}
        self._problem = ""
        self._wanted = True
        self._ran = False
        self._began = clock()
        self._opened = False
        self._choice: tuple[str, int] | None = None
        self._least = self._cut = False
        self._unit: UnitEvidence | None = None
        self._seen: tuple[Any, ...] | None = None
        self._thumbs: OrderedDict[tuple[Any, ...], bytes | str] = OrderedDict()
        self._ids: OrderedDict[tuple[Any, ...], int] = OrderedDict()
        self._crops: dict[int, Crop] = {}
        self._on_page: set[tuple[Any, ...]] = set()
        self._last_set: Any = None
        self._sent_at = -1e9
        self._large = 0
        self._measured: tuple[Any, float] | None = None
        self._measured_at, self._cost = -1e9, 0.0
        self._judged: tuple[Any, dict[str, Any], int] | None = None
        self._told: tuple[Any, Any] | None = None

    # -- wishes, from any thread

    def show(self, layer: str, unit: int) -> None:
        """Look at another unit."""
        self._wish(choice=(layer, unit))

    def arrange(self, least: bool, cut: bool) -> None:
        """Show the least exciting instead of the most, what the unit sees instead of the whole image."""
        self._wish(arrange=(least, cut))

    def enlarge(self, crop: int) -> None:
        """Show the crop of this number large, with the unit's map; 0 puts it away."""
        self._wish(enlarge=crop)

    def look(self, on: bool) -> None:
        """Stop looking through the images, or go on."""
        self._wish(look=on)

    def resend(self) -> None:
        """A page has come that knows nothing yet."""
        self._wish(resend=True)

    def nudge(self) -> None:
        """Something happened that may concern the desk: somebody looks again, say."""
        self._wish(nudge=True)

    def show_picture(self, picture: Snapshot) -> None:
        """The drawn picture has changed."""
        with self._changed:
            wake = picture.done or self._newest is None or self._newest.run != picture.run
            self._newest = picture
            if wake and self._thread is not None:
                self._mailbox.nudge = True
                self._changed.notify_all()

    def crop(self, number: int) -> Crop | None:
        """The crop that the page knows by this number."""
        return self._crops.get(number)

    def crops(self, layer: str, unit: int) -> UnitEvidence | None:
        """What has been found for a unit so far, None before its layer's first image."""
        looked = self._looked.get(layer)
        return looked.evidence[unit] if looked is not None and looked.evidence.images else None

    def whole_evidence(self, layer: str) -> LayerEvidence | None:
        """What all images say about a layer; None while they are being looked at, or before."""
        looked = self._looked.get(layer)
        if looked is None or not looked.evidence.images:
            return None
        work = looked.work
        return looked.evidence if work is None or work.progress.done >= work.progress.total else None

    def close(self, timeout: float = 5.0) -> bool:
        """End the thread and its pass; whether both have ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        works = [looked.work for looked in list(self._looked.values()) if looked.work is not None]
        for work in works:
            work.stop()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive() and all(work.wait(timeout) for work in works)

    def _wish(self, **wishes: Any) -> None:
        with self._changed:
            for name, value in wishes.items():
                setattr(self._mailbox, name, value)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="peek_widget.images", daemon=True)
                # as with the session: a daemon thread inside torch must not see the interpreter go
                atexit.register(self.close)
                self._thread.start()
            self._changed.notify_all()

    # -- the thread

    def _work(self) -> None:
        set_threads(1)
        while True:
            with self._changed:
                if self._mailbox == _Mailbox() and not self._closed:
                    self._changed.wait(BEAT if self._busy() else None)
                if self._closed:
                    break
                mailbox, self._mailbox = self._mailbox, _Mailbox()
            try:
                self._turn(mailbox)
            except PeekError as error:
                self._problem = str(error)
                self._say()
            except BaseException as error:
                # the explorer goes on drawing, and the reader is told
                log.error("Looking at real images failed: %s", error, exc_info=error)
                self._problem = f"{type(error).__name__}: {error}"
                self._say()
        for looked in self._looked.values():
            if looked.work is not None:
                looked.work.stop(wait=True)
        atexit.unregister(self.close)

    def _busy(self) -> bool:
        """Whether something may change without anybody's wish."""
        if self._running() is not None or self._ran or (self._source is not None and self._holds_back()):
            return True
        newest = self._newest
        return (
            newest is not None
            and self._fits(newest)
            and (self._measured_of(newest) is None or self._should_judge(newest))
        )

    def _running(self) -> EvidencePass | None:
        looked = None if self._choice is None else self._looked.get(self._choice[0])
        work = None if looked is None else looked.work
        return work if work is not None and work.progress.running else None

    def _turn(self, mailbox: _Mailbox) -> None:
        self._open()
        if mailbox.resend:
            self._on_page.clear()
            self._last_set = self._told = None
        if mailbox.look is not None:
            self._wanted = mailbox.look
            if mailbox.look and self._choice is not None and self._choice[0] in self._looked:
                self._looked[self._choice[0]].problem = ""
        if mailbox.arrange is not None:
            self._least, self._cut = mailbox.arrange
        if mailbox.choice is not None and mailbox.choice != self._choice:
            self._choose(*mailbox.choice)
        if self._choice is None:
            self._say()
            return
        watched = self._is_watched()
        # once more after a pass has ended, for its last batch
        ran = self._running() is not None
        self._keep_looking(watched)
        self._ran = ran or self._running() is not None
        self._refresh()
        if watched:
            asked = any(wish is not None for wish in (mailbox.arrange, mailbox.choice)) or mailbox.resend
            self._send_crops(at_once=asked)
            if mailbox.enlarge is not None:
                self._large = mailbox.enlarge
            if (mailbox.enlarge or mailbox.resend) and self._large:
                self._send_large(self._large)
            self._measure()
            newest = self._newest
            if newest is not None and self._should_judge(newest):
                # the gauge first: a verdict takes as long as some thirty forwards
                self._say()
                self._judge(newest)
        self._say()

    def _open(self) -> None:
        """Find out, once, what the dataset is: a folder of a million files takes its time."""
        if self._opened:
            return
        self._opened = True
        dataset = self._dataset
        if isinstance(dataset, str | Path) and Path(dataset).expanduser().is_file():
            dataset = load_evidence(Path(dataset).expanduser())
        if isinstance(dataset, LayerEvidence):
            dataset = Evidence(dataset._example_index)
        if isinstance(dataset, Evidence):
            for layer in dataset.values():
                layer.check_model(self._read_network())
            self._looked = {name: _Looked(layer) for name, layer in dataset.items()}
            self._source = dataset.example_index.source
            return
        self._source = _OneAtATime(read_source(dataset, self._labels))

    def _net(self) -> Network:
        """A network of the desk's own: a forward at the same time as the worker's must not be one of the same ghost."""
        if self._network is None or self._network.model_copy.stale():
            self._network = self._read_network().replica()
        return self._network

    def _choose(self, layer: str, unit: int) -> None:
        if self._choice is None or self._choice[0] != layer:
            for name, looked in self._looked.items():
                if looked.work is not None and name != layer:
                    looked.work.stop()
        self._choice = (layer, unit)
        self._unit, self._seen, self._large = None, None, 0

    def _keep_looking(self, watched: bool) -> None:
        """Let the pass of the layer shown run if it should, and stand still if not."""
        assert self._choice is not None
        layer = self._choice[0]
        looked = self._looked.get(layer)
        if looked is None:
            if self._source is None or not (watched and self._wanted) or self._holds_back():
                return
            work = EvidencePass(
                self._read_network(),
                layer,
                self._source,
                self._k,
                batch_size=BATCH,
                workers=1,
                threads=1,
                yield_to=self._is_drawing,
                duty=DUTY,
            )
            looked = self._looked[layer] = _Looked(work.evidence[layer], work)
        work = looked.work
        if work is None:
            return
        progress = work.progress
        if progress.running:
            if not (watched and self._wanted):
                work.stop()
            now = self._clock()
            looked.samples.append((now, progress.done))
            while looked.samples and now - looked.samples[0][0] > _RATE_OVER:
                looked.samples.popleft()
            return
        looked.samples.clear()
        if work.error is not None:
            looked.problem = _for_viewers(work.error)
            log.warning("The pass over the images ended: %s", looked.problem)
            work.error = None
            self._wanted = False
        elif watched and self._wanted and not looked.problem and progress.done < progress.total and work.wait(0):
            work.start()

    def _holds_back(self) -> bool:
        """Whether the first picture deserves to be seen before the first image is looked at."""
        return self._newest is None and self._is_drawing() and self._clock() - self._began < FIRST_PICTURE

    def _refresh(self) -> None:
        """Take a new snapshot of the unit where the pass has gone on."""
        assert self._choice is not None
        layer, unit = self._choice
        looked = self._looked.get(layer)
        seen = None if looked is None else (layer, unit, looked.evidence.images)
        if seen != self._seen:
            self._seen = seen
            self._unit = looked.evidence[unit] if looked is not None and looked.evidence.images else None

    # -- crops for the page

    def _number(self, crop: Crop) -> int:
        key = (crop.layer, crop.unit, crop.name, crop.place)
        number = self._ids.get(key)
        if number is None:
            number = self._ids[key] = max(self._crops, default=0) + 1
            while len(self._ids) > _KEPT_CROPS:
                _, old = self._ids.popitem(last=False)
                self._crops.pop(old, None)
        else:
            self._ids.move_to_end(key)
        self._crops[number] = crop
        return number

    def _thumb(self, key: tuple[Any, ...], crop: Crop) -> bytes | str:
        """The thumbnail, or why there is none."""
        found = self._thumbs.get(key)
        if found is None:
            try:
                found = thumbs.thumb(crop, self._cut)
            except PeekError as error:
                found = str(error)
            self._thumbs[key] = found
            while len(self._thumbs) > _KEPT_THUMBS:
                self._thumbs.popitem(last=False)
        self._thumbs.move_to_end(key)
        return found

    def _send_crops(self, *, at_once: bool) -> None:
        now = self._clock()
        if not at_once and now - self._sent_at < SHOWN_EVERY and self._running() is not None:
            return
        evidence = self._unit
        chosen = () if evidence is None else (evidence.bottom if self._least else evidence.top)
        rows, buffers, on_page = [], [], set()
        for crop in chosen[: self._k]:
            key = (crop.name, crop.box if self._cut else None)
            found = self._thumb(key, crop)
            on_page.add(key)
            row = {
                "id": self._number(crop),
                "key": f"{crop.name}|{crop.box if self._cut else ''}",
                "activation": crop.activation,
                "name": crop.name,
                "label": crop.label_name or "",
                "clipped": crop.clipped,
                "box": thumbs.box_share(crop),
                "size": list(crop.size) if not self._cut else [crop.box[2] - crop.box[0], crop.box[3] - crop.box[1]],
                "image": -1,
                "problem": found if isinstance(found, str) else "",
            }
            if isinstance(found, bytes) and key not in self._on_page:
                row["image"] = len(buffers)
                buffers.append(found)
            rows.append(row)
        layer, unit = self._choice or ("", 0)
        this = (layer, unit, self._least, self._cut, [(row["id"], row["activation"]) for row in rows])
        if this == self._last_set and not buffers:
            return
        self._last_set, self._on_page, self._sent_at = this, on_page, now
        message = {
            "kind": "crops",
            "layer": layer,
            "unit": unit,
            "bottom": self._least,
            "cut": self._cut,
            "crops": rows,
        }
        self._tell(message, buffers)

    def _send_large(self, number: int) -> None:
        crop = self._crops.get(number)
        if crop is None:
            return
        message: dict[str, Any] = {
            "kind": "large",
            "id": number,
            "layer": crop.layer,
            "unit": crop.unit,
            "name": crop.name,
            "label": crop.label_name or "",
            "activation": crop.activation,
            "clipped": crop.clipped,
            "box": thumbs.box_share(crop),
            "size": list(crop.size),
            "map": [],
            "area": [],
            "problem": "",
        }
        buffers: list[bytes] = []
        try:
            buffers.append(thumbs.large(crop))
            found = activation_map(self._net(), crop)
            if found.numel() > 1:
                data, message["map"] = thumbs.map_bytes(found)
                message["area"] = thumbs.map_share(crop)
                buffers.append(data)
        except PeekError as error:
            message["problem"] = str(error)
        self._tell(message, buffers)

    # -- the gauge

    def _fits(self, drawn: Snapshot) -> bool:
        """Whether the picture can be set beside the images that its unit likes most."""
        return _unit_of(drawn) == self._choice and self._unit is not None and not drawn.target.negative

    def _measured_of(self, drawn: Snapshot) -> float | None:
        if self._measured is None or self._measured[0] != _picture(drawn):
            return None
        return self._measured[1]

    def _measure(self) -> None:
        """Lay the drawn picture before the network as a reader would, and at the run's end judge it once."""
        newest = self._newest
        if newest is None or not self._fits(newest) or self._measured_of(newest) is not None:
            return
        if not newest.done and self._clock() - self._measured_at < SHARE * self._cost:
            return
        began = time.perf_counter()
        network = self._net()
        network.model_copy.refresh()
        try:
            objective = objective_of(network, newest.target)
            found = measures.still_activation(network, objective, newest.image, newest.recipe)
        except SizeError:
            # in the middle of a run that grows its picture, a size at which the recipe would not end
            found = math.nan
        self._measured = (_picture(newest), found)
        self._measured_at, self._cost = self._clock(), time.perf_counter() - began

    def _should_judge(self, drawn: Snapshot) -> bool:
        """A finished picture is judged once, and once more when all images have been seen."""
        if not drawn.done or not self._fits(drawn):
            return False
        seen = self._looked[drawn.target.layer].evidence.images
        ended = self._running() is None
        if not ended and seen < ENOUGH:
            return False
        return self._judged is None or self._judged[0] != _picture(drawn) or (ended and self._judged[2] != seen)

    def _judge(self, drawn: Snapshot) -> None:
        layer, network = drawn.target.layer, self._net()
        looked = self._looked[layer]
        natural = {layer: looked.evidence.natural()}
        objective = objective_of(network, drawn.target)
        (verdict,) = measures.verdict(network, [objective], drawn.image[None], natural, drawn.recipe)
        units = len(looked.evidence)
        self._judged = (
            _picture(drawn),
            {
                "text": say_verdict(verdict, units),
                "rank": verdict.rank,
                "units": units,
                "robustness": verdict.robustness if verdict.robustness == verdict.robustness else None,
                "over_best": verdict.over_best if verdict.over_best == verdict.over_best else None,
            },
            looked.evidence.images,
        )

    # -- in words

    def _gauge(self) -> dict[str, Any]:
        newest = self._newest
        if newest is None or not self._fits(newest):
            found = gauge(self._unit, None)
            opposite = newest is not None and newest.target.negative and _unit_of(newest) == self._choice
            return {**found, "text": _OPPOSITE if opposite else ""} if found else {}
        measured = self._measured
        # of the same run: the number of some steps ago is better than none
        mine = measured is not None and measured[0][:2] == _picture(newest)[:2]
        helps = suggestion(newest.values, past_half=2 * newest.step > newest.total, done=newest.done)
        found = gauge(self._unit, measured[1] if mine and measured else None, helps)
        if not mine:
            found["text"] = ""
        elif newest.target.objective == "channel" and found:
            found["text"] = f"{found['text']} {_BEST_PLACE}"
        judged = self._judged
        found["verdict"] = judged[1] if judged is not None and judged[0] == _picture(newest) and newest.done else None
        return found

    def _describe(self) -> dict[str, Any]:
        layer, unit = self._choice or ("", 0)
        looked = self._looked.get(layer)
        found: dict[str, Any] = {
            "state": "waiting",
            "text": "Getting ready to look at real images.",
            "problem": self._problem,
            "layer": layer,
            "unit": unit,
            "images": 0,
            "total": 0,
            "k": self._k,
        }
        if looked is None:
            if self._problem:
                found.update(state="error", text="")
            elif self._opened and self._source is None and self._looked:
                names = ", ".join(name or "the output" for name in list(self._looked)[:4])
                found.update(
                    state="given",
                    text=f"The evidence given is of {names}, not of this layer, and has no images to look through.",
                )
            elif not self._wanted:
                found.update(state="stopped", text="Stopped before the first image.")
            return found
        found["problem"] = looked.problem or self._problem
        found["images"] = looked.evidence.images
        if looked.work is None:
            found.update(state="given", total=looked.evidence.images, text=f"From {looked.evidence.images:,} images.")
        else:
            progress = looked.work.progress
            found["total"] = progress.total
            if progress.running and self._wanted:
                left = self._left(looked, progress.total)
                found.update(
                    state="running",
                    text=f"Looking through real images: {progress.done:,} of {progress.total:,}"
                    + (f", {duration(left)} left." if left is not None else "."),
                )
            elif progress.done >= progress.total:
                found.update(state="done", text=f"All {progress.total:,} images seen.")
            elif looked.problem:
                found.update(state="error", text=f"Ended after {progress.done:,} of {progress.total:,} images.")
            elif not self._wanted:
                found.update(state="stopped", text=f"Stopped after {progress.done:,} of {progress.total:,} images.")
            else:
                # nobody looks, or it is just about to begin
                found.update(state="waiting", text=f"{progress.done:,} of {progress.total:,} images seen so far.")
        found["text"] = f"{found['text']} {_passed_over(looked.evidence)}".strip()
        return found

    def _left(self, looked: _Looked, total: int) -> float | None:
        if len(looked.samples) < 2:
            return None
        (began, first), (now, done) = looked.samples[0], looked.samples[-1]
        if done <= first or now - began < 1.0:
            return None
        return (total - done) * (now - began) / (done - first)

    def _say(self) -> None:
        now = (self._describe(), self._gauge())
        if now != self._told:
            self._told = now
            self._publish(*now)


def _picture(drawn: Snapshot) -> tuple[int, tuple[str, int], int]:
    """Which picture it is: of which run and unit, at which step."""
    return drawn.run, _unit_of(drawn), drawn.step


def _unit_of(drawn: Snapshot) -> tuple[str, int]:
    return drawn.target.layer, drawn.target.unit


def _passed_over(evidence: LayerEvidence) -> str:
    count = evidence.skipped_count
    if not count:
        return ""
    name, reason = next(iter(evidence.skipped.items()), ("", ""))
    named = f" ({name}: {reason}{', and others' if count > 1 else ''})" if name else ""
    return f"{count:,} could not be read{named}."


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _for_viewers(error: BaseException) -> str:
    """Why a pass ended, for somebody who has the page and its buttons, and no Python."""
    if isinstance(error, EvidenceError):
        return f"{error.plain} What it found until then is shown. Mend what is wrong and press Go on for the rest."
    return str(error) if isinstance(error, PeekError) else _named(error)

"""Keeps the gauge up to date: measures the picture as it is drawn, and scores it when its run has ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peek_widget.ascent import Objective
from peek_widget.errors import SizeError
from peek_widget.evidence import LayerEvidence, UnitEvidence, measures
from peek_widget.live.choices import objective_of
from peek_widget.live.examples.gauge import describe_score, gauge, suggestion
from peek_widget.live.snapshot import Snapshot
from peek_widget.network import Network

__all__ = ["GaugeMonitor"]

REST = 10.0
"""The picture is measured again after a rest of so many times what the last measurement took."""

ENOUGH_IMAGES = 50
"""Number of images from which on a finished picture is scored while the pass still runs."""

_NEGATIVE = "Negative objective: not compared with the top images."
_CUSTOM = "Custom objective: not compared with the top images."
_CHANNEL = "Optimized for the channel mean; compared at the maximum."

PictureKey = tuple[int, str, int, int]


@dataclass(frozen=True)
class _Measurement:
    """A still activation of a picture; NaN where it could not be measured."""

    picture: PictureKey
    activation: float


@dataclass(frozen=True)
class _Score:
    """The score of a finished picture as the page gets it, and the number of images that it was scored with."""

    picture: PictureKey
    images: int
    content: dict[str, Any]


class GaugeMonitor:
    """Compares the newest picture of the main run with the real images of its unit.

    :meth:`show_picture` is called by the main run's thread, all other methods by the thread of the examples.

    Args:
        network: returns the network that this thread may run.
        clock: returns seconds, monotonic.
    """

    def __init__(self, network: Callable[[], Network], clock: Callable[[], float] = time.monotonic) -> None:
        self._network, self._clock = network, clock
        self._newest: Snapshot | None = None
        self._measured: _Measurement | None = None
        self._measured_at, self._cost = -math.inf, 0.0
        self._score: _Score | None = None

    @property
    def has_picture(self) -> bool:
        """Whether the main run has shown a picture."""
        return self._newest is not None

    def show_picture(self, picture: Snapshot) -> bool:
        """Take the newest picture, and return whether it should be examined at once: a run's first or last one."""
        last, self._newest = self._newest, picture
        return picture.done or last is None or last.run != picture.run

    def has_work(self, unit: UnitEvidence | None, layer: LayerEvidence | None, *, pass_running: bool) -> bool:
        """Return whether the newest picture of this unit is still to be measured or scored."""
        picture = self._comparable(unit)
        return picture is not None and (
            not self._is_measured(picture) or self.score_due(unit, layer, pass_running=pass_running)
        )

    def measure(self, unit: UnitEvidence | None) -> None:
        """Measure the newest picture if it is of this unit and has not been measured; now and then during a run."""
        picture = self._comparable(unit)
        if picture is None or self._is_measured(picture):
            return
        if not picture.done and self._clock() - self._measured_at < REST * self._cost:
            return
        began = time.perf_counter()
        network = self._network()
        network.model_copy.refresh()
        objective = objective_of(network, picture.target)
        try:
            activation = measures.still_activation(network, objective, picture.image, picture.recipe)
        except SizeError:
            # in the middle of a run that grows its picture: a size at which the recipe would not end
            activation = math.nan
        self._measured = _Measurement(_key(picture), activation)
        self._measured_at, self._cost = self._clock(), time.perf_counter() - began

    def score_due(self, unit: UnitEvidence | None, layer: LayerEvidence | None, *, pass_running: bool) -> bool:
        """Return whether to score the newest picture: once when its run has ended, again when the pass has."""
        picture = self._comparable(unit)
        if picture is None or layer is None or not picture.done:
            return False
        if pass_running and layer.images < ENOUGH_IMAGES:
            return False
        score = self._score
        return score is None or score.picture != _key(picture) or (not pass_running and score.images != layer.images)

    def score(self, unit: UnitEvidence | None, layer: LayerEvidence) -> None:
        """Score the newest picture; this takes as long as some thirty forwards."""
        picture = self._comparable(unit)
        if picture is None:
            return
        network = self._network()
        objective = objective_of(network, picture.target)
        statistics = {layer.name: layer.statistics()}
        (found,) = measures.score(network, [objective], picture.image[None], statistics, picture.recipe)
        units = len(layer)
        self._score = _Score(
            _key(picture),
            layer.images,
            {
                "text": describe_score(found, units),
                "rank": found.rank,
                "units": units,
                "robustness": _finite(found.robustness),
                "activation_ratio": _finite(found.activation_ratio),
            },
        )

    def value(self, unit: UnitEvidence | None) -> dict[str, Any]:
        """Return the value of the gauge trait for this unit."""
        picture = self._comparable(unit)
        if picture is None:
            found = gauge(unit, None)
            return {**found, "text": self._why_not(unit)} if found else {}
        measured = self._measured
        # one of some steps ago is better than none, if it is of the same run
        if measured is not None and measured.picture[:-1] != _key(picture)[:-1]:
            measured = None
        advice = suggestion(picture.values, past_half=2 * picture.step > picture.total, done=picture.done)
        found = gauge(unit, None if measured is None else measured.activation, advice)
        if not found:
            return {}
        if measured is None:
            found["text"] = ""
        elif picture.target.objective == "channel":
            found["text"] = f"{found['text']} {_CHANNEL}"
        score = self._score
        found["score"] = (
            score.content if score is not None and score.picture == _key(picture) and picture.done else None
        )
        return found

    def _comparable(self, unit: UnitEvidence | None) -> Snapshot | None:
        """Return the newest picture if it can be compared with the top images of this unit."""
        newest = self._newest
        return newest if newest is not None and _is_of(newest, unit) and not self._why_not(unit) else None

    def _why_not(self, unit: UnitEvidence | None) -> str:
        """Return why the newest picture, though of this unit, is not compared with its images; "" if it is."""
        newest = self._newest
        if newest is None or not _is_of(newest, unit):
            return ""
        if isinstance(newest.target.objective, Objective):
            # it may be of other units or layers, and its value is on another scale
            return _CUSTOM
        return _NEGATIVE if newest.target.negative else ""

    def _is_measured(self, picture: Snapshot) -> bool:
        return self._measured is not None and self._measured.picture == _key(picture)


def _is_of(picture: Snapshot, unit: UnitEvidence | None) -> bool:
    return unit is not None and (picture.target.layer, picture.target.unit) == (unit.layer, unit.unit)


def _key(picture: Snapshot) -> PictureKey:
    """Identify a picture: its run, layer, unit and step."""
    return picture.run, picture.target.layer, picture.target.unit, picture.step


def _finite(value: float) -> float | None:
    return value if value == value else None

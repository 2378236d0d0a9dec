"""Updates the gauge: compares the pictures that the run has measured, and scores the last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peek_widget.ascent import Objective
from peek_widget.evidence import LayerEvidence, UnitEvidence, measures
from peek_widget.live.choices import objective_of
from peek_widget.live.examples.gauge import describe_score, gauge, suggestion
from peek_widget.live.snapshot import Snapshot
from peek_widget.network import Network

__all__ = ["GaugeMonitor"]

ENOUGH_IMAGES = 50
"""Minimum number of images for scoring a finished picture while the pass still runs."""

_NEGATIVE = "Negative objective: not compared with the top images."
_CUSTOM = "Custom objective: not compared with the top images."
_CHANNEL = "Optimized for the channel mean; compared at the maximum."

PictureKey = tuple[int, str, int, int]


@dataclass(frozen=True)
class _Shown:
    """A picture of the main run, and the activation shown with it; None until one is measured."""

    picture: Snapshot
    activation: float | None


@dataclass(frozen=True)
class _Score:
    """The score of a finished picture as sent to the page, and the number of images used for it."""

    picture: PictureKey
    images: int
    content: dict[str, Any]


class GaugeMonitor:
    """A comparison of the main run's newest picture with the real images of its unit.

    The main run's thread calls :meth:`show_picture`; the thread of the examples calls all other methods.

    Args:
        network: returns the network that this thread may run.
    """

    def __init__(self, network: Callable[[], Network]) -> None:
        self._network = network
        self._shown: _Shown | None = None
        self._score: _Score | None = None

    @property
    def has_picture(self) -> bool:
        """Whether the main run has shown a picture."""
        return self._shown is not None

    def show_picture(self, picture: Snapshot, activation: float | None) -> bool:
        """Take the newest picture and the activation shown with it.

        Returns:
            Whether to compare it now: the activation is another, or the picture is the first or the last of a run.
        """
        last, self._shown = self._shown, _Shown(picture, activation)
        if last is None:
            return True
        return picture.done or last.picture.run != picture.run or last.activation != activation

    def score_due(self, unit: UnitEvidence | None, layer: LayerEvidence | None, *, pass_running: bool) -> bool:
        """Return whether to score the newest picture: once when its run has ended, again when the pass has ended."""
        shown = self._comparable(unit)
        if shown is None or layer is None or not shown.picture.done:
            return False
        if pass_running and layer.images < ENOUGH_IMAGES:
            return False
        score = self._score
        return (
            score is None or score.picture != _key(shown.picture) or (not pass_running and score.images != layer.images)
        )

    def score(self, unit: UnitEvidence | None, layer: LayerEvidence) -> None:
        """Score the newest picture, which takes as long as about thirty forwards."""
        shown = self._comparable(unit)
        if shown is None:
            return
        picture = shown.picture
        network = self._network()
        network.model_copy.refresh()
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
        shown = self._shown
        why_not = _why_not(shown.picture) if shown is not None and _is_of(shown.picture, unit) else ""
        if shown is None or not _is_of(shown.picture, unit) or why_not:
            found = gauge(unit, None)
            return {**found, "text": why_not} if found else {}
        picture, activation = shown.picture, shown.activation
        advice = suggestion(picture.values, past_half=2 * picture.step > picture.total, done=picture.done)
        found = gauge(unit, activation, advice)
        if not found:
            return {}
        if activation is None:
            found["text"] = ""
        elif picture.target.objective == "channel":
            found["text"] = f"{found['text']} {_CHANNEL}"
        score = self._score
        found["score"] = (
            score.content if score is not None and score.picture == _key(picture) and picture.done else None
        )
        return found

    def _comparable(self, unit: UnitEvidence | None) -> _Shown | None:
        """Return the newest picture if it can be compared with the top images of this unit."""
        shown = self._shown
        return shown if shown is not None and _is_of(shown.picture, unit) and not _why_not(shown.picture) else None


def _why_not(picture: Snapshot) -> str:
    """Return why a picture of a unit is not compared with its images; "" if it is."""
    if isinstance(picture.target.objective, Objective):
        # a custom objective may be of other units or layers, and its value is on another scale
        return _CUSTOM
    return _NEGATIVE if picture.target.negative else ""


def _is_of(picture: Snapshot, unit: UnitEvidence | None) -> bool:
    return unit is not None and (picture.target.layer, picture.target.unit) == (unit.layer, unit.unit)


def _key(picture: Snapshot) -> PictureKey:
    """Identify a picture: its run, layer, unit and step."""
    return picture.run, picture.target.layer, picture.target.unit, picture.step


def _finite(value: float) -> float | None:
    return value if value == value else None

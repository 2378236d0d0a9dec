"""The state of one run: its ascent, its curve, its checkpoints, and the notes on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peek_widget.errors import RecipeError
from peek_widget.live.checkpoints import MAX_CHECKPOINTS, Checkpoint, Checkpoints
from peek_widget.live.history import History
from peek_widget.live.snapshot import Made, RunningAscent, Snapshot, Target
from peek_widget.live.speed import Speed

__all__ = ["WEIGHTS_CHANGED", "Run"]

WEIGHTS_CHANGED = "The weights have changed since this run began; restart it to draw with the current ones."


@dataclass(eq=False)
class Run:
    """One run of an ascent. A restart, another target or a smaller picture makes a new one.

    Attributes:
        number: number of the run, from 1; 0 before the first.
        ascent: the ascent; None while it is being made, and after one of its steps has failed.
        weights_version: version of the model's weights that the run was last known to use.
        weights_changed: whether the model's weights have changed since the run began.
        note: a sentence on the run for the user; "" for none.
        edited: whether an override has changed since the first step.
        refused: the reason, for each overridden knob that the recipe refuses; the recipe's own value is used.
        speed: steps per second.
        history: the activation curve.
        activation: the newest still activation that was measured; None before the first one.
        unmeasured: a sentence on why the pictures' activations can't be measured; "" if they can.
        checkpoints: earlier steps that can be viewed and resumed.
    """

    number: int = 0
    ascent: RunningAscent | None = None
    weights_version: int = 0
    weights_changed: bool = False
    note: str = ""
    edited: bool = False
    refused: dict[str, str] = field(default_factory=dict)
    speed: Speed = field(default_factory=Speed)
    history: History = field(default_factory=History)
    activation: float | None = None
    unmeasured: str = ""
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    _facts: Mapping[str, Any] = field(
        default_factory=lambda: {"total": 0, "size": 0, "values": {}, "recipe_values": {}}
    )

    def following(self) -> Run:
        """Return the run after this one, without an ascent yet."""
        # keep the facts until there are new ones, or every number on the page would blink when a slider is moved
        return Run(self.number + 1, weights_version=self.weights_version, _facts=self._facts)

    def begin(self, ascent: RunningAscent, overrides: Mapping[str, float]) -> None:
        """Begin the run with an ascent, from its first step."""
        self.ascent = ascent
        if overrides:
            self.override(overrides)
        # choose the stride by the run's length, so that fewer checkpoints are taken only to be dropped
        self.checkpoints = Checkpoints(stride=max(1, min(4, int(ascent.steps) // MAX_CHECKPOINTS)))

    def resume(self, ascent: RunningAscent, point: Checkpoint, knobs: Mapping[str, float | None], asked: int) -> None:
        """Resume from a checkpoint of this run, with another ascent that begins there and the current knobs.

        Args:
            ascent: the ascent that continues from the checkpoint's state.
            point: the checkpoint; later steps are dropped.
            knobs: the current overrides; None for the recipe's own value.
            asked: number of the requested step, to which the checkpoint is the nearest.
        """
        self.number += 1
        self.ascent = ascent
        before = dict(ascent.values())
        self.override(knobs)
        changed = dict(ascent.values()) != before
        nearest = "" if point.step == asked else f" (nearest checkpoint to {asked})"
        self.note = f"Resumed from step {point.step}{nearest}{' with the current settings' if changed else ''}."
        self.edited = point.snapshot.edited or changed
        self.checkpoints.cut(point.step)
        self.history.cut(point.step)
        self.speed = Speed()

    def override(self, knobs: Mapping[str, float | None]) -> None:
        """Override knobs from the next step on; knobs that the recipe refuses keep the recipe's value."""
        ascent = self.ascent
        assert ascent is not None
        self.refused = {}
        try:
            ascent.override(**knobs)
        except RecipeError:
            for name, value in knobs.items():
                try:
                    ascent.override(**{name: value})
                except RecipeError as error:
                    ascent.override(**{name: None})
                    self.refused[name] = str(error)
        # read the facts now: after a failed step there is no ascent to read them from
        self.facts()

    def extend(self, steps: int) -> None:
        """Allow `steps` further steps."""
        assert self.ascent is not None
        self.ascent.extend(steps)

    def prolong(self) -> None:
        """Allow as many further steps as the recipe has."""
        assert self.ascent is not None
        self.extend(max(1, int(self.ascent.recipe.steps)))

    def add(self, snapshot: Snapshot, *, keep_state: bool) -> None:
        """Record a step in the curve and, if it is time and `keep_state` holds, as a checkpoint."""
        assert self.ascent is not None
        self.history.add(snapshot.step, snapshot.view_activation)
        if snapshot.activation is not None:
            self.history.measured(snapshot.step, snapshot.activation)
        if keep_state and self.checkpoints.wants(snapshot.step):
            self.checkpoints.add(Checkpoint(snapshot, self.ascent.state(on_host=False)))

    def snapshot(self, step: Made, target: Target, overrides: Mapping[str, float]) -> Snapshot:
        """Return the record of a step that the ascent has just made.

        Args:
            step: the result of the ascent's `step()`.
            target: what is drawn, with the size that was chosen for it.
            overrides: the overridden knobs, including those that the recipe refused.
        """
        ascent = self.ascent
        assert ascent is not None
        return Snapshot(
            target=target,
            recipe=ascent.recipe,
            made=step,
            # this is the unit's own activation, which falls with a negative objective
            view_activation=step.unread_activation * (-1.0 if target.negative else 1.0),
            run=self.number,
            step=int(ascent.index),
            total=int(ascent.steps),
            overrides={name: value for name, value in overrides.items() if name not in self.refused},
            values=dict(ascent.values()),
            edited=self.edited,
            done=bool(ascent.done),
            seeds=tuple(ascent.seeds),
        )

    # -- notes and numbers

    @property
    def step(self) -> int:
        """Number of steps made, 0 without an ascent."""
        ascent = self.ascent
        return 0 if ascent is None else int(ascent.index)

    @property
    def steps(self) -> int:
        """Number of steps of the whole run, 0 without an ascent."""
        ascent = self.ascent
        return 0 if ascent is None else int(ascent.steps)

    @property
    def done(self) -> bool:
        """Whether the ascent has made all its steps."""
        ascent = self.ascent
        return ascent is not None and bool(ascent.done)

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps that can be viewed and resumed, ascending; the last is the run's newest."""
        ascent, kept = self.ascent, self.checkpoints.steps
        end = 0 if ascent is None else int(ascent.index)
        return [*(step for step in kept if step < end or ascent is None), *([end] if end else [])]

    @property
    def notes(self) -> str:
        """All notes on the run for the user, in sentences."""
        refused = [f"{name} keeps the recipe's own value: {why}" for name, why in self.refused.items()]
        return " ".join(
            filter(None, [self.note, *refused, self.unmeasured, WEIGHTS_CHANGED if self.weights_changed else ""])
        )

    def facts(self) -> Mapping[str, Any]:
        """Return the numbers of the ascent or, while there is none, those of the last ascent.

        Returns:
            "total" (steps), "size" (px), "values" (the knobs in force) and "recipe_values" (the recipe's own values
            of the knobs that it uses).
        """
        ascent = self.ascent
        if ascent is not None:
            self._facts = {
                "total": int(ascent.steps),
                "size": ascent.size,
                "values": {name: float(value) for name, value in ascent.values().items()},
                "recipe_values": {name: float(value) for name, value in ascent.recipe_values().items()},
            }
        return self._facts

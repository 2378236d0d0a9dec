"""The work that a worker does between two reads of its mailbox, independent of thread, browser and model.

``RunWorker`` has more than 350 lines because it is one idea, a state machine: each request and each step leave it in a
state, and what is shown follows from that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peek_widget._size import Size, SizeLike
from peek_widget.errors import SizeError
from peek_widget.live import protocol
from peek_widget.live.audience import Audience
from peek_widget.live.outbox import Outbox
from peek_widget.live.playback import Playback
from peek_widget.live.run import Run
from peek_widget.live.snapshot import BackgroundTask, Publish, RunningAscent, Snapshot, Target, Update
from peek_widget.live.speed import MIN_RATE, MIN_SIZE, smaller
from peek_widget.live.status import MADE_SMALLER, ONE_SEED, SIZE_NEEDED, status_of
from peek_widget.live.still_meter import StillMeter
from peek_widget.network.memory import memory_error, release

__all__ = ["Requests", "RunWorker"]

log: logging.Logger = logging.getLogger("peek_widget")

STILL = ("paused", "done", "error", "idle")
"""States in which no step follows."""

TRAINING_REST = 3.0
"""Ratio of the worker's rest to the duration of its last step, while the model is being trained."""

MAX_TRAINING_REST = 1.0
"""Maximum duration of such a rest in seconds."""

WAY = 0.05
"""Seconds between two checks whether the user still waits for something other than the run."""

LONGEST_WAY = 0.5
"""Maximum delay of a step in seconds for such a wait: slower answers are computed in parallel with the run."""


@dataclass
class Requests:
    """Pending requests. Only the newest of a kind counts, but knobs are merged by name and steps are added up."""

    target: Target | None = None
    knobs: dict[str, float | None] | None = None
    playing: bool | None = None
    restart: bool = False
    steps: int = 0
    seek: int | None = None
    resume: int | None = None
    resend: bool = False

    def has_control(self) -> bool:
        """Return whether a control was changed, rather than the picture only asked for again."""
        return self != Requests(resend=self.resend)

    def needs_run(self) -> bool:
        """Return whether a run must begin if there is none; viewing the steps of an earlier run does not need one."""
        return self.has_control() and self.seek is None


class RunWorker:
    """A worker that draws one run at a time: it takes requests, makes steps, and publishes what is new.

    The worker belongs to one thread; others may call `status()` and read the attributes.

    Args:
        make_ascent, publish, measurement, resume_ascent, weights, background, clock: see `RunService`.
        target: what to draw first.
        knobs: values that override the recipe's, by name; None for the recipe's own.
        playing: whether to begin drawing at once.
        audience: those who watch the run.
        rest: waits for the given number of seconds, or until there is a request.
        closed: returns whether the service was closed.

    Attributes:
        target: what is drawn.
        run: the current run.
        playback: which checkpoint of it is viewed.
        outbox: the newest picture, and whether it was published.
        state: one of the protocol's states.
        redraw: whether a finished run restarts automatically when the weights have changed.
        gives_way: returns whether the user waits for something that is computed sooner if no step is made.
    """

    def __init__(
        self,
        make_ascent: Callable[[Target], RunningAscent],
        publish: Publish,
        measurement: Callable[[Snapshot], Callable[[], float]],
        *,
        target: Target,
        knobs: Mapping[str, float | None],
        playing: bool,
        audience: Audience,
        background: Sequence[BackgroundTask],
        resume_ascent: Callable[[Target, Any], RunningAscent] | None,
        weights: Callable[[], int] | None,
        clock: Callable[[], float],
        rest: Callable[[float], None],
        closed: Callable[[], bool],
    ) -> None:
        self._make_ascent, self._resume_ascent, self._publish = make_ascent, resume_ascent, publish
        self._weights, self._background = weights, tuple(background)
        self._meter = StillMeter(measurement, clock)
        self._audience, self._clock, self._rest, self._closed = audience, clock, rest, closed
        self.target: Target = target
        self.run: Run = Run()
        self.playback: Playback = Playback()
        self.outbox: Outbox = Outbox()
        self.state: str = "starting" if playing else "paused"
        self.redraw: bool = False
        self.gives_way: Callable[[], bool] = lambda: False
        self._knobs: dict[str, float | None] = {**dict.fromkeys(protocol.KNOB_NAMES), **knobs}
        self._playing = playing
        self._reduced_size: SizeLike | None = None
        self._one_seed = False
        self._error: BaseException | None = None

    def handle(self, requests: Requests) -> None:
        """Take the requests, make a step, publish what is new, and do a piece of background work."""
        self._apply(requests)
        self._follow_training()
        if self._wants_step():
            self._give_way()
            self._step()
        self._settle()
        self._show(resend=requests.resend)
        self._work_in_background()

    def fail(self, error: BaseException) -> None:
        """Stop the run and publish the error."""
        log.error("The run of %s stopped: %s", self.target.describe(), error, exc_info=error)
        self._error = error
        if memory_error(error) is not None:
            # others share this memory: release the picture's tensors, and what they came from
            self.run.ascent = None
            release(error=error)
        self.playback.stop()
        if self.outbox.drop_unreadable():
            self.run.ascent = None
        self._enter_state("error")
        try:
            self._show()
        except BaseException as again:
            # an observer that raises on every change must not end the worker
            log.error("The error could not be shown: %s", again, exc_info=again)

    def status(self) -> dict[str, Any]:
        """Return the status as the protocol describes it."""
        return status_of(
            "closed" if self._closed() else self.state,
            self.run,
            self.playback,
            self.target,
            number=self.outbox.number,
            error=self._error,
            blocked=self.blocked(),
        )

    def computing(self) -> bool:
        """Return whether there is a step to make, provided that the run is watched and not blocked."""
        return self._playing and self._error is None and not self.run.done

    def watches_weights(self) -> bool:
        """Return whether the run stands still while its picture may be shown and the weights may change."""
        if self._weights is None or self.run.ascent is None or self.blocked() or self._error is not None:
            return False
        return not self.computing() and self._audience.watched()

    def blocked(self) -> bool:
        """Return whether the run waits until background work is done."""
        return any(task.blocking for task in self._background)

    def _wants_step(self) -> bool:
        return self.computing() and not self.blocked() and self._audience.watched()

    def _work_in_background(self) -> None:
        for task in self._background:
            if task.ready(self._audience.watched()):
                task.run_once()

    # -- requests

    def _apply(self, requests: Requests) -> None:
        """Take the requests; a paused run makes its requested steps here."""
        if requests.has_control():
            self._try_again()
        new_run = self._retarget(requests.target) or requests.restart
        self._knobs.update(requests.knobs or {})
        if requests.playing is not None:
            self._playing = requests.playing
        if new_run or requests.playing or requests.resume is not None:
            self._stop_viewing()
        if requests.resume is not None and not new_run:
            self._resume(requests.resume)
        steps = requests.steps
        if new_run or self._lacks_run(requests):
            steps -= self._begin()
        elif requests.knobs is not None:
            self._override()
        if requests.seek is not None and not new_run:
            self._seek(requests.seek)
        if self._playing:
            # a changed knob must show its effect, and "play" must play, even past the end of the schedule
            if self.run.done and not new_run and (requests.knobs or requests.playing):
                self.run.prolong()
        elif self.playback.viewing is not None and steps:
            self._seek_forward(steps)
        else:
            self._step_paused(steps)

    def _try_again(self) -> None:
        """Clear the error: a changed control is a reason to try again, whatever went wrong."""
        self._error = None
        # expect it again: a frame from before the request may just have been sent in its place
        self._audience.expect_frame()

    def _stop_viewing(self) -> None:
        if self.playback.stop():
            self.outbox.replace()

    def _seek(self, step: int) -> None:
        self.playback.seek(self.run, step)
        self.outbox.replace()

    def _seek_forward(self, checkpoints: int) -> None:
        self.playback.seek_forward(self.run, checkpoints)
        self.outbox.replace()

    def _step_paused(self, steps: int) -> None:
        """Make this many steps of a paused run, even past its end."""
        for _ in range(steps):
            if self.run.done:
                self.run.extend(1)
            self._step()

    def _retarget(self, target: Target | None) -> bool:
        """Take a target; return whether it differs from the last one."""
        if target is None or target == self.target:
            return False
        old, self.target = self.target, target
        if (old.layer, old.recipe, old.size, old.device) != (target.layer, target.recipe, target.size, target.device):
            # what this machine can draw depends on the target
            self._reduced_size, self._one_seed = None, False
        return True

    def _lacks_run(self, requests: Requests) -> bool:
        return self.run.ascent is None and self._error is None and (self._playing or requests.needs_run())

    def _begin(self) -> int:
        """Begin a new run of the current target; return the number of steps made."""
        self.run = self.run.following()
        self.playback.stop()
        self.outbox.discard()
        self._enter_state("starting")
        self._show()
        self.run.weights_version = self._weights_version()
        self.run.begin(self._make_ascent(self._sized_target()), self._overrides())
        if self._playing and not self.blocked():
            return 0
        # without a step, the last unit's picture would be shown under the new unit's name
        self._step()
        return 1

    def _override(self) -> None:
        """Pass the knobs to the run."""
        run = self.run
        if run.ascent is None:
            return
        # pass all of them, not only the changed ones, so that the run can say which its recipe refuses
        run.override(self._knobs)
        run.edited |= run.step > 0
        # while the run is paused no step publishes the status
        self.outbox.status_changed = True

    def _resume(self, step: int) -> None:
        """Resume from the checkpoint nearest to a step, with the current knobs."""
        point = self.playback.nearest(self.run, step)
        if point is None or self._resume_ascent is None:
            return
        self.run.resume(self._resume_ascent(self._sized_target(), point.state), point, self._knobs, step)
        self.outbox.replace(self._measured(point.snapshot))

    def _sized_target(self) -> Target:
        """Return the target with a size and number of seeds that this machine can draw, unless they were asked for."""
        target = self.target
        if target.size is None and self._reduced_size is not None:
            target = replace(target, size=self._reduced_size)
        if target.seeds_at_once is None and self._one_seed:
            target = replace(target, seeds_at_once=1)
        return target

    def _overrides(self) -> dict[str, float]:
        return {name: value for name, value in self._knobs.items() if value is not None}

    # -- steps

    def _step(self) -> None:
        """Make a step, and record it."""
        run = self.run
        if run.ascent is None:
            return
        if self._playing and self.state != "running":
            # publish this before the step: the first one of a large model can take seconds
            self._enter_state("running")
            self._show()
        several = len(run.ascent.seeds) > 1
        run.speed.begin(self._clock())
        try:
            step = run.ascent.step()
        except Exception as error:
            # an ascent whose step was interrupted must not be resumed
            run.ascent = None
            if not (several and self._begin_with_one_seed(error)):
                raise
            self._step()
            return
        seconds = run.speed.end(self._clock())
        snapshot = run.snapshot(step, self._sized_target(), self._overrides())
        if self._meter.due(run.number):
            snapshot = self._measured(snapshot)
        run.add(snapshot, keep_state=self._resume_ascent is not None)
        self.outbox.put(snapshot)
        if self._playing:
            self._consider_size(run.ascent)
        self._yield_to_training(seconds)

    def _consider_size(self, ascent: RunningAscent) -> None:
        """Restart with a smaller picture if this machine is too slow for the current size."""
        rate = self.run.speed.starting_rate()
        if self.target.size is not None or rate is None or rate >= MIN_RATE:
            return
        now = Size.of(ascent.size)
        if now.side <= MIN_SIZE:
            return
        size = smaller(now.plain, rate)
        try:
            made = self._make_ascent(replace(self.target, size=size))
        except SizeError:
            self.run.note = SIZE_NEEDED.format(size=now)
            return
        log.info("%.1f steps/s at %s px: beginning again at %s px", rate, now, Size.of(size))
        self._reduced_size = size
        self.run = self.run.following()
        self.run.begin(made, self._overrides())
        self.run.note = MADE_SMALLER.format(size=now, rate=rate, smaller=Size.of(size))

    def _begin_with_one_seed(self, error: BaseException) -> bool:
        """Restart with one seed if memory ran out for several that nobody asked for; return whether it did."""
        words = memory_error(error)
        if words is None or self.target.seeds_at_once is not None:
            return False
        log.info("Memory ran out (%s): beginning again with one seed", words)
        release(error=error)
        self._one_seed = True
        self.run = self.run.following()
        self.run.begin(self._make_ascent(self._sized_target()), self._overrides())
        self.run.note = ONE_SEED
        return True

    def _weights_version(self) -> int:
        return 0 if self._weights is None else self._weights()

    def _give_way(self) -> None:
        """Delay a step while the user waits for something else, which would take twice as long on one core."""
        for _ in range(round(LONGEST_WAY / WAY)):
            if not self.gives_way():
                return
            self._rest(WAY)
            self.run.speed.pause()

    def _yield_to_training(self, seconds: float) -> None:
        """Rest after a step that took `seconds`, if the model was being trained meanwhile."""
        run, version = self.run, self._weights_version()
        if version == run.weights_version:
            return
        self._note_change(version)
        self._rest(min(TRAINING_REST * seconds, MAX_TRAINING_REST))
        run.speed.pause()

    def _note_change(self, version: int) -> None:
        """Note that the weights have changed since the run began."""
        self.run.weights_version, self.run.weights_changed = version, True
        self.outbox.status_changed = True

    def _follow_training(self) -> None:
        """Note changed weights even while the run stands still; restart it if that is wanted."""
        run = self.run
        if not self.watches_weights():
            return
        version = self._weights_version()
        if version != run.weights_version:
            self._note_change(version)
        if self.redraw and self._playing and run.weights_changed and run.done:
            self._begin()

    # -- what is published

    def _settle(self) -> None:
        """Enter the state that the worker is in now."""
        if self._error is not None:
            state = "error"
        elif self.playback.viewing is not None:
            state = "paused"
        elif self.run.done:
            state = "done"
        elif not self._playing:
            state = "paused"
        elif not self._wants_step():
            state = "idle"
        else:
            state = "running" if self.run.ascent is not None else "starting"
        if state != self.state:
            self._enter_state(state)

    def _enter_state(self, state: str) -> None:
        self.state = state
        self.outbox.status_changed = True
        # a pause between two steps must not count as slowness
        self.run.speed.pause()

    def _show(self, *, resend: bool = False) -> None:
        """Publish what is new: the picture if it may go now, the status if it changed."""
        still = self.state in STILL
        taken = self.outbox.take(still=still, due=self._audience.frame_due(), resend=resend)
        if taken is None:
            return
        with_picture, fresh = taken
        snapshot = self._shown(measured=still)
        if with_picture and snapshot is not None:
            self.run.history.read_with(snapshot.made)
        status = self.status()
        if status["state"] == "closed":
            # the caller of `close` publishes that; at interpreter exit nobody does, and the page finds the kernel gone
            return
        if snapshot is not None:
            snapshot = replace(snapshot, run=self.run.number, done=status["state"] == "done")
        self._publish(
            Update(
                snapshot=snapshot if with_picture else None,
                lossless=still,
                fresh=fresh,
                step=status["step"],
                activation=snapshot.activation if still and snapshot is not None else self.run.activation,
                history=self.run.history.packed(),
                status=status,
            )
        )
        if with_picture:
            self._audience.sent(self.outbox.number)

    def _shown(self, *, measured: bool) -> Snapshot | None:
        """Return the picture to show, with its still activation if that is asked for."""
        viewing = self.playback.viewing
        snapshot = self.outbox.newest if viewing is None else viewing.snapshot
        if not measured or snapshot is None or snapshot.activation is not None:
            return snapshot
        snapshot = self._measured(snapshot)
        if viewing is None:
            self.outbox.newest = snapshot
        else:
            self.playback.viewing = replace(viewing, snapshot=snapshot)
        return snapshot

    def _measured(self, snapshot: Snapshot) -> Snapshot:
        """Return a picture with its still activation, which is added to the curve."""
        snapshot = self._meter.measured(snapshot, self.run.number)
        assert snapshot.activation is not None
        run = self.run
        run.history.measured(snapshot.step, snapshot.activation)
        run.unmeasured = self._meter.problem
        if self.playback.viewing is None:
            run.activation = snapshot.activation
        return snapshot

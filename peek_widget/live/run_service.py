"""The worker behind an explorer: one ascent at a time, drawn in a thread of its own.

The worker takes requests between two steps, so that a request takes effect at the next step and never in the middle of
one. It knows no browser and no model: it is given a function that makes an ascent and one that publishes what it draws.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peek_widget.errors import SizeError
from peek_widget.live import protocol
from peek_widget.live.outbox import Outbox
from peek_widget.live.pacing import Pacer
from peek_widget.live.playback import Playback
from peek_widget.live.run import Run
from peek_widget.live.service import Service
from peek_widget.live.snapshot import BackgroundTask, Publish, RunningAscent, Target, Update
from peek_widget.live.speed import MIN_RATE, MIN_SIZE, smaller
from peek_widget.live.status import MADE_SMALLER, SIZE_NEEDED, WEIGHTS_CHANGED, status_of

__all__ = ["RunService"]

log: logging.Logger = logging.getLogger("peek_widget")

STILL = ("paused", "done", "error", "idle")
"""States in which no step follows."""

TRAINING_REST = 3.0
"""While the model is trained, the worker rests this many times as long as its step took."""

MAX_TRAINING_REST = 1.0
"""Seconds of such a rest at most."""


@dataclass
class Requests:
    """Requests not yet taken. The newest of a kind counts, but knobs are merged by name and steps are added up."""

    target: Target | None = None
    knobs: dict[str, float | None] | None = None
    playing: bool | None = None
    restart: bool = False
    steps: int = 0
    seek: int | None = None
    resume: int | None = None
    resend: bool = False

    def has_control(self) -> bool:
        """Return whether somebody changed something, rather than only asked for the picture again."""
        return self != Requests(resend=self.resend)

    def needs_run(self) -> bool:
        """Return whether a run must begin where there is none; viewing the steps of an earlier one needs none."""
        return self.has_control() and self.seek is None


class RunService(Service[Requests]):
    """The worker: one thread, one run at a time.

    Args:
        make_ascent: makes the ascent for a target; called in the worker; may raise.
        publish: takes an `Update`; called in the worker, never while the lock is held.
        target: what to draw first.
        knobs: values that override the recipe's, by name; None for the recipe's own.
        playing: whether to begin drawing at once.
        rate: frames a second to publish at most.
        enter: called once in the worker before anything else (to set its number of threads, say).
        clock: returns seconds, monotonic.
        background: further work for the worker's thread; `wake` makes the worker ask it whether it is ready.
        resume_ascent: makes the ascent of a target that goes on from an earlier `state()` of such an ascent; called in
            the worker. Left out, a run has no checkpoints.
        weights: returns a number that changes with the model's weights. While it changes, somebody trains the model:
            the worker rests between steps, and says that the picture is of earlier weights.
    """

    def __init__(
        self,
        make_ascent: Callable[[Target], RunningAscent],
        publish: Publish,
        *,
        target: Target,
        knobs: Mapping[str, float | None] | None = None,
        playing: bool = True,
        rate: float = 30.0,
        enter: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        background: Sequence[BackgroundTask] = (),
        resume_ascent: Callable[[Target, Any], RunningAscent] | None = None,
        weights: Callable[[], int] | None = None,
    ) -> None:
        super().__init__("peek_widget", Requests, clock=clock)
        self._make_ascent, self._resume_ascent, self._publish = make_ascent, resume_ascent, publish
        self._prepare, self._weights = enter, weights
        self._background = tuple(background)
        self._pacer = Pacer(rate, now=clock())
        self._waiters = 0
        self._busy = False

        # from here on: written by the worker only
        self._target = target
        self._knobs: dict[str, float | None] = {**dict.fromkeys(protocol.KNOB_NAMES), **(knobs or {})}
        self._playing = playing
        self._reduced_size: int | None = None
        self._run = Run()
        self._playback = Playback()
        self._outbox = Outbox()
        self._state = "starting" if playing else "paused"
        self._error: BaseException | None = None

    # -- requests, from any thread

    def start(self) -> None:
        """Start the worker, unless it was started or closed; does not wait for it."""
        with self._changed:
            self._busy |= self._thread is None and not self._closed
            super().start()

    def set_target(self, target: Target) -> None:
        """Draw something else, from its first step."""
        self._request(target=target)

    def set_knobs(self, **knobs: float | None) -> None:
        """Override knobs of the run; None gives one back to the recipe."""
        with self._changed:
            self._request(knobs={**(self._mailbox.pending.knobs or {}), **knobs})

    def set_playing(self, playing: bool) -> None:
        """Resume, or pause after the current step."""
        self._request(playing=playing)

    def restart(self) -> None:
        """Draw the same target with the same seed from the first step."""
        self._request(restart=True)

    def step_once(self) -> None:
        """Make one step of a paused run; while a checkpoint is viewed, view the next one."""
        with self._changed:
            self._request(steps=self._mailbox.pending.steps + 1)

    def seek(self, step: int) -> None:
        """Pause, and view the checkpoint nearest to a step; the run itself stays where it is."""
        self._request(seek=step, resume=None, playing=False)

    def resume_from(self, step: int) -> None:
        """Go on drawing from the checkpoint nearest to a step; what came after it is forgotten."""
        self._request(resume=step, seek=None, playing=True)

    def wake(self) -> None:
        """Let the worker look whether there is background work."""
        with self._changed:
            self.mark_active()
            self.start()
            super().wake()

    def mark_active(self) -> None:
        """Note that somebody is there who asks for no picture: the page took something else."""
        with self._changed:
            self._pacer.mark_active(self._clock())

    def receive(self, message: protocol.Message) -> None:
        """Take a message of the front end."""
        with self._changed:
            now = self._clock()
            match message:
                case protocol.Restart():
                    self.restart()
                case protocol.StepOnce():
                    self.step_once()
                case protocol.Ack(n, at):
                    self._pacer.ack(n, now, at / 1000)
                    super().wake()
                case protocol.Visible(on):
                    self._pacer.visible(on, now)
                    self._answer(on)
                case protocol.Ping():
                    self._pacer.wake(now)
                    self._answer()
                case protocol.Hello():
                    self._pacer.hello(now)
                    self._answer()

    def _request(self, **requests: Any) -> None:
        with self._changed:
            self._pacer.wake(self._clock())
            self._busy = True
            self.post(**requests)

    def _answer(self, resend: bool = True) -> None:
        """Publish the newest picture again, also before anything was drawn."""
        if resend:
            self.post(resend=True)
        else:
            super().wake()

    # -- questions, from any thread

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps that can be viewed and resumed, rising; the last is where the run stands."""
        return self._run.checkpoint_steps

    @property
    def checkpoint_pictures(self) -> list[Any]:
        """The pictures of the run at its checkpoints, up to the one that is viewed or the newest one."""
        return self._playback.pictures(self._run, self._outbox.newest)

    @property
    def running(self) -> bool:
        """Whether steps are being made."""
        return self._state in ("starting", "running") and not self._closed

    def watched(self) -> bool:
        """Return whether anybody sees the picture or waits for the run."""
        with self._changed:
            now = self._clock()
            if self._waiters:
                self._pacer.mark_active(now)
                return True
            return self._pacer.attention(now).watched

    def status(self) -> dict[str, Any]:
        """Return the status as the protocol describes it."""
        return status_of(
            "closed" if self._closed else self._state,
            self._run,
            self._playback,
            self._target,
            number=self._outbox.number,
            error=self._error,
            blocked=self._blocked(),
        )

    def wait(self, timeout: float | None = None) -> str:
        """Block until every request is taken and the run stands still.

        A run that somebody waits for counts as watched.

        Returns:
            "done", "paused", "error" or "closed".

        Raises:
            TimeoutError: after `timeout` seconds.
        """
        ends = None if timeout is None else self._clock() + timeout
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "wait() was called by the worker itself, from an observer of the picture, and would wait "
                "for ever; call it from the notebook's own thread."
            )
        with self._changed:
            self._waiters += 1
            self._pacer.mark_active(self._clock())
            self._changed.notify_all()
            try:
                while not self._at_rest():
                    left = None if ends is None else ends - self._clock()
                    if left is not None and left <= 0:
                        raise TimeoutError(
                            f"The run is still {self._state} after {timeout:g} s; wait longer, or pause it."
                        )
                    # in slices, so that a wait without a limit can be interrupted on Windows too
                    self._changed.wait(1.0 if left is None else min(left, 1.0))
                if self._closed:
                    return "closed"
                return "paused" if self._state == "idle" else self._state
            finally:
                self._waiters -= 1

    def _at_rest(self) -> bool:
        if self._closed or self._thread is None:
            return True
        return not self._busy and self._state in ("done", "paused", "error")

    # -- the worker's loop

    def enter(self) -> None:
        """Prepare the thread."""
        if self._prepare is not None:
            self._prepare()

    def wait_time(self) -> float | None:
        """Return 0 where there is a step to make, a state to publish or background work to do."""
        watched = self.watched()
        if self._computing():
            # a run that nobody watches still has to say once that it is idle
            if (watched and not self._blocked()) or self._state != "idle":
                return 0.0
        elif self._busy:
            self._busy = False
            self._changed.notify_all()
        return 0.0 if any(task.ready(watched) for task in self._background) else None

    def handle(self, requests: Requests) -> None:
        """Take the requests, make a step, publish what is new, and do a piece of background work."""
        self._apply(requests)
        if self._wants_step():
            self._step()
        self._settle()
        self._show(resend=requests.resend)
        for task in self._background:
            if task.ready(self.watched()):
                task.run_once()

    def fail(self, error: BaseException) -> None:
        """Stop the run and publish the error."""
        log.error("The run of %s stopped: %s", self._target.describe(), error, exc_info=error)
        self._error = error
        self._playback.stop()
        self._enter_state("error")
        try:
            self._show()
        except BaseException as again:
            # an observer that raises at every change must not end the worker
            log.error("The error could not be shown: %s", again, exc_info=again)

    def _computing(self) -> bool:
        """Return whether there is a step to make, if somebody watches."""
        return self._playing and self._error is None and not self._run.done

    def _blocked(self) -> bool:
        """Return whether the run stands still until background work is done."""
        return any(task.blocking for task in self._background)

    def _wants_step(self) -> bool:
        return self._computing() and not self._blocked() and self.watched()

    # -- requests, in the worker

    def _apply(self, requests: Requests) -> None:
        if requests.has_control():
            # whatever went wrong, a changed control is a reason to try again
            self._error = None
            with self._changed:
                # again, because a frame from before the request may just have been sent in its place
                self._pacer.wake(self._clock())
        new_run = self._retarget(requests.target) or requests.restart
        self._knobs.update(requests.knobs or {})
        if requests.playing is not None:
            self._playing = requests.playing
        if (new_run or requests.playing or requests.resume is not None) and self._playback.stop():
            self._outbox.replace()
        if requests.resume is not None and not new_run:
            self._resume(requests.resume)
        steps = requests.steps
        if new_run or self._lacks_run(requests):
            steps -= self._begin()
        elif requests.knobs is not None:
            self._override()
        if requests.seek is not None and not new_run:
            self._playback.seek(self._run, requests.seek)
            self._outbox.replace()
        if self._playback.viewing is not None and steps and not self._playing:
            self._playback.seek_forward(self._run, steps)
            self._outbox.replace()
            return
        if self._run.done and not new_run and self._playing and (requests.knobs or requests.playing):
            # a changed knob shows its effect, and play means play, also past the end of the schedule
            self._run.prolong()
        for _ in range(0 if self._playing else steps):
            if self._run.done:
                self._run.extend(1)
            self._step()

    def _retarget(self, target: Target | None) -> bool:
        """Take another target; return whether it is another."""
        if target is None or target == self._target:
            return False
        old, self._target = self._target, target
        if (old.layer, old.recipe, old.size, old.device) != (target.layer, target.recipe, target.size, target.device):
            # how large a picture this machine can carry depends on these
            self._reduced_size = None
        return True

    def _lacks_run(self, requests: Requests) -> bool:
        return self._run.ascent is None and self._error is None and (self._playing or requests.needs_run())

    def _begin(self) -> int:
        """Begin a new run of the current target; return the number of steps made."""
        self._run = self._run.following()
        self._playback.stop()
        self._outbox.discard()
        self._enter_state("starting")
        self._show()
        self._run.weights_version = self._weights_version()
        self._run.begin(self._make_ascent(self._sized_target()), self._overrides())
        if self._playing and not self._blocked():
            return 0
        # without a step, the last unit's picture would stand under the new unit's name
        self._step()
        return 1

    def _override(self) -> None:
        """Hand the knobs to the run."""
        run = self._run
        if run.ascent is None:
            return
        # all of them, and not only the changed ones, so that the run can say which its recipe refuses
        run.override(self._knobs)
        run.edited |= run.step > 0
        # while the run is paused no step publishes the status
        self._outbox.status_changed = True

    def _resume(self, step: int) -> None:
        """Go on from the checkpoint nearest to a step, with the current knobs."""
        point = self._playback.nearest(self._run, step)
        if point is None or self._resume_ascent is None:
            return
        self._run.resume(self._resume_ascent(self._sized_target(), point.state), point, self._knobs, step)
        self._outbox.replace(point.snapshot)

    def _sized_target(self) -> Target:
        """Return the target with the size that this machine can carry, where none was asked for."""
        reduced = self._target.size is None and self._reduced_size is not None
        return replace(self._target, size=self._reduced_size) if reduced else self._target

    def _overrides(self) -> dict[str, float]:
        return {name: value for name, value in self._knobs.items() if value is not None}

    # -- steps

    def _step(self) -> None:
        """Make a step, and record it."""
        run = self._run
        if run.ascent is None:
            return
        if self._playing and self._state != "running":
            # published before the step: the first one of a large model can take seconds
            self._enter_state("running")
            self._show()
        run.speed.begin(self._clock())
        try:
            step = run.ascent.step()
        except Exception:
            # a half-made step leaves an ascent that nobody should go on with
            run.ascent = None
            raise
        seconds = run.speed.end(self._clock())
        snapshot = run.snapshot(step, self._sized_target(), self._overrides())
        self._outbox.put(snapshot)
        run.add(snapshot, keep_state=self._resume_ascent is not None)
        if self._playing:
            self._consider_size(run.ascent)
        self._yield_to_training(seconds)

    def _consider_size(self, ascent: RunningAscent) -> None:
        """Begin again with a smaller picture where this machine is too slow for this one."""
        rate = self._run.speed.starting_rate()
        if self._target.size is not None or rate is None or rate >= MIN_RATE or ascent.size <= MIN_SIZE:
            return
        size = smaller(ascent.size, rate)
        try:
            made = self._make_ascent(replace(self._target, size=size))
        except SizeError:
            self._run.note = SIZE_NEEDED.format(size=ascent.size)
            return
        log.info("%.1f steps/s at %d px: beginning again at %d px", rate, ascent.size, size)
        self._reduced_size = size
        self._run = self._run.following()
        self._run.begin(made, self._overrides())
        self._run.note = MADE_SMALLER.format(size=ascent.size, rate=rate, smaller=size)

    def _weights_version(self) -> int:
        return 0 if self._weights is None else self._weights()

    def _yield_to_training(self, seconds: float) -> None:
        """Rest after a step that took so many seconds, if the model was trained on meanwhile."""
        run, version = self._run, self._weights_version()
        if version == run.weights_version:
            return
        run.weights_version, run.note = version, WEIGHTS_CHANGED
        self._outbox.status_changed = True
        with self._changed:
            # a request ends the rest
            if self._mailbox.empty and not self._closed:
                self._changed.wait(min(TRAINING_REST * seconds, MAX_TRAINING_REST))
        run.speed.pause()

    # -- what is published

    def _settle(self) -> None:
        """Name the state that the worker is in now."""
        if self._error is not None:
            state = "error"
        elif self._playback.viewing is not None:
            state = "paused"
        elif self._run.done:
            state = "done"
        elif not self._playing:
            state = "paused"
        elif not self._wants_step():
            state = "idle"
        else:
            state = "running" if self._run.ascent is not None else "starting"
        if state != self._state:
            self._enter_state(state)

    def _enter_state(self, state: str) -> None:
        self._state = state
        self._outbox.status_changed = True
        # the time between two steps says nothing about speed when a pause lies between them
        self._run.speed.pause()

    def _show(self, *, resend: bool = False) -> None:
        """Publish what is new: the picture if it may go now, the status if it changed."""
        still = self._state in STILL
        with self._changed:
            now = self._clock()
            due = self._pacer.due(now) <= now
        taken = self._outbox.take(still=still, due=due, resend=resend)
        if taken is None:
            return
        with_picture, fresh = taken
        viewing = self._playback.viewing
        snapshot = self._outbox.newest if viewing is None else viewing.snapshot
        status = self.status()
        if status["state"] == "closed":
            # whoever closed it publishes that; at the interpreter's end nobody does, and the page finds the kernel gone
            return
        if snapshot is not None:
            snapshot = replace(snapshot, run=self._run.number, done=status["state"] == "done")
        self._publish(
            Update(
                snapshot=snapshot if with_picture else None,
                lossless=still,
                fresh=fresh,
                step=status["step"],
                activation=0.0 if snapshot is None else snapshot.activation,
                history=self._run.history.packed(),
                status=status,
            )
        )
        if with_picture:
            with self._changed:
                self._pacer.sent(self._outbox.number, self._clock())

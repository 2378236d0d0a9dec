"""The worker of an explorer: one ascent at a time, drawn in its own thread.

The worker takes requests between two steps, so a request takes effect at the next step and never in the middle of one.
It is independent of browser and model: it is given a function that makes an ascent and one that publishes its pictures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from peek_widget.live import protocol
from peek_widget.live.audience import Audience
from peek_widget.live.service import Service
from peek_widget.live.snapshot import BackgroundTask, Publish, RunningAscent, Snapshot, Target
from peek_widget.live.worker import Requests, RunWorker

__all__ = ["RunService"]

WEIGHTS_INTERVAL = 0.5
"""Seconds between two checks of the model's weights while the run stands still."""


class RunService(Service[Requests]):
    """The service of the worker: one thread, one run at a time.

    Args:
        make_ascent: makes the ascent for a target; called in the worker; may raise.
        publish: takes an `Update`; called in the worker, never while the lock is held.
        measurement: returns a function that measures the still activation of a picture; called in the worker, from
            time to time while a run goes on, and for each picture at which it stands still.
        target: what to draw first.
        knobs: values that override the recipe's, by name; None for the recipe's own.
        playing: whether to begin drawing at once.
        rate: maximum number of frames published per second.
        enter: called once in the worker before anything else (for example to set its number of threads).
        clock: returns monotonic time in seconds.
        background: further work for the worker's thread; `wake` makes the worker check whether it is ready.
        resume_ascent: makes the ascent of a target that resumes from an earlier `state()` of such an ascent; called in
            the worker. Left out, a run has no checkpoints.
        weights: returns a number that changes with the model's weights. While it changes, the model is being trained:
            the worker rests between steps, and reports that the picture is of earlier weights. While the run stands
            still, the worker checks the number twice a second.
    """

    def __init__(
        self,
        make_ascent: Callable[[Target], RunningAscent],
        publish: Publish,
        measurement: Callable[[Snapshot], Callable[[], float]],
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
        self._prepare = enter
        self._audience = Audience(self._changed, rate, clock)
        self._background = tuple(background)
        self._worker = RunWorker(
            make_ascent,
            publish,
            measurement,
            target=target,
            knobs=knobs or {},
            playing=playing,
            audience=self._audience,
            background=self._background,
            resume_ascent=resume_ascent,
            weights=weights,
            clock=clock,
            rest=self._rest,
            closed=lambda: self._closed,
        )
        self._busy = False

    # -- requests, from any thread

    def start(self) -> None:
        """Start the worker, unless it was started or closed; does not wait for it."""
        with self._changed:
            self._busy |= self._thread is None and not self._closed
            super().start()

    def set_target(self, target: Target) -> None:
        """Draw another target, from its first step."""
        self._request(target=target)

    def set_knobs(self, **knobs: float | None) -> None:
        """Override knobs of the run; None restores the recipe's value."""
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
        """Continue drawing from the checkpoint nearest to a step; later steps are dropped."""
        self._request(resume=step, seek=None, playing=True)

    def set_redraw(self, on: bool) -> None:
        """Set whether a finished run restarts automatically when the weights have changed."""
        # not a request: it must not start a worker, nor count as a reason to try again
        self._worker.redraw = on
        super().wake()

    def give_way(self, answering: Callable[[], bool]) -> None:
        """Make no step while `answering` returns True, at most half a second: the user waits for another service."""
        self._worker.gives_way = answering

    def wake(self) -> None:
        """Make the worker check for background work."""
        with self._changed:
            self.mark_active()
            self.start()
            super().wake()

    def mark_active(self) -> None:
        """Note that the page is active without asking for a picture: it has received something else."""
        self._audience.mark_active()

    def receive(self, message: protocol.Message) -> None:
        """Take a message of the front end."""
        match message:
            case protocol.Restart():
                self.restart()
            case protocol.StepOnce():
                self.step_once()
            case _:
                with self._changed:
                    if self._audience.receive(message):
                        # answer even before anything was drawn
                        self.post(resend=True)

    def _request(self, **requests: Any) -> None:
        with self._changed:
            self._audience.expect_frame()
            self._busy = True
            self.post(**requests)

    # -- questions, from any thread

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps that can be viewed and resumed, ascending; the last is the run's newest."""
        return self._worker.run.checkpoint_steps

    @property
    def checkpoint_pictures(self) -> list[Any]:
        """The pictures of the run at its checkpoints, up to the viewed or the newest one."""
        worker = self._worker
        return worker.playback.pictures(worker.run, worker.outbox.newest)

    @property
    def running(self) -> bool:
        """Whether steps are being made."""
        return self._worker.state in ("starting", "running") and not self._closed

    def watched(self) -> bool:
        """Return whether the picture is visible to anyone, or a caller waits for the run."""
        return self._audience.watched()

    def status(self) -> dict[str, Any]:
        """Return the status as the protocol describes it."""
        return self._worker.status()

    def wait(self, timeout: float | None = None) -> str:
        """Block until every request is taken and the run stands still.

        A run that a caller waits for counts as watched.

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
        with self._changed, self._audience.waiting():
            while not self._at_rest():
                left = None if ends is None else ends - self._clock()
                if left is not None and left <= 0:
                    raise TimeoutError(
                        f"The run is still {self._worker.state} after {timeout:g} s; wait longer, or pause it."
                    )
                # wait in slices, so that a wait without a limit can be interrupted on Windows too
                self._changed.wait(1.0 if left is None else min(left, 1.0))
            if self._closed:
                return "closed"
            return "paused" if self._worker.state == "idle" else self._worker.state

    def _at_rest(self) -> bool:
        if self._closed or self._thread is None:
            return True
        return not self._busy and self._worker.state in ("done", "paused", "error")

    # -- the thread

    def enter(self) -> None:
        """Prepare the thread."""
        if self._prepare is not None:
            self._prepare()

    def wait_time(self) -> float | None:
        """Return 0 if there is a step to make, a state to publish or background work to do."""
        worker, watched = self._worker, self.watched()
        if worker.computing():
            # a run that is not watched still has to publish once that it is idle
            if (watched and not worker.blocked()) or worker.state != "idle":
                return 0.0
        elif self._busy:
            self._busy = False
            self._changed.notify_all()
        if any(task.ready(watched) for task in self._background):
            return 0.0
        return WEIGHTS_INTERVAL if worker.watches_weights() else None

    def handle(self, requests: Requests) -> None:
        """Take the requests, and do one piece of work."""
        self._worker.handle(requests)

    def fail(self, error: BaseException) -> None:
        """Stop the run and publish the error."""
        self._worker.fail(error)

    def _rest(self, seconds: float) -> None:
        """Wait for `seconds`, or until there is a request."""
        with self._changed:
            if self._mailbox.empty and not self._closed:
                self._changed.wait(seconds)

"""The worker behind an explorer: one running ascent and a mailbox of wishes.

Whoever wants something puts it in the mailbox and goes on; the worker looks into it between two
steps, so that a wish takes effect at the next step and never in the middle of one. The newest wish
of a kind wins. The session knows no browser and no model: it is given a way to make an ascent and a
way to publish what it draws.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peek_widget.errors import SizeError
from peek_widget.live import protocol
from peek_widget.live.checkpoints import MOST, Checkpoint, Checkpoints
from peek_widget.live.history import History
from peek_widget.live.pacing import Pacer
from peek_widget.live.snapshot import BackgroundTask, Publish, RunningAscent, Snapshot, Target, Update
from peek_widget.live.speed import SLOW, SMALLEST, Speed, smaller
from peek_widget.live.status import say, say_look

__all__ = ["RunService"]

log: logging.Logger = logging.getLogger("peek_widget")

JOIN_TIMEOUT = 5.0

STILL = ("paused", "done", "error", "idle")
"""States in which no step follows, so that the newest picture goes out, exactly."""


@dataclass
class _Mailbox:
    """Wishes not yet looked at. Knobs are kept beside it: they outlive a run."""

    target: Target | None = None
    knobs: dict[str, float | None] | None = None
    playing: bool | None = None
    restart: bool = False
    steps: int = 0
    look: int | None = None
    resume: int | None = None
    resend: bool = False

    def has_control(self) -> bool:
        """Whether somebody changed something, rather than only asked for the picture again."""
        return (
            self.target is not None
            or self.knobs is not None
            or self.playing is not None
            or self.restart
            or self.steps > 0
            or self.look is not None
            or self.resume is not None
        )

    def wants_run(self) -> bool:
        """Whether that asks for a run where there is none; a look back at what an earlier one has left does not."""
        return self.has_control() and self.look is None


GIVE_WAY = 3.0
"""While the model is trained the worker rests so many times as long as its step took."""

LONGEST_REST = 1.0
"""Seconds of such a rest at most."""

WEIGHTS_CHANGED = "The weights have changed since this picture began; restart it to draw with them as they are now."


class RunService:
    """One worker thread, one ascent at a time.

    Args:
        make_ascent: makes the ascent for a target; called in the worker; may raise.
        publish: takes an `Update`; called in the worker, never while the session's lock is held.
        target: what to draw first.
        knobs: settings that override the recipe's, by name; None gives one back to the recipe.
        playing: whether to begin drawing at once.
        rate: frames a second to publish at most.
        enter: called once in the worker before anything else (to set its number of threads, say).
        clock: seconds, monotonic.
        background: further work for the worker's thread; `wake` tells of some.
        resume_ascent: makes the ascent of a target that goes on from one of its own earlier `state()`s; called in the
            worker. Left out, no step of a run is kept.
        weights: a number that changes with the model's weights. While it does, somebody trains the model: the worker
            rests between steps, and says that the picture is of weights that were.

    The thread is a daemon, is started by the first wish, and ends with `close()` or with the
    interpreter.
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
        self._background = tuple(background)
        self._weights = weights
        self._make_ascent = make_ascent
        self._resume_ascent = resume_ascent
        self._publish_update = publish
        self._enter = enter
        self._clock = clock
        self._changed = threading.Condition()
        self._mailbox = _Mailbox()
        self._pacer = Pacer(rate, now=clock())
        self._closed = False
        self._waiters = 0
        self._busy = False
        self._thread: threading.Thread | None = None

        # from here on: the worker's own, read by nobody else
        self._target = target
        self._knobs: dict[str, float | None] = dict.fromkeys(protocol.KNOB_NAMES)
        self._knobs.update(knobs or {})
        self._playing = playing
        self._ascent: RunningAscent | None = None
        self._speed = Speed()
        self._history = History()
        self._checkpoints = Checkpoints()
        self._looking: Checkpoint | None = None
        self._asked = 0
        self._snapshot: Snapshot | None = None
        self._edited = False
        self._unsent = False
        self._exact = True
        self._news = False
        self._step_ended: float | None = None
        self._n = 0
        self._run = 0
        self._reduced: int | None = None
        self._note = ""
        self._weights_were = 0
        self._facts: dict[str, Any] = {"total": 0, "size": 0, "values": {}, "recipe_values": {}}
        self._state = "starting" if playing else "paused"
        self._error: BaseException | None = None

    # -- wishes, from any thread

    def start(self) -> None:
        """Begin to work, if not begun; does not wait."""
        with self._changed:
            if self._closed or self._thread is not None:
                return
            self._thread = threading.Thread(target=self._work, name="peek_widget", daemon=True)
            # a daemon thread inside torch while the interpreter is taken down can crash it
            atexit.register(self.close)
            self._busy = True
            self._thread.start()

    def set_target(self, target: Target) -> None:
        """Draw something else, from its first step."""
        self._wish(target=target)

    def set_knobs(self, **knobs: float | None) -> None:
        """Change settings of the running ascent; None gives one back to the recipe."""
        with self._changed:
            self._mailbox.knobs = {**(self._mailbox.knobs or {}), **knobs}
            self._poke()

    def set_playing(self, playing: bool) -> None:
        """Go on, or stand still after the current step."""
        self._wish(playing=playing)

    def restart(self) -> None:
        """The same target and seed from the first step."""
        self._wish(restart=True)

    def step_once(self) -> None:
        """One step of a run that stands still."""
        with self._changed:
            self._mailbox.steps += 1
            self._poke()

    def wake(self) -> None:
        """Look whether there is work beside the run."""
        with self._changed:
            self._pacer.alive(self._clock())
            self.start()
            self._changed.notify_all()

    def seek(self, step: int) -> None:
        """Pause, and show the picture of the kept step nearest to that one; the run itself stays where it is."""
        self._wish(look=step, resume=None, playing=False)

    def resume_from(self, step: int) -> None:
        """Go on drawing from the kept step nearest to that one; what came after it is forgotten."""
        self._wish(resume=step, look=None, playing=True)

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps that can be looked at and gone on from, rising; the last is where the run stands."""
        ascent, kept = self._ascent, self._checkpoints.steps
        end = 0 if ascent is None else int(ascent.index)
        return [*(step for step in kept if step < end or ascent is None), *([end] if end else [])]

    def receive(self, message: protocol.Message) -> None:
        """Take a message of the front end."""
        match message:
            case protocol.Restart():
                self.restart()
            case protocol.StepOnce():
                self.step_once()
            case _:
                self._hear(message)

    def wait(self, timeout: float | None = None) -> str:
        """Block until every wish is obeyed and the run stands still.

        Returns:
            "done", "paused", "error" or "closed". A run that somebody waits for never counts as unwatched.

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
            self._pacer.alive(self._clock())
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

    def close(self, timeout: float = JOIN_TIMEOUT) -> bool:
        """End the worker after its current step.

        Returns:
            Whether it has ended; False where a single step takes longer than `timeout` seconds.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def mark_active(self) -> None:
        """Somebody is there, who asks for no picture: the page took something else."""
        with self._changed:
            self._pacer.alive(self._clock())

    def watched(self) -> bool:
        """Whether anybody looks or waits."""
        with self._changed:
            return self._watched()

    @property
    def running(self) -> bool:
        """Whether steps are being made."""
        return self._state in ("starting", "running") and not self._closed

    @property
    def closed(self) -> bool:
        """Whether `close()` was called."""
        return self._closed

    @property
    def alive(self) -> bool:
        """Whether the worker's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def checkpoint_pictures(self) -> list[Any]:
        """The pictures of the run at the steps that are kept, up to the one that is looked at or the newest."""
        looking, newest = self._looking, self._snapshot
        points = self._checkpoints.points
        if looking is not None:
            return [point.snapshot.image for point in points if point.step <= looking.step]
        if newest is None:
            return []
        return [*(point.snapshot.image for point in points if point.step < newest.step), newest.image]

    def _wish(self, **wishes: Any) -> None:
        with self._changed:
            for name, value in wishes.items():
                setattr(self._mailbox, name, value)
            self._poke()

    def _poke(self) -> None:
        self._pacer.poke(self._clock())
        self._busy = True
        self.start()
        self._changed.notify_all()

    def _hear(self, message: protocol.Message) -> None:
        with self._changed:
            now = self._clock()
            match message:
                case protocol.Ack(n, at):
                    self._pacer.ack(n, now, at / 1000)
                case protocol.Visible(on):
                    self._pacer.visible(on, now)
                    self._mailbox.resend |= on
                case protocol.Ping():
                    self._pacer.poke(now)
                    self._mailbox.resend = True
                case protocol.Hello():
                    self._pacer.hello(now)
                    self._mailbox.resend = True
            if self._mailbox.resend:
                # a question deserves an answer also before anything was drawn
                self.start()
            self._changed.notify_all()

    def _at_rest(self) -> bool:
        if self._closed or self._thread is None:
            return True
        return not self._busy and self._state in ("done", "paused", "error")

    # -- the worker

    def _work(self) -> None:
        try:
            if self._enter is not None:
                self._enter()
        except Exception as error:
            self._fail(error)
        while True:
            with self._changed:
                self._sleep()
                if self._closed:
                    self._changed.notify_all()
                    break
                mailbox, self._mailbox = self._mailbox, _Mailbox()
            try:
                self._obey(mailbox)
                if self._wants_step():
                    self._step()
                self._settle()
                self._show(resend=mailbox.resend)
                for one in self._background:
                    if one.ready(self.watched()):
                        one.run_once()
            except BaseException as error:
                # an observer may raise anything, and SystemExit in a thread would end it without a word
                self._fail(error)
        atexit.unregister(self.close)

    def _sleep(self) -> None:
        """Wait, the lock held, until there is something to do."""
        while not self._closed and self._mailbox == _Mailbox():
            watched = self._watched()
            if self._computing():
                # a run that rests still has to say so
                if (watched and not self._rests()) or self._state != "idle":
                    return
            elif self._busy:
                self._busy = False
                self._changed.notify_all()
            if any(one.ready(watched) for one in self._background):
                return
            self._changed.wait()

    def _watched(self) -> bool:
        """Whether, the lock held, anybody looks or waits."""
        now = self._clock()
        if self._waiters:
            self._pacer.alive(now)
            return True
        return self._pacer.attention(now).watched

    def _computing(self) -> bool:
        """Whether, somebody looking, the next step should be made."""
        return self._playing and self._error is None and not (self._ascent is not None and self._ascent.done)

    def _rests(self) -> bool:
        """Whether the run stands back for work beside it."""
        return any(one.blocking for one in self._background)

    def _wants_step(self) -> bool:
        if not self._computing() or self._rests():
            return False
        with self._changed:
            return self._watched()

    def _obey(self, mailbox: _Mailbox) -> None:
        if mailbox.has_control():
            # whatever went wrong, a changed control is a reason to try again
            self._error = None
            with self._changed:
                # again, because a frame from before the wish may just have used up its right of way
                self._pacer.poke(self._clock())
        new_run, steps = mailbox.restart, mailbox.steps
        if mailbox.target is not None and mailbox.target != self._target:
            old, self._target = self._target, mailbox.target
            if (old.layer, old.recipe, old.size, old.device) != (
                self._target.layer,
                self._target.recipe,
                self._target.size,
                self._target.device,
            ):
                # how large a picture this machine can carry depends on these
                self._reduced = None
            new_run = True
        if mailbox.knobs is not None:
            self._knobs.update(mailbox.knobs)
        if mailbox.playing is not None:
            self._playing = mailbox.playing
        if new_run or mailbox.playing or mailbox.resume is not None:
            self._look_away()
        if mailbox.resume is not None and not new_run:
            self._resume(mailbox.resume)
        missing = self._ascent is None and self._error is None and (self._playing or mailbox.wants_run())
        if new_run or missing:
            self._begin()
            if not self._playing or self._rests():
                # else the last unit's picture would stand under the new unit's name
                self._step()
                steps -= 1
        elif self._ascent is not None and mailbox.knobs is not None:
            # all of them: a change that the recipe refused may have left some behind
            self._ascent.override(**self._knobs)
            self._edited |= self._ascent.index > 0
            # while it stands still no step tells it
            self._news = True
        if mailbox.look is not None and not new_run:
            self._look(mailbox.look)
        if self._looking is not None and steps and not self._playing:
            # as with any film: one step on from what is looked at
            later = [step for step in self.checkpoint_steps if step > self._looking.step]
            self._look(later[min(steps, len(later)) - 1] if later else self._looking.step)
            return
        if self._ascent is None:
            return
        if self._ascent.done and not new_run and self._playing and (mailbox.knobs or mailbox.playing):
            # the picture follows the hand, and play means play, also past the schedule's end
            self._ascent.extend(max(1, int(self._ascent.recipe.steps)))
        for _ in range(0 if self._playing else steps):
            if self._ascent.done:
                self._ascent.extend(1)
            self._step()

    def _begin(self) -> None:
        """A new run of the current target."""
        self._ascent = None
        self._run += 1
        self._speed = Speed()
        self._history = History()
        self._checkpoints = Checkpoints()
        self._unsent = False
        self._edited = False
        self._note = ""
        self._become("starting")
        self._show()
        self._weights_were = 0 if self._weights is None else self._weights()
        self._ascent = self._made(self._reduced if self._target.size is None else None)
        self._checkpoints = _checkpoints(self._ascent)

    def _made(self, size: int | None) -> RunningAscent:
        target = self._target if size is None else replace(self._target, size=size)
        ascent = self._make_ascent(target)
        given = {name: value for name, value in self._knobs.items() if value is not None}
        if given:
            ascent.override(**given)
        return ascent

    def _nearest(self, step: int) -> Checkpoint | None:
        """The checkpoint nearest to a step; None where the run itself stands as near."""
        point, ascent = self._checkpoints.nearest(step), self._ascent
        if point is None or (ascent is not None and abs(int(ascent.index) - step) <= abs(point.step - step)):
            return None
        return point

    def _look(self, step: int) -> None:
        """Show an earlier picture, or, where none is nearer, the run's own newest again."""
        self._looking, self._asked = self._nearest(step), step
        self._unsent, self._exact, self._news = self._snapshot is not None, False, True

    def _look_away(self) -> None:
        if self._looking is not None:
            self._looking = None
            self._unsent, self._exact, self._news = True, False, True

    def _resume(self, step: int) -> None:
        """Go on from an earlier point, with the settings of now."""
        point = self._nearest(step)
        if point is None or self._resume_ascent is None:
            return
        target = self._target
        if target.size is None and self._reduced is not None:
            target = replace(target, size=self._reduced)
        ascent = self._resume_ascent(target, point.state)
        before = dict(ascent.values())
        ascent.override(**self._knobs)
        nearest = "" if point.step == step else f", the nearest kept to step {step}"
        edited = " with the settings of now" if dict(ascent.values()) != before else ""
        self._note = f"Resumed from step {point.step}{nearest}{edited}."
        self._ascent = ascent
        self._checkpoints.cut(point.step)
        self._history.cut(point.step)
        self._snapshot = point.snapshot
        self._edited = point.snapshot.edited or bool(edited)
        self._unsent, self._exact, self._news = True, False, True
        self._run += 1
        self._speed = Speed()
        self._step_ended = None

    def _step(self) -> None:
        ascent = self._ascent
        if ascent is None:
            return
        if self._playing and self._state != "running":
            # said before the step: the first one of a large model can take seconds
            self._become("running")
            self._show()
        began = self._clock() if self._step_ended is None else self._step_ended
        try:
            step = ascent.step()
        except Exception:
            # a half-made step leaves an ascent that nobody should go on with
            self._ascent = None
            raise
        self._step_ended = self._clock()
        self._speed.note(self._step_ended - began)
        self._snapshot = self._snapshot_of(ascent, step)
        self._history.add(ascent.index, self._snapshot.activation)
        self._unsent = True
        if self._resume_ascent is not None and self._checkpoints.wants(int(ascent.index)):
            self._checkpoints.add(Checkpoint(self._snapshot, ascent.state()))
        if self._playing:
            self._consider_size(ascent)
        self._give_way(self._step_ended - began)

    def _snapshot_of(self, ascent: RunningAscent, step: Any) -> Snapshot:
        return Snapshot(
            target=self._target if self._reduced is None else replace(self._target, size=self._reduced),
            recipe=ascent.recipe,
            image=step.image,
            # of the unit itself: one that is drawn for what it likes least sinks
            activation=float(step.activation) * (-1.0 if self._target.negative else 1.0),
            run=self._run,
            step=int(ascent.index),
            total=int(ascent.steps),
            overrides={name: value for name, value in self._knobs.items() if value is not None},
            values=dict(ascent.values()),
            edited=self._edited,
            done=bool(ascent.done),
        )

    def _give_way(self, seconds: float) -> None:
        """Rest after a step that took so long, if the model was trained on meanwhile."""
        now = self._weights_were if self._weights is None else self._weights()
        if now == self._weights_were:
            return
        self._weights_were = now
        self._note, self._news = WEIGHTS_CHANGED, True
        with self._changed:
            # whoever wants something wakes it
            if self._mailbox == _Mailbox() and not self._closed:
                self._changed.wait(min(GIVE_WAY * seconds, LONGEST_REST))
        self._step_ended = None

    def _consider_size(self, ascent: RunningAscent) -> None:
        """Begin again with a smaller picture where this machine is too slow for this one."""
        rate = self._speed.start()
        if self._target.size is not None or rate is None or rate >= SLOW or ascent.size <= SMALLEST:
            return
        size = smaller(ascent.size, rate)
        try:
            made = self._made(size)
        except SizeError:
            self._note = f"This machine is slow for {ascent.size} px, and the layer needs that size."
            return
        log.info("%.1f steps/s at %d px: beginning again at %d px", rate, ascent.size, size)
        self._note = (
            f"At {ascent.size} px this machine made {rate:.1f} steps a second, so the picture was made "
            f"smaller ({size} px); set size to choose it yourself."
        )
        self._reduced = size
        self._ascent = made
        self._run += 1
        self._speed = Speed()
        self._edited = False
        self._history = History()
        self._checkpoints = _checkpoints(made)

    def _settle(self) -> None:
        """Name the state that the worker is in now."""
        if self._error is not None:
            state = "error"
        elif self._looking is not None:
            state = "paused"
        elif self._ascent is not None and self._ascent.done:
            state = "done"
        elif not self._playing:
            state = "paused"
        elif not self._wants_step():
            state = "idle"
        else:
            state = "running" if self._ascent is not None else "starting"
        if state != self._state:
            self._become(state)

    def _become(self, state: str) -> None:
        self._state = state
        self._news = True
        # the time between two steps says nothing about speed when a rest lies between them
        self._step_ended = None

    def _show(self, *, resend: bool = False) -> None:
        """Publish what is new: the picture if it may go now, the status if it changed."""
        still = self._state in STILL
        with self._changed:
            now = self._clock()
            due = self._pacer.due(now) <= now
        # nothing follows the last picture of a run, so it need not wait for credit; and where it went
        # out as a lossy live frame already, it goes again, exact
        inexact = still and self._snapshot is not None and not self._exact
        fresh = inexact or (self._unsent and (due or still))
        if not (fresh or resend or self._news):
            return
        with_image = self._snapshot is not None and (fresh or resend)
        if fresh:
            self._n += 1
            self._exact = still
        self._unsent = self._unsent and not fresh
        self._news = False
        ascent, looking = self._ascent, self._looking
        snapshot = self._snapshot if looking is None else looking.snapshot
        status = self.status()
        if status["state"] == "closed":
            # whoever closed it says so; at the interpreter's end nobody does, and the page finds the kernel gone
            return
        self._publish_update(
            Update(
                snapshot=replace(snapshot, run=self._run, done=status["state"] == "done") if with_image else None,
                lossless=still,
                fresh=fresh,
                step=looking.step if looking is not None else 0 if ascent is None else int(ascent.index),
                activation=0.0 if snapshot is None else snapshot.activation,
                history=self._history.packed(),
                status=status,
            )
        )
        if with_image:
            with self._changed:
                self._pacer.sent(self._n, self._clock())

    def _fail(self, error: BaseException) -> None:
        log.error("The run of %s stopped: %s", self._target.sentence(), error, exc_info=error)
        self._error = error
        self._looking = None
        self._become("error")
        try:
            self._show()
        except BaseException as again:
            # an observer that raises at every change must not end the worker
            log.error("The error could not be shown: %s", again, exc_info=again)

    def status(self) -> dict[str, Any]:
        """The status as the protocol has it; for the worker, and for anybody before it has begun."""
        ascent, error, looking = self._ascent, self._error, self._looking
        state = "closed" if self._closed else self._state
        what, kept = self._target.sentence(), self.checkpoint_steps
        end = 0 if ascent is None else int(ascent.index)
        if ascent is not None:
            # kept for the moment between two runs, or every number would blink at each turn of a slider
            self._facts = {
                "total": int(ascent.steps),
                "size": int(ascent.size),
                "values": {name: float(value) for name, value in ascent.values().items()},
                "recipe_values": {name: float(value) for name, value in ascent.recipe_values().items()},
            }
        return {
            "n": self._n,
            "run": self._run,
            "state": state,
            "text": say(
                state,
                what,
                step=end,
                total=0 if ascent is None else int(ascent.steps),
                error=error,
                note=self._note,
                **({"why": "a comparison draws, and it goes on after that"} if self._rests() else {}),
            )
            if looking is None or self._closed
            else say_look(what, step=looking.step, total=self._facts["total"], end=end, asked=self._asked),
            "error": None if error is None else f"{type(error).__name__}: {error}",
            "rate": round(self._speed.rate, 2),
            "step": end if looking is None else looking.step,
            "kept": kept,
            "looking": looking is not None,
            "unit": self._target.unit,
            "layer": self._target.layer,
            "start": "" if self._target.start is None else self._target.start.name,
            **self._facts,
            "activation_before_relu": True,
        }


def _checkpoints(ascent: RunningAscent) -> Checkpoints:
    """Room for a run's checkpoints, at a distance that its length makes likely, so that fewer are taken in vain."""
    return Checkpoints(stride=max(1, min(4, int(ascent.steps) // MOST)))

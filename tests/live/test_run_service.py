"""The rules of the worker, with an ascent that only counts."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from peek_widget.errors import AscentError
from peek_widget.live import pacing, protocol
from peek_widget.live.history import unpack
from peek_widget.live.run_service import RunService
from peek_widget.live.snapshot import Target
from peek_widget.live.speed import MIN_SIZE

from .fakes import Bench

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench():
    made = []

    def make(**options):
        made.append(Bench(**options))
        return made[-1]

    yield make
    for each in made:
        assert each.session.close(), "a worker was left over"
        assert not each.session.alive


def test_a_run_draws_to_its_end_and_says_so(bench):
    b = bench()
    assert b.session.wait(5) == "done"
    assert b.updates[0].status["state"] == "starting"
    assert b.last.status["state"] == "done"
    assert b.last.status["step"] == b.last.status["total"] == b.last.step == 20
    assert b.last.lossless
    assert b.last.snapshot.image[0, 0, 0] == np.float32(0.020)
    assert "unit 3 of layer conv" in b.last.status["text"]


def test_the_status_has_what_the_protocol_promises(bench):
    b = bench()
    b.session.wait(5)
    assert set(b.last.status) == {
        "n",
        "run",
        "state",
        "text",
        "error",
        "rate",
        "step",
        "total",
        "unit",
        "layer",
        "size",
        "values",
        "recipe_values",
        "activation_before_relu",
        "start",
        "checkpoints",
        "viewing",
        "weights_changed",
        "comparing",
    }
    for update in b.updates:
        assert update.status["state"] in protocol.STATES
    numbers = [u.status["n"] for u in b.updates]
    assert numbers == sorted(numbers)
    fresh = [u.status["n"] for u in b.updates if u.fresh]
    assert len(set(fresh)) == len(fresh)


def test_history_covers_the_whole_run(bench):
    b = bench(steps=600, seconds=0)
    b.session.wait(10)
    points = unpack(b.last.history)
    assert len(points) <= 256
    assert (points[0].step, points[0].lowest) == (1, 1.0)
    assert points[-1] == (600, 600.0, points[-1].lowest, 600.0)
    assert points[-1].lowest > points[-2].highest


def test_pausing_publishes_the_newest_picture_exactly(bench):
    b = bench(steps=10_000, seconds=0.002)
    b.until(lambda u: u.step > 5)
    b.session.set_playing(False)
    assert b.session.wait(5) == "paused"
    index = b.made[0].index
    assert b.last.step == index
    assert b.last.snapshot.image[0, 0, 0] == np.float32(index / 1000)
    assert b.last.lossless
    time.sleep(0.1)
    assert b.made[0].index == index
    b.session.set_playing(True)
    b.until(lambda u: u.step > index)
    assert len(b.made) == 1, "resumed, not begun again"


def test_pause_takes_effect_within_a_step(bench):
    b = bench(steps=10_000, seconds=0.05)
    b.until(lambda u: u.step >= 1)
    before = b.made[0].index
    b.session.set_playing(False)
    b.session.wait(5)
    assert b.made[0].index <= before + 2


def test_one_step_at_a_time_while_paused(bench):
    b = bench(steps=10_000)
    b.until(lambda u: u.step >= 1)
    b.session.set_playing(False)
    b.session.wait(5)
    index = b.made[0].index
    for _ in range(3):
        b.session.step_once()
    b.session.wait(5)
    assert b.made[0].index == index + 3
    assert b.last.step == index + 3
    assert b.last.fresh


def test_a_step_past_the_end_is_allowed_while_paused(bench):
    b = bench(steps=3)
    b.session.wait(5)
    b.session.set_playing(False)
    b.session.step_once()
    b.session.wait(5)
    assert b.last.step == 4


def test_a_new_target_is_a_new_run(bench):
    b = bench(steps=10_000)
    first = b.until(lambda u: u.step >= 2)
    for field in (
        {"unit": 4},
        {"layer": "conv2"},
        {"recipe": "other"},
        {"seed": 9},
        {"size": 64},
    ):
        target = Target(**{"layer": "conv", "unit": 3, **field})
        b.session.set_target(target)
        b.until(lambda u, t=target: u.fresh and u.step < 50 and b.made[-1].target == t)
    assert b.last.status["run"] >= first.status["run"] + 5


def test_the_same_target_again_changes_nothing(bench):
    b = bench(steps=10_000)
    b.until(lambda u: u.step >= 2)
    b.session.set_target(Target("conv", 3))
    index = b.made[0].index
    b.until(lambda u: u.step >= index + 2)
    assert len(b.made) == 1


def test_the_newest_request_replaces_older_ones(bench):
    b = bench(steps=10_000, seconds=0.05)
    b.until(lambda u: u.step >= 1)
    for unit in range(40):
        b.session.set_target(Target("conv", unit))
    b.until(lambda u: u.status["unit"] == 39 and u.fresh)
    assert len(b.made) < 10, "a drag over forty units must not draw each of them"


def test_a_run_begun_while_paused_shows_its_first_step(bench):
    b = bench(steps=10_000)
    b.until(lambda u: u.step >= 2)
    b.session.set_playing(False)
    b.session.wait(5)
    b.session.set_target(Target("conv", 8))
    b.session.wait(5)
    assert (b.last.status["unit"], b.last.step, b.last.status["state"]) == (8, 1, "paused")
    assert b.last.fresh


def test_knobs_reach_the_running_ascent_and_the_next_one(bench):
    b = bench(steps=10_000)
    b.until(lambda u: u.step >= 2)
    b.session.set_knobs(blur=1.5)
    b.until(lambda u: u.status["values"].get("blur") == 1.5)
    assert len(b.made) == 1
    b.session.restart()
    b.until(lambda u: u.fresh and len(b.made) == 2 and u.step < 20)
    assert b.made[1].overrides == {"blur": 1.5}
    b.session.set_knobs(blur=None)
    b.until(lambda u: u.status["values"].get("blur") == 0.0)


def test_a_knob_changed_while_paused_is_published_at_once(bench):
    """Otherwise the page would go on showing the override after it is given back to the recipe."""
    b = bench(steps=10_000)
    b.until(lambda u: u.step >= 2)
    b.session.set_playing(False)
    b.session.wait(5)
    for given, published in ((1.5, 1.5), (None, 0.0)):
        b.session.set_knobs(blur=given)
        assert b.session.wait(5) == "paused"
        assert b.last.status["values"]["blur"] == published
        assert b.last.snapshot is None, "the picture has not changed"


def test_a_knob_changed_after_the_end_prolongs_the_run(bench):
    b = bench()
    b.session.wait(5)
    b.session.set_knobs(blur=2.0)
    b.session.wait(5)
    assert b.last.step == 40
    assert len(b.made) == 1


def test_play_after_the_end_prolongs_the_run(bench):
    b = bench()
    b.session.wait(5)
    b.session.set_playing(True)
    b.session.wait(5)
    assert b.last.step == 40


def test_restart_begins_again(bench):
    b = bench()
    b.session.wait(5)
    run = b.last.status["run"]
    b.session.restart()
    b.session.wait(5)
    assert b.last.status["run"] == run + 1
    assert b.made[1].target == b.made[0].target


def test_an_error_is_published_and_logged_and_the_worker_goes_on(bench, caplog):
    b = bench(fail_at=3)
    assert b.session.wait(5) == "error"
    assert b.last.status["error"] == "RuntimeError: the forward broke"
    assert "the forward broke" in b.last.status["text"]
    assert any(r.name == "peek_widget" and r.exc_info for r in caplog.records)
    b.ascent["fail_at"] = None
    b.session.set_target(Target("conv", 4))
    assert b.session.wait(5) == "done"
    assert b.last.status["error"] is None


def test_after_an_error_any_control_tries_again(bench):
    b = bench(fail_at=3)
    b.session.wait(5)
    b.ascent["fail_at"] = None
    b.session.set_playing(True)
    assert b.session.wait(5) == "done"


def test_a_knob_whose_first_step_fails_is_in_the_status_of_the_error_and_after_it(bench):
    b = bench(steps=10_000)
    b.until(lambda u: u.step >= 8 and u.status["state"] == "running")
    made = b.made[0]
    override = made.override

    def breaks(**knobs):
        override(**knobs)
        made.fail_at = made.index + 1

    made.override = breaks
    b.session.set_knobs(blur=3.0)
    b.until_state("error")
    assert b.last.status["values"] == {"blur": 3.0}
    # an earlier step is viewed without the ascent that failed
    b.session.seek(4)
    assert b.session.wait(5) == "paused"
    assert b.last.status["values"] == {"blur": 3.0}


def test_after_an_error_acks_alone_do_not_try_again(bench):
    b = bench(fail_at=3)
    b.session.wait(5)
    for n in range(20):
        b.session.receive(protocol.Ack(n, 0))
    b.session.receive(protocol.Hello())
    b.until(lambda u: u.status["state"] == "error" and u.snapshot is not None and not u.fresh)
    assert len(b.made) == 1


def test_our_own_errors_are_shown_as_the_sentence_they_are(bench, monkeypatch):
    b = bench(start=False)

    def refuse(target):
        raise AscentError("The gradient is zero at step 1: take the layer before the ReLU.")

    b.session._worker._make_ascent = refuse
    b.session.start()
    assert b.session.wait(5) == "error"
    assert b.last.status["text"].endswith("take the layer before the ReLU.")
    assert b.last.status["error"].startswith("AscentError: ")


def test_an_observer_that_raises_stops_the_run_and_not_the_worker(bench, caplog):
    b = bench(steps=10_000)

    def bad(update):
        if update.fresh:
            raise KeyError("my observer")

    b.until(lambda u: u.step >= 2)
    b.observer = bad
    b.until_state("error")
    assert b.session.wait(5) == "error"
    b.observer = None
    index = b.made[0].index
    b.session.set_knobs(blur=1.0)
    b.until(lambda u: u.fresh and u.step > index)
    assert len(b.made) == 1, "nothing was wrong with the ascent"


def test_an_observer_that_always_raises_does_not_end_the_worker(bench):
    b = bench(start=False)
    b.observer = lambda update: 1 / 0
    b.session.start()
    assert b.session.wait(5) == "error"
    b.observer = None
    b.session.restart()
    assert b.session.wait(5) == "done"


def test_a_slow_start_makes_the_picture_smaller_and_says_so(bench):
    b = bench(claimed=0.5, steps=6)
    assert b.session.wait(5) == "done"
    assert [a.size for a in b.made] == [224, 157]
    assert b.last.status["size"] == 157
    assert "smaller (157 px)" in b.last.status["text"]
    assert "set size" in b.last.status["text"]


def test_the_smaller_size_stays_for_the_next_unit_but_not_for_another_layer(bench):
    b = bench(claimed=0.5, steps=6)
    b.session.wait(5)
    b.session.set_target(Target("conv", 4))
    b.session.wait(5)
    assert [a.size for a in b.made] == [224, 157, 157]
    b.session.set_target(Target("conv2", 4))
    b.session.wait(5)
    assert [a.size for a in b.made[3:]] == [224, 157]


def test_a_fast_machine_keeps_the_size(bench):
    b = bench(claimed=0.3, steps=20)
    b.session.wait(5)
    assert [a.size for a in b.made] == [224]


def test_a_size_that_was_asked_for_is_kept_however_slow(bench):
    b = bench(claimed=0.5, steps=6, target=Target("conv", 3, size=224))
    b.session.wait(5)
    assert [a.size for a in b.made] == [224]


def test_the_size_is_never_less_than_the_layer_needs(bench):
    b = bench(claimed=0.5, steps=6, smallest=200)
    b.session.wait(5)
    assert b.last.status["size"] == 224
    assert "needs that size" in b.last.status["text"]


def test_the_size_is_never_less_than_the_smallest(bench):
    b = bench(claimed=5.0, steps=6)
    assert b.session.wait(5) == "done"
    assert [a.size for a in b.made] == [224, 112, MIN_SIZE]


def test_where_a_step_takes_seconds_the_size_is_lowered_after_two(bench):
    b = bench(claimed=3.0, steps=6)
    assert b.session.wait(5) == "done"
    # the second step is enough to know
    assert [a.index for a in b.made] == [2, 5, 6]
    assert [a.size for a in b.made] == [224, 112, MIN_SIZE]


@pytest.mark.slow
def test_no_more_frames_than_the_rate_are_published(bench):
    b = bench(steps=100_000, seconds=0, rate=20)
    acked = threading.Event()

    def ack(update):
        b.session.receive(protocol.Ack(update.status["n"], 0))

    b.observer = ack
    b.until(lambda u: u.status["n"] >= 2)
    begin, n = time.monotonic(), b.last.status["n"]
    acked.wait(2.0)
    rate = (b.last.status["n"] - n) / (time.monotonic() - begin)
    assert 12 < rate <= 21


def test_without_acks_no_queue_builds_up(bench):
    b = bench(steps=100_000, seconds=0, rate=30)
    b.until(lambda u: u.status["n"] >= 15)
    time.sleep(0.5)
    assert b.last.status["n"] == 15
    index = b.made[0].index
    b.session.receive(protocol.Ack(15, 0))
    b.until(lambda u: u.status["n"] == 16 and u.step >= index)


@pytest.mark.slow
def test_the_first_frame_after_a_request_made_during_a_step_goes_at_once(bench):
    b = bench(steps=100_000, seconds=0.1, rate=30)
    b.until(lambda u: u.status["n"] >= 15)
    b.until(lambda u: u.step >= 1)
    time.sleep(0.05)
    b.session.restart()
    b.until(lambda u: u.status["run"] == 2 and u.fresh and u.step == 1, 1.0)


def test_hello_publishes_everything_again_at_once(bench):
    b = bench()
    b.session.wait(5)
    count, n = len(b.updates), b.last.status["n"]
    b.session.receive(protocol.Hello())
    b.until(lambda u: u is not None and len(b.updates) > count)
    assert b.last.snapshot is not None
    assert not b.last.fresh
    assert b.last.status["n"] == n
    assert b.last.status["state"] == "done"


def test_hello_is_answered_before_anything_was_drawn(bench):
    b = bench(playing=False, start=False)
    b.session.receive(protocol.Hello())
    update = b.until_state("paused")
    assert update.snapshot is None
    assert b.made == []


def test_a_hidden_run_pauses_and_resumes_when_visible(bench):
    # with a size of its own, or the time that passes at once would count as a slow step
    b = bench(steps=1_000_000, target=Target("conv", 3, size=224))
    b.until(lambda u: u.step >= 2)
    b.session.receive(protocol.Visible(False))
    b.clock.ahead += pacing.GRACE
    idle = b.until_state("idle")
    time.sleep(0.05)
    index, count = b.made[0].index, len(b.updates)
    assert "not visible. Resumes when visible." in idle.status["text"]
    time.sleep(0.1)
    assert (b.made[0].index, len(b.updates)) == (index, count)
    b.session.receive(protocol.Visible(True))
    b.until(lambda u: u.step > index and u.status["state"] == "running")
    assert len(b.made) == 1


def test_a_run_without_any_message_for_a_minute_pauses(bench):
    # with a size of its own, or the time that passes at once would count as a slow step
    b = bench(steps=1_000_000, target=Target("conv", 3, size=224))
    b.until(lambda u: u.step >= 2)
    b.clock.ahead += pacing.LIFE
    b.until_state("idle")
    b.session.receive(protocol.Hello())
    b.until(lambda u: u.status["state"] == "running" and u.fresh)


def test_a_run_that_somebody_waits_for_counts_as_watched(bench):
    b = bench(steps=40, seconds=0.01)
    b.session.receive(protocol.Visible(False))
    b.clock.ahead += 2 * pacing.LIFE
    assert b.session.wait(5) == "done"


def test_wait_raises_after_its_timeout(bench):
    b = bench(steps=1_000_000)
    with pytest.raises(TimeoutError, match=r"running after 0\.1 s"):
        b.session.wait(0.1)


def test_the_worker_cannot_wait_for_itself(bench):
    b = bench(steps=1_000_000, start=False)
    caught = []

    def wait_here(update):
        try:
            b.session.wait(1)
        except RuntimeError as error:
            caught.append(str(error))

    b.observer = wait_here
    b.session.start()
    b.until(lambda u: u.fresh)
    b.session.set_playing(False)
    b.session.wait(5)
    assert "own thread" in caught[0]


def test_close_ends_the_thread_and_later_requests_are_harmless(bench):
    b = bench(steps=1_000_000)
    b.until(lambda u: u.step >= 2)
    assert b.session.close()
    count = len(b.updates)
    b.session.restart()
    b.session.set_knobs(blur=1.0)
    b.session.receive(protocol.Hello())
    b.session.wait(1)
    assert not b.session.alive
    assert len(b.updates) == count


def test_closed_during_a_step_it_publishes_nothing_more(bench):
    """At the interpreter's end nobody closed it: a page told "closed" would not look whether the kernel is gone."""
    b = bench(steps=1_000_000, seconds=0.2)
    b.until(lambda u: u.step >= 1)
    time.sleep(0.05)
    assert b.session.close()
    assert "closed" not in {update.status["state"] for update in b.updates}
    assert b.session.status()["state"] == "closed"


def test_a_service_that_was_never_started_has_no_thread():
    session = RunService(
        lambda target: None, lambda update: None, lambda snapshot: lambda: 0.0, target=Target("conv", 0), playing=False
    )
    assert not session.alive
    assert session.close()


def test_an_observer_may_close(bench):
    b = bench(steps=1_000_000, start=False)
    b.observer = lambda update: b.session.close() if update.step >= 3 else None
    b.session.start()
    deadline = time.monotonic() + 5
    while b.session.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not b.session.alive


@pytest.mark.slow
def test_the_interpreter_ends_under_a_running_worker():
    program = """
import time
from pathlib import Path
from tests.live.fakes import Bench
b = Bench(steps=10**9, seconds=0.001)
b.until(lambda u: u.step > 3)
print("drawn", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "drawn", "")


def test_requests_from_many_threads_all_count(bench):
    b = bench(steps=1_000_000, seconds=0)
    errors = []

    def storm(seed):
        random = np.random.default_rng(seed)
        try:
            for i in range(300):
                match random.integers(6):
                    case 0:
                        b.session.set_target(Target("conv", int(random.integers(50)), seed=seed))
                    case 1:
                        b.session.set_knobs(**{protocol.KNOB_NAMES[i % 5]: float(i)})
                    case 2:
                        b.session.set_playing(bool(random.integers(2)))
                    case 3:
                        b.session.receive(protocol.Ack(int(random.integers(1000)), int(random.integers(1000))))
                    case 4:
                        b.session.receive(protocol.Visible(bool(random.integers(2))))
                    case 5:
                        b.session.restart()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    b.session.receive(protocol.Visible(True))
    b.session.set_target(Target("last", 7))
    b.session.set_knobs(blur=3.25)
    b.session.set_playing(False)
    assert b.session.wait(10) == "paused"
    assert (b.last.status["layer"], b.last.status["unit"]) == ("last", 7)
    assert b.made[-1].overrides["blur"] == 3.25

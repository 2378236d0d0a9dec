"""The flow control of the stream of frames, with a simulated clock."""

import itertools
import math
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from peek_widget.live import pacing
from peek_widget.live.pacing import Pacer


class Page:
    """A pacer with a producer that always has a newer frame, and a clock."""

    def __init__(self, rate=30.0):
        self.now = 100.0
        self.pacer = Pacer(rate, now=self.now)
        self.sent = []

    def run(self, seconds, ack_every=None, delay=0.01):
        """Let time pass in ticks of 5 ms; the page acknowledges, if at all, as the front end does."""
        end, last_ack = self.now + seconds, self.now
        begin = len(self.sent)
        while self.now < end:
            self.now += 0.005
            if self.pacer.due(self.now) <= self.now:
                self.sent.append(self.now)
                self.pacer.sent(len(self.sent), self.now)
            if ack_every and self.now - last_ack >= ack_every:
                last_ack = self.now
                drawn = sum(1 for t in self.sent if t <= self.now - delay)
                self.pacer.ack(drawn, self.now)
        return len(self.sent) - begin


def test_a_page_that_acknowledges_gets_the_rate_asked_for():
    page = Page(30)
    assert page.run(10, ack_every=0.25) == pytest.approx(300, abs=30)


def test_a_producer_out_of_step_with_the_rate_still_gets_it():
    page = Page(30)
    sent = 0
    for _ in range(500):
        page.now += 0.02
        if page.pacer.due(page.now) <= page.now:
            sent += 1
            page.pacer.sent(sent, page.now)
            page.pacer.ack(sent, page.now)
    assert sent == pytest.approx(300, abs=5)


def test_a_slow_page_gets_about_what_it_can_draw_and_the_full_rate_once_it_can():
    page, drawn, can = Page(30), 0.0, 8.0

    def run(seconds):
        nonlocal drawn
        before, queues = len(page.sent), []
        for tick in range(round(seconds / 0.005)):
            page.run(0.005)
            drawn = min(len(page.sent), drawn + can * 0.005)
            queues.append(len(page.sent) - drawn)
            if tick % 50 == 0:
                page.pacer.ack(int(drawn), page.now)
        return (len(page.sent) - before) / seconds, sum(queues) / len(queues)

    run(5)
    rate, queue = run(20)
    assert 0.6 * can < rate <= 1.05 * can
    # most of the time nothing waits, so that the page has time for its user
    assert queue < 4
    can = 60.0
    run(10)
    assert run(5)[0] == pytest.approx(30, abs=2)


@pytest.mark.parametrize(("can", "within"), [(20.0, 0.2), (3.0, 1.0)])
def test_a_slow_page_shows_a_new_frame_within_a_few_frames(can, within):
    page, shown, waited = Page(60), 0, []
    for tick in range(round(45 / 0.005)):
        page.run(0.005)
        if tick % round(1 / can / 0.005) == 0 and shown < len(page.sent):
            shown += 1
            waited.append((tick * 0.005, page.now - page.sent[shown - 1]))
        if tick % 50 == 0:
            page.pacer.ack(shown, page.now)
    settled = [time for at, time in waited if at > 25]
    assert len(settled) / 20 > 0.75 * can
    assert sum(settled) / len(settled) < within


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.2])
def test_a_long_round_trip_alone_does_not_lower_the_pace(delay):
    page = Page(30)
    page.run(3, ack_every=0.25, delay=delay)
    assert page.run(10, ack_every=0.25, delay=delay) == pytest.approx(300, abs=20)
    assert page.pacer.pace == 30


def test_a_round_trip_that_became_longer_for_good_lowers_the_pace_for_a_while():
    page = Page(30)
    page.run(5, ack_every=0.25, delay=0.02)
    page.run(4, ack_every=0.25, delay=0.2)
    assert page.pacer.pace < 30
    page.run(25, ack_every=0.25, delay=0.2)
    assert page.pacer.pace == 30
    assert Page(30).run(5, ack_every=0.25, delay=0.2) > 120


def test_a_page_that_stays_is_not_measured_by_the_round_trip_of_one_that_left():
    page = Page(30)
    page.run(5, ack_every=0.25, delay=0.02)
    page.pacer.visible(False, page.now)
    page.run(5, ack_every=0.25, delay=0.2)
    assert page.pacer.pace == 30


@pytest.mark.parametrize("clock", [0.0, 5000.0, -90.0])
@pytest.mark.parametrize("seed", range(3))
def test_acks_held_up_by_a_cell_or_the_network_do_not_lower_the_pace(seed, clock):
    """Three of four acks of a page without a queue arrive up to 0.4 s late; each has the time of the page's clock."""
    page, late = Page(30), random.Random(seed)
    for turn in range(80):
        page.run(0.25)
        drawn, at = len(page.sent) - 1, page.now - clock
        if turn % 4:
            page.run(0.4 * late.random())
        page.pacer.ack(drawn, page.now, at)
    assert page.pacer.pace == 30


def test_a_queue_is_detected_although_acks_are_held_up():
    page, shown = Page(60), 0
    for tick in range(round(20 / 0.005)):
        page.run(0.005)
        if tick % 10 == 0:
            shown = min(len(page.sent), shown + 1)
        if tick % 50 == 0:
            # every other ack reaches the kernel 0.1 s later
            held = 0.1 * (tick // 50 % 2)
            page.pacer.ack(shown, page.now + held, page.now)
    assert page.pacer.pace < 25


def test_frames_go_on_right_after_a_drag():
    page = Page(30)
    for _ in range(60):
        page.pacer.wake(page.now)
        page.run(0.05, ack_every=0.04)
    before = len(page.sent)
    page.run(1, ack_every=0.24)
    gaps = [b - a for a, b in itertools.pairwise(page.sent[before - 1 :])]
    assert max(gaps) < 0.1
    assert len(gaps) > 25


@pytest.mark.parametrize("apart", [0.1, 1000.0])
def test_two_pages_whose_clocks_differ_do_not_lower_the_pace(apart):
    page = Page(30)
    for turn in range(80):
        page.run(0.125)
        page.pacer.ack(len(page.sent) - 1, page.now, page.now - apart * (turn % 2))
    assert page.pacer.pace == 30


@pytest.mark.parametrize("back", [1000.0, -1000.0])
@pytest.mark.parametrize("greets", [True, False])
def test_a_page_whose_clock_was_reset_soon_has_the_full_pace(back, greets):
    page = Page(30)
    for turn in range(80):
        page.run(0.25)
        if greets and turn == 20:
            page.pacer.hello(page.now)
        page.pacer.ack(len(page.sent) - 1, page.now, page.now - (back if turn >= 20 else 0))
    assert page.pacer.pace == 30


def test_a_page_that_connects_is_not_measured_by_the_round_trip_of_an_earlier_one():
    page = Page(30)
    page.run(5, ack_every=0.25, delay=0.02)
    page.pacer.hello(page.now)
    page.run(5, ack_every=0.25, delay=0.2)
    assert page.pacer.pace == 30


def test_a_frame_sent_again_counts_once():
    pacer = Pacer(30, now=0)
    pacer.sent(1, 0)
    pacer.sent(1, 0.2)
    pacer.ack(1, 0.21)
    pacer.sent(2, 1)
    pacer.sent(3, 1.1)
    pacer.ack(2, 1.3)
    assert pacer.pace == 30


def test_an_ack_of_a_frame_never_sent_is_not_measured():
    page = Page(30)
    page.run(3, ack_every=0.25, delay=0.2)
    page.pacer.ack(10**9, page.now)
    page.run(5, ack_every=0.25, delay=0.2)
    assert page.pacer.pace == 30


@pytest.mark.parametrize("frames", [2, 5, 8, 12, 25])
def test_a_slow_producer_does_not_count_as_a_slow_page(frames):
    """Neither the producer's next frame nor the ack that is sent four times a second is time that the page needs."""
    page = Page(30)
    shown = 0
    for tick in range(200 * 20):
        page.now += 0.005
        if tick % (200 // frames) == 0 and page.pacer.due(page.now) <= page.now:
            page.sent.append(page.now)
            page.pacer.sent(len(page.sent), page.now)
        drawn = sum(1 for t in page.sent if t <= page.now - 0.06)
        if tick % 50 == 0 and drawn > shown:
            shown = drawn
            page.pacer.ack(shown, page.now)
    assert page.pacer.pace == 30


def test_a_slower_second_page_does_not_lower_the_pace():
    page = Page(30)
    for _ in range(40):
        page.run(0.25, ack_every=0.24)
        page.pacer.ack(max(0, len(page.sent) - 12), page.now)
    assert page.pacer.pace == 30


def test_acks_that_arrive_together_lower_the_pace_once():
    page = Page(30)
    page.run(3)
    sent = len(page.sent)
    for n in range(1, sent // 2):
        page.pacer.ack(n, page.now)
    assert page.pacer.pace >= pacing.EASE * 30
    page.pacer.ack(sent, page.now)
    page.run(3, ack_every=0.25)
    assert page.run(5, ack_every=0.25) == pytest.approx(150, abs=8)


def test_the_rate_is_capped():
    assert Pacer(1000, now=0).rate == pacing.MAX_RATE
    # the first frame leaves at time 0
    assert Page(1000).run(5, ack_every=0.2) <= 5 * pacing.MAX_RATE + 1


def test_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        Pacer(0, now=0)


def test_no_more_frames_than_the_window_are_in_flight():
    page = Page(30)
    for _ in range(40):
        page.run(0.25, ack_every=0.25, delay=0.2)
        assert page.pacer.outstanding <= page.pacer.window


def test_the_window_is_half_a_second_of_frames():
    assert Pacer(10, now=0).window == 5
    assert Pacer(30, now=0).window == 15
    assert Pacer(60, now=0).window == 30
    assert Pacer(1, now=0).window == 2


@pytest.mark.parametrize("rate", [30, 60])
@pytest.mark.parametrize("way", [0.05, 0.15, 0.3, 0.6])
def test_a_page_far_away_gets_the_rate_with_as_many_frames_on_their_way_as_that_takes(rate, way):
    page = FarPage(way, rate)
    page.run(5)
    before = page.sent
    most = page.run(10)
    assert (page.sent - before) / 10 == pytest.approx(rate, abs=1.5)
    assert page.pacer.pace == rate, "a long way is no queue"
    assert most >= rate * way


class FarPage:
    """A pacer and a page whose frames, and acks, are half of `way` seconds on their way."""

    def __init__(self, way, rate):
        self.way, self.now, self.sent, self.acked_at = way, 100.0, 0, 100.0
        self.pacer = Pacer(rate, now=self.now)
        self.frames, self.acks = [], []

    def run(self, seconds):
        """Let time pass; give the highest number of frames in flight."""
        most, end = 0, self.now + seconds
        while self.now < end:
            self.now += 0.005
            while self.acks and self.acks[0][0] <= self.now:
                self.pacer.ack(self.acks.pop(0)[1], self.now)
            if self.pacer.due(self.now) <= self.now:
                self.sent += 1
                self.pacer.sent(self.sent, self.now)
                self.frames.append((self.now + self.way / 2 + 0.03, self.sent))
            if self.now - self.acked_at >= 0.25 and self.frames and self.frames[0][0] <= self.now:
                self.acked_at = self.now
                shown = [n for at, n in self.frames if at <= self.now]
                del self.frames[: len(shown)]
                self.acks.append((self.now + self.way / 2, shown[-1]))
            most = max(most, self.pacer.outstanding)
        return most


def test_a_silent_page_gets_few_frames_then_probes_then_none():
    page = Page(30)
    assert page.run(1.4) == 15, "a window, then nothing"
    page.run(0.6)
    assert page.run(8) == pytest.approx(8 * pacing.PATIENT_RATE, abs=4)
    page.run(3)
    assert page.run(20) == pytest.approx(20 * pacing.PROBE_RATE, abs=2)
    assert page.pacer.attention(page.now).watched
    page.run(30)
    assert page.pacer.attention(page.now) == pacing.Attention(False, "nobody")
    assert page.run(20) == 0
    assert page.pacer.due(page.now) == math.inf


def test_a_run_without_any_page_counts_as_watched_for_a_minute():
    page = Page()
    assert page.pacer.attention(page.now + 59).watched
    assert not page.pacer.attention(page.now + 61).watched


def test_one_ack_after_silence_restores_the_rate():
    page = Page(30)
    page.run(20)
    page.pacer.ack(len(page.sent), page.now)
    assert page.run(2, ack_every=0.25) >= 50


def test_acks_are_cumulative_and_never_go_back():
    page = Page(30)
    page.run(0.4)
    page.pacer.ack(8, page.now)
    page.pacer.ack(3, page.now)
    assert page.pacer.outstanding == len(page.sent) - 8
    page.pacer.ack(10_000, page.now)
    assert page.pacer.outstanding == 0


def test_hello_forgets_frames_that_an_earlier_page_did_not_acknowledge():
    page = Page(30)
    page.run(1.4)
    assert page.pacer.outstanding == 15
    page.pacer.hello(page.now)
    assert page.pacer.outstanding == 0
    assert page.pacer.due(page.now) <= page.now


def test_after_a_change_of_a_control_two_frames_are_due_at_once():
    page = Page(30)
    page.run(1.0)
    assert page.pacer.due(page.now) > page.now
    page.pacer.wake(page.now)
    for more in range(pacing.AT_ONCE):
        assert page.pacer.due(page.now) <= page.now
        page.pacer.sent(len(page.sent) + 1 + more, page.now)
    assert page.pacer.due(page.now) > page.now


def test_a_hidden_page_gets_nothing_after_a_short_grace():
    page = Page(30)
    page.run(1, ack_every=0.25)
    page.pacer.visible(False, page.now)
    assert page.pacer.attention(page.now + 0.5 * pacing.GRACE).watched
    page.run(pacing.GRACE)
    assert page.run(5) == 0
    assert page.pacer.attention(page.now).reason == "hidden"
    page.pacer.visible(True, page.now)
    assert page.pacer.due(page.now) <= page.now


def test_a_second_visible_page_keeps_the_stream_going():
    page = Page(30)
    page.run(1, ack_every=0.25)
    page.pacer.visible(False, page.now)
    assert page.run(5, ack_every=0.25) > 100


class Flow(RuleBasedStateMachine):
    """Events in any order: never more than a window in flight, never above the rate, never silent for ever."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.pacer = Pacer(30, now=0.0)
        self.n = 0
        self.asked = 0
        self.last_sent = -math.inf
        self.last_word = 0.0

    @rule(seconds=st.floats(0.001, 5))
    def wait(self, seconds):
        self.now += seconds

    @rule(frames=st.integers(1, 20))
    def produce(self, frames):
        """A producer that always has a newer frame, looked at every 10 ms."""
        for _ in range(frames):
            self.now += 0.01
            if self.pacer.due(self.now) > self.now:
                continue
            assert self.pacer.attention(self.now).watched
            if not self.asked:
                assert self.now - self.last_sent >= 0.5 / self.pacer.rate - 1e-9
                if self.pacer.outstanding >= self.pacer.window:
                    assert self.now - self.last_word >= pacing.SILENCE
                    assert self.now - self.last_sent >= 1 / pacing.PATIENT_RATE
            self.n += 1
            if self.pacer.outstanding == 0:
                self.last_word = self.now
            self.pacer.sent(self.n, self.now)
            self.last_sent, self.asked = self.now, max(0, self.asked - 1)

    @rule(back=st.integers(0, 40), at=st.none() | st.floats(0, 1e6))
    def ack(self, back, at):
        """An ack of a page with any clock."""
        before = self.pacer.outstanding
        self.pacer.ack(max(0, self.n - back), self.now, at)
        assert self.pacer.outstanding == min(before, back, self.n)
        self.last_word = self.now

    @rule()
    def hello(self):
        self.pacer.hello(self.now)
        assert self.pacer.outstanding == 0
        assert self.pacer.due(self.now) <= self.now
        self.asked, self.last_word = pacing.AT_ONCE, self.now

    @rule()
    def wake(self):
        self.pacer.wake(self.now)
        self.asked = pacing.AT_ONCE

    @rule(on=st.booleans())
    def visible(self, on):
        self.pacer.visible(on, self.now)
        self.asked = pacing.AT_ONCE if on else self.asked

    @precondition(lambda self: self.pacer.attention(self.now).watched)
    @rule()
    def a_watched_stream_never_stops_for_good(self):
        assert self.pacer.due(self.now) <= self.now + pacing.SILENCE + 1e-6

    @invariant()
    def an_unwatched_stream_stands_still(self):
        if not self.pacer.attention(self.now).watched:
            assert self.pacer.due(self.now) == math.inf


TestFlow = Flow.TestCase
TestFlow.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

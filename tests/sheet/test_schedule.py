"""The scheduler: what is drawn next, one step at a time, and how several share the work of one store."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peek_widget.errors import SheetStoreError
from peek_widget.network import read
from peek_widget.sheet import local
from peek_widget.sheet.batches import Batch, plan
from peek_widget.sheet.leases import HEARTBEAT, LEASE_TIMEOUT
from peek_widget.sheet.schedule import POLL, Advance, Scheduler, next_batch
from peek_widget.sheet.store import Store
from tests.networks import tiny
from tests.sheet.helpers import QUICK, on_disk, pngs, sheet


@pytest.fixture(scope="module")
def expected():
    """The pictures as a sheet without a store gives them, in batches of 3."""
    return pngs(sheet().draw())


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Drawn:
    """Counts the batches that begin and the units that are finished, whoever draws."""

    def __init__(self, monkeypatch):
        self.begun: list[tuple[int, ...]] = []
        self.finished: list[int] = []
        self.steps = 0
        real = local.draw

        def draw(network, batch, **options):
            self.begun.append(batch.wanted)
            for progress in real(network, batch, **options):
                self.steps += 1
                self.finished += [one.unit for one in progress.finished if not one.draft]
                yield progress

        monkeypatch.setattr(local, "draw", draw)


@pytest.fixture
def drawn(monkeypatch):
    return Drawn(monkeypatch)


def scheduler(store=None, clock=None, *, drafts=False, **options) -> Scheduler:
    """A scheduler of a sheet of 8 units in batches of 3, 3 and 2, each drawn in 5 steps."""
    made = sheet(store, **options)
    network = read(made.network.model_copy.original, made.network.input_size)
    previews = plan(network, made.layer, made.recipe, made.units, draft=True, batch=3) if drafts else ()
    return made.scheduler(lambda: network, previews, clock=clock or Clock())


def run(one: Scheduler) -> list[int]:
    """Draw to the end; the numbers of the units in the order in which they arrive."""
    arrived = []
    for _ in range(200):
        advance = one.step()
        arrived += [picture.unit for picture in advance.arrived]
        assert not advance.waiting
        if advance.done:
            return arrived
    raise AssertionError("never done")


# -- which batch is next


def batches(count, length, together=False, draft=False):
    parts = [tuple(range(start, min(start + length, count))) for start in range(0, count, length)]
    return [Batch(number, "a", units, QUICK, together=together, draft=draft) for number, units in enumerate(parts)]


@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.sets(st.integers(0, 39)),
    st.lists(st.integers(0, 45)),
)
@settings(deadline=None)
def test_the_next_batch_is_of_missing_units_and_has_the_first_one_in_view(count, length, together, draft, there, view):
    planned = batches(count, length, together, draft)
    missing = set(range(count)) - there
    batch = next_batch(planned, there, view)
    assert (batch is None) == (not missing)
    if batch is None:
        return
    assert set(batch.wanted) <= missing
    assert len(set(batch.wanted)) == len(batch.wanted)
    viewed = [unit for unit in view if unit in missing]
    if viewed:
        assert viewed[0] in batch.wanted
    # what goes through the network together is the plan's own batch, on which its pixels depend
    if together and not draft:
        assert batch.units in [each.units for each in planned]


def test_units_in_view_come_first_and_all_are_drawn_in_the_end():
    planned, there, view = batches(20, 4), set(), [9, 17, 3]
    chosen = []
    while (batch := next_batch(planned, there, view)) is not None:
        chosen.append(batch.wanted)
        there |= set(batch.wanted)
    assert chosen[0] == (9, 17, 3)
    assert sorted(unit for wanted in chosen for unit in wanted) == list(range(20))


# -- one step at a time


def test_a_step_is_one_step_of_one_batch(drawn, expected):
    one = scheduler()
    for step in range(1, 5):
        advance = one.step()
        assert (drawn.steps, one.progress) == (step, step / 5)
        assert advance == Advance()
        assert [batch.wanted for batch in one.in_flight] == [(0, 1, 2)]
    assert [picture.unit for picture in one.step().arrived] == [0, 1, 2]
    assert one.in_flight == ()
    assert run(one) == [3, 4, 5, 6, 7]
    assert drawn.steps == 15
    assert not one.pending
    assert {unit: picture.png for unit, picture in one.archive.done.items()} == expected


def test_the_batch_of_a_unit_in_view_is_next_and_a_batch_that_is_abandoned_begins_anew(drawn):
    one = scheduler()
    one.step()
    one.view = (7,)
    one.step()
    assert [batch.wanted for batch in one.in_flight] == [(0, 1, 2)]
    one.abandon()
    assert run(one) == [6, 7, 0, 1, 2, 3, 4, 5]
    assert drawn.begun == [(0, 1, 2), (6, 7), (0, 1, 2), (3, 4, 5)]


def test_a_script_may_prefer_units_at_any_time():
    drawing = sheet(batch=2)
    drawing.prefer([5])
    arrived = []
    for one in drawing:
        arrived.append(one.unit)
        drawing.prefer([2])
    assert arrived == [4, 5, 2, 3, 0, 1, 6, 7]


def test_previews_come_first_are_not_stored_and_are_replaced(tmp_path):
    one = scheduler(tmp_path, drafts=True)
    for _ in range(3 * 5):
        one.step()
    assert sorted(one.archive.drafts) == list(range(8))
    assert not one.archive.done
    assert not on_disk(tmp_path)
    run(one)
    assert not one.archive.drafts
    assert len(on_disk(tmp_path)) == 8


# -- several on one store


def test_two_schedulers_of_one_store_draw_every_unit_once_and_both_have_all(tmp_path, drawn, expected):
    clocks = Clock(), Clock()
    two = [scheduler(tmp_path, clock) for clock in clocks]
    for _ in range(200):
        advances = [one.step() for one in two]
        for clock in clocks:
            clock.now += POLL
        if all(advance.done for advance in advances):
            break
    assert sorted(drawn.finished) == list(range(8))
    assert len(drawn.begun) == 3
    for one in two:
        assert {unit: picture.png for unit, picture in one.archive.done.items()} == expected
    assert on_disk(tmp_path).keys() == {f"unit-{unit:05d}.png" for unit in range(8)}
    assert not list((tmp_path / "in-progress").iterdir())


def test_units_in_view_of_two_batches_are_leased_with_both(tmp_path, drawn):
    """Large views go through the network one at a time, so that a batch may be of what is in view."""
    options = {"model": tiny(), "layer": "", "recipe": QUICK.replace(steps=2, size=112), "input_size": 112, "batch": 2}
    one, other = (scheduler(tmp_path, units=range(4), **options) for _ in range(2))
    one.view = (3, 0)
    one.step()
    assert [batch.wanted for batch in one.in_flight] == [(3, 0)]
    assert other.step().waiting
    assert [picture.unit for picture in one.step().arrived] == [3, 0]
    assert [picture.unit for picture in other.step().arrived] == [0]  # seen when the first batch was leased
    assert [batch.wanted for batch in other.in_flight] == [(1,)]
    other.step()
    assert sorted(run(one)) == [1, 2]
    assert sorted(drawn.finished) == [0, 1, 2, 3]


def test_while_others_draw_all_that_is_missing_a_step_waits_and_then_loads_it(tmp_path, drawn):
    clock = Clock()
    one, other = scheduler(tmp_path, units=range(3)), scheduler(tmp_path, clock, units=range(3))
    one.step()
    advance = other.step()
    assert (advance.waiting, advance.arrived, other.in_flight) == (True, (), ())
    run(one)
    assert other.refresh() == []  # looked a moment ago
    clock.now += POLL
    advance = other.step()
    assert [picture.unit for picture in advance.arrived] == [0, 1, 2]
    assert advance.done
    assert drawn.begun == [(0, 1, 2)]


def test_a_paused_batch_resumes_if_no_other_took_it(tmp_path, drawn):
    one = scheduler(tmp_path, units=range(3))
    one.step()
    one.pause()
    assert not list((tmp_path / "in-progress").iterdir())
    assert run(one) == [0, 1, 2]
    assert drawn.steps == 5


def test_a_paused_batch_that_another_took_is_given_up_and_loaded(tmp_path, drawn):
    clock = Clock()
    one, other = scheduler(tmp_path, clock, units=range(3)), scheduler(tmp_path, units=range(3))
    one.step()
    one.pause()
    other.step()
    assert one.step().waiting
    assert one.in_flight == ()
    run(other)
    clock.now += POLL
    assert one.step().done
    assert drawn.finished == [0, 1, 2]


def test_a_paused_batch_that_another_finished_is_given_up(tmp_path, drawn):
    clock = Clock()
    one, other = scheduler(tmp_path, clock, units=range(3)), scheduler(tmp_path, units=range(3))
    one.step()
    one.pause()
    run(other)
    clock.now += POLL
    advance = one.step()
    assert advance.done
    assert [picture.unit for picture in advance.arrived] == [0, 1, 2]
    assert drawn.finished == [0, 1, 2]


def test_a_scheduler_that_rests_keeps_its_lease_by_its_heartbeat(tmp_path):
    clock = Clock()
    one, other = scheduler(tmp_path, clock, units=range(3)), scheduler(tmp_path, clock, units=range(3))
    one.step()
    for _ in range(20):
        clock.now += HEARTBEAT + 1.0
        one.heartbeat()
        assert other.step().waiting
    clock.now += LEASE_TIMEOUT + 1.0
    assert not other.step().waiting


def test_a_batch_that_is_abandoned_or_closed_can_be_leased_at_once(tmp_path):
    for end in (Scheduler.abandon, Scheduler.close):
        one, other = scheduler(tmp_path, units=range(3)), scheduler(tmp_path, units=range(3))
        one.step()
        end(one)
        other.step()
        assert other.in_flight
        other.close()


def test_pictures_that_found_no_room_are_saved_by_a_later_step(tmp_path, monkeypatch, drawn):
    one = scheduler(tmp_path, units=range(3))
    for _ in range(4):
        one.step()
    real = Store.write

    def full(self, name, data):
        raise SheetStoreError(f"{name}: {os.strerror(errno.ENOSPC)}")

    monkeypatch.setattr(Store, "write", full)
    with pytest.raises(SheetStoreError, match="No space left"):
        one.step()
    one.close()
    assert sorted(one.archive.unsaved) == sorted(one.archive.done) == [0, 1, 2]
    assert one.pending
    monkeypatch.setattr(Store, "write", real)
    assert one.step().done
    assert len(on_disk(tmp_path)) == 3
    assert drawn.begun == [(0, 1, 2)]

"""Several batches at once in one process: the same pictures, and only as many as are allowed."""

from __future__ import annotations

import threading

import pytest
import torch

from peek_widget.ascent import Recipe
from peek_widget.errors import PeekError
from peek_widget.network import read
from peek_widget.sheet import local
from peek_widget.sheet.batches import Batch, draw, finish, plan
from peek_widget.sheet.local import LocalRunner, ParallelRunner, Replicas
from tests.networks import tiny
from tests.sheet.helpers import QUICK


@pytest.fixture(scope="module")
def network():
    return read(tiny(), input_size=32)


def planned(network, draft=False) -> list[Batch]:
    recipe = Recipe.preset("peek").replace(steps=60, size=32) if draft else QUICK
    return plan(network, "forms", recipe, draft=draft, batch=2)


def runner(network, at_once, count=1) -> ParallelRunner:
    return ParallelRunner(Replicas(lambda: network), "0" * 16, {}, count, at_once)


def drawn(one: ParallelRunner, batches: list[Batch]) -> dict[int, bytes]:
    """Draw the batches, as many at once as the runner takes."""
    waiting, pictures = list(batches), {}
    while waiting or one.progress or not one.free:
        while waiting and one.free:
            one.submit(waiting.pop(0))
        for result in one.work(0.0):
            pictures |= {unit.unit: unit.png for unit in result.finished}
        if not waiting and len(pictures) == sum(len(batch.units) for batch in batches):
            break
    return pictures


@pytest.mark.parametrize("draft", [False, True])
def test_batches_drawn_at_once_are_those_drawn_one_after_the_other(network, draft):
    batches = planned(network, draft)
    expected = {}
    with local.computing_on(1):
        for batch in batches:
            finished, _ = finish(draw(network, batch, fingerprint="0" * 16))
            expected |= {unit.unit: unit.png for unit in finished}
        assert drawn(runner(network, lambda: 3), batches) == expected


def test_each_thread_draws_by_a_network_of_its_own(network, monkeypatch):
    seen: dict[int, str] = {}
    real = local.draw

    def watched(used, batch, **options):
        for progress in real(used, batch, **options):
            assert seen.setdefault(id(used), threading.current_thread().name) == threading.current_thread().name
            yield progress

    monkeypatch.setattr(local, "draw", watched)
    two = runner(network, lambda: 2)
    for batch in planned(network)[:2]:
        two.submit(batch)
    two.work(0.0)
    two.close()
    assert seen.pop(id(network)) == threading.current_thread().name
    assert len(seen) == 1


@pytest.mark.parametrize(("draft", "count", "at_once"), [(True, None, 3), (True, 2, 3), (False, 1, 3), (False, 2, 1)])
def test_finished_pictures_of_several_cpu_threads_are_drawn_alone(network, draft, count, at_once):
    one = runner(network, lambda: 3, count)
    taken = 0
    for batch in planned(network, draft):
        if not one.free:
            break
        one.submit(batch)
        taken += 1
    one.close()
    assert taken == at_once


def test_while_fewer_are_allowed_the_others_stand_still(network):
    allowed = 2
    one = runner(network, lambda: allowed)
    for batch in planned(network)[:2]:
        one.submit(batch)
    one.work(0.0)
    assert one.progress == pytest.approx(1 / QUICK.steps)
    allowed = 1
    assert not one.free
    one.work(0.0)
    assert one.progress == pytest.approx(1.5 / QUICK.steps)
    one.close()
    assert one.free
    assert one.progress == 0.0


def test_what_goes_wrong_in_a_thread_is_told_after_the_others_have_made_their_step(network, monkeypatch):
    real, broken = LocalRunner.work, []

    def work(self, seconds):
        if threading.current_thread() is not threading.main_thread():
            raise PeekError("The forward failed.")
        broken.append(self)
        return real(self, seconds)

    monkeypatch.setattr(LocalRunner, "work", work)
    one = runner(network, lambda: 2)
    for batch in planned(network)[:2]:
        one.submit(batch)
    with pytest.raises(PeekError, match="The forward failed"):
        one.work(0.0)
    assert broken[0].progress > 0.0
    one.close()


def test_the_callers_number_of_threads_stays(network):
    before = torch.get_num_threads()
    one = runner(network, lambda: 2)
    for batch in planned(network, draft=True)[:2]:
        one.submit(batch)
    one.work(0.0)
    one.close()
    assert torch.get_num_threads() == before

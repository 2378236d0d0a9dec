from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
import torch

from peek_widget import Ascent, Neuron, Recipe, render
from peek_widget._threads import set_threads, usual_threads
from peek_widget.errors import PeekError
from peek_widget.network import read
from tests.networks import tiny


def test_a_core_is_left_to_others() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= usual_threads() <= max(1, cores - 1)


def test_the_workers_number_is_not_the_notebooks() -> None:
    before = torch.get_num_threads()
    inside: list[int] = []

    def work() -> None:
        set_threads(1)
        inside.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [1]
    assert torch.get_num_threads() == before


@pytest.fixture
def _two_threads_here() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


NET = read(tiny())


def _counts(monkeypatch: pytest.MonkeyPatch, **options: int) -> list[int]:
    """Return the number of torch's threads at the first step of a run, which computes nothing, and afterwards."""
    counts: list[int] = []

    def step(_: Ascent) -> None:
        counts.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(Ascent, "_step", step)
    with pytest.raises(KeyboardInterrupt):
        render(NET, Neuron("forms", 1), Recipe.preset("peek").replace(steps=1, size=24), **options)
    return [*counts, torch.get_num_threads()]


@pytest.mark.usefixtures("_two_threads_here")
def test_a_script_leaves_a_core_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peek_widget._threads._cores", lambda: 2)
    assert _counts(monkeypatch) == [1, 2]


@pytest.mark.usefixtures("_two_threads_here")
def test_a_script_may_say_how_many_threads_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peek_widget._threads._cores", lambda: 2)
    assert _counts(monkeypatch, threads=2) == [2, 2]
    monkeypatch.setenv("PEEK_THREADS", "3")
    assert _counts(monkeypatch) == [3, 2]
    with pytest.raises(PeekError, match="threads must be a number of CPU threads"):
        _counts(monkeypatch, threads=0)


@pytest.mark.usefixtures("_two_threads_here")
def test_a_forward_of_a_script_leaves_a_core_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peek_widget._threads._cores", lambda: 2)
    counts: list[int] = []
    monkeypatch.setattr(type(NET), "_run", lambda *_: counts.append(torch.get_num_threads()))
    NET.run(torch.zeros(1, 3, 32, 32), ["forms"])
    assert [*counts, torch.get_num_threads()] == [1, 2]


def test_a_worker_keeps_the_number_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peek_widget._threads._cores", lambda: 2)
    found: list[list[int]] = []

    def work() -> None:
        set_threads(2)
        found.append(_counts(monkeypatch))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [[2, 2]]

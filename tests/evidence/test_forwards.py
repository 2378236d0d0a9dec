"""Several batches computed at once: the same as one after the other, and only where it can be the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from peek_widget._threads import divided_threads
from peek_widget.errors import PeekError
from peek_widget.evidence import EvidenceError, EvidencePass, LoaderOptions, top_crops
from peek_widget.evidence.forwards import Forwards
from peek_widget.evidence.loading import Batch, Loaded
from peek_widget.evidence.store import index_bytes
from peek_widget.network import read
from tests.networks import tiny


def pictures(count: int) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    return list(torch.rand(count, 3, 16, 16, generator=draws))


BATCH = 8
HOW = {"batch_size": BATCH, "progress": False}


class Counted(nn.Module):
    """Notes how many of its forwards run at once; those of a whole batch wait until so many do, or for a while."""

    wanted, patience = 1, 0.0
    running, most = 0, 0
    changed = threading.Condition()  # not the model's own: it would be copied with it

    def __init__(self, noise: bool = False) -> None:
        super().__init__()
        self.inner, self.noise = tiny(), noise

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kind, whole = Counted, len(x) == BATCH or self.noise  # (of what is random each image has one)
        if whole:
            with kind.changed:
                kind.running += 1
                kind.most = max(kind.most, kind.running)
                kind.changed.notify_all()
                kind.changed.wait_for(lambda: kind.most >= kind.wanted, kind.patience)
        try:
            return self.inner(x + torch.rand_like(x) if self.noise else x)
        finally:  # it is ended by an exception where nothing further is wanted
            with kind.changed:
                kind.running -= whole


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(Counted, "running", 0)
    monkeypatch.setattr(Counted, "most", 0)
    return Counted


@pytest.mark.parametrize("of", [list, iter], ids=["list", "stream"])
def test_on_several_threads_the_same_is_found_bit_for_bit(of):
    images = pictures(70)
    images[11] = torch.full((3, 16, 16), torch.nan)
    images[20] = "nowhere.png"
    network, found = read(tiny(), 16), []
    for threads in (1, 2, 3):
        with pytest.warns(UserWarning, match="were skipped"):
            crops = top_crops(network, ["edges", "forms"], of(images), 4, threads=threads, **HOW)
        found.append(index_bytes(crops.example_index))
    assert found[0] == found[1] == found[2]


def test_so_many_batches_are_computed_at_once(counted, monkeypatch):
    monkeypatch.setattr(Counted, "wanted", 3)
    monkeypatch.setattr(Counted, "patience", 30.0)
    before = torch.get_num_threads()
    top_crops(Counted(), "inner.forms", pictures(40), threads=3, input_size=16, **HOW)
    assert counted.most == 3
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("noise", "options"),
    [
        (True, {}),
        (False, {"yield_to": lambda: False}),
        (False, {"preprocess": lambda images: images * 2 - 1}),
        (False, {"threads": 1}),
    ],
    ids=["draws random numbers", "shares the processor", "a function of the user's own", "one thread"],
)
@pytest.mark.filterwarnings("ignore::peek_widget.errors.RandomWarning")
def test_where_it_could_be_otherwise_it_is_one_after_the_other(counted, monkeypatch, noise, options):
    options = {"threads": 2, "input_size": 16} | options
    loader = LoaderOptions(batch_size=BATCH)
    work = EvidencePass(Counted(noise), "inner.forms", pictures((2 if noise else 8) * BATCH), loader=loader, **options)
    monkeypatch.setattr(Counted, "wanted", 2)
    monkeypatch.setattr(Counted, "patience", 0.02)  # enough for another forward to begin
    work.run()
    assert counted.most == 1


def test_what_was_computed_before_a_forward_failed_is_kept():
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) == BATCH and bool((x == 0.5).all()):
                raise ArithmeticError("no more")
            return self.conv(x)

    images = pictures(64)
    images[24:32] = [torch.full((3, 16, 16), 0.5)] * BATCH
    with pytest.raises(EvidenceError, match=r"after 24 of 64 images: .*ArithmeticError") as caught:
        top_crops(Moody(), "conv", images, threads=2, preprocess="none", input_size=16, **HOW)
    assert caught.value.found["conv"].images == 24


def test_what_was_loaded_before_loading_failed_is_computed():
    failing = threading.Event()

    class Held(nn.Module):
        """Computes no whole batch before the loader fails."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert len(x) < BATCH or failing.wait(30)
            return self.inner(x)

    def batches() -> Iterator[Batch]:
        for number in (0, 1):
            yield Batch(torch.rand(BATCH, 3, 16, 16), (Loaded(number, str(number)),) * BATCH, ())
        failing.set()
        raise OSError("the loader is gone")

    forwards = Forwards(read(Held(), 16), ["inner.edges"], None, False, BATCH)
    assert forwards.divide(2, None) == 1
    found = forwards.run(batches())
    assert [next(found)[0].items[0].index for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="the loader is gone"):
        next(found)


@pytest.mark.parametrize(
    ("threads", "shared"), [(1, (1, 1)), (2, (2, 1)), (4, (4, 1)), (5, (2, 2)), (7, (3, 2)), (8, (4, 2)), (16, (4, 4))]
)
def test_threads_are_divided_among_few(threads, shared):
    assert divided_threads(threads, 4) == shared


def test_the_number_of_threads_is_the_cores_unless_something_else_is_said(monkeypatch):
    monkeypatch.setattr("peek_widget._threads._cores", lambda: 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert divided_threads(None, 4) == (3, 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # as torch.set_num_threads(2) leaves it
    assert divided_threads(None, 4) == (2, 1)
    monkeypatch.setenv("PEEK_THREADS", "1")
    assert divided_threads(None, 4) == (1, 1)
    for wrong in (0, 2.5, True, "many"):
        with pytest.raises(PeekError, match="threads must be a number of CPU threads"):
            divided_threads(wrong, 4)

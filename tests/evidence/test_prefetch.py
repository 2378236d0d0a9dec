"""Batches whose next one is copied while the present one computes, with a copier for the CPU in place of a GPU's."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
import torch
from torch import Tensor

from peek_widget.evidence import Evidence, EvidencePass, LoaderOptions, activations
from peek_widget.evidence import prefetch as prefetch_module
from peek_widget.evidence.loading import Batch
from peek_widget.evidence.prefetch import copier, prefetched
from tests.networks import tiny

CPU = torch.device("cpu")


class Log(list[str]):
    """What happened, in order; it copies, and fails at the copy with the number ``fails_at``."""

    def __init__(self, fails_at: int | None = None, error: Exception | None = None) -> None:
        super().__init__()
        self.fails_at, self.error, self.copies = fails_at, error, 0

    def copy(self, images: Tensor) -> tuple[Tensor, Callable[[], None]]:
        number = int(images.flatten()[0])
        if self.copies == self.fails_at and self.error is not None:
            raise self.error
        self.copies += 1
        self.append(f"begin {number}")
        return images.clone(), lambda: self.append(f"wait {number}")

    def load(self, count: int, error: Exception | None = None) -> Generator[Batch, None, None]:
        try:
            for number in range(count):
                yield Batch(torch.full((2, 1, 1, 1), float(number)), (), ())
            if error is not None:
                raise error
        finally:
            self.append("closed")

    def use(self, batches: Generator[Batch, None, None]) -> None:
        for batch in batches:
            assert batch.images is not None
            self.append(f"use {int(batch.images.flatten()[0])}")


def test_the_next_copy_is_begun_before_a_batch_is_given_and_waited_for_only_then() -> None:
    log = Log()
    log.use(prefetched(log.load(3), CPU, log.copy))
    assert log == [
        *("begin 0", "begin 1", "wait 0", "use 0", "begin 2", "wait 1", "use 1"),
        *("closed", "wait 2", "use 2"),
    ]


def test_a_caller_that_stops_early_closes_the_loader() -> None:
    log = Log()
    batches = prefetched(log.load(9), CPU, log.copy)
    next(batches)
    batches.close()
    assert log == ["begin 0", "begin 1", "wait 0", "closed"]


def test_batches_without_an_image_are_given_in_their_place() -> None:
    empty, log = Batch(None, (), (), True), Log()
    found = list(prefetched((one for one in (*log.load(1), empty)), CPU, log.copy))
    assert [one.ended for one in found] == [False, True]


def test_without_memory_for_a_second_batch_it_goes_on_without(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(1, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."))
    log.use(prefetched(log.load(4), CPU, log.copy))
    assert log == ["begin 0", "wait 0", "use 0", "use 1", "use 2", "closed", "use 3"]
    assert [one.message for one in caplog.records] == [
        "cpu has no memory for two batches (CUDA out of memory. Tried to allocate 2 GiB.): none is copied ahead any "
        "more."
    ]


@pytest.mark.parametrize("where", ["loading", "copying"])
def test_an_error_ahead_is_raised_after_the_batches_before_it(where: str) -> None:
    error = RuntimeError("CUDA error: unspecified launch failure")
    log = Log(2, error) if where == "copying" else Log()
    with pytest.raises(RuntimeError, match="launch failure"):
        log.use(prefetched(log.load(2, error) if where == "loading" else log.load(4), CPU, log.copy))
    assert [one for one in log if one.startswith("use")] == ["use 0", "use 1"]
    assert "closed" in log


def test_a_pass_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(11, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def gathered() -> Evidence:
        loader = LoaderOptions(batch_size=3)
        return EvidencePass(tiny(), ["edges", ""], list(images), 2, loader=loader, input_size=16).run()

    plain, maps = gathered(), activations(tiny(), images, "edges", input_size=16, batch_size=3)["edges"]
    log = Log()
    monkeypatch.setattr(prefetch_module, "copier", lambda device: log.copy)
    ahead = gathered()
    assert log.copies == 4
    for name in ("edges", ""):
        tops = [[[(one.index, one.activation) for one in unit.top] for unit in of[name]] for of in (ahead, plain)]
        assert tops[0] == tops[1]
    assert torch.equal(activations(tiny(), images, "edges", input_size=16, batch_size=3)["edges"], maps)
    assert log.copies == 8


def test_nothing_is_copied_ahead_on_the_cpu() -> None:
    assert copier(CPU) is None
    assert copier(torch.device("mps")) is None

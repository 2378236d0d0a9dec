"""The memory format that a network is quicker in is found by trying it, and kept."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from peek_widget.ascent import Ascent
from peek_widget.errors import LayerError, PeekError
from peek_widget.network import read, settle_memory_format
from tests.networks import tiny

ROWS, LAST = torch.contiguous_format, torch.channels_last


class Formats(nn.Module):
    """A network that takes its time in one of the two formats, or can't be given channels_last."""

    def __init__(self, slow: torch.memory_format | None = None, fails: bool = False) -> None:
        super().__init__()
        self.inner, self.slow, self.fails = tiny(), slow, fails

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = ROWS if x.is_contiguous() else LAST
        seen.append((given, len(x)))
        if given is self.slow:
            time.sleep(0.05)
        if self.fails and given is LAST:
            x.view(len(x), -1)
        return self.inner(x)


seen: list[tuple[torch.memory_format, int]] = []  # not the model's: its copy begins each forward with the model's own


@pytest.fixture(autouse=True)
def _no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEEK_PROBE", "0")


@pytest.mark.parametrize(("slow", "kept"), [(ROWS, LAST), (LAST, ROWS), (None, LAST)])
def test_five_warm_steps_of_each_tell_which_is_kept(
    slow: torch.memory_format | None, kept: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = read(Formats(slow), 32)
    seen.clear()
    state = torch.get_rng_state()
    if slow is None:  # the same time in both, and a tie must not change pixels
        monkeypatch.setattr("peek_widget.network.timed.perf_counter", iter(range(100)).__next__)
    assert settle_memory_format(network, "inner.forms", images=3) is kept
    assert seen == [(ROWS, 3), (LAST, 3)] * 7, "they take turns; two of each don't count"
    assert torch.equal(torch.get_rng_state(), state)
    runs = [Ascent(one, "inner.forms:1", "peek-fast", size=32) for one in (network, network.replica())]
    seen.clear()
    for run in runs:
        run.step()
    assert {given for given, _ in seen} == {kept}


def test_a_forward_that_fails_in_channels_last_is_given_rows() -> None:
    model = Formats(fails=True)
    network = read(model, 32)
    network.model_copy.memory_format = LAST  # as before it has run
    assert settle_memory_format(network) is ROWS
    seen.clear()
    assert settle_memory_format(network) is ROWS
    assert seen == [], "there is nothing to try"


def test_on_a_gpu_the_explorer_tries_once_for_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from peek_widget.live import model_source

    tried: list[str | None] = []

    def settle(network, precision):
        tried.append(precision)
        network.model_copy.memory_format = ROWS
        return ROWS

    monkeypatch.setattr(model_source, "settle_memory_format", settle)
    model = tiny()
    source = model_source.ModelSource(model, 32)
    assert source._to_draw_with().model_copy.memory_format is LAST
    assert tried == [], "on a CPU nothing is tried"
    monkeypatch.setattr(model_source, "_TRIED", ("cpu",))
    first = source._to_draw_with()
    model.edges.weight = nn.Parameter(model.edges.weight.detach().clone())  # so that it is read anew
    second = source._to_draw_with()
    assert first.model_copy is not second.model_copy
    assert first.model_copy.memory_format is second.model_copy.memory_format is ROWS
    assert tried == [None]


def test_what_is_not_possible_is_refused() -> None:
    network = read(tiny(), 32)
    with pytest.raises(PeekError, match="images=0"):
        settle_memory_format(network, images=0)
    with pytest.raises(LayerError, match="nowhere"):
        settle_memory_format(network, "nowhere")

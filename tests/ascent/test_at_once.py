"""How many seeds are drawn at once, on a clock that a network's forward moves on by what it is to take."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from peek_widget.ascent import at_once, seeds_at_once
from peek_widget.errors import PeekError, UnitError
from peek_widget.network import read
from tests.networks import tiny

CLOCK = [0.0]
SEEN: list[int] = []  # images in each forward


class Device(nn.Module):
    """A network that takes so many seconds for so many images, and has memory for fewer than ``full``."""

    def __init__(self, seconds: Callable[[int], float], full: int = 10**6) -> None:
        super().__init__()
        self.inner, self.seconds, self.full = tiny(), seconds, full

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        SEEN.append(len(x))
        CLOCK[0] += self.seconds(len(x))
        if len(x) >= self.full:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return self.inner(x)


@pytest.fixture(autouse=True)
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEEK_PROBE", "0")
    monkeypatch.setattr(at_once, "_BUSY", ())  # this CPU is a device that may be idle
    monkeypatch.setattr(at_once, "perf_counter", lambda: CLOCK[0])


def tried(seconds: Callable[[int], float], full: int = 10**6, **options: object) -> int:
    network = read(Device(seconds, full), 32)
    SEEN.clear()
    return seeds_at_once(network, "inner.forms:1", "peek-fast", size=32, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        (lambda images: 1.0, 4),  # idle
        (lambda images: float(images), 1),  # busy
        (lambda images: 1.0 if images <= 4 else 2.0, 2),  # two views each: idle with two pictures
        (lambda images: 1.0 + 0.29 * (images > 4), 4),
        (lambda images: 1.0 + 0.31 * (images > 4), 2),
    ],
    ids=["idle", "busy", "idle with two", "nearly", "not quite"],
)
def test_as_many_as_cost_little_more_than_one(seconds: Callable[[int], float], count: int) -> None:
    assert tried(seconds) == count


def test_the_limits_can_be_given() -> None:
    assert tried(lambda images: 1.0, most=8) == 8
    assert tried(lambda images: float(images), cost=4.0) == 4
    assert tried(lambda images: float(images), most=1) == 1
    assert SEEN == [], "nothing is to be tried"


def test_a_slow_device_is_busy_whatever_several_cost() -> None:
    assert tried(lambda images: 0.04, slowest=0.05) == 4
    assert tried(lambda images: 0.06, slowest=0.05) == 1
    assert max(SEEN) == 2, "two views of one picture: several are not even tried"


def test_a_number_that_memory_has_no_room_for_is_too_many() -> None:
    assert tried(lambda images: 1.0, full=8) == 2


def test_on_a_cpu_it_is_one_and_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "_BUSY", ("cpu",))
    assert tried(lambda images: 1.0) == 1
    assert SEEN == []


def test_the_model_and_the_random_state_stay_as_they_were() -> None:
    model = tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    seeds_at_once(model, "forms:1", "peek-fast", size=32, input_size=32)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"most": 0}, "most=0: give a whole number from 1 to 64"),
        ({"cost": 0.5}, "cost=0.5: give a number from 1"),
        ({"slowest": 0.0}, "slowest=0.0: give seconds above 0"),
        ({"objective": ["forms:1", "forms:2"]}, "a list of 2: give the one objective"),
    ],
)
def test_what_is_not_possible_is_refused(options: dict[str, object], said: str) -> None:
    given = {"objective": "forms:1", **options}
    with pytest.raises(PeekError, match=said):
        seeds_at_once(read(tiny(), 32), **given)  # type: ignore[arg-type]
    with pytest.raises(UnitError):
        seeds_at_once(read(tiny(), 32), "forms:99")

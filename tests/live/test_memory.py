"""A device whose memory runs out: it is said in a sentence that offers another one, and nothing is held on to."""

import weakref

import pytest
import torch
from torch import nn

from peek_widget import Recipe, UnitExplorer
from peek_widget.errors import ModelError
from peek_widget.live.status import describe_state
from peek_widget.network import read
from peek_widget.network.memory import device_error, memory_error, release
from tests.networks import tiny

RECIPE = Recipe.preset("peek-fast").replace(steps=12, size=32)
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 15 GiB.")


class Shared(nn.Module):
    """A model on a device that others share: while they do, no gradient has room."""

    full = False
    held: weakref.ref[torch.Tensor] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if type(self).full and x.requires_grad:
            large = torch.zeros(1000)
            type(self).held = weakref.ref(large)
            raise FULL
        return self.inner(x)


@pytest.fixture
def explorer(monkeypatch):
    monkeypatch.setenv("PEEK_PROBE", "0")
    monkeypatch.setattr(Shared, "full", False)
    explorer = UnitExplorer(Shared(), layer="inner.forms", unit=1, recipe=RECIPE, size=32, input_size=32, playing=False)
    yield explorer
    explorer.close()


def run_to_the_end(explorer) -> dict:
    explorer.play()
    explorer._parts.run.wait(60)
    return explorer.status


@pytest.mark.parametrize("midway", [False, True])
def test_it_is_said_the_cpu_is_offered_and_play_goes_on_once_there_is_room(explorer, monkeypatch, midway):
    if midway:
        explorer.step_once()
        explorer.wait(60)
        assert explorer.step == 1
    monkeypatch.setattr(Shared, "full", True)
    status = run_to_the_end(explorer)
    assert status["state"] == "error"
    assert "memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB" in status["text"]
    assert "the CPU: in the list beside Size, or explorer.device = 'cpu'" in status["text"]
    assert Shared.held is not None
    assert Shared.held() is None, "the error's traceback holds on to tensors of a memory that others need"
    monkeypatch.setattr(Shared, "full", False)
    assert run_to_the_end(explorer)["state"] == "done"
    assert explorer.step == 12


def test_a_model_that_has_no_room_on_the_device_is_refused_with_the_other_device(monkeypatch):
    def full(*_):
        raise FULL

    monkeypatch.setattr(nn.Module, "to", full)  # there is no device here that could be full
    with pytest.raises(
        ModelError, match=r"can't be moved to device 'cuda': CUDA out of memory.*Leave device out to use"
    ):
        read(tiny(), 32, device="cuda")


def test_an_error_of_something_else_is_not_taken_for_one_of_memory():
    assert memory_error(ValueError("out of memory of what was said")) is None
    assert "memory" not in describe_state("error", "a unit", step=1, total=2, error=ValueError("no"))
    release(torch.device("cpu"))


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", memory_error),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", memory_error),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", memory_error),
        ("cuFFT error: CUFFT_ALLOC_FAILED", memory_error),
        ("CUDA error: out of memory\nCUDA kernel errors might be reported later.", memory_error),
        ("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later.", device_error),
        ("CUDA error: device-side assert triggered", device_error),
        ("HIP error: an illegal memory access was encountered", device_error),
        ("CUDA error: no kernel image is available for execution on the device", None),
        ("CUDA error: invalid configuration argument", None),
        ("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx(...)`", None),
        ("of what was said: unspecified launch failure", None),
    ],
)
def test_a_full_memory_a_device_that_is_gone_and_one_that_works_on_are_told_apart(said, what):
    for error in (RuntimeError(said), ModelError("It raised an error.")):
        if not isinstance(error, RuntimeError):
            error.__cause__ = RuntimeError(said)
        for one in (memory_error, device_error):
            assert one(error) == (said.splitlines()[0] if one is what else None)

"""The network alone computes in bfloat16, where there are units for it; elsewhere a sentence says so."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from peek_widget import Ascent, Channel, Logit, Recipe, contact_sheet
from peek_widget.errors import PeekError
from peek_widget.live.model_source import ModelSource
from peek_widget.network import precision, read
from peek_widget.network.convolution import conv2d
from tests.networks import tiny

CPU = torch.device("cpu")
SHORT = Recipe.preset("peek").replace(steps=4, size=32)

units = pytest.mark.skipif(not precision.has_bf16(CPU), reason="this CPU has no bf16 units")


@units
def test_the_network_alone_computes_in_bfloat16() -> None:
    seen: dict[str, torch.dtype] = {}
    model = tiny()

    class Seen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen["image"], seen["map"] = x.dtype, self.inner.edges(x).dtype
            return self.inner(x)

    network = read(Seen(), input_size=32)
    exact = Ascent(network, Logit(2), SHORT, size=32).run(progress=False)
    assert seen["map"] is torch.float32
    run = Ascent(network, Logit(2), SHORT, size=32, precision="bf16")
    step = run.step()
    assert seen == {"image": torch.float32, "map": torch.bfloat16}
    tensors = run.state().tensors
    assert all(value.dtype is torch.float32 for name, value in tensors.items() if not name.startswith("generator"))
    first = float(exact.history[0, 0])
    assert step.activation != first
    assert step.activation == pytest.approx(first, rel=0.02, abs=0.02)
    # outside of a run of that precision everything is as before
    assert not torch.is_autocast_enabled("cpu")
    assert torch.equal(Ascent(network, Logit(2), SHORT, size=32).run(progress=False).images, exact.images)


@units
def test_a_resumed_and_a_changed_run_keep_their_precision() -> None:
    network = read(tiny(), input_size=32)
    run = Ascent(network, Channel("forms", 1), SHORT, precision="bf16")
    run.step()
    state = run.state()
    run.step()
    same = Ascent.resume(network, state, precision="bf16")
    same.step()
    assert torch.equal(same.images, run.images)
    other = Ascent.resume(network, state)
    other.step()
    assert not torch.equal(other.images, run.images)
    for one in (run, other):
        one.change(objective=Channel("forms", 2))
    assert run.step().activation != other.step().activation


@units
def test_the_first_convolutions_faster_gradient_is_that_of_bfloat16() -> None:
    image = torch.rand(1, 3, 31, 31, requires_grad=True)
    weight, bias = torch.randn(8, 3, 7, 7), torch.randn(8)
    gradients = []
    for function in (conv2d, torch.conv2d):
        with torch.autocast("cpu", torch.bfloat16):
            output = function(image, weight, bias, stride=2)
        assert output.dtype is torch.bfloat16
        (gradient,) = torch.autograd.grad(output.float().square().sum(), image)
        assert gradient.dtype is torch.float32
        gradients.append(gradient)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0.05, atol=0.05 * float(gradients[1].abs().max()))


@units
def test_layers_are_read_before_their_relus_all_the_same() -> None:
    network = read(tiny(), input_size=32)
    images = torch.rand(2, 3, 32, 32)
    exact = network.run(images, ["forms"])["forms"]
    with network.model_copy.computing_in(torch.bfloat16):
        found = network.run(images, ["forms"])["forms"]
    assert found.dtype is torch.float32
    assert float(found.min()) < 0.0
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.05)
    assert torch.equal(network.run(images, ["forms"])["forms"], exact)


@units
def test_a_sheet_is_drawn_in_it_and_its_pictures_say_so() -> None:
    sheet = contact_sheet(tiny(), "forms", SHORT, units=[1], precision="bf16", input_size=32).draw(progress=False)
    assert sheet.batches[0].precision == "bf16"
    assert b'"precision": "bf16"' in sheet[1].png


@pytest.mark.parametrize("given", ["bfloat16", 16, ""])
def test_another_precision_is_refused(given: object) -> None:
    with pytest.raises(PeekError, match="give 'float32', or 'bf16' on hardware"):
        Ascent(tiny(), Logit(0), SHORT, precision=given)  # type: ignore[arg-type]


def test_a_cpu_without_such_units_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda _: False)
    words = "this CPU has no bfloat16 instructions .*Leave precision out"
    for call in (
        lambda: Ascent(tiny(), Logit(0), SHORT, precision="bf16"),
        lambda: contact_sheet(tiny(), "forms", SHORT, precision="bf16"),
        lambda: ModelSource(tiny(), precision="bf16"),
    ):
        with pytest.raises(PeekError, match=words):
            call()
    with pytest.raises(PeekError, match="the device 'mps' can't compute in bfloat16"):
        precision.check_precision("bf16", torch.device("mps"))

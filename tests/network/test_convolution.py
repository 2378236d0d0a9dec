"""The quicker gradient of first convolutions is the gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from peek_widget.network import read
from peek_widget.network.convolution import conv2d

PAIRS = {"stride": st.integers(1, 5), "padding": st.integers(0, 5), "dilation": st.integers(1, 2)}


def gradient(
    function: Any, image: Tensor, weight: Tensor, bias: Tensor | None, along: Tensor, **options: Any
) -> Tensor:
    image = image.detach().requires_grad_()
    (function(image, weight, bias, **options) * along).sum().backward()
    assert image.grad is not None
    return image.grad


def quick(output: Tensor) -> bool:
    """Whether an output's gradient will be had by the other sum."""
    return type(output.grad_fn).__name__ == "_SubPixelBackward"


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_forward_and_gradient_are_torchs(data: st.DataObject) -> None:
    groups = data.draw(st.sampled_from([1, 1, 1, 2]), "groups")
    channels = groups * data.draw(st.integers(1, 5), "channels of a group")
    filters = groups * data.draw(st.integers(1, 9), "filters of a group")
    kernel = [data.draw(st.integers(1, 12), "kernel") for _ in range(2)]
    options: dict[str, Any] = {"groups": groups}
    for name, values in PAIRS.items():
        one = data.draw(st.just(1) if name == "dilation" and data.draw(st.booleans()) else values, name)
        options[name] = data.draw(st.sampled_from([one, (one,), (one, one), (one, data.draw(values))]), name)
    reach = [1 + d * (k - 1) for d, k in zip(_two(options["dilation"]), kernel, strict=True)]
    sides = [
        data.draw(st.integers(max(1, r - 2 * p), max(1, r - 2 * p) + 30), "side")
        for r, p in zip(reach, _two(options["padding"]), strict=True)
    ]
    draws = torch.Generator().manual_seed(data.draw(st.integers(0, 2**20), "seed"))
    image = torch.randn(data.draw(st.integers(1, 3), "count"), channels, *sides, generator=draws)
    if data.draw(st.booleans(), "channels_last"):
        image = image.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(filters, channels // groups, *kernel, generator=draws)
    bias = torch.randn(filters, generator=draws) if data.draw(st.booleans(), "bias") else None

    plain = torch.conv2d(image, weight, bias, **options)
    assert torch.equal(conv2d(image.requires_grad_(), weight, bias, **options), plain)
    along = torch.randn(plain.shape, generator=draws)
    ours = gradient(conv2d, image, weight, bias, along, **options)
    exact = gradient(
        torch.conv2d,
        image.double(),
        weight.double(),
        None if bias is None else bias.double(),
        along.double(),
        **options,
    )
    assert ours.shape == exact.shape
    assert float((ours - exact).abs().max()) <= 3e-6 * float(exact.abs().max())


def _two(value: Any) -> tuple[int, int]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * 2 if len(values) == 1 else values


@pytest.mark.parametrize(
    ("channels", "kernel", "options", "expected"),
    [
        (3, 7, {"stride": 2}, True),
        (3, 11, {"stride": (4, 4), "padding": (2, 2)}, True),
        (1, 16, {"stride": 16, "padding": "valid"}, False),
        (3, 16, {"stride": 16}, True),
        (3, 3, {"stride": 2}, False),
        (3, 7, {}, False),
        (8, 7, {"stride": 2}, False),
        (3, 7, {"stride": (2, 3)}, False),
        (3, 7, {"stride": 2, "dilation": 2}, False),
        (4, 7, {"stride": 2, "groups": 2}, False),
    ],
)
def test_the_faster_gradient_is_used_where_it_should_be(
    channels: int, kernel: int, options: dict[str, Any], expected: bool
) -> None:
    image = torch.rand(1, channels, 40, 40, requires_grad=True)
    weight = torch.rand(4, channels // options.get("groups", 1), kernel, kernel)
    assert quick(conv2d(image, weight, None, **options)) is expected
    assert not quick(conv2d(image.detach(), weight.requires_grad_(), None, **options))  # nothing to hand back
    with torch.no_grad():
        assert conv2d(image, weight, None, **options).grad_fn is None


def test_other_types_and_weights_in_training_use_torchs_convolution() -> None:
    image, weight, bias = torch.rand(1, 3, 20, 20, requires_grad=True), torch.rand(4, 3, 7, 7), torch.rand(4)
    assert quick(conv2d(image, weight, bias, 2))
    assert not quick(conv2d(image.double(), weight.double(), bias.double(), 2))
    assert not quick(conv2d(image.bfloat16(), weight.bfloat16(), bias.bfloat16(), 2))
    assert not quick(conv2d(image, weight.clone().requires_grad_(), bias, 2))
    assert not quick(conv2d(image, weight, bias.clone().requires_grad_(), 2))
    assert not quick(conv2d(image[0], weight, bias, 2))  # one image, without a batch


def test_the_convolution_supports_second_derivatives_and_vmap() -> None:
    image, weight = torch.rand(2, 3, 20, 20, requires_grad=True), torch.rand(4, 3, 7, 7)

    def twice(function: Any) -> Tensor:
        (first,) = torch.autograd.grad(function(image, weight, None, 2).pow(3).sum(), image, create_graph=True)
        return torch.autograd.grad(first.square().sum(), image)[0]

    assert torch.allclose(twice(conv2d), twice(torch.conv2d), rtol=1e-4)

    many = torch.stack([weight, 2 * weight])
    (found,) = torch.autograd.grad(torch.func.vmap(lambda w: conv2d(image, w, None, 2))(many).square().sum(), image)
    (expected,) = torch.autograd.grad(torch.conv2d(image, many.flatten(0, 1), None, 2).square().sum(), image)
    assert torch.allclose(found, expected, rtol=1e-4)


def test_an_ascent_uses_the_faster_gradient_of_a_first_convolution() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.ReLU(inplace=True), nn.Conv2d(8, 5, 3)).eval()
    network = read(model, 33, "none")
    image = torch.rand(1, 3, 33, 33, requires_grad=True)
    assert quick(network.run(image, ["0"])["0"])
    network.run(image, ["2"])["2"][0, 1].mean().backward()
    other = image.detach().clone().requires_grad_()
    model(other)[0, 1].mean().backward()
    assert torch.allclose(image.grad, other.grad, atol=3e-6 * float(other.grad.abs().max()))


def test_the_convolution_works_in_a_checkpointed_block() -> None:
    class Saving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.Tanh())
            self.rest = nn.Conv2d(8, 5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.rest(checkpoint(self.stem, x, use_reentrant=False))

    network = read(Saving(), 33, "none")
    image = torch.rand(1, 3, 33, 33, requires_grad=True)
    network.run(image, ["rest"])["rest"][0, 1].mean().backward()
    assert image.grad is not None
    assert bool(image.grad.any())

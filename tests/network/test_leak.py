"""A little gradient through closed ReLUs: which calls are ReLUs, and that values stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peek_widget.network.leak import Leak

IMAGE = torch.tensor([-9.0, -2.0, -0.5, 0.5, 2.0, 5.0, 7.0, 20.0]).view(1, 2, 2, 2)


def gradient(forward: Callable[[Tensor], Tensor], share: float | None) -> tuple[Tensor, Tensor]:
    """Return what a forward gives, and the gradient of its sum by the image, with that share through closed ReLUs."""
    image = IMAGE.clone().requires_grad_()
    if share is None:
        output = forward(image * 1.0)
    else:
        with Leak(share):
            output = forward(image * 1.0)
    return output.detach(), torch.autograd.grad(output.sum(), image)[0]


RELUS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "relu by position": lambda x: F.relu(x, True),
    "relu by name": lambda x: F.relu(input=x),
    "torch.relu": torch.relu,
    "relu_": lambda x: x.relu_(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp by position": lambda x: torch.clamp(x, 0),
    "clamp_min_": lambda x: x.clamp_min_(0.0),
    "threshold": nn.Threshold(0.0, 0.0),
    "aten": torch.ops.aten.relu.default,
    "a view in place": lambda x: F.relu(x.view(2, 4), inplace=True),
}


@pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
def test_a_share_of_the_gradient_passes_where_a_relu_is_closed(relu: Callable[[Tensor], Tensor]) -> None:
    output, found = gradient(relu, 0.25)
    assert torch.equal(output, gradient(relu, None)[0])
    assert torch.equal(found, torch.where(IMAGE > 0, 1.0, 0.25))


CAPPED = {
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, 0.0, 6.0),
    "clamp": lambda x: x.clamp(0, 6),
    "clip_": lambda x: x.clip_(min=0, max=6),
}


@pytest.mark.parametrize("relu", CAPPED.values(), ids=CAPPED)
def test_a_share_of_the_gradient_passes_above_a_cap_too(relu: Callable[[Tensor], Tensor]) -> None:
    output, found = gradient(relu, 0.25)
    assert torch.equal(output, gradient(relu, None)[0])
    assert torch.equal(found, torch.where((IMAGE > 0) & (IMAGE < 6), 1.0, 0.25))


WRITTEN = {
    "hard swish": lambda x: x * F.relu6(x + 3.0).div_(6.0),
    "hard sigmoid": lambda x: (x + 3.0).clamp_(0.0, 6.0).div_(6.0),
    "in place": lambda x: F.relu6(x + 3, inplace=True).div_(6),
    "clamp": lambda x: x.clamp(min=0).mul_(2.0),
    "threshold": lambda x: F.threshold(x, 0, 0).add_(1.0),
}


@pytest.mark.parametrize("relu", WRITTEN.values(), ids=WRITTEN)
def test_what_a_capped_relu_gives_may_be_written_into(relu: Callable[[Tensor], Tensor]) -> None:
    for found, plain in zip(gradient(relu, 0.0), gradient(relu, None), strict=True):
        assert torch.equal(found, plain)
    assert not torch.equal(gradient(relu, 0.25)[1], gradient(relu, None)[1])


def test_a_cap_that_the_type_rounds_is_a_cap() -> None:
    image = torch.tensor([5.0], dtype=torch.bfloat16).requires_grad_()
    with Leak(0.25):
        output = image.clamp(0, 0.7)
    assert torch.autograd.grad(output, image)[0].tolist() == [0.25]


STRANGE = {
    "an output given": lambda x: torch.clamp(torch.ones(2), min=0, out=torch.empty(2)).sum() + x,
    "by the name input": lambda x: torch.relu(input=x),
    "transformed": lambda x: torch.func.vjp(F.relu6, x)[1](x)[0],
    "sparse": lambda x: torch.relu(x.to_sparse()).to_dense(),
}


@pytest.mark.parametrize("other", STRANGE.values(), ids=STRANGE)
def test_calls_that_cannot_be_replaced_are_made_as_they_are(other: Callable[[Tensor], Tensor]) -> None:
    assert torch.equal(gradient(other, 0.25)[0], gradient(other, None)[0])


OTHERS = {
    "hardtanh": F.hardtanh,
    "clamp from -1": lambda x: x.clamp(-1, 6),
    "clamp to 6": lambda x: x.clamp(max=6),
    "clamp by tensors": lambda x: x.clamp(torch.zeros(()), torch.ones(())),
    "all to 0": lambda x: x.clamp(0, 0) + x,
    "threshold": nn.Threshold(1.0, 0.0),
    "leaky": nn.LeakyReLU(),
    "gelu": nn.GELU(),
    "by hand": lambda x: x * (x > 0),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_other_calls_have_their_own_gradient(other: Callable[[Tensor], Tensor]) -> None:
    for found, plain in zip(gradient(other, 0.25), gradient(other, None), strict=True):
        assert torch.equal(found, plain)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_is_the_true_gradient_and_all_passes_everything(share: float) -> None:
    found = gradient(lambda x: F.relu6(F.relu(x)), share)[1]
    assert torch.equal(
        found, gradient(lambda x: F.relu6(F.relu(x)), None)[1] if share == 0.0 else torch.ones_like(IMAGE)
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_types_stay(dtype: torch.dtype) -> None:
    for relu in (nn.ReLU(), nn.ReLU6()):
        image = IMAGE.to(dtype).requires_grad_()
        with Leak(0.25):
            output = relu(image)
        (found,) = torch.autograd.grad(output.sum(), image)
        assert output.dtype == found.dtype == dtype
        assert torch.equal(output, relu(image))


def test_numbers_that_are_not_finite_stay() -> None:
    image = torch.tensor([float("nan"), float("inf"), -float("inf")]).requires_grad_()
    with Leak(0.25):
        output = F.relu(image)
    torch.testing.assert_close(output, F.relu(image), equal_nan=True)


def test_a_forward_without_gradients_is_left_alone() -> None:
    image = IMAGE.clone().requires_grad_()
    with Leak(0.25), torch.no_grad():
        assert not F.relu(image).requires_grad
    with Leak(0.25):
        assert not F.relu(IMAGE.clone()).requires_grad

"""Less gradient through residual blocks: which sums are residual, and that values stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from peek_widget.network.residual import LessThroughBlocks


def gradient(forward: Callable[[Tensor], Tensor], factor: float) -> tuple[Tensor, Tensor]:
    """Return what a forward gives, and the gradient of its sum by the image, with that factor through blocks."""
    image = torch.linspace(-1.0, 1.0, 48).view(1, 3, 4, 4).requires_grad_()
    with LessThroughBlocks(factor):
        output = forward(image * 1.0)
    return output.detach(), torch.autograd.grad(output.sum(), image)[0]


def in_place(image: Tensor) -> Tensor:
    branch = image.sin() * 2.0
    branch += image
    return branch


def written(image: Tensor) -> Tensor:
    branch = image.sin() * 2.0
    branch.add_(image)
    return branch


BLOCKS = {
    "branch + input": lambda x: x.sin() * 2.0 + x,
    "input + branch": lambda x: x + x.sin() * 2.0,
    "torch.add": lambda x: torch.add(x, x.sin() * 2.0),
    "+=": in_place,
    "add_": written,
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_the_branch_of_a_residual_sum_has_less_gradient_and_the_shortcut_all(block: Callable[[Tensor], Tensor]) -> None:
    plain, whole = gradient(block, 1.0)
    output, less = gradient(block, 0.25)
    _, none = gradient(block, 0.0)
    assert torch.equal(output, plain)
    assert torch.equal(none, torch.ones_like(none))
    assert torch.allclose(less, none + 0.25 * (whole - none), atol=1e-6)


def test_factors_of_blocks_that_follow_each_other_multiply() -> None:
    def two(image: Tensor) -> Tensor:
        first = image + 3.0 * image
        return first + 5.0 * first

    assert torch.equal(gradient(two, 0.5)[1], torch.full((1, 3, 4, 4), (1.0 + 1.5) * (1.0 + 2.5)))


SUMS = {
    "two branches": lambda x: 2.0 * x + x.sin(),
    "a number": lambda x: x.sin() + 1.0,
    "of another shape": lambda x: x + (x.sin().mean((2, 3), keepdim=True)),
    "of a constant": lambda x: x.sin() + torch.ones(1, 3, 4, 4),
    "with itself": lambda x: (y := x.sin()) + y,
}


@pytest.mark.parametrize("forward", SUMS.values(), ids=SUMS)
def test_other_sums_are_left_alone(forward: Callable[[Tensor], Tensor]) -> None:
    assert torch.equal(gradient(forward, 0.0)[1], gradient(forward, 1.0)[1])


def test_a_forward_without_gradients_is_left_alone() -> None:
    model = nn.Conv2d(3, 3, 1)
    image = torch.rand(1, 3, 4, 4)
    with LessThroughBlocks(0.5), torch.no_grad():
        assert torch.equal(image + model(image), torch.add(image, model(image)))

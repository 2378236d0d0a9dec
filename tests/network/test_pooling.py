"""The gradient of max-pooling spread over its windows: of which calls, and that values stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peek_widget.network.pooling import SpreadPooling

IMAGE = torch.randn(2, 3, 9, 10, generator=torch.Generator().manual_seed(0))


def gradient(forward: Callable[[Tensor], Tensor], share: float | None, image: Tensor = IMAGE) -> tuple[Tensor, Tensor]:
    """Return what a forward gives, and the gradient of its weighted sum by the image, with that share spread."""
    image = image.clone().requires_grad_()
    if share is None:
        output = forward(image)
    else:
        with SpreadPooling(share):
            output = forward(image)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output.dtype)
    return output.detach(), torch.autograd.grad((output * weights).sum(), image)[0]


POOLED = {
    "SqueezeNet's": (nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(3, 2, ceil_mode=True)),
    "ResNet's": (nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(3, 2, padding=1)),
    "VGG's": (nn.MaxPool2d(2), nn.AvgPool2d(2)),
    "a function": (lambda x: F.max_pool2d(x, (2, 3)), lambda x: F.avg_pool2d(x, (2, 3))),
    "torch's": (lambda x: torch.max_pool2d(x, [2], [1]), lambda x: F.avg_pool2d(x, 2, 1)),
    "of numpy's numbers": (lambda x: F.max_pool2d(x, np.int64(2), padding=np.int64(1)), nn.AvgPool2d(2, padding=1)),
    "by name": (lambda x: F.max_pool2d(input=x, kernel_size=3), lambda x: F.avg_pool2d(x, 3)),
}


@pytest.mark.parametrize(("pool", "average"), POOLED.values(), ids=POOLED)
def test_a_share_of_the_gradient_is_that_of_average_pooling(
    pool: Callable[[Tensor], Tensor], average: Callable[[Tensor], Tensor]
) -> None:
    output, found = gradient(pool, 0.25)
    plain, largest = gradient(pool, None)
    assert torch.equal(output, plain)
    assert torch.allclose(found, 0.75 * largest + 0.25 * gradient(average, None)[1], atol=1e-6)
    assert torch.equal(gradient(pool, 0.0)[1], largest)


OTHERS = {
    "with indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "dilated": lambda x: F.max_pool2d(x, 2, dilation=2),
    "average": lambda x: F.avg_pool2d(x, 2),
    "adaptive": lambda x: F.adaptive_max_pool2d(x, 2),
    "largest of all": lambda x: x.amax((2, 3)),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_other_calls_have_their_own_gradient(other: Callable[[Tensor], Tensor]) -> None:
    for found, plain in zip(gradient(other, 0.5), gradient(other, None), strict=True):
        assert torch.equal(found, plain)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_types_and_layouts_stay(dtype: torch.dtype, layout: torch.memory_format) -> None:
    image = IMAGE.to(dtype).contiguous(memory_format=layout)
    output, found = gradient(nn.MaxPool2d(3, 2), 0.5, image)
    assert torch.equal(output, F.max_pool2d(image, 3, 2))
    assert output.dtype == found.dtype == dtype
    assert output.is_contiguous(memory_format=layout)
    assert found.is_contiguous(memory_format=layout)


def test_a_forward_without_gradients_is_left_alone() -> None:
    image = IMAGE.clone().requires_grad_()
    with SpreadPooling(0.5), torch.no_grad():
        assert not F.max_pool2d(image, 2).requires_grad
    with SpreadPooling(0.5):
        assert not F.max_pool2d(IMAGE, 2).requires_grad

"""The gradient through a batch normalization, of a single image in channels_last."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from peek_widget.network import read


class Stem(nn.Module):
    """A convolution and a normalization, whose map is read in some way; the layer ``last`` depends on all of it."""

    def __init__(self, norm: nn.Module, reading: Callable[[Tensor], Tensor], last: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.reading, self.last = nn.Conv2d(3, 8, 3, 2, 1), norm, reading, last
        if isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats:
            norm.running_var = torch.rand(8) + 0.5

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.reading(self.norm(self.conv(x))))


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


CASES: dict[str, Callable[[], nn.Module]] = {
    "tokens (XCiT)": lambda: Stem(nn.BatchNorm2d(8), tokens, nn.LayerNorm(8)),
    "tokens by a view": lambda: Stem(
        nn.BatchNorm2d(8), lambda x: x.view(*x.shape[:2], -1).permute(0, 2, 1), nn.Linear(8, 4)
    ),
    # It fails in channels_last, so that all is computed in the other format.
    "tokens, and all in one view": lambda: Stem(
        nn.BatchNorm2d(8), lambda x: tokens(x) + x.view(len(x), -1).mean().detach(), nn.LayerNorm(8)
    ),
    "tokens of an instance norm, and all in one view": lambda: Stem(
        nn.InstanceNorm2d(8), lambda x: tokens(x) + x.view(len(x), -1).mean().detach(), nn.LayerNorm(8)
    ),
    "tokens of one channel less": lambda: Stem(nn.BatchNorm2d(8), lambda x: tokens(x)[:, :, 1:], nn.Linear(7, 4)),
    "tokens of an instance norm": lambda: Stem(nn.InstanceNorm2d(8), tokens, nn.Linear(8, 4)),
    "rows of tokens": lambda: Stem(nn.BatchNorm2d(8), lambda x: x.permute(0, 2, 3, 1), nn.Linear(8, 4)),
    "taken out of the batch": lambda: Stem(nn.BatchNorm2d(8), lambda x: x[0][None], nn.Conv2d(8, 4, 3)),
    "a map again": lambda: Stem(
        nn.BatchNorm2d(8), lambda x: tokens(x).transpose(1, 2).reshape(x.shape), nn.Conv2d(8, 4, 3)
    ),
    "taken out before": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), TakenOut(), nn.BatchNorm2d(8), nn.Flatten(2), nn.Linear(196, 4)
    ),
    "one channel": lambda: nn.Sequential(nn.Conv2d(3, 1, 3), nn.BatchNorm2d(1), nn.Conv2d(1, 4, 3)),
}


class TakenOut(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([one.permute(1, 2, 0).contiguous().permute(2, 0, 1)[None] for one in x])


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_the_models_own(name: str, count: int) -> None:
    model: Any = CASES[name]().eval()
    image = torch.rand(1 if "taken" in name else count, 3, 16, 16)
    network = read(model, 16, "none", probe=False)
    last = [child for child, _ in model.named_children()][-1]
    ours = image.clone().requires_grad_()
    values = network.run(ours, [last])[last]
    exact = image.double().requires_grad_()
    # In a batch of more than one, in which torch is right.
    theirs = copy.deepcopy(model).double()(torch.cat([exact, exact.detach()]))[: len(exact)]
    if theirs.ndim == 3 and theirs.shape[1] != values.shape[1]:
        theirs = theirs.transpose(1, 2)
    elif theirs.shape[1:] != values.shape[1:]:
        theirs = theirs.permute(0, 3, 1, 2)
    theirs = theirs.reshape(values.shape)
    assert torch.allclose(values, theirs.float(), atol=1e-5)
    along = torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad((values * along).sum(), ours)
    (expected,) = torch.autograd.grad((theirs * along.double()).sum(), exact)
    assert torch.allclose(found.double(), expected, atol=1e-4 * float(expected.abs().max()))

"""Results that depend on the batch (CASES.md A6): found, from then on one image at a time, and said."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peek_widget import BatchWarning, Neuron, PeekWarning, Recipe, activations, layers, read, render, top_crops
from tests.networks import tiny

SHORT = Recipe.preset("peek-fast").replace(steps=4)


class Two(nn.Module):
    """Two convolutions, and something between them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.edges = nn.Conv2d(3, 6, 3, padding=1)
        self.forms = nn.Conv2d(6, 8, 3, padding=1)
        self.make()

    def make(self) -> None:
        pass

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.forms(F.relu(self.between(self.edges(x)))).mean(dim=(2, 3))


class BatchNorm(Two):
    """The one of the reports: BatchNorm2d without running statistics."""

    def make(self) -> None:
        self.norm = nn.BatchNorm2d(6, track_running_stats=False)

    def between(self, x: Tensor) -> Tensor:
        return self.norm(x)


class AlwaysTraining(Two):
    """Batch statistics by the functional, whatever the mode."""

    def between(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=True)


class Centered(Two):
    """Less the mean of the batch: zero for an image alone."""

    def between(self, x: Tensor) -> Tensor:
        return x - 0.5 * x.mean(dim=0, keepdim=True)


class Contrast(Two):
    """Scaled by the largest value of the batch."""

    def between(self, x: Tensor) -> Tensor:
        return x / x.abs().max()


class AcrossImages(Two):
    """Attention from each image to all others."""

    def between(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return (torch.softmax(flat @ flat.T / 100.0, dim=1) @ flat).view_as(x)


class Reference(Two):
    """Compared with the first image of the batch."""

    def between(self, x: Tensor) -> Tensor:
        return x + x[:1]


class LastOne(Two):
    """Compared with the last image of the batch, after a shift along it as in video networks."""

    def between(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :3], x[:, 3:].roll(1, 0)], 1)


class StandardDeviation(Two):
    """The minibatch standard deviation of progressive GANs' discriminators."""

    def between(self, x: Tensor) -> Tensor:
        return x + (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()


class Capacity(Two):
    """Only half of the batch gets through, the strongest: mixtures of experts with a capacity."""

    def between(self, x: Tensor) -> Tensor:
        strength = x.flatten(1).norm(dim=1)
        return x * (strength >= strength.median())[:, None, None, None]


class Never(nn.BatchNorm2d):
    """Stays in training mode whatever is asked: "BatchNorm must not be frozen here"."""

    def train(self, mode: bool = True) -> Never:
        return super().train(True)


class Refusing(Two):
    def make(self) -> None:
        self.norm = Never(6)

    def between(self, x: Tensor) -> Tensor:
        return self.norm(x)


class Rolled(Two):
    """Memory of the image before."""

    def between(self, x: Tensor) -> Tensor:
        return x + x.roll(1, 0)


KINDS = [BatchNorm, AlwaysTraining, Centered, Contrast, AcrossImages, Reference, LastOne, StandardDeviation]
KINDS += [Capacity, Refusing, Rolled]


def images(count: int = 5) -> Tensor:
    draws = torch.Generator().manual_seed(3)
    return torch.rand(count, 3, 32, 32, generator=draws) * torch.linspace(0.2, 1.0, count)[:, None, None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_what_depends_on_the_batch_is_found_and_said(kind: type[Two]) -> None:
    with pytest.warns(BatchWarning, match=r"depends on the other images of its batch, from '(norm|forms)'.*one at a"):
        network = read(kind(), 32, "none")
    assert network.one_at_a_time
    assert "one image at a time" in repr(network)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PeekWarning)
        assert network.replica().one_at_a_time


@pytest.mark.filterwarnings("ignore::peek_widget.PeekWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_an_image_gives_what_it_gives_alone(kind: type[Two]) -> None:
    model = kind().eval()
    with torch.no_grad():
        alone = torch.cat([model(image[None]) for image in images()])
        assert not torch.allclose(alone, model(images()), rtol=1e-3, atol=1e-4)
    for size in (1, 2, 5):
        found = activations(model, images(), [""], preprocess="none", input_size=32, batch_size=size)
        assert torch.allclose(found[""], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore::peek_widget.PeekWarning")
def test_top_images_are_the_same_in_every_batch_and_order() -> None:
    model, given = BatchNorm(), list(images(12))
    found = [
        top_crops(model, "forms", given if order > 0 else given[::-1], k=4, preprocess="none", input_size=32, **loader)
        for order, loader in ((1, {"batch_size": 4}), (1, {"batch_size": 32}), (-1, {"batch_size": 4}))
    ]
    for unit in range(8):
        tops = [[crop.index for crop in one[unit].top] for one in found]
        assert tops[0] == tops[1] == [11 - index for index in tops[2]]
    expected = torch.cat([model.eval().forms(F.relu(model.norm(model.edges(x[None])))) for x in given])
    values = [crop.activation for crop in found[0][3].top]
    best = expected[:, 3].flatten(1).amax(1).topk(4).values
    assert torch.allclose(torch.tensor(values), best, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::peek_widget.PeekWarning")
@pytest.mark.parametrize("kind", [BatchNorm, Contrast, StandardDeviation])
def test_a_picture_is_the_same_alone_and_in_a_batch(kind: type[Two]) -> None:
    network = read(kind(), 32, "none")
    objectives = [Neuron("forms", unit) for unit in range(3)]
    together = render(network, objectives, SHORT, size=32)
    for number, objective in enumerate(objectives):
        alone = render(network, objective, SHORT, size=32)
        assert torch.allclose(alone.images[0], together.images[number], atol=1e-3)


def test_a_forward_of_one_image_only() -> None:
    class One(Two):
        def between(self, x: Tensor) -> Tensor:
            return x.view(1, 6, 32, 32)

    model = One()
    network = read(model, 32, "none")
    assert "one image at a time, since a batch raises RuntimeError" in repr(network)
    found = network.run(images(), [""])[""]
    assert torch.allclose(found, torch.cat([model(x[None]) for x in images()]), atol=1e-6)


@pytest.mark.filterwarnings("error::peek_widget.PeekWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_others_are_run_in_batches(dtype: torch.dtype) -> None:
    network = read(tiny().to(dtype), 32)
    assert not network.one_at_a_time
    assert network.findings.all == ()


@pytest.mark.filterwarnings("error::peek_widget.PeekWarning")
def test_norms_of_one_image_are_no_batchs() -> None:
    class OfOne(Two):
        def make(self) -> None:
            self.group = nn.GroupNorm(2, 6)
            self.instance = nn.InstanceNorm2d(6)

        def between(self, x: Tensor) -> Tensor:
            return self.instance(self.group(x))

    assert not read(OfOne(), 32, "none").one_at_a_time
    assert len(layers(OfOne(), 32, "none")) == 5

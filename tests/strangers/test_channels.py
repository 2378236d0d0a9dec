"""Models whose first convolution takes another number of channels than their images have."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import Logit, Preprocess, Recipe, layers, render
from peek_widget.errors import ModelError
from peek_widget.network import read

SHORT = Recipe.preset("peek").replace(steps=3, weight_noise=0.0, relu_leak=0.0, rivals=0.0)


class Head(nn.Module):
    """Two convolutions and a class layer behind a stem of the subclass."""

    channels = 3

    def __init__(self, taken: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(taken, 6, 3, padding=1)
        self.body = nn.Conv2d(6, 8, 3, padding=1)
        self.fc = nn.Linear(8, 5)

    def head(self, x):
        return self.fc(F.relu(self.body(F.relu(x))).mean((2, 3)))


class Focus(Head):
    """YOLOv5's: four pixels to one with four times the channels."""

    def __init__(self) -> None:
        super().__init__(12)

    def forward(self, x):
        return self.head(
            self.stem(torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1))
        )


class SpaceToDepth(Head):
    """TResNet's: 16 pixels to one."""

    def __init__(self) -> None:
        super().__init__(48)

    def forward(self, x):
        return self.head(self.stem(F.pixel_unshuffle(x, 4)))


class GrayWithCoordinates(Head):
    """CoordConv on gray images: two channels of coordinates are joined."""

    channels = 1

    def __init__(self) -> None:
        super().__init__(3)

    def forward(self, x):
        n, _, h, w = x.shape
        rows = torch.linspace(-1, 1, h).view(1, 1, h, 1).expand(n, 1, h, w)
        columns = torch.linspace(-1, 1, w).view(1, 1, 1, w).expand(n, 1, h, w)
        return self.head(self.stem(torch.cat([x, rows, columns], 1)))


class ColorWithCoordinates(GrayWithCoordinates):
    channels = 3

    def __init__(self) -> None:
        Head.__init__(self, 5)


class TwoImages(Head):
    """Two images in 6 channels, each through the same stem."""

    channels = 6

    def __init__(self) -> None:
        super().__init__(3)

    def forward(self, x):
        return self.head(self.stem(x[:, :3]) - self.stem(x[:, 3:]))


class HalvesOfSix(TwoImages):
    def forward(self, x):
        one, two = x.chunk(2, 1)
        return self.head(self.stem(one) * self.stem(two))


class ColorAndDepth(Head):
    channels = 4

    def __init__(self) -> None:
        super().__init__(3)
        self.deep = nn.Conv2d(1, 6, 3, padding=1)

    def forward(self, x):
        return self.head(self.stem(x[:, :3]) + self.deep(x[:, 3:]))


class HeadBeforeStem(Head):
    """Registers its second convolution, which takes 6 channels, before its stem."""

    def __init__(self, taken: int = 3) -> None:
        super().__init__(taken)
        self.channels = taken
        stem = self.stem
        del self.stem
        self.stem = stem  # registered anew, behind the others

    def forward(self, x):
        return self.head(self.stem(x))


class Multispectral(Head):
    channels = 13

    def __init__(self) -> None:
        super().__init__(13)

    def forward(self, x):
        return self.head(self.stem(x))


class FourBandsToDepth(Head):
    """Space to depth of 4 bands: 16 channels."""

    channels = 4

    def __init__(self) -> None:
        super().__init__(16)

    def forward(self, x):
        return self.head(self.stem(F.pixel_unshuffle(x, 2)))


class GrayOfColor(Head):
    """Makes gray images of color ones itself."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x):
        return self.head(self.stem((x * torch.tensor([0.3, 0.6, 0.1]).view(1, 3, 1, 1)).sum(1, keepdim=True)))


class Frames(Head):
    """TSM: the frames of a video in the channels, which become images of a batch and are averaged."""

    channels = 24

    def __init__(self) -> None:
        super().__init__(3)

    def forward(self, x):
        frames = x.view(-1, 3, *x.shape[-2:])
        maps = F.relu(self.stem(frames)).view(-1, 8, 6, *x.shape[-2:])
        shifted = torch.cat([maps[:, 1:, :3], maps[:, :1, :3]], 1)
        return self.head(torch.cat([shifted, maps[:, :, 3:]], 2).mean(1))


FOUND = [
    Focus,
    SpaceToDepth,
    GrayWithCoordinates,
    ColorWithCoordinates,
    TwoImages,
    HalvesOfSix,
    ColorAndDepth,
    HeadBeforeStem,
    lambda: HeadBeforeStem(1),
    lambda: HeadBeforeStem(2),
    Multispectral,
    FourBandsToDepth,
    GrayOfColor,
]


@pytest.mark.parametrize("make", FOUND)
def test_the_number_of_channels_is_found_by_trial(make) -> None:
    model = make().eval()
    network = read(model, 32)
    assert network.channels == model.channels
    image = torch.rand(2, model.channels, 32, 32)
    assert torch.allclose(network.run(image, [""])[""], copy.deepcopy(model)(image), atol=1e-6)


@pytest.mark.parametrize("make", [*FOUND, Frames])
def test_what_preprocess_says_holds(make) -> None:
    model = make()
    network = read(model, 32, Preprocess(channels=model.channels))
    assert network.channels == model.channels
    assert network.preprocess.count == model.channels
    drawn = render(model, Logit(1), SHORT, preprocess=network.preprocess, input_size=32, size=32)
    assert drawn.images.shape == (1, model.channels, 32, 32)


def test_a_model_that_takes_either_number_is_one_of_color_images() -> None:
    class Either(Multispectral):
        def __init__(self) -> None:
            Head.__init__(self, 3)

        def forward(self, x):
            return self.head(self.stem(x.expand(-1, 3, -1, -1)))

    assert read(Either(), 32).channels == 3
    assert read(Either(), 32, Preprocess(0.5, 0.5, channels=1)).channels == 1


def test_the_size_is_found_as_well() -> None:
    class Fixed(TwoImages):
        def forward(self, x):
            return self.head(self.stem(x[:, :3]) - self.stem(x[:, 3:])) + 0 * x.reshape(-1, 6 * 48 * 48)[:, :5]

    network = read(Fixed())
    assert (network.channels, network.input_size) == (6, 48)


def test_a_wrong_number_is_refused_with_the_right_one() -> None:
    for make, wrong in ((Focus, 1), (Multispectral, 3), (TwoImages, 3), (GrayWithCoordinates, 3)):
        model = make()
        with pytest.raises(ModelError, match=rf"says {wrong} channels.*channels={model.channels}\)"):
            layers(model, 32, Preprocess(channels=wrong))
        assert read(model, 32, Preprocess(channels=model.channels)).channels == model.channels


def test_what_cannot_be_found_is_asked_for_and_the_answer_works() -> None:
    with pytest.raises(ModelError, match=r"preprocess=Preprocess\(mean, std, channels=\.\.\.\)"):
        layers(Frames(), 32)
    assert layers(Frames(), 32, Preprocess(channels=24))[-1].channels == 5


def test_a_preprocess_function_gets_images_of_the_number_that_works() -> None:
    model = Multispectral()
    network = read(model, 32, lambda x: (x - 0.5) / 0.2)
    assert network.channels == 13
    image = torch.rand(1, 13, 32, 32)
    assert torch.allclose(network.preprocess(image), (image - 0.5) / 0.2)

    class OneChannel(Head):
        def forward(self, x):
            return self.head(self.stem(x))

    assert (
        read(OneChannel(1), 32, lambda x: x.mean(1, keepdim=True)).channels == 3
    )  # it is the function that makes gray
    assert read(OneChannel(1), 32, lambda x: x * 2).channels == 1

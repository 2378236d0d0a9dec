from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import layers
from peek_widget.errors import LayerError
from peek_widget.network import read


class SamePadding(nn.Module):
    """A padding of somebody's own, as in ports from TensorFlow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(F.pad(x, (0, 1, 0, 1)), (1, 1, 1, 1), mode="reflect")


class PadsAndScales(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2.0 * F.pad(x, (1, 1, 1, 1))


class MoreChannels(nn.Module):
    """The shortcut of a ResNet for CIFAR: the units are numbered anew."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, (0, 0, 0, 0, 2, 2))


def between(padding: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), padding, nn.LazyConv2d(5, 3), nn.ReLU())


def names(model: nn.Module) -> list[str]:
    model(torch.zeros(1, 3, 32, 32))  # so that no module is lazy any more
    return [layer.name for layer in layers(model, 32, "none")]


@pytest.mark.parametrize(
    "padding",
    [
        nn.ZeroPad2d(1),
        nn.ConstantPad2d((0, 1, 0, 1), 0.5),
        nn.ReflectionPad2d(2),
        nn.ReplicationPad2d(1),
        nn.CircularPad2d(1),
        nn.ZeroPad2d(0),
        SamePadding(),
        nn.Sequential(nn.ZeroPad2d(1), nn.ReflectionPad2d(1)),
    ],
    ids=str,
)
def test_a_padding_is_no_layer(padding: nn.Module) -> None:
    model = between(padding)
    assert names(model) == ["0", "1", "3", "4", ""]
    with pytest.raises(LayerError, match=r"^'2' is not a layer .* it only pads the map of '1', .* name '1' instead\.$"):
        read(model, 32, "none").layer("2")
    with pytest.raises(LayerError, match="only pads the map of '1'"):
        read(model, 32, "none").layer(model[2])


@pytest.mark.parametrize(
    "module", [PadsAndScales(), MoreChannels(), nn.Identity(), nn.Upsample(scale_factor=2)], ids=str
)
def test_what_does_more_or_less_than_pad_stays_a_layer(module: nn.Module) -> None:
    assert "2" in names(between(module))


def test_a_padding_of_the_image_is_no_primary_layer_either() -> None:
    model = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, 2))
    assert names(model) == ["1", ""]
    with pytest.raises(LayerError, match="it only pads what it is given: name another; near names: 1"):
        read(model, 32, "none").layer("0")


def test_the_second_call_of_a_padding_and_one_that_pads_nothing() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pad, self.static_padding = nn.Conv2d(3, 3, 3), nn.ReflectionPad2d(1), nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.static_padding(self.conv(self.pad(self.conv(self.pad(x))))))

    network = read(Model(), 32, "none")
    assert [layer.name for layer in network.layers] == ["conv", "conv@2", "conv@3", ""]
    with pytest.raises(LayerError, match=r"'pad@2' is not a layer.*only pads the map of 'conv'"):
        network.layer("pad@2")
    with pytest.raises(LayerError, match="only pads the map of 'conv@2'"):
        network.layer("static_padding")


def test_a_model_that_ends_with_a_padding_has_its_output() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ZeroPad2d(2))
    assert names(model) == ["0", ""]
    assert layers(model, 32, "none")[-1].size == (34, 34)

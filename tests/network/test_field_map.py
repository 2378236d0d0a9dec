"""Receptive fields, held against gradients on networks of many kinds."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from peek_widget.errors import UnitError
from peek_widget.network import Network, read
from peek_widget.network.receptive_field.field_map import field_map, gradient_support, measured_field
from peek_widget.zoo import bundled

#: By name: side of the input, and a layer whose field is well within it at the center.
ARCHITECTURES = {
    "squeezenet1_0": (127, "features.7"),
    "vgg11": (80, "11"),
    "resnet18": (96, "layer2.0"),
    "googlenet": (128, "inception3b"),
    "densenet121": (96, "features.transition1"),
    "mobilenet_v2": (96, "features.6"),
    "shufflenet_v2_x1_0": (96, "stage2"),
    "regnet_x_400mf": (128, "trunk_output.block2"),
    "inception_v3": (128, "Mixed_5b"),
    "bundled": (64, "conv5"),
}

#: Those whose gradients take seconds.
LARGE = ("googlenet", "densenet121", "inception_v3")


def built(name: str) -> nn.Module:
    if name == "bundled":
        return bundled()
    if name == "vgg11":  # without its hundred million weights that see no map
        return models.vgg.make_layers(models.vgg.cfgs["A"], batch_norm=True)
    quick = {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, **quick)


@torch.no_grad()
def averaging(model: nn.Module) -> nn.Module:
    """The network with weights that average and never cancel: a pixel that can reach a unit does reach it."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            weight = torch.rand(module.weight.shape, generator=generator, dtype=torch.float64) + 0.5
            module.weight.copy_(weight / weight.flatten(1).sum(1).view(-1, *[1] * (weight.ndim - 1)))
            if module.bias is not None:
                module.bias.fill_(0.05)
    return model.double().eval()


def support(network: Network, name: str, position: tuple[int, int], probes: int) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the pixels that have any influence on a position."""
    found = gradient_support(network, network.layer(name), position, probes)
    rows, columns = found.sum(dim=1).nonzero().flatten(), found.sum(dim=0).nonzero().flatten()
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in ARCHITECTURES]
)
def test_the_receptive_field_is_where_the_gradient_is_not_zero(name: str):
    side, layer = ARCHITECTURES[name]
    network = read(averaging(built(name)), side, "none")
    fields = field_map(network, network.layer(layer))
    assert fields.kind == "exact"
    height, width = network.layer(layer).size
    clipped = []
    for position in ((height // 2, width // 2), (0, width // 2), (height - 1, width - 1)):
        # Max pooling passes its gradient to one pixel of its window: after three of them, more probes reach all pixels.
        seen = fields.field_box(position[0] * width + position[1])
        found = support(network, layer, position, 12 if name == "googlenet" else 3)
        clipped.append(seen.clipped)
        for edge, (mine, theirs) in enumerate(zip(seen.box, found, strict=True)):
            inward = theirs - mine if edge < 2 else mine - theirs
            # Never beyond the field; and up to its edge, where that is not the image's.
            assert inward >= 0, f"{name} {position}: the gradient reaches {found}, the field {seen}"
            if 0 < mine < side:
                assert inward == 0, f"{name} {position}: the gradient reaches only {found}, the field {seen}"
    assert clipped == [False, True, True], "a center within the image, a border and a corner at its edge"


@pytest.mark.slow
def test_the_field_behind_a_squeeze_and_excitation_is_measured():
    network = read(averaging(models.efficientnet_b0(weights=None)), 128, "none")
    layer = network.layer("features.2")
    assert layer.global_field, "its squeeze-and-excitation averages over the whole image"
    fields = field_map(network, layer)
    assert fields.kind == "measured"
    position = (layer.size[0] // 2 + 3, layer.size[1] // 2 - 5)
    box = [int(v) for v in fields.field_box(position[0] * layer.size[1] + position[1]).box]
    moved = gradient_support(network, layer, position)
    share = float(moved[box[1] : box[3], box[0] : box[2]].sum() / moved.sum())
    assert 0.85 < share < 1.0, (share, box)
    assert (box[2] - box[0]) * (box[3] - box[1]) < 0.15 * 128 * 128, f"a small part of the image, not {box}"
    assert field_map(network, layer, measure=False).kind == "whole"


class _Gated(nn.Module):
    """Strided convolutions that pad as TensorFlow's "same" does, at the lower right; a gate over the whole image."""

    def __init__(self, depth: int):
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.convs = nn.ModuleList(nn.Conv2d(3 if n == 0 else 4, 4, 3, 2) for n in range(depth))
        for conv in self.convs:
            nn.init.constant_(conv.weight, 1 / 27)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = conv(self.pad(x))
        return x * x.mean((2, 3), keepdim=True).sigmoid()


@pytest.mark.parametrize("depth", [3, 5])  # with 3 the field lies within the image, with 5 it passes the border
def test_a_map_is_laid_where_its_units_look_also_where_the_field_passes_the_border(depth: int):
    network = read(_Gated(depth), 96, "none", probe=False)
    name = network.layers[-1].name
    left, top, right, bottom = field_map(network, network.layers[-1]).covered
    for planted in ((32, 32), (64, 32), (32, 64)):
        image = torch.zeros(1, 3, 96, 96)
        image[:, :, planted[0] - 2 : planted[0] + 2, planted[1] - 2 : planted[1] + 2] = 1.0
        found = network.run(image, [name])[name][0, 0] - network.run(image * 0, [name])[name][0, 0]
        weights = found * (found > 0.5 * found.max())
        rows, columns = (
            (torch.arange(96 / 2**depth) + 0.5) / (96 / 2**depth) * (end - begin) + begin
            for begin, end in ((top, bottom), (left, right))
        )
        place = [float((weights.sum(axis) * at).sum() / weights.sum()) for axis, at in ((1, rows), (0, columns))]
        assert place == pytest.approx(planted, abs=0.03 * 96)


@pytest.mark.slow
def test_a_measured_field_equals_the_propagated_one():
    network = read(averaging(built("resnet18")), 128, "none")
    assert (
        measured_field(network, "layer1.0", (16, 16)).box
        == field_map(network, network.layer("layer1.0")).field_box(16 * 32 + 16).box
    )
    within = measured_field(network, "layer1.0", (16, 16), threshold=0.1).box
    assert 0 < within[2] - within[0] < network.layer("layer1.0").receptive_field[1]
    with pytest.raises(UnitError, match="map of 32 x 32 positions"):
        measured_field(network, "layer1.0", (32, 0))


def test_the_field_of_a_vector_is_the_whole_image():
    network = read(bundled())
    seen = field_map(network, network.layer("")).field_box(0)
    assert (seen.box, seen.clipped) == ((0.0, 0.0, 64.0, 64.0), False)


def test_a_field_can_be_measured_within_inference_mode():
    network = read(bundled())
    with torch.inference_mode():
        assert (
            measured_field(network, "conv2", (10, 10)).box
            == field_map(network, network.layer("conv2")).field_box(10 * 32 + 10).box
        )

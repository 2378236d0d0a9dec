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


def support(network: Network, name: str, place: tuple[int, int], probes: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the pixels that move a place at all."""
    found = gradient_support(network, network.layer(name), place, probes)
    rows, columns = found.sum(dim=1).nonzero().flatten(), found.sum(dim=0).nonzero().flatten()
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_field_is_where_the_gradient_is(name: str):
    side, layer = ARCHITECTURES[name]
    network = read(averaging(built(name)), side, "none")
    fields = field_map(network, network.layer(layer))
    assert fields.kind == "exact"
    height, width = network.layer(layer).size
    clipped = []
    for place in ((height // 2, width // 2), (0, width // 2), (height - 1, width - 1)):
        # A maximum hands its gradient to one pixel of its window: with three in a row, more probes reach them all.
        seen = fields.seen(place[0] * width + place[1])
        found = support(network, layer, place, 12 if name == "googlenet" else 3)
        clipped.append(seen.clipped)
        for edge, (mine, theirs) in enumerate(zip(seen.box, found, strict=True)):
            inward = theirs - mine if edge < 2 else mine - theirs
            # Never beyond the field; and up to its edge, where that is not the image's.
            assert inward >= 0, f"{name} {place}: the gradient reaches {found}, the field {seen}"
            if 0 < mine < side:
                assert inward == 0, f"{name} {place}: the gradient reaches only {found}, the field {seen}"
    assert clipped == [False, True, True], "a center within the image, a border and a corner at its edge"


def test_where_a_gate_sees_everything_the_field_is_measured():
    network = read(averaging(models.efficientnet_b0(weights=None)), 128, "none")
    layer = network.layer("features.2")
    assert layer.global_field, "its squeeze-and-excitation averages over the whole image"
    fields = field_map(network, layer)
    assert fields.kind == "measured"
    place = (layer.size[0] // 2 + 3, layer.size[1] // 2 - 5)
    box = [int(v) for v in fields.seen(place[0] * layer.size[1] + place[1]).box]
    moved = gradient_support(network, layer, place)
    share = float(moved[box[1] : box[3], box[0] : box[2]].sum() / moved.sum())
    assert 0.85 < share < 1.0, (share, box)
    assert (box[2] - box[0]) * (box[3] - box[1]) < 0.15 * 128 * 128, f"a small part of the image, not {box}"
    assert field_map(network, layer, measure=False).kind == "whole"


def test_a_measured_field_is_the_propagated_one_where_both_are_known():
    network = read(averaging(built("resnet18")), 128, "none")
    assert (
        measured_field(network, "layer1.0", (16, 16)).box
        == field_map(network, network.layer("layer1.0")).seen(16 * 32 + 16).box
    )
    within = measured_field(network, "layer1.0", (16, 16), least=0.1).box
    assert 0 < within[2] - within[0] < network.layer("layer1.0").receptive_field[1]
    with pytest.raises(UnitError, match="map of 32 x 32 places"):
        measured_field(network, "layer1.0", (32, 0))


def test_a_vector_sees_the_whole_image():
    network = read(bundled())
    seen = field_map(network, network.layer("")).seen(0)
    assert (seen.box, seen.clipped) == ((0.0, 0.0, 64.0, 64.0), False)


def test_a_field_can_be_measured_within_somebodys_inference_mode():
    network = read(bundled())
    with torch.inference_mode():
        assert (
            measured_field(network, "conv2", (10, 10)).box
            == field_map(network, network.layer("conv2")).seen(10 * 32 + 10).box
        )

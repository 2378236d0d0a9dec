"""One network of each family that torchvision has, as it comes: read, run layer by layer, drawn, left as it was."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from peek_widget import Logit, Neuron, Recipe, ascend
from peek_widget.errors import LayerError
from peek_widget.network import read
from tests.networks import assert_same, portrait

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]

# What must be among the primary layers, and what must not: no norm, activation or dropout is one more of them.
FAMILIES = {
    "alexnet": ("features.10", "features.11"),
    "convnext_tiny": ("features.1.0", "features.1.0.block.4"),
    "densenet121": ("features.denseblock1.denselayer1.conv1", "features.denseblock1.denselayer2.relu1"),
    "efficientnet_b0": ("features.2.1", "features.2.1.block.0.2"),
    "googlenet": ("inception4c", "inception4c.branch1.bn"),
    "inception_v3": ("Mixed_6c", "AuxLogits"),
    "maxvit_t": ("blocks.0.layers.0.layers.window_attention", "blocks.0.layers.0.layers.window_attention.attn_layer.0"),
    "mnasnet0_5": ("layers.8.1", "layers.8.1.layers.2"),
    "mobilenet_v3_small": ("features.3", "features.3.block.0.2"),
    "regnet_y_400mf": ("trunk_output.block2.block2-0", "trunk_output.block2.block2-0.activation"),
    "resnet18": ("layer2.0", "layer2.0.relu@2"),
    "shufflenet_v2_x0_5": ("stage2.1", "stage2.1.branch2.7"),
    "squeezenet1_1": ("features.12", "features.12.expand1x1_activation"),
    "swin_t": ("features.3.1", "features.3.1.norm2"),
    "swin_v2_t": ("features.3.1", "features.3.1.norm2"),
    "vgg11_bn": ("features.8", "features.10"),
    "vit_b_32": ("encoder.layers.encoder_layer_5@class", "encoder.dropout"),
}


def _made(name: str) -> nn.Module:
    torch.manual_seed(0)
    more = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, **more)
    for parameter in model.parameters():
        if parameter.ndim > 1 and not bool(parameter.any()):
            nn.init.normal_(parameter, std=0.02)  # a head that begins at zero looks at nothing
    return model


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family(name: str) -> None:
    model = _made(name)
    before = portrait(model)
    network = read(model)
    primary = [layer for layer in network.layers if layer.primary]
    names = [layer.name for layer in primary]
    there, absent = FAMILIES[name]
    assert there in names
    assert absent not in names
    assert absent.partition("@")[0] in dict(model.named_modules())

    image = torch.rand(2, 3, network.input_size, network.input_size)
    everything = [layer.name for layer in network.layers]
    with torch.no_grad():
        values = network.run(image, everything)
        for layer in network.layers:
            shape = (2, layer.channels, *layer.size)
            assert tuple(values[layer.name].shape) in (shape, shape[:2]), layer.name
        for one in everything[:: max(1, len(everything) // 6)]:
            assert torch.equal(network.run(image, [one])[one], values[one]), one
        expected = model.eval()(image)
        model.train()
    if not network.layer("").preactivation.last:
        assert torch.allclose(values[""], expected, atol=1e-4 * float(expected.abs().max()))

    spatial = [layer for layer in primary if layer.spatial]
    chosen = [spatial[0], spatial[len(spatial) // 2], spatial[-1]]
    for objective in (*(Neuron(layer.name, layer.channels // 2) for layer in chosen), Logit(7)):
        steps = ascend(network, objective, Recipe.preset("peek").replace(n_views=2))
        for _ in range(2):
            step = next(steps)
        assert bool(torch.isfinite(step.images).all())
        assert float(step.images.std()) > 0.0
    assert_same(before, portrait(model))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_classifiers_are_not_listed(name: str) -> None:
    model = _made(name).train()
    assert isinstance(model(torch.rand(2, 3, 299, 299)), tuple)
    network = read(model)
    assert network.layer("").channels == 1000
    with pytest.raises(LayerError, match="is in the model, but"):
        network.layer("AuxLogits" if name == "inception_v3" else "aux1")


@pytest.mark.parametrize("name", ["convnext_tiny", "shufflenet_v2_x0_5", "resnet18", "googlenet", "swin_t", "vit_b_32"])
def test_receptive_fields_contain_the_support_of_the_gradient(name: str) -> None:
    side = 224
    network = read(_made(name), side, "none")
    for layer in network.layers:
        if not layer.primary or layer.global_field or not layer.spatial or max(layer.receptive_field) > 160:
            continue
        image = torch.rand(1, 3, side, side, requires_grad=True)
        row, column = ((n - 1) // 2 for n in layer.size)
        network.run(image, [layer.name])[layer.name][0, :, row, column].sum().backward()
        hit = image.grad[0].abs().sum(0) > 0
        for axis, place in ((1, row), (0, column)):
            found = hit.any(axis).nonzero().flatten()
            middle = layer.start[1 - axis] + place * layer.stride[1 - axis]
            reach = (layer.receptive_field[1 - axis] - 1) / 2
            assert middle - reach <= int(found[0]), layer
            assert int(found[-1]) <= middle + reach, layer
            assert int(found[-1] - found[0]) + 1 > layer.receptive_field[1 - axis] / 3, layer

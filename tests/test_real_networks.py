"""Networks that people use, with random weights, end to end."""

from __future__ import annotations

import pytest
import torch
import torchvision

from peek_widget import Logit, Neuron, Recipe, UnitExplorer
from peek_widget.ascent import Ascent
from peek_widget.network import read
from tests.networks import assert_same, portrait, squeezenet

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]

# as peek, by half of its views
FEW = Recipe.preset("peek").replace(n_views=2)
NAMES = ["vgg16", "googlenet", "resnet18", "mobilenet_v3_small", "squeezenet1_0", "densenet121", "inception_v3"]


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_at_every_depth(name: str) -> None:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None)
    before = portrait(model)
    network = read(model)
    primary = [layer for layer in network.layers if layer.primary and layer.spatial]
    assert len(primary) > 5
    for objective in (
        Neuron(primary[0].name, 3),
        Neuron(primary[len(primary) // 2].name, 5),
        Neuron(primary[-1].name, 5),
        Logit(7),
    ):
        ascent = Ascent(network, objective, FEW)
        for _ in range(2):
            step = ascent.step()
        assert bool(torch.isfinite(step.images).all())
        assert float(step.images.std()) > 0.0
    assert_same(before, portrait(model))


@pytest.mark.parametrize("name", ["vgg16", "googlenet", "resnet18", "mobilenet_v3_small"])
def test_the_explorer_draws(name: str) -> None:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None)
    before = portrait(model)
    explorer = UnitExplorer(model, recipe=FEW.replace(steps=3))
    try:
        assert explorer.wait(300) == "done", explorer.status
        assert explorer.image is not None
        explorer.layer = ""
        explorer.unit = 999
        assert explorer.wait(300) == "done", explorer.status
        assert "unit 999 of the output" in explorer.status["text"]
    finally:
        explorer.close()
    assert_same(before, portrait(model))


def test_the_explorer_on_squeezenet_as_it_was_trained() -> None:
    model = squeezenet()
    before = portrait(model)
    explorer = UnitExplorer(model, layer="", unit=130)
    try:
        assert explorer.wait(300) == "done", explorer.status
        image = torchvision.transforms.functional.to_tensor(explorer.image.resize((224, 224)))[None]
        with torch.no_grad():
            prepared = explorer._parts.source.network.preprocess(image)
            assert 130 in model(prepared)[0].topk(5).indices.tolist()  # flamingo
    finally:
        explorer.close()
    assert_same(before, portrait(model))

"""One forward for many layers, before their last ReLUs; modules that are called more than once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from peek_widget import Neuron, Recipe, layers, render
from peek_widget.errors import LayerError
from peek_widget.network import read
from tests.networks import assert_same, portrait

SHORT = Recipe.preset("peek").replace(steps=4)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet", "resnet18", "shufflenet_v2_x0_5"])
def test_many_layers_at_once_are_what_each_is_alone(name: str) -> None:
    torch.manual_seed(0)
    more = {"init_weights": False} if name == "googlenet" else {}
    network = read(torchvision.models.get_model(name, weights=None, **more), 64)
    names = [layer.name for layer in network.layers]
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        together = network.run(image, names)
        for one in names[::7] + names[-1:]:
            assert torch.equal(network.run(image, [one])[one], together[one]), one


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_googlenets_functional_relus_in_place() -> None:
    torch.manual_seed(0)
    model = torchvision.models.googlenet(weights=None, init_weights=False).eval()
    network = read(model, 64)
    image = torch.rand(1, 3, 64, 64)
    before = network.run(image, ["inception4b", "inception4c"])
    block = model.inception4c

    def raw(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return conv.bn(conv.conv(x))

    with torch.no_grad():
        x = F.relu(before["inception4b"])
        expected = torch.cat(
            [
                raw(block.branch1, x),
                raw(block.branch2[1], block.branch2[0](x)),
                raw(block.branch3[1], block.branch3[0](x)),
                raw(block.branch4[1], block.branch4[0](x)),
            ],
            1,
        )
    assert torch.allclose(before["inception4c"], expected, atol=1e-4)
    assert bool((before["inception4c"] < 0).any())


class Repeated(nn.Module):
    """One convolution three times, and one under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        nn.init.ones_(self.again.bias)  # no unit is dead
        self.alias = self.again
        self.tied = nn.Conv2d(4, 4, 3, padding=1)
        self.tied.weight = self.again.weight
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.stem(x))
        x = self.act(self.again(x))
        x = self.act(self.again(x))
        x = self.act(self.alias(x))
        return self.tied(x).mean((2, 3))


def test_every_call_is_a_layer_with_a_field_of_its_own() -> None:
    torch.manual_seed(0)
    model = Repeated()
    before = portrait(model)
    found = layers(model, 32)
    assert [(x.name, x.call) for x in found if x.kind == "Conv2d"] == [
        ("stem", 1),
        ("again", 1),
        ("again@2", 2),
        ("again@3", 3),
        ("tied", 1),
    ]
    by_name = {x.name: x for x in found}
    fields = [by_name[n].receptive_field[0] for n in ("again", "again@2", "again@3", "act@4", "tied")]
    assert fields == [7, 11, 15, 15, 19]
    assert [x.name for x in found if x.primary] == ["stem", "again", "again@2", "again@3", "tied", ""]

    network = read(model, 32, "none")
    image = torch.randn(1, 3, 32, 32)
    values = network.run(image, ["again@3", "again", "act@2", "tied"])
    x = F.relu(model.stem(image))
    first = model.again(x)
    second = model.again(F.relu(first))
    third = model.again(F.relu(second))
    assert torch.allclose(values["again"], first, atol=1e-6)
    assert torch.allclose(values["act@2"], first, atol=1e-6)
    assert torch.allclose(values["again@3"], third, atol=1e-6)
    assert torch.allclose(values["tied"], model.tied(F.relu(third)), atol=1e-6)
    assert network.runs_at("again@3", 16)
    assert network.layer("alias").name == "again"
    with pytest.raises(LayerError, match=r"no layer 'again@4'; near names: again@3, again@2"):
        network.layer("again@4")
    history = render(model, Neuron("again@2", 1), SHORT, size=32, input_size=32).history
    assert history[-1] > history[0]
    assert_same(before, portrait(model))


def test_a_block_is_primary_and_the_activation_that_it_ends_with_is_not() -> None:
    found = {layer.name: layer for layer in layers(torchvision.models.regnet_y_400mf(weights=None), 64)}
    assert found["trunk_output.block1.block1-0"].primary
    assert not found["trunk_output.block1.block1-0.activation"].primary


class Wandering(nn.Module):
    """Which layers run, and how often, hangs on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.dark = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(4, 6, 1)
        self.end = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.stem(x))
        if float(x.detach().mean()) < 0.3:
            y = F.relu(self.dark(y), inplace=True)
        return self.end(F.relu(self.last(y))).mean((2, 3))


def test_a_forward_whose_path_depends_on_its_data() -> None:
    torch.manual_seed(0)
    model = Wandering()
    network = read(model, 32, "none")  # it is read with a gray image
    assert network.layer("end").rectified
    light, dark = torch.rand(1, 3, 32, 32) + 0.5, torch.rand(1, 3, 32, 32) * 0.1
    for image in (light, dark, light):
        y = F.relu(model.stem(image))
        y = F.relu(model.dark(y)) if image is dark else y
        assert torch.allclose(network.run(image, ["end"])["end"], model.last(y), atol=1e-6)
    with pytest.raises(LayerError, match="'dark'"):
        network.run(dark, ["dark"])


class Overwritten(nn.Module):
    """What a ReLU put out is changed in place, through a view or not, before it is joined."""

    def __init__(self, through_a_view: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.first, self.join = nn.Identity(), nn.Identity()
        self.through_a_view = through_a_view

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.first(F.relu(self.a(x)))
        q = F.relu(self.b(p))
        if self.through_a_view:
            p[:, :2].add_(1.0)
        else:
            p[:, :2] = p[:, :2] + 1.0
        return self.join(torch.cat([p, q], 1)).mean((2, 3))


@pytest.mark.parametrize("through_a_view", [False, True])
def test_an_overwritten_tensor_is_no_output_of_a_relu(through_a_view: bool) -> None:
    torch.manual_seed(0)
    model = Overwritten(through_a_view)
    image = torch.randn(1, 3, 16, 16)
    p = F.relu(model.a(image))
    q = model.b(p)
    expected = torch.cat([torch.cat([p[:, :2] + 1.0, p[:, 2:]], 1), q], 1)
    network = read(model, 16, "none")
    for names in (["join"], ["first", "join"], ["a", "b", "first", "join"]):
        found = network.run(image, names)
        assert torch.allclose(found["join"], expected, atol=1e-6)
        assert torch.allclose(found.get("first", model.a(image)), model.a(image), atol=1e-6)


def test_a_relu_whose_output_is_written_into_through_a_view_is_kept() -> None:
    class Raised(Overwritten):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            p = F.relu(self.a(x))
            p[:, :2].add_(1.0)
            return self.join(p).mean((2, 3))

    torch.manual_seed(0)
    model = Raised(True)
    image = torch.randn(1, 3, 16, 16)
    expected = F.relu(model.a(image))
    expected[:, :2] += 1.0
    network = read(model, 16, "none")
    assert torch.allclose(network.run(image, ["join"])["join"], expected, atol=1e-6)
    assert not network.layer("join").rectified


def test_nothing_past_the_last_of_many_layers_is_computed() -> None:
    class Trapped(Repeated):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.trap:
                self.tied.register_forward_pre_hook(lambda *_: pytest.fail("past the last layer"))
            return super().forward(x)

    Trapped.trap = False
    network = read(Trapped(), 32, "none")
    Trapped.trap = True
    assert set(network.run(torch.rand(1, 3, 32, 32), ["stem", "act@3"])) == {"stem", "act@3"}

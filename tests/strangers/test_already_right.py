"""What strangers brought and what was right already."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import fx, nn

from peek_widget import Logit, Neuron, Recipe, activations, render
from peek_widget.network import read
from tests.networks import Tiny, assert_same, portrait, squeezenet, tiny

SHORT = Recipe.preset("peek").replace(steps=3)


def agrees(model: nn.Module, size: int = 32) -> None:
    """Assert that a model is read, computed as it computes itself, drawn, and left as it was."""
    before = portrait(model)
    image = torch.rand(2, 3, size, size)
    found = read(model, size, "none").run(image, [""])[""]
    history = render(model, Logit(1), SHORT, size=size, input_size=size).history
    assert bool(history.isfinite().all())
    assert_same(before, portrait(model))
    assert torch.allclose(found, model.eval()(image), atol=1e-5)


class Lora(nn.Module):
    """A frozen layer and a low-rank correction (peft's)."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.Conv2d(base.in_channels, 2, 3, padding=1, bias=False)
        self.lora_B = nn.Conv2d(2, base.out_channels, 1, bias=False)
        self.scaling = {"default": 0.5}

    def forward(self, x):
        return self.base_layer(x) + self.lora_B(self.lora_A(x)) * self.scaling["default"]


def test_lora() -> None:
    model = tiny()
    model.forms = Lora(model.forms)
    agrees(model)


def test_a_forward_replaced_by_a_partial() -> None:
    """accelerate's hooks: ``module.forward`` is a partial of a function of the module."""

    def new_forward(module, *args, **kwargs):
        return module._old_forward(*args, **kwargs) * 1.0

    model = tiny()
    for module in (model.forms, model):
        module._old_forward = module.forward
        module.forward = functools.update_wrapper(functools.partial(new_forward, module), module._old_forward)
    agrees(model)


def test_a_traced_graph() -> None:
    model = fx.symbolic_trace(tiny().eval())
    image = torch.rand(2, 3, 32, 32)
    assert torch.allclose(read(model, 32, "none").run(image, [""])[""], model(image), atol=1e-6)
    assert read(model, 32).layers == tuple(
        replace(one, kind="GraphModule") if one.name == "" else one for one in read(tiny(), 32).layers
    )


def test_maps_in_a_list() -> None:
    """timm's ``features_only``."""

    class Features(Tiny):
        def forward(self, x):
            edges = F.relu(self.edges(x))
            return [edges, self.norm(self.forms(self.pool(edges)))]

    network = read(Features().eval(), 32)
    assert {"edges", "forms", "norm"} <= {layer.name for layer in network.layers}
    image = torch.rand(1, 3, 32, 32)
    assert torch.allclose(network.run(image, [""])[""], network.run(image, ["edges"])["edges"], atol=1e-6)


def test_a_unet() -> None:
    class Unet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1)
            self.deep = nn.Conv2d(4, 8, 3, stride=2, padding=1)
            self.up = nn.Conv2d(12, 5, 3, padding=1)

        def forward(self, x):
            a = F.relu(self.down(x))
            b = F.relu(self.deep(a))
            return self.up(torch.cat([a, F.interpolate(b, scale_factor=2)], 1))

    torch.manual_seed(0)
    agrees(Unet())


def test_a_lightning_module_after_fit() -> None:
    """It holds its trainer, which holds it, and logs in its forward."""

    class Trainer:
        def __init__(self, model: nn.Module) -> None:
            self.model, self.logged = model, []

    class Module(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self._trainer: Trainer | None = None

        def forward(self, x):
            if self._trainer is not None:
                self._trainer.logged.append(float(x.detach().mean()))
            return super().forward(x)

    torch.manual_seed(0)
    model = Module()
    model._trainer = Trainer(model)
    before = portrait(model)
    network = read(model, 32, "none")
    image = torch.rand(1, 3, 32, 32)
    found = network.run(image, [""])[""]
    assert model._trainer.logged == []
    assert_same(before, portrait(model))
    assert torch.allclose(found, model.eval()(image), atol=1e-6)


def hooked(model: nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a plain forward hook sees: each module's output at its first call, as it was then."""
    found: dict[str, torch.Tensor] = {}
    handles = []
    for name, module in model.named_modules():

        def keep(_module, _inputs, output, name=name):
            if isinstance(output, torch.Tensor):
                found.setdefault(name, output.detach().clone())

        handles.append(module.register_forward_hook(keep))
    with torch.no_grad():
        model(image)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_every_layer_is_what_a_plain_hook_sees(name: str) -> None:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None).eval()
    image = torch.rand(1, 3, 64, 64)
    network = read(model, 64, "none", probe=False)
    expected = hooked(copy.deepcopy(model), image)
    found = network.run(image, [layer.name for layer in network.layers])
    for layer in network.layers:
        averaged = layer.rectified and layer.size == (1, 1)  # the mean of what is before the ReLU
        if layer.call > 1 or averaged:
            continue
        theirs, ours = expected[layer.name], found[layer.name]
        # It is read before its ReLUs.
        ours = ours.clamp(min=0) if layer.rectified else ours
        assert torch.allclose(ours, theirs, atol=4e-6 * float(theirs.abs().max())), layer.name


def test_the_real_squeezenets_activations_are_a_plain_hooks() -> None:
    model = squeezenet()
    image = torch.rand(1, 3, 128, 128)
    names = ["features.0", "features.3.expand3x3", "features.7.expand1x1", "features.12.expand3x3", "classifier.1"]
    expected = hooked(model, (image - 0.45) / 0.226)
    found = activations(model, image, names, input_size=128, preprocess=lambda x: (x - 0.45) / 0.226)
    for name in names:  # an in-place ReLU follows each of them; a hook sees what came before
        scale = float(expected[name].abs().max())
        assert torch.allclose(found[name], expected[name], atol=4e-6 * scale), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precisions(dtype: torch.dtype) -> None:
    model = tiny().to(dtype).eval()
    image = torch.rand(1, 3, 32, 32)
    found = read(model, 32, "none").run(image, [""])[""]
    assert torch.allclose(found, model(image.to(dtype)).float(), atol=1e-2)
    assert render(model, Neuron("forms", 2), SHORT, size=32, input_size=32).history[-1].isfinite()

"""Models in every state that people have them in: wrapped, half, tied, in training, with things of their own."""

from __future__ import annotations

import copy
import warnings
from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import Logit, Neuron, Recipe, layers, render
from peek_widget.errors import LayerError, ModelError
from peek_widget.network import ModelCopy, read
from tests.networks import Tiny, assert_same, portrait, tiny

SHORT = Recipe.preset("peek").replace(steps=4)
LISTED = [layer.name for layer in layers(tiny())]


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (nn.DataParallel, "module."),
        (lambda m: torch.compile(m, backend="eager"), "_orig_mod."),
        (lambda m: nn.DataParallel(torch.compile(m, backend="eager")), "module._orig_mod."),
        (lambda m: torch.compile(nn.DataParallel(m), backend="eager"), "_orig_mod.module."),
    ],
)
def test_wrappers_around_a_model_are_left_out(wrap, prefix: str) -> None:
    plain = tiny()
    model = wrap(plain)
    before = portrait(plain)
    network = read(model)
    assert [layer.name for layer in network.layers] == LISTED
    assert prefix + "forms" in dict(model.named_modules())
    assert network.layer(prefix + "forms") is network.layer("forms")
    image = torch.rand(1, 3, 32, 32)
    values = network.run(image, [prefix + "forms", "forms"])
    assert torch.equal(values[prefix + "forms"], values["forms"])
    drawn = render(model, Neuron(prefix + "forms", 2), SHORT, size=32, input_size=32)
    assert torch.equal(drawn.images, render(plain, Neuron("forms", 2), SHORT, size=32, input_size=32).images)
    with pytest.raises(LayerError, match="near names: forms"):
        network.layer(prefix + "form")
    assert_same(before, portrait(plain))


def test_wrappers_inside_a_model() -> None:
    class Holding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.compile(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), backend="eager")
            self.rest = nn.DataParallel(nn.Sequential(torch.compile(nn.Conv2d(4, 5, 3), backend="eager")))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rest(self.stem(x)).mean((2, 3))

    model = Holding()
    network = read(model, 32, "none")
    assert [layer.name for layer in network.layers] == ["stem.0", "stem.1", "stem", "rest.0", "rest", ""]
    assert network.layer("stem._orig_mod.0").name == "stem.0"
    assert network.layer("rest.module.0._orig_mod").name == "rest.0"
    image = torch.rand(1, 3, 32, 32)
    expected = model.rest.module[0]._orig_mod(F.relu(model.stem._orig_mod[0](image)))
    assert torch.allclose(network.run(image, ["rest"])["rest"], expected, atol=1e-6)
    for mine, theirs in zip(network.model_copy.module.parameters(), model.parameters(), strict=True):
        assert mine.data_ptr() == theirs.data_ptr()


def test_a_module_compiled_in_place() -> None:
    model = tiny()
    model.compile(backend="eager")
    image = torch.rand(1, 3, 32, 32)
    assert torch.allclose(read(model).model_copy.run(image, [""])[""], tiny().eval()(image), atol=1e-6)


def test_a_quantized_model_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(tiny().eval(), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(ModelError, match=r"'classes' is quantized.*give the float model"):
        read(model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    model = tiny().to(dtype)
    before = portrait(model)
    network = read(model, 32, "none")
    image = torch.rand(2, 3, 32, 32)
    value = network.run(image, ["forms"])["forms"]
    assert value.dtype == torch.float32
    assert torch.allclose(value, read(tiny(), 32, "none").run(image, ["forms"])["forms"], atol=0.05)
    result = render(model, Neuron("forms", 3), SHORT.replace(steps=40), size=32, input_size=32)
    assert bool(torch.isfinite(result.images).all())
    assert result.history[-8:].mean() > result.history[:8].mean()
    assert_same(before, portrait(model))


def test_batch_norm_and_dropout_in_training_are_read_as_if_they_were_not() -> None:
    model = tiny().train()
    model.norm.running_mean.uniform_(-1, 1)
    model.norm.running_var.uniform_(0.5, 2)
    before = portrait(model)
    image = torch.rand(4, 3, 32, 32)
    expected = copy.deepcopy(model).eval()(image)
    network = read(model, 32, "none")
    for _ in range(2):
        assert torch.allclose(network.run(image, [""])[""], expected, atol=1e-6)
    assert_same(before, portrait(model))


def test_a_module_that_keeps_its_last_activation() -> None:
    class Keeping(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.kept = self.edges(x)
            self.trace = [*getattr(self, "trace", [])[-1:], self.kept]
            return super().forward(x)

    model = Keeping()
    model(torch.rand(1, 3, 32, 32))
    kept, trace = model.kept, list(model.trace)
    assert kept.grad_fn is not None
    render(model, Neuron("forms", 2), SHORT, size=32, input_size=32)
    assert model.kept is kept
    assert all(one is other for one, other in zip(model.trace, trace, strict=True))
    kept.sum().backward()  # the user's graph is whole
    assert model.edges.weight.grad is not None


@pytest.mark.parametrize("dim", [0, 1])
def test_new_spectral_norm(dim: int) -> None:
    model = nn.Sequential(torch.nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3), dim=dim), nn.ReLU())
    before = portrait(model)
    image = torch.rand(1, 3, 16, 16)
    expected = copy.deepcopy(model).eval()[0](image)
    assert torch.allclose(read(model, 16, "none").run(image, [""])[""], expected, atol=1e-6)
    assert_same(before, portrait(model))


class Several(Tiny):
    """Returns its result and more, in one of several wrappings."""

    def __init__(self, wrap) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, x: torch.Tensor):
        return self.wrap(super().forward(x), self.edges(x).mean((2, 3)))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda out, aux: (out, aux),
        lambda out, aux: [None, out, aux],
        lambda out, aux: {"aux": aux, "out": out},
        lambda out, aux: {"first": out, "aux": aux},
        lambda out, aux: type("Output", (), {"logits": out, "aux": aux})(),
        lambda out, aux: SimpleNamespace(aux=aux, out=out),
        lambda out, aux: namedtuple("Output", "aux out")(aux, out),
    ],
)
def test_the_result_is_found_among_several(wrap) -> None:
    torch.manual_seed(0)
    model = Several(wrap)
    image = torch.rand(1, 3, 32, 32)
    expected = Tiny.forward(copy.deepcopy(model).eval(), image)
    network = read(model, 32, "none")
    assert network.layer("").channels == 5
    assert torch.allclose(network.run(image, [""])[""], expected, atol=1e-6)
    assert render(model, Logit(1), SHORT, size=32, input_size=32).history[-1].isfinite()


def test_one_channel_at_32_pixels() -> None:
    network = read(tiny(channels=1))
    assert (network.channels, network.input_size) == (1, 32)
    assert render(tiny(channels=1), Neuron("forms", 1), SHORT, size=32).images.shape == (1, 1, 32, 32)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ModelCopy(tiny().to("meta")), "'edges.weight' on the device 'meta'"),
        (lambda: ModelCopy(tiny(), "meta"), "device='meta'"),
    ],
)
def test_a_model_on_the_meta_device_is_refused(make, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        make()


def test_a_model_on_another_device_than_the_default_one() -> None:
    model = tiny()
    image = torch.rand(1, 3, 32, 32)
    with torch.device("meta"):  # what is made without saying where would be there, and hold nothing
        network = read(model)
        value = network.run(image, ["forms"])["forms"]
    assert [layer.name for layer in network.layers] == LISTED
    assert torch.equal(value, read(model).run(image, ["forms"])["forms"])

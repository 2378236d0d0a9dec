"""Parameters that are no floats, or that were made in inference mode."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peek_widget import Logit, Neuron, Recipe, activations, layers, render
from peek_widget.errors import ModelError
from peek_widget.network import ModelCopy, read
from peek_widget.network.fingerprint import fingerprint
from peek_widget.network.preactivation import address_of
from tests.networks import Tiny, assert_same, portrait, tiny

SHORT = Recipe.preset("peek").replace(steps=4, weight_noise=0.0, relu_leak=0.0, rivals=0.0)


def portrait_of(model: nn.Module):
    found = portrait(model)
    found["parameters"] = {name: (address_of(p), p.detach().clone()) for name, p in model.named_parameters()}
    return found


class ComplexConvolution(Tiny):
    """cplxmodule: a convolution with complex weights, whose modulus goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(3, 6, 3, padding=1, dtype=torch.complex64)

    def forward(self, x):
        return self.classes(F.relu(self.norm(self.forms(self.edges(x.to(torch.complex64)).abs()))).mean((2, 3)))


class ComplexFilter(Tiny):
    """A learned filter of the spectrum (global filter networks)."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(6, 32, 17, dtype=torch.complex64))

    def forward(self, x):
        mixed = torch.fft.irfft2(torch.fft.rfft2(self.edges(x)) * self.filter, s=x.shape[-2:])
        return self.classes(F.relu(self.norm(self.forms(mixed))).mean((2, 3)))


class OnlyComplex(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.complex64) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, dtype=dtype)
        self.last = nn.Linear(4, 5, dtype=dtype)

    def forward(self, x):
        return self.last(self.conv(x.to(self.conv.weight.dtype)).mean((2, 3))).abs()


class Counter(Tiny):
    """NeuralBabyTalk: whole numbers as a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.tensor(7), requires_grad=False)
        self.order = nn.Parameter(torch.tensor([5, 4, 3, 2, 1, 0]), requires_grad=False)

    def forward(self, x):
        return self.classes(F.relu(self.norm(self.forms(self.edges(x)[:, self.order]))).mean((2, 3)))


class FirstIsWhole(Tiny):
    def __init__(self) -> None:
        super().__init__()
        parameters = dict(self._parameters)
        self._parameters.clear()
        self._parameters["seen"] = nn.Parameter(torch.zeros(3, dtype=torch.int64), requires_grad=False)
        self._parameters.update(parameters)


class Masked(Tiny):
    """A bool mask of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = nn.Parameter(torch.rand(6, 3, 3, 3) > 0.3, requires_grad=False)

    def forward(self, x):
        x = F.conv2d(x, self.edges.weight * self.mask, self.edges.bias, padding=1)
        return self.classes(F.relu(self.norm(self.forms(x))).mean((2, 3)))


class Bytes(Tiny):
    """Weights kept as 8-bit integers and a scale: a forward that has gradients all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.coded = nn.Parameter(torch.randint(-127, 127, (6, 3, 3, 3), dtype=torch.int8), requires_grad=False)
        self.scale = nn.Parameter(torch.tensor(0.01))

    def forward(self, x):
        x = F.conv2d(x, self.coded * self.scale, self.edges.bias, padding=1)
        return self.classes(F.relu(self.norm(self.forms(x))).mean((2, 3)))


class SmallFloats(Tiny):
    """8-bit floats, in which nothing can be computed."""

    def __init__(self) -> None:
        super().__init__()
        self._parameters["coded"] = nn.Parameter(torch.randn(6, 3, 3, 3).to(torch.float8_e4m3fn), requires_grad=False)
        self.edges = None

    def forward(self, x):
        x = F.conv2d(x, self.coded.to(x.dtype), padding=1)
        return self.classes(F.relu(self.norm(self.forms(x))).mean((2, 3)))


class Sparse(Tiny):
    """A sparse matrix of coordinates as a parameter (pruned or graph layers)."""

    def __init__(self) -> None:
        super().__init__()
        self.mixing = nn.Parameter(torch.eye(5).to_sparse())

    def forward(self, x):
        return torch.sparse.mm(self.mixing, super().forward(x).t()).t()


class SparseRows(Sparse):
    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that it is new
            self.mixing = nn.Parameter((2 * torch.eye(5)).to_sparse_csr())


class Scalars(Tiny):
    """Numbers without dimensions, of three types, in a ParameterList."""

    def __init__(self) -> None:
        super().__init__()
        given = (torch.tensor(True), torch.tensor(3, dtype=torch.int16), torch.tensor(1 + 2j))
        self.numbers = nn.ParameterList(nn.Parameter(one, requires_grad=one.is_complex()) for one in given)

    def forward(self, x):
        flag, factor, phase = self.numbers
        return super().forward(x) * flag * factor * phase.abs()


@pytest.mark.parametrize(
    "kind",
    [
        *(ComplexConvolution, ComplexFilter, OnlyComplex, Counter, FirstIsWhole, Masked, Bytes, SmallFloats),
        *(Sparse, SparseRows, Scalars),
    ],
)
def test_parameters_of_other_types(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind().eval()
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        right = model(image)
    before = portrait_of(model)
    network = read(model, 32)
    assert torch.allclose(network.run(image, [""])[""], right, atol=1e-5)
    history = render(model, Logit(1), SHORT, size=32, input_size=32).history
    assert history[-1] > history[0]
    assert len(fingerprint(model)) == 16
    assert_same(before, portrait_of(model))


def test_a_model_in_double_precision_complex_numbers() -> None:
    model = OnlyComplex(torch.complex128).eval()
    network = read(model, 32)
    assert network.model_copy.dtype == torch.float64
    image = torch.rand(1, 3, 32, 32)
    assert torch.allclose(network.run(image, [""])[""], model(image).float(), atol=1e-6)


def test_a_layer_of_complex_numbers_is_read_by_its_modulus() -> None:
    torch.manual_seed(0)
    model = ComplexConvolution().eval()
    image = torch.rand(2, 3, 32, 32)
    network = read(model, 32)
    expected = model.edges(image.to(torch.complex64)).abs()
    assert torch.allclose(network.run(image, ["edges"])["edges"], expected, atol=1e-6)
    history = render(model, Neuron("edges", 2), SHORT, size=32, input_size=32).history
    assert history[-1] > history[0]


def test_half_precision_of_the_convolutions_only() -> None:
    """The first parameter is float32 (a temperature), the convolutions are half."""

    class Mixed(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.bfloat16()
            self.temperature = nn.Parameter(torch.tensor(2.0))

        def forward(self, x):
            return super().forward(x) / self.temperature.to(x.dtype)

    torch.manual_seed(0)
    model = Mixed().eval()
    image = torch.rand(1, 3, 32, 32)
    found = read(model, 32).run(image, [""])[""]
    assert torch.allclose(found, model(image.bfloat16()).float(), atol=1e-3)


def test_a_really_quantized_parameter_is_still_refused() -> None:
    model = tiny()
    quantized = torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8)
    model._parameters["coded"] = nn.Parameter(quantized, requires_grad=False)
    with pytest.raises(ModelError, match=r"'coded' is torch\.qint8: a quantized model has no gradients"):
        layers(model)


# -- inference mode


def _made_in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return tiny().eval()


def _assigned_in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        weights = {name: value.clone() for name, value in tiny().state_dict().items()}
    model = tiny().eval().requires_grad_(False)
    model.load_state_dict(weights, assign=True)
    return model


def _partly() -> nn.Module:
    model = tiny().eval()
    with torch.inference_mode():
        model.forms.weight = nn.Parameter(model.forms.weight.clone(), requires_grad=False)
        model.norm.running_mean = model.norm.running_mean.clone()
    return model


def _moved_in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return tiny().eval().double().float()


class Caching(Tiny):
    """Keeps what its first forward made, here in inference mode, and uses it in the next ones."""

    def forward(self, x):
        if not hasattr(self, "cache") or self.cache.shape[-2:] != x.shape[-2:]:
            self.cache = torch.linspace(0.5, 1, x.shape[-1]).expand(1, 3, *x.shape[-2:]).clone()
        return super().forward(x * self.cache)


def _cached() -> nn.Module:
    torch.manual_seed(0)
    model = Caching().eval()
    with torch.inference_mode():
        model(torch.rand(1, 3, 32, 32))
    assert model.cache.is_inference()
    return model


KEPT = {}


class CachingElsewhere(Caching):
    """Keeps it in a global table."""

    def forward(self, x):
        if x.shape[-1] not in KEPT:
            KEPT[x.shape[-1]] = torch.linspace(0.5, 1, x.shape[-1]).expand(1, 3, *x.shape[-2:]).clone()
        return Tiny.forward(self, x * KEPT[x.shape[-1]])


def _cached_elsewhere() -> nn.Module:
    torch.manual_seed(0)
    model = CachingElsewhere().eval()
    KEPT.clear()
    with torch.inference_mode():
        model(torch.rand(1, 3, 32, 32))
    return model


INFERENCE = [
    _made_in_inference_mode,
    _assigned_in_inference_mode,
    _partly,
    _moved_in_inference_mode,
    _cached,
    _cached_elsewhere,
]


@pytest.mark.parametrize("make", INFERENCE)
@pytest.mark.parametrize("inside", [False, True], ids=["read outside", "read inside"])
def test_weights_made_in_inference_mode(make, inside: bool) -> None:
    model = make()
    before = portrait_of(model)
    image = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected = copy.deepcopy(model)(image) if make is not _cached else model(image)
    with torch.inference_mode(inside):
        network = read(model, 32)
        assert torch.allclose(network.run(image, [""])[""], expected, atol=1e-6)
        drawn = render(network, [Logit(1), Neuron("forms", 3)], SHORT, size=32)
        found = activations(model, image, ["forms"], preprocess="none", input_size=32)["forms"]
    assert bool((drawn.history[-1] > drawn.history[0]).all())
    assert found.shape == (2, 8, 16, 16)
    assert_same(before, portrait_of(model))


def test_clones_follow_the_model_at_the_next_refresh() -> None:
    model = _made_in_inference_mode()
    copy_ = ModelCopy(model)
    version = copy_.version()
    with torch.inference_mode():
        model.forms.weight.mul_(2)
        expected = model(torch.ones(1, 3, 32, 32))
    copy_.refresh()
    assert copy_.version() > version
    assert torch.allclose(copy_.run(torch.ones(1, 3, 32, 32), [""])[""], expected, atol=1e-6)
    copy_.refresh()
    assert copy_.version() == version + 1


def test_the_same_picture_as_of_ordinary_weights() -> None:
    drawn = [
        render(model, Neuron("forms", 3), SHORT, size=32, input_size=32).images
        for model in (_made_in_inference_mode(), tiny())
    ]
    assert torch.equal(*drawn)

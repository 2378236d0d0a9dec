"""Noise on a network's weights: how much, where, and that the weights themselves stay as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peek_widget import Logit, Recipe, render
from peek_widget._size import Size
from peek_widget.network import read, weight_noise
from peek_widget.network.receptive_field.effective import noise as natural_noise
from peek_widget.network.weight_noise import LENGTH, NoisyWeights, noise_of_weights


def noise(amount: float, begins: int = 3) -> Tensor:
    return torch.tensor([float(begins), amount])


def factors(weight: Tensor, amount: float = 0.1, offset: int = 7) -> Tensor:
    """Return what each number of a weight ``[n, m]`` is multiplied by."""
    with NoisyWeights(noise(amount, offset)):
        found = F.linear(torch.eye(weight.shape[1]), weight)
    return found.T / weight


def test_each_number_has_noise_of_its_own_of_that_deviation() -> None:
    weight = torch.randn(300, 200, generator=torch.Generator().manual_seed(1)) + 3.0
    added = (factors(weight) - 1.0) * weight / weight.square().mean().sqrt()
    assert float(added.mean()) == pytest.approx(0.0, abs=0.002)
    assert float(added.std()) == pytest.approx(0.1, abs=0.002)
    rows = added / 0.1
    assert float((rows[1:] * rows[:-1]).mean().abs()) < 0.02
    assert float((rows[:, 1:] * rows[:, :-1]).mean().abs()) < 0.02


def test_the_size_of_a_parameter_is_measured_once_and_that_of_another_weight_each_time() -> None:
    eye, sizes, own = torch.eye(2), {}, nn.Parameter(torch.full((3, 2), 2.0))
    for scale in (1.0, 3.0):
        with NoisyWeights(noise(0.1), sizes=sizes):
            F.linear(eye, own)
            other = F.linear(eye, torch.full((300, 2), scale))
        assert float((other - scale).std()) == pytest.approx(0.1 * scale, rel=0.1)
    assert [float(one) for one in sizes.values()] == [2.0]


def test_an_offset_has_the_same_noise_again_and_another_has_another() -> None:
    weight = torch.ones(20, 30)
    assert torch.equal(factors(weight), factors(weight))
    assert float((factors(weight) - factors(weight, offset=8)).abs().mean()) > 0.05
    last = weight_noise.LENGTH - 1  # the last place of the table goes on with the first
    one, other = factors(weight, offset=last).flatten(), factors(weight, offset=0).flatten()
    assert torch.allclose(one[1:], other[:-1])


def test_layers_have_noise_of_their_own() -> None:
    eye, weight = torch.eye(30), torch.ones(20, 30)
    with NoisyWeights(noise(0.1)):
        first, second = F.linear(eye, weight), F.linear(eye, weight)
    assert float((first - second).abs().mean()) > 0.05


def test_no_noise_changes_nothing() -> None:
    weight = torch.randn(5, 6)
    with NoisyWeights(noise(0.0)):
        assert torch.equal(F.linear(torch.eye(6), weight), weight.T)


@pytest.mark.parametrize(
    ("module", "image"),
    [
        (nn.Conv1d(3, 4, 3), (2, 3, 9)),
        (nn.Conv2d(3, 4, 3), (2, 3, 9, 9)),
        (nn.Conv2d(4, 4, 3, groups=4), (2, 4, 9, 9)),
        (nn.Conv3d(3, 4, 3), (2, 3, 5, 5, 5)),
        (nn.ConvTranspose2d(3, 4, 3), (2, 3, 9, 9)),
        (nn.Linear(3, 4), (2, 3)),
    ],
    ids=lambda of: type(of).__name__ if isinstance(of, nn.Module) else "",
)
def test_modules_have_noise_and_keep_their_weights(module: nn.Module, image: tuple[int, ...]) -> None:
    given = torch.randn(image, generator=torch.Generator().manual_seed(0)).requires_grad_()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    exact = module(given)
    with NoisyWeights(noise(0.1)):
        noisy = module(given)
    off = float((noisy - exact).detach().norm() / exact.detach().norm())
    assert 0.01 < off < 0.3
    noisy.sum().backward()
    assert given.grad is not None
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(one.grad is None for one in [module.weight]), "nothing is asked of the user's parameters"
    assert torch.equal(module(given), exact)


def test_a_weight_given_by_name_has_noise_too() -> None:
    weight = torch.ones(4, 3)
    with NoisyWeights(noise(0.1)):
        assert not torch.equal(F.linear(torch.eye(3), weight=weight), weight.T)


def test_a_weight_computed_from_the_image_is_not_the_models() -> None:
    image = torch.randn(4, 3).requires_grad_()
    with NoisyWeights(noise(0.2)):
        found = F.linear(torch.eye(3), image * 2.0)
    assert torch.equal(found, 2.0 * image.T)


def test_the_noise_of_a_wide_weight_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_noise, "LENGTH", 8)
    weight_noise._table.cache_clear()
    try:
        found = factors(torch.ones(3, 7)).flatten()
    finally:
        weight_noise._table.cache_clear()
    assert torch.equal(found[8:16], found[:8])
    assert torch.equal(found[16:], found[:5])
    assert len(set(found.tolist())) == 8


def plain(*more: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 16, 5, stride=2)
    return nn.Sequential(convolution, nn.ReLU(), *more, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 9)).eval()


def test_the_noise_changes_the_scores_by_what_was_asked_for() -> None:
    network = read(plain(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()), 32)
    amount = noise_of_weights(network, Size(32, 32))
    images = torch.stack([natural_noise(3, 32, torch.Generator().manual_seed(seed)) for seed in range(10, 40)])

    def scores() -> Tensor:
        found = network.run(network.preprocess(images), [""])[""].detach()
        return found - found.mean(1, keepdim=True)

    whole, changes = scores(), []
    for begins in range(0, LENGTH, LENGTH // 50):
        with NoisyWeights(noise(0.1, begins), times=amount):
            changes.append(float((scores() - whole).norm() / whole.norm()))
    assert sum(changes) / len(changes) == pytest.approx(0.1, rel=0.3)


def test_scores_that_are_all_equal_have_none() -> None:
    model = plain()
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    assert noise_of_weights(read(model, 32), Size(32, 32)) == 0.0


def test_it_is_measured_again_after_training() -> None:
    model = plain()
    network = read(model, 32)
    first = noise_of_weights(network, Size(32, 32))
    assert noise_of_weights(network, Size(32, 32)) == first
    with torch.no_grad():
        model[-1].bias.add_(torch.linspace(-9.0, 9.0, 9))  # scores that the image changes less
    assert noise_of_weights(network, Size(32, 32)) > 1.5 * first


def test_no_weight_has_more_than_a_fifth() -> None:
    found = factors(torch.ones(300, 200), amount=3.0)
    assert float(found.std()) == pytest.approx(0.2, abs=0.004)


class Each(nn.Module):
    """A network that takes one image at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = plain()

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            raise RuntimeError("one image, please")
        return self.inner(x)


class Dynamic(nn.Module):
    """A network one of whose weights is computed from the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.conv2d(self.first(x), self.first.weight.new_ones(8, 8, 1, 1) * x.mean()).amax((2, 3)))


RECIPE = Recipe.preset("peek").replace(steps=8, size=32, view_size=32, weight_noise=0.5)


@pytest.mark.parametrize("model", [Each(), plain()], ids=["one image at a time", "a batch"])
def test_a_picture_in_a_batch_has_the_noise_that_it_has_alone(model: nn.Module) -> None:
    together = render(model, [Logit(1), Logit(2)], RECIPE, seed=[0, 1], input_size=32).images
    for number, picture in enumerate(together):
        alone = render(model, Logit(number + 1), RECIPE, seed=number, input_size=32).tensor
        assert float((picture - alone).abs().max()) < 1e-4


def test_a_network_with_a_weight_computed_from_the_image_is_drawn() -> None:
    assert torch.isfinite(render(Dynamic(), Logit(1), RECIPE, input_size=32).images).all()


def test_the_noise_does_not_depend_on_the_precision_of_whoever_measured_it_first() -> None:
    network, other = read(plain(), 32), read(plain(), 32)
    with network.model_copy.computing_in(torch.bfloat16):
        assert noise_of_weights(network, Size(32, 32)) == noise_of_weights(other, Size(32, 32))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_the_callers_default_type_changes_nothing(kind: torch.dtype) -> None:
    model = plain()
    before = render(model, Logit(1), RECIPE, input_size=32).images
    torch.set_default_dtype(kind)
    try:
        after = render(model, Logit(1), RECIPE, input_size=32).images
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(before, after)


@pytest.mark.parametrize(
    "weight",
    [torch.randn(4, 3).to_sparse(), torch.randn(4, 3).to_sparse_csr(), torch.randn(4, 3, dtype=torch.complex64)],
    ids=["sparse", "sparse rows", "complex"],
)
def test_sparse_and_complex_weights_are_left_alone(weight: Tensor) -> None:
    with NoisyWeights(noise(0.2)) as mode:
        assert mode._noisy(weight) is weight


def test_a_matrix_so_wide_that_its_noise_would_take_longest_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_noise, "_WIDE", 12)
    with NoisyWeights(noise(0.2)) as mode:
        for wide in (torch.ones(13, 1), torch.ones(1, 13)):
            assert mode._noisy(wide) is wide
        for other in (torch.ones(4, 3), torch.ones(2, 2, 3, 3)):
            assert not torch.equal(mode._noisy(other), other)


def test_double_precision_is_not_cast_where_the_rest_computes_in_bfloat16() -> None:
    with torch.autocast("cpu", torch.bfloat16), NoisyWeights(noise(0.2)) as mode:
        assert mode._noisy(torch.ones(4, 3, dtype=torch.float64)).dtype == torch.float64
        assert mode._noisy(torch.ones(4, 3)).dtype == torch.bfloat16


def test_half_precision_stays_so() -> None:
    weight = torch.ones(4, 3, dtype=torch.bfloat16)
    with NoisyWeights(noise(0.1)):
        assert F.linear(torch.eye(3, dtype=torch.bfloat16), weight).dtype == torch.bfloat16

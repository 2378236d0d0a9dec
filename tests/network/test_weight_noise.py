"""Noise on a network's weights: how much, where, and that the weights themselves stay as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


def test_the_sizes_of_layers_are_measured_once_for_further_forwards() -> None:
    eye, sizes = torch.eye(2), []
    for scale in (2.0, 5.0):
        with NoisyWeights(noise(0.1), sizes=sizes):
            F.linear(eye, torch.full((3, 2), scale))
            F.linear(eye, torch.full((4, 2), -scale))
    assert [float(one) for one in sizes] == [2.0, 2.0]


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


def test_half_precision_stays_so() -> None:
    weight = torch.ones(4, 3, dtype=torch.bfloat16)
    with NoisyWeights(noise(0.1)):
        assert F.linear(torch.eye(3, dtype=torch.bfloat16), weight).dtype == torch.bfloat16

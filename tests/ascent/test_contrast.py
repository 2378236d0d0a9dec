"""The cap and the floor of the contrast of bands of frequencies, and the views of a recipe that has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Generator, nn

from peek_widget import Channel, Logit, Neuron, Recipe
from peek_widget.ascent import Ascent
from peek_widget.ascent.contrast import Bands
from peek_widget.ascent.geometry import Geometry
from peek_widget.ascent.param import Fourier, decorrelated_logits
from peek_widget.ascent.state import State
from peek_widget.errors import RecipeError
from peek_widget.network import read
from peek_widget.network.receptive_field.effective import effective_side
from tests.networks import Fixed, tiny

CPU = torch.device("cpu")
PEEK = Recipe.preset("peek")


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("side", [9, 32, 300])
def test_the_energies_of_all_bands_add_up_to_the_variance(side: int, channels: int) -> None:
    values = noise(2, channels, side, side) + 0.7
    energies = Bands(side, channels, CPU).energies(torch.fft.rfft2(values, norm="ortho"))
    variance = values.var(dim=(2, 3), correction=0)
    assert torch.allclose(energies[..., :-1].sum(2), variance, rtol=1e-4)
    assert torch.allclose(energies[..., -1], values.mean(dim=(2, 3)).square(), rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 33, 96])
def test_a_capped_picture_has_no_more_contrast_than_photographs(side: int, channels: int) -> None:
    image = Fourier(50.0 * noise(2, channels, side, side // 2 + 1, 2), side, 1.2)
    bands = Bands(side, channels, CPU)
    for _ in range(8):  # as the steps of a run do; bands overlap, so that once is not enough for a band in between
        image.bound_contrast(0.0, 1.0)
    energies = bands.energies(torch.fft.rfft2(decorrelated_logits(image.render().detach(), 1e-6), norm="ortho"))
    assert bool((energies <= 1.1 * bands.natural + 1e-3).all())
    assert float(energies[..., :-1].sum()) > 0.3 * float(bands.natural[..., :-1].sum())


def test_a_picture_below_the_cap_keeps_every_bit() -> None:
    image = Fourier(0.01 * noise(1, 3, 32, 17, 2), 32, 1.2)
    before = image.parameter.detach().clone()
    image.bound_contrast(0.0, 1.0)
    assert torch.equal(image.parameter, before)


def test_each_picture_of_a_batch_is_capped_as_if_alone() -> None:
    start = torch.cat([noise(1, 3, 48, 25, 2), 30.0 * noise(1, 3, 48, 25, 2, seed=1)])
    together, alone = Fourier(start.clone(), 48, 1.2), Fourier(start[1:].clone(), 48, 1.2)
    together.bound_contrast(0.0, 1.0)
    alone.bound_contrast(0.0, 1.0)
    assert torch.equal(together.parameter[1:], alone.parameter)


def test_a_given_picture_keeps_the_contrast_that_it_has(tmp_path: Path) -> None:
    checkers = (torch.arange(32)[:, None] // 8 + torch.arange(32)[None] // 8) % 2
    given = (0.02 + 0.96 * checkers.float()).expand(3, -1, -1)
    ascent = Ascent(read(tiny(), 32), Logit(0), PEEK.replace(steps=4, step_size=0.001), size=32, start=given)
    ascent.step()
    assert float((ascent.images[0] - given).abs().mean()) < 0.02
    ascent.state().save(tmp_path / "run.safetensors")
    resumed = Ascent.resume(read(tiny(), 32), State.load(tmp_path / "run.safetensors"))
    assert torch.equal(ascent.step().images, resumed.step().images)


def test_the_cap_can_be_overridden_during_a_run() -> None:
    recipe = PEEK.replace(steps=40, step_size=0.3, total_variation=0.0)
    free, capped = (Ascent(read(tiny(), 32), Channel("forms", 1), recipe, size=32) for _ in range(2))
    free.override(contrast_cap=0.0)
    capped.override(contrast_cap=0.05)
    contrast = [float(each.run(progress=False).images.std()) for each in (free, capped)]
    assert contrast[1] < 0.5 * contrast[0]
    with pytest.raises(RecipeError, match="contrast_cap limits bands of a spectrum"):
        Recipe(param="pixels", contrast_cap=1.0)


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (33, 3), (96, 3)])
def test_a_raised_picture_has_the_share_of_contrast_and_its_own_proportions(side: int, channels: int) -> None:
    spectrum = torch.fft.rfft2(0.003 * noise(2, channels, side, side), norm="ortho")
    image, bands = Fourier(torch.view_as_real(spectrum), side, 1.2), Bands(side, channels, CPU)
    logits = [decorrelated_logits(image.render().detach(), 1e-6)]
    for _ in range(200):  # a twentieth at a time
        image.bound_contrast(0.2, 0.0)  # so that no pixel comes near black or white
    logits.append(decorrelated_logits(image.render().detach(), 1e-6))
    energies = [bands.energies(torch.fft.rfft2(each, norm="ortho"))[:, :1, :-1].sum(dim=(1, 2)) for each in logits]
    asked = 0.2**2 * float(bands.natural[:1, :-1].sum())
    assert bool((energies[0] < 0.1 * asked).all())
    assert energies[1].tolist() == pytest.approx([asked, asked], rel=0.02)
    factor = (energies[1] / energies[0]).sqrt().view(-1, 1, 1, 1)
    assert torch.allclose(logits[1], factor * logits[0], atol=1e-2)


def test_a_picture_above_the_floor_keeps_every_bit() -> None:
    image = Fourier(30.0 * noise(1, 3, 32, 17, 2), 32, 1.2)
    before = image.parameter.detach().clone()
    image.bound_contrast(0.5, 0.0)
    assert torch.equal(image.parameter, before)


def test_each_picture_of_a_batch_is_raised_as_if_alone() -> None:
    start = torch.cat([noise(1, 3, 48, 25, 2), 0.05 * noise(1, 3, 48, 25, 2, seed=1)])
    together, alone = Fourier(start.clone(), 48, 1.2), Fourier(start[1:].clone(), 48, 1.2)
    together.bound_contrast(0.5, 0.0)
    alone.bound_contrast(0.5, 0.0)
    assert torch.equal(together.parameter[1:], alone.parameter)
    assert not torch.equal(alone.parameter, start[1:])


def test_a_step_lifts_by_a_twentieth_at_most() -> None:
    image = Fourier(0.003 * noise(2, 3, 32, 17, 2), 32, 1.2)
    before = image.parameter.detach().clone()
    image.bound_contrast(0.5, 0.0)
    assert torch.allclose(image.parameter, 1.05 * before)


def test_a_given_picture_may_be_pale() -> None:
    given = 0.5 + 0.02 * noise(3, 32, 32).clamp(-1.0, 1.0)
    ascent = Ascent(read(tiny(), 32), Logit(0), PEEK.replace(steps=4, step_size=0.001), size=32, start=given)
    assert float((ascent.run(progress=False).images[0] - given).abs().mean()) < 0.01


def test_the_floor_is_reached_in_a_run_whose_gradient_is_small() -> None:
    recipe = PEEK.replace(steps=80, step_size=0.001, total_variation=0.0, contrast_floor=(0.0, 0.6))
    free = recipe.replace(contrast_floor=0.0)
    contrast = [
        float(Ascent(read(tiny(), 32), Channel("forms", 1), each, size=32).run(progress=False).images.std())
        for each in (recipe, free)
    ]
    assert contrast[0] > 0.1 > 5.0 * contrast[1]
    with pytest.raises(RecipeError, match="contrast_floor limits bands of a spectrum"):
        Recipe(param="pixels", contrast_floor=0.5)


def test_a_network_of_one_size_gets_fewer_views() -> None:
    recipe = PEEK.replace(view_size=8, n_views=4)
    small = Geometry(read(tiny(), 32), recipe, 64).view(Logit(0))
    assert (small.side, small.count) == (8, 4)
    fixed = Geometry(read(Fixed(), 16), recipe, 64).view(Logit(0))
    assert (fixed.side, fixed.count) == (16, 1)


def test_a_network_that_needs_more_than_the_views_size_gets_that() -> None:
    deep = nn.Sequential(*(nn.Conv2d(3, 3, 3) for _ in range(10)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    view = Geometry(read(deep, 64), PEEK.replace(view_size=12, n_views=4), 64).view(Logit(0))
    assert (view.side, view.count) == (21, 1)


class Narrow(nn.Module):
    """A field of 81 px, most of whose influence is in the middle: forty convolutions of 3 x 3."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(40)))
        for conv in self.body:
            nn.init.uniform_(conv.weight, 0.0, 2.0 / 27.0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(image)


def test_the_picture_of_a_deep_unit_stands_for_its_effective_field() -> None:
    network = read(Narrow(), 96, "none")
    side = effective_side(network, "body.39")
    assert side is not None
    assert 10 < side < 40
    whole = Geometry(network, PEEK.replace(effective_field=False), 96).view(Neuron("body.39", 0))
    part = Geometry(network, PEEK, 96).view(Neuron("body.39", 0))
    assert whole.side / whole.field_ratio == pytest.approx(81)
    assert part.side / part.field_ratio == pytest.approx(48)  # fields up to that are shown whole
    assert part.side < whole.side


def test_the_effective_field_is_that_of_the_present_weights() -> None:
    model = Narrow()
    network = read(model, 96, "none")
    before = effective_side(network, "body.39")
    with torch.no_grad():
        for conv in model.body[20:]:
            conv.weight.zero_()[:, :, 1, 1] = 1.0  # looks at one pixel and no further
    after = effective_side(network, "body.39")
    assert before is not None
    assert after is not None
    assert after < before
    assert after == effective_side(read(model, 96, "none"), "body.39")

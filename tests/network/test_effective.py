"""The effective receptive field: the smallest box with 95 % of the gradient's energy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from peek_widget.errors import LayerError, PeekError, UnitError
from peek_widget.network import read
from peek_widget.network.receptive_field.effective import effective_field, gradient_energy, smallest_box
from tests.networks import assert_same, portrait, tiny


def smallest_by_trial(energy: torch.Tensor, share: float) -> float:
    """Return the area of the smallest box with a share of the energy, by trying them all."""
    height, width = energy.shape
    boxes = (
        (bottom - top) * (right - left)
        for top in range(height)
        for bottom in range(top + 1, height + 1)
        for left in range(width)
        for right in range(left + 1, width + 1)
        if energy[top:bottom, left:right].sum() >= share * energy.sum() * (1 - 1e-9)
    )
    return min(boxes)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_no_box_with_the_share_is_smaller(seed: int, share: float):
    energy = torch.rand(9, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 6
    left, top, right, bottom = map(int, smallest_box(energy, share))
    assert energy[top:bottom, left:right].sum() >= share * energy.sum() * (1 - 1e-9)
    assert (bottom - top) * (right - left) == smallest_by_trial(energy, share)


def test_what_lies_far_away_does_not_enlarge_the_box():
    energy = torch.zeros(200, 150)
    energy[40:60, 90:100] = 1.0
    energy[199, 0] = 9.0  # 4.3 % of the whole, at the other corner
    left, top, right, bottom = smallest_box(energy)
    cell = 4  # 200 px in at most 64 cells
    assert 90 - cell < left <= 90
    assert 40 - cell < top <= 40
    assert 100 <= right < 100 + cell
    assert 60 <= bottom < 60 + cell


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_where_there_is_no_energy_there_is_no_box(value: float):
    energy = torch.zeros(5, 5)
    energy[2, 2] = value
    assert smallest_box(energy) is None


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_an_impossible_share_is_refused(share: float):
    with pytest.raises(PeekError, match="above 0 and up to 1"):
        smallest_box(torch.ones(3, 3), share)


class Corner(nn.Module):
    """Its filter of 9 x 9 has weights in the upper left 3 x 3 only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 9, padding=4)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[0, :, :3, :3] = 1.0
            self.conv.weight[1, 0] = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def test_the_field_is_where_the_weights_are():
    network = read(Corner(), 32, "none")
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    field = effective_field(network, "conv", 0, image, (10, 20))
    # the field of (10, 20) goes from (6, 16) on
    assert field.box == (16.0, 6.0, 19.0, 9.0)
    assert field.side == 3.0
    assert field.activation == pytest.approx(float(network.run(image[None], ["conv"])["conv"][0, 0, 10, 20].detach()))
    assert effective_field(network, "conv", 1, image, (10, 20)).side == 9.0


def test_without_a_position_it_is_the_one_with_the_highest_activation():
    network = read(Corner(), 32, "none")
    image = torch.zeros(3, 32, 32)
    image[:, 11:14, 21:24] = 1.0
    assert effective_field(network, "conv", 0, image).box == (21.0, 11.0, 24.0, 14.0)


def test_a_dead_unit_has_an_activation_and_no_box():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    field = effective_field(read(model, 16, "none"), "2", 1, torch.rand(3, 16, 16), (3, 3))
    assert field.box is None
    assert field.side is None
    assert field.activation == pytest.approx(model[2].bias[1].item())


def test_a_class_has_an_effective_field_too():
    network = read(tiny(), 16, "none")
    energy, activation = gradient_energy(network, "", 3, torch.rand(3, 16, 16))
    assert energy.shape == (16, 16)
    assert float(energy.sum()) > 0
    assert isinstance(activation, float)


def test_the_model_is_left_as_it_was_in_any_mode():
    model = tiny().train()
    model.edges.weight.grad = torch.ones_like(model.edges.weight)
    before, state = portrait(model), torch.get_rng_state()
    network = read(model, 16, "none")
    plain = effective_field(network, "forms", 2, torch.full((3, 16, 16), 0.4), (2, 2))
    with torch.inference_mode():
        image = torch.full((3, 16, 16), 0.4)
        assert effective_field(network, "forms", 2, image, (2, 2)) == plain
    with torch.no_grad():
        assert effective_field(network, "forms", 2, torch.full((3, 16, 16), 0.4), (2, 2)) == plain
    with pytest.raises(UnitError):
        effective_field(network, "forms", 2, torch.full((3, 16, 16), 0.4), (99, 0))
    assert_same(before, portrait(model))
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None and not p.requires_grad for p in network.model_copy.module.parameters())


@pytest.mark.parametrize(
    ("layer", "unit", "shape", "position", "error", "words"),
    [
        ("nowhere", 0, (3, 16, 16), None, LayerError, "no layer"),
        ("forms", 8, (3, 16, 16), None, UnitError, "numbered 0 to 7"),
        ("forms", 0, (3, 16, 16), (8, 0), UnitError, "8 x 8 positions"),
        ("forms", 0, (1, 16, 16), None, PeekError, r"\[3, H, W\]"),
        ("forms", 0, (16, 16), None, PeekError, r"\[3, H, W\]"),
    ],
)
def test_what_is_not_there_is_said(layer, unit, shape, position, error, words):
    network = read(tiny(), 16, "none")
    with pytest.raises(error, match=words):
        effective_field(network, layer, unit, torch.zeros(shape), position)

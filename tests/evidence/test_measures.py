from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from peek_widget import Channel, Direction, Logit, Neuron, PeekError, render
from peek_widget.ascent import Recipe
from peek_widget.ascent.still import ShownPicture
from peek_widget.errors import LayerError
from peek_widget.evidence import measures
from peek_widget.evidence.measures import (
    DatasetStatistics,
    agreement,
    as_seen,
    dataset_statistics,
    measure,
    rank,
    retrieval,
    robust_activation,
    score,
)
from peek_widget.network import Network, read
from tests.networks import Fixed, shared, squeezenet, tiny

PEEK, OYGARD = Recipe.preset("peek"), Recipe.preset("oygard-2016")


class Spot(nn.Module):
    """Unit 0 looks for a white dot of 3 px on black, unit 1 for a black one on white, unit 2 for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.spot = nn.Conv2d(1, 3, 9, stride=2)
        y, x = torch.meshgrid(torch.arange(9) - 4, torch.arange(9) - 4, indexing="ij")
        dot = torch.where(y.square() + x.square() <= 4, 1.0, -1.0)
        with torch.no_grad():
            self.spot.weight.copy_(torch.stack([dot, -dot, torch.zeros(9, 9)])[:, None])
            self.spot.bias.copy_(torch.tensor([-5.0, 5.0, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.spot(x)).amax(dim=(2, 3))


def dotted(side: int = 32, at: tuple[int, int] = (12, 16), radius: float = 2.0) -> Tensor:
    y, x = torch.meshgrid(torch.arange(side) - at[0], torch.arange(side) - at[1], indexing="ij")
    return (y.square() + x.square() <= radius**2).float()[None]


@pytest.fixture(scope="module")
def spots() -> Network:
    return read(Spot(), 32, "none")


# Activations


def test_the_best_position_before_the_relu_counts(spots: Network) -> None:
    found = measure(spots, Neuron("spot", 0), dotted())
    # 13 white pixels by the dot's weights, less the bias: by hand.
    assert found.activation == pytest.approx(13.0 - 5.0, abs=1e-4)
    assert found.code.tolist() == pytest.approx([8.0, -8.0, 1.0], abs=1e-4)
    # Below zero it is not cut off.
    assert measure(spots, Neuron("spot", 0), torch.ones(1, 32, 32)).activation < -30.0


def test_a_drawn_picture_covers_the_receptive_field(spots: Network) -> None:
    large = dotted(144, (72, 72), 36.0)  # the dot 16 times as large: 9 px of field to 144 px of picture
    filling = measure(spots, Neuron("spot", 0), large, PEEK)
    assert filling.activation > 1.0  # less than 8, as its border has become soft
    assert measure(spots, Neuron("spot", 0), large, OYGARD).activation < -4.9
    assert as_seen(spots, Neuron("spot", 0), large, PEEK).shape == (1, 9, 9)
    assert as_seen(spots, Neuron("spot", 0), large, OYGARD).shape == (1, 144, 144)
    # A real image is shown at the network's input size.
    assert as_seen(spots, Neuron("spot", 0), large).shape == (1, 32, 32)
    # Of a texture all is shown as it is.
    assert measure(spots, Channel("spot", 0), large, PEEK).activation < -4.9
    assert as_seen(spots, Channel("spot", 0), large, PEEK).shape == (1, 144, 144)


@pytest.mark.parametrize("name", ["oygard-2016", "lucid-2017", "peek"])
@pytest.mark.parametrize("size", [32, 41])
def test_a_picture_is_placed_at_the_position_that_it_was_drawn_for(name: str, size: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 9, stride=8), nn.ReLU())  # a coarse grid: 3 px beside a place is far off
    with torch.no_grad():
        model[0].weight[0] = dotted(9, (4, 4), 1.5) - 0.3
    network = read(model, 32, "none")
    recipe = Recipe.preset(name).replace(steps=60)
    result = render(network, Neuron("0", 0), recipe, size=size)
    found = measure(network, Neuron("0", 0), result.images[0], recipe)
    reached = float(result.history[-8:].mean())
    assert found.activation > reached - 0.2 * abs(reached)


def test_pictures_of_maco_are_placed_at_the_mean_scale_of_their_crops() -> None:
    recipe = Recipe.preset("maco-2023")
    network = read(tiny(), 32)
    for objective in (Neuron("forms", 0), Logit(1)):
        assert as_seen(network, objective, torch.rand(3, 64, 64), recipe).shape[-1] == round(32 / 0.275)
    picture = torch.zeros(3, 64, 64)
    picture[:, 23:41, 23:41] = torch.rand(3, 18, 18)  # the network is shown the middle
    only = measure(network, Logit(1), picture, recipe).activation
    picture[:, :20] = 1.0
    assert measure(network, Logit(1), picture, recipe).activation == pytest.approx(only, abs=1e-4)


def test_the_same_rule_for_pictures_and_photographs(spots: Network) -> None:
    images = torch.stack([dotted(at=(8, 8)), dotted(at=(20, 12)), torch.zeros(1, 32, 32), torch.ones(1, 32, 32)])
    statistics = dataset_statistics(spots, images, ["spot"])["spot"]
    each = [measure(spots, Neuron("spot", 0), image).activation for image in images]
    assert statistics.count == 4
    assert float(statistics.best[0]) == pytest.approx(max(each), abs=1e-4)
    with torch.no_grad():
        values = spots.run(images, ["spot"])["spot"].transpose(0, 1).flatten(1)
    assert torch.allclose(statistics.mean, values.mean(1), atol=1e-4)
    assert torch.allclose(statistics.deviation, values.std(1, correction=0), atol=1e-3)
    batches = dataset_statistics(spots, iter([images[:3], images[3:]]), ["spot"])["spot"]
    assert torch.allclose(batches.best, statistics.best)
    assert torch.allclose(batches.deviation, statistics.deviation, atol=1e-4)


def test_photographs_of_any_size_are_cut_to_the_networks(spots: Network) -> None:
    wide = torch.zeros(1, 1, 64, 200)
    wide[..., :60] = 1.0  # outside of the middle square
    assert float(dataset_statistics(spots, wide, ["spot"])["spot"].best[0]) == pytest.approx(-5.0, abs=1e-3)


def test_a_class_is_its_score_before_a_last_relu(spots: Network) -> None:
    white = measure(spots, Logit(0), torch.ones(1, 32, 32)).activation
    assert white == pytest.approx(13.0 - 68.0 - 5.0, abs=1e-3)  # 81 weights: 13 of 1, 68 of -1
    assert measure(spots, Logit(0), torch.ones(1, 77, 77)).activation == pytest.approx(white, abs=1e-3)


def test_a_unit_that_depends_on_single_pixels_is_not_robust() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 15, padding=7), nn.ReLU())
    y, x = torch.meshgrid(torch.arange(15), torch.arange(15), indexing="ij")
    checks, blob = ((y + x) % 2 * 2.0 - 1.0), torch.exp(-((y - 7) ** 2 + (x - 7) ** 2) / 40.0) - 0.3
    with torch.no_grad():
        model[0].weight.copy_(torch.stack([checks, blob])[:, None].expand(-1, 3, -1, -1))
        model[0].bias.zero_()
    network = read(model, 32, "none")
    pictures = [(w[None, None].repeat(1, 3, 3, 3)[..., :32, :32] * 0.5 + 0.5).clamp(0, 1)[0] for w in (checks, blob)]
    share = []
    for unit, picture in enumerate(pictures):
        found = measure(network, Neuron("0", unit), picture)
        share.append(found.robust / found.activation)
        assert found.robust == robust_activation(network, Neuron("0", unit), picture)
    assert share[0] < 0.35 < 0.7 < share[1] <= 1.05


def test_the_robust_views_are_within_the_documented_ranges(spots: Network) -> None:
    views = measures._robust_views()
    assert views.shape == (measures.ROBUST_VIEWS, 4) == (32, 4)
    low, high = views.amin(0), views.amax(0)
    assert 0.8 <= low[0] < 0.85 < 1.15 < high[0] <= 1.2
    assert -10.0 <= low[1] < -8.0 < 8.0 < high[1] <= 10.0
    for shift in (2, 3):
        assert -0.08 <= low[shift] < -0.065 < 0.065 < high[shift] <= 0.08
    torch.manual_seed(5)
    assert torch.equal(views, measures._robust_views())


def test_a_view_shifts_rotates_and_magnifies_the_picture() -> None:
    views_of = ShownPicture(dotted(65, (32, 32), 4.0)[None], 65, (0.0, 0.0))

    def centroid(*view: float) -> tuple[float, float, float]:
        seen = views_of(torch.tensor([view]))[0, 0]
        y, x = torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij")
        return float((seen * y).sum() / seen.sum()), float((seen * x).sum() / seen.sum()), float(seen.sum())

    y, x, area = centroid(1.0, 0.0, 0.0, 0.0)
    assert (y, x) == pytest.approx((32, 32), abs=0.01)
    y, x, moved = centroid(1.0, 0.0, 0.1, -0.2)
    assert (y, x) == pytest.approx((38.5, 19), abs=0.1)
    assert moved == pytest.approx(area, rel=0.05)
    assert centroid(1.2, 0.0, 0.0, 0.0)[2] == pytest.approx(1.44 * area, rel=0.08)
    off = ShownPicture(dotted(65, (32, 48), 4.0)[None], 65, (0.0, 0.0))
    seen = off(torch.tensor([[1.0, 90.0, 0.0, 0.0]]))[0, 0]
    assert float(seen[:24].sum()) > 0.9 * area  # from the right to the top


def test_measuring_is_the_same_every_time_and_in_any_grad_context() -> None:
    network = read(tiny(), 32)
    picture = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    first = measure(network, Neuron("forms", 2), picture, PEEK)
    with torch.inference_mode():
        second = measure(network, Neuron("forms", 2), picture, PEEK)
    assert (first.activation, first.robust) == (second.activation, second.robust)
    assert math.isfinite(first.robust)


def test_a_network_of_one_size_is_measured_at_it() -> None:
    network = read(Fixed(), 16)
    picture = torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(0))
    small = nn.functional.interpolate(picture[None], size=(16, 16), mode="bilinear", antialias=True)
    with torch.no_grad():
        direct = network.run(network.preprocess(small), [""])[""]
    assert measure(network, Logit(1), picture).activation == pytest.approx(float(direct[0, 1]), abs=1e-5)


# Ranks and similarity

FLAT = DatasetStatistics(9, torch.zeros(4), torch.tensor([0.0, 10.0, 0.0, 5.0]), torch.tensor([1.0, 10.0, 0.5, 0.0]))


def test_the_rank_is_by_z_scores_and_not_by_activation() -> None:
    code = torch.tensor([3.0, 25.0, 2.0, 99.0])  # 3, 1.5 and 4 deviations; the last never changes
    assert [rank(code, unit, FLAT) for unit in range(4)] == [2, 3, 1, 4]


def test_agreement_leaves_the_unit_itself_out() -> None:
    statistics = DatasetStatistics(9, torch.zeros(4), torch.zeros(4), torch.ones(4))
    one, other = torch.tensor([50.0, 1.0, 0.0, 2.0]), torch.tensor([50.0, -1.0, 0.0, -2.0])
    assert agreement(one, one, 0, statistics) == pytest.approx(1.0)
    assert agreement(one, other, 0, statistics) == pytest.approx(-1.0)
    codes = torch.eye(4)
    assert retrieval(codes, codes, statistics) == 1.0
    assert retrieval(codes, codes[[1, 0, 2, 3]], statistics) == 0.5


def test_drawn_pictures_are_scored() -> None:
    network = read(tiny(), 32)
    images = 0.3 + 0.4 * torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    statistics = dataset_statistics(network, images, ["forms", ""])
    objectives = [Neuron("forms", 2), Neuron("forms", 5), Neuron("forms", 7)]
    recipe = Recipe.preset("peek").replace(steps=40)
    drawn, again = (render(network, objectives, recipe, seed=seed, size=32).images for seed in (0, 1))
    scores = score(network, objectives, drawn, statistics, recipe, others=again)
    for objective, one in zip(objectives, scores, strict=True):
        assert one.exceeds_best
        assert one.best == float(statistics["forms"].best[objective.unit])
        assert one.activation_ratio == pytest.approx(one.activation / one.best) or one.best <= 0.0
        assert one.rank == 1
        robust = robust_activation(network, objective, drawn[objectives.index(objective)], recipe)
        assert one.robustness == pytest.approx(robust / one.activation)
        assert 0.3 < one.robustness < 1.0
        assert one.agreement > 0.3
        assert one.flaw == ""
    broken = drawn.clone()
    broken[0, 0, 3, 3] = math.nan
    broken[1] = 0.5
    flaws = score(network, objectives, broken, statistics, recipe)
    assert [one.flaw for one in flaws] == ["nan", "gray", ""]
    assert (flaws[0].exceeds_best, flaws[0].rank) == (False, 8)
    assert math.isnan(flaws[0].robustness)
    assert not flaws[1].exceeds_best
    assert math.isnan(flaws[2].agreement)


def test_what_cannot_be_scored_is_refused_in_a_sentence() -> None:
    network = read(tiny(), 32)
    picture = torch.rand(1, 3, 32, 32)
    statistics = dataset_statistics(network, picture, ["forms"])
    with pytest.raises(PeekError, match="not a single unit"):
        score(network, [Direction("forms", [1.0] * 8)], picture, statistics)
    with pytest.raises(PeekError, match="There are no statistics of layer 'edges'"):
        score(network, [Neuron("edges", 0)], picture, statistics)
    with pytest.raises(PeekError, match="2 objectives for 1 pictures"):
        score(network, [Neuron("forms", 0)] * 2, picture, statistics)
    with pytest.raises(PeekError, match="1 objectives for 1 pictures and 2 others: give as many of each"):
        score(network, [Neuron("forms", 0)], picture, statistics, others=torch.rand(2, 3, 32, 32))
    with pytest.raises(PeekError, match="at least one"):
        dataset_statistics(network, [], ["forms"])
    with pytest.raises(LayerError):
        dataset_statistics(network, picture, ["nowhere"])
    for wrong in (torch.rand(3, 0, 30), torch.rand(1, 32, 32), torch.rand(1, 3, 32, 32)):
        with pytest.raises(PeekError, match=r"\[3, H, W\]"):
            measure(network, Neuron("forms", 0), wrong)


# The picture alone


@pytest.mark.slow
def test_a_drawn_unit_of_the_real_network_exceeds_the_best_photograph() -> None:
    network = read(squeezenet())
    paths = sorted((shared() / "data" / "imagenet-samples").glob("*.jpg"))[::10]
    images = torch.stack([torch.from_numpy(np.array(Image.open(p).convert("RGB"))).permute(2, 0, 1) for p in paths])
    statistics = dataset_statistics(network, images / 255.0, ["features.5"])
    objectives = [Neuron("features.5", unit) for unit in (172, 55)]
    pictures = render(network, objectives, "peek").images
    for one in score(network, objectives, pictures, statistics, PEEK):
        assert one.exceeds_best
        assert one.flaw == ""
        assert one.rank <= 3
        assert one.robustness > 0.4

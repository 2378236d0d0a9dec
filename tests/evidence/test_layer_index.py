"""What is kept of a stream of activations is what sorting them all would give."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peek_widget.evidence.layer_index import SAMPLED, Histogram, LayerIndex, sample

SHARES = torch.tensor([0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0])


def activations(images: int, units: int, height: int, width: int, seed: int, coarse: bool) -> torch.Tensor:
    """Random maps; the coarse ones hold few different values, so that there are equals."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(images, units, height, width, generator=generator)
    return (values * 2).round() / 2 if coarse else values


def sorted_out(values: torch.Tensor, unit: int, k: int, sign: int, per_image: bool) -> list[tuple[float, int, int]]:
    """(activation, image, place) of the best, by sorting everything."""
    rows = []
    for image, one in enumerate(values[:, unit].flatten(1).tolist()):
        found = [(value, image, place) for place, value in enumerate(one) if math.isfinite(value)]
        if len(found) < len(one):
            continue  # an image with a number that is none tells nothing about the unit
        rows += [min(found, key=lambda r: (-sign * r[0], r[2]))] if per_image else found
    return sorted(rows, key=lambda r: (-sign * r[0], r[1], r[2]))[:k]


def kept(index: LayerIndex, unit: int, side: str) -> list[tuple[float, int, int]]:
    extremes = getattr(index, side)
    rows = zip(
        extremes.value[unit].tolist(), extremes.image[unit].tolist(), extremes.position[unit].tolist(), strict=True
    )
    return [row for row in rows if row[1] >= 0]


def filled(values: torch.Tensor, order: list[int], batch: int, k: int, per_image: bool = True) -> LayerIndex:
    index = LayerIndex(values.shape[1], tuple(values.shape[2:]), k, per_image)
    for start in range(0, len(order), batch):
        part = torch.tensor(order[start : start + batch])
        index.update(values[part], part)
    return index


def everything(index: LayerIndex) -> list[torch.Tensor]:
    found = [getattr(e, p) for e in (index.top, index.bottom) for p in ("value", "image", "position")]
    return [*found, index.positions.count, index.best.count, index.active, index.counted]


@st.composite
def streams(draw):
    images, units = draw(st.integers(1, 24)), draw(st.integers(1, 4))
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    values = activations(images, units, height, width, draw(st.integers(0, 999)), draw(st.booleans()))
    if draw(st.booleans()):
        values[draw(st.integers(0, images - 1)), draw(st.integers(0, units - 1)), 0, 0] = draw(
            st.sampled_from([math.nan, math.inf, -math.inf])
        )
    return values, draw(st.permutations(range(images))), draw(st.integers(1, images)), draw(st.integers(1, 9))


@given(streams(), st.booleans())
def test_the_stream_keeps_what_sorting_everything_gives_in_any_order_and_batches(stream, per_image):
    values, order, batch, k = stream
    index = filled(values, list(order), batch, k, per_image)
    for unit in range(values.shape[1]):
        assert kept(index, unit, "top") == sorted_out(values, unit, k, 1, per_image)
        assert kept(index, unit, "bottom") == sorted_out(values, unit, k, -1, per_image)
        whole = values[:, unit].flatten(1)
        whole = whole[whole.isfinite().all(dim=1)]
        assert index.counted[unit] == whole.numel()
        assert index.active[unit] == (whole > 0).sum()


@given(streams())
def test_nothing_depends_on_the_order_or_the_batches(stream):
    values, order, batch, k = stream
    one, other = filled(values, list(order), batch, k), filled(values, sorted(order), len(order), k)
    assert all(torch.equal(a, b) for a, b in zip(everything(one), everything(other), strict=True))


@given(streams(), st.integers(0, 24))
def test_merging_two_halves_gives_the_whole(stream, cut):
    values, order, batch, k = stream
    first = filled(values, list(order[:cut]), batch, k)
    first.merge(filled(values, list(order[cut:]), batch, k))
    whole = filled(values, list(order), batch, k)
    assert all(torch.equal(a, b) for a, b in zip(everything(first), everything(whole), strict=True))


def test_update_says_which_images_are_among_the_crops():
    index = LayerIndex(1, (1, 1), 1)
    assert index.update(torch.tensor([[3.0], [1.0], [2.0]]), torch.arange(3)).tolist() == [True, True, False]
    assert index.update(torch.tensor([[2.5], [9.0]]), torch.tensor([3, 4])).tolist() == [False, True]


@pytest.mark.parametrize(
    ("make", "place"),
    [
        pytest.param(lambda g: torch.randn(200_000, generator=g) * 3 + 1, "normal", id="normal"),
        pytest.param(lambda g: torch.randn(200_000, generator=g).exp() * 500, "log-normal", id="log-normal"),
        pytest.param(lambda g: -torch.rand(200_000, generator=g) * 1e-2, "small", id="small and negative"),
        pytest.param(lambda g: torch.relu(torch.randn(200_000, generator=g)), "relu", id="half of it zero"),
    ],
)
def test_quantiles_are_near_the_exact_ones(make, place):
    values = make(torch.Generator().manual_seed(0))
    histogram = Histogram(1)
    for part in values.split(7_001):
        histogram.add(part[:, None])
    low, high = float(values.min()), float(values.max())
    mine = histogram.quantiles(0, SHARES, low, high)
    exact = values.sort().values[((len(values) - 1) * SHARES.double()).round().long()]
    # A bin is 1/16 wide at most; in a smooth spread a value is found far more finely than its bin.
    assert torch.equal(mine[[0, -1]], exact[[0, -1]])
    assert bool(((mine - exact).abs() <= 0.01 * exact.abs() + 1e-4).all()), (mine, exact)
    for share, value in zip(SHARES.tolist(), exact.tolist(), strict=True):
        below = float((values < value).float().mean())
        assert abs(histogram.share_below(0, value, low, high) - below) < 0.01, share


@given(st.lists(st.floats(-3e5, 3e5, width=32), min_size=1, max_size=40))
def test_a_value_is_counted_in_the_bin_that_holds_it(values):
    histogram = Histogram(1)
    histogram.add(torch.tensor(values)[:, None])
    edges = Histogram.edges()
    assert histogram.count.sum() == len(values)
    assert bool((edges[1:] > edges[:-1]).all())
    for value in values:
        one = Histogram(1)
        one.add(torch.tensor([[value]]))
        at = int(one.count.argmax())
        inside = edges[at] <= value <= edges[at + 1]
        assert inside or (at in (0, Histogram.BINS - 1) and abs(value) >= 2**Histogram.HIGHEST)


def test_values_that_are_not_finite_are_not_counted():
    histogram = Histogram(2)
    histogram.add(torch.tensor([[math.nan, 1.0], [math.inf, 2.0]]))
    assert histogram.count.sum(dim=1).tolist() == [0, 2]
    assert math.isnan(float(histogram.quantiles(0, torch.tensor([0.5]), 0.0, 1.0)))


def test_quantiles_of_sampled_positions_are_near_those_of_all():
    generator = torch.Generator().manual_seed(0)
    # A map with a gradient from side to side: places in a row would not do.
    values = torch.randn(400, 1, 20, 20, generator=generator) + torch.linspace(-3, 3, 20)
    index = filled(values, list(range(400)), 32, 3)
    assert int(index.positions.count.sum()) == 400 * SAMPLED
    mine = index.positions.quantiles(0, SHARES[1:-1], -99.0, 99.0)
    exact = torch.quantile(values.flatten(), SHARES[1:-1])
    assert bool(((mine - exact).abs() < 0.2).all()), (mine, exact)
    places = torch.arange(400.0).expand(2, 400)[..., None]
    picked = sample(places, torch.tensor([0, 7]))[..., 0]
    assert bool((picked.diff(dim=1) > 10).all()), "spread over the whole map"
    assert not torch.equal(picked[0], picked[1])


def test_memory_does_not_grow_with_the_images():
    index = LayerIndex(8, (4, 4), 5)
    sizes = []
    for start in range(0, 640, 64):
        index.update(torch.randn(64, 8, 4, 4), torch.arange(start, start + 64))
        sizes.append(sum(t.numel() for t in everything(index)))
    assert len(set(sizes)) == 1

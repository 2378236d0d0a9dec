"""Histograms by group: whole numbers that depend on nothing but the images, and scores near the exact ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peek_widget.evidence.group_histogram import BINS, GroupHistogram, scores

FLOATS = st.one_of(
    st.floats(-100, 100, width=32),
    st.floats(width=32),
    st.sampled_from([0.0, 1.0, -3e-8, 2e-8, 5e8, math.nan, math.inf, -math.inf]),
)


@st.composite
def _images(draw):
    count = draw(st.integers(1, 30))
    values = draw(st.lists(st.tuples(FLOATS, FLOATS), min_size=count, max_size=count))
    rows = draw(
        st.lists(st.lists(st.integers(0, 2), max_size=3, unique=True).map(tuple), min_size=count, max_size=count)
    )
    return torch.tensor(values), rows, draw(st.permutations(range(count))), draw(st.integers(0, count))


def filled(values: torch.Tensor, rows: list, numbers) -> GroupHistogram:
    found = GroupHistogram(values.shape[1])
    for number in numbers:
        found.add(values[number : number + 1], [rows[number]])
        if number % 3 == 0:
            found.parts()
    return found


@settings(max_examples=40)
@given(_images())
def test_counts_depend_neither_on_the_order_nor_on_how_images_are_divided(images):
    values, rows, order, cut = images
    whole = GroupHistogram(2)
    whole.add(values, rows)
    count, exponent, first = whole.parts()
    merged = filled(values, rows, order[:cut])
    merged.merge(filled(values, rows, order[cut:]), [0, 1, 2])
    for parts in (filled(values, rows, order).parts(), merged.parts()):
        assert torch.equal(parts[1], exponent)
        assert torch.equal(parts[2], first)
        assert torch.equal(parts[0], count) or parts[0].shape != count.shape
        assert torch.equal(parts[0].sum(2).sum(0)[: count.shape[1]], count.sum(2).sum(0)[: parts[0].shape[1]])
    again = GroupHistogram.of(*(one.clone() for one in whole.parts()))
    again.merge(whole, [0, 1, 2])
    assert torch.equal(again.parts()[0], 2 * count)


@settings(max_examples=40)
@given(_images())
def test_a_value_is_counted_in_the_bin_that_holds_it(images):
    values, rows, _, _ = images
    found = GroupHistogram(2)
    found.add(values, rows)
    count, exponent, first = found.parts()
    for unit in range(2):
        width = 2.0 ** float(exponent[unit])
        expected = np.zeros((4, BINS), int)
        for value, row in zip(values[:, unit].double().tolist(), rows, strict=True):
            if math.isfinite(value):
                value = min(max(value, -(2.0**28)), 2.0**28)
                for group in (0, *(one + 1 for one in row)):
                    expected[group, math.floor(value / width) - int(first[unit])] += 1
        at = count[unit].numpy()
        assert (expected[: len(at)] == at).all()
        finite = values[:, unit][values[:, unit].isfinite()]
        if len(finite) and float(finite.max() - finite.min()) > 1e-4:
            used = int((at[0] > 0).nonzero()[0].max()) + 1
            assert used > BINS // 4, "no wider than is needed"


def test_scores_are_near_the_exact_ones():
    chance = np.random.default_rng(0)
    inside = chance.random((6, 2000)) < np.array([[0.02], [0.1], [0.1], [0.3], [0.5], [0.0]])
    apart = np.array([3.0, 2.0, 0.0, 1.0, -1.0, 0.0])[:, None]
    values = torch.tensor(chance.normal(size=(6, 2000)) + apart * inside)
    found = GroupHistogram(6)
    count = torch.zeros(6, 2, BINS)
    for unit in range(6):
        one = GroupHistogram(1)
        one.add(values[unit, :, None].float(), [(0,) if member else () for member in inside[unit]])
        parts = one.parts()[0][0]
        count[unit, : len(parts)] = parts
    found = scores(count[:, 0], count[:, 1])
    for unit in range(5):
        order = np.argsort(-values[unit].numpy())
        hits = np.cumsum(inside[unit][order])
        taken = np.arange(1, 2001)
        precision = (hits / taken)[inside[unit][order]].mean()
        f1 = (2 * hits / (taken + hits[-1])).max()
        assert float(found.auprc[unit]) == pytest.approx(precision, abs=0.03), unit
        assert float(found.f1[unit]) == pytest.approx(f1, abs=0.03), unit
        assert float(found.pearson[unit]) == pytest.approx(np.corrcoef(values[unit], inside[unit])[0, 1], abs=0.01), (
            unit
        )
        assert float(found.share[unit]) == inside[unit].mean()
    assert all(math.isnan(float(one[5])) for one in found[:3]), "nothing is in it"
    assert float(found.auprc[2]) == pytest.approx(0.1, abs=0.03), "by chance its share"


def test_a_unit_that_tells_perfectly_has_ones():
    every, inside = torch.zeros(1, BINS), torch.zeros(1, BINS)
    every[0, [3, 60]] = torch.tensor([90.0, 10.0])
    inside[0, 60] = 10.0
    assert [float(one) for one in scores(every, inside)] == pytest.approx([1.0, 1.0, 1.0, 0.1])

"""Cohen's kappa between two people's tags."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peek_widget.errors import TagError
from peek_widget.sheet.agreement import agreement, kappa
from peek_widget.sheet.tags import Tags


def tagged(answers, word="dog"):
    tags = Tags()
    for unit, said in enumerate(answers):
        tags.replace("conv1", unit, *[word] * said)
    return tags


def table(both, first, second, neither):
    return (
        tagged([1] * both + [1] * first + [0] * second + [0] * neither),
        tagged([1] * both + [0] * first + [1] * second + [0] * neither),
    )


def test_the_worked_example():
    """Twenty yes by both, five and ten by one alone, fifteen no: 0.7 observed, 0.5 by chance."""
    one, other = table(20, 5, 10, 15)
    assert kappa(one, other, "conv1", "DOG") == pytest.approx(0.4)
    (part,) = agreement(one, other, "conv1")
    assert (part.both, part.first, part.second, part.neither) == (20, 5, 10, 15)
    assert str(part) == "dog: kappa 0.40; of 50 units both 20, only the first 5, only the second 10, neither 15"


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_kappa_equals_its_definition_by_categories(answers):
    one, other = tagged([a for a, _ in answers]), tagged([b for _, b in answers])
    n = len(answers)
    chance = sum(
        sum(a == category for a, _ in answers) * sum(b == category for _, b in answers) for category in (True, False)
    )
    found = kappa(one, other, "conv1", "dog")
    if chance == n * n:
        assert math.isnan(found)
    else:
        agreed = sum(a == b for a, b in answers)
        assert found == pytest.approx((agreed / n - chance / n**2) / (1 - chance / n**2), abs=1e-9)
    again = kappa(other, one, "conv1", "dog")
    assert again == pytest.approx(found, nan_ok=True)


def test_only_units_that_both_reviewed_count():
    one, other = tagged([1, 1, 0, 0]), tagged([1, 1, 0, 0])
    one.add("conv1", [10, 11, 12], "dog")
    other.mark_reviewed("conv1", [20, 21])
    assert kappa(one, other, "conv1", "dog") == 1.0
    assert agreement(one, other, "conv1")[0].units == 4
    assert math.isnan(kappa(one, other, "conv2", "dog"))


def test_several_words_are_pooled():
    one, other = table(20, 5, 10, 15)
    one.add("conv1", [0, 1, 30], "face")
    other.add("conv1", [0, 1, 49], "Face")
    parts = agreement(one, other, "conv1")
    assert [part.word for part in parts] == ["dog", "face"]
    po, pe = (sum(getattr(part, name) for part in parts) / 2 for name in ("observed", "expected"))
    assert kappa(one, other, "conv1") == pytest.approx((po - pe) / (1 - pe))
    assert kappa(one, other, "conv1", ["face", "FACE"]) == kappa(one, other, "conv1", "face")


def test_kappa_is_undefined_where_chance_agrees_wholly():
    one, other = table(9, 0, 0, 0)
    assert math.isnan(kappa(one, other, "conv1"))
    assert "undefined" in str(agreement(one, other, "conv1")[0])
    assert kappa(*table(1, 0, 0, 4000), "conv1") == 1.0
    assert math.isnan(kappa(Tags(), Tags(), "conv1"))
    with pytest.raises(TagError, match="a dict was given"):
        kappa({}, Tags(), "conv1")

from __future__ import annotations

import pytest
import torch

from peek_widget import Recipe, score_pictures, top_crops
from peek_widget.errors import PeekError, UnitError
from peek_widget.evidence.measures import dataset_statistics
from peek_widget.network import read
from peek_widget.zoo import Images, bundled

pytest.importorskip("pandas", reason="the survey's extra is not installed: pip install 'peek_widget[survey]'")

IMAGES = Images(56, seed=5)


@pytest.fixture(scope="module")
def network():
    return read(bundled())


@pytest.fixture(scope="module")
def evidence(network):
    return top_crops(network, "conv4", IMAGES, progress=False)


def test_statistics_are_those_of_all_activations(network, evidence) -> None:
    exact = dataset_statistics(network, torch.stack([image for image, _ in IMAGES]), ["conv4"])["conv4"]
    found = evidence.statistics()
    assert found.count == exact.count == 56
    assert torch.allclose(found.best, exact.best, rtol=1e-4, atol=1e-4)
    # Computed from the bins of a histogram of sampled positions.
    scale = exact.deviation.mean()
    assert float(((found.mean - exact.mean).abs() / scale).mean()) < 0.05
    assert float((found.deviation / exact.deviation).median()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
def test_the_table_has_a_row_for_each_unit(network, evidence) -> None:
    seen = []
    table = score_pictures(
        network, evidence, units=[3, 0, 7], size=64, progress=lambda done, total: seen.append((done, total))
    )
    assert table.index.tolist() == [3, 0, 7]
    assert list(table.columns) == [
        "activation",
        "best",
        "activation_ratio",
        "exceeds_best",
        "robustness",
        "rank",
        "flaw",
        "agreement",
    ]
    assert seen[-1] == (3, 3)
    assert (table["flaw"] == "").all()
    assert (table["rank"] <= 3).all()  # hardly any other unit responds more to its picture
    assert (table["activation_ratio"] > 1.0).all()
    assert table["exceeds_best"].all()
    assert table["robustness"].between(0.3, 1.3).all()
    assert table["agreement"].between(-1.0, 1.0).all()
    assert table["agreement"].mean() > 0.2


@pytest.mark.slow
def test_a_picture_drawn_in_one_step_is_worse(network, evidence) -> None:
    recipes = ("peek", Recipe().replace(steps=1))
    full, poor = (score_pictures(network, evidence, recipe, units=[3, 7], size=64) for recipe in recipes)
    assert (full["activation"] > poor["activation"]).all()
    assert full["activation_ratio"].mean() > 2.0 * poor["activation_ratio"].mean()


def test_what_is_not_possible_is_refused_in_a_sentence(network, evidence) -> None:
    with pytest.raises(UnitError, match="numbered 0 to"):
        score_pictures(network, evidence, units=[10_000])
    with pytest.raises(PeekError, match="two different numbers"):
        score_pictures(network, evidence, seeds=(1, 1))
    with pytest.raises(PeekError, match="of several layers take one"):
        score_pictures(network, {"conv4": evidence})


def test_evidence_of_other_weights_is_refused(evidence) -> None:
    other = bundled()
    with torch.no_grad():
        next(other.parameters()).mul_(1.01)
    with pytest.raises(PeekError, match="its weights have changed"):
        score_pictures(other, evidence, units=[0])

"""One rule for what a unit is drawn for, wherever it is drawn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from peek_widget import Channel, Logit, Neuron, compare, contact_sheet, score_pictures, top_crops
from peek_widget.ascent import unit_objective
from peek_widget.game import Guessing
from peek_widget.live.choices import objective_of, usual_kind
from peek_widget.live.snapshot import Target
from peek_widget.network import Network, read
from tests.networks import tiny
from tests.sheet.helpers import QUICK


@pytest.fixture(scope="module")
def vector() -> Network:
    return read(tiny())


@pytest.fixture(scope="module")
def mapped() -> Network:
    """A fully convolutional classifier: its classes are maps."""
    torch.manual_seed(0)
    return read(nn.Sequential(nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(6, 4, 1)), 32)


def test_a_unit_is_its_center_neuron_and_a_class_its_logit(vector: Network) -> None:
    assert unit_objective(vector, "forms", 3) == Neuron("forms", 3)
    assert unit_objective(vector, "forms", 3, "channel") == Channel("forms", 3)
    assert unit_objective(vector, "forms", 3, at=(1, 2)) == Neuron("forms", 3, (1, 2))
    for kind in (None, "neuron", "channel", "class"):
        assert unit_objective(vector, "", 3, kind) == Logit(3)


def test_a_class_that_is_a_map_is_drawn_alike_in_explorer_sheet_scores_comparison_and_game(
    mapped: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Neuron("", 2)
    kind = usual_kind(mapped.layer(""))
    assert objective_of(mapped, Target("", 2, objective=kind)) == expected
    sheet = contact_sheet(mapped, "", QUICK, units=[2], size=32).draw()
    assert sheet[2].drawing.objective == expected
    comparison = compare(mapped, "", 2, recipes=[QUICK, QUICK.replace(blur=1.0)], size=32)
    assert {entry.objective for entry in comparison.entries} == {expected}

    drawn = []
    images = [torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(n)) for n in range(40)]
    crops = top_crops(mapped, "", images, k=18)
    for module in ("peek_widget.evidence.scores", "peek_widget.game.rules"):
        real = __import__(module, fromlist=["render"]).render

        def spy(network, objective, *args, real=real, **kwargs):
            drawn.extend(objective if isinstance(objective, list) else [objective])
            return real(network, objective, *args, **kwargs)

        monkeypatch.setattr(f"{module}.render", spy)
    score_pictures(mapped, crops, units=[2], recipe=QUICK, size=32)
    Guessing(mapped, crops, units=[2], show="drawn", recipe=QUICK)  # asks its first question
    assert len(drawn) == 3
    assert set(drawn) == {expected}

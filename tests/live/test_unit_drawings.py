"""Drawn pictures of units beside the run: which are found, which are drawn, and which are forgotten."""

from __future__ import annotations

import pytest
import torch

from peek_widget.ascent import Recipe
from peek_widget.errors import FileError
from peek_widget.live import unit_drawings
from peek_widget.live.sheet_cache import SheetCache, SheetKey
from peek_widget.live.unit_drawings import UnitDrawings
from peek_widget.network import read
from peek_widget.network.fingerprint import fingerprint
from peek_widget.sheet import Tags
from tests.networks import tiny

LAYER = "forms"


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setattr(unit_drawings, "RECIPE", Recipe.preset("peek-fast").replace(steps=6, n_views=1))
    return read(tiny(), input_size=32)


def test_a_unit_is_drawn_once_and_again_with_other_weights(network) -> None:
    drawings = UnitDrawings(lambda *_: None)
    assert drawings.use(network)
    assert drawings.find(LAYER, 2) is None
    shown = [picture for _, picture in drawings.draw(network, LAYER, 2) if picture is not None]
    assert len(shown) == 2, "one in advance, and the finished one"
    assert drawings.find(LAYER, 2) == shown[-1]
    assert drawings.tensor(LAYER, 2).shape[0] == 3
    assert not drawings.use(network)
    with torch.no_grad():
        next(network.model_copy.original.parameters()).mul_(2)
    assert drawings.use(network)
    assert drawings.find(LAYER, 2) is None
    assert drawings.tensor(LAYER, 2) is None


def test_one_that_is_given_up_is_not_kept(network) -> None:
    drawings = UnitDrawings(lambda *_: None)
    run = drawings.draw(network, LAYER, 2)
    for _ in range(5):
        next(run)
    del run
    assert drawings.find(LAYER, 2) is None


def test_of_a_sheet_what_is_finished_is_taken_and_a_preview_is_not(network) -> None:
    sheets, weights = SheetCache(lambda: network, Tags()), fingerprint(network)
    key = SheetKey(LAYER, Recipe.preset("peek").replace(steps=48), size=32)
    drawings = UnitDrawings(lambda layer, unit, weights: sheets.picture(key, unit, weights))
    drawings.use(network)
    sheet = sheets.get(key, service_thread=True)
    while sheet.scheduler.previewing:
        sheet.scheduler.step()
    unit = next(iter(sheet.sheet.drafts))
    assert sheet.thumbnail(unit) is not None
    assert drawings.find(LAYER, unit) is None
    while sheet.scheduler.pending:
        sheet.scheduler.step()
    assert drawings.find(LAYER, unit) == sheet.thumbnail(unit)[1]
    # with another recipe and seed the layer's sheet is another, and this picture is still one of the unit
    assert sheets.picture(SheetKey(LAYER, "peek", seed=3), unit, weights) == sheet.thumbnail(unit)[1]
    assert sheets.picture(key, unit, "other weights") is None


def test_a_store_that_cannot_be_read_keeps_no_unit_from_being_drawn(network) -> None:
    def unreadable(*_):
        raise FileError("broken")

    drawings = UnitDrawings(unreadable)
    drawings.use(network)
    assert drawings.find(LAYER, 2) is None
    for _ in drawings.draw(network, LAYER, 2):
        pass
    assert drawings.find(LAYER, 2) is not None

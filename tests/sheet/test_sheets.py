"""The contact sheet as a mapping: its call, its progress bar, saving and loading."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from peek_widget.ascent import to_pil
from peek_widget.errors import NotDrawnError, PeekError, SheetStoreError
from peek_widget.sheet import ContactSheet, Tags, contact_sheet
from tests.networks import tiny
from tests.sheet.helpers import QUICK, on_disk, pngs, sheet


def test_model_layer_and_recipe_are_positional_and_the_rest_is_named():
    parameters = inspect.signature(contact_sheet).parameters.values()
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == ["model", "layer", "recipe"]


def test_a_layer_may_be_given_as_a_module():
    model = tiny()
    assert sheet(model=model, layer=model.forms).layer == "forms"


def test_a_unit_that_is_not_drawn_says_why_not():
    drawn = sheet(units=[1, 2])
    for unit, words in ((5, "not on this sheet"), (1, r"call sheet\.draw")):
        with pytest.raises(NotDrawnError, match=words):
            drawn[unit]
        assert unit not in drawn


def test_a_picture_is_there_for_pillow_and_as_a_tensor():
    unit = sheet(units=[1]).draw()[1]
    assert unit.tensor.shape == (3, 32, 32)
    assert unit.tensor.dtype == torch.float32
    assert np.array_equal(np.array(to_pil(unit.tensor)), np.array(unit.image))


def test_a_progress_bar_counts_the_units_and_can_be_silenced(capsys):
    sheet(units=range(4)).draw(progress=True)
    shown = capsys.readouterr().err
    assert "Drawing forms" in shown
    assert "4/4" in shown
    sheet(units=range(4)).draw(progress=False)
    sheet(units=range(4)).draw()  # sooner done than a bar is worth
    assert capsys.readouterr().err == ""


def test_a_sheet_is_saved_to_a_store_and_loaded_from_it(tmp_path):
    drawn = sheet(units=[0, 2], seed=3, size=40).draw()
    drawn.tags.add("forms", 2, "dog")
    drawn.save(tmp_path)
    assert len(on_disk(tmp_path)) == 2
    again = ContactSheet.load(tmp_path, tiny(), threads=1)
    assert pngs(again) == pngs(drawn)
    assert (again.layer, again.recipe, again.seed, again.size) == ("forms", QUICK, 3, 40)
    assert again.tags == drawn.tags
    assert len(again) == 8
    with pytest.raises(SheetStoreError, match="another sheet"):
        sheet(units=[0], seed=4).draw().save(tmp_path)


def test_a_store_of_another_model_or_of_no_sheet_is_not_loaded(tmp_path):
    with pytest.raises(SheetStoreError, match="holds no sheet"):
        ContactSheet.load(tmp_path, tiny())
    sheet(tmp_path, units=[0]).draw()
    other = tiny()
    with torch.no_grad():
        other.forms.weight[0] += 1.0
    with pytest.raises(SheetStoreError, match="other weights"):
        ContactSheet.load(tmp_path, other)
    (tmp_path / "sheet.json").write_text('{"format": 1, "layer": 3}')
    with pytest.raises(SheetStoreError, match=r"sheet\.json in the store .* can't be read"):
        ContactSheet.load(tmp_path, tiny())


def test_tags_that_are_given_are_shared_and_those_in_the_store_are_added(tmp_path):
    first = sheet(tmp_path, units=[0])
    first.tags.add("forms", 0, "dog")
    first.save()
    mine = Tags({"forms": {1: ["cat"]}})
    again = sheet(tmp_path, units=[0], tags=mine)
    assert again.tags is mine
    assert mine == Tags({"forms": {0: ["dog"], 1: ["cat"]}})


def test_a_sheet_without_a_store_has_nowhere_to_save():
    with pytest.raises(PeekError, match="no store"):
        sheet(units=[0]).save()

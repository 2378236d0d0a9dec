"""Files written before the redesign (commit b59fa5a) still open: one of each kind, in tests/data/b59fa5a."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from peek_widget import (
    Ascent,
    Channel,
    Direction,
    Logit,
    Neuron,
    Recipe,
    State,
    UnitExplorer,
    contact_sheet,
    load_evidence,
    load_recipe,
    zoo,
)

OLD = Path(__file__).parent / "data" / "b59fa5a"
FINGERPRINT = "56d2e8375751dd46"


PEEK = Recipe(
    name="peek", octaves=((150, 1.0),), param="fourier", optimizer="adam", sampling="crop", init_std=0.01,
    spectrum_power=1.1, step_size=0.05, jitter=0.05, total_variation=0.05, crop=(0.3, 1.2),
    field_crop=(0.9, 1.5), rotation=10.0, size=160,
)  # fmt: skip
OTHER_NUMBERS = {
    "peek": PEEK,
    "peek-fast": PEEK.replace(
        name="peek-fast", steps=72, size=224, step_size=0.15, crop=(0.8, 1.2), total_variation=0.01
    ),
}
"""Presets that had other numbers then: a file still draws what it drew."""


@pytest.mark.parametrize("name", sorted(Recipe.presets()))
def test_a_preset_written_as_json_is_the_preset(name: str) -> None:
    preset = Recipe.preset(name)
    if name.startswith("yosinski"):
        # The rates were then taken as they are, whatever the network's scale, and a file still draws what it drew.
        preset = preset.replace(mean_grad_norm=None, stretch=1.0)
    if name in OTHER_NUMBERS:
        preset = OTHER_NUMBERS[name]
    assert Recipe.from_json((OLD / "recipes" / f"{name}.json").read_text()) == preset


def test_every_field_of_a_recipe_is_read_under_its_old_name() -> None:
    old = Recipe.from_json((OLD / "recipes" / "odd.json").read_text())
    assert old != Recipe(name="odd", octaves=old.octaves)
    assert Recipe.from_json(old.to_json()) == old
    drawing = load_recipe(OLD / "every-field.png")
    assert (drawing.recipe, drawing.objective, drawing.seed, drawing.size) == (old, Neuron("conv4", 5), 4, 48)
    assert drawing.fingerprint == FINGERPRINT


def test_an_objective_in_a_png_is_read() -> None:
    width = zoo.bundled().conv5.out_channels if hasattr(zoo.bundled().conv5, "out_channels") else 112
    expected = (
        2 * Channel("conv4", 1) - Neuron("conv3", 2, at=(1, 2)) + Direction("conv5", torch.linspace(-1, 1, width))
    )
    drawing = load_recipe(OLD / "objective.png")
    assert drawing.objective == expected
    assert drawing.recipe == PEEK.replace(steps=4)
    assert load_recipe(OLD / "maco.png").objective == Logit(3)


def test_a_kept_run_goes_on() -> None:
    run = Ascent.resume(zoo.bundled(), State.load(OLD / "run.safetensors"))
    assert run.index == 4
    ended = (run.run().images.numpy() * 255).round()
    expected = np.load(OLD / "run-ends.npz")["images"].astype(float)
    # other processors round differently; a run that had begun anew would be far off
    assert np.abs(ended - expected).mean() < 2.0


def test_a_sheet_is_taken_up_from_its_store(tmp_path: Path) -> None:
    store = tmp_path / "sheet"
    shutil.copytree(OLD / "sheet", store)
    recipe = OTHER_NUMBERS["peek-fast"].replace(steps=3)
    sheet = contact_sheet(zoo.bundled(), "conv4", recipe, units=range(4), size=32, store=store)
    assert list(sheet.done) == [0, 1, 2, 3]
    assert sheet.problems == {}
    assert sheet.tags["conv4", 1] == ("dog",)


def test_evidence_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "evidence.safetensors"
    path.write_bytes(gzip.decompress((OLD / "evidence.safetensors.gz").read_bytes()))
    evidence = load_evidence(path)
    assert sorted(evidence) == ["", "conv1"]
    top = evidence["conv1"][3].top
    assert len(top) == 3
    assert top[0].activation >= top[1].activation
    assert top[0].label in set("abc")
    evidence["conv1"].check_model(zoo.bundled())


def test_an_explorer_is_made_again_from_its_state() -> None:
    explorer = UnitExplorer(zoo.bundled(), state=(OLD / "explorer.json").read_text())
    try:
        assert (explorer.layer, explorer.unit, explorer.seed, explorer.size) == ("conv4", 5, 7, 48)
        assert (explorer.blur, explorer.at, explorer.negative, explorer.playing) == (1.25, (1, 2), True, False)
        assert explorer.recipe == Recipe.from_json((OLD / "recipes" / "odd.json").read_text())
    finally:
        explorer.close()
    explorer = UnitExplorer(zoo.bundled(), state=(OLD / "explorer-preset.json").read_text())
    try:
        assert (explorer.layer, explorer.unit, explorer.recipe) == ("conv3", 2, "peek-fast")
    finally:
        explorer.close()

"""Pictures side by side and in step."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from peek_widget import Logit, Neuron, Recipe, compare, load_recipe, render
from peek_widget.comparison import figure
from peek_widget.errors import LayerError, PeekError, RecipeError, UnitError
from peek_widget.evidence import measures
from peek_widget.network import read

SHORT = Recipe.preset("peek").replace(steps=6, size=32)
OTHER = Recipe.preset("oygard-2016").replace(steps=15, size=40)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_each_picture_is_the_one_that_render_draws(model):
    found = compare(model, "2", 3, seeds=[0, 4, 9], recipe=SHORT).run()
    for seed, result in zip([0, 4, 9], found.results, strict=True):
        alone = render(model, Neuron("2", 3), SHORT, seed=seed)
        # one batch: equal to the last bit for three steps, and near from then on
        assert torch.allclose(result.images, alone.images, atol=0.02)
        assert torch.equal(result.history[:3, 0], alone.history[:3, 0])
        assert result.history.shape == (6, 1)


def test_pictures_of_several_recipes_are_those_of_render_to_the_last_bit(model):
    found = compare(model, "2", 3, recipes=[SHORT, OTHER], seed=2).run()
    for recipe, result in zip([SHORT, OTHER], found.results, strict=True):
        assert torch.equal(result.images, render(model, Neuron("2", 3), recipe, seed=2).images)


def test_seeds_and_units_go_as_one_batch_and_recipes_each_by_itself(model):
    assert len(compare(model, "2", 3, seeds=[0, 1], recipe=SHORT)._groups) == 1
    assert len(compare(model, "2", units=[3, 4], recipe=SHORT)._groups) == 1
    assert len(compare(model, "2", 3, recipes=[SHORT, OTHER])._groups) == 2


def test_after_each_step_all_have_had_the_same_share_of_their_run(model):
    found = compare(model, "2", 3, recipes=[SHORT, OTHER])
    assert found.total == 15
    for step in found:
        assert step.share == (step.index + 1) / 15
        for done, recipe in zip(step.steps, (SHORT, OTHER), strict=True):
            # at that share, or at most one step ahead of it: nobody waits at nothing
            assert 0 <= done - step.share * recipe.steps < 1 + 1e-6
    assert found.done
    assert found.steps == (6, 15)
    with pytest.raises(StopIteration):
        found.step()


def test_an_earlier_step_does_not_change(model):
    """Steps that are kept do not change when the run goes on."""
    first, *_, last = list(compare(model, "2", 3, seeds=[0, 1], recipe=SHORT))
    assert not torch.equal(first.images[0], last.images[0])
    assert first.captions == ("seed 0", "seed 1")
    assert all(math.isfinite(value) for value in first.activations)


def test_activations_are_measured_by_one_rule(model):
    found = compare(model, "2", 3, recipes=[SHORT, OTHER]).run()
    network = read(model)
    expected = [
        measures.still_activation(network, Neuron("2", 3), image, recipe)
        for image, recipe in zip(found.images, [SHORT, OTHER], strict=True)
    ]
    assert found.measured() == pytest.approx(expected)


def test_pictures_are_measured_before_their_last_octave(model):
    octaves = Recipe.preset("oygard-2016").replace(steps=24, size=48)
    found = compare(model, "2", 3, recipes=[SHORT, octaves])
    next(found)
    assert found.images[1].shape[-1] < 48
    assert all(map(math.isfinite, found.measured()))


def test_classes(model):
    found = compare(model, "", units=[1, 4], recipe=SHORT)
    assert found.captions == ("class 1", "class 4")
    assert found.entries[1].objective == Logit(4)


def test_a_unit_may_be_given_as_one_string(model):
    one, other = compare(model, "2:3", seeds=[0, 1]), compare(model, "2", 3, seeds=[0, 1])
    assert [entry.unit for entry in one.entries] == [entry.unit for entry in other.entries]
    with pytest.raises(PeekError, match='give "layer:unit"'):
        compare(model, "2:three", seeds=[0, 1])


def test_classes_go_by_their_names(model):
    named = nn.Sequential(model)
    named.class_names = ["ant", "bee", "cat", "dog", "eel"]
    assert compare(named, "", units=[1, 4], recipe=SHORT).captions == ("bee", "eel")
    assert compare(named, "0.2", units=[1, 4], recipe=SHORT).captions == ("unit 1", "unit 4")


def test_the_figure_of_a_comparison_that_was_not_begun_is_drawn_to_the_end(model, tmp_path):
    found = compare(model, "2", 3, recipes=[SHORT, OTHER])
    found.save(tmp_path / "figure.png", side=96)
    assert found.done
    picture = Image.open(tmp_path / "figure.png")
    assert picture.width > 2 * 96
    shown = Image.open(io.BytesIO(found._repr_png_()))
    assert shown.width > 2 * 320


def test_a_figure_of_a_begun_comparison_draws_no_further(model):
    found = compare(model, "2", 3, seeds=[0, 1], recipe=SHORT)
    next(found)
    found.figure()
    assert found.index == 1


def test_the_figure_holds_the_pictures_at_one_size():
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("L", (200, 200), 0)
    panel = np.asarray(figure([red, blue], ["a", "b"], [1.0, -2.0], side=100))
    assert (panel == [255, 0, 0]).all(-1).sum() == 100 * 100
    black = (panel == 0).all(-1)
    assert black.sum() == 100 * 100


def test_the_bars_are_on_one_scale():
    blank = [Image.new("RGB", (8, 8), "white")] * 3
    panel = np.asarray(figure(blank, ["", "", ""], [4.0, 2.0, math.nan], side=100)).astype(int)
    blue = (abs(panel - [0x35, 0x67, 0xC9]) < 3).all(-1)
    lengths = [int(blue[:, left : left + 108].any(0).sum()) for left in (0, 108, 216)]
    assert lengths == [100, 50 + 1, 0]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_a_figure_of_any_number(count):
    panel = figure([Image.new("RGB", (8, 8))] * count, ["x" * 200] * count, [1.0] * count, ["n"] * count, "t", side=64)
    columns = {2: 2, 3: 3, 4: 4, 5: 3, 6: 3}[count]
    assert panel.width == columns * 64 + (columns + 1) * 8


def test_letters_that_no_typeface_has_are_no_error():
    figure([Image.new("RGB", (8, 8))] * 2, ["Øygard \u2212 猫 <b>", "\x00\n"], [1.0, 2.0], title="ü" * 500, side=64)


def test_recipes_of_one_name_are_told_apart(model):
    found = compare(model, "2", 3, recipes=[SHORT, SHORT.replace(blur=1.5), OTHER])
    assert found.captions == ("peek, blur=0", "peek, blur=1.5", "oygard-2016")


def test_a_result_keeps_its_recipe(model, tmp_path):
    found = compare(model, "2", 3, seeds=[5, 6], recipe=SHORT).run()
    found.results[1].save(tmp_path / "one.png")
    drawing = load_recipe(tmp_path / "one.png")
    assert (drawing.objective, drawing.recipe, drawing.seed) == (Neuron("2", 3), SHORT, 6)


def test_an_interrupted_comparison_keeps_its_pictures(model):
    def stop(step):
        if step.index == 2:
            raise KeyboardInterrupt

    found = compare(model, "2", 3, seeds=[0, 1], recipe=SHORT).run(stop)
    assert found.interrupted
    assert found.index == 3
    assert found.results[0].interrupted


@pytest.mark.parametrize(
    ("error", "words", "options"),
    [
        (PeekError, "one thing", {}),
        (PeekError, "one thing", {"seeds": [0, 1], "units": [1, 2]}),
        (PeekError, "give 2 to 6", {"seeds": [0]}),
        (PeekError, "give 2 to 6", {"seeds": range(7)}),
        (PeekError, "list of 2 to 6", {"recipes": "peek"}),
        (PeekError, "list of 2 to 6", {"seeds": 3}),
        (PeekError, "twice", {"recipes": ["peek", "peek"]}),
        (RecipeError, "no recipe 'nope'", {"recipes": ["peek", "nope"]}),
        (PeekError, "seed", {"seeds": [0, -1]}),
        (UnitError, "16", {"units": [0, 16]}),
        (UnitError, "'1'", {"units": [0, "1"]}),
    ],
)
def test_an_impossible_comparison_is_refused_in_a_sentence(model, error, words, options):
    with pytest.raises(error, match=words):
        compare(model, "2", 3, **options)


def test_no_unit_and_no_layer(model):
    with pytest.raises(PeekError, match="Which unit"):
        compare(model, "2", seeds=[0, 1])
    with pytest.raises(LayerError):
        compare(model, "nope", 3, seeds=[0, 1])

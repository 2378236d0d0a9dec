"""Accentuation: more or less of a unit in a photo, which otherwise stays as it is."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from torch import nn

from peek_widget import Accentuate, Ascent, Channel, Recipe, State, load_recipe, read, render
from peek_widget.ascent.serialization import objective_from_dict
from peek_widget.errors import FileError, LayerError, PeekError
from tests.networks import tiny

SIDE = 24
KEEP = "change of edges"


def photo() -> Image.Image:
    image = Image.new("RGB", (40, 32), (90, 110, 130))
    image.paste((200, 60, 40), (10, 8, 24, 20))
    return image


def accentuated(objective, steps: int = 12, **options):
    recipe = Accentuate("forms:0").default_recipe.replace(steps=steps)
    options = {"start": photo(), "input_size": SIDE, "progress": False, **options}
    return render(tiny(), objective, recipe, **options)


def on_photo(unit: int, image: torch.Tensor) -> float:
    network = read(tiny(), SIDE)
    with torch.no_grad():
        return float(network.run(network.preprocess(image[None]), ["forms"])["forms"][0, unit].mean())


def test_there_is_more_of_the_unit_or_less_of_it():
    more = accentuated(Accentuate("forms:3", strength=0.5)).images[0]
    less = accentuated(Accentuate(-Channel("forms", 3), strength=0.5)).images[0]
    same = accentuated(Accentuate("forms:3"), steps=1).images[0]
    assert on_photo(3, less) < on_photo(3, same) < on_photo(3, more)


def test_a_stronger_penalty_keeps_more_of_the_photo():
    changes = [accentuated(Accentuate("forms:3", strength=s)).terms[0][KEEP] for s in (0.0, 2.0, 50.0)]
    assert changes[0] > 1.5 * changes[1] > 2.0 * changes[2]


def test_the_photo_is_seen_in_the_same_views():
    """At the first step picture and photo are the same, so that nothing has changed whatever the views are."""
    recipe = Accentuate("forms:3").default_recipe.replace(steps=2, rotation=20.0, jitter=0.2, n_views=3)
    run = Ascent(tiny(), Accentuate("forms:3", keep="edges"), recipe, start=photo(), input_size=SIDE)
    first, second = run.step(), run.step()
    assert first.terms[0][KEEP] < 0.02 < second.terms[0][KEEP]
    assert first.activation == pytest.approx(first.terms[0]["unit 3 of forms"], abs=0.05)


def test_several_pictures_have_their_own_photos():
    starts = torch.stack([torch.full((3, SIDE, SIDE), level) for level in (0.3, 0.7)])
    recipe = Accentuate("forms:3").default_recipe.replace(steps=1)
    run = Ascent(tiny(), [Accentuate("forms:3", keep="edges")] * 2, recipe, start=starts, input_size=SIDE, seed=[0, 1])
    assert [terms[KEEP] < 0.02 for terms in run.step().terms] == [True, True]
    assert len({one.photo for one in run.objectives}) == 2


def test_the_kept_layer_is_chosen_halfway_and_may_be_a_module():
    model = tiny()
    run = Ascent(model, Accentuate("classes:2"), start=photo(), input_size=SIDE)
    assert run.objectives[0].keep in ("edges", "forms")
    run = Ascent(model, Accentuate("classes:2", keep=model.forms), start=photo(), input_size=SIDE)
    assert run.objectives[0].keep == "forms"
    assert run.recipe.name == "accentuate"
    assert run.size == SIDE


def test_a_picture_carries_how_it_was_made(tmp_path):
    made = accentuated(Accentuate("forms:3", strength=2.0))
    made.save(tmp_path / "more.png")
    drawing = load_recipe(tmp_path / "more.png")
    assert drawing.objective == made.origin.objectives[0]
    assert (drawing.objective.keep, drawing.objective.strength) == ("edges", 2.0)
    assert len(drawing.objective.photo) == 16
    assert drawing.words == "more of unit 3 of forms in a photo, keeping edges"
    options = {"start": photo(), "input_size": SIDE, "progress": False, "seed": drawing.seed}
    again = render(tiny(), drawing.objective, drawing.recipe, **options)
    assert torch.equal(again.images, made.images)
    darker = render(tiny(), drawing.objective, drawing.recipe, **{**options, "start": Image.new("RGB", (32, 32))})
    assert darker.origin.objectives[0].photo != drawing.objective.photo


def test_less_is_read_back_too():
    less = Accentuate(-Channel("forms", 3), keep="edges")
    assert less.describe() == "less of unit 3 of forms in a photo, keeping edges"
    assert objective_from_dict(json.loads(json.dumps(less.to_dict()))) == less
    nested = {"kind": "sum", "terms": [{"weight": 1, "objective": less.to_dict()}]}
    with pytest.raises(FileError, match="'accentuate'"):
        objective_from_dict(nested)


def test_a_run_goes_on_from_its_state(tmp_path):
    recipe = Accentuate("forms:3").default_recipe.replace(steps=6)
    whole = Ascent(tiny(), Accentuate("forms:3"), recipe, start=photo(), input_size=SIDE)
    for _ in range(3):
        whole.step()
    whole.state().save(tmp_path / "run.safetensors")
    resumed = Ascent.resume(tiny(), State.load(tmp_path / "run.safetensors"), input_size=SIDE)
    for _ in range(3):
        whole.step(), resumed.step()
    assert torch.equal(whole.images, resumed.images)


def test_the_strength_changes_while_it_draws():
    recipe = Accentuate("forms:3").default_recipe.replace(steps=30)
    run = Ascent(tiny(), Accentuate("forms:3", strength=0.0), recipe, start=photo(), input_size=SIDE)
    for _ in range(10):
        before = run.step().terms[0][KEEP]
    run.change(objective=Accentuate("forms:3", strength=200.0))
    for _ in range(20):
        after = run.step().terms[0][KEEP]
    assert after < 0.7 * before


@pytest.mark.parametrize(
    ("make", "words", "kind"),
    [
        (lambda: Accentuate("forms"), "layer:unit", PeekError),
        (lambda: Accentuate(3), "give an objective", PeekError),
        (lambda: Accentuate("forms:3", strength=-1), "0 or more", PeekError),
        (lambda: accentuated(Accentuate("forms:3"), start=None), "start=photo", PeekError),
        (lambda: accentuated(Accentuate("forms:3", keep="classes")), "does not come before", PeekError),
        (lambda: accentuated(Accentuate("edges:3")), "no layer with a map before", PeekError),
        (lambda: accentuated(Accentuate("forms:3", keep="nowhere")), "nowhere", LayerError),
        (lambda: accentuated(Accentuate("forms:3", keep=nn.Conv2d(1, 1, 1))), "not a module of this model", LayerError),
    ],
)
def test_what_is_not_possible_is_said(make, words, kind):
    with pytest.raises(kind, match=words):
        make()


def test_another_recipe_may_be_taken():
    recipe = Recipe.preset("lucid-2017").replace(steps=2)
    made = render(tiny(), Accentuate("forms:3"), recipe, start=photo(), input_size=SIDE, size=SIDE, progress=False)
    assert made.images.shape[-1] == SIDE

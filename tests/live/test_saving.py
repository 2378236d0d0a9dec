"""Saving: the picture, the state, the line of Python, the animation."""

import dataclasses
import io
import json
import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from peek_widget import Neuron, Preprocess, Recipe, load_recipe, render
from peek_widget.ascent import Step
from peek_widget.errors import FileError, PeekError, RecipeError, UnitError
from peek_widget.explorer import UnitExplorer
from peek_widget.live.controls import CONTROL_NAMES, Controls, read_state
from peek_widget.live.export import file_name
from peek_widget.live.jobs import JobQueue

from .test_explorer import LONG, SHORT, eventually, explore, recording, tiny  # noqa: F401

OCTAVES = Recipe.preset("oygard-2016").replace(steps=20, size=40)


def pixels(picture):
    return np.asarray(picture if isinstance(picture, Image.Image) else Image.open(picture))


def drawn_again(model, path):
    drawing = load_recipe(path)
    return render(model, drawing.objective, drawing.recipe, seed=drawing.seed, size=drawing.size).pil()


# -- the picture


@pytest.mark.parametrize("recipe", [SHORT, OCTAVES, "peek-fast"], ids=["peek", "octaves", "peek-fast"])
def test_a_saved_picture_is_the_one_on_screen_and_its_recipe_draws_it_again(explore, tmp_path, recipe):  # noqa: F811
    model = tiny()
    options = {"size": 40} if recipe == "peek-fast" else {}
    explorer = explore(model, layer="conv2", unit=3, seed=5, recipe=recipe, blur=0.8, step_size=0.1, **options)
    explorer.wait(60)
    explorer.save(tmp_path / "x.png")
    assert np.array_equal(pixels(tmp_path / "x.png"), pixels(explorer.image))
    drawing = load_recipe(tmp_path / "x.png")
    assert (drawing.objective, drawing.seed) == (Neuron("conv2", 3), 5)
    assert (drawing.recipe.blur, drawing.recipe.step_size) == (0.8, 0.1)
    assert np.array_equal(pixels(drawn_again(model, tmp_path / "x.png")), pixels(explorer.image))


@pytest.mark.parametrize("recipe", [SHORT, OCTAVES], ids=["peek", "octaves"])
@pytest.mark.parametrize("steps", [1, 7, 14, 25])
def test_a_picture_of_a_run_left_early_or_prolonged_can_be_drawn_again(explore, tmp_path, caplog, recipe, steps):  # noqa: F811
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, recipe=recipe, playing=False)
    for _ in range(steps):
        explorer.step_once()
    explorer.wait(60)
    assert explorer.step == steps
    explorer.save(tmp_path / "x.png")
    assert caplog.messages == []
    assert load_recipe(tmp_path / "x.png").recipe.steps == steps
    again = pixels(drawn_again(model, tmp_path / "x.png")).astype(int)
    # a schedule cut short gives the same numbers but for a rounding
    assert np.abs(again - pixels(explorer.image)).max() <= (0 if recipe is SHORT else 1)


def test_a_warning_names_what_the_recipe_cannot_give_back(explore, tmp_path, caplog):  # noqa: F811
    explorer = explore(layer="conv2", unit=3, playing=False)
    explorer.step_once()
    explorer.wait(60)
    explorer.blur = 2.0
    explorer.step_once()
    explorer.wait(60)
    explorer.save(tmp_path / "x.png")
    assert "changed while it drew" in caplog.text
    caplog.clear()
    explorer.restart()
    explorer.wait(60)
    explorer.save(tmp_path / "x.png")
    assert caplog.text == ""
    explorer.start_from(Image.new("RGB", (40, 40), "red"))
    explorer.wait(60)
    explorer.save(tmp_path / "x.png")
    assert "begun from a given picture" in caplog.text


def test_saving_before_the_first_picture_raises(explore, tmp_path):  # noqa: F811
    explorer = explore(playing=False)
    for ask in (lambda: explorer.save(tmp_path / "x.png"), explorer.snapshot):
        with pytest.raises(PeekError, match="no picture yet"):
            ask()
    explorer.step_once()
    explorer.wait(60)
    with pytest.raises(FileError, match="no ending"):
        explorer.save(tmp_path / "x.txt")
    assert list(tmp_path.iterdir()) == []


def test_other_formats_hold_the_picture_alone(explore, tmp_path):  # noqa: F811
    explorer = explore()
    explorer.wait(60)
    explorer.save(tmp_path / "x.webp")
    assert pixels(tmp_path / "x.webp").shape == pixels(explorer.image).shape


def test_a_snapshot_is_an_output_of_its_own(explore, monkeypatch):  # noqa: F811
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *values, **options: shown.append((values, options)))
    explorer = explore(layer="conv2", unit=3)
    explorer.wait(60)
    explorer.snapshot()
    (((bundle,), options),) = shown
    assert "Unit 3 of layer conv2" in bundle["text/plain"]
    assert options["metadata"]["image/png"]["alt"] == bundle["text/plain"]
    import base64

    data = base64.b64decode(bundle["image/png"])
    assert np.array_equal(pixels(io.BytesIO(data)), pixels(explorer.image))
    assert b"peek_widget" in data


# -- what the page asks for


def saved(explorer, what):
    explorer.comm.receive({"method": "custom", "content": {"kind": "save", "what": what}})

    def answers():
        return [
            (data["content"], buffers)
            for kind, data, buffers in explorer.comm.sent
            if kind == "comm_msg" and data["method"] == "custom" and data["content"]["kind"] == "saved"
        ]

    eventually(lambda: answers() and answers()[-1][0]["what"] == what)
    return answers()[-1]


def test_the_page_gets_the_exact_picture_with_its_recipe(explore, tmp_path):  # noqa: F811
    explorer = explore(layer="conv2", unit=3, seed=2)
    explorer.wait(60)
    content, (data,) = saved(explorer, "picture")
    assert content["name"] == "conv2-unit-3-peek-seed-2.png"
    (tmp_path / "x.png").write_bytes(data)
    assert np.array_equal(pixels(tmp_path / "x.png"), pixels(explorer.image))
    assert load_recipe(tmp_path / "x.png").seed == 2


def test_the_page_gets_a_picture_while_it_draws(explore):  # noqa: F811
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 0)
    content, (data,) = saved(explorer, "picture")
    assert content["problem"] == ""
    assert Image.open(io.BytesIO(data)).size == explorer.image.size


def test_the_page_gets_code_as_text(explore):  # noqa: F811
    explorer = explore(layer="conv2", unit=3)
    assert saved(explorer, "code")[0]["text"] == explorer.code()
    assert "no comparison" in saved(explorer, "figure")[0]["problem"]


def test_the_page_is_told_that_there_is_no_picture_yet(explore):  # noqa: F811
    content, buffers = saved(explore(playing=False), "picture")
    assert "no picture yet" in content["problem"]
    assert buffers == []


def test_a_file_name_has_only_safe_characters():
    from peek_widget.live.snapshot import Snapshot, Target

    made = Step(0, torch.zeros(1, 3, 8, 8), torch.zeros(1))
    target = Target("../../etc/<b>\x00é:*?", 3)
    snapshot = Snapshot(target, SHORT, made, 0.0, 1, 1, 12, {}, {}, edited=False, done=False, seeds=(0,))
    name = file_name(snapshot, ".png")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=-")
    assert not name.startswith((".", "_"))


# -- the state


CONTROLS = {
    "layer": "conv2",
    "unit": 7,
    "recipe": SHORT.replace(name="mine", rotation=(0.0, 5.0)),
    "blur": 1.5,
    "decay": 0.01,
    "seed": 9,
    "size": 48,
    "playing": False,
}


def test_a_state_restores_every_control(explore):  # noqa: F811
    one = explore(**CONTROLS)
    other = UnitExplorer(tiny(), state=one.state, threads=1)
    try:
        assert Controls.of(other) == Controls.of(one)
        assert other.state == one.state
        assert UnitExplorer(tiny(), state=json.loads(one.state), threads=1).unit == 7
    finally:
        other.close()


def test_a_state_with_the_name_of_a_preset(explore):  # noqa: F811
    one = explore(recipe="peek-fast", playing=False)
    assert json.loads(one.state)["recipe"] == "peek-fast"
    assert explore(recipe=None, state=one.state).recipe == "peek-fast"


@pytest.mark.parametrize(
    ("error", "words", "state"),
    [
        (FileError, "is JSON", "{"),
        (FileError, "is JSON", "[" * 100_000),
        (FileError, "JSON object", "[]"),
        (FileError, "JSON object", 7),
        (FileError, "no field 'evil'", {"evil": 1}),
        (FileError, "unit", {"unit": "3"}),
        (FileError, "unit", {"unit": -1}),
        (FileError, "unit", {"unit": True}),
        (FileError, "layer", {"layer": 3}),
        (FileError, "blur", {"blur": "1"}),
        (RecipeError, "blur", {"blur": 1e9}),
        (RecipeError, "no recipe", {"recipe": "nope"}),
        (FileError, "recipe", {"recipe": 3}),
        (RecipeError, "no field 'x'", {"recipe": {"x": 1}}),
        (RecipeError, "blur=", {"recipe": {"blur": [[[1]]]}}),
        (FileError, "seed", {"seed": 2**53}),
        (FileError, "size", {"size": 2.5}),
        (RecipeError, "size", {"size": 3}),
        (FileError, "playing", {"playing": "yes"}),
        (FileError, "newer", {"format": 2}),
        (FileError, "format", {"format": "1"}),
        (UnitError, "16", {"layer": "conv2", "unit": 16}),
        (FileError, "million", " " * 2_000_000),
    ],
)
def test_a_hostile_state_is_refused_in_a_sentence(error, words, state):
    with pytest.raises(error, match=words) as caught:
        UnitExplorer(tiny(), state=state, threads=1)
    assert len(str(caught.value)) < 700


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["format", *CONTROL_NAMES, "other"]), json_values) | json_values)
@settings(deadline=None, max_examples=300)
def test_any_json_is_read_or_refused(given):
    try:
        read_state(json.dumps(given))
    except PeekError as error:
        assert str(error)


def test_a_state_and_controls_beside_it_are_refused():
    with pytest.raises(PeekError, match="seed, unit were given"):
        UnitExplorer(tiny(), state={"unit": 1}, unit=2, seed=3)


# -- a line of Python


def made_again(line, **names):
    """What the line makes, where Recipe and UnitExplorer have been imported and `model` is there."""
    return eval(
        line, {"UnitExplorer": lambda *a, **k: UnitExplorer(*a, **{"threads": 1, **k}), "Recipe": Recipe, **names}
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        CONTROLS,
        {"recipe": "oygard-2016", "unit": 2, "total_variation": 0.1},
        {"recipe": Recipe(octaves=((4, 1.0),), size=32)},
        {"recipe": Recipe.preset("lucid-2017").replace(steps=9)},
    ],
)
def test_the_line_makes_the_same_again(explore, options):  # noqa: F811
    model = tiny()
    one = explore(model, **{"recipe": None, "playing": False, **options})
    line = one.code()
    assert "\n" not in line
    assert line.startswith("UnitExplorer(model, threads=1, layer=")
    other = made_again(line, model=model)
    other.close()
    assert dataclasses.replace(Controls.of(other), playing=False) == dataclasses.replace(
        Controls.of(one), playing=False
    )


def test_the_line_for_the_bundled_network_and_for_names(monkeypatch):
    from peek_widget import zoo

    monkeypatch.setattr(zoo, "by_name", lambda name: tiny())
    explorer = UnitExplorer("a 'name'", layer="conv2", playing=False)
    assert explorer.code() == """UnitExplorer("a 'name'", layer='conv2')"""
    made_again(explorer.code()).close()
    explorer.close()


def test_an_object_is_a_variable_in_the_line(explore):  # noqa: F811
    explorer = explore(dataset=[Image.new("RGB", (8, 8))], input_size=32, playing=False)
    assert "dataset=dataset, input_size=32" in explorer.code()


def test_nothing_that_was_given_is_left_out_of_the_line(explore, tmp_path):  # noqa: F811
    model, names = tiny(), [str(number) for number in range(5)]
    given = {
        "dataset": [np.zeros((8, 8, 3), np.uint16)] * 2,
        "labels": ["cat", "dog"],
        "class_names": names,
        "value_range": (0, 4095),
        "sheet_store": tmp_path,
        "threads": 1,
        "probe": False,
        "tag_keys": {"d": "dog"},
    }
    line = explore(model, playing=False, **given).code()
    for words in (
        "dataset=dataset",
        "labels=labels",
        "class_names=class_names",
        "value_range=(0, 4095)",
        f"sheet_store={str(tmp_path)!r}",
        "threads=1",
        "probe=False",
        "tag_keys=tag_keys",
    ):
        assert words in line
    made_again(line, model=model, **given).close()


def test_a_failing_job_is_logged(caplog):
    jobs = JobQueue()
    jobs.add(lambda: 1 / 0)
    with caplog.at_level(logging.ERROR):
        jobs.run_once()
    assert "division" in caplog.text
    assert not jobs.ready(True)


# -- the run as an animation


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_the_run_so_far_as_an_animation(explore, tmp_path, ending):  # noqa: F811
    explorer = explore(recipe=LONG, playing=False)
    for _ in range(7):
        explorer.step_once()
    explorer.wait(60)
    explorer.animation(tmp_path / f"x.{ending}")
    with Image.open(tmp_path / f"x.{ending}") as film:
        assert 3 <= film.n_frames <= 7
        film.seek(film.n_frames - 1)
        # the last one is what is on screen
        last = np.asarray(film.convert("RGB")).astype(int)
    assert np.abs(last - pixels(explorer.image)).mean() < 12


@pytest.mark.slow
def test_an_animation_of_a_long_run_has_at_most_50_pictures(explore, tmp_path):  # noqa: F811
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 400)
    explorer.pause()
    explorer.wait(60)
    explorer.animation(tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as film:
        assert 12 <= film.n_frames <= 50


def test_no_animation_before_the_first_step_nor_of_another_kind(explore, tmp_path):  # noqa: F811
    explorer = explore(playing=False)
    with pytest.raises(PeekError, match="no pictures"):
        explorer.animation(tmp_path / "x.gif")
    with pytest.raises(FileError, match=r"\.gif, \.webp or \.mp4"):
        explorer.animation(tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_the_bands_that_are_shown_are_those_of_the_preprocessing(explore, tmp_path):  # noqa: F811
    model, bands = tiny(channels=13), [3, 2, 1]
    explorer = explore(model, preprocess=Preprocess(channels=13, show=bands), layer="conv1", unit=2, input_size=32)
    assert explorer.wait(60) == "done"
    snapshot = explorer._parts.exporter.snapshot
    want = np.rint(torch.as_tensor(snapshot.image)[bands].numpy() * 255).transpose(1, 2, 0).astype(np.uint8)
    eventually(lambda: np.array_equal(pixels(io.BytesIO(explorer.frame)), want))
    explorer.save(tmp_path / "a.png")
    assert np.array_equal(pixels(tmp_path / "a.png"), want)
    explorer.animation(tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as film:
        film.seek(film.n_frames - 1)
        assert np.abs(pixels(film.convert("RGB")).astype(int) - want).mean() < 10

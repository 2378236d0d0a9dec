"""A photo of the user's own on an explorer: what reaches the page, and that the newest photo wins."""

import base64
import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from peek_widget import Recipe
from peek_widget.live import photo_page, unit_drawings
from peek_widget.photo import PhotoReader

from .test_example_service import post, sent_messages
from .test_explorer import eventually, explore, recording

__all__ = ["explore", "recording"]  # fixtures


def picture(color=(200, 60, 40), size=(48, 32)):
    image = Image.new("RGB", size, (90, 110, 130))
    image.paste(color, (16, 8, 32, 24))
    return image


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


def newest(explorer):
    return sent_messages(explorer, "photo")[-1]


def problems(explorer):
    return " ".join(content["problem"] for content, _ in sent_messages(explorer, "photo"))


def until(explorer, state, **fields):
    """Wait for a message of this state and with these fields to be the newest; return it."""

    def there():
        said = [content for content, _ in sent_messages(explorer, "photo")]
        return said and said[-1]["state"] == state and all(said[-1][name] == value for name, value in fields.items())

    eventually(there, 30)
    return newest(explorer)


def see(explorer):
    """Have a visible page."""
    explorer._parts.run.mark_active()
    post(explorer, "hello")
    post(explorer, "visible", on=True)


def pictures(explorer, of):
    """The pictures that were sent, by unit."""
    sent = [(content, buffers) for content, buffers in sent_messages(explorer, "photo_picture") if content["of"] == of]
    assert not [content for content, _ in sent if content["problem"]]
    return {content["unit"]: Image.open(io.BytesIO(buffers[0])) for content, buffers in sent}


def steps(explorer):
    """What was said of accentuations."""
    return [content for content, _ in sent_messages(explorer, "photo_step")]


@pytest.fixture
def explorer(explore):
    return explore(layer="conv2", playing=False, input_size=32, class_names=list("abcde"))


def test_a_photo_from_python_is_looked_at_and_shown(explorer):
    explorer.look_at_photo(picture())
    said, buffers = until(explorer, "done")
    assert (said["width"], said["height"], said["layer"]) == (48, 32, "conv2")
    assert said["shown"] == pytest.approx([1 / 6, 0, 5 / 6, 1])
    assert len(said["classes"]) == 5
    assert {one["after"] for one in said["classes"]} == {None}
    assert [one.name for one in explorer.photo.predictions] == [one["name"] for one in said["classes"]]
    assert [one["unit"] for one in said["units"]] == [one.unit for one in explorer.photo.unusual("conv2")]
    assert len(buffers) == 1 + len(said["units"])
    assert Image.open(io.BytesIO(buffers[0])).size == (512, 341)
    assert Image.open(io.BytesIO(buffers[1])).size == (128, 85)
    assert "no real images" in said["text"]


def test_of_several_photos_the_newest_is_looked_at(explorer):
    for width in (40, 56, 72):
        post(explorer, "photo", data=encoded(picture(size=(width, 32))))
    assert until(explorer, "done", width=72)[0]["picture"]
    assert explorer.photo.size == (72, 32)
    post(explorer, "photo_close")
    until(explorer, "")
    assert explorer.photo is None


def test_what_if_and_where(explorer):
    post(explorer, "photo", data=encoded(picture()))
    until(explorer, "done")
    post(explorer, "photo_edit", how="grayscale", whole=True, strokes=[])
    said, buffers = until(explorer, "done", changed=True)
    assert all(one["after"] is not None for one in said["classes"])
    assert not said["picture"]
    assert len(buffers) == len(said["units"])
    post(explorer, "photo_edit", how="gray", whole=False, strokes=[0.5, 0.5, 0.2])
    eventually(lambda: newest(explorer)[0]["classes"] != said["classes"])
    post(explorer, "photo_edit", how="gray", whole=False, strokes=[])
    until(explorer, "done", changed=False)
    post(explorer, "photo_place", y=0.5, x=0.5, on=True)
    said, _ = until(explorer, "done", place=True)
    there = explorer.photo.at("conv2", 16, 24)
    assert [one["unit"] for one in said["units"]] == [one.unit for one in there]
    post(explorer, "photo_place", y=0, x=0, on=False)
    until(explorer, "done", place=False)


def test_it_follows_the_layer_that_is_shown_and_a_new_page_gets_everything(explorer):
    explorer.look_at_photo(picture())
    until(explorer, "done")
    explorer.layer = "relu"
    until(explorer, "done", layer="relu")
    explorer.layer = "head"
    assert len(until(explorer, "done", layer="head")[0]["units"]) == 5
    post(explorer, "hello")
    until(explorer, "done", picture=True)


def test_what_is_no_photo_is_said_and_the_next_one_is_looked_at(explorer):
    for data, words in (("%%%", "did not arrive whole"), (base64.b64encode(b"hello").decode(), "not an image")):
        post(explorer, "photo", data=data)
        eventually(lambda words=words: words in problems(explorer), 30)
    assert explorer.status["state"] != "error"
    explorer.look_at_photo(picture())
    until(explorer, "done")


def test_with_a_dataset_percentiles_are_of_its_images(explore):
    images = [picture((20 * step, 60, 40)) for step in range(10)]
    explorer = explore(layer="conv2", playing=False, input_size=32, dataset=images, labels=["ball"] * 10)
    see(explorer)
    eventually(lambda: explorer.evidence_status.get("state") == "done", 30)
    explorer.look_at_photo(picture())
    said, _ = until(explorer, "done")
    assert "of 10 real images" in said["text"]
    assert {one["label"] for one in said["units"]} == {"ball"}

    # with each unit its best real crop
    units = {one["unit"] for one in said["units"]}
    eventually(lambda: set(pictures(explorer, "crop")) == units, 30)
    assert {max(each.size) for each in pictures(explorer, "crop").values()} == {128}

    # and an image of the dataset as a photo
    post(explorer, "photo_sample")
    said, _ = until(explorer, "done", n=2)
    assert np.asarray(explorer.photo.image).tolist() in [np.asarray(one).tolist() for one in images]


def test_percentiles_follow_the_pass_over_the_dataset(explore):
    """A photo may be given before the first real image has been looked at."""
    gate = threading.Event()

    class Slow:
        def __len__(self):
            return 12

        def __getitem__(self, index):
            assert index == 0 or gate.wait(60)
            return picture((20 * index, 60, 40))

    explorer = explore(layer="conv2", playing=False, input_size=32, dataset=Slow())
    explorer.look_at_photo(picture())
    until(explorer, "done")
    see(explorer)
    gate.set()
    eventually(lambda: "of 12 real images" in newest(explorer)[0]["text"], 30)
    assert {one.basis for one in explorer.photo.unusual("conv2")} == {"evidence"}


def test_the_photo_is_in_no_saved_state(explorer):
    explorer.look_at_photo(picture())
    until(explorer, "done")
    assert not [name for name in explorer.get_state() if "photo" in name]
    assert "photo" not in explorer.state


@pytest.mark.slow
def test_units_are_drawn_in_the_background_and_given_up_when_they_are_listed_no_more(explore, monkeypatch):
    quick = Recipe.preset("peek-fast").replace(steps=6, n_views=1)
    monkeypatch.setattr(unit_drawings, "RECIPE", quick)
    explorer = explore(layer="head", playing=False, input_size=32)
    explorer.look_at_photo(picture())
    said, _ = until(explorer, "done")
    assert pictures(explorer, "drawn") == {}, "nobody sees it"
    see(explorer)
    eventually(lambda: len(pictures(explorer, "drawn")) == 5, 60)
    assert set(pictures(explorer, "drawn")) == {one["unit"] for one in said["units"]}
    # what was drawn once is sent again to another page, and what is on it is not
    post(explorer, "photo_place", y=0, x=0, on=False)
    count = len(sent_messages(explorer, "photo_picture"))
    post(explorer, "load_module")
    eventually(lambda: len(sent_messages(explorer, "photo_picture")) == count + 5, 30)


def test_a_picture_of_a_sheet_is_taken_and_none_drawn(explore, monkeypatch):
    monkeypatch.setattr(unit_drawings, "RECIPE", "no such recipe")
    explorer = explore(layer="head", playing=False, input_size=32, recipe=Recipe.preset("peek").replace(steps=3))
    explorer.sheet.draw(progress=False)
    explorer.look_at_photo(picture())
    until(explorer, "done")
    see(explorer)
    eventually(lambda: len(pictures(explorer, "drawn")) == 5, 30)


def test_the_overview_has_all_layers(explorer):
    post(explorer, "photo_overview", on=True)
    explorer.look_at_photo(picture())
    until(explorer, "done")
    eventually(lambda: sent_messages(explorer, "photo_layers"))
    said, buffers = sent_messages(explorer, "photo_layers")[-1]
    assert [one["layer"] for one in said["layers"]] == list(explorer.photo.layers)
    for row in said["layers"]:
        best = [one for one in explorer.photo.unusual(row["layer"], 4) if one.activation > 0]
        assert [one["unit"] for one in row["units"]] == [one.unit for one in best]
        assert not row["real"]
    assert len(buffers) == sum(one["map"] for row in said["layers"] for one in row["units"])


def test_the_brush_looks_at_the_layer_shown_and_the_overview_follows_until_the_page_is_loaded_again(
    explorer, monkeypatch
):
    looked = []
    again = PhotoReader.look_again

    def counted(reader, before, pixels, layers=None):
        looked.append(len(layers or reader.layers))
        return again(reader, before, pixels, layers)

    monkeypatch.setattr(PhotoReader, "look_again", counted)
    see(explorer)
    explorer.look_at_photo(picture())
    until(explorer, "done")
    post(explorer, "photo_edit", how="gray", whole=False, strokes=[0.5, 0.5, 0.2])
    until(explorer, "done", changed=True)
    assert looked == [1]

    post(explorer, "photo_overview", on=True)
    eventually(lambda: len(sent_messages(explorer, "photo_layers")) == 1)
    post(explorer, "photo_edit", how="blur", whole=True, strokes=[])
    eventually(lambda: len(sent_messages(explorer, "photo_layers")) == 2)
    every = len(explorer.photo.layers)
    assert looked == [1, every, 1, every]

    post(explorer, "hello")
    until(explorer, "done", picture=True, changed=True)
    post(explorer, "photo_edit", how="gray", whole=True, strokes=[])
    eventually(lambda: len(looked) == 5)
    explorer.layer = "relu"
    until(explorer, "done", layer="relu", changed=True)
    assert len(sent_messages(explorer, "photo_layers")) == 2


def test_what_python_gets_runs_a_network_of_its_own(explorer):
    assert explorer.photo is None
    explorer.look_at_photo(picture())
    until(explorer, "done")
    look = explorer.photo
    assert look is explorer.photo
    inside = explorer._parts.photo.look
    ran = []
    for name, one in (("thread", inside), ("python", look)):
        with one._reader._running:
            network = one._reader._own()
        ran.append(network)
        network.model_copy.module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
    assert ran[0] is not ran[1]
    after = look.without(how="grayscale").after
    assert ran[2:] == ["python"]
    # and sees the same
    assert torch.equal(after.highest("conv2"), inside.without(how="grayscale").after.highest("conv2"))


def test_a_mask_of_many_circles_is_that_of_each():
    strokes = np.random.default_rng(0).random(60)
    strokes[2::3] *= 0.3
    ys, xs = (np.arange(171) + 0.5)[:, None], (np.arange(256) + 0.5)[None]
    expected = np.zeros((171, 256), bool)
    for y, x, radius in strokes.reshape(-1, 3):
        expected |= (ys - y * 171) ** 2 + (xs - x * 256) ** 2 <= (radius * 256) ** 2
    assert np.array_equal(photo_page.mask_of(strokes.tolist(), (384, 256)), expected)


@pytest.mark.parametrize("less", [False, True])
def test_a_unit_is_accentuated_step_by_step(explorer, less):
    explorer.look_at_photo(picture())
    until(explorer, "done")
    post(explorer, "photo_accentuate", unit=3, less=less, strength=1.0, on=True)
    eventually(lambda: steps(explorer)[-1:] and steps(explorer)[-1]["step"] == 100, 60)
    made = steps(explorer)
    assert [one["step"] for one in made] == list(range(0, 101, 4))
    first, last = made[0], made[-1]
    assert first["activation"] == pytest.approx(explorer.photo.firing("conv2", 3).activation)
    assert first["percentile"] == pytest.approx(explorer.photo.firing("conv2", 3).percentile)
    # what is optimized is the mean over the map
    assert first["mean"] == pytest.approx(float(explorer.photo.map("conv2", 3).values.mean()), rel=1e-4)
    assert (last["mean"] < first["mean"]) == less
    assert (last["activation"] < first["activation"]) == less
    assert {one["after"] for one in first["classes"]} == {None}
    assert None not in {one["after"] for one in last["classes"]}
    assert explorer.photo.predictions.note == "", "the photo itself is as it was"
    (_, buffers) = sent_messages(explorer, "photo_step")[-1]
    assert Image.open(io.BytesIO(buffers[0])).size == (32, 32)


def test_beside_a_run_an_accentuation_rests_most_of_the_time(explorer):
    service = explorer._parts.photo
    now, draws = [10.0], [True]
    service._clock, service._drawing = lambda: now[0], lambda: draws[0]
    assert service._rest_after(7.0) == pytest.approx(10.0 + 3.0 * 7 / 3)
    draws[0] = False
    assert service._rest_after(7.0) == 10.0


def test_an_accentuation_is_stopped_and_one_that_is_not_possible_says_why(explorer):
    explorer.look_at_photo(picture())
    until(explorer, "done")
    post(explorer, "photo_accentuate", unit=3, less=False, strength=1.0, on=True)
    eventually(lambda: steps(explorer))
    post(explorer, "photo_edit", how="gray", whole=True, strokes=[])
    until(explorer, "done", changed=True)
    made = len(steps(explorer))
    post(explorer, "photo_accentuate", unit=99, less=False, strength=1.0, on=True)
    eventually(lambda: "16 units" in steps(explorer)[-1]["problem"])
    assert len(steps(explorer)) == made + 1
    explorer.layer = "conv1"
    until(explorer, "done", layer="conv1")
    post(explorer, "photo_accentuate", unit=0, less=False, strength=1.0, on=True)
    eventually(lambda: "no layer with a map before" in steps(explorer)[-1]["problem"])

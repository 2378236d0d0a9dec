"""A photo of the user's own on an explorer: what reaches the page, and that the newest photo wins."""

import base64
import io

import pytest
from PIL import Image

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
    explorer._parts.run.mark_active()
    post(explorer, "hello")
    post(explorer, "visible", on=True)
    eventually(lambda: explorer.evidence_status.get("state") == "done", 30)
    explorer.look_at_photo(picture())
    said, _ = until(explorer, "done")
    assert "of 10 real images" in said["text"]
    assert {one["words"] for one in said["units"]} == {"ball"}


def test_the_photo_is_in_no_saved_state(explorer):
    explorer.look_at_photo(picture())
    until(explorer, "done")
    assert not [name for name in explorer.get_state() if "photo" in name]
    assert "photo" not in explorer.state

"""The dataset examples of an explorer: real passes over small images, on a small model."""

import gc
import io
import itertools
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from peek_widget import Recipe, UnitExplorer
from peek_widget.errors import PeekError
from peek_widget.evidence import top_crops
from peek_widget.evidence.source import SerialSource
from peek_widget.live import protocol
from peek_widget.live.circuit.crops import UnitCrops
from peek_widget.live.examples import service
from peek_widget.live.examples.pass_runner import PassRunner
from peek_widget.live.examples.thumbnails import shares, start_picture
from peek_widget.network import ModelCopy, read
from peek_widget.zoo.images import Images

from .test_explorer import LONG, eventually, explore, left_over, recording, tiny

__all__ = ["explore", "recording"]  # fixtures

COUNT = 24


@pytest.fixture(scope="module")
def images():
    return Images(COUNT, size=32)


def sent_messages(explorer, kind):
    """Return the custom messages of a kind that were sent to the page, with their buffers."""
    return [
        (data["content"], buffers)
        for what, data, buffers in list(explorer.comm.sent)
        if what == "comm_msg" and data["method"] == "custom" and data["content"]["kind"] == kind
    ]


def post(explorer, kind, **fields):
    explorer.comm.receive({"method": "custom", "content": {"kind": kind, **fields}})


def until_pass_done(explorer):
    eventually(lambda: explorer.evidence_status.get("state") == "done", 30)


def crop_set(explorer, unit, **more):
    """Wait for a set of crops of this unit and return the newest."""
    found = []

    def there():
        sets = [
            c
            for c, _ in sent_messages(explorer, "crops")
            if c["unit"] == unit and all(c[k] == v for k, v in more.items())
        ]
        found[:] = sets[-1:]
        return bool(found) and len(found[0]["crops"]) == 9

    eventually(there, 30)
    return found[0]


def test_crops_and_gauge_show_what_a_pass_finds(explore, images):
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, dataset=images)
    until_pass_done(explorer)
    expected = top_crops(model, "conv2", images, progress=False)[3]
    assert [(c.index, c.position) for c in explorer.crops.top] == [(c.index, c.position) for c in expected.top]
    rows = crop_set(explorer, 3)["crops"]
    eventually(lambda: len(crop_set(explorer, 3)["crops"]) == 9)
    eventually(
        lambda: [r["name"] for r in sent_messages(explorer, "crops")[-1][0]["crops"]] == [c.name for c in expected.top]
    )
    rows = sent_messages(explorer, "crops")[-1][0]["crops"]
    assert [row["activation"] for row in rows] == [c.activation for c in expected.top]
    assert rows[0]["label"] == expected.top[0].label_name != ""
    eventually(lambda: explorer.gauge.get("score"))
    gauge = explorer.gauge
    assert gauge["best"] == pytest.approx(expected.top[0].activation)
    assert gauge["median"] == pytest.approx(expected.image_quantiles[0.5])
    assert (gauge["layer"], gauge["unit"], gauge["images"]) == ("conv2", 3, COUNT)
    assert gauge["activation"] is not None
    assert "real image" in gauge["text"]
    assert 1 <= gauge["score"]["rank"] <= gauge["score"]["units"] == 16


def test_each_thumbnail_is_sent_once_and_is_small(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images)
    until_pass_done(explorer)
    crop_set(explorer, 3)
    keys = set()
    for content, buffers in sent_messages(explorer, "crops"):
        sent = {row["key"] for row in content["crops"] if row["image"] >= 0}
        assert len(sent) == len(buffers) <= 9
        assert sum(map(len, buffers)) < 60_000
        new = {row["key"] for row in content["crops"]}
        # what is not sent is on the page already
        assert new - sent <= keys
        keys = new
        for data in buffers:
            assert max(Image.open(io.BytesIO(data)).size) <= 128


@pytest.mark.slow
def test_another_unit_of_the_layer_needs_no_second_pass(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images, recipe=LONG)
    until_pass_done(explorer)
    explorer.unit = 7
    assert {row["id"] for row in crop_set(explorer, 7)["crops"]}
    assert explorer.evidence_status["state"] == "done"
    eventually(lambda: explorer.gauge.get("unit") == 7)
    assert explorer.crops.unit == 7


def test_another_layer_has_a_pass_of_its_own_and_the_first_is_kept(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images)
    until_pass_done(explorer)
    explorer.layer = "conv1"
    eventually(lambda: explorer.evidence_status["layer"] == "conv1" and explorer.evidence_status["state"] == "done", 30)
    explorer.layer = "conv2"
    eventually(lambda: explorer.evidence_status["layer"] == "conv2")
    assert (explorer.evidence_status["state"], explorer.evidence_status["images"]) == ("done", COUNT)


@pytest.mark.slow
def test_finished_passes_keep_no_copy_of_the_model(explore, images):
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, dataset=images)
    for layer in ("conv1", "conv2", "relu", "conv2"):
        explorer.layer = layer
        eventually(lambda layer=layer: explorer.evidence_status.get("layer") == layer)
        until_pass_done(explorer)
    gc.collect()
    # that of the main run and that of the gauge
    assert sum(type(one) is ModelCopy and one.original is model for one in gc.get_objects()) <= 2
    assert explorer.evidence_status["text"] == f"All {COUNT} images processed."


@pytest.mark.parametrize(("layer", "unit"), [("head", 2), ("", 4)])
def test_a_class_has_crops_and_no_activation_map(explore, images, layer, unit):
    explorer = explore(layer=layer, unit=unit, dataset=images)
    until_pass_done(explorer)
    row = crop_set(explorer, unit)["crops"][0]
    post(explorer, "open_crop", id=row["id"])
    eventually(lambda: sent_messages(explorer, "large"))
    content, buffers = sent_messages(explorer, "large")[-1]
    assert (content["map"], len(buffers), content["problem"]) == ([], 1, "")


def test_an_opened_crop_comes_with_its_activation_map(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images)
    until_pass_done(explorer)
    # not those of the pass under way, which may be newer than a set with nine crops
    last = [(crop.name, crop.activation) for crop in explorer.crops.top]
    eventually(lambda: [(r["name"], r["activation"]) for r in crop_set(explorer, 3)["crops"]] == last, 30)
    row = crop_set(explorer, 3)["crops"][0]
    post(explorer, "open_crop", id=row["id"])
    eventually(lambda: sent_messages(explorer, "large"))
    content, (picture, levels) = sent_messages(explorer, "large")[-1]
    assert Image.open(io.BytesIO(picture)).format == "JPEG"
    height, width = content["map"]
    assert len(levels) == height * width > 1
    place = explorer.crops.top[0].position
    assert np.frombuffer(levels, np.uint8).reshape(height, width)[place] == 255
    assert content["activation"] == row["activation"]


class Flip(nn.Module):
    def forward(self, x):
        return x.flip(3)


@pytest.mark.slow
def test_behind_a_flip_crops_are_measured_on_their_images_and_no_map_lies_over_them(explore, images):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), Flip(), nn.Conv2d(8, 16, 3))
    explorer = explore(model, layer="2", unit=3, dataset=images, input_size=32)
    until_pass_done(explorer)
    crop_set(explorer, 3, view="focus")
    eventually(lambda: all(crop.known_focus for crop in explorer.crops.top))
    assert not any(crop.box_known for crop in explorer.crops.top), "sending waits for no measurement"
    post(explorer, "open_crop", id=crop_set(explorer, 3)["crops"][0]["id"])
    eventually(lambda: sent_messages(explorer, "large"))
    content, buffers = sent_messages(explorer, "large")[-1]
    assert (content["map"], content["area"], len(buffers), content["problem"]) == ([], [], 1, "")
    post(explorer, "crop_view", bottom=False, view="field")
    rows = crop_set(explorer, 3, view="field")["crops"]
    for row, crop in zip(rows, explorer.crops.top, strict=True):
        assert row["box"] == shares(crop.box, (32, 32))
        assert crop.box[0] <= 31 - (crop.position[1] + 2) <= crop.box[2], "at the mirror image of its place"


def test_crop_view_shows_bottom_images_cut_to_the_receptive_field(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images)
    until_pass_done(explorer)
    post(explorer, "crop_view", bottom=True, view="field")
    rows = crop_set(explorer, 3, bottom=True, view="field")["crops"]
    assert [row["activation"] for row in rows] == [c.activation for c in explorer.crops.bottom]
    assert all(
        row["size"] == [c.box[2] - c.box[0], c.box[3] - c.box[1]]
        for row, c in zip(rows, explorer.crops.bottom, strict=True)
    )


@pytest.mark.slow
def test_a_wide_field_is_shown_cut_to_its_focus_unless_asked_otherwise(explore, images):
    # evidence that is complete: while a pass goes on, others than the nine are measured as well
    model = tiny()
    found = top_crops(model, "head", images, progress=False)
    explorer = explore(model, layer="head", unit=2, dataset=found)

    def newest(view):
        sets = [content for content, _ in sent_messages(explorer, "crops")]
        if not sets or explorer.crops is None:
            return None
        content, top = sets[-1], explorer.crops.top
        return content if content["view"] == view and all(crop.known_focus for crop in top) else None

    def shows(view, boxes):
        content = newest(view)
        return content is not None and [row["box"] for row in content["crops"]] == [shares(b, (32, 32)) for b in boxes]

    eventually(lambda: newest("focus"), 60)
    focuses = [crop.focus for crop in explorer.crops.top]
    eventually(lambda: shows("focus", focuses))
    content, _ = sent_messages(explorer, "crops")[-1]
    assert [row["size"] for row in content["crops"]] == [[b[2] - b[0], b[3] - b[1]] for b in focuses]
    post(explorer, "open_crop", id=content["crops"][1]["id"])
    eventually(lambda: sent_messages(explorer, "large"))
    assert sent_messages(explorer, "large")[-1][0]["box"] == shares(focuses[1], (32, 32))
    # framed in the whole image
    post(explorer, "crop_view", bottom=False, view="whole")
    eventually(lambda: shows("whole", focuses))
    assert sent_messages(explorer, "crops")[-1][0]["crops"][0]["size"] == [32, 32]
    # the receptive field itself, for which nothing is computed
    known = [crop.known_focus for crop in explorer.crops.bottom]
    assert not any(known)
    post(explorer, "crop_view", bottom=True, view="field")
    eventually(lambda: sent_messages(explorer, "crops")[-1][0]["bottom"])
    assert sent_messages(explorer, "crops")[-1][0]["crops"][0]["box"] == [0.0, 0.0, 1.0, 1.0]
    assert [crop.known_focus for crop in explorer.crops.bottom] == known


@pytest.mark.slow
def test_a_narrow_field_is_outlined_itself_and_its_focus_is_found_only_when_asked_for(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images)
    until_pass_done(explorer)
    content = crop_set(explorer, 3)
    assert content["view"] == "whole"
    eventually(lambda: len(crop_set(explorer, 3)["crops"]) == 9)
    post(explorer, "crop_view", bottom=True, view="whole")
    lowest = crop_set(explorer, 3, bottom=True)["crops"]
    crops = explorer.crops.bottom
    assert [row["box"] for row in lowest] == [shares(crop.box, crop.size) for crop in crops]
    assert not any(crop.known_focus for crop in crops)
    post(explorer, "crop_view", bottom=True, view="focus")
    eventually(lambda: all(crop.known_focus for crop in explorer.crops.bottom))
    expected = [shares(crop.focus, crop.size) for crop in explorer.crops.bottom]
    eventually(lambda: [r["box"] for r in crop_set(explorer, 3, view="focus")["crops"]] == expected)


@pytest.mark.slow
def test_the_choice_of_ranking_does_not_fix_what_is_shown_of_another_layer(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images)
    until_pass_done(explorer)
    crop_set(explorer, 3)
    post(explorer, "crop_view", bottom=True, view="whole")
    crop_set(explorer, 3, bottom=True)
    explorer.layer = "head"
    assert crop_set(explorer, explorer.unit, bottom=True, layer="head", view="focus")
    post(explorer, "crop_view", bottom=True, view="whole")
    crop_set(explorer, explorer.unit, bottom=True, layer="head", view="whole")
    explorer.layer = "conv2"
    crop_set(explorer, explorer.unit, layer="conv2", view="whole")
    explorer.layer = "head"
    eventually(lambda: sent_messages(explorer, "crops")[-1][0]["layer"] == "head")
    assert sent_messages(explorer, "crops")[-1][0]["view"] == "whole"


def test_a_run_starts_from_a_crop_and_then_from_noise_again(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images, recipe=Recipe.preset("peek").replace(steps=1, size=32))
    until_pass_done(explorer)
    explorer.wait(30)
    noise = np.asarray(explorer.image)
    crop = explorer.crops.top[0]
    post(explorer, "start_from_crop", id=crop_set(explorer, 3)["crops"][0]["id"])
    eventually(lambda: explorer.status["start"] and explorer.status["state"] == "done")
    begun = np.asarray(explorer.image).astype(int)
    given = np.asarray(crop.image.convert("RGB").resize((32, 32))).astype(int)
    assert np.abs(begun - given).mean() < 30 < np.abs(begun - noise).mean()
    assert crop.name in explorer.status["text"]
    post(explorer, "start_from_crop", id=0)
    eventually(lambda: not explorer.status["start"] and explorer.status["state"] == "done")
    assert np.array_equal(np.asarray(explorer.image), noise)


def test_another_unit_does_not_start_from_the_last_ones_crop(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images)
    until_pass_done(explorer)
    explorer.start_from(explorer.crops.top[0])
    eventually(lambda: explorer.status["start"])
    explorer.restart()
    explorer.wait(30)
    assert explorer.status["start"]
    explorer.unit = 4
    eventually(lambda: explorer.status["unit"] == 4)
    assert not explorer.status["start"]


def test_start_from_any_picture_needs_no_dataset(explore):
    explorer = explore(layer="conv2")
    explorer.wait(30)
    explorer.start_from(Image.new("L", (50, 40), 200))
    eventually(lambda: explorer.status["start"] == "a given picture")
    with pytest.raises(PeekError, match="not an image"):
        explorer.start_from("a.jpg")


def test_a_recipe_that_cannot_start_from_a_picture_says_so_and_the_next_draws(explore):
    explorer = explore(layer="conv2", recipe="maco-2023", size=32)
    explorer.start_from(Image.new("RGB", (40, 40), "red"))
    eventually(lambda: explorer.status["state"] == "error")
    assert "can't begin from a picture" in explorer.status["text"]
    explorer.recipe = SHORT_PEEK
    assert explorer.wait(30) == "done"
    assert explorer.status["start"]


SHORT_PEEK = Recipe.preset("peek").replace(steps=3, size=32)


@pytest.mark.slow
def test_the_pass_stops_and_resumes(explore):
    slow = Slow(200)
    explorer = explore(layer="conv2", unit=3, dataset=slow)
    eventually(lambda: explorer.evidence_status.get("images", 0) > 0)
    post(explorer, "run_pass", on=False)
    eventually(lambda: explorer.evidence_status["state"] == "stopped")
    eventually(
        lambda: "peek-evidence" not in left_over() and explorer.crops.images == explorer.evidence_status["images"]
    )
    seen = explorer.evidence_status["images"]
    assert 0 < seen < 200
    assert f"Stopped after {seen} of 200" in explorer.evidence_status["text"]
    time.sleep(0.5)
    assert explorer.crops.images == seen
    post(explorer, "run_pass", on=True)
    eventually(lambda: explorer.evidence_status["images"] > seen)


class Slow(Dataset):
    def __init__(self, count, fail_at=None):
        self.images, self.count, self.fail_at = Images(count, size=32), count, fail_at
        self.inside = 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.inside += 1
        assert self.inside == 1, "two threads at once in somebody's Dataset"
        time.sleep(0.01)
        self.inside -= 1
        return self.images[index]


def test_a_dataset_never_loads_in_two_threads_at_once(explore):
    explorer = explore(layer="conv2", unit=3, dataset=Slow(40))
    until_pass_done(explorer)
    assert "could not be read" not in explorer.evidence_status["text"]
    assert crop_set(explorer, 3)["crops"][0]["problem"] == ""


@pytest.mark.slow
def test_no_crops_are_sent_while_nobody_looks(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images, recipe=LONG)
    post(explorer, "hello")
    post(explorer, "visible", on=False)
    eventually(lambda: explorer.status["state"] == "idle", 20)
    time.sleep(0.6)
    explorer.comm.sent.clear()
    explorer.unit = 5
    post(explorer, "visible", on=False)
    time.sleep(2.5)
    before = len(sent_messages(explorer, "crops"))
    time.sleep(1.0)
    assert len(sent_messages(explorer, "crops")) == before
    explorer.comm.sent.clear()
    post(explorer, "visible", on=True)
    post(explorer, "hello")
    assert crop_set(explorer, 5)


# -- given evidence


@pytest.mark.slow
def test_given_evidence_is_shown_at_once(explore, images, tmp_path):
    model = tiny()
    found = top_crops(model, "conv2", images, progress=False)
    explorer = explore(model, layer="conv2", unit=3, dataset=found)
    eventually(lambda: explorer.gauge.get("best"))
    assert explorer.evidence_status["state"] == "given"
    assert [c.index for c in explorer.crops.top] == [c.index for c in found[3].top]
    assert crop_set(explorer, 3)["crops"][0]["problem"] == ""
    explorer.layer = "conv1"
    # given evidence knows its dataset
    eventually(lambda: explorer.evidence_status["layer"] == "conv1" and explorer.evidence_status["state"] == "done", 30)


def test_a_file_of_evidence_has_no_images_and_says_so(explore, images, tmp_path):
    model = tiny()
    top_crops(model, "conv2", images, progress=False).save(tmp_path / "found.safetensors")
    explorer = explore(model, layer="conv2", unit=3, dataset=str(tmp_path / "found.safetensors"))
    row = crop_set(explorer, 3)["crops"][0]
    assert row["image"] == -1
    assert "holds no images" in row["problem"]
    eventually(lambda: explorer.gauge.get("best"))
    explorer.layer = "conv1"
    eventually(lambda: "not for this layer" in explorer.evidence_status["text"])
    explorer.wait(30)


# -- bad input


class Raises(Dataset):
    def __init__(self, count=12):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index >= 8:
            raise RuntimeError("the disk is gone <b>")
        return Images(12, size=32)[index]


def test_a_wrong_dataset_is_explained_and_the_explorer_draws_on(explore, tmp_path):
    explorer = explore(layer="conv2", dataset=tmp_path)
    eventually(lambda: explorer.evidence_status["problem"])
    assert "is empty" in explorer.evidence_status["problem"]
    assert explorer.evidence_status["state"] == "error"
    assert explorer.wait(30) == "done"


@pytest.mark.parametrize(("dataset", "words"), [("nowhere", "not there"), (7, "how many"), ([], "empty")])
def test_what_is_no_dataset_is_explained(explore, dataset, words):
    explorer = explore(layer="conv2", dataset=dataset)
    eventually(lambda: words in explorer.evidence_status["problem"])
    assert explorer.wait(30) == "done"


def test_files_that_cannot_be_read_are_named_and_counted(explore, tmp_path):
    images = Images(10, size=32)
    for i in range(10):
        picture = (images[i][0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    (tmp_path / "a.jpg").write_bytes(b"no image")
    explorer = explore(layer="conv2", unit=3, dataset=tmp_path)
    until_pass_done(explorer)
    assert "1 could not be read (a.jpg: it is not an image that can be read)" in explorer.evidence_status["text"]
    assert explorer.evidence_status["images"] == 10


def test_a_dataset_that_raises_keeps_what_was_found_before(explore):
    explorer = explore(layer="conv2", unit=3, dataset=Raises())
    eventually(lambda: explorer.evidence_status.get("state") in ("done", "error"), 30)
    assert explorer.evidence_status["images"] == 8
    assert "the disk is gone <b>" in explorer.evidence_status["text"] + explorer.evidence_status["problem"]
    assert len(explorer.crops.top) == 8
    assert explorer.wait(30) == "done"


def test_an_error_of_the_pass_is_explained_in_terms_of_the_page(explore):
    explorer = explore(layer="conv2", unit=3, dataset=Raises(400))
    eventually(lambda: explorer.evidence_status.get("problem"), 30)
    problem = explorer.evidence_status["problem"]
    assert "the disk is gone <b>" in problem
    # the reader of the page has buttons, and no arguments to give
    assert "press Resume" in problem
    assert "resume" not in problem


def test_a_folder_without_readable_images_is_explained(explore, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    explorer = explore(layer="conv2", unit=3, dataset=tmp_path)
    eventually(lambda: explorer.evidence_status["problem"], 30)
    assert "None of the 1 items" in explorer.evidence_status["problem"]
    assert explorer.gauge == {}


def test_labels_of_another_length_are_explained_in_the_panel(explore, images):
    explorer = explore(layer="conv2", dataset=[torch.rand(3, 32, 32)] * 4, labels=["a"])
    eventually(lambda: "labels has 1 entries for 4 images" in explorer.evidence_status["problem"])


# -- no dataset, and the end


def test_without_a_dataset_there_is_no_thread_and_no_evidence(explore):
    explorer = explore()
    post(explorer, "run_pass", on=True)
    post(explorer, "open_crop", id=1)
    explorer.wait(30)
    assert (explorer.evidence_status, explorer.gauge, explorer.crops) == ({}, {}, None)
    assert not [t for t in threading.enumerate() if t.name == "peek_widget.examples"]


def test_close_ends_the_pass(explore):
    explorer = explore(layer="conv2", unit=3, dataset=Slow(2000))
    eventually(lambda: explorer.evidence_status.get("images", 0) > 0)
    explorer.close()
    assert left_over() == []


def test_the_traits_can_be_observed_and_not_set(explore, images):
    seen = []
    explorer = explore(layer="conv2", unit=3, dataset=images)
    explorer.observe(lambda change: seen.append(change.new), "gauge")
    until_pass_done(explorer)
    eventually(lambda: seen)
    for name in protocol.EVIDENCE_TRAITS:
        with pytest.raises(Exception, match="cannot be set"):
            setattr(explorer, name, {})
    assert "images" not in str({k: v for k, v in explorer.get_state().items() if isinstance(v, bytes)})


def test_a_serial_source_answers_as_its_source_does():
    from peek_widget.evidence.dataset import read_source

    source = read_source([torch.rand(3, 32, 32), torch.rand(3, 32, 32)], ["a", "b"])
    mine = SerialSource(source)
    assert (len(mine), mine.name(1), mine.identity(1), mine.find(1), mine.load(1)[2]) == (2, "image 1", 1, 1, "b")


def test_evidence_on_other_weights_is_refused_in_the_panel(explore, images):
    model = tiny()
    found = top_crops(model, "conv2", images, progress=False)
    with torch.no_grad():
        model.conv2.weight.mul_(1.01)  # trained on
    explorer = explore(model, layer="conv2", dataset=found)
    eventually(lambda: "its weights have changed" in explorer.evidence_status.get("problem", ""))
    assert explorer.crops is None
    eventually(lambda: explorer.step > 2)  # and it draws


class Streamed(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(Images(12, size=32)[index] for index in range(12))


def test_a_stream_is_read_anew_for_each_layer_and_its_crops_are_shown(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=Streamed())
    until_pass_done(explorer)
    assert "All 12 images processed. The dataset is a stream" in explorer.evidence_status["text"]
    assert (explorer.evidence_status["images"], explorer.evidence_status["total"]) == (12, 12)
    rows = crop_set(explorer, 3)["crops"]
    assert [row["problem"] for row in rows if row["problem"]] == []
    assert explorer.crops.top[0].image.size[0] > 0
    explorer.layer = "conv1"
    eventually(lambda: explorer.evidence_status["layer"] == "conv1")
    until_pass_done(explorer)
    assert len(explorer.crops.top) == 9


class Endless(torch.utils.data.IterableDataset):
    """Reads on and on, but can't be begun again while the line is dead."""

    dead = False

    def __iter__(self):
        if self.dead:
            raise OSError("the line is dead")
        return itertools.cycle(Streamed())


def test_looking_for_crops_of_another_layer_never_ends_the_pass_of_the_one_shown(explore, monkeypatch):
    explorer = explore(layer="conv2", unit=3, dataset=(stream := Endless()), playing=False)
    examples = explorer._parts.examples

    def images(layer="conv2"):
        explorer._parts.run.mark_active()
        found = examples.layer_evidence(layer)
        return 0 if found is None else found.images

    def goes_on():
        seen = images()
        eventually(lambda: images() > seen + 8, 30)

    eventually(images, 30)
    examples.find_crops(["conv1"])
    eventually(lambda: images("conv1"), 30)
    assert examples.finds("conv1")
    # Stop and Resume are of the layer shown
    post(explorer, "run_pass", on=False)
    assert not examples.finds("conv1")
    post(explorer, "run_pass", on=True)
    goes_on()
    # whoever moves on wants no more of them
    crops = UnitCrops(SimpleNamespace(send=lambda *_: None), examples)
    crops.show("conv1", 0, True)
    assert examples.finds("conv1")
    crops.forget()
    goes_on()
    # of a stream some images are enough
    monkeypatch.setattr(service, "ENOUGH", images("conv1") + 8)
    examples.find_crops(["conv1"])
    eventually(lambda: not examples.finds("conv1"), 30)
    assert images("conv1") >= service.ENOUGH
    goes_on()
    # nor does an error end more than its own pass
    stream.dead = True
    examples.find_crops(["relu"])
    eventually(lambda: "the line is dead" in examples.problem_of("relu"), 30)
    goes_on()


def test_an_iterator_serves_one_layer_and_says_so_for_the_next(explore):
    explorer = explore(layer="conv2", unit=3, dataset=iter(Streamed()))
    until_pass_done(explorer)
    explorer.layer = "conv1"
    eventually(lambda: "another pass has read" in explorer.evidence_status["problem"])
    explorer.layer = "conv2"
    until_pass_done(explorer)
    assert len(explorer.crops.top) == 9


def test_labels_that_are_no_classes_are_counted_on_the_page(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=[(images[i][0], {"boxes": [i]}) for i in range(COUNT)])
    until_pass_done(explorer)
    eventually(lambda: explorer.evidence_status["images"] == COUNT)
    assert "24 of 24 images have no class as their label but a dict" in explorer.evidence_status["text"]


def test_a_problem_is_over_with_the_next_unit(explore, images):
    explorer = explore(layer="conv2", unit=3, dataset=images)
    until_pass_done(explorer)
    explorer._parts.examples.fail(PeekError("The disk was gone for a moment."))
    eventually(lambda: explorer.evidence_status["problem"])
    explorer.unit = 4
    eventually(lambda: (explorer.evidence_status["unit"], explorer.evidence_status["problem"]) == (4, ""))


def test_a_dataset_that_cannot_be_opened_stays_a_problem(explore):
    explorer = explore(layer="conv2", unit=3, dataset=[])
    eventually(lambda: explorer.evidence_status["problem"])
    explorer.unit = 4
    eventually(lambda: explorer.evidence_status["unit"] == 4)
    assert "is empty" in explorer.evidence_status["problem"]


def test_the_range_of_values_is_that_of_top_crops(explore):
    model = tiny()
    arrays = [np.random.default_rng(seed).integers(0, 4096, (32, 32, 3)).astype(np.uint16) for seed in range(4)]
    explorer = explore(model, layer="conv2", unit=3, dataset=arrays, value_range=(0, 4095))
    until_pass_done(explorer)
    expected = top_crops(model, "conv2", arrays, value_range=(0, 4095), progress=False)[3]
    assert [c.activation for c in explorer.crops.top] == pytest.approx([c.activation for c in expected.top], abs=1e-4)


def test_an_impossible_range_of_values_is_refused():
    with pytest.raises(PeekError, match="numbers that are black and white"):
        UnitExplorer(tiny(), dataset=[np.zeros((8, 8, 3), np.uint16)], value_range=(5, 1), playing=False)
    with pytest.raises(PeekError, match="no dataset= was given"):
        UnitExplorer(tiny(), value_range=(0, 1), playing=False)


def test_a_run_starts_from_the_focus_where_the_receptive_field_is_wide(images):
    model = tiny()
    evidence = top_crops(model, "", images, k=1, progress=False)
    crop = evidence[3].top[0]
    assert crop.wide
    assert start_picture(crop, 3).size == crop.image.size  # it is not known yet
    left, top, right, bottom = crop.focus
    assert start_picture(crop, 3).size == (right - left, bottom - top)
    assert np.array_equal(start_picture(crop, 3), crop.whole().convert("RGB").crop(crop.focus))


@pytest.mark.parametrize("count", [90, 30])  # with 90 the pass is ended, with 30 it comes to the end before
def test_the_counts_of_a_dataset_that_vanishes_midway_agree(tmp_path, count):
    folder, gone = tmp_path / "photos", tmp_path / "disk.png"
    folder.mkdir()
    for number in range(count):
        file = folder / f"{number:02}.png"
        if number < 10:
            Image.new("RGB", (40, 40), (number, 0, 0)).save(file)
        else:
            file.symlink_to(gone)
    network = read(tiny(), 32)
    runner = PassRunner(str(folder), None, network=lambda: network, drawing=lambda: False, k=3)
    runner.open()

    def describe():
        runner.advance("conv2", watched=True, has_picture=True)
        return runner.describe("conv2", "")

    eventually(lambda: describe()["state"] in ("error", "done"), 30)
    found = describe()
    assert found["images"] == 10
    if count == 30:
        assert found["text"].startswith("10 of 30 images processed. 20 could not be read (10.png: ")
        return
    assert found["text"].startswith("Ended by an error after 10 of 90 images.")
    assert "ended after 10 of 90 images" in found["problem"]
    Image.new("RGB", (40, 40)).save(gone)
    runner.set_enabled(True, "conv2")
    eventually(lambda: describe()["state"] == "done", 30)
    assert describe()["text"] == "All 90 images processed."

"""The contact sheet of an explorer: a real small model, drawn, tagged, counted; what reaches the page."""

import gc
import io
import shutil
import threading
import time
import weakref

import pytest
import torch
from PIL import Image
from traitlets import TraitError

from peek_widget.ascent import Recipe
from peek_widget.live.sheet_thumbnails import IN_FLIGHT
from peek_widget.network import ModelCopy
from peek_widget.sheet import batches, contact_sheet, local
from peek_widget.zoo.images import Images

from .test_example_service import post, sent_messages
from .test_explorer import LONG, SHORT, eventually, explore, recording, tiny

__all__ = ["explore", "recording"]  # fixtures

DRAFTED = Recipe.preset("peek").replace(steps=60, size=32)
"""Long enough for previews to come first."""


class Page:
    """A page that opens the sheet and, if asked, acknowledges what it gets."""

    def __init__(self, explorer, acks=True):
        self.explorer = explorer
        post(explorer, "hello")
        post(explorer, "sheet", on=True)
        if acks:
            self.end = threading.Event()
            self.thread = threading.Thread(target=self.acknowledge, daemon=True)
            self.thread.start()

    def acknowledge(self):
        while not self.end.wait(0.02):
            if self.explorer.comm is not None:
                post(self.explorer, "sheetack", n=max([0, *self.numbers()]))

    def numbers(self):
        return [content["n"] for kind in ("sheet", "thumbs") for content, _ in sent_messages(self.explorer, kind)]

    def thumbs(self):
        """Return the newest row and picture of each unit."""
        found = {}
        for content, buffers in sent_messages(self.explorer, "thumbs"):
            pictures = iter(buffers)
            for row in content["units"]:
                found[row[0]] = (row, None if row[3] else next(pictures))
        return found

    def state(self):
        said = sent_messages(self.explorer, "sheet")
        return said[-1][0] if said else dict.fromkeys(("state", "text", "problem", "layer"), "")


@pytest.fixture
def page():
    pages = []

    def open_page(explorer, **more):
        pages.append(Page(explorer, **more))
        return pages[-1]

    yield open_page
    for each in pages:
        if hasattr(each, "end"):
            each.end.set()
            each.thread.join()


def counts(explorer):
    return sent_messages(explorer, "counts")[-1][0]


# -- drawing


def test_every_unit_is_sent_once_and_as_the_sheet_has_it(explore, page):
    explorer = explore(layer="conv2", unit=3)
    watching = page(explorer)
    eventually(lambda: watching.state()["state"] == "done" and len(watching.thumbs()) == 16, 60)
    assert watching.state()["text"] == "All 16 units drawn."
    sheet = explorer.sheet
    assert sorted(sheet.done) == list(range(16))
    for unit, (row, data) in watching.thumbs().items():
        assert row == [unit, sheet[unit].activation, False, ""]
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, max(picture.size)) == ("JPEG", 32)
    rows = [row[0] for content, _ in sent_messages(explorer, "thumbs") for row in content["units"]]
    assert len(rows) == 16, "no draft where it would save nothing, and nothing twice"


@pytest.mark.slow
def test_previews_come_first_and_finished_pictures_replace_them(explore, page):
    explorer = explore(layer="conv2", recipe=DRAFTED, playing=False)
    watching = page(explorer)
    eventually(lambda: watching.state()["state"] == "done" and not any(r[2] for r, _ in watching.thumbs().values()), 60)
    rows = [row for content, _ in sent_messages(explorer, "thumbs") for row in content["units"]]
    first = {}
    for row in rows:
        first.setdefault(row[0], row[2])
    assert all(first.values())
    assert len(rows) == 32
    assert explorer.sheet.drafts == {}


def test_nothing_is_drawn_before_the_panel_is_opened_and_after_it_is_closed(explore, page):
    explorer = explore(layer="conv2", recipe=LONG)
    assert not [t for t in threading.enumerate() if t.name == "peek_widget.sheet"]
    explorer.pause()
    page(explorer)
    eventually(lambda: explorer.sheet.drafts, 30)
    post(explorer, "sheet", on=False)
    eventually(lambda: not sent_messages(explorer, "sheet")[-1][0]["open"])
    drawn = len(explorer.sheet.drafts)
    time.sleep(0.5)
    assert len(explorer.sheet.drafts) == drawn


def test_drawing_stops_and_resumes(explore, page):
    explorer = explore(layer="conv2", playing=False)
    watching = page(explorer)
    post(explorer, "draw", on=False)
    eventually(lambda: watching.state()["state"] == "stopped")
    drawn = len(explorer.sheet.done)
    time.sleep(0.3)
    assert len(explorer.sheet.done) == drawn
    post(explorer, "draw", on=True)
    eventually(lambda: watching.state()["state"] == "done", 60)


def test_units_in_view_are_drawn_first(explore):
    explorer = explore(layer="conv2", recipe=DRAFTED, playing=False)
    post(explorer, "view", units=[13, 2])
    post(explorer, "sheet", on=True)
    eventually(lambda: sent_messages(explorer, "thumbs"), 30)
    assert [row[0] for row in sent_messages(explorer, "thumbs")[0][0]["units"]] == [13, 2]


def test_the_sheet_yields_to_the_main_run(explore, page):
    explorer = explore(layer="conv2", recipe=LONG)
    eventually(lambda: explorer.step > 3)
    watching = page(explorer)
    eventually(lambda: "Waiting for the main run" in watching.state()["text"])
    service = explorer._parts.sheets
    eventually(lambda: service._rest_until > time.monotonic(), 20)
    explorer.pause()
    explorer.wait(10)
    eventually(lambda: "Waiting for the main run" not in watching.state()["text"])


@pytest.mark.slow
def test_nothing_is_drawn_while_nobody_looks(explore, page):
    explorer = explore(layer="conv2", recipe=LONG, playing=False)
    watching = page(explorer)
    eventually(lambda: explorer.sheet.drafts, 30)
    watching.end.set()
    watching.thread.join()
    post(explorer, "visible", on=False)
    eventually(lambda: "not visible" in watching.state()["text"], 20)
    drawn = len(explorer.sheet.drafts)
    time.sleep(0.5)
    assert len(explorer.sheet.drafts) == drawn
    post(explorer, "visible", on=True)
    eventually(lambda: watching.state()["state"] == "running")


def test_without_acknowledgments_few_pictures_are_in_flight(explore, page, monkeypatch):
    monkeypatch.setattr("peek_widget.live.sheet_thumbnails.IN_FLIGHT", 2000)
    monkeypatch.setattr("peek_widget.live.sheet_thumbnails.AT_ONCE", 2)
    explorer = explore(layer="conv2", playing=False)
    watching = page(explorer, acks=False)
    eventually(lambda: watching.state()["state"] == "done", 60)
    time.sleep(0.3)
    flying = sum(len(data) for _, buffers in sent_messages(explorer, "thumbs") for data in buffers)
    assert flying < 2000 + 2 * 2000 < IN_FLIGHT
    assert len(watching.thumbs()) < 16
    while len(watching.thumbs()) < 16:
        before = len(watching.thumbs())
        post(explorer, "sheetack", n=max(watching.numbers()))
        eventually(lambda before=before: len(watching.thumbs()) > before)


def test_a_sheet_shown_before_is_found_again(explore, page):
    explorer = explore(layer="conv2", playing=False)
    watching = page(explorer)
    eventually(lambda: watching.state()["state"] == "done", 60)
    first = explorer.sheet
    number = watching.state()["sheet"]
    explorer.layer = "conv1"
    eventually(lambda: watching.state()["layer"] == "conv1" and watching.state()["state"] == "done", 60)
    assert (watching.state()["total"], len(explorer.sheet)) == (8, 8)
    explorer.layer = "conv2"
    eventually(lambda: watching.state()["sheet"] == number and watching.state()["state"] == "done")
    assert explorer.sheet is first
    explorer.seed = 4
    assert explorer.sheet is not first
    assert explorer.sheet.seed == 4


def test_many_settings_leave_few_sheets_and_the_finished_one(explore, page, monkeypatch):
    monkeypatch.setattr("peek_widget.live.sheet_cache.MOST_SHEETS", 4)
    explorer = explore(layer="conv2", recipe=SHORT)
    page(explorer)
    eventually(lambda: len(explorer.sheet.done) == 16, 60)
    post(explorer, "sheet", on=False)
    eventually(lambda: not sent_messages(explorer, "sheet")[-1][0]["open"])
    first = explorer.sheet
    sheets = []
    for seed in range(1, 12):
        explorer.seed = seed
        sheets.append(weakref.ref(explorer.sheet))
    gc.collect()
    assert sum(sheet() is not None for sheet in sheets) <= 4
    explorer.seed = 0
    assert explorer.sheet is first


def test_a_new_page_gets_everything(explore, page):
    explorer = explore(layer="conv2", playing=False)
    watching = page(explorer)
    eventually(lambda: watching.state()["state"] == "done" and len(watching.thumbs()) == 16, 60)
    explorer.comm.sent.clear()
    post(explorer, "hello")
    eventually(lambda: sent_messages(explorer, "sheet") and len(watching.thumbs()) == 16)
    assert watching.state()["open"]
    # the report comes before the pictures: the page drops those of a sheet that it does not know
    assert sent_messages(explorer, "sheet")[0][0]["n"] < sent_messages(explorer, "thumbs")[0][0]["n"]


def test_a_unit_that_cannot_be_drawn_says_why(explore, page):
    model = tiny()
    model.conv2.weight.data[5] = 0.0
    explorer = explore(model, layer="conv2", playing=False)
    watching = page(explorer)
    eventually(lambda: watching.state()["state"] == "done" and len(watching.thumbs()) == 16, 60)
    row, picture = watching.thumbs()[5]
    assert picture is None
    assert "gradient is zero" in row[3]
    assert watching.state()["text"] == "15 of 16 units drawn. 1 can't be drawn."


def test_a_store_keeps_pictures_and_tags(explore, page, tmp_path):
    model = tiny()
    explorer = explore(model, layer="conv2", playing=False, sheet_store=tmp_path / "sheets")
    watching = page(explorer)
    eventually(lambda: watching.state()["state"] == "done", 60)
    post(explorer, "tag", layer="conv2", units=[1], words=["dog"], on=True)
    activation = explorer.sheet[1].activation
    explorer.close()
    (folder,) = (tmp_path / "sheets").iterdir()
    assert folder.name.startswith("conv2-")
    assert len(list(folder.glob("*.png"))) == 16
    again = explore(model, layer="conv2", playing=False, sheet_store=tmp_path / "sheets")
    assert again.sheet[1].activation == activation
    eventually(lambda: again.tags == {"conv2": {"1": ["dog"]}})


def test_a_store_that_cannot_be_written_is_explained_in_the_panel(explore, page, tmp_path):
    (tmp_path / "file").write_text("")
    explorer = explore(layer="conv2", playing=False, sheet_store=tmp_path / "file")
    watching = page(explorer)
    eventually(lambda: watching.state()["problem"])
    assert watching.state()["state"] == "error"
    explorer.step_once()
    assert explorer.wait(20) == "paused"


def test_tags_that_cannot_be_saved_at_the_end_are_warned_of(explore, page, tmp_path, caplog):
    explorer = explore(layer="conv2", playing=False, sheet_store=tmp_path / "sheets")
    watching = page(explorer)
    eventually(lambda: watching.state()["state"] == "done", 60)
    shutil.rmtree(tmp_path / "sheets")
    (tmp_path / "sheets").write_text("no folder any more")
    post(explorer, "tag", layer="conv2", units=[1], words=["dog"], on=True)
    explorer.close()
    assert "The tags are not saved" in caplog.text


@pytest.mark.slow
def test_two_explorers_on_one_store_share_the_work(explore, page, tmp_path, monkeypatch):
    drawn, real = [], local.draw

    def draw(network, batch, **options):
        for progress in real(network, batch, **options):
            drawn.extend(one.unit for one in progress.finished if not one.draft)
            yield progress

    monkeypatch.setattr(local, "draw", draw)
    # small batches, so that both have some, of a model that is slow enough for both to begin
    monkeypatch.setitem(batches.LARGEST, "cpu", 2)
    model = tiny()
    two = [explore(model, layer="conv2", playing=False, sheet_store=tmp_path / "sheets") for _ in range(2)]
    pages = [page(explorer) for explorer in two]
    for watching in pages:
        eventually(lambda watching=watching: watching.state()["state"] == "done" and len(watching.thumbs()) == 16, 60)
    assert sorted(drawn) == list(range(16))
    first, second = (explorer.sheet for explorer in two)
    assert first is not second
    assert {u: one.png for u, one in first.done.items()} == {u: one.png for u, one in second.done.items()}


# -- the network


def copies(model):
    """Return how many copies of a model's structure are alive; on another device each has weights of its own."""
    gc.collect()
    return sum(type(one) is ModelCopy and one.original is model for one in gc.get_objects())


def test_all_sheets_share_one_copy_of_the_model(explore, page):
    model = tiny()
    explorer = explore(model, layer="conv2")
    watching = page(explorer)
    eventually(lambda: watching.state()["state"] == "done", 60)
    for seed in range(1, 6):
        explorer.seed = seed
        assert explorer.sheet.seed == seed
    eventually(lambda: watching.state()["state"] == "done" and len(explorer.sheet.done) == 16, 60)
    assert copies(model) == 2, "that of the main run and that of the sheets"


@pytest.mark.slow
def test_a_sheet_drawn_from_a_cell_while_the_service_draws_is_the_scripts(explore, page):
    model = tiny()
    explorer = explore(model, layer="conv2", recipe=SHORT, playing=False)
    page(explorer)
    during = []
    explorer.seed = 1
    for _ in explorer.sheet:
        during.append(copies(model))
    script = contact_sheet(model, "conv2", SHORT, seed=1, threads=1).draw()
    assert [one.png for one in explorer.sheet.done.values()] == [one.png for one in script.done.values()]
    assert max(during) <= 3, "one more for as long as the cell draws"
    del script
    eventually(lambda: copies(model) == 2)


def test_sheets_follow_a_model_whose_weights_have_moved(explore, page):
    model = tiny()
    explorer = explore(model, layer="conv2", playing=False)
    watching = page(explorer)
    eventually(lambda: watching.state()["state"] == "done", 60)
    sheet = explorer.sheet
    # the same weights in other storages, as after model.to(device)
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)
    explorer.seed = 1
    eventually(lambda: len(explorer.sheet.done) == 16, 60)
    assert sheet.network is explorer.sheet.network
    assert not sheet.network.model_copy.stale()
    with torch.no_grad():
        model.load_state_dict({name: 2 * value for name, value in model.state_dict().items()}, assign=True)
    forgotten = weakref.ref(sheet)
    del sheet
    explorer.seed = 2
    eventually(lambda: len(explorer.sheet.done) == 16, 60)
    gc.collect()
    assert forgotten() is None, "it would keep weights that the model no longer has"


# -- tags


def test_tags_are_added_removed_counted_undone_and_redone(explore):
    explorer = explore(layer="conv2", playing=False)
    seen = []
    explorer.observe(lambda change: seen.append(change.new), "tags")
    post(explorer, "tag", layer="conv2", units=[1, 2], words=["dog"], on=True)
    post(explorer, "tag", layer="conv2", units=[2], words=["cat"], on=True)
    post(explorer, "tag_reviewed", layer="conv2", units=list(range(16)), on=True)
    full = {str(unit): [] for unit in range(16)} | {"1": ["dog"], "2": ["dog", "cat"]}
    assert explorer.tags == {"conv2": full} == seen[-1]
    assert [row[2] for row in counts(explorer)["rows"]] == ["2 of 16, 12.5 %", "1 of 16, 6.2 %"]
    assert explorer.comm.updates()[-1]["tags"] == {"conv2": full}
    for _ in range(2):
        post(explorer, "undo", again=False)
    assert explorer.tags == {"conv2": {"1": ["dog"], "2": ["dog"]}}
    assert counts(explorer)["rows"][0][2].startswith("2 of 2, 100.0 % of those reviewed (")
    assert (counts(explorer)["undo"], counts(explorer)["redo"]) == (True, True)
    post(explorer, "undo", again=True)
    assert explorer.tags["conv2"]["2"] == ["dog", "cat"]
    post(explorer, "tag", layer="conv2", units=[1, 2], words=["dog"], on=False)
    assert explorer.tags["conv2"] == {"1": [], "2": ["cat"]}


def test_tags_can_be_set_linked_and_edited_in_python(explore):
    one, other = explore(layer="conv2", playing=False), explore(layer="conv2", playing=False)
    import traitlets

    traitlets.link((one, "tags"), (other, "tags"))
    one.tags = {"conv2": {3: ["<b>dog</b>"]}}
    assert other.tags == {"conv2": {"3": ["<b>dog</b>"]}}
    other.sheet.tags.add("conv2", [4, 5], "cat")
    eventually(lambda: one.tags.get("conv2", {}).get("5") == ["cat"])
    post(one, "undo", again=False)
    eventually(lambda: other.tags == one.tags)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (3, "Tags are"),
        ({"conv2": {"16": ["a"]}}, "0 to 15"),
        ({"conv9": {"1": ["a"]}}, "conv2"),
        ({"conv2": {"1": "dog"}}, "a list is wanted"),
        ({"conv2": {"1": [""]}}, "empty"),
        ({"conv2": {"x": ["a"]}}, "whole number"),
    ],
)
def test_invalid_tags_are_refused_in_a_sentence(explore, tags, words):
    explorer = explore(layer="conv2", playing=False, tags={"conv2": {"1": ["dog"]}})
    with pytest.raises(TraitError, match=words):
        explorer.tags = tags
    assert explorer.tags == {"conv2": {"1": ["dog"]}}


def test_an_impossible_tag_from_the_page_is_explained_and_changes_nothing(explore):
    explorer = explore(layer="conv2", playing=False)
    for fields in (
        {"units": [99], "words": ["dog"]},
        {"units": [1], "words": ["  "]},
        {"layer": "conv9", "units": [1], "words": ["dog"]},
    ):
        post(explorer, "tag", **{"layer": "conv2", "on": True, **fields})
        assert counts(explorer)["problem"].endswith(".")
    assert explorer.tags == {}
    # and never by setting the trait
    explorer.set_state({"tags": {"conv2": {"1": ["dog"]}}})
    assert explorer.tags == {}


def test_keys_give_tags(explore):
    explorer = explore(layer="conv2", playing=False, tag_keys={"d": "dog"})
    post(explorer, "key", key="c", word=" big   cat ")
    assert explorer.tag_keys == {"d": "dog", "c": "big cat"}
    post(explorer, "key", key="x", word="Dog")
    assert explorer.tag_keys == {"c": "big cat", "x": "Dog"}
    post(explorer, "key", key="c", word="")
    assert explorer.tag_keys == {"x": "Dog"}
    for wrong in (3, {"dd": "dog"}, {"d": ""}):
        with pytest.raises(TraitError):
            explorer.tag_keys = wrong


def test_the_survey_of_the_examples_suggests_tags(explore, page):
    pytest.importorskip("scipy")
    explorer = explore(layer="conv2", playing=False, dataset=Images(24, size=32))
    page(explorer)
    eventually(lambda: sent_messages(explorer, "suggestions"), 60)
    (message, _) = sent_messages(explorer, "suggestions")[-1]
    assert message["layer"] == "conv2"
    for unit, word, why in message["rows"]:
        assert 0 <= unit < 16
        assert word
        assert "top images" in why

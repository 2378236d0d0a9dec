"""The whole layer beside the bench: a real small model, drawn, tagged, counted; what reaches the page."""

import gc
import io
import threading
import time
import weakref

import pytest
from PIL import Image
from traitlets import TraitError

from peek_widget.ascent import Recipe
from peek_widget.live.sheet_service import IN_FLIGHT
from peek_widget.sheet import batches, runners
from peek_widget.zoo.images import Images

from .test_example_service import post, sent_messages
from .test_explorer import LONG, SHORT, eventually, explore, recording, tiny

__all__ = ["explore", "recording"]  # fixtures

DRAFTED = Recipe.preset("peek").replace(steps=60, size=32)
"""Long enough for a quick version to come first."""


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
        """Of each unit the newest row and its picture."""
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


def test_every_unit_comes_once_and_is_what_the_sheet_holds(explore, page):
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


def test_quick_versions_come_first_and_better_ones_replace_them(explore, page):
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


def test_nothing_is_drawn_before_it_is_opened_and_after_it_was_put_away(explore, page):
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


def test_stop_and_go_on(explore, page):
    explorer = explore(layer="conv2", playing=False)
    watching = page(explorer)
    post(explorer, "draw", on=False)
    eventually(lambda: watching.state()["state"] == "stopped")
    drawn = len(explorer.sheet.done)
    time.sleep(0.3)
    assert len(explorer.sheet.done) == drawn
    post(explorer, "draw", on=True)
    eventually(lambda: watching.state()["state"] == "done", 60)


def test_what_is_in_view_is_drawn_first(explore):
    explorer = explore(layer="conv2", recipe=DRAFTED, playing=False)
    post(explorer, "view", units=[13, 2])
    post(explorer, "sheet", on=True)
    eventually(lambda: sent_messages(explorer, "thumbs"), 30)
    assert [row[0] for row in sent_messages(explorer, "thumbs")[0][0]["units"]] == [13, 2]


def test_it_gives_way_to_the_bench(explore, page):
    explorer = explore(layer="conv2", recipe=LONG)
    eventually(lambda: explorer.step > 3)
    watching = page(explorer)
    eventually(lambda: "bench comes first" in watching.state()["text"])
    desk = explorer._sheets
    eventually(lambda: desk._rest_until > time.monotonic(), 20)
    explorer.pause()
    explorer.wait(10)
    eventually(lambda: "bench comes first" not in watching.state()["text"])


def test_nobody_looks_and_nothing_is_drawn(explore, page):
    explorer = explore(layer="conv2", recipe=LONG, playing=False)
    watching = page(explorer)
    eventually(lambda: explorer.sheet.drafts, 30)
    watching.end.set()
    watching.thread.join()
    post(explorer, "visible", on=False)
    eventually(lambda: "when somebody looks" in watching.state()["text"], 20)
    drawn = len(explorer.sheet.drafts)
    time.sleep(0.5)
    assert len(explorer.sheet.drafts) == drawn
    post(explorer, "visible", on=True)
    eventually(lambda: watching.state()["state"] == "running")


def test_a_page_that_does_not_acknowledge_gets_no_more_than_fits(explore, page, monkeypatch):
    monkeypatch.setattr("peek_widget.live.sheet_service.IN_FLIGHT", 2000)
    monkeypatch.setattr("peek_widget.live.sheet_service.AT_ONCE", 2)
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


def test_another_layer_and_back_finds_the_first_again(explore, page):
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


def test_a_knob_turned_and_turned_leaves_few_sheets_and_the_finished_one(explore, page, monkeypatch):
    monkeypatch.setattr("peek_widget.live.sheet_service.KEPT_SHEETS", 4)
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


def test_a_page_that_comes_again_gets_all(explore, page):
    explorer = explore(layer="conv2", playing=False)
    watching = page(explorer)
    eventually(lambda: watching.state()["state"] == "done" and len(watching.thumbs()) == 16, 60)
    explorer.comm.sent.clear()
    post(explorer, "hello")
    eventually(lambda: sent_messages(explorer, "sheet") and len(watching.thumbs()) == 16)
    assert watching.state()["open"]
    # of which sheet the pictures are is said before them, or the page would let them go
    assert sent_messages(explorer, "sheet")[0][0]["n"] < sent_messages(explorer, "thumbs")[0][0]["n"]


def test_what_cannot_be_drawn_says_why_and_the_bench_goes_on(explore, page):
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


def test_a_store_that_cannot_be_written_says_so_in_the_panel(explore, page, tmp_path):
    (tmp_path / "file").write_text("")
    explorer = explore(layer="conv2", playing=False, sheet_store=tmp_path / "file")
    watching = page(explorer)
    eventually(lambda: watching.state()["problem"])
    assert watching.state()["state"] == "error"
    explorer.step_once()
    assert explorer.wait(20) == "paused"


def test_two_explorers_on_one_store_share_the_work(explore, page, tmp_path, monkeypatch):
    drawn, real = [], runners.draw

    def draw(network, batch, **options):
        for progress in real(network, batch, **options):
            drawn.extend(one.unit for one in progress.finished if not one.draft)
            yield progress

    monkeypatch.setattr(runners, "draw", draw)
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


# -- tags


def test_tags_are_put_taken_off_counted_undone_and_made_again(explore):
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


def test_python_sets_links_and_edits_the_tags(explore):
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
def test_tags_that_are_none_are_refused_in_a_sentence(explore, tags, words):
    explorer = explore(layer="conv2", playing=False, tags={"conv2": {"1": ["dog"]}})
    with pytest.raises(TraitError, match=words):
        explorer.tags = tags
    assert explorer.tags == {"conv2": {"1": ["dog"]}}


def test_a_page_that_asks_for_what_is_not_possible_is_told_and_changes_nothing(explore):
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


def test_letters_have_words(explore):
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


def test_the_survey_of_real_images_suggests(explore, page):
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

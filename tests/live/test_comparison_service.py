"""The comparison in an explorer: which of it and the main run draws, and what is sent to the page."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from peek_widget import Channel, Neuron, Recipe, compare, render
from peek_widget.errors import PeekError, RecipeError, UnitError
from peek_widget.evidence import measures
from peek_widget.live.comparison_service import ComparisonService
from peek_widget.live.protocol import KNOB_NAMES
from peek_widget.network import Preprocess, read

from .fakes import FakeFrontEnd
from .test_explorer import LONG, SHORT, eventually, explore, recording, tiny  # noqa: F401

LONGER = SHORT.replace(name="longer", steps=30)
ENDLESS = LONG.replace(name="endless")


def compare_messages(explorer):
    """Return the comparison's messages to the page: content and pictures."""
    return [
        (data["content"], buffers)
        for kind, data, buffers in list(explorer.comm.sent)
        if kind == "comm_msg" and data["method"] == "custom" and data["content"]["kind"] == "compare"
    ]


def say(explorer, **content):
    explorer.comm.receive({"method": "custom", "content": content})


def test_the_pictures_equal_those_of_a_script(explore):  # noqa: F811
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3)
    explorer.compare(seeds=[0, 4]).wait(60)
    expected = compare(model, "conv2", 3, seeds=[0, 4], recipe=SHORT).run()
    shown = explorer._parts.comparisons._shown.pictures
    for picture, result in zip(shown, expected.results, strict=True):
        assert np.array_equal(np.asarray(picture), np.asarray(result.pil()))
    assert explorer._parts.comparisons._shown.activations == expected.measured()
    content, buffers = compare_messages(explorer)[-1]
    assert content["state"] == "done"
    assert [item["caption"] for item in content["items"]] == ["seed 0", "seed 4"]
    assert [item["controls"] for item in content["items"]] == [{"seed": 0}, {"seed": 4}]
    assert [Image.open(io.BytesIO(data)).size for data in buffers] == [(32, 32)] * 2


def test_the_main_run_pauses_meanwhile_and_resumes(explore):  # noqa: F811
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 3)
    before = len(explorer.comm.sent)
    explorer.compare(recipes=[SHORT, LONGER]).wait(60)
    messages = [data for kind, data, _ in list(explorer.comm.sent)[before:] if kind == "comm_msg"]
    sets = [n for n, data in enumerate(messages) if data.get("content", {}).get("kind") == "compare"]
    states = [data["state"] for data in messages[: sets[-1]] if data["method"] == "update"]
    resting = [state["status"] for state in states if state.get("status", {}).get("comparing")]
    assert resting
    assert all("a comparison is being drawn" in status["text"] for status in resting)
    # one step at most: the one that was being made
    assert len({state["step"] for state in states}) <= 2
    step = explorer.step
    eventually(lambda: explorer.step > step + 3 and explorer.status["state"] == "running")
    assert explorer.playing


def test_explorer_wait_waits_for_the_comparison_too(explore):  # noqa: F811
    explorer = explore(recipe=LONGER)
    comparison = explorer.compare(seeds=[0, 1])
    assert explorer.wait(60) == "done"
    assert comparison.state == "done"
    assert explorer.step == 30


def test_a_control_changed_meanwhile_makes_the_main_run_take_one_step(explore):  # noqa: F811
    explorer = explore(layer="conv2", recipe=LONG)
    eventually(lambda: explorer.step > 0)
    comparison = explorer.compare(recipes=[ENDLESS, LONG])
    eventually(lambda: comparison.state == "drawing")
    explorer.unit = 5
    eventually(lambda: explorer.status["unit"] == 5 and explorer.step == 1)
    assert explorer._parts.exporter.snapshot.target.unit == 5
    explorer.end_comparison()
    eventually(lambda: explorer.step > 3)
    assert comparison.state == "closed"


def test_a_paused_explorer_compares_and_stays_paused(explore):  # noqa: F811
    explorer = explore(playing=False)
    explorer.compare(seeds=[0, 1]).wait(60)
    assert explorer.wait(10) == "paused"
    assert explorer.step == 0


def test_the_page_begins_and_closes_a_comparison(explore):  # noqa: F811
    explorer = explore(layer="conv2", unit=3)
    say(explorer, kind="compare", what="units", values=[1, 2, 3])
    eventually(lambda: compare_messages(explorer) and compare_messages(explorer)[-1][0]["state"] == "done")
    assert [item["controls"] for item in compare_messages(explorer)[-1][0]["items"]] == [
        {"unit": 1},
        {"unit": 2},
        {"unit": 3},
    ]
    say(explorer, kind="compare", what="units", values=[])
    eventually(lambda: compare_messages(explorer)[-1][0]["state"] == "")
    assert compare_messages(explorer)[-1][0]["items"] == []


@pytest.mark.parametrize(
    ("what", "values", "words"),
    [("units", [1, 99], "16"), ("recipes", ["peek", "nope"], "no recipe"), ("seeds", [1], "2 to 6")],
)
def test_an_impossible_request_is_explained_on_the_page(explore, what, values, words):  # noqa: F811
    explorer = explore(layer="conv2", recipe=LONG)
    say(explorer, kind="compare", what=what, values=values)
    eventually(lambda: compare_messages(explorer) and compare_messages(explorer)[-1][0]["state"] == "error")
    assert words in compare_messages(explorer)[-1][0]["problem"]
    step = explorer.step
    # and the explorer goes on
    eventually(lambda: explorer.step > step)


def test_a_recipe_that_is_not_offered_is_not_compared_either(explore):  # noqa: F811
    explorer = explore(layer="conv2", recipe=None, recipes=["peek-fast", "oygard-2016"])
    say(explorer, kind="compare", what="recipes", values=["peek-fast", "maco-2023"])
    eventually(lambda: compare_messages(explorer) and compare_messages(explorer)[-1][0]["state"] == "error")
    assert "choose one of peek-fast, oygard-2016" in compare_messages(explorer)[-1][0]["problem"]
    with pytest.raises(RecipeError, match="not offered"):
        explorer.compare(recipes=["peek-fast", "maco-2023"])


def test_an_impossible_request_raises_in_python(explore):  # noqa: F811
    explorer = explore(layer="conv2")
    with pytest.raises(UnitError):
        explorer.compare(units=[1, 99])
    with pytest.raises(RecipeError):
        explorer.compare(recipes=["peek", "nope"])
    with pytest.raises(PeekError, match="one thing"):
        explorer.compare()
    assert compare_messages(explorer) == []


def test_overrides_apply_to_seeds_and_units(explore):  # noqa: F811
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, blur=1.5)
    explorer.compare(units=[3, 4]).wait(60)
    expected = render(model, Neuron("conv2", 4), SHORT.replace(blur=1.5)).pil()
    # a batch rounds differently: by less than a gray level
    levels = [np.asarray(each).astype(int) for each in (explorer._parts.comparisons._shown.pictures[1], expected)]
    assert np.abs(levels[0] - levels[1]).max() <= 1
    assert "peek, blur=1.5" in compare_messages(explorer)[-1][0]["title"]


def test_units_are_drawn_for_the_objective_of_the_main_run(explore):  # noqa: F811
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, objective="channel", negative=True)
    explorer.compare(units=[3, 4]).wait(60)
    expected = render(model, -Channel("conv2", 4), SHORT)
    assert np.array_equal(np.asarray(explorer._parts.comparisons._shown.pictures[1]), np.asarray(expected.pil()))
    # the unit's own activation, where it is lowest
    own = -measures.still_activation(read(model), -Channel("conv2", 4), expected.images[0], SHORT)
    assert own < 0.0
    assert explorer._parts.comparisons._shown.activations[1] == pytest.approx(own)


def test_the_controls_of_an_item_draw_its_picture_in_the_main_run(explore):  # noqa: F811
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, recipe=LONGER)
    explorer.compare(recipes=[LONGER, "peek-fast", SHORT.replace(name="elsewhere")]).wait(60)
    first, second, third = (item["controls"] for item in compare_messages(explorer)[-1][0]["items"])
    assert first["recipe"] == "longer"
    assert second == {"recipe": "peek-fast", **dict.fromkeys(KNOB_NAMES)}
    # the page knows names only, and this one none that it could send
    assert third == {}


def test_a_new_page_gets_the_comparison(explore):  # noqa: F811
    explorer = explore()
    explorer.compare(seeds=[0, 1]).wait(60)
    before = len(compare_messages(explorer))
    say(explorer, kind="hello")
    eventually(lambda: len(compare_messages(explorer)) > before)
    content, buffers = compare_messages(explorer)[-1]
    assert content["state"] == "done"
    assert len(buffers) == 2


def test_the_figure_lasts_until_the_comparison_is_closed(explore, tmp_path):  # noqa: F811
    explorer = explore(layer="conv2", unit=3)
    comparison = explorer.compare(seeds=[0, 1])
    comparison.wait(60).save(tmp_path / "x.png")
    assert Image.open(tmp_path / "x.png").width > 640
    other = explorer.compare(seeds=[2, 3])
    with pytest.raises(PeekError, match="was closed"):
        comparison.figure()
    other.wait(60)
    explorer.end_comparison()
    with pytest.raises(PeekError, match="was closed"):
        other.figure()


def test_a_failed_comparison_raises_and_explains_itself(explore):  # noqa: F811
    explorer = explore(tiny(channels=2), layer="conv2")
    with pytest.raises(PeekError, match="2 channels"):
        explorer.compare(recipes=[SHORT, "maco-2023"]).wait(60)
    assert "2 channels" in compare_messages(explorer)[-1][0]["problem"]


# -- pacing, with a clock of the test's own


class Still:
    """Two pictures that change at every step, of a run without an end."""

    def __init__(self, total=1000):
        self.index, self.total, self.title = 0, total, "t"
        self.entries = [type("E", (), {"caption": c, "recipe": Recipe()})() for c in "ab"]
        self.captions = ("a", "b")

    done = property(lambda self: self.index >= self.total)
    steps = property(lambda self: (self.index, self.index))
    network = SimpleNamespace(preprocess=Preprocess())
    images = property(lambda self: (torch.zeros(3, 8, 8),) * 2)

    def step(self):
        self.index += 1

    def measured(self):
        return (1.0, 2.0)


def test_pictures_are_paced_and_wait_for_acknowledgments():
    now, page = [0.0], FakeFrontEnd()
    service = ComparisonService(page, lambda: None, lambda: now[0])
    service.begin(lambda: Still(), [{}, {}])
    service.run_once()
    for _ in range(100):
        now[0] += 0.01
        service.run_once()
    full = [content["n"] for content, buffers in page.sent if buffers]
    # half a second's worth and no more, since the page has not answered
    assert 5 <= len(full) <= 9
    service.ack(full[-1])
    for _ in range(20):
        now[0] += 0.01
        service.run_once()
    assert len([1 for _, buffers in page.sent if buffers]) > len(full)


def test_the_last_pictures_are_sent_without_acknowledgments():
    page = FakeFrontEnd()
    service = ComparisonService(page, lambda: None, lambda: 0.0)
    service.begin(lambda: Still(total=50), [{}, {}])
    while service.ready(True):
        service.run_once()
    content, buffers = page.sent[-1]
    assert (content["state"], len(buffers)) == ("done", 2)
    assert [item["bar"] for item in content["items"]] == [[0.0, 50.0], [0.0, 100.0]]


def test_nothing_is_drawn_while_nobody_looks():
    service = ComparisonService(FakeFrontEnd(), lambda: None)
    service.begin(lambda: Still(), [{}, {}])
    service.run_once()
    assert service.ready(True)
    assert not service.ready(False)
    assert service.blocking

"""The comparison in an explorer: who draws when, and what the page is told."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from peek_widget import Channel, Neuron, Recipe, compare, render
from peek_widget.errors import PeekError, RecipeError, UnitError
from peek_widget.evidence import measures
from peek_widget.live.comparison_service import ComparisonService
from peek_widget.live.protocol import KNOB_NAMES
from peek_widget.network import read

from .test_explorer import LONG, SHORT, eventually, explore, recording, tiny  # noqa: F401

LONGER = SHORT.replace(name="longer", steps=30)
ENDLESS = LONG.replace(name="endless")


def told(explorer):
    """What the page was told of comparisons: content and pictures."""
    return [
        (data["content"], buffers)
        for kind, data, buffers in list(explorer.comm.sent)
        if kind == "comm_msg" and data["method"] == "custom" and data["content"]["kind"] == "compare"
    ]


def say(explorer, **content):
    explorer.comm.receive({"method": "custom", "content": content})


def test_it_draws_what_a_script_draws(explore):  # noqa: F811
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3)
    explorer.compare(seeds=[0, 4]).wait(60)
    expected = compare(model, "conv2", 3, seeds=[0, 4], recipe=SHORT).run()
    shown = explorer._comparer._shown.pictures
    for picture, result in zip(shown, expected.results, strict=True):
        assert np.array_equal(np.asarray(picture), np.asarray(result.pil()))
    assert explorer._comparer._shown.activations == expected.measured()
    content, buffers = told(explorer)[-1]
    assert content["state"] == "done"
    assert [item["caption"] for item in content["items"]] == ["seed 0", "seed 4"]
    assert [item["controls"] for item in content["items"]] == [{"seed": 0}, {"seed": 4}]
    assert [Image.open(io.BytesIO(data)).size for data in buffers] == [(32, 32)] * 2


def test_the_run_rests_and_goes_on_after_it(explore):  # noqa: F811
    explorer = explore(recipe=LONG)
    eventually(lambda: explorer.step > 3)
    before = len(explorer.comm.sent)
    explorer.compare(recipes=[SHORT, LONGER]).wait(60)
    messages = [data for kind, data, _ in list(explorer.comm.sent)[before:] if kind == "comm_msg"]
    sets = [n for n, data in enumerate(messages) if data.get("content", {}).get("kind") == "compare"]
    states = [data["state"] for data in messages[: sets[-1]] if data["method"] == "update"]
    assert any("a comparison draws" in state["status"]["text"] for state in states)
    # one step at most: the one that was being made
    assert len({state["step"] for state in states}) <= 2
    step = explorer.step
    eventually(lambda: explorer.step > step + 3 and explorer.status["state"] == "running")
    assert explorer.playing


def test_waiting_for_the_run_waits_for_both(explore):  # noqa: F811
    explorer = explore(recipe=LONGER)
    comparison = explorer.compare(seeds=[0, 1])
    assert explorer.wait(60) == "done"
    assert comparison.state == "done"
    assert explorer.step == 30


def test_a_control_that_is_changed_meanwhile_shows_at_once(explore):  # noqa: F811
    explorer = explore(layer="conv2", recipe=LONG)
    eventually(lambda: explorer.step > 0)
    comparison = explorer.compare(recipes=[ENDLESS, LONG])
    eventually(lambda: comparison.state == "drawing")
    explorer.unit = 5
    eventually(lambda: explorer.status["unit"] == 5 and explorer.step == 1)
    assert explorer._snapshot.target.unit == 5
    explorer.end_comparison()
    eventually(lambda: explorer.step > 3)
    assert comparison.state == "closed"


def test_a_paused_explorer_compares_and_stays_paused(explore):  # noqa: F811
    explorer = explore(playing=False)
    explorer.compare(seeds=[0, 1]).wait(60)
    assert explorer.wait(10) == "paused"
    assert explorer.step == 0


def test_by_the_page(explore):  # noqa: F811
    explorer = explore(layer="conv2", unit=3)
    say(explorer, kind="compare", what="units", values=[1, 2, 3])
    eventually(lambda: told(explorer) and told(explorer)[-1][0]["state"] == "done")
    assert [item["controls"] for item in told(explorer)[-1][0]["items"]] == [{"unit": 1}, {"unit": 2}, {"unit": 3}]
    say(explorer, kind="compare", what="units", values=[])
    eventually(lambda: told(explorer)[-1][0]["state"] == "")
    assert told(explorer)[-1][0]["items"] == []


@pytest.mark.parametrize(
    ("what", "values", "words"),
    [("units", [1, 99], "16"), ("recipes", ["peek", "nope"], "no recipe"), ("seeds", [1], "2 to 6")],
)
def test_what_is_not_possible_is_told_to_the_page(explore, what, values, words):  # noqa: F811
    explorer = explore(layer="conv2", recipe=LONG)
    say(explorer, kind="compare", what=what, values=values)
    eventually(lambda: told(explorer) and told(explorer)[-1][0]["state"] == "error")
    assert words in told(explorer)[-1][0]["problem"]
    step = explorer.step
    # and the explorer goes on
    eventually(lambda: explorer.step > step)


def test_a_recipe_that_is_not_offered_is_not_compared_either(explore):  # noqa: F811
    explorer = explore(layer="conv2", recipe=None, recipes=["peek-fast", "oygard-2016"])
    say(explorer, kind="compare", what="recipes", values=["peek-fast", "maco-2023"])
    eventually(lambda: told(explorer) and told(explorer)[-1][0]["state"] == "error")
    assert "possible are peek-fast, oygard-2016" in told(explorer)[-1][0]["problem"]
    with pytest.raises(RecipeError, match="not offered"):
        explorer.compare(recipes=["peek-fast", "maco-2023"])


def test_in_python_it_is_raised(explore):  # noqa: F811
    explorer = explore(layer="conv2")
    with pytest.raises(UnitError):
        explorer.compare(units=[1, 99])
    with pytest.raises(RecipeError):
        explorer.compare(recipes=["peek", "nope"])
    with pytest.raises(PeekError, match="one thing"):
        explorer.compare()
    assert told(explorer) == []


def test_settings_by_hand_hold_for_seeds_and_units(explore):  # noqa: F811
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, blur=1.5)
    explorer.compare(units=[3, 4]).wait(60)
    expected = render(model, Neuron("conv2", 4), SHORT.replace(blur=1.5)).pil()
    assert np.array_equal(np.asarray(explorer._comparer._shown.pictures[1]), np.asarray(expected))
    assert "peek, blur=1.5" in told(explorer)[-1][0]["title"]


def test_what_is_drawn_of_a_unit_is_that_of_the_bench(explore):  # noqa: F811
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, objective="channel", negative=True)
    explorer.compare(units=[3, 4]).wait(60)
    expected = render(model, -Channel("conv2", 4), SHORT)
    assert np.array_equal(np.asarray(explorer._comparer._shown.pictures[1]), np.asarray(expected.pil()))
    # the unit's own activation, whichever way it was drawn
    own = measures.still_activation(read(model), Channel("conv2", 4), expected.images[0], SHORT)
    assert explorer._comparer._shown.activations[1] == pytest.approx(own)


def test_a_click_puts_a_picture_on_the_bench(explore):  # noqa: F811
    """What a picture says must be set draws that picture."""
    model = tiny()
    explorer = explore(model, layer="conv2", unit=3, recipe=LONGER)
    explorer.compare(recipes=[LONGER, "peek-fast", SHORT.replace(name="elsewhere")]).wait(60)
    first, second, third = (item["controls"] for item in told(explorer)[-1][0]["items"])
    assert first["recipe"] == "longer"
    assert second == {"recipe": "peek-fast", **dict.fromkeys(KNOB_NAMES)}
    # the page knows names only, and this one none that it could send
    assert third == {}


def test_a_page_that_comes_anew_is_told(explore):  # noqa: F811
    explorer = explore()
    explorer.compare(seeds=[0, 1]).wait(60)
    before = len(told(explorer))
    say(explorer, kind="hello")
    eventually(lambda: len(told(explorer)) > before)
    content, buffers = told(explorer)[-1]
    assert content["state"] == "done"
    assert len(buffers) == 2


def test_the_figure_of_a_live_comparison(explore, tmp_path):  # noqa: F811
    explorer = explore(layer="conv2", unit=3)
    comparison = explorer.compare(seeds=[0, 1])
    comparison.wait(60).save(tmp_path / "x.png")
    assert Image.open(tmp_path / "x.png").width > 640
    other = explorer.compare(seeds=[2, 3])
    with pytest.raises(PeekError, match="put away"):
        comparison.figure()
    other.wait(60)
    explorer.end_comparison()
    with pytest.raises(PeekError, match="put away"):
        other.figure()


def test_a_comparison_that_fails_says_why(explore):  # noqa: F811
    explorer = explore(tiny(channels=2), layer="conv2")
    with pytest.raises(PeekError, match="2 channels"):
        explorer.compare(recipes=[SHORT, "maco-2023"]).wait(60)
    assert "2 channels" in told(explorer)[-1][0]["problem"]


# -- pacing, with a clock of the test's own


class Still:
    """Two pictures that change at every step, of a run without an end."""

    def __init__(self, total=1000):
        self.index, self.total, self.title = 0, total, "t"
        self.entries = [type("E", (), {"caption": c, "recipe": Recipe()})() for c in "ab"]
        self.captions = ("a", "b")

    done = property(lambda self: self.index >= self.total)
    steps = property(lambda self: (self.index, self.index))
    images = property(lambda self: (torch.zeros(3, 8, 8),) * 2)

    def step(self):
        self.index += 1

    def measured(self):
        return (1.0, 2.0)


def test_frames_are_paced_and_wait_for_the_page():
    now, sent = [0.0], []
    desk = ComparisonService(lambda content, buffers: sent.append((content, buffers)), lambda: None, lambda: now[0])
    desk.begin(lambda: Still(), [{}, {}])
    desk.run_once()
    for _ in range(100):
        now[0] += 0.01
        desk.run_once()
    full = [content["n"] for content, buffers in sent if buffers]
    # half a second's worth and no more, since the page has not answered
    assert 5 <= len(full) <= 9
    desk.ack(full[-1])
    for _ in range(20):
        now[0] += 0.01
        desk.run_once()
    assert len([1 for _, buffers in sent if buffers]) > len(full)


def test_the_last_pictures_go_out_whatever_the_page_does():
    sent = []
    desk = ComparisonService(lambda content, buffers: sent.append((content, buffers)), lambda: None, lambda: 0.0)
    desk.begin(lambda: Still(total=50), [{}, {}])
    while desk.ready(True):
        desk.run_once()
    content, buffers = sent[-1]
    assert (content["state"], len(buffers)) == ("done", 2)
    assert [item["bar"] for item in content["items"]] == [[0.0, 50.0], [0.0, 100.0]]


def test_nobody_looks_and_nothing_is_drawn():
    desk = ComparisonService(lambda content, buffers: None, lambda: None)
    desk.begin(lambda: Still(), [{}, {}])
    desk.run_once()
    assert desk.ready(True)
    assert not desk.ready(False)
    assert desk.blocking

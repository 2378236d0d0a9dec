"""Several seeds of a unit drawn at once: which ones, how many, what is shown of them, and what a file says of it."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from traitlets import TraitError

from peek_widget import Channel, Diversity, Logit, Recipe, UnitExplorer, load_recipe, render
from peek_widget.ascent import at_once
from peek_widget.live import model_source
from peek_widget.live.controls import LARGEST_SEED
from peek_widget.network import read
from tests.ascent.test_at_once import CLOCK, Device

from .test_explorer import LONG, SHORT, eventually, explore, recording, tiny  # noqa: F401

WIDE = SHORT.replace(size=96, view_size=96)
"""A recipe whose views are so large that on a CPU a picture is the same with others as alone, bit for bit."""


def told(explorer: UnitExplorer, kind: str = "seeds") -> list[tuple[list[int], list[bytes]]]:
    """The messages about seeds that the page got, with their pictures."""
    sent = [(data["content"], buffers) for _, data, buffers in explorer.comm.sent if "content" in data]
    return [(content["seeds"], buffers) for content, buffers in sent if content["kind"] == kind]


def greeted(explorer: UnitExplorer) -> UnitExplorer:
    """Return an explorer to which a page has said hello."""
    explorer.comm.receive({"method": "custom", "content": {"kind": "hello"}})
    explorer.comm.receive({"method": "custom", "content": {"kind": "visible", "on": True}})
    return explorer


@pytest.fixture
def idle(monkeypatch):
    """This CPU is a device that may be idle, on a clock that a `Device`'s forward moves on."""
    monkeypatch.setenv("PEEK_PROBE", "0")
    monkeypatch.setattr(at_once, "_BUSY", ())
    monkeypatch.setattr(at_once, "perf_counter", lambda: CLOCK[0])


def test_each_picture_is_the_one_that_its_seed_draws_alone(explore):  # noqa: F811
    explorer = greeted(explore(layer="", unit=3, input_size=96, recipe=WIDE, seed=5, seeds_at_once=3))
    assert explorer.wait(60) == "done"
    pictures = explorer.images_by_seed
    assert list(pictures) == [3, 4, 5], "the block that the seed is in"
    for seed, picture in pictures.items():
        alone = render(tiny(), Logit(3), WIDE, seed=seed, input_size=96).pil()
        assert np.array_equal(np.asarray(picture), np.asarray(alone)), seed
    assert np.array_equal(np.asarray(explorer.image), np.asarray(pictures[5])), "the large one is that of the seed"
    seeds, small = told(explorer)[-1]
    assert seeds == [3, 4, 5]
    shown = [Image.open(io.BytesIO(one)) for one in small]
    for seed, picture in zip(seeds, shown, strict=True):
        apart = {n: np.abs(np.subtract(picture, pictures[n], dtype=float)).mean() for n in pictures}
        assert min(apart, key=apart.get) == seed, "in the order of the seeds"


def test_another_seed_of_the_block_leaves_the_others_in_their_places(explore):  # noqa: F811
    explorer = greeted(explore(layer="conv2", unit=3, seeds_at_once=4))
    explorer.wait(60)
    before = explorer.images_by_seed
    explorer.seed = 2
    explorer.wait(60)
    after = explorer.images_by_seed
    assert list(before) == list(after) == [0, 1, 2, 3]
    assert np.array_equal(np.asarray(explorer.image), np.asarray(after[2]))
    assert all(np.array_equal(np.asarray(before[n]), np.asarray(after[n])) for n in before), "the same pictures again"
    explorer.seed = 4
    explorer.wait(60)
    assert list(explorer.images_by_seed) == [4, 5, 6, 7]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_largest_seed_has_neighbors_too(explore, count):  # noqa: F811
    explorer = explore(layer="conv2", unit=3, seed=LARGEST_SEED, seeds_at_once=count, recipe=SHORT.replace(steps=1))
    explorer.wait(60)
    seeds = list(explorer.images_by_seed)
    assert len(seeds) == count
    assert seeds[-1] == LARGEST_SEED
    assert seeds == list(range(seeds[0], seeds[0] + count))


def test_with_one_seed_nothing_is_said_of_seeds_until_there_were_several(explore):  # noqa: F811
    explorer = greeted(explore(layer="conv2", unit=3))
    explorer.wait(60)
    assert list(explorer.images_by_seed) == [0]
    assert told(explorer) == []
    explorer.seeds_at_once = 2
    explorer.wait(60)
    assert told(explorer)[-1][0] == [0, 1]
    explorer.seeds_at_once = 1
    explorer.wait(60)
    assert told(explorer)[-1] == ([], [])
    explorer.restart()
    explorer.wait(60)
    assert [seeds for seeds, _ in told(explorer)].count([]) == 1, "it is said once"


def test_a_page_that_comes_later_gets_them(explore):  # noqa: F811
    explorer = explore(layer="conv2", unit=3, seeds_at_once=4)
    explorer.wait(60)
    explorer.comm.sent.clear()
    greeted(explorer)
    eventually(lambda: told(explorer))
    assert told(explorer)[-1][0] == [0, 1, 2, 3]


def test_an_earlier_step_shows_the_others_at_that_step_and_goes_on_with_all(explore):  # noqa: F811
    explorer = explore(layer="", unit=3, input_size=96, recipe=WIDE, seeds_at_once=2)
    explorer.wait(60)
    end = explorer.images_by_seed
    explorer.seek(4)
    explorer.wait(60)
    early = explorer.images_by_seed
    assert not np.array_equal(np.asarray(early[1]), np.asarray(end[1]))
    explorer.resume_from(4)
    explorer.wait(60)
    again = explorer.images_by_seed
    assert all(np.array_equal(np.asarray(again[n]), np.asarray(end[n])) for n in (0, 1))


@pytest.mark.parametrize("value", [0, 5, 1.5, True, "4"])
def test_other_numbers_are_refused(explore, value):  # noqa: F811
    explorer = explore(layer="conv2", playing=False)
    with pytest.raises(TraitError):
        explorer.seeds_at_once = value
    assert explorer.seeds_at_once is None


def test_what_is_refused_is_said_in_a_sentence(explore):  # noqa: F811
    with pytest.raises(Exception, match="seeds_at_once=5: give a whole number from 1 to 4, or None for as many"):
        explore(layer="conv2", seeds_at_once=5)


def test_it_is_kept_in_the_state_and_in_the_line_of_python(explore):  # noqa: F811
    explorer = explore(layer="conv2", playing=False, seeds_at_once=3)
    assert "seeds_at_once=3" in explorer.code()
    other = explore(recipe=None, state=explorer.state)
    assert other.seeds_at_once == 3
    assert "seeds_at_once" not in explore(layer="conv2", playing=False).code()


# -- how many, where nobody says


def test_on_a_cpu_it_is_one_seed(explore):  # noqa: F811
    explorer = explore(layer="conv2", unit=3)
    explorer.wait(60)
    assert list(explorer.images_by_seed) == [0]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("seconds", "seeds"),
    [
        (lambda images: 0.001, [0, 1, 2, 3]),
        (lambda images: 0.001 * images, [0]),
        (lambda images: 0.06, [0]),
    ],
    ids=["idle", "busy", "slow, so that trying would be felt"],
)
def test_on_another_device_as_many_as_cost_little(explore, seconds, seeds):  # noqa: F811
    explorer = explore(Device(seconds), layer="inner.forms", unit=1, input_size=32)
    explorer.wait(60)
    assert list(explorer.images_by_seed) == seeds


@pytest.mark.usefixtures("idle")
def test_it_is_tried_once_for_each_layer_and_recipe(explore, monkeypatch):  # noqa: F811
    tried = []
    real = model_source.seeds_at_once

    def counted(*args, **options):
        tried.append(args)
        return real(*args, **options)

    monkeypatch.setattr(model_source, "seeds_at_once", counted)
    explorer = explore(Device(lambda images: 0.001), layer="inner.forms", unit=1, input_size=32)
    for change in ({"unit": 2}, {"seed": 9}, {"blur": 1.0}, {"negative": True}):
        for name, value in change.items():
            setattr(explorer, name, value)
        explorer.wait(60)
    assert len(tried) == 1
    explorer.recipe = SHORT.replace(steps=6)
    explorer.wait(60)
    assert len(tried) == 2


@pytest.mark.usefixtures("idle")
def test_an_objective_about_the_others_is_drawn_alone_unless_several_are_asked_for(explore):  # noqa: F811
    apart = Channel("inner.forms", 1) + 5 * Diversity("inner.forms")
    explorer = explore(Device(lambda images: 0.001), layer="inner.forms", unit=1, input_size=32, objective=apart)
    explorer.wait(60)
    assert list(explorer.images_by_seed) == [0]
    explorer.seeds_at_once = 2
    explorer.wait(60)
    assert list(explorer.images_by_seed) == [0, 1]


ROOM = [10**6]  # images that a crowded device has memory for, and one


class Crowded(Device):
    """An idle device with room for whatever is drawn, until somebody else takes the memory."""

    def __init__(self):
        super().__init__(lambda images: 0.001)
        ROOM[0] = 10**6

    def forward(self, x):
        self.full = ROOM[0]
        return super().forward(x)


@pytest.mark.usefixtures("idle")
def test_where_memory_runs_out_midway_the_seed_is_drawn_alone_and_it_is_said(explore):  # noqa: F811
    explorer = explore(Crowded(), layer="inner.forms", unit=1, input_size=32, recipe=LONG.replace(n_views=2))
    eventually(lambda: explorer.step > 5)
    assert list(explorer.images_by_seed) == [0, 1, 2, 3]
    ROOM[0] = 3
    eventually(lambda: list(explorer.images_by_seed) == [0])
    explorer.pause()
    explorer.wait(60)
    assert "Memory ran out for several seeds at once, so this one is drawn alone." in explorer.status["text"]
    ROOM[0] = 10**6
    explorer.unit = 2
    explorer.play()
    eventually(lambda: explorer.status["unit"] == 2 and explorer.step > 2)
    assert list(explorer.images_by_seed) == [0], "the same layer is not tried again"


@pytest.mark.usefixtures("idle")
def test_where_memory_runs_out_for_what_was_asked_for_it_is_an_error(explore):  # noqa: F811
    explorer = explore(Crowded(), layer="inner.forms", input_size=32, recipe=LONG.replace(n_views=2), seeds_at_once=4)
    eventually(lambda: explorer.step > 5)
    ROOM[0] = 3
    assert explorer.wait(60) == "error"
    assert "memory ran out" in explorer.status["text"]
    assert "fewer seeds at once" in explorer.status["text"]


# -- what a file says


def test_a_picture_that_would_come_out_otherwise_alone_says_so(explore, tmp_path, caplog):  # noqa: F811
    explorer = explore(layer="", unit=3, input_size=96, recipe=SHORT.replace(view_size=32), seeds_at_once=4)
    explorer.wait(60)
    explorer.save(tmp_path / "narrow.png")
    assert "it was drawn with 3 other seeds at once, and alone rounding differs" in caplog.text
    caplog.clear()
    explorer.recipe = WIDE
    explorer.wait(60)
    explorer.save(tmp_path / "wide.png")
    assert caplog.text == ""
    drawing = load_recipe(tmp_path / "wide.png")
    assert drawing.seed == 0
    again = render(tiny(), drawing.objective, drawing.recipe, seed=drawing.seed, size=drawing.size, input_size=96)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "wide.png")), np.asarray(again.pil()))


def test_the_network_is_left_as_it_was():
    model = tiny().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explorer = UnitExplorer(
        model, layer="conv2", recipe=Recipe.preset("peek").replace(steps=3, size=32), seeds_at_once=4
    )
    explorer.wait(60)
    explorer.close()
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert read(model, 32).layer("conv2").channels == 16

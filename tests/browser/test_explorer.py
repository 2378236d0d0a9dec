"""The main job, all the way through: a real kernel, a real JupyterLab, a real Chromium."""

import time

import pytest

from peek_widget import Recipe

from .page import ROOT

MODEL = """
import torch
from torch import nn
from peek_widget import UnitExplorer

torch.manual_seed(0)
model = nn.Sequential()
model.add_module("conv1", nn.Conv2d(3, 8, 5, stride=2))
model.add_module("relu1", nn.ReLU())
model.add_module("conv2", nn.Conv2d(8, 16, 3, stride=2))
model.add_module("relu2", nn.ReLU())
model.add_module("conv3", nn.Conv2d(16, 32, 3))
"""
SHOW = "explorer = UnitExplorer(model, layer='conv2', recipe=long)\nexplorer"
# It draws as long as anybody looks at it; small, since what is looked at is not the picture.
LONG = """
from peek_widget import Recipe
long = Recipe.preset('peek').replace(steps=100_000, size=96, n_views=2, view_size=64)"""


@pytest.fixture
def running(notebook):
    """A page in which an explorer draws."""

    def start(*more):
        book = notebook([MODEL + LONG, SHOW, *more])
        book.run_cell(0)
        book.run_cell(1)
        book.until("d.drawn > 3 && d.state === 'running'")
        return book

    return start


def test_it_draws_and_python_sees_the_same(running):
    book = running()
    first = book.pixels()
    book.until("d.drawn > 20")
    assert book.pixels() != first
    assert book.ask("explorer.status['state']") == "running"
    assert book.ask("explorer.step") > 3
    assert book.ask("len(explorer.frame)") > 1000


def test_frames_from_before_the_page_connected_are_not_lost(notebook):
    book = notebook([MODEL + "explorer = UnitExplorer(model)\nexplorer.wait(60)", "explorer"])
    book.run_cell(0)
    assert book.ask("explorer.status['state']") == "done"
    book.run_cell(1)
    seen = book.until("d.drawn >= 1 && d.state === 'done'")
    assert seen["step"] == Recipe.preset("peek").steps
    assert book.pixels()[:3] == book.ask("list(explorer.image.getpixel((0, 0)))")


def test_the_unit_slider_by_keyboard(running):
    book = running()
    run = book.until("true")["run"]
    slider = book.root.get_by_role("slider", name="Unit", exact=True)
    slider.focus()
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    book.until(f"d.run > {run} && d.drawn > 0 && d.state === 'running'")
    book.page.wait_for_function(
        "() => document.querySelector('.peek-root').textContent.includes('unit 2')", timeout=60_000
    )
    book.until_kernel("explorer.unit == 2 and explorer.status['unit'] == 2")


def test_the_trait_moves_the_slider(running):
    book = running()
    book.ask("setattr(explorer, 'unit', 5)")
    slider = book.root.get_by_role("slider", name="Unit", exact=True)
    book.page.wait_for_function("s => s.value === '5'", arg=slider.element_handle(), timeout=60_000)
    book.until("d.state === 'running' && d.step > 0")


def test_pause_stands_still_and_shows_the_exact_picture(running):
    book = running()
    book.root.get_by_role("button", name="Pause").click()
    book.until("d.state === 'paused'")
    assert book.ask("explorer.playing") is False
    step = book.ask("explorer.step")
    n = book.ask("explorer.status['n']")
    book.until(f"d.step === {step} && d.n === {n}")
    book.page.wait_for_timeout(500)
    assert book.ask("explorer.step") == step
    shown, exact = book.pixels(), book.ask("[list(explorer.image.getpixel((x, 3))) for x in range(9)]")
    width = book.ask("explorer.image.width")
    row = [shown[4 * (3 * width + x) : 4 * (3 * width + x) + 3] for x in range(9)]
    if book.ask("explorer.frame[:4] == b'\\x89PNG'"):
        assert row == exact
    book.root.get_by_role("button", name="Single step").click()
    book.until(f"d.step === {step + 1}")
    book.root.get_by_role("button", name="Play").click()
    book.until(f"d.step > {step + 2} && d.state === 'running'")


OWN = """
from peek_widget.ascent import Neuron
from peek_widget.ascent.still import still_activation
from peek_widget.network import read
def own():
    shown = explorer._parts.exporter.snapshot
    return still_activation(read(model), Neuron("conv2", 0), shown.image, shown.recipe)
"""


def test_the_number_is_that_of_the_picture_shown_and_the_views_are_a_band(running):
    book = running()
    book.ask(f"exec({OWN!r}, globals())")
    number = book.root.locator(".peek-activation")

    def shown():
        book.page.wait_for_function(
            "value => Number(document.querySelector('.peek-activation').textContent.replace('−', '-')) === value",
            arg=float(f"{book.ask('explorer.activation'):.3g}"),
            timeout=60_000,
        )

    book.until("d.step > 60")
    book.root.get_by_role("button", name="Pause").click()
    book.until("d.state === 'paused'")
    assert book.ask("explorer.activation == own()")
    shown()
    at_the_end = number.text_content()
    band, line = (book.root.locator(f".peek-curve-{part}").get_attribute("d") for part in ("band", "line"))
    assert band.count("L") > line.count("L") >= 1
    last = [float(each) for each in line.rsplit("L", 1)[1].split()]
    assert last[0] == pytest.approx(100 * book.ask("explorer.step / explorer.status['total']"), abs=0.01)
    assert at_the_end in book.root.locator(".peek-curve").get_attribute("aria-label")
    assert "random views" in book.root.locator(".peek-curve-group").get_attribute("title")
    book.ask("explorer.seek(1)")
    book.until("d.step < 3")
    assert book.ask("explorer.activation == own()")
    shown()
    assert number.text_content() != at_the_end


def test_a_reloaded_page_shows_a_paused_picture(running):
    book = running()
    book.ask("explorer.pause()")
    book.until("d.state === 'paused'")
    book.save()
    before = book.pixels()
    book.load()
    book.until("d.drawn >= 1 && d.state === 'paused'", timeout=60)
    assert book.pixels() == before


def test_frames_and_pause_go_on_while_a_cell_sleeps(running):
    # a message sent by the cell itself is what makes ipykernel 7.4 route Pause behind the cell
    book = running("import time\nexplorer.unit = 3\ntime.sleep(600)")
    book.run_cell(2, wait=False)
    book.until_busy()
    drawn = book.until("true")["drawn"]
    book.until(f"d.drawn > {drawn + 30}")
    book.root.get_by_role("button", name="Pause").click()
    book.until("d.state === 'paused'")
    # before the cell ends: not the main thread's doing
    assert book.busy(), "the cell had ended already"
    book.interrupt()
    book.settled()


def test_everything_in_one_go_with_a_sleeping_cell_last(notebook):
    """Run-all: the page says hello only when the last cell already sleeps."""
    book = notebook([MODEL + LONG, SHOW, "import time\ntime.sleep(600)"])
    book.run_all(wait=False)
    book.until("d.drawn > 3 && d.state === 'running'")
    book.root.get_by_role("button", name="Pause").click()
    book.until("d.state === 'paused'")
    assert book.busy(), "the cell had ended already"
    book.interrupt()
    book.settled()


def test_an_error_in_the_forward_is_shown_and_survived(notebook):
    broken = """
class Moody(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.mood = {"good": True}
    def forward(self, x):
        if not MOOD["good"]:
            raise RuntimeError("not in the mood <b>today</b>")
        return self.conv(x)
MOOD = {"good": True}
explorer = UnitExplorer(Moody(), layer="conv", recipe=long)
explorer
"""
    book = notebook([MODEL + LONG, broken])
    book.run_cell(0)
    book.run_cell(1)
    book.until("d.drawn > 3")
    book.ask("MOOD.update(good=False)")
    book.until("d.state === 'error'")
    book.page.wait_for_function(
        "() => document.querySelector('.peek-root').textContent.includes('not in the mood <b>today</b>')"
    )
    book.ask("MOOD.update(good=True)")
    book.ask("setattr(explorer, 'unit', 3)")
    book.until("d.state === 'running' && d.step > 2")


def test_a_closed_page_lets_the_worker_rest_and_a_new_one_wakes_it(running):
    book = running()
    book.save()
    book.page.goto("about:blank")
    book.page.wait_for_timeout(2500)
    book.load()
    book.until("d.drawn > 2 && d.state === 'running'", timeout=60)


def test_a_saved_notebook_stays_small(running, record_property):
    book = running()
    size = book.save()
    record_property("saved_running", size)
    book.ask("explorer.pause()")
    book.until("d.state === 'paused'")
    paused = book.save()
    record_property("saved_paused", paused)
    print(f"saved notebook: {size / 1000:.1f} kB while running, {paused / 1000:.1f} kB paused")
    # saving must have kept the picture, or small would mean nothing
    assert "widget-state" in book.file.read_text()
    assert size < 200_000
    assert paused < 200_000


def test_nothing_was_asked_of_any_other_machine(running, strangers):
    running()
    assert strangers == []


@pytest.mark.alone
@pytest.mark.own_page
def test_a_slow_browser_makes_no_queue(running):
    book = running()
    devtools = book.page.context.new_cdp_session(book.page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 8})
    book.page.wait_for_timeout(3000)
    behind = []
    for _ in range(4):
        began = time.monotonic()
        drawn = book.until("true")["n"]
        sent = book.ask("explorer.status['n']")
        # what was sent while the slow page was being asked is no queue
        behind.append(sent - drawn - 30 * (time.monotonic() - began))
        book.page.wait_for_timeout(300)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    # the window is half a second's worth
    assert max(behind) <= 15, behind
    n = book.until("true")["n"]
    book.until(f"d.n > {n + 10}")


def test_in_a_row_of_widgets_it_has_room_and_d_d_after_a_click_on_the_picture_deletes_no_cell(notebook):
    row = "import ipywidgets\nipywidgets.HBox([explorer, ipywidgets.Button(description='beside')])"
    book = notebook([MODEL + LONG, SHOW.replace("\nexplorer", f"\n{row}")])
    book.run_cell(0)
    book.run_cell(1)
    book.until("d.drawn > 3 && d.state === 'running'")
    root = book.page.locator(ROOT).first
    box = root.bounding_box()
    assert box is not None
    assert box["width"] >= 320
    cells = book.page.locator(".jp-Cell").count()
    root.locator(".peek-stage").click()
    assert root.evaluate("e => e.getRootNode().activeElement === e")
    for _ in range(2):
        book.page.keyboard.press("d")
    assert book.page.locator(".jp-Cell").count() == cells

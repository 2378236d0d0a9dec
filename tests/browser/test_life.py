"""Life and death: whatever happens to the page, the kernel or the notebook, the picture is told the truth about."""

import importlib.metadata
import subprocess
import sys
from urllib.parse import unquote

import pytest
from playwright.sync_api import expect

from .lab import PANEL
from .page import ROOT
from .test_explorer import LONG, MODEL, SHOW
from .test_real_images import DATASET

WORKERS = "[t.name for t in __import__('threading').enumerate()].count('peek_widget')"


@pytest.fixture
def drawing(notebook):
    """A page in which an explorer draws; more cells lie below it."""

    def start(*more, **host):
        book = notebook([MODEL + LONG + DATASET, SHOW, *more], **host)
        book.run_cell(0)
        book.run_cell(1)
        book.until("d.drawn > 3 && d.state === 'running'")
        return book

    return start


def look_at(page, view):
    """An explorer that is scrolled out of sight rests."""
    page.page.locator(ROOT).nth(view).scroll_into_view_if_needed()


def goes_on(page, view=0):
    """The picture changes and the steps are counted on."""
    look_at(page, view)
    seen = page.until("d.drawn > 0", view=view)
    page.until(f"d.drawn > {seen['drawn'] + 5} && d.step > {seen['step'] + 5} && d.health === 'ok'", view=view)


def views(page, count):
    page.page.wait_for_function(
        "count => document.querySelectorAll('.peek-root').length === count", arg=count, timeout=60_000
    )


# -- the page


def test_a_page_reloaded_while_it_draws_shows_the_run_going_on(drawing, notebook_host):
    book = drawing(host=notebook_host)
    book.save()
    step = book.until("true")["step"]
    run = book.until("true")["run"]
    book.load()
    book.until(f"d.drawn > 2 && d.step > {step} && d.run === {run} && d.state === 'running'", timeout=60)
    goes_on(book)


def test_a_closed_tab_lets_the_worker_rest(drawing):
    book = drawing()
    kernel = book.kernel
    book.page.close(run_before_unload=False)
    book.open_blank()
    for _ in range(80):
        if book.ask_beside("explorer.status['state']", kernel) == "idle":
            break
        book.page.wait_for_timeout(1000)
    assert book.ask_beside("explorer.status['state']", kernel) == "idle"
    step = book.ask_beside("explorer.step", kernel)
    book.page.wait_for_timeout(1000)
    assert book.ask_beside("explorer.step", kernel) == step


# -- several


def test_two_views_of_one_explorer_show_the_same_and_obey_alike(drawing):
    book = drawing("explorer")
    book.run_cell(2)
    views(book, 2)
    goes_on(book, 0)
    goes_on(book, 1)
    slider = book.page.locator(".peek-root").nth(1).get_by_role("slider", name="Unit", exact=True)
    slider.focus()
    slider.press("ArrowRight")
    first = book.page.locator(".peek-root").nth(0).get_by_role("slider", name="Unit", exact=True)
    book.page.wait_for_function("s => s.value === '1'", arg=first.element_handle(), timeout=60_000)
    book.page.locator(".peek-root").nth(0).get_by_role("button", name="Pause").click()
    book.until("d.state === 'paused'", view=1)
    n = book.ask("explorer.status['n']")
    book.until(f"d.n === {n} && d.state === 'paused'", view=0)
    book.until(f"d.n === {n} && d.state === 'paused'", view=1)
    assert book.pixels(0) == book.pixels(1)
    assert book.ask(WORKERS) == 1


def test_two_explorers_of_one_model_mind_their_own_business(drawing):
    other = "second = UnitExplorer(model, layer='conv3', unit=5, recipe=long)\nsecond"
    book = drawing("before = [p.clone() for p in model.parameters()]", other)
    book.run_cell(2)
    book.run_cell(3)
    views(book, 2)
    goes_on(book, 0)
    goes_on(book, 1)
    book.page.locator(".peek-root").nth(0).get_by_role("button", name="Pause").click()
    book.until("d.state === 'paused'", view=0)
    goes_on(book, 1)
    assert book.ask("[explorer.layer, explorer.unit, second.layer, second.unit]") == ["conv2", 0, "conv3", 5]
    book.ask("second.close()")
    views(book, 1)
    book.root.get_by_role("button", name="Play").click()
    goes_on(book)
    assert book.ask("all(bool((a == b).all()) for a, b in zip(before, model.parameters()))")
    assert book.ask("not any(p.requires_grad is False or p.grad is not None for p in model.parameters())")


def test_two_explorers_with_real_images_each_find_their_own(notebook):
    show = "{0} = UnitExplorer(model, layer='{1}', unit=3, recipe=long, dataset=images)\n{0}"
    book = notebook([MODEL + LONG + DATASET, show.format("first", "conv2"), show.format("second", "conv3")])
    for cell in range(3):
        book.run_cell(cell)
    views(book, 2)
    for view, of in enumerate(("conv2/3", "conv3/3")):
        look_at(book, view)
        book.until(f"d.evidence === 'done' && d.thumbs === 9 && d.cropsOf === '{of}'", timeout=90, view=view)
        goes_on(book, view)


def test_close_with_two_views_and_real_images_leaves_no_view_and_no_thread(notebook):
    show = "explorer = UnitExplorer(model, layer='conv2', unit=3, recipe=long, dataset=images)\nexplorer"
    before = "import threading\nbefore = set(threading.enumerate())"
    book = notebook([MODEL + LONG + DATASET + before, show, "explorer"])
    for cell in range(3):
        book.run_cell(cell)
    views(book, 2)
    book.until("d.drawn > 3 && d.crops > 0", timeout=60)
    book.ask("explorer.close()")
    views(book, 0)
    # what the kernel itself begins beside us is its own
    left = book.ask("[t.name for t in threading.enumerate() if t not in before]")
    assert [name for name in left if name.startswith("peek")] == []


def test_a_cell_run_again_shows_the_new_explorer_and_the_old_one_rests(drawing, notebook_host):
    book = drawing(host=notebook_host)
    book.ask("globals().update(old=explorer)")
    book.run_cell(1)
    views(book, 1)
    goes_on(book)
    book.until_kernel("old.status['state'] == 'idle'")
    assert book.ask("explorer.status['state']") == "running"


# -- the kernel


def test_an_interrupt_stops_the_cell_and_not_the_picture(drawing):
    book = drawing("import time\ntime.sleep(600)", "explorer.wait()")
    for cell in (2, 3):
        book.run_cell(cell, wait=False)
        book.until_busy()
        book.page.wait_for_timeout(300)
        book.interrupt()
        book.settled()
        goes_on(book)
    outputs = book.page.locator(".jp-OutputArea-output").all_inner_texts()
    assert sum("KeyboardInterrupt" in text for text in outputs) == 2
    book.root.get_by_role("button", name="Pause").click()
    book.until("d.state === 'paused'")


@pytest.mark.alone
@pytest.mark.parametrize("by", ["the notebook's own Restart", "somebody else, over REST"])
def test_a_restarted_kernel_is_said_to_be_gone_within_seconds_and_its_cells_run_again_show_a_live_one(drawing, by):
    book = drawing()
    book.ask("setattr(explorer, 'tags', {'conv2': {'3': ['stripes']}})")
    if by.startswith("the"):
        book.page.evaluate(f"path => ({PANEL})(path).sessionContext.session.kernel.restart()", book.name)
    else:
        book.server.ask("POST", f"/api/kernels/{book.kernel}/restart")
    # a restart by others is known once the new kernel answers: it must have started
    book.until("d.health === 'gone'", timeout=12 if by.startswith("the") else 60)
    expect(book.root.locator(".peek-status")).to_contain_text("Kernel disconnected")
    expect(book.root.get_by_role("slider", name="Unit", exact=True)).to_be_disabled()
    expect(book.root.get_by_role("button", name="Pause")).to_be_disabled()
    # the last picture stays, and the tags can be kept
    assert len(set(book.pixels())) > 10
    kept = book.root.locator(".peek-messages")
    expect(kept).to_contain_text("Tags of 1 unit are lost with this page")
    assert "stripes" in unquote(kept.get_by_role("link").get_attribute("href"))
    book.page.wait_for_timeout(1000)
    assert book.until("true")["health"] == "gone"
    book.run_cell(0)
    book.run_cell(1)
    views(book, 1)
    goes_on(book)


@pytest.mark.alone
def test_a_kernel_that_dies_is_said_to_be_gone_within_seconds(drawing):
    book = drawing()
    book.ask("__import__('threading').Timer(0.5, lambda: __import__('os')._exit(1)).start()")
    book.until("d.health === 'gone'", timeout=20)


def test_a_paused_explorer_of_a_restarted_kernel_says_so_when_it_is_touched(drawing):
    book = drawing()
    book.root.get_by_role("button", name="Pause").click()
    book.until("d.state === 'paused'")
    book.server.ask("POST", f"/api/kernels/{book.kernel}/restart")
    book.page.wait_for_timeout(3000)
    book.root.get_by_role("button", name="Single step").click()
    book.until("d.health === 'gone'", timeout=60)


# -- a busy kernel

# Each until the test ends it, by making a file.
SLEEPS = """
import pathlib, time
explorer.unit = 3
while not pathlib.Path({end!r}).exists():
    time.sleep(0.2)
"""
COMPUTES = """
import pathlib
explorer.unit = 5
while not pathlib.Path({end!r}).exists():
    for _ in range(1000):
        sum(range(1000))
"""


@pytest.fixture(scope="session")
def ipykernel(server, request):
    """`ipykernel(version)` names a kernel of that version: only it is installed, the rest is this environment's."""

    def install(version):
        if version == "newest":
            # started as a user's is, and not forked
            return "fresh"
        folder = request.config.cache.mkdir(f"ipykernel-{version}")
        if not (folder / "ipykernel").is_dir():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
            # version 6 needs a package that version 7 no longer does
            done = subprocess.run([*command, f"ipykernel=={version}", "nest-asyncio"], capture_output=True, text=True)
            if done.returncode:
                pytest.fail(f"ipykernel {version} could not be installed: {done.stderr[-400:]}")
        server.add_kernel(f"ipykernel-{version}", folder)
        return f"ipykernel-{version}"

    return install


@pytest.mark.slow
@pytest.mark.parametrize("version", ["6.31.0", "7.3.0", "newest"])
def test_while_a_cell_is_busy_frames_go_on_and_the_hand_is_obeyed(drawing, ipykernel, version, tmp_path):
    """On a kernel with sub-shells (7 and later) during the cell, on one without right after it."""
    ends = [tmp_path / "slept", tmp_path / "computed"]
    cells = [cell.format(end=str(end)) for cell, end in zip((SLEEPS, COMPUTES), ends, strict=True)]
    book = drawing(*cells, kernel=ipykernel(version))
    running = book.ask("__import__('ipykernel').__version__")
    assert running == (importlib.metadata.version("ipykernel") if version == "newest" else version)
    subshells = not running.startswith("6.")
    for cell, unit, end in ((2, 3, ends[0]), (3, 5, ends[1])):
        book.run_cell(cell, wait=False)
        book.until_busy()
        run = book.until("d.state === 'running' && d.step > 3")["run"]
        drawn = book.until("true")["drawn"]
        book.until(f"d.drawn > {drawn + 10}")
        slider = book.root.get_by_role("slider", name="Unit", exact=True)
        slider.focus()
        slider.press("ArrowRight")
        if subshells:
            book.until(f"d.run > {run} && d.state === 'running'")
        book.root.get_by_role("button", name="Pause").click()
        if subshells:
            book.until("d.state === 'paused'")
        else:
            # nothing shows that the message is under way, and it must be while the cell is busy
            book.page.wait_for_timeout(500)
        assert book.busy()
        end.touch()
        book.settled()
        book.until("d.state === 'paused' && d.health === 'ok'")
        assert book.ask("explorer.unit") == unit + 1
        book.root.get_by_role("button", name="Play").click()
        book.until("d.state === 'running'")
        goes_on(book)


# -- the file


def test_a_notebook_saved_and_opened_without_its_kernel_shows_the_last_picture_and_says_so(drawing):
    book = drawing()
    book.ask("explorer.pause()")
    book.until("d.state === 'paused'")
    picture = book.pixels()
    book.save()
    book.page.goto("about:blank")
    book.server.end_kernels()
    book.load()
    book.until("d.drawn >= 1", timeout=60)
    assert book.pixels() == picture
    book.until("d.health !== 'ok'", timeout=15)
    book.run_cell(0)
    book.run_cell(1)
    views(book, 1)
    goes_on(book)


def test_a_notebook_with_real_images_saved_and_opened_again_goes_on_when_its_cells_are_run(notebook):
    show = "explorer = UnitExplorer(model, layer='conv2', unit=3, recipe=long, dataset=images)\nexplorer"
    book = notebook([MODEL + LONG + DATASET, show])
    book.run_cell(0)
    book.run_cell(1)
    book.until("d.thumbs === 9 && d.evidence === 'done'", timeout=90)
    book.save()
    book.page.goto("about:blank")
    book.server.end_kernels()
    book.load()
    book.until("d.drawn >= 1", timeout=60)
    book.run_cell(0)
    book.run_cell(1)
    views(book, 1)
    book.until("d.thumbs === 9 && d.evidence === 'done' && d.state === 'running'", timeout=90)

"""Real images beside the drawn picture, all the way through: a real kernel, JupyterLab and Chromium.

The images are the bundled generator's, drawn when asked for: nothing is downloaded and nothing is stored.
"""

import pytest
from playwright.sync_api import expect

from .page import pixels_of
from .test_explorer import LONG, MODEL

DATASET = """
from peek_widget.zoo.images import Images
images = Images(24, size=64)
"""
SHOW = "explorer = UnitExplorer(model, layer='conv2', unit=3, recipe=long, dataset=images)\nexplorer"
SLOW = """
import time
rest = 0.03  # seven times as long, for a pass leaves most of the time to the run
class Slow:
    def __len__(self): return 60
    def __getitem__(self, index):
        time.sleep(rest)
        return images[index % len(images)]
"""


@pytest.fixture
def beside(notebook):
    """A page in which an explorer draws with real images beside it."""

    def start(show=SHOW, wait="d.thumbs === 9"):
        book = notebook([MODEL + LONG + DATASET + SLOW, show])
        book.run_cell(0)
        book.run_cell(1)
        book.until(wait, timeout=90)
        return book

    return start


def tile_pixels(book, number=0):
    """The picture of a tile, as one number for each pixel and channel."""
    return pixels_of(book.root.locator(".peek-crop canvas.peek-shot-picture").nth(number))


def test_crops_appear_while_it_draws_and_while_the_pass_goes_on(beside):
    book = beside(SHOW.replace("dataset=images", "dataset=Slow()"), "d.crops > 0 && d.evidence === 'running'")
    seen = book.until("d.thumbs > 0 && d.state === 'running'")
    assert seen["images"] < 60
    book.until(f"d.step > {seen['step']} && d.images > {seen['images']} && d.evidence === 'running'")
    expect(book.root.locator(".peek-pass")).to_contain_text("Scanning the dataset")
    book.ask("globals().update(rest=0)")
    book.until("d.thumbs === 9 && d.state === 'running'", timeout=60)
    assert len(set(tile_pixels(book))) > 10
    book.until("d.evidence === 'done'", timeout=90)
    book.page.wait_for_function(
        "label => document.querySelector('.peek-crop-label').textContent === label",
        arg=book.ask("explorer.crops.top[0].label_name"),
        timeout=60_000,
    )


def test_stop_and_go_on(beside):
    book = beside(SHOW.replace("dataset=images", "dataset=Slow()"), "d.images > 3 && d.evidence === 'running'")
    book.root.get_by_role("button", name="Stop").click()
    stopped = book.until("d.evidence === 'stopped'")
    assert stopped["images"] < 60
    book.ask("globals().update(rest=0)")
    book.root.get_by_role("button", name="Resume", exact=True).click()
    book.until("d.evidence === 'done' && d.images === 60", timeout=60)


def test_another_unit_has_other_crops(beside):
    book = beside(wait="d.thumbs === 9 && d.evidence === 'done'")
    said = book.root.locator(".peek-crop-activation")
    before = said.all_text_contents()
    slider = book.root.get_by_role("slider", name="Unit", exact=True)
    slider.focus()
    slider.press("ArrowRight")
    book.until("d.cropsOf === 'conv2/4' && d.thumbs === 9")
    expect(said).not_to_have_text(before)
    slider.press("ArrowLeft")
    book.until("d.cropsOf === 'conv2/3' && d.thumbs === 9")
    expect(said).to_have_text(before)


def test_another_layer_is_looked_through_in_turn(beside):
    book = beside(wait="d.thumbs === 9 && d.evidence === 'done'")
    book.ask("setattr(explorer, 'layer', 'conv3')")
    book.until("d.cropsOf === 'conv3/3' && d.thumbs === 9 && d.evidence === 'done'")


def test_a_crop_large_with_its_map_by_keyboard_and_back(beside):
    book = beside(wait="d.thumbs === 9 && d.evidence === 'done'")
    tile = book.root.locator(".peek-crop").nth(1)
    tile.focus()
    tile.press("Enter")
    book.until("d.large > 0")
    mask = book.root.locator(".peek-large .peek-shot-mask")
    expect(mask).to_be_visible()
    alphas = mask.evaluate(
        """c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 3)"""
    )
    # clear at the peak, dark elsewhere
    assert min(alphas) == 0 < 150 < max(alphas)
    place = book.ask("list(explorer.crops.top[1].position)")
    width = mask.evaluate("c => c.width")
    assert alphas[place[0] * width + place[1]] == 0
    expect(book.root.locator(".peek-large-name")).to_contain_text(book.ask("explorer.crops.top[1].name"))
    book.page.keyboard.press("Escape")
    book.until("d.large === 0")
    expect(tile).to_be_focused()
    expect(book.root.locator(".peek-crops")).to_be_visible()


def test_the_least_and_the_cut_ones(beside):
    book = beside(wait="d.thumbs === 9 && d.evidence === 'done'")
    whole = tile_pixels(book)
    book.root.get_by_role("button", name="Receptive field", exact=True).click()
    expect(book.root.get_by_role("button", name="Receptive field", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    book.until("d.thumbs === 9")
    book.until_changed(lambda: tile_pixels(book), whole)
    book.root.get_by_role("button", name="Bottom").click()
    lowest = book.ask("explorer.crops.bottom[0].activation")
    book.page.wait_for_function(
        "lowest => Math.abs(document.querySelector('.peek-crop-activation').textContent.replace('−', '-') - lowest)"
        " < 0.01 + 0.01 * Math.abs(lowest)",
        arg=lowest,
    )


def test_a_layer_with_a_wide_field_shows_the_focus(beside):
    book = beside(
        "explorer = UnitExplorer(layer='conv6', unit=3, recipe=long, dataset=images)\nexplorer",
        "d.thumbs === 9 && d.evidence === 'done'",
    )
    focus, full = (book.root.get_by_role("button", name=name, exact=True) for name in ("Focus", "Full image"))
    expect(focus).to_have_attribute("aria-pressed", "true")
    expect(book.root.locator(".peek-crop .peek-shot-outline").first).to_be_hidden()
    full.click()
    expect(full).to_have_attribute("aria-pressed", "true")
    left, _, right, _ = book.ask("list(explorer.crops.top[0].focus)")
    outline = book.root.locator(".peek-crop .peek-shot-outline").first
    expect(outline).to_be_visible()
    book.page.wait_for_function(
        "width => Math.abs(Number.parseFloat(document.querySelector('.peek-crop .peek-shot-outline').style.width)"
        " - width) < 0.1",
        arg=100 * (right - left) / 64,
    )


def test_the_run_starts_from_a_crop_and_from_noise_again(beside):
    book = beside(wait="d.thumbs === 9 && d.evidence === 'done' && d.state === 'running'")
    run = book.until("true")["run"]
    book.root.locator(".peek-crop").first.click()
    book.until("d.large > 0")
    book.root.get_by_role("button", name="Use as initial image").click()
    book.until(f"d.run > {run} && d.state === 'running'")
    name = book.ask("explorer.crops.top[0].name")
    assert book.ask("explorer.status['start']") == name
    assert f"starting from {name}" in book.ask("explorer.status['text']")
    book.root.get_by_role("button", name="Start from noise again").click()
    book.until_kernel("not explorer.status['start'] and explorer.status['run'] > 1")
    # The button that had the focus is gone, and the keys still go to the widget.
    book.page.keyboard.press("Escape")
    book.until("d.large === 0")


def test_the_gauge_has_a_sentence_and_the_score_comes_at_the_end(beside):
    show = SHOW.replace("recipe=long", "recipe=long.replace(steps=60)")
    book = beside(show, "d.evidence === 'done' && d.state === 'done'")
    book.page.wait_for_function(
        "() => document.querySelector('.peek-gauge').textContent.includes('Final check')", timeout=60_000
    )
    expect(book.root.locator(".peek-gauge-text")).to_contain_text("the top real image (of 24)")
    expect(book.root.locator(".peek-mark-optimized")).to_be_visible()
    assert book.ask("explorer.gauge['score']['rank']") >= 1


def test_a_bad_folder_is_said_and_it_draws_on(beside):
    book = beside(SHOW.replace("dataset=images", "dataset='no/such<b>folder'"), "d.evidence === 'error'")
    expect(book.root.locator(".peek-examples .peek-error")).to_contain_text("no/such<b>folder' is not there")
    step = book.until("true")["step"]
    book.until(f"d.step > {step} && d.state === 'running'")


def test_a_reloaded_page_shows_the_crops_again(beside):
    book = beside(wait="d.thumbs === 9 && d.evidence === 'done'")
    book.save()
    book.load()
    book.until("d.thumbs === 9 && d.drawn > 0", timeout=60)


def test_a_saved_notebook_holds_no_crops(beside, record_property):
    book = beside(wait="d.thumbs === 9 && d.evidence === 'done'")
    book.root.locator(".peek-crop").first.click()
    book.until("d.large > 0")
    book.ask("explorer.pause()")
    book.until("d.state === 'paused'")
    size = book.save()
    record_property("saved_with_crops", size)
    text = book.file.read_text()
    assert "widget-state" in text
    # of JPEGs there is the one picture at most
    assert text.count("/9j/") <= 1
    assert size < 260_000


def test_without_a_dataset_it_is_as_it_was(notebook):
    book = notebook([MODEL + LONG, "explorer = UnitExplorer(model, layer='conv2', recipe=long)\nexplorer"])
    book.run_cell(0)
    book.run_cell(1)
    book.until("d.drawn > 3 && d.evidence === 'none'")
    expect(book.root.locator(".peek-examples")).to_be_hidden()
    expect(book.root.locator(".peek-gauge")).to_be_hidden()
    expect(book.root.locator(".peek-hint")).to_contain_text("dataset=")

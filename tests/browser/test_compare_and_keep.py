"""Side by side on the page, and what one takes away from it: a real kernel, JupyterLab and Chromium."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from peek_widget import load_recipe

from .page import pixels_of
from .test_explorer import LONG, MODEL

SHORT = "short = long.replace(steps=40, size=64)\nother = short.replace(name='other', steps=90, blur=1.0)"
SHOW = "explorer = UnitExplorer(model, layer='conv2', unit=3, recipe=short)\nexplorer"


@pytest.fixture
def shown(notebook):
    """A page with an explorer whose run has ended."""

    def start(show=SHOW, wait="d.state === 'done' && d.drawn > 0", *more):
        book = notebook([f"{MODEL}{LONG}\n{SHORT}", show, *more])
        book.run_cell(0)
        book.run_cell(1)
        book.until(wait, timeout=60)
        return book

    return start


def pictures(book):
    """Of a comparison, each as one number for each pixel and channel."""
    return [pixels_of(canvas) for canvas in book.root.locator(".peek-tile canvas").all()]


def test_compare_draws_in_step_and_a_click_shows_one_above(shown):
    book = shown(SHOW.replace("recipe=short", "recipe=long"), "d.drawn > 3 && d.state === 'running'")
    book.root.get_by_role("tab", name="Compare").click()
    book.root.get_by_role("combobox", name="What to compare").select_option("units")
    book.root.get_by_role("button", name="Draw 3 units").click()
    # as long as the recipe is long: they are seen on the way, and the run above rests
    book.until("d.compared === 3 && d.state === 'idle'")
    book.page.wait_for_function(
        "() => document.querySelector('.peek-tile .peek-help').textContent !== 'step 1 of 100000'"
    )
    steps = book.root.locator(".peek-tile .peek-help").all_text_contents()
    assert len(set(steps)) == 1
    before = pictures(book)
    book.page.wait_for_function(
        "step => document.querySelector('.peek-tile .peek-help').textContent !== step", arg=steps[0]
    )
    # they may have been looked at after that step
    book.until_changed(lambda: pictures(book), before)
    book.root.get_by_role("button", name="unit 4").click()
    book.until_kernel("explorer.unit == 4 and explorer.status['unit'] == 4")
    book.root.get_by_role("button", name="Close").click()
    book.until("!d.compare && d.state === 'running' && d.step > 3")
    expect(book.root.locator(".peek-tile").first).to_be_hidden()


def test_compare_asked_for_in_python_opens_the_panel_and_outlives_a_reload(shown):
    book = shown()
    book.ask("explorer.compare(recipes=[short, other]) and 0")
    book.until("d.compare === 'done' && d.compared === 2")
    expect(book.root.locator(".peek-tile-label")).to_have_text(["peek", "other"])
    expect(book.root.locator(".peek-tile .peek-help")).to_have_text(["step 40 of 40", "step 90 of 90"])
    sums = [len(set(pixels)) for pixels in pictures(book)]
    assert min(sums) > 20
    with book.page.expect_download() as download:
        book.root.get_by_role("button", name="Save figure").click()
    figure = Image.open(download.value.path())
    assert figure.width > 640
    size = book.save()
    print(f"saved notebook with a comparison: {size / 1000:.1f} kB")
    assert size < 200_000
    book.load()
    book.until("d.compare === 'done' && d.compared === 2", timeout=60)


def test_what_is_not_possible_is_said_in_the_panel(shown):
    book = shown()
    book.ask("explorer._begin_comparison({'units': [1, 999]}) and 0")
    book.until("d.compare === 'error'")
    expect(book.root.locator(".peek-tab-compare .peek-error").first).to_contain_text("999")


def test_save_downloads_the_exact_picture_and_its_recipe_draws_it_again(shown):
    book = shown(SHOW.replace("recipe=short", "recipe=short, blur=0.7, seed=4"))
    with book.page.expect_download() as download:
        book.root.get_by_role("button", name="Save", exact=True).click()
    assert download.value.suggested_filename == "conv2-unit-3-peek-seed-4.png"
    path = download.value.path()
    drawing = load_recipe(path)
    assert (drawing.recipe.blur, drawing.seed, drawing.size) == (0.7, 4, 64)
    again = book.ask(
        f"(lambda d: __import__('peek_widget').render(model, d.objective, d.recipe, seed=d.seed, size=d.size)"
        f".pil().tobytes().hex())(__import__('peek_widget').load_recipe({str(path)!r}))"
    )
    assert Image.open(path).tobytes().hex() == again
    expect(book.root.locator(".peek-save p")).to_contain_text("Saved as")


@pytest.mark.own_page
def test_copy_and_where_it_is_refused(shown):
    book = shown()
    book.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    try:
        book.root.get_by_role("button", name="Copy", exact=True).click()
        book.page.wait_for_function("() => document.querySelector('.peek-save p').textContent.includes('Copied')")
        data = book.page.evaluate(
            """async () => {
              const [item] = await navigator.clipboard.read();
              return [...new Uint8Array(await (await item.getType('image/png')).arrayBuffer())];
            }"""
        )
        copied = np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB"))
        assert copied.tobytes().hex() == book.ask("explorer.image.convert('RGB').tobytes().hex()")
        book.root.get_by_role("button", name="Code", exact=True).click()
        book.page.wait_for_function(
            "() => document.querySelector('.peek-save p').textContent.includes('UnitExplorer(')"
        )
        assert book.page.evaluate("() => navigator.clipboard.readText()") == book.ask("explorer.code()")
    finally:
        book.page.context.clear_permissions()
    book.page.evaluate("() => { navigator.clipboard.write = () => Promise.reject(new Error('no')) }")
    book.root.get_by_role("button", name="Copy", exact=True).click()
    book.page.wait_for_function("() => document.querySelector('.peek-save p').textContent.includes('use Save')")


def test_a_snapshot_stays_without_a_kernel_and_in_nbconvert(shown):
    book = shown(SHOW, "d.state === 'done' && d.drawn > 0", "explorer.snapshot()")
    book.run_cell(2)
    picture = book.page.locator(".jp-RenderedImage img")
    picture.wait_for()
    book.page.evaluate(
        """async () => {
          const kernels = await (await fetch('/api/kernels')).json();
          for (const { id } of kernels) await fetch(`/api/kernels/${id}`, { method: 'DELETE' });
        }"""
    )
    book.save()
    book.page.goto("about:blank")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--stdout", str(book.file)]
    html = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    page = book.page
    page.set_content(html, wait_until="domcontentloaded")
    image = page.locator("img[src^='data:image/png']").last
    assert image.evaluate("i => i.decode().then(() => [i.naturalWidth, i.naturalHeight])") == [64, 64]
    assert "Unit 3 of layer conv2" in book.file.read_text()

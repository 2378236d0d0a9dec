"""A sheet's page, opened from disk by a Chromium that may fetch nothing."""

from contextlib import contextmanager

import numpy as np
import pytest

from peek_widget.sheet.page import to_html
from peek_widget.zoo import bundled
from tests.sheet.test_page import HOSTILE, real_sheet, sheet_of

from .axe import violations


@contextmanager
def opened(chromium, file, **options):
    """The file's page; at the end it must not have complained, nor asked for anything."""
    context = chromium.new_context(viewport={"width": 1000, "height": 700}, accept_downloads=True, **options)
    said, asked = [], []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: said.append(message.text))
    page.goto(file.as_uri())
    page.wait_for_selector(".tile img[src]")
    yield page
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


@pytest.fixture
def page(chromium, tmp_path):
    sheet = sheet_of(200)
    sheet.tags.add("conv5", [3, 30], "Dog", HOSTILE)
    with opened(chromium, to_html(sheet, tmp_path / "a.html", title=HOSTILE)) as page:
        yield page


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A sheet with the real images of its units, and the file that it wrote."""
    sheet, _ = real_sheet()
    sheet.tags.add("conv3", 1, "stripes")
    file = sheet.to_html(tmp_path_factory.mktemp("page") / "conv3.html")
    print(f"\n{file.name}: {file.stat().st_size / 1000:.0f} kB, {len(sheet.done)} units with 4 real images each")
    return sheet, file


def test_it_is_searched_ordered_and_gone_through_by_keyboard(page):
    tiles = page.locator(".tile")
    assert tiles.count() == 200
    page.keyboard.press("/")
    page.keyboard.type("DOG")
    assert tiles.count() == 3
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    heading = page.locator("dialog[open] h2")
    assert heading.inner_text() == "Unit 3"
    assert "seed=" in page.locator("dialog pre").inner_text()
    with page.expect_download() as download:
        page.get_by_text("Save picture").click()
    assert download.value.suggested_filename == "conv5-unit-3.webp"
    page.keyboard.press("ArrowRight")
    assert heading.inner_text() == "Unit 30"
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement.textContent.startsWith('30 ')")
    page.get_by_role("button", name="Show all").click()
    page.locator("#order").select_option("activation")
    assert tiles.first.get_attribute("aria-label").startswith("Unit 6")


def test_what_people_wrote_is_text_and_far_pictures_wait(page):
    page.locator(".counts button", has_text="alert(1)").click()
    assert page.locator(".tile").count() == 2
    assert page.evaluate("document.querySelector('h1').textContent") == HOSTILE
    page.get_by_role("button", name="Show all").click()
    page.locator("#zoom").fill("5")
    page.wait_for_function("document.querySelectorAll('.tile img[src]').length < 100")


SHOWN = "images => images.length === 4 && images.every(image => image.complete && image.naturalWidth > 0)"


def test_real_images_are_shown_under_the_pointer_and_on_the_keyboard(chromium, real):
    with opened(chromium, real[1]) as page:
        card, pictures = page.locator(".card"), page.locator(".card li img")
        assert not card.is_visible()
        page.hover(".tile >> nth=1")
        card.wait_for()
        assert card.locator("strong").inner_text() == "Unit 1"
        assert pictures.evaluate_all(SHOWN)
        pictures.first.hover()  # the pointer may go over to them
        page.wait_for_timeout(300)
        assert card.is_visible()
        page.mouse.move(999, 699)
        card.wait_for(state="hidden")
        page.set_viewport_size({"width": 700, "height": 500})  # room neither below nor above
        page.hover(".tile >> nth=1")
        card.wait_for()
        box = card.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 500
        page.mouse.move(699, 1)
        card.wait_for(state="hidden")
        page.keyboard.press("Tab")
        while not page.evaluate("document.activeElement.matches('.tile')"):
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        card.wait_for()
        assert card.locator("strong").inner_text() == "Unit 2"
        assert pictures.evaluate_all(SHOWN)
        page.keyboard.press("Escape")
        card.wait_for(state="hidden")


def test_the_python_that_a_unit_shows_draws_it_again(chromium, real):
    sheet, file = real
    with opened(chromium, file) as page:
        page.click(".tile >> nth=1")
        written = page.locator("dialog[open] pre").inner_text()
    *lines, last = written.splitlines()
    names = {"model": bundled()}
    exec("\n".join([*lines, f"again = {last}"]), names)
    here = np.asarray(sheet[1].image.convert("RGB"), float)
    there = np.asarray(names["again"].pil().convert("RGB"), float)
    assert here.shape == there.shape
    assert np.abs(here - there).max() <= 1  # rounding differs with the batch
    assert np.abs(here - np.asarray(sheet[2].image.convert("RGB"), float)).mean() > 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_for_everyone(chromium, real, scheme):
    with opened(chromium, real[1], color_scheme=scheme) as page:
        background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(23, 25, 27)"}[scheme]
        page.hover(".tile >> nth=1")
        page.locator(".card").wait_for()
        assert violations(page, "html") == []
        page.click(".tile >> nth=1")
        page.locator("dialog[open]").wait_for()
        assert violations(page, "html") == []

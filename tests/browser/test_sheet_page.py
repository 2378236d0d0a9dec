"""A sheet's page, opened from disk by a Chromium that may fetch nothing."""

import pytest

from peek_widget.sheet.page import to_html
from tests.sheet.test_page import HOSTILE, sheet_of


@pytest.fixture
def page(chromium, tmp_path):
    sheet = sheet_of(200)
    sheet.tags.add("conv5", [3, 30], "Dog", HOSTILE)
    file = to_html(sheet, tmp_path / "a.html", title=HOSTILE)
    context = chromium.new_context(viewport={"width": 1000, "height": 700}, accept_downloads=True)
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
        page.get_by_text("Save the picture").click()
    assert download.value.suggested_filename == "conv5-unit-3.webp"
    page.keyboard.press("ArrowRight")
    assert heading.inner_text() == "Unit 30"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent").startswith("30 ")
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

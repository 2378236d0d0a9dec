"""The whole layer beside the picture: a real kernel, JupyterLab and Chromium, the bundled network."""

import re

import pytest
from playwright.sync_api import expect

MODEL = """
from peek_widget import Recipe, UnitExplorer
quick = Recipe.preset("peek").replace(steps=12)
quicker = quick.replace(steps=6, n_views=1, view_size=64)
"""
SHOW = "explorer = UnitExplorer(recipe=quick, size=64, threads=1)\nexplorer"
WHOLE = SHOW.replace("quick", "quicker")  # where every unit is waited for


@pytest.fixture
def sheet(notebook):
    """A page whose sheet is open."""

    def start(show=SHOW):
        book = notebook([MODEL, show])
        book.run_cell(0)
        book.run_cell(1)
        book.until("d.drawn >= 1")
        assert book.root.locator(".peek-sheet-grid").count() == 0, "nothing before it is opened"
        book.root.get_by_role("tab", name="Whole layer").click()
        book.page.locator(".peek-sheet-grid").wait_for()
        return book

    return start


def until(book, condition, timeout=60):
    """Wait until a JavaScript condition on `s`, what the grid says about itself, holds."""
    book.page.wait_for_function(
        f"() => {{ const s = document.querySelector('.peek-sheet-grid').dataset; return {condition}; }}",
        timeout=timeout * 1000,
    )


def tile(book, unit):
    return book.root.locator(f".peek-sheet-grid [data-unit='{unit}']")


def test_it_fills_in_is_tagged_by_letters_counted_undone_and_opens_a_unit(sheet):
    book = sheet(WHOLE)
    # once its pace is known it says how long it will take
    expect(book.root.locator(".peek-tab-sheet")).to_contain_text(re.compile(r"( left|then take)\b"), timeout=120_000)
    total = book.ask("next(row['channels'] for row in explorer._layer_list if row['name'] == explorer.layer)")
    until(book, f"s.drawn === '{total}' && s.state === 'done'", 600)
    assert book.ask("len(explorer.sheet.done)") == total
    picture = tile(book, 0).locator("img")
    assert picture.evaluate("i => i.complete && i.naturalWidth") == book.ask("min(128, explorer.sheet[0].image.width)")

    # the pictures are in the unit picker too, which opens one
    book.root.get_by_role("button", name="Units by their pictures").click()
    option = book.root.get_by_role("option", name="unit 2", exact=True)
    assert option.locator("img").evaluate("i => i.complete && i.naturalWidth > 0")
    option.click()
    book.until_kernel("explorer.unit == 2")

    # arrows and Enter
    tile(book, 0).click()
    book.page.keyboard.press("ArrowRight")
    book.page.keyboard.press("Shift+ArrowRight")
    expect(book.root.locator(".peek-sheet-tile[aria-selected=true]")).to_have_count(2)
    # a letter without a word asks for one, and tags both
    book.page.keyboard.press("d")
    book.root.get_by_label("Tag for shortcut D").fill("dog <b>bold</b>")
    book.page.keyboard.press("Enter")
    until(book, "s.tagged === '2'")
    word = "dog <b>bold</b>"
    book.until_kernel(f"explorer.tags == {{explorer.layer: {{'1': [{word!r}], '2': [{word!r}]}}}}")
    book.until_kernel(f"explorer.tag_keys == {{'d': {word!r}}}")
    expect(tile(book, 1).locator(".peek-sheet-tile-tags")).to_have_text(word)
    assert book.root.locator(".peek-sheet-tile b, .peek-word b").count() == 0
    expect(book.root.locator(".peek-word")).to_contain_text("2 of 2, 100.0 % of those reviewed")
    book.root.get_by_role("button", name="Mark the rest reviewed").click()
    book.page.wait_for_function(
        f"() => document.querySelector('.peek-word').textContent.endsWith('2 of {total}, {200 / total:.1f} %')"
    )

    # the same letter takes it off, and undo brings it back
    tile(book, 1).click()
    book.page.keyboard.press("d")
    until(book, "s.tagged === '1'")
    book.page.keyboard.press("Control+z")
    until(book, "s.tagged === '2'")
    book.page.keyboard.press("Enter")
    book.until_kernel("explorer.unit == 1")
    expect(tile(book, 1)).to_have_attribute("aria-current", "true")

    # a click on the word shows only its units; python's words come too
    book.root.locator(".peek-word").click()
    expect(book.root.locator(".peek-sheet-tile:visible")).to_have_count(2)
    book.ask("setattr(explorer, 'tags', {explorer.layer: {'5': ['cat']}})")
    until(book, "s.tagged === '1'")
    book.root.get_by_role("searchbox").fill("cat")
    book.root.locator(".peek-tag-list [aria-pressed=true]").click()
    book.page.wait_for_function(
        "() => document.querySelectorAll('.peek-sheet-grid [data-unit]:not([hidden])').length === 1"
    )
    expect(tile(book, 5)).to_contain_text("tags: cat")


def test_keys_in_its_boxes_tag_nothing_and_reach_no_notebook(sheet):
    book = sheet()
    search = book.root.get_by_role("searchbox")
    search.focus()
    book.page.keyboard.type("abxd")
    assert search.input_value() == "abxd"
    assert book.ask("explorer.tags") == {}
    assert book.page.locator(".jp-Cell").count() == 2
    book.page.keyboard.press("Control+a")
    book.page.keyboard.press("Delete")
    until(book, "Number(s.drafts) > 0")
    tile(book, 3).click()
    for key in ("x", "Escape", "b", "Escape", "0"):
        book.page.keyboard.press(key)
    book.until_kernel("explorer.tags == {explorer.layer: {'3': []}}")
    assert book.page.locator(".jp-Cell").count() == 2


@pytest.mark.alone
def test_another_layer_is_another_sheet_and_the_first_is_kept(sheet):
    book = sheet()
    until(book, "Number(s.drafts) > 3")
    first = book.ask("explorer.layer")
    other = book.ask("next(row['name'] for row in explorer._layer_list if row['name'] != explorer.layer)")
    book.ask(f"setattr(explorer, 'layer', {other!r})")
    book.until_kernel(f"explorer.sheet.layer == {other!r} and (explorer.sheet.drafts or explorer.sheet.done)")
    book.ask(f"setattr(explorer, 'layer', {first!r})")
    until(book, "Number(s.drafts) > 3", 5)


def test_a_page_that_is_loaded_again_shows_every_picture_again(sheet):
    book = sheet(WHOLE.replace("recipe=", "layer='conv1', recipe="))
    total = book.ask("len(explorer.sheet)")
    until(book, f"s.drawn === '{total}' && s.state === 'done'", 600)
    book.save()
    book.load()
    # it was open, so it opens by itself
    book.page.locator(".peek-sheet-grid").wait_for(timeout=60_000)
    until(book, f"s.drawn === '{total}' && s.state === 'done'")
    book.page.wait_for_function(
        """() => [...document.querySelectorAll('.peek-sheet-tile:not([hidden]) img')]
          .every(image => image.complete && image.naturalWidth > 0)"""
    )


def test_put_away_it_draws_nothing(sheet):
    book = sheet()
    until(book, "Number(s.drafts) > 0")
    book.root.get_by_role("tab", name="Details").click()
    book.page.wait_for_timeout(1000)
    drawn = book.ask("len(explorer.sheet.done) + len(explorer.sheet.drafts)")
    book.page.wait_for_timeout(1500)
    assert book.ask("len(explorer.sheet.done) + len(explorer.sheet.drafts)") == drawn
    book.root.get_by_role("tab", name="Whole layer").click()
    until(book, f"Number(s.drafts) > {drawn}")


def test_what_the_real_images_suggest_is_taken_with_one_key(sheet):
    images = "from peek_widget.zoo import Images\n"
    show = images + SHOW.replace("UnitExplorer(", "UnitExplorer(layer='conv6', dataset=Images(336, seed=4), ")
    book = sheet(show)
    book.until("d.evidence === 'done'", timeout=120)
    model_copies = book.root.locator(".peek-sheet-tile-suggestion:not(:empty)")
    model_copies.first.wait_for(timeout=60_000)
    suggested = model_copies.first.text_content()
    unit = model_copies.first.evaluate("ghost => Number(ghost.closest('[data-unit]').dataset.unit)")
    tile(book, unit).click()
    book.page.keyboard.press(".")
    book.until_kernel(f"explorer.tags == {{'conv6': {{'{unit}': [{suggested!r}]}}}}")
    expect(tile(book, unit).locator(".peek-sheet-tile-tags")).to_have_text(suggested)
    # the bench goes there, and its best real images say why
    book.page.keyboard.press("Enter")
    book.until_kernel(f"explorer.unit == {unit} and explorer.crops is not None")
    labels = book.ask("[crop.label_name for crop in explorer.crops.top]")
    assert labels.count(suggested) == max(map(labels.count, labels))

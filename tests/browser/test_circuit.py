"""The tab "Circuit" in the page: what feeds a unit, walked down and back; a real kernel, JupyterLab and Chromium."""

from playwright.sync_api import expect

from .axe import violations
from .page import pixels_of
from .test_explorer import LONG, MODEL
from .test_for_everyone import theme
from .test_real_images import DATASET

SHOW = "explorer = UnitExplorer(model, layer='conv2', unit=3, recipe=long, playing=False, dataset=images)\nexplorer"


def test_one_walks_down_and_back_and_draws_without_an_input(notebook):
    book = notebook([MODEL + LONG + DATASET, SHOW])
    book.run_cell(0)
    book.run_cell(1)
    root = book.root
    root.get_by_role("tab", name="Circuit").click()
    book.until("d.circuit === 'conv2:3/done/'")
    tab = root.locator(".peek-circuit")
    expect(tab.get_by_role("status").first).to_contain_text("top crops")

    # what excites and inhibits it is what Python has, each with picture, kernel and numbers
    for kind, method in (("Excited by", "excites"), ("Inhibited by", "inhibits")):
        named = f"['conv1:' + str(unit) for unit in explorer.circuit.{method}(8).unit]"
        units = tab.get_by_role("list", name=kind).get_by_role("button", name="Go there")
        there = units.evaluate_all("all => all.map(one => one.dataset.unit)") if units.count() else []
        assert there == book.ask(named)
    first = tab.get_by_role("list", name="Excited by").get_by_role("button", name="Go there").first
    lower = first.get_attribute("data-unit")
    assert "weight" in first.get_attribute("aria-label")
    assert len(set(pixels_of(first.locator("canvas")))) > 10
    expect(tab.get_by_role("img", name=f"Kernel from {lower}")).to_be_visible()
    expect(tab.get_by_role("list", name="Feeds").get_by_role("button").first).to_be_visible()

    # by keyboard: no crops yet of a layer that was never shown, which can be looked for; then down, and back
    first.focus()
    crops = tab.get_by_role("region", name="Real images of a unit")
    expect(crops).to_contain_text("No crops of conv1 yet")
    for name in ("Light", "Dark"):
        theme(book, name)
        assert violations(book.page, ".peek-circuit") == [], name
    theme(book, "Light")
    first.hover()
    expect(crops).to_contain_text("No crops of conv1 yet")
    crops.get_by_role("button", name="Look for them").click()
    expect(crops.get_by_role("img")).to_have_count(6)
    first.focus()
    first.press("Enter")
    book.until(f"d.circuit === '{lower}/done/'")
    expect(tab.locator("[aria-current=location]")).to_be_focused()
    book.until_kernel(f"'conv1:' + str(explorer.unit) == '{lower}'")
    expect(tab).to_contain_text("channels are colors")
    expect(tab.get_by_role("img", name="Filter of this unit")).to_be_visible()
    tab.get_by_role("navigation").get_by_role("button", name="conv2:3").click()
    book.until("d.circuit === 'conv2:3/done/'")
    expect(tab.get_by_role("navigation").get_by_role("button")).to_have_count(0)
    first.hover()
    expect(tab.get_by_role("region", name="Real images of a unit").get_by_role("img")).to_have_count(6)

    # without its first input, beside the unit as it is; another unit by the slider ends that, and the way
    tab.get_by_role("button", name=f"Draw without {lower}").click()
    book.until("d.circuit === 'conv2:3/done/done'")
    held = tab.get_by_role("region", name="The unit without one input")
    expect(held).to_contain_text("held at its median")
    held.get_by_role("button", name="Close").press("Enter")
    expect(tab.get_by_role("button", name=f"Draw without {lower}")).to_be_focused()
    tab.get_by_role("button", name=f"Draw without {lower}").press("Enter")
    book.until("d.circuit === 'conv2:3/done/done'")
    one, other = (pixels_of(held.get_by_role("img").nth(at)) for at in (0, 1))
    assert one != other
    root.get_by_role("slider", name="Unit", exact=True).press("ArrowRight")
    book.until("d.circuit === 'conv2:4/done/'")
    expect(held).to_be_hidden()

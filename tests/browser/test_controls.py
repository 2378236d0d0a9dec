"""Scrubbing and the objective map, by mouse and by keyboard, in a real JupyterLab."""

from playwright.sync_api import expect

from peek_widget import Recipe

from .page import pixels_of
from .test_explorer import LONG, MODEL, SHOW, running

__all__ = ["LONG", "MODEL", "SHOW", "running"]


def test_a_run_is_scrubbed_back_looked_at_and_gone_on_from(notebook):
    book = notebook([MODEL, "explorer = UnitExplorer(model, layer='conv2')\nexplorer"])
    book.run_cell(0)
    book.run_cell(1)
    steps = Recipe.preset("peek").steps
    book.until(f"d.state === 'done' && d.step === {steps}", timeout=120)
    scrubber = book.root.get_by_role("slider", name="Step (drag to review the run)")
    # anywhere but on its own thumb, which is at the end
    scrubber.click(position={"x": 0.2 * scrubber.bounding_box()["width"], "y": 10})
    book.until("d.state === 'paused' && d.step < 30")
    stands = book.ask("explorer.checkpoint_steps[-1]")
    assert stands == steps
    assert book.ask("explorer.playing") is False
    first = book.until("true")["step"]
    scrubber.focus()
    scrubber.press("ArrowRight")
    at = book.until(f"d.state === 'paused' && d.step > {first}")["step"]
    assert book.ask("explorer.step") == at
    assert at in book.ask("explorer.checkpoint_steps")
    assert book.ask("explorer.checkpoint_steps[-1]") == stands
    run = book.until("true")["run"]
    book.root.get_by_role("button", name="Resume from here").click()
    book.until(f"d.run === {run + 1} && d.step > {at}")
    assert book.ask("explorer.playing") is True
    assert book.errors == []


def test_a_place_is_chosen_on_the_map(running):
    book = running()
    rows, columns = book.ask("next(r['size'] for r in explorer._layer_list if r['name'] == 'conv2')")
    field = book.root.get_by_role("slider", name="Position in the feature map")
    run = book.until("true")["run"]
    box = field.bounding_box()
    field.click(position={"x": box["width"] * 0.25, "y": box["height"] * 0.75})
    book.until_kernel("explorer.at is not None")
    row, column = book.ask("explorer.at")
    assert abs(row - 0.75 * rows) <= 1
    assert abs(column - 0.25 * columns) <= 1
    book.until(f"d.run > {run} && d.state === 'running'")
    field.press("ArrowUp")
    field.press("ArrowRight")
    book.until_kernel(f"explorer.at == ({row - 1}, {column + 1})")
    book.until_kernel(f"'at row {row - 1}, column {column + 1}' in explorer.status['text']")
    book.root.get_by_role("button", name="Reset to center").click()
    book.until_kernel("explorer.at is None")
    book.root.get_by_role("combobox", name="Objective").select_option("channel")
    book.until_kernel("'mean over the map' in explorer.status['text']")
    expect(field).to_be_hidden()
    assert book.errors == []


def test_a_layer_is_found_by_typing_a_part_of_its_name(running):
    book = running()
    search = book.root.get_by_role("combobox", name="Layer", exact=True)
    search.focus()
    book.page.keyboard.type("nv1")
    book.page.keyboard.press("Enter")
    book.until_kernel("explorer.layer == 'conv1'")
    assert book.errors == []


def test_a_class_is_found_by_typing_a_part_of_its_name(notebook):
    show = "explorer = UnitExplorer(layer='', recipe='peek-fast', size=96)\nexplorer"
    book = notebook(["from peek_widget import UnitExplorer", show])
    book.run_all()
    book.until("d.drawn > 0")
    names = book.ask("explorer.class_names")
    search = book.root.get_by_role("combobox", name="Class", exact=True)
    search.focus()
    book.page.keyboard.type(names[7][1:-1])
    book.page.keyboard.press("Enter")
    book.until_kernel("explorer.unit == 7")
    book.until("d.drawn > 0 && d.state !== 'starting'")
    expect(book.root.locator(".peek-heading")).to_contain_text(names[7])
    assert book.errors == []


def test_a_size_is_typed_and_an_empty_one_is_the_recipes_again(running):
    book = running()
    size = book.root.get_by_role("textbox", name="Image size in px")
    recipes = book.ask("explorer.status['size']")
    for typed, wanted in (("80", 80), ("96 x 48", (96, 48)), ("", recipes)):
        run = book.until("true")["run"]
        size.fill(typed)
        size.press("Enter")
        book.until(f"d.run > {run} && d.state === 'running'")
        book.until_kernel(f"explorer.size == {wanted if typed else None} and explorer.status['size'] == {wanted}")
        width = wanted if isinstance(wanted, int) else wanted[1]
        book.page.wait_for_function(f"() => document.querySelector('canvas.peek-canvas').width === {width}")
    expect(size).to_have_attribute("placeholder", str(recipes))
    # what no picture can have becomes the nearest that one can
    size.fill("1")
    size.press("Enter")
    book.until_kernel("explorer.size == 8")
    size.fill("99999")
    size.press("Enter")
    book.until_kernel("explorer.size == 2048")
    assert book.errors == []


def test_four_seeds_are_drawn_at_once_and_one_of_them_is_chosen(running):
    book = running()
    group = book.root.get_by_role("group", name="Seeds drawn at once")
    expect(group).to_be_hidden()
    book.root.get_by_role("combobox", name="Seeds at once").select_option("4")
    book.until("d.seeds === '0,1,2,3' && d.state === 'running'")
    tiles = [group.get_by_role("button", name=f"seed {seed}", exact=True) for seed in range(4)]
    expect(tiles[0]).to_have_attribute("aria-pressed", "true")
    pictures = [pixels_of(tile.locator("canvas")) for tile in tiles]
    assert len(set(map(tuple, pictures))) == 4, "four pictures"
    # they are drawn on
    book.until_changed(lambda: pixels_of(tiles[3].locator("canvas")), pictures[3])
    run = book.until("true")["run"]
    tiles[2].focus()
    tiles[2].press("Enter")
    book.until(f"d.run > {run} && d.state === 'running' && d.seeds === '0,1,2,3'")
    assert book.ask("explorer.seed") == 2
    expect(tiles[2]).to_have_attribute("aria-pressed", "true")
    expect(tiles[2]).to_be_focused()
    assert book.ask("sorted(explorer.images_by_seed)") == [0, 1, 2, 3]
    # a page that is loaded again has them too
    book.hold()
    book.save()
    book.load()
    book.until("d.seeds === '0,1,2,3'")
    book.root.get_by_role("combobox", name="Seeds at once").select_option("1")
    expect(group).to_be_hidden()
    assert book.errors == []


def test_another_device_is_offered_where_there_is_one(running):
    book = running()
    chooser = book.root.get_by_role("combobox", name="Device")
    devices = book.ask("explorer._about['devices']")
    if len(devices) < 2:
        expect(chooser).to_be_hidden()
        return
    chooser.select_option(devices[-1])
    book.until_kernel(f"explorer.device == {devices[-1]!r} and explorer.status['state'] == 'running'")
    assert book.errors == []

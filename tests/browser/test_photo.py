"""A photo of one's own in the page: given, looked at, changed, and left; a real kernel, JupyterLab and Chromium."""

import io

from PIL import Image
from playwright.sync_api import expect

from .test_explorer import LONG, MODEL

HEAD = "\nmodel.add_module('pool', nn.AdaptiveAvgPool2d(1))\nmodel.add_module('flat', nn.Flatten())"
SHOW = "explorer = UnitExplorer(model, layer='conv2', unit=3, recipe=long, playing=False)\nexplorer"


def jpeg(width, height, turned=False):
    image = Image.new("RGB", (width, height), (90, 110, 130))
    image.paste((200, 60, 40), (width // 3, height // 4, 2 * width // 3, 3 * height // 4))
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()}


def test_a_photo_is_chosen_looked_at_changed_and_left(notebook):
    book = notebook([f"{MODEL}{LONG}{HEAD}\nimport numpy as np", SHOW])
    book.run_cell(0)
    book.run_cell(1)
    root = book.root
    root.get_by_role("tab", name="Your photo").click()
    choose = root.locator(".peek-photo input[type=file]")
    expect(root.locator(".peek-photo-drop")).to_be_visible()

    # shrunk to 1,024 px and turned upright on its way
    choose.set_input_files([jpeg(3000, 2000, turned=True)])
    book.until("d.photo === '1/conv2/photo/whole'")
    book.until_kernel("explorer.photo.size == (683, 1024)")
    units = root.locator(".peek-photo-units button")
    seen = units.evaluate_all("all => all.map(b => Number(b.dataset.unit))")
    book.until_kernel(f"[one.unit for one in explorer.photo.unusual('conv2')] == {seen}")
    expect(root.locator(".peek-photo-classes li")).not_to_have_count(0)

    # a click takes the bench there
    units.nth(1).click()
    book.until_kernel(f"explorer.unit == {seen[1]}")

    # what if: all of it without color, then a brush, then as it was
    root.get_by_role("button", name="All gray").click()
    book.until("d.photo === '1/conv2/photo/changed'")
    expect(root.locator(".peek-photo-classes")).to_contain_text("→")
    root.get_by_role("button", name="As it was").click()
    book.until("d.photo === '1/conv2/photo/whole'")
    root.get_by_role("button", name="Brush").click()
    root.locator(".peek-photo-canvas").click()
    book.until("d.photo === '1/conv2/photo/changed'")
    root.get_by_role("button", name="As it was").click()
    root.get_by_role("button", name="Brush").click()

    # a place, by the pointer and by the arrows
    root.locator(".peek-photo-canvas").click()
    book.until("d.photo === '1/conv2/place/whole'")
    root.locator(".peek-photo-canvas").press("ArrowLeft")
    root.locator(".peek-photo-canvas").press("Escape")
    book.until("d.photo === '1/conv2/photo/whole'")

    # another photo, and one that is none: a sentence; then from Python
    choose.set_input_files([jpeg(60, 40)])
    book.until("d.photo === '2/conv2/photo/whole'")
    choose.set_input_files(
        [{"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"}]
    )
    expect(root.locator(".peek-photo .peek-error")).to_contain_text("pillow-heif")
    book.ask("explorer.look_at_photo(np.full((30, 50, 3), 200, np.uint8)) and 0")
    book.until("d.photo === '4/conv2/photo/whole'")
    expect(root.locator(".peek-photo .peek-error")).to_be_hidden()
    book.until_kernel("not any('photo' in name for name in explorer.get_state())")

    root.locator(".peek-photo").get_by_role("button", name="Close").click()
    expect(root.locator(".peek-photo-drop")).to_be_visible()
    book.until_kernel("explorer.photo is None")

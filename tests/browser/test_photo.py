"""A photo of one's own in the page: given, looked at, changed, and left; a real kernel, JupyterLab and Chromium."""

import base64
import io

from PIL import Image
from playwright.sync_api import expect

from .page import pixels_of
from .test_explorer import LONG, MODEL

HEAD = """
model.add_module('pool', nn.AdaptiveAvgPool2d(1))
model.add_module('flat', nn.Flatten())
import numpy as np
rng = np.random.default_rng(0)
images = [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(6)]
"""
SHOW = """explorer = UnitExplorer(
    model, layer='conv2', unit=3, recipe=long, playing=False, input_size=64, dataset=images,
    tags={'conv2': {str(unit): ['stripes'] for unit in range(16)}},
)
explorer"""

# As a person does it with the mouse, or by the keys: the event with the file in it.
GIVE = """(element, [kind, name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), one => one.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const how = { bubbles: true, cancelable: true };
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', { ...how, clipboardData: transfer })
    : new DragEvent('drop', { ...how, dataTransfer: transfer });
  element.dispatchEvent(event);
  return event.defaultPrevented;
}"""


def jpeg(width, height, turned=False):
    image = Image.new("RGB", (width, height), (90, 110, 130))
    image.paste((200, 60, 40), (width // 3, height // 4, 2 * width // 3, 3 * height // 4))
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()}


def give(element, kind, file):
    data = base64.b64encode(file["buffer"]).decode()
    assert element.evaluate(GIVE, [kind, file["name"], file["mimeType"], data])


def test_a_photo_comes_in_by_every_way(notebook):
    book = notebook([f"{MODEL}{LONG}{HEAD}", SHOW])
    book.run_all()
    root = book.root
    root.get_by_role("tab", name="Your photo").click()
    panel, drop = root.locator(".peek-photo"), root.locator(".peek-photo-drop")
    expect(drop).to_be_visible()

    # dropped: shrunk to 1,024 px and turned upright on its way
    give(drop, "drop", jpeg(3000, 2000, turned=True))
    book.until("d.photo === '1/conv2/photo/whole'")
    book.until_kernel("explorer.photo.size == (683, 1024)")
    # pasted, wherever the focus is in the tab
    give(panel.locator("canvas").first, "paste", jpeg(60, 40))
    book.until("d.photo === '2/conv2/photo/whole'")
    # chosen
    choose = panel.locator("input[type=file]")
    choose.set_input_files([jpeg(80, 40)])
    book.until("d.photo === '3/conv2/photo/whole'")
    book.until_kernel("explorer.photo.size == (80, 40)")
    # an image of the dataset
    panel.get_by_role("button", name="From the dataset").click()
    book.until("d.photo === '4/conv2/photo/whole'")
    book.until_kernel("explorer.photo.size == (64, 48)")
    # the camera: refused, then allowed
    book.context.clear_permissions()
    panel.get_by_role("button", name="Camera").click()
    expect(panel.locator(".peek-error").first).to_contain_text("did not let this page use the camera")
    book.context.grant_permissions(["camera"], origin=book.page.evaluate("location.origin"))
    panel.get_by_role("button", name="Camera").click()
    book.until("d.photo === '5/conv2/photo/whole'")
    expect(panel.locator(".peek-error").first).to_be_hidden()
    book.until_kernel("min(explorer.photo.size) > 100")
    book.context.clear_permissions()

    # one that is none: a sentence; then from Python, and gone
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    choose.set_input_files([{"name": "a.jpg", "mimeType": "image/jpeg", "buffer": heic}])
    expect(panel.locator(".peek-error").first).to_contain_text("pillow-heif")
    book.ask("explorer.look_at_photo(np.full((30, 50, 3), 200, np.uint8)) and 0")
    book.until("d.photo === '7/conv2/photo/whole'")
    expect(panel.locator(".peek-error").first).to_be_hidden()
    book.until_kernel("not any('photo' in name for name in explorer.get_state())")
    panel.get_by_role("button", name="Close").click()
    expect(drop).to_be_visible()
    book.until_kernel("explorer.photo is None")


def test_a_photo_is_looked_at_changed_and_accentuated(notebook):
    book = notebook([f"{MODEL}{LONG}{HEAD}", SHOW])
    book.run_all()
    book.until_kernel("explorer.evidence_status.get('state') == 'done'")
    root = book.root
    root.get_by_role("tab", name="Your photo").click()
    panel = root.locator(".peek-photo")
    panel.locator("input[type=file]").set_input_files([jpeg(120, 80)])
    book.until("d.photo === '1/conv2/photo/whole'")

    # the units of the layer: where they fire, drawn, the best real image, their tag
    units = panel.locator(".peek-photo-unit")
    seen = units.evaluate_all("all => all.map(b => Number(b.dataset.unit))")
    book.until_kernel(f"[one.unit for one in explorer.photo.unusual('conv2')] == {seen}")
    expect(panel.locator(".peek-photo-classes li")).not_to_have_count(0)
    expect(panel.locator(".peek-photo-seen")).to_contain_text("of 6 real images")
    expect(units.first).to_contain_text("stripes")
    book.until(f"d.photoPictures === {2 * len(seen)}")

    # a click takes the bench there
    units.nth(1).click()
    book.until_kernel(f"explorer.unit == {seen[1]}")

    # what if: all of it without color, then a brush, then as it was
    root.get_by_role("button", name="All gray").click()
    book.until("d.photo === '1/conv2/photo/changed'")
    expect(panel.locator(".peek-photo-classes")).to_contain_text("→")
    root.get_by_role("button", name="As it was").click()
    book.until("d.photo === '1/conv2/photo/whole'")
    root.get_by_role("button", name="Brush").click()
    panel.locator(".peek-photo-canvas").click()
    book.until("d.photo === '1/conv2/photo/changed'")
    root.get_by_role("button", name="As it was").click()
    root.get_by_role("button", name="Brush").click()

    # a place, by the pointer and by the arrows
    panel.locator(".peek-photo-canvas").click()
    book.until("d.photo === '1/conv2/place/whole'")
    panel.locator(".peek-photo-canvas").press("ArrowLeft")
    panel.locator(".peek-photo-canvas").press("Escape")
    book.until("d.photo === '1/conv2/photo/whole'")

    # less of the unit: how far on the slider, the photo as it was at one key
    canvas = panel.locator(".peek-photo-canvas")
    before = pixels_of(canvas)
    panel.get_by_role("slider", name="Hold the photo").press("Home")
    root.get_by_role("button", name="Less of it").click()
    book.page.mouse.move(2, 2)  # over no unit, whose map would lie over the photo
    book.until("d.photoStep === 100")
    words = panel.locator(".peek-photo-accent-words")
    expect(words).to_contain_text(f"Step 100 of 100. Unit {seen[1]}")
    last = pixels_of(canvas)
    canvas.press("o")
    original = pixels_of(canvas)
    assert last != original
    canvas.press("o")
    assert pixels_of(canvas) == last
    panel.get_by_role("slider", name="How far").press("Home")
    expect(words).to_contain_text("Step 0 of 100")
    assert pixels_of(canvas) == original
    panel.get_by_role("button", name="End").click()
    expect(words).to_be_hidden()
    assert pixels_of(canvas) == before

    # all layers; a click takes the bench to the layer too
    panel.get_by_role("button", name="All layers").click()
    rows = panel.locator(".peek-photo-layer")
    expect(rows.filter(has_text="conv3")).to_have_count(1)
    rows.filter(has_text="conv1").locator("button").first.click()
    book.until_kernel("explorer.layer == 'conv1'")
    panel.get_by_role("button", name="This layer").click()
    expect(panel.locator(".peek-photo-seen")).to_contain_text("Units of conv1")

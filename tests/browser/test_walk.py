"""What a person walking through the widget once found wrong, on one page: a real kernel, JupyterLab and Chromium."""

from playwright.sync_api import expect

from .test_explorer import LONG, MODEL

SETUP = """
model.add_module("a_name_that_goes_on_" * 15, nn.Conv2d(32, 8, 1))
model.add_module("last", nn.Conv2d(8, 4, 1))
with torch.no_grad():
    model.conv2.weight[5] = 0.0
    model.conv2.bias[5] = 0.0
import tempfile
from pathlib import Path
from PIL import Image
folder = Path(tempfile.mkdtemp())
for number, name in enumerate(("n02102318", "n02099712")):
    (folder / name).mkdir()
    for shade in range(3):
        Image.new("RGB", (64, 64), (60 * shade, 90 * number, 80)).save(folder / name / f"{shade}.png")
"""
SHOW = "explorer = UnitExplorer(model, layer='conv2', unit=3, recipe=long, dataset=folder)\nexplorer"


def test_what_a_walk_through_it_found_wrong_stays_mended(notebook):
    book = notebook([MODEL + LONG + SETUP, SHOW])
    book.run_all()
    book.until("d.drawn > 3 && d.state === 'running' && d.evidence === 'done' && d.crops > 0", timeout=120)
    root = book.root
    said = root.locator(".peek-messages")

    # captions have words, and not the numbers of WordNet
    labels = set(root.locator(".peek-crop-label").all_inner_texts()) - {""}
    assert labels == {"cocker spaniel", "Labrador retriever"}

    # a wrong name of a layer is said to be none, and the nearest one named
    search = root.get_by_role("combobox", name="Layer", exact=True)
    search.click()
    search.fill("convv2")
    note = root.locator(".peek-list-note").first
    expect(note).to_have_text("No layer is called “convv2”. Did you mean conv2?")
    expect(search).to_have_attribute("aria-invalid", "true")
    search.press("Escape")
    expect(search).to_have_value("conv2")

    # a name of 300 characters widens nothing
    search.fill("a_name")
    search.press("Enter")
    book.until_kernel("explorer.layer.startswith('a_name')")
    expect(search).to_have_attribute("title", "a_name_that_goes_on_" * 15)
    assert root.evaluate("root => root.scrollWidth <= root.clientWidth")
    root.get_by_role("tab", name="Details").click()
    expect(root.locator(".peek-heading-layer")).to_contain_text("a_name")
    assert root.evaluate(
        "root => [root, root.querySelector('.peek-details')].every(e => e.scrollWidth <= e.clientWidth)"
    )
    book.ask("setattr(explorer, 'layer', 'conv2') or setattr(explorer, 'unit', 3)")
    book.until_kernel("(explorer.status['layer'], explorer.status['unit']) == ('conv2', 3)")
    run = book.until("d.state === 'running' && d.step > 5")["run"]

    # looking back, then the next unit: it is drawn, and the page does not stay on an empty picture
    scrubber = root.locator(".peek-scrubber")
    scrubber.press("Home")
    expect(said.get_by_role("button", name="Resume from here")).to_be_visible()
    root.get_by_role("button", name="Next unit").click()
    run = book.until(f"d.run > {run} && d.state === 'running' && d.step > 5")["run"]
    expect(said).to_be_hidden()
    assert len(set(book.pixels())) > 10

    # a unit without a gradient, and a comparison that makes the run rest, are said on the picture
    root.get_by_role("button", name="Next unit").click()
    expect(said.locator(".peek-error")).to_contain_text("gradient")
    stage, message = root.locator(".peek-stage").bounding_box(), said.bounding_box()
    assert stage["y"] <= message["y"] <= message["y"] + message["height"] <= stage["y"] + stage["height"] + 1
    root.get_by_role("button", name="Next unit").click()
    book.until("d.state === 'running' && d.step > 5")
    expect(said).to_be_hidden()
    root.get_by_role("tab", name="Compare").click()
    places = root.locator(".peek-compared-place")
    expect(places).to_have_count(2)
    root.get_by_role("combobox", name="What to compare").select_option("seeds")
    expect(places).to_have_text(["seed 0", "seed 1", "seed 2"])
    root.get_by_role("button", name="Draw 3 seeds").click()
    book.until("d.compared === 3 && d.state === 'idle'")
    expect(said.locator(".peek-warning").first).to_be_visible()
    expect(places.first).to_be_hidden()
    # where an activation lies is a mark on a scale: a filled bar would look like progress
    mark = "bar => getComputedStyle(bar).backgroundSize.split(',')[0]"
    assert root.locator(".peek-compared-bar").first.evaluate(mark) == "3px 100%"
    root.get_by_role("button", name="Close").click()
    book.until("!d.compare && d.state === 'running'")
    expect(said).to_be_hidden()

    # the weights change while it rests: that is said, and it can follow the training
    book.hold()
    book.ask("model.conv1.weight.detach().mul_(1.5) is None or 0")
    expect(said.get_by_role("button", name="Draw again with the new weights")).to_be_visible()
    said.get_by_role("button", name="Redraw while it trains").click()
    book.until_kernel("explorer.redraw")
    expect(said.get_by_role("button", name="Stop redrawing")).to_be_visible()
    assert book.errors == []


REST = """
import torch
from torch import nn
from peek_widget import UnitExplorer
# fires where it is white, also far beyond the border
model = nn.Sequential()
model.add_module("light", nn.Conv2d(3, 1, 4, stride=4, padding=16, bias=False))
model.add_module("relu", nn.ReLU())
model.add_module("last", nn.Conv2d(1, 2, 1))
with torch.no_grad():
    model.light.weight.fill_(1 / 48)

class Vanishes(torch.utils.data.Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, index):
        if index >= 8:
            raise OSError("the disk is gone")
        image = torch.zeros(3, 64, 64)
        image[:, 8:16, 40:48] = 1 - index / 16
        return image, "white"
"""
SHOW_REST = (
    "explorer = UnitExplorer(model, layer='light', recipe=long, dataset=Vanishes(), preprocess='none', input_size=64,\n"
    "                        layout={'width': '720px'})\nexplorer"
)
# Where the mask is clearest, as shares of the picture's width and height.
CLEAREST = """mask => {
  const { width, height } = mask;
  const alpha = mask.getContext('2d').getImageData(0, 0, width, height).data.filter((_, at) => at % 4 === 3);
  const least = Math.min(...alpha);
  const clear = [...alpha.keys()].filter(at => alpha[at] === least);
  const mean = of => clear.reduce((sum, at) => sum + of(at) + 0.5, 0) / clear.length;
  const picture = mask.parentElement.querySelector('.peek-shot-picture');
  const [over, under] = [mask, picture].map(each => each.getBoundingClientRect());
  return [
    (over.left + mean(at => at % width) * over.width / width - under.left) / under.width,
    (over.top + mean(at => Math.floor(at / width)) * over.height / height - under.top) / under.height,
  ];
}"""


def test_a_layout_is_taken_a_dataset_may_vanish_and_a_map_lies_where_its_image_is(notebook):
    book = notebook([LONG + REST, SHOW_REST])
    book.run_all()
    book.until("d.drawn > 3 && d.crops === 8", timeout=120)
    assert book.root.evaluate("root => Math.round(root.parentElement.getBoundingClientRect().width)") == 720

    # what was found stays, and the counts add up
    panel = book.root.locator(".peek-tab-examples[role=tabpanel]")
    expect(panel).to_contain_text("8 of 24 images processed. 16 could not be read (image 8: ")
    expect(panel).to_contain_text("the disk is gone")
    assert book.ask("(explorer.evidence_status['images'], len(explorer.crops.top))") == [8, 8]

    # the field passes the border by 16 px on each side, and the map still lies on the square
    panel.get_by_role("button", name="activation of example 1").click()
    mask = panel.locator(".peek-large-picture .peek-shot-mask")
    expect(mask).to_be_visible()
    across, down = mask.evaluate(CLEAREST)
    assert abs(across - 44 / 64) < 0.02
    assert abs(down - 12 / 64) < 0.02
    assert book.errors == []

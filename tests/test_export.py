"""What becomes of an explorer in a page that nbconvert makes: a picture, without a kernel and without a network."""

import base64
import io
import re

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbconvert.exporters import get_exporter
from PIL import Image

from peek_widget.export import STATE, VIEW, HTMLWithPictures

pytestmark = pytest.mark.slow  # a kernel runs the notebook

MODEL = """
import torch
from torch import nn
from peek_widget import UnitExplorer
torch.set_num_threads(1)
torch.manual_seed(0)
explorer = UnitExplorer(nn.Sequential(nn.Conv2d(3, 8, 5, stride=2)), layer="0", recipe="peek-fast", size=64,
                        playing=False)
"""
LAST = "explorer.play(); explorer.wait(60); explorer.image.getpixel((5, 5))"


@pytest.fixture(scope="module")
def executed():
    """Shown before anything was drawn, looked at again at the end, beside another widget; with the state stored."""
    cells = [MODEL, "explorer", "import ipywidgets; ipywidgets.IntSlider(7)", LAST]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nb.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(nb, timeout=120, store_widget_state=True).execute()
    return nb


def copy(nb):
    return nbformat.from_dict(nbformat.v4.reads(nbformat.v4.writes(nb)))


def pictures(html):
    found = re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_it_is_known_to_nbconvert_by_its_name():
    assert get_exporter("peek_html") is HTMLWithPictures


def test_plain_html_leaves_a_stored_explorer_to_a_script_from_elsewhere(executed):
    """Why there is an exporter: should this fail one day, nbconvert has become better."""
    html, _ = HTMLExporter().from_notebook_node(copy(executed))
    assert pictures(html) == []
    assert VIEW in html


def test_the_picture_stands_where_the_explorer_was(executed):
    html, _ = HTMLWithPictures().from_notebook_node(copy(executed))
    (picture,) = pictures(html)
    assert picture.size == (64, 64)
    shown, exact = picture.convert("RGB").getpixel((5, 5)), executed.cells[3].outputs[0].data["text/plain"]
    assert max(abs(a - b) for a, b in zip(shown, map(int, re.findall(r"\d+", exact)), strict=True)) <= 12


def test_another_widget_keeps_its_state(executed):
    html, _ = HTMLWithPictures().from_notebook_node(copy(executed))
    assert html.count(VIEW) >= 1
    assert "IntSliderModel" in html
    # the explorer's script and picture are not carried twice
    assert "_layer_list" not in html


def test_where_explorers_were_all_there_is_nothing_is_fetched_for_them(executed):
    alone = copy(executed)
    del alone.cells[2]
    alone.metadata.widgets[STATE]["state"] = {
        name: model
        for name, model in alone.metadata.widgets[STATE]["state"].items()
        if "Slider" not in model["model_name"]
    }
    html, _ = HTMLWithPictures().from_notebook_node(alone)
    assert len(pictures(html)) == 1
    assert "html-manager" not in html


def test_a_notebook_without_stored_state_shows_the_picture_that_there_was(executed):
    bare = copy(executed)
    del bare.metadata["widgets"]
    html, _ = HTMLWithPictures().from_notebook_node(bare)
    assert pictures(html) == []
    assert "UnitExplorer(Sequential" in html
    later = copy(bare)
    later.cells[1].outputs[0].data["image/png"] = base64.b64encode(b"\x89PNG").decode()
    assert "image/png;base64" in HTMLWithPictures().from_notebook_node(later)[0]
    assert "image/png;base64" in HTMLExporter().from_notebook_node(copy(later))[0]

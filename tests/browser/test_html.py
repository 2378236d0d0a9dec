"""A notebook as HTML, read with no kernel and no network: what a course's site shows of an explorer."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from peek_widget.export import HTMLWithPictures

from .test_explorer import MODEL

SHORT = "explorer = UnitExplorer(model, layer='conv2', recipe='peek-fast', size=96)"
CELLS = [
    MODEL + "torch.set_num_threads(1)",
    SHORT + "\nexplorer",  # shown before anything is drawn
    "explorer.wait(60)",
    "explorer",  # shown when all is drawn
    "explorer.snapshot()",
]


@pytest.fixture(scope="module")
def executed():
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(nb, timeout=120, kernel_name="python3", store_widget_state=True).execute()
    return nb


@pytest.fixture
def pictures(browser_context, executed):
    """`pictures(exporter, stored)` opens the page and gives, for each cell, the width of its picture, 0 for none."""
    page = browser_context.new_page()

    def show(exporter, stored):
        nb = nbformat.from_dict(nbformat.v4.reads(nbformat.v4.writes(executed)))
        if not stored:
            del nb.metadata["widgets"]
        html, _ = exporter().from_notebook_node(nb)
        page.set_content(html, wait_until="load")
        return page.locator(".jp-Notebook > .jp-Cell, main > .jp-Cell, .jp-CodeCell").evaluate_all(
            """cells => cells.map(cell => {
              const picture = cell.querySelector('.jp-OutputArea-output img');
              return picture && picture.complete && picture.checkVisibility() ? picture.naturalWidth : 0;
            })"""
        )

    yield show
    page.close()


def test_peek_html_shows_the_last_picture_wherever_the_explorer_was(pictures):
    assert pictures(HTMLWithPictures, stored=True) == [0, 96, 0, 96, 96]


def test_plain_html_without_stored_state_shows_the_picture_of_an_explorer_that_had_one(pictures):
    assert pictures(HTMLExporter, stored=False) == [0, 0, 0, 96, 96]


def test_plain_html_with_stored_state_shows_what_was_shown_as_a_picture(pictures):
    """nbconvert leaves the explorer itself to a script from elsewhere: without a network its place is blank."""
    assert pictures(HTMLExporter, stored=True) == [0, 0, 0, 0, 96]

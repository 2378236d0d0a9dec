"""A kernel far away: between it and the page lies a line on which everything takes its time."""

import pytest

from .distance import Far
from .lab import Notebook

ADDED = 0.15  # seconds, to a round trip

CELLS = [
    "import torch\n"
    "torch.set_num_threads(1)\n"
    "from peek_widget import Recipe, UnitExplorer\n"
    "explorer = UnitExplorer(layer='conv1', size=64, recipe=Recipe.preset('peek-fast').replace(steps=100_000))\n"
    "pacer = explorer._parts.run._audience.pacer\n"
    "explorer",
]


@pytest.mark.own_page
def test_pictures_stream_and_controls_answer_over_a_long_line(server, browser_context, pages):
    far = Far(server)
    try:
        book = pages(Notebook(far, browser_context, "far.ipynb", cells=CELLS))
        far.proxy.seconds = ADDED
        book.run_all()
        book.until("d.state === 'running' && d.drawn > 5")

        # several on their way at once, and the page acknowledges one after the other: none waits for the one before
        acked = book.ask("pacer._acked")
        book.until_kernel(f"pacer._acked > {acked} + 20")
        book.until_kernel(f"{ADDED} <= pacer._shortest < 10")
        book.until_kernel("pacer.outstanding >= 2")

        slider = book.page.get_by_role("slider", name="Unit", exact=True)
        run = book.peek()["peekRun"]
        slider.fill("7")
        book.until(f"d.run > {run} && d.step > 0")
        assert book.ask("explorer.unit") == 7
        assert book.peek()["peekHealth"] == "ok"
    finally:
        far.proxy.stop()

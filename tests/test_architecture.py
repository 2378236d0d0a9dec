"""Which module may import which, and what an import does not bring along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

JUPYTER = ["ipywidgets", "anywidget", "IPython", "traitlets", "ipykernel", "jupyter_client"]


def test_every_module_imports_only_from_the_layers_below_it():
    lint = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(cache_dir=None))"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("peek_widget.network, peek_widget.ascent", JUPYTER),
        ("peek_widget.evidence, peek_widget.sheet, peek_widget.comparison", JUPYTER),
        ("peek_widget.live", [*JUPYTER, "torchvision.models", "peek_widget.zoo"]),
        # a survey, a poster and an animation are paid for when one is made
        ("peek_widget", ["scipy", "pandas", "matplotlib", "av", "distributed", "torchvision.models"]),
    ],
)
def test_an_import_leaves_out_what_it_can_do_without(imported, absent):
    code = f"import sys, {imported}; print(*(name for name in {absent!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == []

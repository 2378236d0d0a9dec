"""The site: it builds without a warning, its pages' code runs, and it names all that is public."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import peek_widget

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

# Run with their own surroundings elsewhere.
ELSEWHERE = {
    "engine.md": "tests/test_docs.py",
    "evidence.md": "tests/evidence/test_docs.py",
    "keep.md": "tests/test_docs.py",
}


def blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), flags=re.S)


def pages() -> list[str]:
    return sorted(path.name for path in DOCS.glob("*.md") if path.name not in ELSEWHERE and blocks(path))


@pytest.fixture
def explorers(monkeypatch):
    """Every explorer that a page makes; closed at the end."""
    made = []
    init = peek_widget.UnitExplorer.__init__

    def remember(self, *args: Any, **options: Any) -> None:
        init(self, *args, **{"threads": 1, **options})
        # one that was refused is none
        made.append(self)

    monkeypatch.setattr(peek_widget.UnitExplorer, "__init__", remember)
    yield made
    for explorer in made:
        explorer.close()


@pytest.mark.slow
@pytest.mark.parametrize("page", pages())
def test_a_pages_code_runs(page, tmp_path, monkeypatch, explorers):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, Any] = {"model": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))}
    for block in blocks(DOCS / page):
        exec(compile(block, page, "exec"), names)
    for explorer in explorers:
        assert explorer.status["state"] != "error", explorer.status["error"]


def test_pages_that_are_run_elsewhere_are():
    for page, test in ELSEWHERE.items():
        assert page in (ROOT / test).read_text("utf-8")


def test_the_reference_names_all_that_is_public():
    text = (DOCS / "api.md").read_text("utf-8")
    named = set(re.findall(r"::: peek_widget(?:\.\w+)*\.(\w+)", text))
    assert set(peek_widget.__all__) - {"__version__"} - named == set()


def test_every_page_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert [path.name for path in DOCS.glob("*.md") if f" {path.name}\n" not in menu] == []


def test_every_recipe_has_its_picture_of_the_same_units():
    text = (DOCS / "recipes.md").read_text("utf-8")
    shown = re.findall(r"^## (.+)$", text, flags=re.M)
    pictures = re.findall(r"!\[(.+) under (.+)\]\((.+)\)", text)
    assert shown == [name for _, name, _ in pictures] == list(peek_widget.Recipe.presets())
    assert len({subject for subject, _, _ in pictures}) == 1
    assert all((DOCS / path).exists() for _, _, path in pictures)


@pytest.mark.parametrize("symptom", ["gray", "Module anywidget ... not registered", "Nothing moves", "Out of memory"])
def test_a_symptom_is_found_by_its_own_words(symptom):
    headings = re.findall(r"^\*\*(.+?)\*\*", (DOCS / "troubleshooting.md").read_text("utf-8"), flags=re.M | re.S)
    assert any(symptom in " ".join(heading.split()) for heading in headings)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    text = "".join(path.read_text("utf-8") for path in (tmp_path / "site").rglob("*.html"))
    assert "argmax" in text
    # whoever reads it fetches nothing from elsewhere
    assert re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"(https?://[^\"]+)", text) == []

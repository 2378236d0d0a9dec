"""What a contributor is told is so."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def release():
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_is_the_same_everywhere_and_in_the_changelog():
    assert re.fullmatch(r"\d+\.\d+\.\d+\w*", release().version())


def test_a_version_that_differs_is_refused(monkeypatch, tmp_path):
    module = release()
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md", "peek_widget/__init__.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text((ROOT / name).read_text())
    monkeypatch.setattr(module, "ROOT", tmp_path)
    module.version()
    cited = tmp_path / "CITATION.cff"
    cited.write_text(cited.read_text().replace("version: 0.", "version: 9.", 2))
    with pytest.raises(SystemExit, match=r"CITATION\.cff"):
        module.version()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md"])
def test_every_file_that_is_named_is_there(page):
    text = (ROOT / page).read_text()
    named = re.findall(r"`((?:peek_widget|js|tests|docs|scripts|benchmarks|examples)/[\w./-]*)`", text)
    named += [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    missing = [name for name in named if "yours" not in name and not (ROOT / name).exists()]
    assert named
    assert missing == []

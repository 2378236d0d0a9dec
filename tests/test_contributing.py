"""What CONTRIBUTING and README say is so, and the version stands in one place."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

import peek_widget

ROOT = Path(__file__).resolve().parents[1]


def release():
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_is_said_once_and_the_changelog_has_its_section():
    assert release().version() == peek_widget.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+\w*", peek_widget.__version__)


SECOND_VERSIONS = {
    "pyproject.toml": ('dynamic = ["version"]', 'version = "9.0.0"'),
    "js/package.json": ('"private": true,', '"private": true, "version": "9.0.0",'),
    "CITATION.cff": ("type: software", "type: software\nversion: 9.0.0"),
    "CHANGELOG.md": (f"## [{peek_widget.__version__}]", "## [9.0.0]"),
}


@pytest.mark.parametrize("changed", SECOND_VERSIONS)
def test_a_version_that_another_file_says_is_refused(monkeypatch, tmp_path, changed):
    module = release()
    for name in (*SECOND_VERSIONS, "peek_widget/_version.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text((ROOT / name).read_text("utf-8"), "utf-8")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    module.version()
    path, (old, new) = tmp_path / changed, SECOND_VERSIONS[changed]
    assert old in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(SystemExit, match=re.escape(changed)):
        module.version()


def test_the_linters_of_their_own_group_are_those_of_the_tests():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert set(project["dependency-groups"]["lint"]) <= set(project["project"]["optional-dependencies"]["test"])


@pytest.mark.parametrize("file", ["CONTRIBUTING.md", "README.md", "tests/README.md"])
def test_every_file_that_is_named_is_there(file):
    text = (ROOT / file).read_text("utf-8")
    named = re.findall(r"`((?:peek_widget|js|tests|tools|docs|scripts|benchmarks|examples)/[\w./-]*)`", text)
    named += [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    missing = [name for name in named if "yours" not in name and not (ROOT / name).exists()]
    assert named
    assert missing == []


def test_the_map_of_the_tests_names_every_folder_and_every_mark():
    text = (ROOT / "tests" / "README.md").read_text("utf-8")
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")} - {ROOT / "tests"}
    marks = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]["markers"]
    named = [f"`{path.relative_to(ROOT).as_posix()}`" for path in folders]
    named += [f"| `{mark.partition(':')[0]}` |" for mark in marks]
    assert [name for name in named if name not in text] == []

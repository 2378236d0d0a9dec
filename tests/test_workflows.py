"""GitHub's workflows: valid, and nothing in them but the steps that anybody runs at home."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEPENDABOT = ROOT / ".github" / "dependabot.yml"


def invalid(schema: str, *files: Path) -> str:
    """Return what is wrong with the files, "" for nothing."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_workflows_are_valid_and_an_invalid_one_would_be_found(tmp_path):
    assert {path.stem for path in WORKFLOWS} == {"ci", "docs", "release"}
    assert invalid("vendor.github-workflows", *WORKFLOWS) == ""
    broken = tmp_path / "ci.yml"
    broken.write_text(WORKFLOWS[0].read_text("utf-8").replace("runs-on:", "run-on:", 1), "utf-8")
    assert invalid("vendor.github-workflows", broken) != ""


def test_dependabots_settings_are_valid():
    assert invalid("vendor.dependabot", DEPENDABOT) == ""


def test_the_workflows_run_the_steps_of_scripts_test_and_between_them_all_of_them():
    text = (ROOT / "scripts" / "test.py").read_text("utf-8")
    steps = re.findall(r'"(\w+)"', re.search(r"^STEPS = \((.*)\)$", text, re.MULTILINE)[1])
    commands = [each for path in WORKFLOWS for each in re.findall(r"run: (.+)", path.read_text("utf-8"))]
    run = [re.fullmatch(r"python scripts/test\.py --only (\w+)(?: --oldest)?", each) for each in commands]
    assert {each[1] for each in run if each} == set(steps)
    others = [command for command, each in zip(commands, run, strict=True) if not each]
    assert [each for each in others if not each.startswith(("python -m pip ", "python scripts/release.py "))] == []


def test_ci_tests_the_pythons_that_the_package_names():
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    named = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each) for each in classifiers]
    matrix = re.search(r"python: \[(.*)\]", (ROOT / ".github/workflows/ci.yml").read_text("utf-8"))[1]
    assert re.findall(r'"(.+?)"', matrix) == [each[1] for each in named if each]

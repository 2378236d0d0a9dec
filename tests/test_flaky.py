"""A test that is run again and passes is printed under FLAKY, and only such a one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]

TESTS = """
from pathlib import Path

def test_passes_at_the_second_try():
    tried = Path(__file__).with_name("tried")
    first = not tried.exists()
    tried.touch()
    assert not first, "the first try"

def test_passes():
    pass

def test_fails_always():
    assert not ALWAYS
"""


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("always", [False, True])
def test_only_what_passed_when_run_again_is_printed_as_flaky(tmp_path, workers, always):
    (tmp_path / "test_it.py").write_text(f"ALWAYS = {always}\n{TESTS}")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.flaky",
        "--reruns=1",
        "-n",
        workers,
        "-p",
        "no:cacheprovider",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == int(always), done.stdout + done.stderr
    _, _, printed = done.stdout.partition(" FLAKY ")
    section = [line for line in printed.splitlines() if "::" in line and "test_it" in line and "FAILED" not in line]
    assert len(section) == 1, done.stdout
    assert "test_passes_at_the_second_try (call): AssertionError: the first try" in section[0]
    assert ("test_fails_always" in done.stdout.partition("short test summary")[2]) is always

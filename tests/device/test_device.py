"""On a device that is not the CPU everything gives the CPU's numbers, and nothing waits for the host without need.

The device is none: :mod:`tests.device.glass`. It changes torch, so all of it runs once in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from peek_widget import Recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What each scenario of ``on_glass`` returned, by its name."""
    command = [sys.executable, "-m", "tests.device.on_glass"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    if "skipped" in facts:
        pytest.skip(facts["skipped"])
    return facts


def test_every_scenario_ran_to_its_end(found: dict[str, Any]) -> None:
    failed = [f"{name}: {facts['failed']}" for name, facts in found.items() if "failed" in facts]
    assert not failed, "\n".join(failed)
    assert {f"engine: {name}" for name in Recipe.presets()} < found.keys()


def test_all_is_equal_to_the_cpu_to_the_last_bit(found: dict[str, Any]) -> None:
    compared = {name: facts["equal"] for name, facts in found.items() if "equal" in facts}
    assert {"evidence", "sheet", "photo", "widget", "engine: peek"} < compared.keys()
    assert [name for name, equal in compared.items() if not equal] == []
    assert (found["sheet"]["units"], found["widget"]["steps"]) == (3, 1)
    assert found["widget"]["device"] == "glass:0"
    assert found["widget"]["devices"] == ["cpu", "glass:0"]


def test_a_tensor_left_on_the_cpu_is_told_on(found: dict[str, Any]) -> None:
    assert found["planted"].keys() == {"objective", "preprocess", "spectrum"}
    for what, message in found["planted"].items():
        assert "same device" in message, what

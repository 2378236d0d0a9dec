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

pytestmark = pytest.mark.slow

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
    assert {
        "changed",
        "evidence",
        "sheet",
        "photo",
        "widget",
        "seeds of the widget",
        "engine: peek",
        "engine: replayed",
    } < compared.keys()
    assert [name for name, equal in compared.items() if not equal] == []
    assert (found["sheet"]["units"], found["widget"]["steps"]) == (3, 1)
    assert found["widget"]["device"] == "glass:0"
    assert found["widget"]["devices"] == ["cpu", "glass:0"]


def test_no_step_waits_for_the_host(found: dict[str, Any]) -> None:
    counted = {name: facts for name, facts in found.items() if name.startswith(("engine: ", "objective: "))}
    assert len(counted) >= len(Recipe.presets()) + 6
    assert {name: facts for name, facts in counted.items() if (facts["reads"], facts["uploads"]) != (0, 0)} == {}


def test_a_run_reads_one_frame_where_one_is_shown_and_looks_every_so_many_steps(found: dict[str, Any]) -> None:
    facts = found["a run that is looked at"]
    assert facts["shown"] == 4
    # After steps 0 (for what is shut, and what is not finite), 8 (in place of 50) and the last; at the end pictures,
    # history and terms.
    assert facts["reads"] == facts["shown"] + 4 + 3, facts["at"]


def test_the_widget_draws_several_seeds_at_once(found: dict[str, Any]) -> None:
    facts = found["seeds of the widget"]
    assert facts == {"equal": True, "seeds": [0, 1, 2], "large": True}


@pytest.mark.parametrize("scenario", ["waits of the widget", "waits of the widget with four seeds"])
def test_the_widget_reads_one_frame_where_one_is_published(found: dict[str, Any], scenario: str) -> None:
    facts = found[scenario]
    assert facts["steps"] == 24
    # Beside frames: looks; and a few times a second the still activation of a picture, which is read for it.
    reads = {at.removeprefix("reads: "): count for at, count in facts["at"] if at.startswith("reads: ")}
    measured = sum(count for at, count in reads.items() if at.startswith("ascent/still.py"))
    looks = sum(count for at, count in reads.items() if at.startswith("ascent/watch.py"))
    assert facts["reads"] - looks - 2 * measured <= facts["frames"] + 1, facts


def test_a_pass_reads_once_a_batch(found: dict[str, Any]) -> None:
    facts = found["waits of a pass"]
    assert facts["reads"] == facts["batches"] == 4, facts["at"]


def test_a_device_that_vanishes_is_named_and_what_was_saved_is_kept(found: dict[str, Any]) -> None:
    facts = found["vanished"]
    gone = "does not answer any more (CUDA error: unspecified launch failure)"
    said = f"The pass ended after 9 of 12 images: glass:0 {gone}."
    assert said in facts["pass"]
    assert "but what was saved is in " in facts["pass"]
    assert facts["kept"] == 6
    assert facts["whole"] == 12, "another device goes on from the file"
    assert f"the device {gone}" in facts["explorer"]
    assert "explorer.device = 'cpu'" in facts["explorer"]


def test_what_is_not_finite_is_found_at_the_next_look(found: dict[str, Any]) -> None:
    facts = found["broken"]
    assert "In one of the steps 1 to 8" in facts["late"]
    assert facts["late at"] == 9
    assert "In one of the steps 1 to 5" in facts["last"]
    assert "Channel(layer='0', unit=3)" in facts["last"]
    assert "its gradient is zero everywhere" in facts["dead"]


def test_a_tensor_left_on_the_cpu_is_told_on(found: dict[str, Any]) -> None:
    assert found["planted"].keys() == {"objective", "preprocess", "spectrum"}
    for what, message in found["planted"].items():
        assert "same device" in message, what

"""The front end's own tests, run as part of the whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hatch_build import node_tools

MOST_BYTES = 1024 * int(re.findall(r"^const LIMIT = (\d+) \* 1024;", (ROOT / "js" / "build.mjs").read_text(), re.M)[0])
"""Every saved widget carries both files."""


def test_the_bundle_stays_small() -> None:
    files = [ROOT / "peek_widget" / "static" / name for name in ("widget.js", "widget.css")]
    sizes = {path.name: path.stat().st_size for path in files}
    print(f"the bundle: {sizes}, {sum(sizes.values()):,} bytes of {MOST_BYTES:,}")
    assert sum(sizes.values()) < MOST_BYTES
    # minified: as it is shipped
    assert all(path.read_text(encoding="utf-8").count("\n") < 50 for path in files)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["check", "lint", "test"])
def test_front_end(script: str) -> None:
    _node, npm, environment = node_tools()
    js = ROOT / "js"
    if not (js / "node_modules" / "vitest").is_dir():
        subprocess.run([*npm, "ci", "--no-audit", "--no-fund"], cwd=js, env=environment, check=True)
    done = subprocess.run([*npm, "run", script], cwd=js, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]

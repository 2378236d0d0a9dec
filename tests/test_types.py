"""What somebody's editor and type checker are told: every public name of the package has a known type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Their ancestors are ipywidgets', which has no types; what they add to them is typed.
OF_IPYWIDGETS = {
    "peek_widget.UnitExplorer",
    "peek_widget.explorer.UnitExplorer",
    "peek_widget.GuessingGame",
    "peek_widget.game.page.GuessingGame",
}
ANCESTRY = ("Type of metaclass unknown", "Type of base class unknown")


@pytest.mark.slow
def test_every_public_name_has_a_known_type():
    # pyright takes the packages of the Python that comes first on the path, and of no other
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", "peek_widget", "--ignoreexternal", "--outputjson"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.startswith("{"), done.stdout[-2000:] + done.stderr[-2000:]
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    assert sum(one["isExported"] for one in symbols) > 2000
    unknown = {
        one["name"]: [each["message"] for each in one["diagnostics"]]
        for one in symbols
        if not one["isTypeKnown"] or one["isTypeAmbiguous"]
    }
    assert {name: why for name, why in unknown.items() if name not in OF_IPYWIDGETS} == {}
    assert [why for whys in unknown.values() for why in whys if why not in ANCESTRY] == []

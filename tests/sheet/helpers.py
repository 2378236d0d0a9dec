"""What several tests of the sheet draw: eight units of a small network in a few steps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from peek_widget.ascent import Recipe
from peek_widget.sheet import ContactSheet, contact_sheet
from tests.networks import tiny

QUICK = Recipe.preset("peek").replace(steps=5, size=32)


def sheet(store: Any = None, **options: Any) -> ContactSheet:
    options = {"recipe": QUICK, "batch": 3, "threads": 1, **options}
    return contact_sheet(options.pop("model", None) or tiny(), options.pop("layer", "forms"), store=store, **options)


def pngs(sheet: ContactSheet) -> dict[int, bytes]:
    return {unit: one.png for unit, one in sheet.done.items()}


def on_disk(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


if __name__ == "__main__":  # python -m tests.sheet.helpers STORE STEPS: draws, and says what is kept
    for one in sheet(sys.argv[1], recipe=QUICK.replace(steps=int(sys.argv[2]))):
        print(one.unit, flush=True)

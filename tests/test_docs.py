"""What the pages say is run, and what they list is complete."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from peek_widget.ascent.presets import presets
from peek_widget.zoo.images import Images

ROOT = Path(__file__).resolve().parents[1]
ENGINE = ROOT / "docs" / "engine.md"


class Net(nn.Module):
    """Has the layers that the pages name, and is quick."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.layer3 = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.Conv2d(8, 16, 3, padding=1))
        self.fc = nn.Linear(16, 300)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer3(self.layer2(self.layer1(x))).relu().mean(dim=(2, 3)))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recipe in a few steps and small: what is tested is that the pages' calls are possible."""
    few = {}
    for name, one in presets().items():
        quick = one.recipe.replace(steps=6, size=48, n_views=min(2, one.recipe.n_views))
        few[name] = dataclasses.replace(one, recipe=quick)
    monkeypatch.setattr(sys.modules["peek_widget.ascent.recipe"], "_PRESETS", few)


def blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.S)


@pytest.mark.usefixtures("short")
def test_the_engines_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    photographs = [Images(64, seed=0)[i][0] for i in range(3)]
    names: dict[str, Any] = {
        "model": Net(),
        "vector": torch.randn(16),
        "photographs": photographs,
        "photograph": photographs[0],
    }
    for block in blocks(ENGINE):
        exec(compile(block, str(ENGINE), "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} == {"golden.png", "run.safetensors", "unit7.png"}


def test_every_recipe_is_on_the_engines_page() -> None:
    text = ENGINE.read_text()
    for name, one in presets().items():
        assert f"| `{name}` | {one.summary} | {one.source} |" in text


@pytest.mark.usefixtures("short")
def test_the_page_on_comparing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, Any] = {"model": Net()}
    page = ROOT / "docs" / "keep.md"
    # without those for an explorer, which has tests of its own
    for block in blocks(page):
        if "explorer" not in block and "load_recipe" not in block:
            exec(compile(block, str(page), "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} == {"recipes.png", "unit7.webp"}

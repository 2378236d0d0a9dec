"""What docs/evidence.md says is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from peek_widget.evidence import IMAGENET_GROUPS
from peek_widget.evidence.prepare import Preparer, to_picture
from peek_widget.zoo import CLASS_NAMES, Images, bundled

pytest.importorskip("scipy", reason="the survey's extra is not installed: pip install 'peek_widget[survey]'")
pytest.importorskip("matplotlib", reason="the survey's extra is not installed: pip install 'peek_widget[survey]'")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence.md"


@pytest.mark.slow
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = Images(84)
    for i, (image, label) in enumerate(images):
        path = Path("photos", CLASS_NAMES[label], f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        to_picture(image, Preparer(3, 64, 64)).save(path)
        if i == len(images) - 1:
            break
    names = {"model": bundled()}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.S):
        exec(compile(block, str(PAGE), "exec"), names)
    assert Path("photos.safetensors").exists()
    assert isinstance(names["unit"].top[0].image, Image.Image)
    assert "of 84 images" in capsys.readouterr().out
    assert str(len(IMAGENET_GROUPS)) in PAGE.read_text("utf-8")

"""The script for a GPU runs to its end, in small and on the CPU: whoever has a GPU runs it once."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gpu


@pytest.mark.slow
def test_every_table_is_made_in_small_and_put_into_the_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "gpu.md"
    page.write_text(f"before\n{gpu.MARKS[0]}\nold\n{gpu.MARKS[1]}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(gpu, "PAGE", page)
    gpu.main(["--small", "--device", "cpu", "--write"])
    printed = capsys.readouterr().out
    assert "It ended here" not in printed, printed
    assert "no time" not in printed
    for title, _ in gpu.TABLES.values():
        assert f"### {title}\n" in printed
    written = page.read_text(encoding="utf-8")
    assert written.startswith(f"before\n{gpu.MARKS[0]}\nMeasured by")
    assert written.endswith(f"{gpu.MARKS[1]}\nafter\n")
    assert "old" not in written
    assert "in small: these numbers say nothing" in written
    # On the same device pictures are equal: nothing in the script makes them differ.
    assert all(" 0 | 0 | 0 % apart |" in line for line in written.splitlines() if line.startswith("| peek-fast"))


def test_the_page_has_the_marks_that_the_script_writes_between() -> None:
    text = gpu.PAGE.read_text(encoding="utf-8")
    assert text.count(gpu.MARKS[0]) == text.count(gpu.MARKS[1]) == 1

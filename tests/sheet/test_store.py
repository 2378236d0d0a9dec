"""The store: no picture is lost or drawn twice when a process is killed, and no invalid file is taken for one."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import fsspec
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image as PILImage

from peek_widget import load_recipe
from peek_widget.errors import PeekError, SheetStoreError
from peek_widget.sheet import Tags
from peek_widget.sheet.leases import Leases
from peek_widget.sheet.store import Store, name_of
from tests.networks import tiny
from tests.sheet.helpers import QUICK, on_disk, pngs, sheet

ROOT = Path(__file__).resolve().parents[2]
UNITS = set(range(8))


@pytest.fixture(scope="module")
def right():
    """The pictures as a run without a store gives them."""
    return pngs(sheet().draw())


class KilledError(BaseException):
    """As if the process were gone: nothing that it would still have done is done."""


@pytest.fixture
def kill(monkeypatch):
    """Let the process die at the n-th thing that it does to a store."""
    state = {"left": None, "done": 0}

    def dying(name):
        real = getattr(Store, name)

        def method(self, *args, **kwargs):
            state["done"] += 1
            if state["left"] is not None:
                if state["left"] <= 0:
                    raise KilledError
                state["left"] -= 1
            return real(self, *args, **kwargs)

        monkeypatch.setattr(Store, name, method)

    for name in ("names", "read", "write", "create", "remove"):
        dying(name)

    def at(number):
        state.update(left=number, done=0)
        return state

    return at


# -- saving and loading


def test_every_unit_is_a_png_with_its_recipe_and_no_other_file_is_a_png(tmp_path, right):
    drawn = sheet(tmp_path).draw()
    assert pngs(drawn) == right
    assert on_disk(tmp_path) == {name_of(unit): png for unit, png in right.items()}
    assert {p.name for p in tmp_path.iterdir()} - on_disk(tmp_path).keys() == {
        "sheet.json",
        "index.parquet",
        "in-progress",
    }
    assert not list((tmp_path / "in-progress").iterdir())
    assert load_recipe(tmp_path / "unit-00003.png").seed == drawn[3].seed
    assert json.loads((tmp_path / "sheet.json").read_text())["layer"] == "forms"


def test_the_same_call_loads_what_is_there_and_draws_nothing_again(tmp_path, right, monkeypatch):
    sheet(tmp_path, units=[6, 1]).draw()
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.png")}
    again = sheet(tmp_path)
    assert list(again.done) == [1, 6]
    assert [one.unit for one in again][:2] == [1, 6]  # those that are there come first
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.png") if p.name in before} == before
    monkeypatch.setattr("peek_widget.sheet.sheets.make_runner", None)  # nobody there to draw
    assert pngs(sheet(tmp_path).draw()).keys() == right.keys()


def test_the_index_is_rewritten_when_it_differs_from_the_pictures(tmp_path):
    import pandas as pd

    drawn = sheet(tmp_path).draw()
    drawn.tags.add("forms", 3, "dog", "<b>loud</b>")
    drawn.save()
    table = pd.read_parquet(tmp_path / "index.parquet")
    assert list(table.columns) == ["unit", "activation", "gauge", "seed", "recipe", "tags"]
    assert list(table.tags[3]) == ["dog", "<b>loud</b>"]
    assert table.activation.tolist() == [drawn[u].activation for u in range(8)]
    pd.testing.assert_frame_equal(table.drop(columns="tags"), drawn.to_frame().drop(columns="tags"))
    good = (tmp_path / "index.parquet").read_bytes()
    for bad in (b"", good[:100], good[:-1], b"PAR1", table.head(3).to_parquet()):
        (tmp_path / "index.parquet").write_bytes(bad)
        sheet(tmp_path)
        assert len(pd.read_parquet(tmp_path / "index.parquet")) == 8
    (tmp_path / "index.parquet").unlink()
    sheet(tmp_path)
    assert (tmp_path / "index.parquet").exists()


def test_tags_are_saved_with_the_sheet_and_those_of_another_process_are_merged(tmp_path):
    one, other = sheet(tmp_path).draw(), sheet(tmp_path)
    assert not one.tags
    assert not other.tags
    one.tags.add("forms", 3, "dog")
    one.save()
    other.tags.add("forms", 4, "cat")
    other.save()
    assert sheet(tmp_path).tags == Tags({"forms": {3: ["dog"], 4: ["cat"]}})


# -- processes that are killed


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost_or_drawn_twice(tmp_path, kill, monkeypatch):
    monkeypatch.setattr("peek_widget.sheet.leases._alive", lambda pid: False)  # it has our number, and is gone
    state, number = kill(None), 0
    right = pngs(sheet(tmp_path / "whole", units=range(4)).draw())
    moments = state["done"]
    assert moments > 25
    for number in range(moments):
        store = tmp_path / str(number)
        kill(number)
        seen: list[int] = []
        try:
            for one in sheet(store, units=range(4)):
                seen.append(one.unit)
        except KilledError:
            pass
        kill(None)
        there = on_disk(store)
        assert set(there) >= {name_of(unit) for unit in seen}, f"lost at {number}"
        kept = {p.name: p.stat().st_mtime_ns for p in store.glob("*.png")}
        # What was on its way is complete without being drawn again.
        coming = {n for z in store.glob("in-progress/*.zip") for n in zipfile.ZipFile(z).namelist()}
        again = sheet(store, units=range(4))
        assert {name_of(unit) for unit in again.done} == set(there) | coming
        again.draw()
        assert on_disk(store) == {name_of(unit): png for unit, png in right.items()}
        assert {n: (store / n).stat().st_mtime_ns for n in kept} == kept, f"drawn twice after {number}"
        assert not again.problems
        assert not [p for p in store.rglob("*") if p.name.endswith((".zip", ".claim", ".part"))]


@pytest.mark.slow
def test_kill_9_at_random_moments(tmp_path):
    # long enough that also a quick machine is at work when it is killed
    steps, chance = 240, random.Random(6)
    whole = pngs(sheet(recipe=QUICK.replace(steps=steps)).draw())
    kept: dict[str, int] = {}
    killed = 0
    for _ in range(4):  # each start of a Python with torch takes three seconds
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.sheet.helpers", str(tmp_path), str(steps)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert process.stdout is not None
        said = [process.stdout.readline()] if chance.random() < 0.8 else []  # once it is at work; or just anywhere
        time.sleep(chance.random() * (0.8 if said else 6.0))
        process.kill()
        said += process.stdout.readlines()
        killed += process.wait() == -9
        for name, when in kept.items():
            assert (tmp_path / name).stat().st_mtime_ns == when, f"{name} was drawn twice"
        kept = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("unit-*.png")}
        assert {name_of(int(unit)) for unit in said if unit.strip()} <= kept.keys()
        for name, png in on_disk(tmp_path).items():
            assert png == whole[int(name[5:10])]
        if len(kept) == len(whole):
            break
    assert killed >= 2
    assert pngs(sheet(tmp_path, recipe=QUICK.replace(steps=steps)).draw()) == whole


# -- invalid files


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_a_corrupt_picture_is_named_and_drawn_again_to_the_same_bytes(tmp_path, right, share, caplog):
    sheet(tmp_path).draw()
    path = tmp_path / name_of(4)
    path.write_bytes(right[4][: int(len(right[4]) * share)])
    others = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.png") if p != path}
    again = sheet(tmp_path)
    assert 4 not in again
    assert "unit-00004.png" in caplog.text
    assert "Unit 4 is drawn again" in again.problems["unit-00004.png"]
    assert pngs(again.draw()) == right
    assert path.read_bytes() == right[4]
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.png") if p != path} == others


def test_pictures_of_other_sheets_are_named(tmp_path, right):
    sheet(tmp_path).draw()
    PILImage.new("RGB", (9, 9)).save(tmp_path / name_of(0))  # nobody's
    (tmp_path / name_of(1)).write_bytes(right[2])  # another unit's
    other = sheet(seed=1).draw()
    (tmp_path / name_of(5)).write_bytes(other[5].png)  # another seed's
    PILImage.new("RGB", (9, 9)).save(tmp_path / "holiday.png")
    again = sheet(tmp_path)
    assert set(again.problems) == {name_of(0), name_of(1), name_of(5), "holiday.png"}
    assert "under another's name" in again.problems[name_of(1)]
    assert "the seed" in again.problems[name_of(5)]
    assert pngs(again.draw()) == right
    assert (tmp_path / "holiday.png").exists()
    # what stood in a unit's place may have been dear to somebody
    assert PILImage.open(tmp_path / f"{name_of(0)}.foreign").size == (9, 9)


def test_an_invalid_journal_is_left_out(tmp_path, right, caplog):
    sheet(tmp_path)
    work = tmp_path / "in-progress"
    work.mkdir()
    (work / "00001-x.zip").write_bytes(b"PK\3\4 torn")
    with zipfile.ZipFile(work / "00002-x.zip", "w") as file:
        file.writestr("../../evil.png", right[3])
    with zipfile.ZipFile(work / "00003-x.zip", "w") as file:
        file.writestr(name_of(3), sheet(seed=1, units=[3]).draw()[3].png)
    assert pngs(sheet(tmp_path).draw()) == right
    assert caplog.text.count("left out") == 3
    assert not list(work.iterdir())
    assert not (tmp_path.parent / "evil.png").exists()


def test_a_lost_or_corrupt_header_is_written_again(tmp_path, right):
    sheet(tmp_path).draw()
    for bad in (None, b"", b'{"format": 1', b"[]"):
        (tmp_path / "sheet.json").unlink()
        if bad is not None:
            (tmp_path / "sheet.json").write_bytes(bad)
        assert pngs(sheet(tmp_path)) == right
        assert json.loads((tmp_path / "sheet.json").read_text())["format"] == 1


# -- stores that are refused


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"recipe": QUICK.replace(steps=6)}, r"octaves=\[\[5, 1.0\]\] and not \[\[6, 1.0\]\]"),
        ({"recipe": "peek-fast"}, "recipe is 'peek', and this call's is 'peek-fast'"),
        ({"seed": 2}, "seed is 0, and this call's is 2"),
        ({"layer": "edges"}, "layer is 'forms', and this call's is 'edges'"),
        ({"objective": "channel"}, "objective is 'neuron'"),
        ({"size": 40}, "size is 32, and this call's is 40"),
        ({"preprocess": "none"}, "preprocess is"),
    ],
)
def test_another_sheet_in_the_same_store_is_refused(tmp_path, other, words):
    sheet(tmp_path, units=[0]).draw()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(SheetStoreError, match=words) as caught:
        sheet(tmp_path, **other)
    assert "another folder" in str(caught.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_another_models_store_is_refused(tmp_path):
    model = tiny()
    sheet(tmp_path, units=[0]).draw()
    with torch.no_grad():
        model.forms.weight[0, 0, 0, 0] += 1e-3
    with pytest.raises(SheetStoreError, match="other weights"):
        sheet(tmp_path, model=model)


def test_a_folder_of_photographs_is_no_store(tmp_path):
    PILImage.new("RGB", (9, 9)).save(tmp_path / "holiday.png")
    with pytest.raises(SheetStoreError, match=r"holiday.png.*empty folder"):
        sheet(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.png"]


def test_an_invalid_address_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for address, words in (
        ("nowhere://x", "can't be opened"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "deeper", "can't be"),
    ):
        with pytest.raises(SheetStoreError, match=words):
            sheet(address)


# -- full disks


def full(monkeypatch, after: int):
    """A disk that has room for so many more files."""
    real, left = os.replace, [after]

    def replace(source, target):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    return left


@pytest.mark.parametrize("room", range(1, 11))
def test_on_a_full_disk_the_pictures_stay_in_memory_and_are_saved_later(tmp_path, right, monkeypatch, room):
    left = full(monkeypatch, room)
    drawing = sheet(tmp_path)
    with pytest.raises(SheetStoreError, match="No space left on device") as caught:
        drawing.draw()
    assert "call draw() again" in str(caught.value)
    assert drawing.done  # in memory, though there was no room
    assert all(png == right[unit] for unit, png in pngs(drawing).items())
    before = set(drawing.done)
    left[0] = 1000
    drawing.draw()
    assert before <= set(drawing.done)
    assert pngs(drawing) == right
    assert on_disk(tmp_path) == {name_of(unit): png for unit, png in right.items()}
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith((".zip", ".claim", ".part"))]


@pytest.mark.slow
def test_a_limit_of_the_system_on_file_sizes_is_explained(tmp_path):
    """RLIMIT_FSIZE: no file may be larger than a picture is."""
    pytest.importorskip("resource")
    code = (
        "import resource, signal\n"
        "from tests.sheet.helpers import sheet\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"drawing = sheet({str(tmp_path)!r}, units=[0])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n"
        "try: drawing.draw()\n"
        "except Exception as error: print(type(error).__name__, list(drawing.done), error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.startswith("SheetStoreError [0] unit-00000.png can't be written")
    assert "File too large" in told
    assert not on_disk(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_writable_is_refused_before_anything_is_drawn(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SheetStoreError, match="Permission denied"):
        sheet(tmp_path / "new")


# -- several processes


def test_three_threads_draw_every_unit_once(tmp_path, right):
    drawn: list[int] = []
    lock = threading.Lock()

    model = tiny()  # not in the threads: torch has one random state for all

    def fill() -> None:
        mine = sheet(tmp_path, model=model, batch=1)
        real = mine.archive.add

        def add(finished, failed=None):
            with lock:
                drawn.extend(one.unit for one in finished)
            real(finished, failed)

        mine.archive.add = add
        sheets_of.append(mine.draw())

    sheets_of: list = []
    threads = [threading.Thread(target=fill) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(drawn) == list(range(8))
    alone = pngs(sheet(batch=1).draw())
    assert [pngs(one) for one in sheets_of] == [alone] * 3
    assert on_disk(tmp_path) == {name_of(unit): png for unit, png in alone.items()}


@pytest.mark.slow
def test_two_processes_fill_one_store(tmp_path):
    steps = 40
    command = [sys.executable, "-m", "tests.sheet.helpers", str(tmp_path), str(steps)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    two = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=env) for _ in range(2)]
    said = [process.communicate()[0].split() for process in two]
    assert [process.returncode for process in two] == [0, 0]
    assert [sorted(map(int, units)) for units in said] == [list(range(8))] * 2
    assert on_disk(tmp_path) == {
        name_of(unit): png for unit, png in pngs(sheet(recipe=QUICK.replace(steps=steps)).draw()).items()
    }


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_lease_expires_without_a_heartbeat(tmp_path):
    store, clock = Store(tmp_path), Clock()
    mine, theirs = Leases(store, clock), Leases(store, clock)
    assert mine.take("a")
    assert not theirs.take("a")
    for _ in range(20):  # as long as it beats it lives
        clock.now += 6.0
        mine.heartbeat()
        assert not theirs.take("a")
    clock.now += 59.0
    assert not theirs.take("a")
    clock.now += 61.0
    assert theirs.take("a")


def test_the_lease_of_an_ended_process_is_taken_over_at_once(tmp_path):
    store = Store(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    theirs = Leases(store)
    theirs._me["pid"] = gone.pid
    assert theirs.take("a")
    assert Leases(store).take("a")


# -- other addresses


class Plain(MemoryFileSystem):
    """An object store: whole objects, no renaming, no appending, no "only if it is new"."""

    protocol = "plain"
    store = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("plain://", "memory://"))

    def mv(self, *args, **kwargs):
        raise NotImplementedError("no renaming here")

    move = rename = mv_file = cp_file = mv

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        if mode != "overwrite":
            raise NotImplementedError("no conditional writes here")
        return super().pipe_file(path, value)

    def _open(self, path, mode="rb", **kwargs):
        assert mode in ("rb", "wb"), "no appending here"
        return super()._open(path, mode, **kwargs)


fsspec.register_implementation("plain", Plain, clobber=True)


@pytest.mark.parametrize("scheme", ["memory", "plain"])
def test_an_address_without_rename_or_locks_works_too(scheme, right):
    fs = fsspec.filesystem(scheme)
    fs.store.clear()
    address = f"{scheme}://bucket/sheets/forms"
    for _ in zip(range(4), sheet(address), strict=False):  # left in the middle
        pass
    assert list(sheet(address).done) == [0, 1, 2, 3, 4, 5]
    path = f"/bucket/sheets/forms/{name_of(2)}"
    fs.pipe_file(path, fs.cat_file(path)[:200])
    again = sheet(address)
    assert list(again.done) == [0, 1, 3, 4, 5]
    assert set(again.problems) == {name_of(2)}
    assert pngs(again.draw()) == right
    left = [str(name).rpartition("/")[2] for name in fs.find("/bucket/sheets/forms")]
    assert sorted(left) == sorted([*(name_of(u) for u in range(8)), "index.parquet", "sheet.json"])
    with pytest.raises(SheetStoreError, match="another sheet"):
        sheet(address, seed=5)


def test_corrupt_tags_are_set_aside_and_reported_once(tmp_path, caplog):
    sheet(tmp_path).draw()
    for torn in (b"[1, 2]", b'{"conv2": '):
        (tmp_path / "tags.json").write_bytes(torn)
        caplog.clear()
        one = sheet(tmp_path)
        assert len(one.tags) == 0
        assert "tags.json can't be read" in caplog.text
        caplog.clear()
        assert len(sheet(tmp_path).draw().tags) == 0
        assert caplog.text == ""
    assert {path.read_bytes() for path in tmp_path.glob("tags.json.*.torn")} == {b"[1, 2]", b'{"conv2": '}


def test_an_empty_address_is_refused():
    with pytest.raises(SheetStoreError, match="is not an address"):
        sheet("").draw()


def test_tags_of_a_sheet_can_only_be_of_existing_units():
    tags = sheet().tags
    for wrong in (lambda: tags.add(sheet().layer, [1, 99], "x"), lambda: tags.mark_reviewed("nowhere", 0)):
        with pytest.raises(PeekError):
            wrong()
    assert len(tags) == 0
    # a table from elsewhere may hold some: what counts them says how to take them off
    tags.merge(Tags({sheet().layer: {99: ["x"]}}))
    with pytest.raises(PeekError, match="forget"):
        tags.count(sheet().layer, 8)

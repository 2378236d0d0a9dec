"""Images by address and in tar archives are those of a folder, with the same labels."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from peek_widget.errors import DatasetError
from peek_widget.evidence import merge_evidence, top_crops
from peek_widget.evidence.dataset import Source, UnreadableError, read_source
from tests.networks import tiny


def png(number: int) -> bytes:
    chance = np.random.default_rng(number)
    buffer = io.BytesIO()
    Image.fromarray(chance.integers(0, 255, (16, 16, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {f"{'cats' if i % 2 else 'dogs'}/{i:02d}.png": png(i) for i in range(10)} | {
    "notes.csv": b"a,b",
    ".hidden": b"",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "photos"


@pytest.fixture
def address() -> str:
    system = fsspec.filesystem("memory")
    for name, data in FILES.items():
        system.pipe_file(f"/bucket/photos/{name}", data)
    yield "memory://bucket/photos"
    system.rm("/bucket", recursive=True)


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def everything(source: Source) -> list:
    return [(source.name(i), source.item(i).label, source.item(i).image.tobytes()) for i in range(len(source))]


def test_a_folder_at_an_address_is_what_the_folder_is(folder, address):
    here, there = read_source(folder), read_source(address)
    assert everything(there) == everything(here)
    assert there.class_names == here.class_names == ("cats", "dogs")
    assert "notes" not in str(everything(there))
    assert [there.identity(i) for i in range(10)] == [here.identity(i) for i in range(10)]
    cloudpickle = pytest.importorskip("cloudpickle")
    assert everything(pickle.loads(cloudpickle.dumps(read_source(address, labels=list(range(10)))))) == [
        (name, number, data) for number, (name, _, data) in enumerate(everything(here))
    ]


@pytest.mark.filterwarnings("ignore:1 file of the folder")
def test_a_pass_over_addresses(folder, address):
    names = [f"{address}/{name}" for name in sorted(FILES) if name.endswith(".png")]
    options = {"input_size": 16, "progress": False}
    found = [top_crops(tiny(), "edges", one, **options) for one in (folder, address, names)]
    tops = [[[(c.activation, c.position) for c in unit.top] for unit in crops] for crops in found]
    assert tops[0] == tops[1] == tops[2]
    assert found[1][0].top[0].image.size == found[0][0].top[0].image.size
    with pytest.warns(UserWarning, match="there is nothing at the address 'memory://bucket/photos/gone.png'"):
        top_crops(tiny(), "edges", [*names, f"{address}/gone.png"], **options)


def test_folders_at_several_addresses_are_told_apart(address):
    system = fsspec.filesystem("memory")
    for part, value in (("part-0", 1), ("part-1", 2)):
        system.pipe_file(f"/bucket/{part}/0001.png", png(value))
        system.pipe_file(f"/bucket/{part}/same/0001.png", png(value))
    both = read_source("memory://bucket/part-{0..1}")
    assert len(both) == 4
    assert len({both.identity(i) for i in range(4)}) == 4
    assert [both.find(both.identity(i)) for i in range(4)] == [0, 1, 2, 3]
    with pytest.raises(DatasetError, match=r"end alike and both have 'same/0001.png'"):
        read_source("memory://bucket/part-{0..1}/same")


def test_webdatasets_shards_are_read_by_number_with_their_labels(tmp_path):
    for shard in range(2):
        files = {}
        for i in range(5):
            files |= {f"{i}.png": png(10 * shard + i), f"{i}.cls": str(i % 3).encode(), f"{i}.json": b"{}"}
        archive(tmp_path / f"shard-{shard:03d}.tar", files)
    several = read_source(f"{tmp_path}/shard-{{000..001}}.tar")
    assert len(several) == 10
    assert [several.item(i).label for i in range(10)] == [0, 1, 2, 0, 1] * 2
    assert several.name(7) == "shard-001.tar/2.png"
    one = read_source(f"file://{tmp_path}/shard-001.tar")
    assert [one.item(i).image.tobytes() for i in range(5)] == [several.item(i + 5).image.tobytes() for i in range(5)]
    options = {"input_size": 16, "progress": False, "batch_size": 5}
    parts = [top_crops(tiny(), "edges", f"{tmp_path}/shard-00{i}.tar", **options) for i in range(2)]
    whole = top_crops(tiny(), "edges", f"{tmp_path}/shard-{{000..001}}.tar", **options)
    merged = merge_evidence(parts)["edges"]
    assert merged.label_counts == whole.label_counts == {0: 4, 1: 4, 2: 2}
    assert [u.quantiles for u in merged] == [u.quantiles for u in whole]


def test_several_images_of_one_sample_have_its_label(tmp_path):
    files = {"x/7.left.png": png(1), "x/7.right.png": png(2), "x/7.cls": b"3", "x/8.v2.png": png(3), "x/8.v2.cls": b"4"}
    archive(tmp_path / "pairs.tar", files | {"x/8.cls": b"5", "x/9.left.png": png(4)})
    source = read_source(str(tmp_path / "pairs.tar"))
    assert [(source.name(i), source.item(i).label) for i in range(4)] == [
        ("x/7.left.png", 3), ("x/7.right.png", 3), ("x/8.v2.png", 4), ("x/9.left.png", "x")
    ]  # fmt: skip


def test_archives_do_not_stay_open(tmp_path):
    for shard in range(12):
        archive(tmp_path / f"{shard:02d}.tar", {"0.png": png(shard), "1.png": png(99)})
    held = len(os.listdir("/proc/self/fd"))
    source = read_source(f"{tmp_path}/{{00..11}}.tar")
    found = everything(source)
    assert len({data for *_, data in found}) == 13
    assert len(os.listdir("/proc/self/fd")) == held
    assert source.concurrent, "several threads read them at once"
    assert everything(pickle.loads(pickle.dumps(source))) == found


def test_a_second_name_of_a_file_in_an_archive_is_read(tmp_path):
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        member = tarfile.TarInfo("./a.png")
        member.size = len(png(1))
        tar.addfile(member, io.BytesIO(png(1)))
        again = tarfile.TarInfo("b.png")
        again.type, again.linkname = tarfile.LNKTYPE, "a.png"
        tar.addfile(again)
        tar.addfile(tarfile.TarInfo("empty.png"))
    source = read_source(str(tmp_path / "photos.tar"))
    assert [source.name(i) for i in range(3)] == ["a.png", "b.png", "empty.png"]
    assert source.item(1).image.tobytes() == source.item(0).image.tobytes()
    with pytest.raises(UnreadableError, match="it is empty: 0 bytes"):
        source.item(2)


def test_links_in_an_archive_are_the_files_that_they_lead_to_and_others_are_named(tmp_path):
    kinds = {"hard": tarfile.LNKTYPE, "soft": tarfile.SYMTYPE, "pipe": tarfile.FIFOTYPE}
    path = tmp_path / "photos.tar"

    def write(*links: tuple[str, str, str], files: int) -> None:
        with tarfile.open(path, "w") as tar:
            for kind, name, target in links[:1]:  # one that leads to what comes later
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kinds[kind], target
                tar.addfile(member)
            for number in range(files):
                member = tarfile.TarInfo(f"./in/{number}.png")
                member.size = len(png(number))
                tar.addfile(member, io.BytesIO(png(number)))
            for kind, name, target in links[1:]:
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kinds[kind], target
                tar.addfile(member)

    write(
        ("soft", "first.png", "in/1.png"),
        ("hard", "./in/hard.png", "./in/0.png"),
        ("soft", "./out/soft.png", "../in/hard.png"),
        ("soft", "out/chain.png", "soft.png"),
        ("soft", "out/circle.png", "circle.png"),
        ("soft", "out/nowhere.png", "/tmp/0.png"),
        ("soft", "out/notes.txt", "/tmp/notes.txt"),
        ("pipe", "pipe", ""),
        files=2,
    )
    source = read_source(str(path))
    images = {name: data for name, _, data in everything(source)}
    assert list(images) == ["first.png", "in/0.png", "in/1.png", "in/hard.png", "out/chain.png", "out/soft.png"]
    assert images["first.png"] == images["in/1.png"]
    assert len({images[name] for name in ("in/0.png", "in/hard.png", "out/chain.png", "out/soft.png")}) == 1
    assert source.remarks == (
        f"Left out of {str(path)!r}: 3 names have no content in the archive (links to what is not in it, sparse files, "
        "devices): pipe, out/circle.png, out/nowhere.png.",
    )
    write(("soft", "a.png", "/tmp/a.png"), files=0)
    with pytest.raises(DatasetError, match=r"no image in .*: 1 name has no content in the archive .*: a\.png\."):
        read_source(str(path))


def test_numpys_arrays_at_an_address_are_images(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    buffer, packed = io.BytesIO(), io.BytesIO()
    np.save(buffer, array)
    np.savez(packed, image=array)
    files = {"a.npy": buffer.getvalue(), "b.npz": packed.getvalue(), "c.heic": b"1234", "d.npy": b"none"}
    system = fsspec.filesystem("memory")
    for name, data in files.items():
        system.pipe_file(f"/arrays/{name}", data)
    for source in (read_source("memory://arrays"), read_source(str(archive(tmp_path / "arrays.tar", files)))):
        for number in range(2):
            assert (source.item(number).image == array).all()
        with pytest.raises(UnreadableError, match="pillow-heif"):
            source.item(2)
        with pytest.raises(UnreadableError, match="ValueError"):
            source.item(3)
    system.rm("/arrays", recursive=True)


def test_a_folder_with_any_labels_is_sent_by_plain_pickle(folder, address):
    for labels in (None, list(range(10)), {f"{name}": 1 for name in FILES if name.endswith(".png")}, len):
        for where in (folder, address):
            source = read_source(where, labels=labels)
            assert everything(pickle.loads(pickle.dumps(source))) == everything(source)


def test_folders_in_an_archive_are_labels(tmp_path, folder):
    folder.rename(tmp_path / "really a folder.tar")
    assert len(read_source(tmp_path / "really a folder.tar")) == 10
    path = archive(tmp_path / "photos.tar", FILES)
    source = read_source(path)
    assert {source.item(i).label for i in range(len(source))} == {"cats", "dogs"}
    assert len(source) == 10


def test_what_can_not_be_reached_is_said_in_a_sentence(address, tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere://a' can't be listed .*check the address"):
        read_source("nowhere://a")
    with pytest.raises(DatasetError, match="is empty"):
        read_source("memory://bucket/none")
    with pytest.raises(DatasetError, match=r"gone.tar' can't be listed"):
        read_source(str(tmp_path / "gone.tar"))
    with pytest.raises(DatasetError, match="must go up"):
        read_source("a-{5..2}.tar")
    source = read_source(address)
    fsspec.filesystem("memory").rm_file(f"/bucket/photos/{source.name(3)}")
    with pytest.raises(UnreadableError, match="FileNotFoundError"):
        source.item(3)

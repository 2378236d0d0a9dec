"""Evidence in one file: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from peek_widget.errors import EvidenceStoreError, PeekError
from peek_widget.evidence import Evidence, load_evidence, top_crops
from peek_widget.evidence.store import KEY
from peek_widget.zoo import Images, bundled
from tests.networks import tiny


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("evidence") / "kept.safetensors"
    images = [(torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(i)), i % 2) for i in range(12)]
    images[5] = ("nowhere.png", 0)
    with pytest.warns(UserWarning, match="skipped"):
        found = top_crops(tiny(), ["edges", ""], images, k=3, input_size=16, progress=False, fingerprint="abc")
    found.save(path)
    return path, found, images


def parts(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()[KEY]), load_file(path)


def changed(path, target, change):
    header, tensors = parts(path)
    header, tensors = change(header, tensors) or (header, tensors)
    save_file(tensors, target, metadata={KEY: json.dumps(header)})
    return target


def test_what_is_saved_is_loaded(kept):
    path, found, images = kept
    loaded = load_evidence(path, images)
    for name in found:
        assert list(loaded[name]) == list(found[name])
        assert loaded[name].label_counts == found[name].label_counts == {0: 6, 1: 5}
        assert loaded[name].skipped == found[name].skipped
        assert loaded[name].k == 3
    assert loaded.example_index.fingerprint == "abc"
    assert Evidence.load(path, images).keys() == loaded.keys()
    assert "image" in loaded["edges"][0].top[0].name


def test_the_file_is_as_documented(kept):
    header, tensors = parts(kept[0])
    assert header["format"] == 1
    assert [layer["name"] for layer in header["layers"]] == ["edges", ""]
    assert header["count"] == 11
    assert tensors["0/top.value"].shape == (6, 3)
    assert tensors["1/bottom.image"].dtype == torch.int64
    assert len(header["details"]) == len(tensors["details"])


def test_the_file_size_depends_on_units_and_k_and_not_on_images(tmp_path):
    sizes = []
    for count in (40, 160):
        top_crops(bundled(), "conv1", Images(count), k=2, progress=False).save(tmp_path / "a")
        sizes.append((tmp_path / "a").stat().st_size)
    assert abs(sizes[1] - sizes[0]) < 0.02 * sizes[0]


def test_saving_twice_replaces_whole_or_not_at_all(kept, tmp_path, monkeypatch):
    _, found, _ = kept
    found.save(tmp_path / "sub" / "a")
    before = (tmp_path / "sub" / "a").read_bytes()

    def fails(path, target):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(EvidenceStoreError, match="no space left"):
        found.save(tmp_path / "sub" / "a")
    assert (tmp_path / "sub" / "a").read_bytes() == before
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["a"]


def headed(key, value):
    def change(header, tensors):
        header[key] = value

    return change


def lost(key):
    def change(header, tensors):
        del header[key]

    return change


def tensor(name, make):
    def change(header, tensors):
        tensors[name] = make(tensors[name]).contiguous()

    return change


def layered(key, value):
    def change(header, tensors):
        header["layers"][0][key] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        headed("format", 2),
        headed("input_size", "big"),
        headed("resize", 3),
        headed("channels", 0),
        headed("count", -1),
        headed("prepared", 1),
        headed("class_names", [1]),
        headed("labels", [[[1], 2]]),
        headed("labels", 3),
        headed("layers", []),
        headed("layers", {"a": 1}),
        headed("details", []),
        headed("details", [["a", 1, 0, 5]] * 11),
        headed("fingerprint", 5),
        headed("seen_upto", 2.5),
        headed("groups", {"named": False, "names": [0], "members": [[0], [1]]}),
        headed("groups", {"named": False, "names": [0], "members": [[0]]}),
        headed("groups", {"named": 1, "names": [0, 1], "members": [[0], [1]]}),
        headed("decoding", "quick"),
        headed("reason_indices", {"nowhere.png": -1}),
        tensor("0/groups.count", lambda t: -t - 1),
        tensor("0/groups.count", lambda t: t * torch.arange(3)[:, None]),
        tensor("0/groups.exponent", lambda t: t + 1000),
        tensor("1/groups.first", lambda t: t + 2**60),
        lost("layers"),
        lost("reasons"),
        layered("units", 10**9),
        layered("units", 7),
        layered("k", True),
        layered("size", [16]),
        layered("size", [2, 2]),
        layered("name", ""),
        layered("field", {"kind": "exact", "size": [3, "x"], "stride": [1, 1], "start": [0, 0]}),
        layered("field", {"kind": "guess", "size": [3, 3], "stride": [1, 1], "start": [0, 0]}),
        layered("per_image", None),
        tensor("0/top.value", lambda t: t.flip(1)),
        tensor("0/top.value", lambda t: t * torch.nan),
        tensor("0/top.value", lambda t: t.double()),
        tensor("0/top.image", lambda t: t + 10**9),
        tensor("0/top.image", lambda t: t - 100),
        tensor("0/top.place", lambda t: t + 10**6),
        tensor("0/bottom.place", lambda t: t[:3]),
        tensor("0/places", lambda t: t - 1),
        tensor("0/active", lambda t: t + 10**9),
        tensor("details", lambda t: -t - 1),
        tensor("seen", lambda t: t.float()),
        lambda header, tensors: (header, {k: v for k, v in tensors.items() if k != "1/best"}),
        lambda header, tensors: ([header], tensors),
    ],
)
def test_a_file_with_impossible_values_is_refused_in_a_sentence(kept, tmp_path, change):
    with pytest.raises(EvidenceStoreError, match="holds no evidence that can be used"):
        load_evidence(changed(kept[0], tmp_path / "hostile", change))


def test_other_missing_and_truncated_files_are_refused_in_a_sentence(kept, tmp_path):
    path = kept[0]
    data = path.read_bytes()
    for name, content in {
        "empty": b"",
        "text": b"hello",
        "pickle": pickle.dumps({"a": 1}),
        "cut": data[: len(data) // 2],
        "long": b"\xff" * 100,
        "zip": b"PK\x03\x04" + data,
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EvidenceStoreError, match="can't be read"):
            load_evidence(tmp_path / name)
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(EvidenceStoreError, match="safetensors file of something else"):
        load_evidence(tmp_path / "foreign")
    save_file({"a": torch.zeros(1)}, tmp_path / "no json", metadata={KEY: "{"})
    with pytest.raises(EvidenceStoreError, match="should be JSON"):
        load_evidence(tmp_path / "no json")
    with pytest.raises(EvidenceStoreError, match="There is no file"):
        load_evidence(tmp_path)


@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_a_file_with_flipped_bytes_is_refused_or_still_makes_sense(kept, tmp_path_factory, seed):
    data = bytearray(kept[0].read_bytes())
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 20)):
        # Half of them in the header, where they hurt most.
        data[chance.randrange(len(data) if chance.random() < 0.5 else 4000)] = chance.randrange(256)
    path = tmp_path_factory.mktemp("flipped") / "a"
    path.write_bytes(data)
    try:
        loaded = load_evidence(path)
    except PeekError:
        return
    for evidence in loaded.values():
        for one in evidence:
            assert all(c.box[2] > c.box[0] for c in one.top)


def test_a_path_that_can_not_be_written_is_refused_in_a_sentence(kept, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceStoreError, match="can't be written"):
        kept[1].save(tmp_path / "file" / "below")

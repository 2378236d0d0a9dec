"""The article's network, and Caffe's model files: made here byte by byte, by the wire format itself."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from peek_widget import Neuron, layers, render
from peek_widget.errors import FileError
from peek_widget.zoo import vgg_s
from peek_widget.zoo.caffe import fill, read_caffe

# The wire format (https://protobuf.dev/programming-guides/encoding): a key, then a number or a length and bytes


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def chunk(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def new_blob(array: np.ndarray) -> bytes:
    shape = b"".join(varint(side) for side in array.shape)
    return chunk(7, chunk(1, shape)) + chunk(5, array.astype("<f4").tobytes())


def old_blob(array: np.ndarray) -> bytes:
    sides = (1,) * (4 - array.ndim) + array.shape
    header = b"".join(number(field, side) for field, side in enumerate(sides, start=1))
    return header + chunk(5, array.astype("<f4").tobytes())


def new_layer(name: bytes, *arrays: np.ndarray) -> bytes:
    blobs = b"".join(chunk(7, new_blob(array)) for array in arrays)
    return chunk(100, chunk(1, name) + chunk(2, b"Convolution") + blobs)


def old_layer(name: bytes, *arrays: np.ndarray) -> bytes:
    blobs = b"".join(chunk(6, old_blob(array)) for array in arrays)
    # bottom, top, the type as a number, a learning rate: what we don't declare is read past
    rest = chunk(2, b"data") + chunk(3, name) + number(5, 4) + varint(7 << 3 | 5) + struct.pack("<f", 1.0)
    return chunk(2, rest + chunk(4, name) + blobs)


LAYERS = {"new": new_layer, "old": old_layer}
RNG = np.random.default_rng(0)
CONV = (RNG.normal(size=(4, 3, 2, 2)).astype("f4"), RNG.normal(size=4).astype("f4"))
FULL = (RNG.normal(size=(5, 16)).astype("f4"), RNG.normal(size=5).astype("f4"))


def net(kind: str) -> bytes:
    layer = LAYERS[kind]
    return chunk(1, b"small") + layer(b"data") + layer(b"conv1", *CONV) + layer(b"relu1") + layer(b"fc2", *FULL)


def modules() -> dict[str, nn.Module]:
    return {"conv1": nn.Conv2d(3, 4, 2), "fc2": nn.Linear(16, 5)}


@pytest.fixture
def file(tmp_path):
    def write(data: bytes) -> Path:
        path = tmp_path / "small.caffemodel"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("kind", LAYERS)
def test_both_formats_fill_a_network(kind, file):
    found = read_caffe(file(net(kind)))
    assert list(found) == ["conv1", "fc2"]
    into = modules()
    fill(into, found, "small.caffemodel")
    for name, arrays in {"conv1": CONV, "fc2": FULL}.items():
        assert np.array_equal(into[name].weight.detach().numpy(), arrays[0])
        assert np.array_equal(into[name].bias.detach().numpy(), arrays[1])


def test_numbers_in_several_pieces_and_in_double_precision_are_read(file):
    array = CONV[1]
    pieces = chunk(7, chunk(1, varint(4))) + chunk(5, array[:1].tobytes()) + chunk(5, array[1:].tobytes())
    double = chunk(7, chunk(1, varint(4))) + chunk(8, array.astype("<f8").tobytes())
    data = chunk(100, chunk(1, b"a") + chunk(7, pieces)) + chunk(100, chunk(1, b"b") + chunk(7, double))
    found = read_caffe(file(data))
    assert np.array_equal(found["a"][0], array)
    assert np.array_equal(found["b"][0].astype("f4"), array)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LAYERS)
def test_a_file_cut_off_anywhere_is_refused_or_holds_fewer_layers(kind, file):
    whole = net(kind)
    for end in range(len(whole)):
        try:
            found = read_caffe(file(whole[:end]))
        except FileError as error:
            assert str(error).endswith(".")
        else:
            # cut between two layers: what is there is right, and filling says what is missing
            assert list(found) in (["conv1"], ["conv1", "fc2"])
            if "fc2" not in found:
                with pytest.raises(FileError, match="no layer fc2"):
                    fill(modules(), found, "small.caffemodel")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_gives_arrays_or_a_sentence(data):
    whole = bytearray(net(data.draw(st.sampled_from(sorted(LAYERS)))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = Path(HOSTILE) / "damaged.caffemodel"
    path.write_bytes(whole)
    try:
        found = read_caffe(path)
        fill(modules(), found, path.name)
    except FileError as error:
        assert len(str(error)) < 3000


HOSTILE = ""


@pytest.fixture(autouse=True)
def folder_for_hypothesis(tmp_path_factory):
    global HOSTILE
    HOSTILE = str(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "no weights"),
        (b"not a model at all, but some text", "is not a Caffe model"),
        (b'name: "VGG_CNN_S"\nlayers { }', "is not a Caffe model"),
        (new_layer(b"relu1"), "no weights"),
        (new_layer(b"a", CONV[1]) * 2, "two layers"),
        (chunk(100, chunk(1, b"a") + chunk(7, chunk(7, chunk(1, varint(2**60))))), "damaged"),
        (chunk(100, chunk(1, b"a") + chunk(7, chunk(7, chunk(1, varint(-1))))), "none below 0"),
        (chunk(100, chunk(1, b"a") + chunk(7, chunk(7, chunk(1, varint(1) * 99)))), "at most"),
        (chunk(100, chunk(1, b"\xff\xfe") + chunk(7, chunk(5, b"abc"))), "damaged"),
        (chunk(7, b"") * 10 + chunk(2, b"") * 10_001, "10,001 layers"),
    ],
)
def test_a_hostile_file_is_refused_in_a_sentence(data, word, file):
    with pytest.raises(FileError, match=word):
        read_caffe(file(data))


def test_pickles_are_not_opened(file, monkeypatch):
    import pickle

    monkeypatch.setattr(pickle, "load", lambda *a, **k: pytest.fail("unpickled"))
    monkeypatch.setattr(pickle, "loads", lambda *a, **k: pytest.fail("unpickled"))
    with pytest.raises(FileError):
        read_caffe(file(pickle.dumps({"conv1": [1, 2, 3]})))


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ((CONV[0], CONV[1], CONV[1]), "3 arrays"),
        ((CONV[0][:, :, :1], CONV[1]), "4 x 3 x 1 x 2"),
        ((CONV[0], CONV[1][:3]), "where this network has 4"),
        ((CONV[0] * np.inf, CONV[1]), "not finite"),
    ],
)
def test_what_does_not_fit_changes_nothing(arrays, word, file):
    into = modules()
    before = {name: module.weight.clone() for name, module in into.items()}
    with pytest.raises(FileError, match=word):
        fill(into, read_caffe(file(new_layer(b"fc2", *FULL) + new_layer(b"conv1", *arrays))), "small.caffemodel")
    assert all(torch.equal(module.weight, before[name]) for name, module in into.items())


# The network


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return vgg_s()


@pytest.mark.slow
def test_it_has_the_published_maps(untrained):
    found = {layer.name: layer for layer in layers(untrained)}
    assert found["conv1"].size == (109, 109)
    assert found["pool1"].size == (37, 37)
    assert found["conv2"].size == (33, 33)
    assert found["pool2"].size == (17, 17)
    assert found["conv5"].size == (17, 17)
    assert found["pool5"].size == (6, 6)
    assert [found[name].channels for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")] == [
        96,
        256,
        512,
        512,
        512,
        4096,
        4096,
        1000,
    ]
    # four bytes each are the 393 MiB of the published file
    assert sum(p.numel() for p in untrained.parameters()) == 102_908_520


@pytest.mark.slow
def test_it_says_what_it_expects_and_draws(untrained):
    assert "BGR of 0 to 255, mean 104 117 123" in str(untrained.preprocess)
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert untrained.preprocess(red).flatten().tolist() == [-104.0, -117.0, 132.0]
    short = render(untrained, Neuron("conv3", 10), "peek-fast", seed=0)
    assert short.history[-1, 0] > short.history[0, 0]


def test_local_response_norm_is_the_definition(untrained):
    """b_i = a_i / (k + alpha / n * sum of the squares of the n channels around i) ** beta (Caffe's lrn_layer)."""
    a = 100 * torch.rand(1, 9, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.empty_like(a)
    for i in range(9):
        around = a[:, max(0, i - 2) : i + 3]
        expected[:, i] = a[:, i] / (2.0 + 5e-4 / 5 * around.square().sum(1)) ** 0.75
    assert torch.allclose(untrained.norm1(a), expected, rtol=1e-5)


def test_pooling_rounds_up_and_takes_the_border_in(untrained):
    """Windows of 3 every 3 over 8 places: the last one hangs over, and takes what there is of it."""
    a = torch.arange(64.0).view(1, 1, 8, 8)
    expected = [[float(max(r, 0) * 8 + c) for c in (2, 5, 7)] for r in (2, 5, 7)]
    assert untrained.pool1(a)[0, 0].tolist() == expected
    assert untrained.pool2(torch.arange(9.0).view(1, 1, 3, 3))[0, 0].tolist() == [[4.0, 5.0], [7.0, 8.0]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", LAYERS)
def test_a_file_of_the_full_size_is_read(kind, untrained, tmp_path):
    path = tmp_path / "VGG_CNN_S.caffemodel"
    with path.open("wb") as file:
        for name, module in untrained.named_children():
            if hasattr(module, "weight"):
                arrays = [parameter.detach().numpy() for parameter in (module.weight, module.bias)]
                file.write(LAYERS[kind](name.encode(), *arrays))
    read = vgg_s(path)
    assert all(torch.equal(one, other) for one, other in zip(read.parameters(), untrained.parameters(), strict=True))
    path.unlink()


def test_another_networks_file_is_refused(file):
    with pytest.raises(FileError, match="no layer conv2, conv3"):
        vgg_s(file(net("old")))


def test_a_missing_file_raises_what_open_raises():
    with pytest.raises(FileNotFoundError):
        vgg_s("no/such.caffemodel")

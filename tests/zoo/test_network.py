"""The bundled network: plain, alive, and loaded from its own file alone."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from peek_widget.errors import ModelError, PeekError
from peek_widget.zoo import CLASS_NAMES, bundled, load
from peek_widget.zoo.network import TRAINED_SIZE, WEIGHTS, SmallNet
from tools.zoo.card import dead_units, find_peaks
from tools.zoo.train import accuracy, held_out, main, train

REFERENCE = Path(__file__).parents[1] / "data" / "reference.safetensors"


@pytest.fixture(scope="module")
def network():
    return bundled()


@pytest.fixture(scope="module")
def unseen():
    return held_out(1400)


def test_it_is_small_and_plain(network):
    assert WEIGHTS.stat().st_size <= 2 * 1024 * 1024
    kinds = {type(module) for module in network.children()}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear}
    learnt = [name for name, module in network.named_children() if list(module.parameters())]
    assert learnt == ["conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "classes"]
    assert not network.training
    assert network.class_names == CLASS_NAMES


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (160, 160), (256, 200)])
def test_it_takes_any_size_from_the_trained_one_up(network, size):
    with torch.inference_mode():
        answer = network(torch.zeros(2, 3, *size))
    assert answer.shape == (2, len(CLASS_NAMES))
    assert torch.isfinite(answer).all()


def test_it_says_what_it_expects(network):
    white = network.preprocess(torch.ones(1, 3, 4, 4))
    assert torch.allclose(white, torch.full((1, 3, 4, 4), 2.0))
    assert network.input_size == TRAINED_SIZE


@pytest.mark.slow
def test_it_knows_images_it_has_not_seen_as_the_card_says(network, unseen):
    """By the first tenth of its 14,000 images, whose number of right answers is known: all of them take a minute."""
    share, said = accuracy(network, *unseen)
    assert abs(share * len(unseen[1]) - 1390) <= 1  # one may lie so near the border that rounding moves it
    figure, _, images = network.facts["held_out"].split()
    assert int(images) == 14_000
    # three standard deviations of a sample of this size
    assert abs(share - float(figure)) < 3 * (0.01 * 0.99 / len(unseen[1])) ** 0.5
    assert f"**{float(figure):.2%}** of 14,000 images" in WEIGHTS.with_name("MODEL_CARD.md").read_text("utf-8")
    for k, name in enumerate(CLASS_NAMES):
        mine = unseen[1] == k
        assert (said[mine] == k).double().mean() > 0.8, name


@pytest.mark.slow
def test_hardly_any_unit_is_dead(network, unseen):
    dead = dead_units(find_peaks(network, unseen[0]))
    assert list(dead) == [f"conv{n}" for n in range(1, 7)]
    for name, units in dead.items():
        assert len(units) < 0.02 * getattr(network, name).out_channels, (name, units)


@pytest.mark.slow
def test_a_dead_unit_is_found(network, unseen):
    broken = load(WEIGHTS)
    with torch.no_grad():
        broken.conv3.bias[7] = -1e6
    assert dead_units(find_peaks(broken, unseen[0][:56]))["conv3"] == [7]


@pytest.mark.slow
def test_it_loads_without_network_pickle_or_torchvision(tmp_path):
    """In a process of its own, where all three raise."""
    script = textwrap.dedent(
        """
        import pickle, socket, sys, time

        def refuse(*args, **kwargs):
            raise AssertionError("this must not be called")

        import torch
        import torch.hub
        import peek_widget.zoo
        socket.socket = socket.create_connection = socket.getaddrinfo = refuse
        pickle.load = pickle.loads = pickle.Unpickler = refuse
        torch.load = torch.hub.load_state_dict_from_url = torch.hub.download_url_to_file = refuse
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision"] = None  # importing it again fails
        began = time.perf_counter()
        network = peek_widget.zoo.bundled()
        seconds = time.perf_counter() - began
        answer = network(torch.zeros(1, 3, 64, 64))
        print(seconds, tuple(answer.shape))
        """
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seconds, shape = done.stdout.split(maxsplit=1)
    assert float(seconds) < 0.5
    assert shape.strip() == f"(1, {len(CLASS_NAMES)})"


def test_it_is_safetensors_and_nothing_else():
    tensors = load_file(WEIGHTS)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert len(tensors) == 14


def test_the_reference_network_has_another_seed_and_width(network):
    reference = load(REFERENCE)
    assert reference.facts["seed"] != network.facts["seed"]
    assert reference.width != network.width
    assert reference.class_names == network.class_names


def test_the_package_does_not_hold_the_reference_network():
    assert [file.name for file in WEIGHTS.parent.glob("*.safetensors")] == ["bundled.safetensors"]


def damaged(tmp_path, keep: int) -> Path:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(WEIGHTS.read_bytes()[:keep])
    return path


@pytest.mark.parametrize("keep", [0, 5, 500, 100_000])
def test_a_cut_off_file_is_told(tmp_path, keep):
    with pytest.raises(ModelError, match="damaged"):
        load(damaged(tmp_path, keep))


def test_a_pickled_file_is_refused(tmp_path):
    path = tmp_path / "old.pt"
    torch.save(bundled().state_dict(), path)
    with pytest.raises(ModelError, match=r"can't be read.*give one that"):
        load(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"is missing: give the path of one.*tools\.zoo\.train"):
        load(tmp_path / "none.safetensors")


def test_only_the_bundled_file_is_mended_by_installing_again(tmp_path, monkeypatch):
    own = tmp_path / "mine.safetensors"
    own.write_bytes(b"cut off")
    for path in (own, tmp_path / "none.safetensors"):
        with pytest.raises(ModelError) as found:
            load(path)
        assert "reinstall" not in str(found.value)
    monkeypatch.setattr("peek_widget.zoo.network.WEIGHTS", own)
    with pytest.raises(ModelError, match="reinstall peek_widget"):
        bundled()


@pytest.mark.parametrize("width", [None, "none", "8"])
def test_another_networks_file_is_told(tmp_path, width):
    path = tmp_path / "other.safetensors"
    facts = {"classes": json.dumps(CLASS_NAMES)} | ({} if width is None else {"width": width})
    save_file({"fc.weight": torch.zeros(3, 3)}, path, metadata=facts)
    with pytest.raises(
        ModelError, match=r"(?s)is not of a network that .*own goes straight into UnitExplorer\(model\)"
    ):
        load(path)


def test_folding_keeps_the_function():
    torch.manual_seed(0)
    network = SmallNet(8, CLASS_NAMES, normalized=True)
    network(torch.randn(16, 3, 64, 64))  # gives the normalizations something to have seen
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    plain, x = network.folded(), torch.randn(2, 3, 64, 64)
    assert torch.allclose(plain(x), network.eval()(x), atol=1e-5)


def little(seed: int) -> dict[str, torch.Tensor]:
    arguments = {"images": 128, "epochs": 2, "batch": 32, "width": 4, "say": lambda text: None}
    *_, (network, _) = train(seed=seed, **arguments)
    return network.folded().state_dict()


@pytest.mark.slow
def test_training_again_gives_the_same_weights():
    # One thread: how a sum is split among threads may change its last bits.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        first, again, other = little(3), little(3), little(4)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("few", [{"epochs": 0}, {"images": 10}, {"width": 0}])
def test_too_little_to_train_with_is_told(few):
    with pytest.raises(PeekError, match=f"{next(iter(few))} is"):
        next(train(**few))


def test_the_command_writes_a_network_that_loads(tmp_path, capsys):
    out = tmp_path / "tiny.safetensors"
    arguments = ["--width", "4", "--images", "128", "--epochs", "1", "--held-out", "56", "--seed", "5"]
    assert main([*arguments, "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "after epoch 1" in told.out
    assert "drawing images" in told.err
    network = load(out)
    assert network.width == 4
    assert network.facts["seed"] == "5"
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, len(CLASS_NAMES))

"""torchvision's networks by name."""

from __future__ import annotations

import urllib.error

import pytest
import torch
import torchvision

from peek_widget.errors import ModelError
from peek_widget.zoo import by_name


@pytest.mark.parametrize(
    ("name", "near"), [("vgg61", "vgg16"), ("ResNet-18", "resnet18"), ("squeezenet", "squeezenet1_0")]
)
def test_an_unknown_name_gets_near_ones(name, near):
    with pytest.raises(ModelError, match=near):
        by_name(name)


def test_a_hopeless_name_says_where_names_are_listed():
    with pytest.raises(ModelError, match="list_models"):
        by_name("qqqqqq")


def test_without_network_it_says_what_to_do(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(ModelError) as told:
        by_name("squeezenet1_0")
    assert isinstance(told.value.__cause__, urllib.error.URLError)
    sentence = str(told.value)
    assert "squeezenet1_0-" in sentence  # the file to put there
    assert str(tmp_path) in sentence  # and where
    assert "UnitExplorer(torchvision.models.squeezenet1_0())" in sentence
    assert "UnitExplorer()" in sentence


def test_with_the_weights_in_the_cache_it_is_ready(monkeypatch, tmp_path):
    """Weights of our own making under the cached file's name stand for the download."""
    weights = torchvision.models.SqueezeNet1_0_Weights.DEFAULT
    torch.manual_seed(0)
    made = torchvision.models.squeezenet1_0()
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(made.state_dict(), cache / weights.url.rsplit("/", 1)[-1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = by_name("squeezenet1_0")
    assert not model.training
    assert torch.equal(model.features[0].weight, made.features[0].weight)
    assert len(model.class_names) == 1000
    assert model.class_names[207] == "golden retriever"
    assert model.input_size == 224
    gray = model.preprocess(torch.full((1, 3, 2, 2), 0.5))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(gray[0, :, 0, 0], (0.5 - mean) / deviation)

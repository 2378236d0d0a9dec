"""The model behind an explorer: read, read again when it has changed, and pictures to begin from."""

import numpy as np
import pytest
import torch
from PIL import Image

from peek_widget.errors import PeekError
from peek_widget.live import model_source
from peek_widget.live.model_source import ModelSource
from peek_widget.live.snapshot import Target

from .test_explorer import SHORT, tiny


def test_the_network_is_read_again_only_where_the_weights_were_replaced():
    source = ModelSource(tiny(), 32)
    first = source.network
    assert source.fresh() is first
    with torch.no_grad():
        source.model.conv1.weight.mul_(2)
    assert source.fresh() is first, "the weights are shared"
    source.model.conv1.weight = torch.nn.Parameter(torch.zeros_like(source.model.conv1.weight))
    assert source.fresh() is not first
    assert source.current() is source.network


def test_the_version_of_the_weights_changes_with_them():
    source = ModelSource(tiny(), 32)
    before = source.weights_version()
    with torch.no_grad():
        source.model.conv1.weight.mul_(2)
    assert source.weights_version() != before


def test_a_negative_target_turns_the_objective_around():
    source = ModelSource(tiny(), 32)
    target = Target("conv2", 3, SHORT, negative=True)
    assert str(source.objective(target)) == str(-source.objective(Target("conv2", 3, SHORT)))


@pytest.mark.parametrize("picture", [Image.new("L", (20, 20)), Image.new("RGBA", (20, 20)), np.zeros((20, 20, 3))])
def test_a_picture_to_begin_from_gets_the_channels_of_the_model(picture):
    start = ModelSource(tiny(), 32).start_from(picture)
    assert start.name == "a given picture"
    assert start.picture().shape[-3] == 3


def test_what_is_no_picture_is_refused_at_once():
    source = ModelSource(tiny(), 32)
    assert source.start_from(None) is None
    with pytest.raises(PeekError):
        source.start_from("dog.jpg")


def test_the_precision_that_is_quicker_is_tried_once_for_each_device(monkeypatch):
    tried = []

    def quicker(network):
        tried.append(network.model_copy.device)
        return "bf16"

    monkeypatch.setattr(model_source, "quicker_precision", quicker)
    monkeypatch.setattr("peek_widget.network.precision.has_bf16", lambda _: True)
    source = ModelSource(tiny(), 32, precision="auto")
    target = Target("conv2", 3, SHORT)
    ascent = source.make_ascent(target)
    assert ascent._kind is torch.bfloat16
    assert source.resume_ascent(target, ascent.state())._kind is torch.bfloat16
    assert tried == [torch.device("cpu")]
    assert ModelSource(tiny(), 32).precision is None
    assert source.computing == "cpu, in bfloat16"
    assert ModelSource(tiny(), 32).computing == "cpu"
    with pytest.raises(PeekError, match="give 'float32', or 'bf16'"):
        ModelSource(tiny(), 32, precision="automatic")

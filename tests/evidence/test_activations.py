"""Activations of layers on images, held against plain forward hooks on the model itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import peek_widget
from peek_widget import activations
from peek_widget.errors import DatasetError, LayerError, PeekError
from peek_widget.network.preprocess import IMAGENET_MEAN, IMAGENET_STD
from tests.networks import assert_same, portrait, tiny


def hooked(model: nn.Module, images: Tensor, *modules: nn.Module) -> list[Tensor]:
    """Return the outputs of modules in a forward of the model in eval mode, by plain hooks."""
    found: dict[int, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _m, _i, output, number=number: found.update({number: output.clone()}))
        for number, module in enumerate(modules)
    ]
    training = model.training
    model.eval()
    with torch.no_grad():
        model(images)
    model.train(training)
    for handle in handles:
        handle.remove()
    return [found[number] for number in range(len(modules))]


def pictures(count: int, side: int) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_they_are_those_of_a_plain_hook_before_the_relu() -> None:
    model = tiny().train()
    before = portrait(model)
    images = pictures(10, 32)
    found = activations(model, images, ["edges", model.norm, ""], input_size=32, preprocess="none", batch_size=4)
    assert_same(before, portrait(model))
    assert list(found) == ["edges", "norm", ""]
    # cloned by the hook, before the in-place ReLU behind it
    edges, norm, output = hooked(model, images, model.edges, model.norm, model)
    for name, expected in (("edges", edges), ("norm", norm), ("", output)):
        assert found[name].shape == expected.shape
        assert found[name].dtype is torch.float32
        assert torch.allclose(found[name], expected, atol=1e-5)
    assert float(found["edges"].min()) < 0.0


def test_a_real_network_with_blocks_that_end_with_a_relu() -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None)
    images = pictures(3, 64)
    found = activations(model, images, [model.layer1[0], "layer3.1", "fc"], input_size=64)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    block, later, classes = hooked(model, (images - mean) / std, model.layer1[0], model.layer3[1], model.fc)
    assert [tuple(values.shape) for values in found.values()] == [(3, 64, 16, 16), (3, 256, 4, 4), (3, 1000)]
    # A hook sees a block's output after its ReLU.
    assert torch.allclose(F.relu(found["layer1.0"]), block, atol=1e-4)
    assert torch.allclose(F.relu(found["layer3.1"]), later, atol=1e-4)
    assert float(found["layer3.1"].min()) < 0.0
    assert torch.allclose(found["fc"], classes, atol=1e-4)


def test_images_come_as_a_folder_a_list_or_a_tensor(tmp_path: Path) -> None:
    model = tiny()
    arrays = [np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8) for number in range(5)]
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{number}.png")
    tensor = torch.stack([torch.from_numpy(array).permute(2, 0, 1) for array in arrays])
    given = (tmp_path, arrays, [Image.fromarray(array) for array in arrays], tensor, tensor / 255.0)
    all_found = [activations(model, images, "forms", input_size=32, batch_size=2)["forms"] for images in given]
    for found in all_found[1:]:
        assert torch.allclose(found, all_found[0], atol=1e-5)


def test_images_of_another_size_are_resized_and_cut_as_in_a_pass() -> None:
    found = activations(tiny(), [np.zeros((40, 90, 3), np.uint8), pictures(1, 20)[0]], "forms", input_size=32)["forms"]
    assert found.shape == (2, 8, 16, 16)


def test_they_can_be_used_in_training() -> None:
    found = activations(tiny(), pictures(4, 16), "classes", input_size=16)["classes"]
    head = nn.Linear(5, 2)
    head(found).sum().backward()
    assert head.weight.grad is not None


def test_what_is_not_possible_is_refused_in_a_sentence(tmp_path: Path) -> None:
    model = tiny()
    with pytest.raises(LayerError, match="near names: forms"):
        activations(model, pictures(1, 16), "form", input_size=16)
    with pytest.raises(PeekError, match="layers is empty"):
        activations(model, pictures(1, 16), [], input_size=16)
    with pytest.raises(DatasetError, match=r"shape \(3, 16, 16\): give \[N, C, H, W\]"):
        activations(model, pictures(1, 16)[0], "forms", input_size=16)
    with pytest.raises(DatasetError, match="The image 'image 1' can't be read: it has 2 channels"):
        activations(model, [torch.zeros(3, 16, 16), torch.zeros(2, 16, 16)], "forms", input_size=16)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"The image 'a.png' can't be read"):
        activations(model, tmp_path, "forms", input_size=16)


def test_a_progress_bar_is_shown_where_it_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    activations(tiny(), pictures(4, 16), "forms", input_size=16)
    assert capsys.readouterr().err == ""
    activations(tiny(), pictures(4, 16), "forms", input_size=16, progress=True)
    assert "4/4" in capsys.readouterr().err
    assert "activations" in peek_widget.__all__
